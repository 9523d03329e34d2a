"""How a fit is carried out: every setting the loop reads, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from graphkit.data.problem import Batching
from graphkit.errors import SettingError
from graphkit.train.schedule import Schedule
from graphkit.train.stop import Stop

__all__ = ["TrainConfig"]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the loop.

    Args:
        epochs: Most passes over the training part.
        lr: Learning rate.
        weight_decay: Weight of the squared parameters, as torch's optimisers count it.
        optimizer: ``adam``, ``adamw`` or ``sgd``.
        schedule: How the rate moves; ``None`` keeps it.
        clip_norm: Largest norm of the gradient; ``None`` leaves it.
        monitor: Validation score that chooses the epoch: ``"loss"`` or a metric; ``None`` takes
            the task's own.
        keep: Which epoch counts: the ``best`` (the first of equals), the ``latest_best`` (the last
            of equals), or the ``last``.
        stop: When to stop before ``epochs``; ``None`` never.
        min_lr: Stop once the rate is below this.
        batching: Batching in training; ``None`` takes the problem's. Scoring keeps the problem's.
        precision: Numbers of the forward pass: ``float32``, or ``bfloat16`` by autocast.
        on_nan: What to do when a loss is not a number: ``stop`` with an error, ``skip`` the
            step, or ``ignore``.
        evaluate_every: Epochs between two validations; the last epoch is always validated.

    Raises:
        SettingError: A value is out of its range.
    """

    epochs: int = 200
    lr: float = 0.01
    weight_decay: float = 0.0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    schedule: Schedule | None = None
    clip_norm: float | None = None
    monitor: str | None = None
    keep: Literal["best", "latest_best", "last"] = "best"
    stop: Stop | None = None
    min_lr: float = 0.0
    batching: Batching | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    on_nan: Literal["stop", "skip", "ignore"] = "stop"
    evaluate_every: int = 1

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[bool, str]] = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "lr": (0 < self.lr < math.inf, "above 0, finite"),
            "weight_decay": (self.weight_decay >= 0, "0 or above"),
            "clip_norm": (self.clip_norm is None or self.clip_norm > 0, "above 0, or None"),
            "min_lr": (self.min_lr >= 0, "0 or above"),
            "evaluate_every": (self.evaluate_every >= 1, "at least 1"),
            "optimizer": (self.optimizer in ("adam", "adamw", "sgd"), "adam, adamw or sgd"),
            "keep": (self.keep in ("best", "latest_best", "last"), "best, latest_best or last"),
            "precision": (self.precision in ("float32", "bfloat16"), "float32 or bfloat16"),
            "on_nan": (self.on_nan in ("stop", "skip", "ignore"), "stop, skip or ignore"),
        }
        for name, (fits, expected) in ranges.items():
            if not fits:
                raise SettingError(f"{name}={getattr(self, name)!r}; expected {expected}")

    def is_kept(self, scores: Sequence[float]) -> bool:
        """Returns whether the epoch of the last score is the one to keep so far."""
        if self.keep == "last" or len(scores) == 1:
            return True
        known = [score for score in scores[:-1] if score == score]  # NaN gives way to anything
        before = max(known, default=float("-inf"))
        better = scores[-1] > before or not known
        return better or (self.keep == "latest_best" and scores[-1] == before)

    def ends(self, scores: Sequence[float], row: Mapping[str, float]) -> bool:
        """Returns whether the fit is over after the epoch of this row."""
        if row["epoch"] + 1 >= self.epochs or row.get("lr", self.lr) < self.min_lr:
            return True
        return self.stop is not None and self.stop(scores)
