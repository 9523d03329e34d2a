"""Dropout that draws its mask several times faster than torch's on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Dropout", "dropout"]


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """Returns ``x`` with a share ``p`` of its entries set to 0 and the others scaled up.

    The numbers come from torch's global generator, but are not those ``F.dropout`` would draw:
    torch fills its mask entry by entry on a CPU, uniform numbers are drawn vectorised.
    """
    if not training or p == 0:
        return x
    if x.is_cuda or p == 1:
        return F.dropout(x, p)
    return x * (torch.rand_like(x) >= p).to(x.dtype).div_(1 - p)


class Dropout(nn.Dropout):
    """torch's ``Dropout`` with the faster mask."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)
