"""PyG's convolutions, with the same parameters and numbers, over a ready sparse matrix.

Each is PyG's own class; a ``SparseMatrix`` in place of ``edge_index`` takes the fast product.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn import DirGNNConv, GATConv, GCNConv, SAGEConv

from graphkit.nn.dropout import Dropout, dropout
from graphkit.sparse import SparseMatrix

__all__ = [
    "InputLinear",
    "SparseDirSAGEConv",
    "SparseGATConv",
    "SparseGCNConv",
    "SparseSAGEConv",
    "edge_softmax",
]


class InputLinear(nn.Linear):
    """A linear map with dropout on its input, dense or sparse.

    Args:
        in_channels: Width of the input.
        out_channels: Width of the result.
        dropout: Share of input entries dropped in training.
        bias: Add a learned bias.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, dropout: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, bias=bias)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor | SparseMatrix) -> Float[Tensor, "nodes channels"]:
        if isinstance(x, SparseMatrix):
            out = x.dropout(self.drop.p, training=self.training) @ self.weight.t()
            return out if self.bias is None else out + self.bias
        return super().forward(self.drop(x))


def _dropped_product(x: Tensor | SparseMatrix, lin: nn.Module, p: float, training: bool) -> Tensor:
    """``lin`` of ``x`` after dropout of its entries."""
    if isinstance(x, SparseMatrix):
        return x.dropout(p, training=training) @ lin.weight.t()  # type: ignore[operator]
    return lin(dropout(x, p, training))


class SparseGCNConv(GCNConv):
    """PyG's ``GCNConv`` over a matrix that is normalised already, with dropout on its input.

    Args:
        in_channels: Width of the input.
        out_channels: Width of the result.
        dropout: Share of input entries dropped in training.

    Source:
        Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks",
        ICLR 2017, eq. 2.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__(in_channels, out_channels, normalize=False)
        self.dropout = dropout

    def forward(
        self, x: Tensor | SparseMatrix, adj: SparseMatrix
    ) -> Float[Tensor, "nodes channels"]:
        out = adj @ _dropped_product(x, self.lin, self.dropout, self.training)
        return out if self.bias is None else out + self.bias


class SparseSAGEConv(SAGEConv):
    """PyG's ``SAGEConv`` (mean) over a matrix that is normalised already, dropout on its input.

    The neighbours' map is applied before the mean, which commutes with it, where that makes the
    product narrower.

    Args:
        in_channels: Width of the input.
        out_channels: Width of the result.
        dropout: Share of input entries dropped in training.

    Source:
        Hamilton et al., "Inductive Representation Learning on Large Graphs", NeurIPS 2017.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__(in_channels, out_channels)
        self.dropout = dropout

    def forward(
        self, x: Tensor | SparseMatrix, adj: SparseMatrix
    ) -> Float[Tensor, "nodes channels"]:
        if isinstance(x, SparseMatrix):
            x = x.dropout(self.dropout, training=self.training)
            weight = self.lin_l.weight
            near = adj @ (x @ weight.t())
            if self.lin_l.bias is not None:
                near = near + self.lin_l.bias
            return near + x @ self.lin_r.weight.t()
        x = dropout(x, self.dropout, self.training)
        if self.lin_l.weight.shape[0] < self.lin_l.weight.shape[1]:
            near = adj @ (x @ self.lin_l.weight.t())
            return near + self.lin_l.bias + self.lin_r(x)
        return self.lin_l(adj @ x) + self.lin_r(x)


class SparseDirSAGEConv(DirGNNConv):
    """PyG's ``DirGNNConv`` around ``SAGEConv``, over one matrix per direction.

    Args:
        in_channels: Width of the input.
        out_channels: Width of the result.
        alpha: Weight of the outgoing edges; incoming ones weigh ``1 - alpha``.
        dropout: Share of input entries dropped in training.

    Source:
        Rossi et al., "Edge Directionality Improves Learning on Heterophilic Graphs", LoG 2023.
    """

    def __init__(
        self, in_channels: int, out_channels: int, alpha: float = 0.5, dropout: float = 0.0
    ) -> None:
        super().__init__(SAGEConv(in_channels, out_channels, root_weight=False), alpha)
        self.dropout = dropout

    def forward(
        self, x: Tensor | SparseMatrix, adj_in: SparseMatrix, adj_out: SparseMatrix
    ) -> Float[Tensor, "nodes channels"]:
        if isinstance(x, SparseMatrix):
            x = x.dropout(self.dropout, training=self.training)
        else:
            x = dropout(x, self.dropout, self.training)
        near_in, near_out = self.conv_in.lin_l, self.conv_out.lin_l
        out = self.alpha * (adj_out @ (x @ near_out.weight.t()) + near_out.bias)
        out = out + (1 - self.alpha) * (adj_in @ (x @ near_in.weight.t()) + near_in.bias)
        return out + x @ self.lin.weight.t() + self.lin.bias


class SparseGATConv(GATConv):
    """PyG's ``GATConv`` over the places of a sparse matrix, self-loops included by its maker.

    Args:
        in_channels: Width of the input.
        out_channels: Width of each head.
        heads: Number of heads.
        concat: Join the heads; else average them.
        dropout: Share of input entries, of attention weights and of the transformed features
            that they weigh, dropped in training.

    Source:
        Veličković et al., "Graph Attention Networks", ICLR 2018, eq. 3 to 6.
        Differs: from PyG's layer, which does not drop transformed features, as the authors'
        code does.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            in_channels, out_channels, heads, concat, dropout=dropout, add_self_loops=False
        )

    def forward(
        self, x: Tensor | SparseMatrix, adj: SparseMatrix
    ) -> Float[Tensor, "nodes channels"]:
        h = _dropped_product(x, self.lin, self.dropout, self.training)
        h = h.view(-1, self.heads, self.out_channels)
        to_source, to_destination = (h * self.att_src).sum(-1), (h * self.att_dst).sum(-1)
        source, destination = adj.columns, adj.rows
        score = to_source.index_select(0, source) + to_destination.index_select(0, destination)
        alpha = edge_softmax(nn.functional.leaky_relu(score, self.negative_slope), adj)
        alpha = dropout(alpha, self.dropout, self.training)
        h = dropout(h, self.dropout, self.training)
        out: Tensor = _WeightedSum.apply(alpha, h, adj)
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        return out if self.bias is None else out + self.bias


def edge_softmax(
    score: Float[Tensor, "edges heads"], adj: SparseMatrix
) -> Float[Tensor, "edges heads"]:
    """Returns the softmax over the edges into each node; entries in the order of ``adj``."""
    rows = adj.rows[:, None].expand_as(score)
    empty = score.new_full((len(adj), score.shape[1]), float("-inf"))
    top = empty.scatter_reduce(0, rows, score.detach(), "amax")
    weight = (score - top.gather(0, rows)).exp()
    total = torch.zeros_like(empty).index_add(0, adj.rows, weight)
    return weight / total.index_select(0, adj.rows)


class _WeightedSum(torch.autograd.Function):
    """Sums source rows over the edges into each node, weighed per edge and head: a sparse product
    per head, so that no (edges, heads, channels) message is kept."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, h: Tensor, adj: SparseMatrix) -> Tensor:
        ctx.save_for_backward(alpha, h)
        ctx.adj = adj
        return torch.stack(
            [
                adj.with_values(alpha[:, head].contiguous()).forward_csr @ h[:, head].contiguous()
                for head in range(h.shape[1])
            ],
            dim=1,
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        [gradient] = gradients
        alpha, h = ctx.saved_tensors
        adj = ctx.adj
        to_alpha = (gradient.index_select(0, adj.rows) * h.index_select(0, adj.columns)).sum(-1)
        to_h = torch.stack(
            [
                adj.with_values(alpha[:, head].contiguous()).backward_csr
                @ gradient[:, head].contiguous()
                for head in range(h.shape[1])
            ],
            dim=1,
        )
        return to_alpha, to_h, None
