"""From node vectors to an answer, per node or per graph."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.utils import scatter

__all__ = ["Head", "Readout", "pool"]

Readout = Literal["mean", "sum", "max"]


class Head(nn.Sequential):
    """Three linear maps that halve the width twice: d, d // 2, d // 4 (at least 1), answers.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023 (``MLPReadout``).
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        half, quarter = max(channels // 2, 1), max(channels // 4, 1)
        super().__init__(
            nn.Linear(channels, half),
            nn.ReLU(),
            nn.Linear(half, quarter),
            nn.ReLU(),
            nn.Linear(quarter, out_channels),
        )


def pool(
    x: Float[Tensor, "nodes channels"],
    batch: Int[Tensor, " nodes"],
    num_graphs: int,
    readout: Readout,
) -> Float[Tensor, "graphs channels"]:
    """Returns a row per graph; a graph without nodes gets zeros."""
    return scatter(x, batch, dim=0, dim_size=num_graphs, reduce=readout)
