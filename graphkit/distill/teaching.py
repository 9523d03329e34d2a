"""What teachers and students of every method share: the fields a teacher leaves in the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.data.problem import Problem
from graphkit.errors import DataError, SettingError
from graphkit.models.base import Around, as_model
from graphkit.nn.losses import Divergence, soft_label
from graphkit.tasks import NodeClassification, Task
from graphkit.train import Fitted, evaluate, predict

__all__ = ["Given", "Student", "TaughtBatch", "agreement", "soft_labels", "with_progress"]

Watch = Callable[[dict[str, float]], Any]
AnyRecipe = TypeVar("AnyRecipe")


@runtime_checkable
class TaughtBatch(Protocol):
    """Nodes with what a teacher thinks of them: ``soft`` are its log-probabilities."""

    x: Tensor
    y: Tensor
    seeds: Int[Tensor, " seeds"]
    soft: Float[Tensor, "nodes classes"]


@dataclass(frozen=True)
class Given:
    """A teacher that is trained already: a model, or any network with PyG's call.

    Args:
        net: The trained network; it is not changed.
    """

    net: nn.Module

    def __call__(self, problem: Problem) -> Fitted:
        """Returns the network with its validation scores."""
        model = as_model(self.net).to(problem.device).eval()
        scores = evaluate(model, problem, "val")
        row = {"epoch": 0} | {f"val_{name}": value for name, value in scores.items()}
        return Fitted(model, row, [row], last=model)


class Student(Around):
    """A network around another that adds the teacher's opinion to its loss.

    Args:
        net: The network that is taught; an MLP where inference is to need no graph.
        hard_weight: Weight of the known classes (the papers' lambda), in [0, 1]; the teacher's
            opinion weighs the rest.
        divergence: Distance to the teacher: ``soft_label``, or ``smoothed_soft_label``.

    Reads:
        What ``net`` reads; in training ``soft``.

    Source:
        Zhang et al., "Graph-less Neural Networks: Teaching Old MLPs New Tricks via
        Distillation", ICLR 2022.
    """

    def __init__(
        self, net: nn.Module, hard_weight: float = 0.0, divergence: Divergence = soft_label
    ) -> None:
        if not 0 <= hard_weight <= 1:
            raise SettingError(f"hard_weight={hard_weight}; expected a number from 0 to 1")
        super().__init__(as_model(net))
        self.hard_weight, self.divergence = hard_weight, divergence

    def losses(self, batch: Any, task: Task) -> dict[str, Tensor]:
        """Returns the loss on known classes and the distance to the teacher, weighted."""
        return self.taught(self(batch), batch, task)

    def taught(self, logits: Tensor, batch: Any, task: Task) -> dict[str, Tensor]:
        """Returns the terms for scores that are there already."""
        soft = self.divergence(logits[batch.seeds], batch.soft[batch.seeds])
        terms = {"soft": (1 - self.hard_weight) * soft}
        if self.hard_weight:
            terms["hard"] = self.hard_weight * task.loss(logits, batch)
        return terms


def soft_labels(teacher: nn.Module, problem: Problem) -> Tensor:
    """Returns the log-probabilities of a teacher in evaluation mode for every visible node.

    Raises:
        SettingError: The problem does not ask for one class per node.
        DataError: The teacher knows other classes, or answers with something that is no number.

    Shape:
        ``(nodes, classes)``.
    """
    task = problem.task
    if not isinstance(problem.data, Data) or not isinstance(task, NodeClassification):
        raise SettingError(
            f"{problem.name} asks for {type(task).__name__} of {type(problem.data).__name__}; "
            "distillation needs one class per node of one graph"
        )
    answers = predict(teacher, problem)
    if answers.dim() != 2 or answers.shape[1] != task.num_classes:
        raise DataError(
            f"the teacher answers with {tuple(answers.shape[1:])} numbers a node, but "
            f"{problem.name} has {task.num_classes} classes: it was made for other classes"
        )
    bad = (~torch.isfinite(answers)).any(dim=1).nonzero()
    if len(bad):
        raise DataError(f"the teacher's answer for node {int(bad[0])} is not a finite number")
    return answers.log_softmax(-1)


def agreement(student: nn.Module, problem: Problem) -> float:
    """Returns the share of visible nodes where student and teacher name the same class."""
    mine = predict(student, problem).argmax(-1)
    return float((mine == problem.data.soft.argmax(-1)).double().mean())


def with_progress(recipe: AnyRecipe, on_epoch: Watch | None) -> AnyRecipe:
    """Returns the recipe with ``on_epoch`` told its epochs, where it can."""
    fields = (
        {f.name for f in dataclasses.fields(recipe)} if dataclasses.is_dataclass(recipe) else ()
    )
    if on_epoch is None or "on_epoch" not in fields or isinstance(recipe, type):
        return recipe
    return dataclasses.replace(recipe, on_epoch=on_epoch)  # type: ignore[type-var]
