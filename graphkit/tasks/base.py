"""The question a problem asks: what is compared, by which loss, in which metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.tasks.metrics import METRICS, metric

__all__ = ["Dims", "Task"]


@dataclass(frozen=True)
class Dims:
    """What the data dictate to a model.

    Args:
        in_channels: Width of the node vectors ``x``; 0 where nodes carry none.
        out_channels: Numbers asked for per item: classes, labels, targets.
        edge_channels: Width of ``edge_attr`` (of ``msg`` for events); 0 where there is none.
        num_nodes: Nodes of the one graph, where there is one.
        node_symbols: Number of symbols in each column of an integer ``x``; empty for vectors.
        edge_symbols: The same for ``edge_attr``.
    """

    in_channels: int
    out_channels: int
    edge_channels: int = 0
    num_nodes: int | None = None
    node_symbols: tuple[int, ...] = ()
    edge_symbols: tuple[int, ...] = ()


@dataclass(frozen=True)
class Task(ABC):
    """What is asked of every item, how an answer is scored, and which score counts.

    Args:
        measures: Names of the metrics reported; the first is the one the task is judged by.
        batch_means: Metrics reported once more as a mean over batches, under
            ``<name>_batch_mean``, for comparison with papers that average so.

    Raises:
        UnknownName: A metric of that name does not exist.
    """

    measures: tuple[str, ...]
    batch_means: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*self.measures, *self.batch_means):
            metric(name)

    @property
    def monitor(self) -> str:
        """The score the task is judged by, and the default for choosing the epoch."""
        return self.measures[0]

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """For each score of this task, whether a larger number is the better one."""
        means = {f"{name}_batch_mean": METRICS[name].higher for name in self.batch_means}
        return {"loss": False} | {name: METRICS[name].higher for name in self.measures} | means

    @abstractmethod
    def select(self, prediction: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """Returns the rows of ``prediction`` that are asked for, and their answers."""

    @abstractmethod
    def compare(self, answers: Tensor, target: Tensor) -> Tensor:
        """Returns the mean loss of selected answers; unknown ones count nothing."""

    @abstractmethod
    def known(self, target: Tensor) -> Tensor:
        """Returns which answers are known, one truth value per row."""

    @abstractmethod
    def hide(self, target: Tensor) -> Tensor:
        """Returns answers of the same shape that say nothing: -1 for a class, NaN for a number."""

    def loss(self, prediction: Tensor, batch: Any) -> Tensor:
        """Returns the mean loss over the batch's seeds."""
        return self.compare(*self.select(prediction, batch))

    def metrics(self, answers: Tensor, target: Tensor) -> dict[str, float]:
        """Returns every measure of the task over the gathered rows of a part.

        A score that is not defined (one class alone under AUROC, no known answer) is NaN.
        """
        known = self.known(target)
        if not bool(known.all()):
            answers, target = answers[known], target[known]
        if len(target) == 0:
            return dict.fromkeys(self.measures, float("nan"))
        return {name: METRICS[name](answers, target) for name in self.measures}

    def scores(self, batches: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Returns metrics and mean loss over the selected rows of all batches of a part."""
        if not batches:
            return dict.fromkeys(self.higher_is_better, float("nan"))
        answers, target = batches[0] if len(batches) == 1 else _joined(batches)
        scores = self.metrics(answers, target)
        scores["loss"] = float(self.compare(answers, target))
        for name in self.batch_means:
            known = [(rows[k], y[k]) for rows, y in batches for k in [self.known(y)]]
            parts = [METRICS[name].of_batch(*pair) for pair in known if len(pair[1])]
            scores[f"{name}_batch_mean"] = sum(parts) / len(parts) if parts else float("nan")
        return scores


def _joined(batches: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([rows for rows, _ in batches]), torch.cat([rows for _, rows in batches])
