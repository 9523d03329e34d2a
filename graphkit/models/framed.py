"""The common frame of Benchmarking-GNNs, and the networks that differ in its layer alone.

``h <- h + ReLU(BN(conv(h)))``, an encoder before, a three-layer head after, node or graph level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn import GINConv

from graphkit.errors import SettingError
from graphkit.models.base import Model
from graphkit.nn import (
    BatchNorm,
    Dropout,
    GatedGCNLayer,
    Head,
    InputEncoder,
    Readout,
    SparseGATConv,
    SparseGCNConv,
    SparseSAGEConv,
    pool,
)
from graphkit.tasks import Dims
from graphkit.transforms import Adjacency, Chain, LaplacianPE, SignFlip

__all__ = [
    "FramedGAT",
    "FramedGCN",
    "FramedGIN",
    "FramedMLP",
    "FramedSAGE",
    "GatedGCN",
    "VanillaGCN",
]


class _Framed(Model):
    """Encoder, layers, head. A subclass says what a layer is and which matrix it multiplies with.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of all layers.
        num_layers: Number of layers.
        dropout: Share of features dropped after each layer in training.
        readout: How node vectors make one answer per graph; ``None`` answers per node.
        encoding: Number of Laplacian eigenvectors added to the input; 0 adds none.
        random_signs: Flip the signs of the encoding in training.
    """

    adjacency: Adjacency | None = None

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 4,
        dropout: float = 0.0,
        readout: Readout | None = None,
        encoding: int = 0,
        random_signs: bool = True,
    ) -> None:
        super().__init__()
        self.encoding, self.readout, self.random_signs = encoding, readout, random_signs
        bare = dims.in_channels == 0 and not dims.node_symbols
        self.encode = (
            None  # the encoding is the input then
            if bare and encoding
            else InputEncoder(dims.in_channels, dims.node_symbols, hidden_channels)
        )
        self.place = nn.Linear(encoding, hidden_channels) if encoding else None
        self.drop = Dropout(dropout)
        self.layers = nn.ModuleList(self.layer(hidden_channels) for _ in range(num_layers))
        self.norms = nn.ModuleList(self.norm(hidden_channels) for _ in range(num_layers))
        self.head = Head(hidden_channels, dims.out_channels)

    def layer(self, channels: int) -> nn.Module:
        """Returns one layer of the network."""
        raise AssertionError("a framed network says what its layer is")

    def norm(self, channels: int) -> nn.Module:
        """Returns what normalises a layer's result."""
        return BatchNorm(channels)

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """The Laplacian encoding, where there is one."""
        return LaplacianPE(self.encoding) if self.encoding else None

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """The layers' matrix, and in training random signs of the encoding."""
        parts: list[Callable[[Any], Any]] = [self.adjacency] if self.adjacency else []
        if self.encoding and self.training and self.random_signs:
            parts.append(SignFlip("pe", per="batch"))
        return Chain(*parts) if parts else None

    def inputs(self, batch: Any) -> Float[Tensor, "nodes channels"]:
        """The encoded node fields plus the encoded places."""
        h = 0.0 if self.encode is None else self.encode(batch.get("x"), batch.num_nodes)
        return h + self.place(batch.pe) if self.place is not None else h  # type: ignore[return-value]

    def answer(self, h: Tensor, batch: Any) -> Float[Tensor, "rows answers"]:
        """The head on node vectors, or on the pooled ones."""
        if self.readout is not None:
            h = pool(h, batch.batch, batch.num_graphs, self.readout)
        return self.head(h)

    def step(self, layer: nn.Module, h: Tensor, batch: Any) -> Tensor:
        """One layer before its normalisation."""
        return layer(h, batch.adj)

    def forward(self, batch: Any) -> Float[Tensor, "rows answers"]:
        h = self.inputs(batch)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = h + self.drop(norm(self.step(layer, h, batch)).relu())
        return self.answer(h, batch)


class FramedMLP(_Framed):
    """The frame around a linear map: no edge is looked at.

    Args:
        dims, hidden_channels, num_layers, dropout, readout, encoding, random_signs: As for
            ``GatedGCN``.

    Reads:
        ``x``, ``batch`` with a readout.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023.
    """

    def layer(self, channels: int) -> nn.Module:
        """A linear map."""
        return nn.Linear(channels, channels)

    def step(self, layer: nn.Module, h: Tensor, batch: Any) -> Tensor:
        """The map of each node's own vector."""
        return layer(h)


class VanillaGCN(_Framed):
    """The frame around a mean over neighbours ("GCN" in papers that quote the 2020 text).

    Args:
        dims, hidden_channels, num_layers, dropout, readout, encoding, random_signs: As for
            ``GatedGCN``.

    Reads:
        ``x``, ``edge_index``, ``edge_weight`` where there is one, ``batch`` with a readout.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023.
    """

    adjacency = Adjacency("mean", self_loops=False)

    def layer(self, channels: int) -> nn.Module:
        """A graph convolution."""
        return SparseGCNConv(channels, channels)


class FramedGCN(VanillaGCN):
    """The frame around a convolution normalised by the root of both degrees.

    Args:
        dims, hidden_channels, num_layers, dropout, readout, encoding, random_signs: As for
            ``GatedGCN``.

    Reads:
        ``x``, ``edge_index``, ``edge_weight`` where there is one, ``batch`` with a readout.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023.
    """

    adjacency = Adjacency("sym", self_loops=False)


class FramedSAGE(_Framed):
    """The frame around GraphSAGE with a mean.

    Args:
        dims, hidden_channels, num_layers, dropout, readout, encoding, random_signs: As for
            ``GatedGCN``.

    Reads:
        ``x``, ``edge_index``, ``edge_weight`` where there is one, ``batch`` with a readout.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023.
    """

    adjacency = Adjacency("mean", self_loops=False)

    def layer(self, channels: int) -> nn.Module:
        """A node joined with the mean of its neighbours."""
        return SparseSAGEConv(channels, channels)


class FramedGIN(_Framed):
    """The frame around a sum over neighbours and a two-layer network.

    Args:
        dims, hidden_channels, num_layers, dropout, readout, encoding, random_signs: As for
            ``GatedGCN``.

    Reads:
        ``x``, ``edge_index``, ``edge_weight`` where there is one, ``batch`` with a readout.

    Source:
        Xu et al., "How Powerful are Graph Neural Networks?", ICLR 2019, in the frame of
        Dwivedi et al., JMLR 2023. Differs: reads out from the last layer alone.
    """

    adjacency = Adjacency("sum", self_loops=False)

    def layer(self, channels: int) -> nn.Module:
        """PyG's convolution, used for its parameters; the sum is a sparse product."""
        inner = nn.Sequential(
            nn.Linear(channels, channels),
            BatchNorm(channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
        )
        return GINConv(inner, train_eps=True)

    def step(self, layer: nn.Module, h: Tensor, batch: Any) -> Tensor:
        """The node weighed by 1 + eps plus the sum of its neighbours, through the network."""
        return layer.nn((1 + layer.eps) * h + batch.adj @ h)  # type: ignore[operator]


class FramedGAT(_Framed):
    """The frame around attention with eight heads; the width must be a multiple of eight.

    Args:
        dims, hidden_channels, num_layers, dropout, readout, encoding, random_signs: As for
            ``GatedGCN``.

    Reads:
        ``x``, ``edge_index``, ``batch`` with a readout.

    Raises:
        SettingError: The heads do not divide the width.

    Source:
        Veličković et al., "Graph Attention Networks", ICLR 2018, in the frame of Dwivedi et al.
    """

    adjacency = Adjacency("sum", unweighted=True)
    width_multiple = 8

    def layer(self, channels: int) -> nn.Module:
        """Attention over the neighbours."""
        if channels % 8 or channels == 0:
            raise SettingError(f"8 heads do not divide a width of {channels}")
        return SparseGATConv(channels, channels // 8, heads=8)


class GatedGCN(_Framed):
    """Edges with a stream of their own gate what flows along them.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of both streams.
        num_layers: Number of layers.
        dropout: Share of features dropped after each layer in training.
        readout: How node vectors make one answer per graph; ``None`` answers per node.
        encoding: Number of Laplacian eigenvectors added to the input; 0 adds none.
        random_signs: Flip the signs of the encoding in training.
        edge_features: Read ``edge_attr``; else every edge starts from the same vector.

    Reads:
        ``x``, ``edge_index``, ``edge_attr``, ``batch`` with a readout.

    Source:
        Bresson and Laurent, "Residual Gated Graph ConvNets", 2017, in the frame of Dwivedi et
        al., "Benchmarking Graph Neural Networks", JMLR 2023.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 4,
        dropout: float = 0.0,
        readout: Readout | None = None,
        encoding: int = 0,
        random_signs: bool = True,
        edge_features: bool = False,
    ) -> None:
        super().__init__(
            dims,
            hidden_channels=hidden_channels,
            num_layers=num_layers,
            dropout=dropout,
            readout=readout,
            encoding=encoding,
            random_signs=random_signs,
        )
        self.edge_features = edge_features
        channels, symbols = (dims.edge_channels, dims.edge_symbols) if edge_features else (0, ())
        self.encode_edges = InputEncoder(channels, symbols, hidden_channels)

    def layer(self, channels: int) -> nn.Module:
        """The gated layer, which normalises by itself."""
        return GatedGCNLayer(channels, self.drop.p)

    def norm(self, channels: int) -> nn.Module:
        """Nothing: the layer does it."""
        return nn.Identity()

    def forward(self, batch: Any) -> Float[Tensor, "rows answers"]:
        h = self.inputs(batch)
        raw = batch.get("edge_attr") if self.edge_features else None
        e = self.encode_edges(raw, batch.edge_index.shape[1])
        for layer in self.layers:
            h, e = layer(h, batch.edge_index, e)
        return self.answer(h, batch)
