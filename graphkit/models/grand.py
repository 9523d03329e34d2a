"""GRAND: drop whole nodes, average over distances, then look at each node by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphkit.models.base import Model
from graphkit.nn import BatchNorm, InputEncoder, InputLinear, dropout
from graphkit.sparse import SparseMatrix
from graphkit.tasks import Dims, NodeBatch
from graphkit.transforms import Adjacency, Undirected

__all__ = ["GRAND"]

_BLOCK = 64  # columns spread at a time: they stay in the cache, which halves the time


class GRAND(Model):
    r"""Spreads features over the graph, in training those of randomly kept nodes, then transforms.

    .. math:: \bar{X} = \frac{1}{K + 1} \sum_{k=0}^{K} \hat{A}^k \tilde{X}, \quad
        \tilde{X}_i = \frac{\epsilon_i}{1 - \delta} X_i, \quad
        \epsilon_i \sim \mathrm{Bernoulli}(1 - \delta)

    A call in training is one random view of the graph; in evaluation no node is dropped, which
    spreads the mean of all views. The paper trains on several views that a consistency loss holds
    together: ``LAGNN(GRAND, branches=0, draws=4)``. By itself the network trains on one.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of the transformation.
        hops: Longest distance averaged over (K), in edges.
        node_dropout: Chance that all features of a node are dropped in training (delta).
        dropout: Share of hidden features dropped in training.
        input_dropout: Share of spread features dropped in training.
        norm: ``"batch"`` normalises spread and hidden features; ``None`` does not.
        undirected: Take every edge in both directions.

    Reads:
        ``x`` (vectors, symbols or none), ``edge_index``, ``edge_weight`` where there is one.

    Source:
        Feng et al., "Graph Random Neural Networks for Semi-Supervised Learning on Graphs",
        NeurIPS 2020, section 3 (unconfirmed); defaults are those for Cora.
        Differs: kept nodes are scaled up in training, as in the text, where the authors' code
        scales all nodes down in evaluation.
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 32,
        hops: int = 8,
        node_dropout: float = 0.5,
        dropout: float = 0.5,
        input_dropout: float = 0.5,
        norm: Literal["batch"] | None = None,
        undirected: bool = True,
    ) -> None:
        super().__init__()
        self.hops, self.node_dropout, self.undirected = hops, node_dropout, undirected
        self.encode = None
        channels = dims.in_channels
        if dims.node_symbols or dims.in_channels == 0:
            self.encode = InputEncoder(dims.in_channels, dims.node_symbols, hidden_channels)
            channels = hidden_channels
        normed = norm == "batch"
        self.norm_input = BatchNorm(channels) if normed else nn.Identity()
        self.hide = InputLinear(channels, hidden_channels, dropout=input_dropout)
        self.norm_hidden = BatchNorm(hidden_channels) if normed else nn.Identity()
        self.classify = InputLinear(hidden_channels, dims.out_channels, dropout=dropout)

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """Edges in both directions, where the network assumes so."""
        return Undirected() if self.undirected else None

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The normalised adjacency."""
        return Adjacency("sym")

    def spread(
        self, x: Float[Tensor, "nodes channels"], adj: SparseMatrix
    ) -> Float[Tensor, "nodes channels"]:
        """Returns the mean over distances, in training of the nodes that are kept."""
        if self.training and self.node_dropout:
            x = dropout(x.new_ones(len(x), 1), self.node_dropout) * x
        blocks = [self._total(block.contiguous(), adj) for block in x.split(_BLOCK, dim=1)]
        return torch.cat(blocks, dim=1) / (self.hops + 1)

    def _total(self, x: Tensor, adj: SparseMatrix) -> Tensor:
        total = x
        for _ in range(self.hops):
            x = adj @ x
            total = total + x
        return total

    def forward(self, batch: NodeBatch) -> Float[Tensor, "nodes answers"]:
        x: Any = batch.get("x")  # type: ignore[attr-defined]
        if self.encode is not None:
            x = self.encode(x, batch.num_nodes)  # type: ignore[attr-defined]
        x = self.spread(x, batch.adj)  # type: ignore[attr-defined]
        h = self.hide(self.norm_input(x)).relu()
        out: Tensor = self.classify(self.norm_hidden(h))
        return out
