"""Hypergraphs: made from graphs and features, mended, cut, and turned into sparse operators.

A hypergraph is PyG's ``Data`` with ``hyperedge_index``, ``(2, memberships)``: row 0 the vertex, row
1 the hyperedge. Every other field called ``hyperedge_…`` has a row per hyperedge and follows along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.transforms import BaseTransform

from graphkit.errors import DataError, SettingError
from graphkit.sparse import SparseMatrix

__all__ = [
    "CliqueExpansion",
    "Incidence",
    "Members",
    "NearestNeighborHyperedges",
    "NeighborhoodHyperedges",
    "SingletonHyperedges",
    "UniqueHyperedges",
    "check_hyperedges",
    "induce",
    "members",
    "num_hyperedges",
]

MAX_PAIRS = 2**28  # of a clique expansion: 4 GiB while it is made
BLOCK = 2**24  # distances held at a time
_KEYS = 0x5EED  # seed of the vertices' hash keys; any number does


class Members(NamedTuple):
    """The memberships of a hypergraph, looked at.

    Args:
        pairs: ``(2, memberships)``, int64: vertex and hyperedge.
        num_nodes: Number of vertices.
        num_hyperedges: Number of hyperedges, empty ones included.
    """

    pairs: Tensor
    num_nodes: int
    num_hyperedges: int


def hyperedge_fields(data: Any) -> list[str]:
    """Returns the names of the fields with a row per hyperedge."""
    return [
        key
        for key, value in data.to_dict().items()
        if key.startswith("hyperedge_")
        and key != "hyperedge_index"
        and isinstance(value, Tensor)
        and value.dim() > 0
    ]


def num_hyperedges(data: Any) -> int:
    """Returns the number of hyperedges: the rows of their fields, else the largest id and 1.

    Raises:
        DataError: A field has fewer rows, or two differ.
    """
    index = data.get("hyperedge_index")
    named = int(index[1].max()) + 1 if index is not None and index.numel() else 0
    rows = {key: len(data[key]) for key in hyperedge_fields(data)}
    for key, count in rows.items():
        if count < named or count != max(rows.values()):
            raise DataError(
                f"{key} has {count} rows; expected one for each of "
                f"{max(named, *rows.values())} hyperedges"
            )
    return max([named, *rows.values()])


def check_hyperedges(hyperedge_index: Tensor, num_nodes: int) -> None:
    """Refuses memberships of the wrong shape or type, or of a vertex that is not there.

    Raises:
        DataError: With the position and the value of the first wrong entry.
    """
    shape = tuple(hyperedge_index.shape)
    if len(shape) != 2 or shape[0] != 2:
        advice = " It looks transposed: pass it .t()." if len(shape) == 2 and shape[1] == 2 else ""
        raise DataError(f"hyperedge_index has shape {shape}; expected (2, memberships).{advice}")
    if hyperedge_index.dtype not in (torch.int64, torch.int32):
        raise DataError(f"hyperedge_index is {hyperedge_index.dtype}; expected torch.int64")
    if not hyperedge_index.numel():
        return
    wrong = hyperedge_index < 0
    wrong[0] |= hyperedge_index[0] >= num_nodes
    if bool(wrong.any()):
        row, at = (int(v) for v in wrong.nonzero()[0])
        limit = f"for {num_nodes} vertices" if row == 0 else "for a hyperedge"
        raise DataError(
            f"hyperedge_index[{row}, {at}] = {int(hyperedge_index[row, at])} is out of range "
            f"{limit}; row 0 names vertices from 0 on, row 1 hyperedges"
        )
    highest = int(hyperedge_index[1].max())
    if highest >= 1024 and highest + 1 > 4 * len(hyperedge_index[1].unique()) + 1024:
        raise DataError(
            f"the hyperedges' ids have gaps (up to {highest}): number them from 0 first, "
            "e.g. torch.unique(hyperedge_index[1], return_inverse=True)[1]"
        )


def members(data: Any) -> Members:
    """Returns the memberships of a hypergraph, checked, with its two sizes.

    Raises:
        DataError: The data are no hypergraph, or a membership cannot be.
    """
    index = data.get("hyperedge_index")
    if index is None:
        held = "edge_index but no hyperedge_index" if "edge_index" in data else "no hyperedge_index"
        raise DataError(
            f"the data hold {held}: this reads hypergraphs. Make one of a graph by "
            "NeighborhoodHyperedges() or of features by NearestNeighborHyperedges(k) "
            "(graphkit.transforms.hypergraph), e.g. HGNN(dims, hyperedges=NeighborhoodHyperedges())"
        )
    nodes = int(data.num_nodes or 0)
    check_hyperedges(index, nodes)
    return Members(index.long(), nodes, num_hyperedges(data))


def induce(hyperedge_index: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the part of a hypergraph on some vertices, and the hyperedges that are left.

    Every hyperedge is cut down to the vertices; one without any left vanishes, the others are
    numbered anew in their old order.

    Args:
        hyperedge_index: ``(2, memberships)``.
        vertices: Vertices that stay, each once, in the order they are to have.

    Shape:
        ``(2, memberships left)``, and the old number of each hyperedge left.
    """
    node, hyperedge = hyperedge_index
    count = max(int(v.max()) + 1 if v.numel() else 0 for v in (node, vertices))
    place = torch.full((count,), -1, dtype=torch.long, device=node.device)
    place[vertices] = torch.arange(len(vertices), device=node.device)
    node = place[node]
    kept, hyperedge = hyperedge[node >= 0].unique(return_inverse=True)
    return torch.stack([node[node >= 0], hyperedge.long()]), kept


@dataclass(frozen=True)
class SingletonHyperedges(BaseTransform):
    """Gives every vertex that is in no hyperedge one of its own, of weight 1.

    Without it a hypergraph network answers such vertices with its bias alone. Other fields of the
    new hyperedges are 0.

    Source:
        Feng et al., "LightHGNN", ICLR 2024, data preparation.
    """

    fixed = True

    def forward(self, data: Any) -> Any:
        """Returns the hypergraph with the hyperedges added at the end."""
        index, nodes, _ = members(data)
        alone = (torch.bincount(index[0], minlength=nodes) == 0).nonzero().flatten()
        own = torch.arange(len(alone), device=alone.device)
        return _with_more(data, torch.stack([alone, own]), len(alone))


@dataclass(frozen=True)
class UniqueHyperedges(BaseTransform):
    """Merges hyperedges of the same vertices, and memberships that are there twice.

    The first of equals stays in its place. Its weight and other fields of real numbers become the
    mean over the equals, so weights of 1 stay 1; fields of whole numbers are those of the first.
    Empty hyperedges vanish. Hyperedges are told apart by a hash of 128 bits and their size.

    Source:
        Feng et al., "LightHGNN", ICLR 2024, data preparation (as the library behind it does).
    """

    fixed = True

    def forward(self, data: Any) -> Any:
        """Returns the hypergraph with every hyperedge once, memberships sorted by hyperedge."""
        index, nodes, count = members(data)
        place = (index[1] * max(nodes, 1) + index[0]).unique()
        node, hyperedge = place % max(nodes, 1), place // max(nodes, 1)
        size = torch.bincount(hyperedge, minlength=count)
        draw = torch.Generator().manual_seed(_KEYS)
        keys = torch.randint(-(2**63), 2**63 - 1, (nodes, 2), generator=draw).to(node.device)
        mark = size.new_zeros(count, 2).index_add_(0, hyperedge, keys[node])  # may wrap around
        present = size.nonzero().flatten()
        marks = torch.cat([mark, size[:, None]], dim=1)[present]
        groups, group = marks.unique(dim=0, return_inverse=True)
        first = present.new_full((len(groups),), count).scatter_reduce(0, group, present, "amin")
        stays = torch.zeros(count, dtype=torch.bool, device=node.device)
        stays[first] = True
        number = stays.cumsum(0) - 1
        chosen = stays[hyperedge]
        for key in hyperedge_fields(data):
            value = data[key]
            if value.is_floating_point():
                target = number[first][group]
                total = value.new_zeros(len(first), *value.shape[1:])
                total.index_add_(0, target, value[present])
                equals = torch.bincount(target, minlength=len(first)).to(value)
                data[key] = total / equals.reshape(-1, *[1] * (value.dim() - 1))
            else:
                data[key] = value[stays]
        data.hyperedge_index = torch.stack([node[chosen], number[hyperedge[chosen]]])
        return data


@dataclass(frozen=True)
class NeighborhoodHyperedges(BaseTransform):
    """Makes a hyperedge of each node and its neighbours, and one of each edge.

    On a graph, hyperedge ``v`` is node ``v``'s neighbourhood, the node included; edges follow.
    Edges count in both directions. Hyperedges that the data have stay, in front.

    Args:
        hops: Longest distance to a neighbour, in edges.
        pairs: Add a hyperedge of two for each edge between two nodes.

    Raises:
        SettingError: ``hops`` is below 1.
        DataError: The data have no edges to make them of.

    Source:
        Feng et al., "LightHGNN", ICLR 2024, graphs taken as hypergraphs.
    """

    hops: int = 1
    pairs: bool = True
    fixed = True

    def __post_init__(self) -> None:
        if self.hops < 1:
            raise SettingError(f"hops={self.hops}; expected at least 1")

    def forward(self, data: Any) -> Any:
        """Returns the graph with hyperedges."""
        import scipy.sparse as sp  # loaded where it is used

        if data.get("edge_index") is None:
            raise DataError("NeighborhoodHyperedges reads edge_index, which the data do not hold")
        nodes = int(data.num_nodes or 0)
        source, destination = data.edge_index.cpu().numpy()
        ones = np.ones(len(source), dtype=bool)
        linked = sp.csr_matrix((ones, (source, destination)), shape=(nodes, nodes), dtype=bool)
        linked = linked + linked.T + sp.identity(nodes, dtype=bool, format="csr")
        reached = linked
        for _ in range(self.hops - 1):
            reached = reached @ linked  # of booleans: whether there is a way, not how many
        centre, node = reached.nonzero()
        index, count = np.stack([node, centre]), nodes
        if self.pairs:
            ends = np.stack(sp.triu(linked, k=1).nonzero())
            own = np.arange(ends.shape[1]) + nodes
            index = np.concatenate([index, np.stack([ends.T.reshape(-1), own.repeat(2)])], axis=1)
            count += ends.shape[1]
        added = torch.from_numpy(index.astype(np.int64)).to(data.edge_index.device)
        return _with_more(data, added, count)


@dataclass(frozen=True)
class NearestNeighborHyperedges(BaseTransform):
    """Makes a hyperedge of each node and the nodes of the most similar features.

    Hyperedge ``v`` is node ``v`` with its ``k`` nearest others, by Euclidean distance of ``x``; of
    equally near ones any may be taken. Hyperedges that the data have stay, in front. Distances are
    held for a block of nodes at a time: 64 MiB.

    Args:
        k: Number of other nodes in each hyperedge; fewer where there are not as many.

    Raises:
        SettingError: ``k`` is below 1.
        DataError: The nodes have no vectors.

    Source:
        Gao et al., "HGNN+: General Hypergraph Neural Networks", TPAMI 2022, hyperedges of
        features. Differs: there ``k`` counts the node itself.
    """

    k: int = 5
    fixed = True

    def __post_init__(self) -> None:
        if self.k < 1:
            raise SettingError(f"k={self.k}; expected at least 1 neighbour")

    def forward(self, data: Any) -> Any:
        """Returns the data with hyperedges."""
        x = data.get("x")
        if x is None or x.dim() != 2 or not x.is_floating_point():
            raise DataError(
                "NearestNeighborHyperedges reads vectors x, (nodes, channels) of real numbers, "
                "which the data do not hold"
            )
        nodes = len(x)
        others = min(self.k, nodes - 1)
        everyone = torch.arange(nodes, device=x.device)
        if others < 1:
            return _with_more(data, torch.stack([everyone, everyone]), nodes)
        norm, near = x.square().sum(dim=1), []
        for block in everyone.split(max(BLOCK // nodes, 1)):
            distance = norm - 2 * x[block] @ x.t()  # the block's own norm changes no order
            distance[torch.arange(len(block), device=x.device), block] = float("-inf")
            near.append(distance.topk(others + 1, largest=False, sorted=False).indices)
        centre = everyone.repeat_interleave(others + 1)
        return _with_more(data, torch.stack([torch.cat(near).flatten(), centre]), nodes)


@dataclass(frozen=True)
class CliqueExpansion(BaseTransform):
    """Replaces the edges by one between any two vertices that share a hyperedge, both ways.

    For networks that read pairs. A hyperedge of s vertices gives up to s (s - 1) edges, so this is
    refused where it would be large.

    Raises:
        DataError: There would be more than 2^28 edges, shared ones counted again.

    Source:
        Zhou et al., "Learning with Hypergraphs", NeurIPS 2006.
    """

    fixed = True

    def forward(self, data: Any) -> Any:
        """Returns the hypergraph with ``edge_index``, sorted by destination."""
        import scipy.sparse as sp  # loaded where it is used

        index, nodes, count = members(data)
        size = torch.bincount(index[1], minlength=count)
        pairs = int(size.square().sum())
        if pairs > MAX_PAIRS:
            raise DataError(
                f"a clique expansion of these hyperedges makes up to {pairs} edges (the largest "
                f"has {int(size.max())} vertices); at most {MAX_PAIRS} are made. A hypergraph "
                "network such as HGNN needs none."
            )
        node, hyperedge = index.cpu().numpy()
        ones = np.ones(len(node), dtype=bool)
        incidence = sp.csr_matrix((ones, (node, hyperedge)), shape=(nodes, count), dtype=bool)
        shared = (incidence @ incidence.T).tocoo()
        apart = shared.row != shared.col
        edges = np.stack([shared.col[apart], shared.row[apart]]).astype(np.int64)
        edges = edges[:, np.lexsort((edges[0], edges[1]))]
        for key in [key for key in data.keys() if key.startswith("edge_")]:  # noqa: SIM118
            del data[key]
        data.edge_index = torch.from_numpy(edges).to(index.device)
        return data


@dataclass(frozen=True)
class Incidence(BaseTransform):
    r"""Adds ``to_hyperedges`` and ``to_nodes``: two matrices whose products in turn are one step.

    With incidence H, hyperedge weights W, sizes :math:`D_e` and the weighted number of hyperedges
    of each vertex :math:`D_v`:

    .. math:: \text{sym:}\quad D_v^{-1/2} H W \cdot D_e^{-1} H^T D_v^{-1/2} \qquad
        \text{mean:}\quad D_v^{-1} H W \cdot D_e^{-1} H^T

    An empty hyperedge is 0, and a vertex in none gets 0. The product of the two, which is as
    dense as the largest hyperedge squared, is never made.

    Args:
        norm: ``sym`` (HGNN) or ``mean`` (HGNN+: a mean to the hyperedges and a mean back).

    Raises:
        SettingError: There is no such norm.
        DataError: The data are no hypergraph, or a weight is negative or no number.

    Source:
        Feng et al., "Hypergraph Neural Networks", AAAI 2019, eq. 10; Gao et al., "HGNN+: General
        Hypergraph Neural Networks", TPAMI 2022.
    """

    norm: Literal["sym", "mean"] = "sym"
    fixed = True

    def __post_init__(self) -> None:
        if self.norm not in ("sym", "mean"):
            raise SettingError(f"norm={self.norm!r}; expected 'sym' or 'mean'")

    def forward(self, data: Any) -> Any:
        """Returns the batch with the two matrices."""
        index, nodes, count = members(data)
        node, hyperedge = index
        weight = data.get("hyperedge_weight")
        weight = torch.ones(count, device=index.device) if weight is None else weight.float()
        wrong = (~torch.isfinite(weight) | (weight < 0)).nonzero()
        if len(wrong):
            at = int(wrong[0, 0])
            raise DataError(
                f"hyperedge_weight[{at}] = {weight[at].tolist()}; expected a finite number, "
                "0 or above"
            )
        weight = weight.reshape(count)
        size = torch.bincount(hyperedge, minlength=count).to(weight)
        degree = weight.new_zeros(nodes).index_add_(0, node, weight[hyperedge])
        share = 1 / size[hyperedge]
        if self.norm == "sym":
            root = degree.rsqrt().masked_fill(degree == 0, 0.0)
            there, back = share * root[node], weight[hyperedge] * root[node]
        else:
            there, back = share, weight[hyperedge] / degree.masked_fill(degree == 0, 1.0)[node]
        data.to_hyperedges = SparseMatrix.from_edges(index, there, (count, nodes))
        data.to_nodes = SparseMatrix.from_edges(index.flip(0), back, (nodes, count))
        return data


def _with_more(data: Any, added: Tensor, count: int) -> Any:
    """The data with ``count`` hyperedges more, numbered from 0 in ``added``."""
    before = members(data) if data.get("hyperedge_index") is not None else None
    start = 0 if before is None else before.num_hyperedges
    for key in hyperedge_fields(data):
        value = data[key]
        fill = value.new_full((count, *value.shape[1:]), 1 if key == "hyperedge_weight" else 0)
        data[key] = torch.cat([value, fill])
    added = torch.stack([added[0], added[1] + start])
    data.hyperedge_index = added if before is None else torch.cat([before.pairs, added], dim=1)
    return data
