"""Predicts what has been seen before; learns nothing."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from graphkit.models.base import Model
from graphkit.tasks import Dims, EventBatch

__all__ = ["EdgeBank"]


class EdgeBank(Model):
    """Scores a pair 1 if it has met before, else 0.

    Args:
        dims: Sizes of the data set; ``num_nodes`` is needed.
        window: Share of the time so far that is remembered; 1 remembers all.

    Reads:
        ``src``, ``dst``, ``negatives``, ``t``, ``history``.

    Source:
        Poursafaei et al., "Towards Better Evaluation for Dynamic Link Prediction", NeurIPS 2022.
    """

    def __init__(self, dims: Dims, *, window: float = 1.0) -> None:
        super().__init__()
        self.num_nodes = dims.num_nodes or 0
        self.window = window

    def forward(self, batch: EventBatch) -> Float[Tensor, "events candidates"]:
        candidates = torch.cat([batch.dst[:, None], batch.negatives], dim=1)
        past = batch.history
        source, destination = past.src, past.dst
        if self.window < 1 and len(past.t):
            recent = past.t >= past.t[-1] - self.window * (past.t[-1] - past.t[0])
            source, destination = source[recent], destination[recent]
        seen = source * self.num_nodes + destination
        asked = batch.src[:, None] * self.num_nodes + candidates
        return torch.isin(asked, seen.to(asked.device)).float()
