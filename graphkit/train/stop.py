"""When to stop: a function of the monitored scores so far, the larger the better."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from graphkit.errors import SettingError

__all__ = ["Patience", "PatienceWithTies", "Stop", "WindowMean"]


@runtime_checkable
class Stop(Protocol):
    """A rule that looks at one score per epoch; losses come with their sign turned."""

    def __call__(self, scores: Sequence[float]) -> bool:
        """Returns whether to stop after the last of ``scores``."""
        ...


@dataclass(frozen=True)
class Patience:
    """Stops when the best score is ``epochs`` validations old; a score that is NaN is no score.

    Args:
        epochs: Validated epochs without a better score, at least 1.
        after: Validated epochs before the rule looks.

    Raises:
        SettingError: A number is out of its range.
    """

    epochs: int
    after: int = 0

    def __post_init__(self) -> None:
        _check_window("Patience", "epochs", self.epochs, self.after)

    def __call__(self, scores: Sequence[float]) -> bool:
        """Returns whether the best score lies ``epochs`` epochs back."""
        if len(scores) <= max(self.epochs, self.after):
            return False
        return _best(scores[-self.epochs :]) <= _best(scores[: -self.epochs])


@dataclass(frozen=True)
class PatienceWithTies(Patience):
    """``Patience`` to which a score that equals the best is a better one: it goes on longer where
    scores are coarse, as accuracies of few items are.

    Args:
        epochs: Validated epochs in which no score reaches the best, at least 1.
        after: Validated epochs before the rule looks.

    Source:
        The authors' code of Zhang et al., "Graph-less Neural Networks", ICLR 2022.
    """

    def __call__(self, scores: Sequence[float]) -> bool:
        """Returns whether the last score that reached the best lies ``epochs`` epochs back."""
        if len(scores) <= max(self.epochs, self.after):
            return False
        return _best(scores[-self.epochs :]) < _best(scores[: -self.epochs])


@dataclass(frozen=True)
class WindowMean:
    """Stops when a score is worse than the mean of those before it.

    Args:
        window: How many scores before it are averaged, in validated epochs, at least 1.
        after: Validated epochs before the rule looks.

    Raises:
        SettingError: A number is out of its range.

    Source:
        Liu et al., "Towards Deeper Graph Neural Networks", KDD 2020, official code.
    """

    window: int
    after: int = 0

    def __post_init__(self) -> None:
        _check_window("WindowMean", "window", self.window, self.after)

    def __call__(self, scores: Sequence[float]) -> bool:
        """Returns whether the last score is below the mean of the window before it."""
        if len(scores) <= max(self.window, self.after):
            return False
        return scores[-1] < statistics.fmean(scores[-self.window - 1 : -1])


def _best(scores: Sequence[float]) -> float:
    return max((score for score in scores if score == score), default=-math.inf)


def _check_window(rule: str, name: str, size: int, after: int) -> None:
    if size < 1 or after < 0:
        raise SettingError(
            f"{rule}({name}={size}, after={after}): expected {name} from 1 and after from 0 on"
        )
