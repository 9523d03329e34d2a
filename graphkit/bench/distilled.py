"""Distillation as it is asked for: a teacher, a method and a problem become experiments.

Settings of the papers per data set are here once; suites and the command line read them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn
from torch_geometric.data import Data

from graphkit.bench.experiment import Experiment
from graphkit.bench.presets import HYPERGRAPHS, models_for, preset
from graphkit.bench.run import RunRecord
from graphkit.data.catalogue import load_problem
from graphkit.data.problem import Problem
from graphkit.data.sources.hypergraphs import Hypergraph, hypergraph_file
from graphkit.data.split import hide
from graphkit.distill import GLNN, Given, LightHGNN, LightHGNNPlus, VQGraph
from graphkit.distill.glnn import STUDENT
from graphkit.distill.light_hgnn import TRAIN as LIGHT_HGNN
from graphkit.errors import DataError, DataNotFound, SettingError, unknown_name
from graphkit.models import HYPERGRAPH_MODELS, MLP, LightMLP, ModelEntry
from graphkit.models.saved import load_model
from graphkit.train import Recipe, Supervised, TrainConfig
from graphkit.transforms import NearestNeighborHyperedges, NeighborhoodHyperedges

__all__ = [
    "METHODS",
    "StoredRun",
    "Taught",
    "Where",
    "stored_run",
    "student",
    "student_train",
    "taught",
]

METHODS: dict[str, type[GLNN]] = {
    "glnn": GLNN,
    "vqgraph": VQGraph,
    "light-hgnn": LightHGNN,
    "light-hgnn-plus": LightHGNNPlus,
}


@dataclass(frozen=True)
class StudentPreset:
    """The student of Zhang et al., ICLR 2022, on a data set.

    Args:
        lr: Learning rate.
        weight_decay: Weight of the squared parameters.
        dropout: Share of hidden features dropped in training.
    """

    lr: float = 0.01
    weight_decay: float = 5e-4
    dropout: float = 0.5


STUDENTS = {
    "cora-cpf": StudentPreset(0.01, 5e-3, 0.6),
    "pubmed-cpf": StudentPreset(0.005, 0.0, 0.4),
    "amazon-computers-cpf": StudentPreset(0.001, 2e-3, 0.3),
    "amazon-photo-cpf": StudentPreset(0.005, 2e-3, 0.3),
}


def student(method: str, problem: str, changes: Mapping[str, Any] | None = None) -> partial[Any]:
    """Returns the network a method teaches, as its paper sets it for the problem."""
    if method.startswith("light-hgnn"):
        return partial(LightMLP, **(changes or {}))
    known = STUDENTS.get(problem.split("/")[0], StudentPreset())
    return partial(
        MLP, **({"hidden_channels": 128, "dropout": known.dropout} | dict(changes or {}))
    )


def student_train(method: str, problem: str) -> TrainConfig:
    """Returns how the authors of a method train a student, and a plain network beside it."""
    if method.startswith("light-hgnn"):
        return LIGHT_HGNN
    known = STUDENTS.get(problem.split("/")[0], StudentPreset())
    return replace(STUDENT, lr=known.lr, weight_decay=known.weight_decay)


@dataclass(frozen=True)
class Where:
    """A problem as a distillation asks for it; a function of the seed.

    Args:
        name: A name of the catalogue, or the path of a hypergraph (``.npz``).
        production: Hide a fifth of the test nodes until the end, where none is hidden yet.
        hyperedges: Make a hypergraph of a graph: ``neighbourhood`` joins each node with its
            neighbours, ``nearest`` with the five nodes of nearest features.
        root: Folder of raw files.
    """

    name: str
    production: bool = False
    hyperedges: Literal["neighbourhood", "nearest"] | None = None
    root: Path | None = None

    @property
    def __name__(self) -> str:
        """What records call the problem."""
        if self.is_file:
            return f"{Path(self.name).stem}/{'production' if self.production else 'random'}"
        parts = [self.name, self.hyperedges, "hidden" if self.production else None]
        return "-".join(part for part in parts if part is not None)

    @property
    def is_file(self) -> bool:
        """Whether the name is that of a user's file."""
        return self.name.endswith(".npz")

    @property
    def plain(self) -> bool:
        """Whether it is a problem of the catalogue as it stands."""
        return not (self.is_file or self.production or self.hyperedges)

    @property
    def models(self) -> Mapping[str, ModelEntry]:
        """The models that may teach on it."""
        if self.is_file or self.hyperedges:
            return HYPERGRAPH_MODELS
        return models_for(self.name)

    def __call__(self, seed: int) -> Problem:
        """Returns the problem for a seed."""
        if self.is_file:
            return hypergraph_file(self.name, seed, "production" if self.production else "random")
        problem = load_problem(self.name, self.root, seed=seed)
        if self.hyperedges == "neighbourhood":
            problem = _remade(problem, NeighborhoodHyperedges())
        elif self.hyperedges == "nearest":
            problem = _remade(problem, NearestNeighborHyperedges(5))
        split = problem.split
        if self.production and not len(split.hidden):
            split = hide(split, seed)
        return replace(problem, name=self.__name__, split=split)


def _remade(problem: Problem, transform: Callable[[Data], Data]) -> Problem:
    made = transform(copy.copy(problem.data))
    hypergraph = Hypergraph(x=made.x, hyperedge_index=made.hyperedge_index, y=made.y)
    return replace(problem, data=hypergraph, checked=False)


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A run on disk whose model was kept.

    Args:
        record: Its record.
        net: Its model.
    """

    record: RunRecord
    net: nn.Module

    def check(self, problem: Problem) -> None:
        """Refuses a problem that is not the one the run was trained on.

        Raises:
            DataError: Data, split or name differ: answers could leak through the teacher.
        """
        if self.record["data"]["fingerprint"] != problem.fingerprint:
            raise DataError(
                f"the run {self.record['id']} was trained on {self.record['problem']} with seed "
                f"{self.record['seed']}; {problem.name} with seed {problem.seed} has other data or "
                "another split, so that test answers could leak through the teacher"
            )


@dataclass(frozen=True)
class Taught:
    """What a distillation is made of.

    Args:
        teacher: The teacher's experiment; ``None`` where it is a stored run.
        plain: The student's network without a teacher.
        student: The student's experiment.
        stored: The stored run that teaches, if one does.
    """

    teacher: Experiment | None
    plain: Experiment
    student: Experiment
    stored: StoredRun | None = None

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """Those that are carried out, in order."""
        return tuple(e for e in (self.teacher, self.plain, self.student) if e is not None)


def stored_run(path: Path) -> StoredRun:
    """Reads a run back whose model was kept.

    Args:
        path: Its record, ``<results>/<suite>/<run>.json``.

    Raises:
        DataNotFound: There is no record, or its model was not kept.
        SettingError: The run failed.
    """
    try:
        record = json.loads(path.read_text())
        status = record["status"]
    except FileNotFoundError as error:
        raise DataNotFound(f"there is no record at {path}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no record of a run: {error}") from error
    if status != "done":
        raise SettingError(f"the run {path.stem} failed: it cannot teach")
    weights = path.with_suffix(".safetensors")
    if not weights.is_file():
        raise DataNotFound(
            f"the model of {path.stem} was not kept: run it again with "
            "graphkit bench run --keep-models"
        )
    return StoredRun(record, load_model(weights).model)


def taught(
    method: str,
    where: Where,
    teacher: str | StoredRun,
    *,
    seed: int = 0,
    student_settings: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    teacher_train: Mapping[str, Any] | None = None,
    hard_weight: float = 0.0,
) -> Taught:
    """Returns the experiments of a distillation.

    Args:
        method: One of ``METHODS``.
        where: The problem.
        teacher: Name of a model, or a stored run.
        seed: The one seed of all of them.
        student_settings: Hyper-parameters of the student to change.
        train: Training settings of the student to change.
        teacher_train: Training settings of the teacher to change.
        hard_weight: Weight of the known classes in the student's loss.

    Raises:
        UnknownName: There is no such method, model or problem.
        SettingError: Method and teacher do not fit.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if isinstance(teacher, str) and teacher not in where.models:
        raise unknown_name("model", teacher, where.models, "graphkit models list")
    if method == "vqgraph" and isinstance(teacher, str) and teacher != "tokenized-gnn":
        raise SettingError(
            f"{teacher} chooses no codes: vqgraph needs tokenized-gnn, or a run of it"
        )
    problem = where.name if where.plain else where
    factory = student(method, where.name, student_settings)
    config = replace(student_train(method, where.name), **(train or {}))
    stored: StoredRun | None = None
    first: Experiment | None = None
    recipe: Recipe
    if isinstance(teacher, StoredRun):
        stored, recipe = teacher, Given(teacher.net)
    else:
        first = _teacher(teacher, where, problem, seed, teacher_train or {})
        recipe = first.recipe
    made = METHODS[method](recipe, factory, hard_weight, config)
    plain = Supervised(factory, replace(config, batching=None))
    return Taught(
        first,
        Experiment("light-mlp" if factory.func is LightMLP else "mlp", problem, plain, (seed,)),
        Experiment(method, problem, made, (seed,)),
        stored,
    )


def _teacher(
    name: str,
    where: Where,
    problem: str | Callable[[int], Problem],
    seed: int,
    train: Mapping[str, Any],
) -> Experiment:
    if where.models is HYPERGRAPH_MODELS and not where.plain:
        recipe = Supervised(HYPERGRAPH_MODELS[name].load(), replace(HYPERGRAPHS, **train))
        return Experiment(name, problem, recipe, (seed,))
    return replace(preset(name, where.name, seeds=(seed,), train=train), problem=problem)
