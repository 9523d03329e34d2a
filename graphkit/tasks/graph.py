"""One answer per graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.tasks.base import Task
from graphkit.tasks.batch import GraphBatch
from graphkit.tasks.node import NodeClassification, known_binary_cross_entropy

__all__ = ["GraphClassification", "GraphRegression", "MultilabelGraphs"]


@dataclass(frozen=True)
class GraphClassification(NodeClassification):
    """One class per graph; the seeds of a batch are its graphs."""

    def select(self, prediction: Tensor, batch: GraphBatch) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Returns a row per graph and its class."""
        return prediction, batch.y.reshape(-1)


@dataclass(frozen=True)
class MultilabelGraphs(Task):
    """Several yes-or-no labels per graph; NaN says that one is not known."""

    measures: tuple[str, ...] = ("roc_auc",)

    def select(self, prediction: Tensor, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Returns a row per graph and its labels, in the shape of the prediction."""
        return prediction, batch.y.reshape(prediction.shape)

    def compare(self, answers: Tensor, target: Tensor) -> Tensor:
        """Returns the mean binary cross-entropy over the labels that are known."""
        return known_binary_cross_entropy(answers, target)

    def known(self, target: Tensor) -> Tensor:
        """Returns the graphs with at least one known label."""
        return (~torch.isnan(target)).reshape(len(target), -1).any(dim=1)

    def hide(self, target: Tensor) -> Tensor:
        """Returns NaN everywhere."""
        return torch.full_like(target, float("nan"))


@dataclass(frozen=True)
class GraphRegression(MultilabelGraphs):
    """One or several numbers per graph, learned by the mean absolute error.

    Args:
        square: Learn by the squared error instead.
    """

    measures: tuple[str, ...] = ("mae",)
    square: bool = False

    def compare(self, answers: Tensor, target: Tensor) -> Tensor:
        """Returns the mean error over the numbers that are known."""
        known = ~torch.isnan(target)
        error = torch.where(known, answers - torch.where(known, target, 0.0), 0.0)
        return (error.square() if self.square else error.abs()).sum() / known.sum().clamp(min=1)
