"""How the learning rate moves over the epochs."""

from __future__ import annotations

from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau

from graphkit.errors import SettingError

__all__ = ["Cosine", "Plateau", "Schedule"]


@dataclass(frozen=True)
class Plateau:
    """Lowers the rate when the validation loss has not fallen for a while.

    Args:
        patience: Epochs without a better loss; torch acts one epoch later.
        factor: What the rate is multiplied by.
    """

    patience: int = 10
    factor: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1 or self.patience < 0:
            raise SettingError(
                f"Plateau(patience={self.patience}, factor={self.factor}): expected a patience "
                "from 0 on and a factor between 0 and 1"
            )

    def build(self, optimizer: Optimizer, epochs: int) -> LRScheduler | ReduceLROnPlateau:
        """Returns torch's scheduler."""
        return ReduceLROnPlateau(optimizer, "min", factor=self.factor, patience=self.patience)


@dataclass(frozen=True)
class Cosine:
    """Lets the rate fall along half a cosine over all epochs.

    Args:
        last: Share of the first rate that is left at the end, from 0 to 1.

    Raises:
        SettingError: The share is out of its range.
    """

    last: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.last <= 1:
            raise SettingError(f"Cosine(last={self.last}): expected a share from 0 to 1")

    def build(self, optimizer: Optimizer, epochs: int) -> LRScheduler | ReduceLROnPlateau:
        """Returns torch's scheduler."""
        lowest = self.last * optimizer.param_groups[0]["lr"]
        return CosineAnnealingLR(optimizer, T_max=max(epochs, 1), eta_min=lowest)


Schedule = Plateau | Cosine
