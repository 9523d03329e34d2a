"""Destinations that an event's true one is ranked against.

For validation and test they come from a fixed seed and a range that is a setting, never from the
(cut) data: every method is ranked against the same candidates. For training they come from the
run's seed and differ every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from graphkit.data.problem import Turn
from graphkit.seeds import stream

__all__ = ["EVALUATION_SEED", "Negatives", "RandomNegatives"]

EVALUATION_SEED = 20_201_127


@runtime_checkable
class Negatives(Protocol):
    """A way to draw candidates for a run of events."""

    def __call__(self, data: Any, events: Tensor, turn: Turn, number: int) -> Tensor:
        """Returns ``(events, draws)`` destinations for batch ``number`` of a turn."""
        ...


@dataclass(frozen=True)
class RandomNegatives:
    """Draws destinations evenly from a range, leaving out an event's own true one.

    Args:
        low: First destination of the range.
        high: One past the last.
        draws: Candidates per event at validation and test.
        training_draws: Candidates per event in training.
    """

    low: int
    high: int
    draws: int = 20
    training_draws: int = 1

    def __call__(self, data: Any, events: Tensor, turn: Turn, number: int) -> Tensor:
        """Returns the candidates; each event's are its own draw, whatever the batch size."""
        training = turn.part == "train"
        if training:
            source = stream(turn.seed, "negatives", turn.epoch, number, turn.rank)
            true = data.dst[events]
            drawn = torch.randint(
                self.low, self.high - 1, (len(events), self.training_draws), generator=source
            )
        else:
            # An event's row depends on its place in the part alone, not on the batch it is in.
            source = stream(EVALUATION_SEED, "negatives", turn.part)
            base = int(torch.randint(2**31, (1,), generator=source))
            true = data.dst[events]
            place = torch.arange(self.draws)[None] + self.draws * events[:, None]
            drawn = self.low + _mixed(place + base) % (self.high - 1 - self.low)
        return drawn + (drawn >= true[:, None]).long()  # skips the true destination


def _mixed(values: Tensor) -> Tensor:
    """A hash of whole numbers, good enough to serve as independent draws: (…,) -> (…,), 31 bits."""
    values = values * 0x5851F42D4C957F2D + 0x14057B7EF767814F
    values = (values ^ (values >> 29)) * 0x369DEA0F31A53F85
    return (values ^ (values >> 32)) & 0x7FFFFFFF
