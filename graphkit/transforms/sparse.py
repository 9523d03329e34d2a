"""Sparse operators added to a batch: the normalised adjacency, and the features without zeros."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import add_remaining_self_loops, add_self_loops, to_undirected

from graphkit.sparse import SparseMatrix

__all__ = ["Adjacency", "PropagatedFeatures", "SparseFeatures", "Undirected", "degree_weights"]

Norm = Literal["sym", "mean", "sum"]


class Adjacency(BaseTransform):
    """Adds ``adj``: the matrix whose product with node rows is one step along the edges.

    Args:
        norm: ``sym`` divides by the root of both degrees, ``mean`` by the degree of the
            destination, ``sum`` by nothing.
        self_loops: Add the edge from each node to itself where it is missing; ``"always"`` adds
            one more where there is one, so that the node counts twice.
        reverse: Step against the edges, and name the field ``adj_out``.
        unweighted: Leave out the edge weights: for attention, which makes its own.
    """

    fixed = True

    def __init__(
        self,
        norm: Norm = "sym",
        *,
        self_loops: bool | Literal["always"] = True,
        reverse: bool = False,
        unweighted: bool = False,
    ) -> None:
        self.norm = norm
        self.self_loops = self_loops
        self.reverse = reverse
        self.unweighted = unweighted

    def forward(self, data: Data) -> Data:
        """Returns the batch with the field added; edge weights count where the batch has them."""
        nodes = int(data.num_nodes or 0)
        edge_index = data.edge_index
        weight = None if self.unweighted else data.get("edge_weight")
        if weight is not None:
            weight = weight.float()  # whole numbers and doubles are weights as well
        if self.reverse:
            edge_index = edge_index.flip(0)
        if self.self_loops == "always":
            edge_index, weight = add_self_loops(edge_index, weight, 1.0, nodes)
        elif self.self_loops:
            edge_index, weight = add_remaining_self_loops(edge_index, weight, 1.0, nodes)
        weight = degree_weights(edge_index, weight, nodes, self.norm)
        name = "adj_out" if self.reverse else "adj"
        data[name] = SparseMatrix.from_edges(edge_index, weight, (nodes, nodes))
        return data

    def __repr__(self) -> str:
        return (
            f"Adjacency({self.norm!r}, self_loops={self.self_loops!r}, reverse={self.reverse}, "
            f"unweighted={self.unweighted})"
        )


class SparseFeatures(BaseTransform):
    """Adds ``sparse_x``, the features without their zeros, where that saves work.

    Args:
        density: Share of entries that are not zero up to which it is done.
    """

    fixed = True

    def __init__(self, density: float = 0.2) -> None:
        self.density = density

    def forward(self, data: Data) -> Data:
        """Returns the batch, with the field added if the features are sparse enough."""
        x = data.get("x")
        if data.get("n_id") is not None:
            return data  # a sampled batch is used once: looking for zeros costs more than it saves
        if x is not None and x.is_floating_point() and x.dim() == 2 and x.numel():
            share = int(torch.count_nonzero(x)) / x.numel()
            if share <= self.density:
                data.sparse_x = SparseMatrix.from_dense(x)
        return data

    def __repr__(self) -> str:
        return f"SparseFeatures({self.density})"


class PropagatedFeatures(BaseTransform):
    """Replaces ``x`` by its average over a number of steps; features absent count as 1.

    Symbols are made vectors first: a column for each symbol, 1 where it stands.

    Args:
        hops: Steps, each a product with the symmetrically normalised adjacency with self-loops.
        symbols: Number of symbols in each column of ``x``; empty for vectors.
    """

    fixed = True

    def __init__(self, hops: int, symbols: tuple[int, ...] = ()) -> None:
        self.hops = hops
        self.symbols = symbols

    def forward(self, data: Data) -> Data:
        """Returns the graph with its features averaged."""
        if data.get("x") is None:
            x = torch.ones(int(data.num_nodes or 0), 1)
        elif self.symbols:
            columns = data.x.reshape(-1, len(self.symbols)).unbind(dim=1)
            pairs = zip(columns, self.symbols, strict=True)
            x = torch.cat([one_hot(column, count) for column, count in pairs], dim=1).float()
        else:
            x = data.x.float()
        adj = Adjacency("sym")(Data(edge_index=data.edge_index, num_nodes=data.num_nodes)).adj
        for _ in range(self.hops):
            x = adj @ x
        data.x = x
        return data

    def __repr__(self) -> str:
        return f"PropagatedFeatures({self.hops}{f', {self.symbols}' if self.symbols else ''})"


class Undirected(BaseTransform):
    """Takes every edge in both directions; edge fields follow, duplicates are merged by mean."""

    fixed = True

    def forward(self, data: Data) -> Data:
        """Returns the graph with symmetric edges."""
        names = [n for n in ("edge_attr", "edge_weight") if data.get(n) is not None]
        if names:
            edge_index, fields = to_undirected(
                data.edge_index, [data[n] for n in names], data.num_nodes, reduce="mean"
            )
            for name, value in zip(names, fields, strict=True):
                data[name] = value
        else:
            edge_index = to_undirected(data.edge_index, num_nodes=data.num_nodes)
        data.edge_index = edge_index.flip(0)  # PyG sorts by source, we by destination
        return data


def degree_weights(edge_index: Tensor, weight: Tensor | None, nodes: int, norm: Norm) -> Tensor:
    """Returns the weight of each edge after normalisation; a node without edges divides by 1.

    Args:
        edge_index: ``(2, edges)``, source above destination.
        weight: One number per edge, 1 if not given.
        nodes: Number of nodes.
        norm: As for ``Adjacency``.
    """
    source, destination = edge_index
    if weight is None:
        weight = torch.ones(edge_index.shape[1], device=edge_index.device)
    if norm == "sum":
        return weight
    degree = weight.new_zeros(nodes).index_add_(0, destination, weight)
    if norm == "mean":
        return weight / degree.masked_fill(degree == 0, 1.0)[destination]
    root = degree.rsqrt().masked_fill(degree <= 0, 0.0)  # weights may be negative
    return root[source] * weight * root[destination]
