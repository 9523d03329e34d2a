"""From raw node or edge fields to vectors of one width, whatever the data carry."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["InputEncoder"]


class InputEncoder(nn.Module):
    """Vectors by a linear map, symbols by embeddings (summed over columns), nothing by a constant.

    Args:
        in_channels: Width of the vectors; 0 where there are none.
        symbols: Number of symbols in each column; empty for vectors.
        out_channels: Width of the result.

    Shape:
        ``(rows, in_channels)``, or whole numbers ``(rows, columns)``, or ``None`` ->
        ``(rows, out_channels)``.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023: embeddings for symbols,
        a linear map for vectors, the constant 1 through a linear map for absent edge features.
    """

    def __init__(self, in_channels: int, symbols: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        self.embed = nn.ModuleList(nn.Embedding(count, out_channels) for count in symbols)
        self.linear = None if symbols else nn.Linear(max(in_channels, 1), out_channels)
        self.constant = in_channels == 0 and not symbols

    def forward(self, x: Tensor | None, num_rows: int) -> Float[Tensor, "rows channels"]:
        if self.linear is None:
            assert x is not None
            columns = (x[:, None] if x.dim() == 1 else x).long()
            return torch.stack([table(columns[:, i]) for i, table in enumerate(self.embed)]).sum(0)
        if self.constant or x is None:
            ones = torch.ones(num_rows, 1, device=self.linear.weight.device)
            return self.linear(ones)
        return self.linear(x)
