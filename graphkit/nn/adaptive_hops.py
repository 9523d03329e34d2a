"""The gated sum over distances of DAGNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import SimpleConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphkit.sparse import SparseMatrix

__all__ = ["AdaptiveHops"]


class AdaptiveHops(nn.Module):
    r"""Mixes a node's 0- to ``hops``-step views by a learned gate.

    .. math:: O = \sum_{l=0}^{K} \sigma(H_l s) \odot H_l, \quad H_l = \hat{A}^l H_0

    The sum is built while stepping, so that inference holds two views at a time and not
    ``hops + 1``. The gate is not normalised over the hops, and is one for all nodes.

    Args:
        channels: Width of the features; unchanged by the layer.
        hops: Longest distance :math:`K` looked at, in edges.
        bias: Give the gate a bias, as the authors' code does; the paper writes none.

    Shape:
        x ``(nodes, channels)``, edge_index ``(2, edges)`` or a normalised ``SparseMatrix`` ->
        ``(nodes, channels)``.

    Source:
        Liu et al., "Towards Deeper Graph Neural Networks", KDD 2020, eq. 8.
    """

    def __init__(self, channels: int, hops: int, bias: bool = True) -> None:
        super().__init__()
        self.hops = hops
        self.step = SimpleConv(aggr="sum")
        self.gate = nn.Linear(channels, 1, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"] | SparseMatrix,
        edge_weight: Float[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "nodes channels"]:
        mixed = torch.zeros_like(x)
        for view in self._views(x, edge_index, edge_weight):
            mixed = mixed + self.gate(view).sigmoid() * view
        return mixed

    def gates(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"] | SparseMatrix,
        edge_weight: Float[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "nodes distances"]:
        """Returns the weight each node gives to each distance: ``(nodes, hops + 1)``."""
        views = torch.stack(list(self._views(x, edge_index, edge_weight)), dim=1)
        return self.gate(views).sigmoid()[:, :, 0]

    def _views(
        self, x: Tensor, edge_index: Tensor | SparseMatrix, edge_weight: Tensor | None
    ) -> Iterator[Tensor]:
        step = self._step(x, edge_index, edge_weight)
        yield x
        for _ in range(self.hops):
            x = step(x)
            yield x

    def _step(
        self, x: Tensor, edge_index: Tensor | SparseMatrix, edge_weight: Tensor | None
    ) -> Callable[[Tensor], Tensor]:
        if isinstance(edge_index, SparseMatrix):
            return lambda view: edge_index @ view
        edges, weight = gcn_norm(edge_index, edge_weight, len(x), dtype=x.dtype)
        return lambda view: self.step(view, edges, weight)
