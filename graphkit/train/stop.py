"""When to stop: a function of the monitored scores so far, the larger the better."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Patience", "Stop", "WindowMean"]


@runtime_checkable
class Stop(Protocol):
    """A rule that looks at one score per epoch; losses come with their sign turned."""

    def __call__(self, scores: Sequence[float]) -> bool:
        """Returns whether to stop after the last of ``scores``."""
        ...


@dataclass(frozen=True)
class Patience:
    """Stops when the best score is ``epochs`` epochs old.

    Args:
        epochs: Epochs without a better score.
        after: Epochs before the rule looks.
    """

    epochs: int
    after: int = 0

    def __call__(self, scores: Sequence[float]) -> bool:
        """Returns whether the best score lies ``epochs`` epochs back."""
        if len(scores) <= max(self.epochs, self.after):
            return False
        return max(scores[-self.epochs :]) <= max(scores[: -self.epochs])


@dataclass(frozen=True)
class WindowMean:
    """Stops when a score is worse than the mean of those before it.

    Args:
        window: How many scores before it are averaged, in epochs.
        after: Epochs before the rule looks.

    Source:
        Liu et al., "Towards Deeper Graph Neural Networks", KDD 2020, official code.
    """

    window: int
    after: int = 0

    def __call__(self, scores: Sequence[float]) -> bool:
        """Returns whether the last score is below the mean of the window before it."""
        if len(scores) <= max(self.window, self.after):
            return False
        return scores[-1] < statistics.fmean(scores[-self.window - 1 : -1])
