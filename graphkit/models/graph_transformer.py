"""The Graph Transformer: attention along the edges, Laplacian places, an edge stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from graphkit.models.base import Model
from graphkit.nn import GraphTransformerLayer, Head, InputEncoder, Readout, pool
from graphkit.tasks import Dims
from graphkit.transforms import LaplacianPE, SignFlip

__all__ = ["GraphTransformer"]


class GraphTransformer(Model):
    """Layers of attention restricted to the given edges.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of both streams; a multiple of ``heads``.
        num_layers: Number of layers.
        heads: Attention heads.
        dropout: Share of features dropped in training.
        norm: ``batch`` or ``layer``.
        encoding: Number of Laplacian eigenvectors added to the input; 0 adds none.
        readout: How node vectors make one answer per graph; ``None`` answers per node.

    Reads:
        ``x``, ``edge_index``, ``edge_attr`` where the data have it, ``batch`` with a readout.

    Source:
        Dwivedi and Bresson, "A Generalization of Transformer Networks to Graphs", DLG-AAAI 2021.
        Differs: an isolated node attends to nothing and gets zeros, where the authors' layer
        without edge features divides by zero.
    """

    width_multiple = 8  # the default number of heads

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 10,
        heads: int = 8,
        dropout: float = 0.0,
        norm: Literal["batch", "layer"] = "batch",
        encoding: int = 0,
        readout: Readout | None = None,
    ) -> None:
        super().__init__()
        self.encoding, self.readout = encoding, readout
        edges = bool(dims.edge_channels or dims.edge_symbols)
        self.encode = InputEncoder(dims.in_channels, dims.node_symbols, hidden_channels)
        self.encode_edges = (
            InputEncoder(dims.edge_channels, dims.edge_symbols, hidden_channels) if edges else None
        )
        self.place = nn.Linear(encoding, hidden_channels) if encoding else None
        self.layers = nn.ModuleList(
            GraphTransformerLayer(hidden_channels, heads, edges=edges, dropout=dropout, norm=norm)
            for _ in range(num_layers)
        )
        self.head = Head(hidden_channels, dims.out_channels)

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """The Laplacian encoding, where there is one."""
        return LaplacianPE(self.encoding) if self.encoding else None

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """In training, random signs of the encoding."""
        return SignFlip("pe") if self.encoding and self.training else None

    def forward(self, batch: Any) -> Float[Tensor, "rows answers"]:
        h = self.encode(batch.get("x"), batch.num_nodes)
        if self.place is not None:
            h = h + self.place(batch.pe)
        e = None
        if self.encode_edges is not None:
            e = self.encode_edges(batch.edge_attr, batch.edge_index.shape[1])
        for layer in self.layers:
            h, e = layer(h, batch.edge_index, e)
        if self.readout is not None:
            h = pool(h, batch.batch, batch.num_graphs, self.readout)
        return self.head(h)
