"""How well each item is rebuilt: for stages of a method that learn data and not answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.tasks.base import Task

__all__ = ["Reconstruction"]


@dataclass(frozen=True)
class Reconstruction(Task):
    """The model answers with what each item costs, its terms in columns; there is no target.

    What is compared with what is the model's business (a bit with a probability, a number with a
    mean), so an answer is a few numbers an item and not a row as wide as the item itself. The mean
    over items of the summed columns is minimised, and is the score the task is judged by.

    Shape:
        answers ``(items, terms)``, in nats where the model is a density.
    """

    measures: tuple[str, ...] = ()

    @property
    def monitor(self) -> str:
        """The loss: there is no other score."""
        return "loss"

    def select(self, prediction: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """Returns the costs of the seeds, and a target of zeros that stands for "no cost"."""
        rows = prediction[batch.seeds]
        return rows, torch.zeros(len(rows), device=rows.device)

    def compare(self, answers: Tensor, target: Tensor) -> Tensor:
        """Returns the mean over items of the sum of their terms; 0 for no item."""
        return answers.sum() / max(len(answers), 1)

    def known(self, target: Tensor) -> Tensor:
        """Returns true for every item: it is its own answer."""
        return torch.ones(len(target), dtype=torch.bool, device=target.device)

    def hide(self, target: Tensor) -> Tensor:
        """Returns the target: there is nothing to hide."""
        return target
