"""Which destination comes next: the true one of an event is ranked against drawn ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.tasks.base import Task
from graphkit.tasks.batch import EventBatch

__all__ = ["TemporalLinkPrediction"]


@dataclass(frozen=True)
class TemporalLinkPrediction(Task):
    """Scores of shape ``(events, 1 + draws)``, the true destination in column 0."""

    measures: tuple[str, ...] = ("mrr", "hits@10", "pair_average_precision", "pair_roc_auc")

    def select(self, prediction: Tensor, batch: EventBatch) -> tuple[Tensor, Tensor]:
        """Returns the scores of the seeds, and per event the column that is right (0)."""
        rows = prediction[batch.seeds]
        return rows, torch.zeros(len(rows), dtype=torch.long, device=rows.device)

    def compare(self, answers: Tensor, target: Tensor) -> Tensor:
        """Returns binary cross-entropy, the true one and the drawn ones weighing the same."""
        if answers.numel() == 0:
            return answers.sum()
        true = F.binary_cross_entropy_with_logits(answers[:, 0], torch.ones_like(answers[:, 0]))
        drawn = answers[:, 1:]
        if drawn.shape[1] == 0:
            return true
        return (true + F.binary_cross_entropy_with_logits(drawn, torch.zeros_like(drawn))) / 2

    def known(self, target: Tensor) -> Tensor:
        """Returns true for every event: what happened is known."""
        return torch.ones(len(target), dtype=torch.bool, device=target.device)

    def hide(self, target: Tensor) -> Tensor:
        """Returns the target: later events are cut off instead."""
        return target
