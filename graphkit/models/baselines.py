"""The networks every paper compares with: PyG's own convolutions behind our call."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from graphkit.models.base import Model
from graphkit.models.mlp import MLP
from graphkit.nn import (
    InputEncoder,
    InputLinear,
    SparseDirSAGEConv,
    SparseGATConv,
    SparseGCNConv,
    SparseSAGEConv,
)
from graphkit.sparse import SparseMatrix
from graphkit.tasks import Dims, NodeBatch
from graphkit.transforms import Adjacency, Chain, PropagatedFeatures, SparseFeatures, Undirected

__all__ = ["APPNP", "GAT", "GCN", "SGC", "DirSAGE", "GraphSAGE", "MeanSAGE"]


class _Stack(Model):
    """Convolutions with ReLU between them; each drops from its own input."""

    def __init__(self, dims: Dims, widths: list[int], undirected: bool) -> None:
        super().__init__()
        self.undirected = undirected
        self.encode = None
        if dims.node_symbols or dims.in_channels == 0:
            self.encode = InputEncoder(dims.in_channels, dims.node_symbols, widths[0])
        self.convs = nn.ModuleList()

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """Edges in both directions, where the network assumes so."""
        return Undirected() if self.undirected else None

    def inputs(self, batch: NodeBatch) -> Tensor | SparseMatrix:
        """The features, sparse where that saves work, encoded where they are symbols or absent."""
        if self.encode is not None:
            return self.encode(batch.get("x"), batch.num_nodes)  # type: ignore[attr-defined]
        sparse = batch.get("sparse_x")  # type: ignore[attr-defined]
        return batch.x if sparse is None else sparse

    def forward(self, batch: NodeBatch) -> Float[Tensor, "nodes answers"]:
        x = self.inputs(batch)
        for number, conv in enumerate(self.convs):
            x = conv(x if number == 0 else x.relu(), batch.adj)  # type: ignore[attr-defined, union-attr]
        return x  # type: ignore[return-value]


def _widths(dims: Dims, hidden_channels: int, num_layers: int) -> list[int]:
    vectors = dims.in_channels > 0 and not dims.node_symbols
    first = dims.in_channels if vectors else hidden_channels
    return [first, *[hidden_channels] * (num_layers - 1), dims.out_channels]


class GCN(_Stack):
    """Averages over neighbours by the root of both degrees, then transforms.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width between the layers.
        num_layers: Number of convolutions, that is of hops.
        dropout: Share of hidden features dropped in training.
        input_dropout: Share of input features dropped in training.
        undirected: Take every edge in both directions.

    Reads:
        ``x``, ``edge_index``, ``edge_weight`` where there is one.

    Source:
        Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks",
        ICLR 2017.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float = 0.5,
        undirected: bool = True,
    ) -> None:
        widths = _widths(dims, hidden_channels, num_layers)
        super().__init__(dims, widths, undirected)
        self.convs.extend(
            SparseGCNConv(low, high, dropout if number else input_dropout)
            for number, (low, high) in enumerate(pairwise(widths))
        )

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The normalised adjacency and the sparse features."""
        return Chain(Adjacency("sym"), SparseFeatures())


class GraphSAGE(_Stack):
    """Joins a node with the mean of its neighbours.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width between the layers.
        num_layers: Number of convolutions, that is of hops.
        dropout: Share of hidden features dropped in training.
        input_dropout: Share of input features dropped in training.
        undirected: Take every edge in both directions.

    Reads:
        ``x``, ``edge_index``.

    Source:
        Hamilton et al., "Inductive Representation Learning on Large Graphs", NeurIPS 2017.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float = 0.0,
        undirected: bool = True,
    ) -> None:
        widths = _widths(dims, hidden_channels, num_layers)
        super().__init__(dims, widths, undirected)
        self.convs.extend(
            SparseSAGEConv(low, high, dropout if number else input_dropout)
            for number, (low, high) in enumerate(pairwise(widths))
        )

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The mean over neighbours and the sparse features."""
        return Chain(Adjacency("mean", self_loops=False), SparseFeatures())


class MeanSAGE(GCN):
    """Transforms the mean of a node and its neighbours; no weights for the node itself.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width between the layers.
        num_layers: Number of convolutions, that is of hops.
        dropout: Share of hidden features dropped in training.
        input_dropout: Share of input features dropped in training.
        undirected: Take every edge in both directions.

    Reads:
        ``x``, ``edge_index``; a node with an edge to itself counts twice.

    Source:
        Hamilton et al., "Inductive Representation Learning on Large Graphs", NeurIPS 2017, the
        inductive variant of GCN (eq. 2); the ``gcn`` aggregator of the teachers in Zhang et al.,
        "Graph-less Neural Networks", ICLR 2022.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float = 0.0,
        undirected: bool = True,
    ) -> None:
        super().__init__(
            dims,
            hidden_channels=hidden_channels,
            num_layers=num_layers,
            dropout=dropout,
            input_dropout=input_dropout,
            undirected=undirected,
        )

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The mean over neighbours and the node itself, and the sparse features."""
        return Chain(Adjacency("mean", self_loops="always"), SparseFeatures())


class DirSAGE(_Stack):
    """GraphSAGE with separate means over the nodes that point here and those pointed to.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width between the layers.
        num_layers: Number of convolutions, that is of hops.
        dropout: Share of hidden features dropped in training.
        input_dropout: Share of input features dropped in training.
        alpha: Weight of outgoing edges; incoming ones weigh ``1 - alpha``.

    Reads:
        ``x``, ``edge_index``.

    Source:
        Rossi et al., "Edge Directionality Improves Learning on Heterophilic Graphs", LoG 2023.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float = 0.0,
        alpha: float = 0.5,
    ) -> None:
        widths = _widths(dims, hidden_channels, num_layers)
        super().__init__(dims, widths, undirected=False)
        self.convs.extend(
            SparseDirSAGEConv(low, high, alpha, dropout if number else input_dropout)
            for number, (low, high) in enumerate(pairwise(widths))
        )

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The mean over each direction and the sparse features."""
        inward = Adjacency("mean", self_loops=False)
        return Chain(inward, Adjacency("mean", self_loops=False, reverse=True), SparseFeatures())

    def forward(self, batch: NodeBatch) -> Float[Tensor, "nodes answers"]:
        x = self.inputs(batch)
        for number, conv in enumerate(self.convs):
            x = conv(x if number == 0 else x.relu(), batch.adj, batch.adj_out)  # type: ignore[attr-defined, union-attr]
        return x  # type: ignore[return-value]


class GAT(_Stack):
    """Weighs neighbours by learned attention.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of each head between the layers.
        heads: Attention heads of all layers but the last.
        out_heads: Attention heads of the last layer, averaged.
        num_layers: Number of convolutions, that is of hops.
        dropout: Share of features, raw and transformed, and of attention weights dropped in
            training.
        undirected: Take every edge in both directions.

    Reads:
        ``x``, ``edge_index``.

    Source:
        Veličković et al., "Graph Attention Networks", ICLR 2018.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 8,
        heads: int = 8,
        out_heads: int = 1,
        num_layers: int = 2,
        dropout: float = 0.6,
        undirected: bool = True,
    ) -> None:
        widths = _widths(dims, hidden_channels * heads, num_layers)
        super().__init__(dims, widths, undirected)
        for number, low in enumerate(widths[:-1]):
            if number < num_layers - 1:
                self.convs.append(SparseGATConv(low, hidden_channels, heads, True, dropout))
            else:
                self.convs.append(SparseGATConv(low, dims.out_channels, out_heads, False, dropout))

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The places of the edges with self-loops, and the sparse features."""
        return Chain(Adjacency("sum", unweighted=True), SparseFeatures())

    def forward(self, batch: NodeBatch) -> Float[Tensor, "nodes answers"]:
        x = self.inputs(batch)
        for number, conv in enumerate(self.convs):
            x = conv(x if number == 0 else nn.functional.elu(x), batch.adj)  # type: ignore[attr-defined, arg-type]
        return x  # type: ignore[return-value]


class APPNP(Model):
    """Transforms every node by itself, then spreads the answers by personalised PageRank.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of the transformation.
        hops: Steps of the power iteration.
        alpha: Chance of going back to the node's own answer at each step.
        dropout: Share of input and of hidden features dropped in training.
        undirected: Take every edge in both directions.

    Reads:
        ``x``, ``edge_index``.

    Source:
        Gasteiger et al., "Predict then Propagate: Graph Neural Networks meet Personalized
        PageRank", ICLR 2019, eq. 5. Differs: no dropout on the adjacency.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        hops: int = 10,
        alpha: float = 0.1,
        dropout: float = 0.5,
        undirected: bool = True,
    ) -> None:
        super().__init__()
        self.hops, self.alpha, self.undirected = hops, alpha, undirected
        self.predict = MLP(
            dims, hidden_channels=hidden_channels, dropout=dropout, input_dropout=dropout
        )

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """Edges in both directions, where the network assumes so."""
        return Undirected() if self.undirected else None

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The normalised adjacency and the sparse features."""
        return Chain(Adjacency("sym"), SparseFeatures())

    def forward(self, batch: NodeBatch) -> Float[Tensor, "nodes answers"]:
        own = self.predict(batch)
        spread = own
        for _ in range(self.hops):
            spread = (1 - self.alpha) * (batch.adj @ spread) + self.alpha * own  # type: ignore[attr-defined]
        return spread


class SGC(Model):
    """A linear map of features that were averaged over ``hops`` steps beforehand.

    Args:
        dims: Sizes of the data set.
        hops: Steps of averaging.
        dropout: Share of input features dropped in training.
        undirected: Take every edge in both directions.

    Reads:
        ``x``, ``edge_index``.

    Source:
        Wu et al., "Simplifying Graph Convolutional Networks", ICML 2019.
    """

    def __init__(
        self, dims: Dims, *, hops: int = 2, dropout: float = 0.0, undirected: bool = True
    ) -> None:
        super().__init__()
        self.hops, self.undirected, self.symbols = hops, undirected, dims.node_symbols
        channels = sum(self.symbols) or max(dims.in_channels, 1)
        self.linear = InputLinear(channels, dims.out_channels, dropout=dropout)

    @property
    def pre_transform(self) -> Callable[[Any], Any]:
        """The averaged features in place of the raw ones."""
        average = PropagatedFeatures(self.hops, self.symbols)
        return Chain(Undirected(), average) if self.undirected else average

    def forward(self, batch: NodeBatch) -> Float[Tensor, "nodes answers"]:
        return self.linear(batch.x)
