"""One run: seed, blind, recipe, scores, record."""

from __future__ import annotations

import math
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch_geometric import seed_everything

from graphkit.bench.budget import count_parameters
from graphkit.bench.experiment import Experiment
from graphkit.bench.host import describe_host, peak_memory_bytes, reset_peak_memory
from graphkit.data.catalogue import load_problem
from graphkit.data.prepare import fingerprint
from graphkit.data.problem import Problem
from graphkit.distill.teaching import Student
from graphkit.errors import DamagedFile, DataNotFound, SettingError, StorageError
from graphkit.models.saved import build, save_model
from graphkit.train import Fitted, checkpoints, describe, evaluate

__all__ = ["Loader", "RunRecord", "run"]

RunRecord = dict[str, Any]
SCHEMA = 1


class Loader:
    """Loads the problem of a run, and keeps the last one with all that was prepared from it.

    Args:
        root: Folder of raw files.
        device: Where batches are yielded.
    """

    def __init__(self, root: Path | None = None, device: str = "cpu") -> None:
        self.root, self.device = root, device
        self._last: tuple[tuple[Any, int], Problem] | None = None

    def __call__(self, experiment: Experiment, seed: int) -> Problem:
        """Returns the problem of an experiment for a seed."""
        key = (experiment.problem, seed)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        if isinstance(experiment.problem, str):
            problem = load_problem(experiment.problem, self.root, seed=seed, device=self.device)
            if self._last is not None:  # another seed of the same data finds what was prepared
                problem = replace(problem, prepared=self._last[1].prepared)
        else:
            problem = replace(experiment.problem(seed), device=self.device, seed=seed)
        self._last = (key, problem)
        return problem


def run(
    experiment: Experiment,
    seed: int,
    *,
    suite: str = "mine",
    loader: Loader | None = None,
    state: Path | None = None,
    keep: Path | None = None,
    on_epoch: Callable[[dict[str, float]], Any] | None = None,
) -> RunRecord:
    """Carries out one run and returns its record; an error of the recipe becomes part of it.

    The recipe sees ``problem.blind()``. The kept and the last model are scored on the test once.

    Args:
        experiment: What to run.
        seed: Chooses split and draws, and seeds weights and dropout.
        suite: Name the record is filed under.
        loader: Loads the problem; a fresh one by default.
        state: Folder for the state of the run in flight; ``None`` saves none.
        keep: File the fitted model is written to, of a network of the library; ``None`` for none.
        on_epoch: Told each epoch's row, for progress.

    Raises:
        KeyboardInterrupt: The run was interrupted; its state is in ``state``.
        StorageError: The state could not be written; there is no record then.
        DataNotFound: A raw file is missing; there is no record then.
        DamagedFile: A raw file is not the one expected; there is no record then.
    """
    loader = loader or Loader()
    started = datetime.now(UTC)
    record: RunRecord = {
        "schema": SCHEMA,
        "id": experiment.run_id(seed),
        "suite": suite,
        "experiment": experiment.name,
        "problem": experiment.problem_name,
        "seed": seed,
        "fingerprint": experiment.fingerprint,
        "status": "failed",
        "error": None,
        "settings": experiment.settings(),
        "reported": asdict(experiment.reported) if experiment.reported else None,
        "host": describe_host(loader.device),
        "started": started.isoformat(timespec="seconds"),
    }
    clock = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)")
            record |= _carry_out(experiment, seed, loader, state, keep, on_epoch)
        record["status"] = "done"
    except (StorageError, DataNotFound, DamagedFile):
        raise  # a full disk or a missing file is no result of the recipe: the run stays open
    except Exception as error:  # any failure of a recipe is a row of the board, not the end of it
        record["error"] = {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error, limit=-12)),
        }
    record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    record.setdefault("cost", {})["total_seconds"] = time.perf_counter() - clock
    return record


def _carry_out(
    experiment: Experiment,
    seed: int,
    loader: Loader,
    state: Path | None,
    keep: Path | None,
    on_epoch: Callable[[dict[str, float]], Any] | None,
) -> RunRecord:
    problem = loader(experiment, seed)
    task = problem.task
    reset_peak_memory(problem.device)
    recipe = experiment.recipe
    if keep is not None:
        build(_kept_settings(recipe), problem.dims)  # refused now, not when the fit is done
    if on_epoch is not None and hasattr(recipe, "on_epoch"):
        recipe = replace(recipe, on_epoch=on_epoch)  # type: ignore[type-var]
    seed_everything(seed)
    clock = time.perf_counter()
    if state is None:
        fitted = recipe(problem.blind())
    else:
        identity = f"{experiment.fingerprint}/{problem.fingerprint}/{torch.__version__}"
        with checkpoints(state, identity):
            fitted = recipe(problem.blind())
    fit_seconds = time.perf_counter() - clock
    if keep is not None:
        _keep(fitted, recipe, problem, experiment.run_id(seed), keep)
    clock = time.perf_counter()
    scores = _scores(fitted, problem)
    test_seconds = time.perf_counter() - clock
    measures = dict(experiment.measure(fitted.model, problem)) if experiment.measure else {}
    train = getattr(recipe, "train", None)
    epochs = fitted.seconds[1:] or fitted.seconds or [math.nan]
    return scores | {
        "data": {
            "files": problem.files,
            "fingerprint": problem.fingerprint,
            "split": problem.split.sizes() | {"fingerprint": _split_mark(problem)},
        },
        "num_parameters": count_parameters(fitted.model),
        "metric": task.monitor,
        "higher_is_better": task.higher_is_better[task.monitor],
        "monitor": getattr(train, "monitor", None) or task.monitor,
        "epoch": int(fitted.val["epoch"]),
        "epochs": len(fitted.history),
        "measures": measures,
        "notes": fitted.notes | _undefined(scores),
        "cost": {
            "seconds_per_epoch": median(epochs),
            "first_epoch_seconds": fitted.seconds[0] if fitted.seconds else None,
            "fit_seconds": fit_seconds,
            "test_seconds": test_seconds,
            "peak_memory_bytes": peak_memory_bytes(problem.device),
        },
        "history": _columns(fitted.history),
    }


def _keep(fitted: Fitted, recipe: Any, problem: Problem, run_id: str, path: Path) -> None:
    """Writes the network inside a fitted model, with what builds it again."""
    net = fitted.model.net if isinstance(fitted.model, Student) else fitted.model
    about = {"run": run_id, "problem": problem.name, "seed": problem.seed}
    save_model(path, net, _kept_settings(recipe), problem.blind().dims, about)


def _kept_settings(recipe: Any) -> dict[str, Any]:
    """Class and hyper-parameters of the network that a recipe ends with."""
    factory = getattr(recipe, "student", None) or getattr(recipe, "model", None)
    if factory is None:
        raise SettingError(
            f"{type(recipe).__name__} names no factory of its network: it cannot be kept"
        )
    told: dict[str, Any] = describe(factory)
    return told


def _scores(fitted: Fitted, problem: Problem) -> RunRecord:
    """Validation scores from the fit, and the test part scored once per model, on the data that
    training saw; hidden nodes are scored on the whole graph."""
    observed = problem.observed()
    scores: RunRecord = {
        "val": _val(fitted.val),
        "test": evaluate(fitted.model, observed, "test"),
        "last": {
            "val": _val(fitted.history[-1]),
            "test": evaluate(fitted.last, observed, "test"),
        },
        "hidden": None,
        "production": None,
    }
    if len(problem.split.hidden):
        hidden = evaluate(fitted.model, problem, "hidden")
        counts = len(problem.split.test), len(problem.split.hidden)
        scores["hidden"] = hidden
        scores["production"] = {
            name: (counts[0] * scores["test"][name] + counts[1] * value) / sum(counts)
            for name, value in hidden.items()
        }
    return scores


def _val(row: dict[str, float]) -> dict[str, float]:
    return {name[4:]: value for name, value in row.items() if name.startswith("val_")}


def _undefined(scores: RunRecord) -> dict[str, str]:
    names = [
        f"{part}.{name}"
        for part in ("val", "test")
        for name, value in scores[part].items()
        if math.isnan(value)
    ]
    reason = "not defined: one class alone, or no known answer in the part"
    return {"undefined": f"{', '.join(names)}: {reason}"} if names else {}


def _split_mark(problem: Problem) -> str:
    from torch_geometric.data import Data

    parts = {name: problem.split.part(name) for name in ("train", "val", "test", "hidden")}
    return fingerprint(Data.from_dict(parts))


def _columns(history: list[dict[str, float]]) -> dict[str, list[float | None]]:
    """History as columns, six digits: what curves need."""
    names = list(dict.fromkeys(name for row in history for name in row))
    return {
        name: [float(f"{row[name]:.6g}") if name in row else None for row in history]
        for name in names
    }
