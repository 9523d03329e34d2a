"""GCNII: a deep graph convolution that keeps the first features and little of each map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn import GCN2Conv

from graphkit.models.base import Model
from graphkit.nn import InputEncoder, InputLinear, dropout
from graphkit.sparse import SparseMatrix
from graphkit.tasks import Dims, NodeBatch
from graphkit.transforms import Adjacency, Chain, SparseFeatures, Undirected

__all__ = ["GCNII", "SparseGCN2Conv"]


class SparseGCN2Conv(GCN2Conv):
    r"""PyG's ``GCN2Conv`` over a matrix that is normalised already.

    .. math:: H' = ((1 - \alpha) \hat{A} H + \alpha H_0) ((1 - \beta_l) I + \beta_l W), \quad
        \beta_l = \log(\theta / l + 1)

    Args:
        channels: Width of the features; unchanged by the layer.
        alpha: Share of the first features in the result.
        theta: Strength of the learned map.
        layer: Number of the layer, from 1: deeper ones learn less.

    Shape:
        x ``(nodes, channels)``, x_0 of the same, adj ``(nodes, nodes)`` -> ``(nodes, channels)``.

    Source:
        Chen et al., "Simple and Deep Graph Convolutional Networks", ICML 2020, eq. 5 (its number
        unconfirmed).
    """

    def __init__(self, channels: int, alpha: float, theta: float, layer: int) -> None:
        super().__init__(channels, alpha, theta, layer, normalize=False)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        x_0: Float[Tensor, "nodes channels"],
        adj: SparseMatrix,
    ) -> Float[Tensor, "nodes channels"]:
        h = torch.lerp(adj @ x, x_0, self.alpha)
        return torch.addmm(h, h, self.weight1, beta=1 - self.beta, alpha=self.beta)


class _Stem(InputLinear):
    """A linear map where other stacks have their first convolution; it looks at no edge."""

    @property
    def out_channels(self) -> int:
        """Width of the result."""
        return self.out_features

    def forward(
        self, x: Tensor | SparseMatrix, adj: SparseMatrix | None = None
    ) -> Float[Tensor, "nodes channels"]:
        return super().forward(x)


class GCNII(Model):
    """Goes many edges far: each step mixes the first features in and learns a small change.

    ``convs`` holds the map of the features, the layers and the map to the answers, so that local
    augmentation can put a map for each row of features where the first stands.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of all layers.
        num_layers: Number of convolutions, that is of hops; the two linear maps do not count.
        alpha: Share of the first features in each layer.
        theta: Strength of the learned maps (the paper's lambda); that of layer l is
            log(theta / l + 1).
        dropout: Share of input and of hidden features dropped in training.
        undirected: Take every edge in both directions.

    Reads:
        ``x`` (vectors, symbols or none), ``edge_index``, ``edge_weight`` where there is one.

    Source:
        Chen et al., "Simple and Deep Graph Convolutional Networks", ICML 2020; defaults are
        those for Cora (unconfirmed). Differs: PyG's Glorot weights, where the authors' code draws
        uniformly within 1/sqrt(width). The authors decay convolutions and linear maps by two
        numbers (Cora: 0.01 and 5e-4); ``TrainConfig`` has one, for all or some parameters.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 64,
        alpha: float = 0.1,
        theta: float = 0.5,
        dropout: float = 0.6,
        undirected: bool = True,
    ) -> None:
        super().__init__()
        self.dropout, self.undirected = dropout, undirected
        self.encode = None
        channels = dims.in_channels
        if dims.node_symbols or dims.in_channels == 0:
            self.encode = InputEncoder(dims.in_channels, dims.node_symbols, hidden_channels)
            channels = hidden_channels
        self.convs = nn.ModuleList([_Stem(channels, hidden_channels, dropout=dropout)])
        for number in range(1, num_layers + 1):
            self.convs.append(SparseGCN2Conv(hidden_channels, alpha, theta, number))
        self.convs.append(InputLinear(hidden_channels, dims.out_channels, dropout=dropout))

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """Edges in both directions, where the network assumes so."""
        return Undirected() if self.undirected else None

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The normalised adjacency and the sparse features."""
        return Chain(Adjacency("sym"), SparseFeatures())

    def forward(self, batch: NodeBatch) -> Float[Tensor, "nodes answers"]:
        adj: SparseMatrix = batch.adj  # type: ignore[attr-defined]
        x: Any = batch.get("sparse_x")  # type: ignore[attr-defined]
        if self.encode is not None:
            x = self.encode(batch.get("x"), batch.num_nodes)  # type: ignore[attr-defined]
        elif x is None:
            x = batch.x
        stem, *layers, classify = self.convs
        first = h = stem(x, adj).relu()
        for layer in layers:
            h = layer(dropout(h, self.dropout, self.training), first, adj).relu()
        out: Tensor = classify(h)
        return out
