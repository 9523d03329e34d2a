"""One answer per node, scored on the batch's ``seeds`` alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.tasks.base import Task
from graphkit.tasks.batch import NodeBatch

__all__ = ["MultilabelNodes", "NodeClassification", "NodesOfGraphs"]


@dataclass(frozen=True)
class NodeClassification(Task):
    """One class per node; -1 says that the class is not known.

    Args:
        num_classes: Number of classes.
    """

    measures: tuple[str, ...] = ("accuracy",)
    num_classes: int = 2

    def select(self, prediction: Tensor, batch: NodeBatch) -> tuple[Tensor, Tensor]:
        """Returns the rows of the seeds and their classes."""
        return prediction[batch.seeds], batch.y[batch.seeds]

    def compare(self, answers: Tensor, target: Tensor) -> Tensor:
        """Returns the mean cross-entropy over the rows whose class is known."""
        known = (target >= 0).sum().clamp(min=1)
        return F.cross_entropy(answers, target, ignore_index=-1, reduction="sum") / known

    def known(self, target: Tensor) -> Tensor:
        """Returns where the class is not -1."""
        return target >= 0

    def hide(self, target: Tensor) -> Tensor:
        """Returns -1 everywhere."""
        return torch.full_like(target, -1)


@dataclass(frozen=True)
class NodesOfGraphs(NodeClassification):
    """One class per node where the items are graphs: every node of a batch is scored.

    Args:
        balanced: Weigh a class by the share of the batch's nodes that are *not* of it, 0 where
            it is absent.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023 (PATTERN, CLUSTER).
    """

    measures: tuple[str, ...] = ("balanced_accuracy",)
    batch_means: tuple[str, ...] = ("balanced_accuracy",)
    balanced: bool = True

    def select(self, prediction: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """Returns the rows of all nodes and their classes."""
        return prediction, batch.y

    def compare(self, answers: Tensor, target: Tensor) -> Tensor:
        """Returns the weighted mean cross-entropy over the nodes whose class is known."""
        if not self.balanced:
            return super().compare(answers, target)
        size = torch.bincount(target[target >= 0], minlength=self.num_classes).to(answers)
        weight = (size.sum() - size) / size.sum().clamp(min=1) * (size > 0)
        if int((size > 0).sum()) <= 1:  # a single class has weight 0: nothing to learn from
            return answers.sum() * 0
        return F.cross_entropy(answers, target, weight=weight, ignore_index=-1)


@dataclass(frozen=True)
class MultilabelNodes(Task):
    """Several yes-or-no labels per node; NaN says that one is not known."""

    measures: tuple[str, ...] = ("micro_f1",)

    def select(self, prediction: Tensor, batch: NodeBatch) -> tuple[Tensor, Tensor]:
        """Returns the rows of the seeds and their labels."""
        return prediction[batch.seeds], batch.y[batch.seeds]

    def compare(self, answers: Tensor, target: Tensor) -> Tensor:
        """Returns the mean binary cross-entropy over the labels that are known."""
        return known_binary_cross_entropy(answers, target)

    def known(self, target: Tensor) -> Tensor:
        """Returns the rows with at least one known label."""
        return (~torch.isnan(target)).any(dim=1)

    def hide(self, target: Tensor) -> Tensor:
        """Returns NaN everywhere."""
        return torch.full_like(target, float("nan"))


def known_binary_cross_entropy(answers: Tensor, target: Tensor) -> Tensor:
    """Returns the mean binary cross-entropy of logits over the answers that are not NaN."""
    known = ~torch.isnan(target)
    terms = F.binary_cross_entropy_with_logits(
        answers, torch.where(known, target, 0.0), weight=known.to(answers), reduction="sum"
    )
    return terms / known.sum().clamp(min=1)
