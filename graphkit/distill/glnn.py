"""GLNN: a network that sees no edge learns from one that does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from graphkit.data.batching import NodeRows
from graphkit.data.problem import Problem
from graphkit.distill.teaching import Student, agreement, soft_labels, with_progress
from graphkit.errors import SettingError
from graphkit.train import Fitted, ModelFactory, PatienceWithTies, Recipe, TrainConfig, fit

__all__ = ["GLNN", "STUDENT"]

# The authors' loop: rows of 512, ties to the later epoch, given up after 50 without a better one.
STUDENT = TrainConfig(
    epochs=500, lr=0.01, batching=NodeRows(512), stop=PatienceWithTies(50), keep="latest_best"
)


@dataclass(frozen=True)
class GLNN:
    """Fits a teacher, then a student on the teacher's class probabilities.

    The student learns from all nodes that are visible, those of the test part too where they are
    (without their answers); hidden nodes are seen by neither.

    Args:
        teacher: Fits the network that sees the graph; ``Given(net)`` for one that is trained.
        student: Makes the network that is taught, an MLP as a rule.
        hard_weight: Weight of the known classes, in [0, 1].
        train: How the student is trained.
        on_epoch: Told each epoch's row, for progress; not a setting.

    Raises:
        SettingError: The problem does not ask for one class per node, or the weight is out of its
            range.
        DataError: The teacher knows other classes.

    Source:
        Zhang et al., "Graph-less Neural Networks: Teaching Old MLPs New Tricks via
        Distillation", ICLR 2022, arXiv 2110.08727. Differs: one step a batch for both terms,
        where the authors' code takes one for each; the last batch of an epoch may be smaller
        and is not left out.
    """

    teacher: Recipe
    student: ModelFactory
    hard_weight: float = 0.0
    train: TrainConfig = STUDENT
    on_epoch: Callable[[dict[str, float]], Any] | None = field(
        default=None, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        if not 0 <= self.hard_weight <= 1:
            raise SettingError(f"hard_weight={self.hard_weight}; expected a number from 0 to 1")

    def __call__(self, problem: Problem) -> Fitted:
        """Returns the fitted student; ``notes`` hold the teacher's scores and the agreement."""
        self.check(problem)
        teacher = with_progress(self.teacher, self.on_epoch)(problem)
        taught = self.lesson(teacher.model, problem)
        student = self.pupil(self.student(problem.dims), teacher.model)
        watch = self.on_epoch or (lambda row: False)
        fitted = fit(student, taught.with_unlabelled(), self.train, on_epoch=watch)
        fitted.notes.update(teacher=teacher.val, agreement=agreement(fitted.model, taught))
        fitted.notes.update(self.notes(teacher.model, taught))
        return fitted

    def check(self, problem: Problem) -> None:
        """Refuses settings that do not go with the problem, before anything is fitted."""

    def lesson(self, teacher: nn.Module, problem: Problem) -> Problem:
        """Returns the problem with what the teacher leaves for the student."""
        return problem.with_field("soft", soft_labels(teacher, problem))

    def pupil(self, net: nn.Module, teacher: nn.Module) -> Student:
        """Returns the network that is taught, with its losses."""
        return Student(net, self.hard_weight)

    def notes(self, teacher: nn.Module, taught: Problem) -> dict[str, Any]:
        """Returns what is reported besides."""
        return {}
