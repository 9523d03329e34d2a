"""The graph-free baseline and student."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from graphkit.models.base import Model
from graphkit.nn import InputEncoder, InputLinear, Readout, pool
from graphkit.tasks import Dims
from graphkit.transforms import SparseFeatures

__all__ = ["MLP"]


class MLP(Model):
    """Transforms every node by itself; looks at no edge.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width between the layers.
        num_layers: Number of linear maps.
        dropout: Share of hidden features dropped in training.
        input_dropout: Share of input features dropped in training.
        readout: How node vectors make one answer per graph; ``None`` answers per node.

    Reads:
        ``x``, and ``batch`` with a readout.

    Source:
        The baseline of Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float = 0.0,
        readout: Readout | None = None,
    ) -> None:
        super().__init__()
        encoded = bool(dims.node_symbols) or dims.in_channels == 0
        self.encode = (
            InputEncoder(dims.in_channels, dims.node_symbols, hidden_channels) if encoded else None
        )
        widths = [hidden_channels if encoded else dims.in_channels]
        widths += [hidden_channels] * (num_layers - 1) + [dims.out_channels]
        self.layers = nn.ModuleList(
            InputLinear(low, high, dropout=dropout if number else input_dropout)
            for number, (low, high) in enumerate(pairwise(widths))
        )
        self.readout = readout

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """The features without their zeros, for a sparse first layer."""
        return SparseFeatures() if self.encode is None else None

    def forward(self, batch: Any) -> Float[Tensor, "rows answers"]:
        x = batch.get("sparse_x")
        if x is None:
            x = batch.x if self.encode is None else self.encode(batch.get("x"), batch.num_nodes)
        for number, layer in enumerate(self.layers):
            if number:
                x = x.relu()
            if self.readout is not None and number == len(self.layers) - 1:
                x = pool(x, batch.batch, batch.num_graphs, self.readout)
            x = layer(x)
        return x
