"""The sub-graph that the walks of a token span, for all tokens of a batch at once."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphkit.transforms.walks import InEdges

__all__ = ["InducedTokens", "by_search", "induced_edges", "token_members"]


def token_members(walk_index: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the nodes of every token: all that its walks have visited, each once.

    Token ``node * num_tokens + i`` is the ``i``-th of a node; a node's tokens go from the longest
    walks to the shortest, repetition by repetition.

    Args:
        walk_index: Walks as ``RandomWalkTokens`` makes them.

    Shape:
        walk_index ``(sets, repeats, walks, length + 1, nodes)`` -> nodes and tokens
        ``(members,)``, in ascending order of token, then node.
    """
    sets, repeats, walks, rows, nodes = walk_index.shape
    length, device = rows - 1, walk_index.device
    if length * repeats * nodes == 0:
        return walk_index.new_empty(0), walk_index.new_empty(0)
    lengths = torch.arange(length, 0, -1, device=device)
    chosen = walk_index.expand(length, *walk_index.shape[1:]) if sets == 1 else walk_index
    chosen = chosen.flip(0)  # (length, repeats, walks, rows, nodes), longest first
    inside = torch.arange(rows, device=device) <= lengths[:, None]
    own = chosen[:, :, :, :1]  # is a member anyway, so it can stand for rows past the end
    chosen = torch.where(inside[:, None, None, :, None], chosen, own)
    table = chosen.permute(4, 0, 1, 2, 3).reshape(nodes * length * repeats, walks * rows)
    table = table.sort(dim=1).values
    fresh = torch.ones_like(table, dtype=torch.bool)
    fresh[:, 1:] = table[:, 1:] != table[:, :-1]
    token = fresh.nonzero()[:, 0]
    return table[fresh], token


def induced_edges(edges: InEdges, node: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the edges of the graph among the members of each token.

    Args:
        edges: The graph.
        node: Node of each member.
        token: Token of each member; ascending, and nodes ascending within it.

    Shape:
        node, token ``(members,)`` -> places in the list of members ``(2, edges)``, and the number
        of each edge in the graph's list ``(edges,)``; in ascending order of destination.
    """
    if node.device.type == "cpu":
        return _compiled(edges, node, token)
    return by_search(edges, node, token)


def _compiled(edges: InEdges, node: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
    """Looks members up among the in-edges of each member: no list of all of those is made."""
    from graphkit.transforms.walk_kernels import count_inside, write_inside  # numba: when needed

    start, source, order = (t.numpy() for t in (edges.start, edges.source, edges.order))
    members = (node.numpy(), token.numpy())
    offsets = torch.empty(len(node) + 1, dtype=torch.long)
    count_inside(start, source, *members, offsets.numpy())
    ends = torch.empty(2, int(offsets[-1]), dtype=torch.long)
    number = torch.empty(int(offsets[-1]), dtype=torch.long)
    write_inside(start, source, order, *members, ends.numpy(), number.numpy())
    return ends, number


def by_search(
    edges: InEdges, node: Tensor, token: Tensor, at_once: int = 1 << 22
) -> tuple[Tensor, Tensor]:
    """Returns the same by tensors alone: looks in-edges of members up in the list of members.

    Args:
        edges, node, token: As for ``induced_edges``.
        at_once: In-edges looked up together, apart from those of the last member among them:
            bounds the memory.
    """
    key = token * edges.num_nodes + node
    degree = edges.degree[node]
    ends = degree.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    parts = max(-(-total // at_once), 1)
    marks = torch.arange(1, parts, device=node.device) * at_once
    cuts = [0, *torch.searchsorted(ends, marks).tolist(), len(node)]
    found, numbers = [], []
    for low, high in pairwise(cuts):
        size = degree[low:high]
        member = torch.arange(low, high, device=node.device).repeat_interleave(size)
        begin = ends[low:high] - size
        first = begin[:1]  # of an empty part: nothing
        shift = edges.start[node[low:high]] - (begin - first)
        place = torch.arange(len(member), device=node.device) + shift.repeat_interleave(size)
        asked = token[member] * edges.num_nodes + edges.source[place]
        at = torch.searchsorted(key, asked).clamp(max=max(len(key) - 1, 0))
        inside = key[at] == asked
        found.append(torch.stack([at[inside], member[inside]]))
        numbers.append(edges.order[place[inside]])
    return torch.cat(found, dim=1), torch.cat(numbers)


class InducedTokens(BaseTransform):
    """Adds the sub-graphs of all tokens, side by side: what message passing inside a token reads.

    ``token_node`` and ``token_of`` ``(members,)`` are node and token of each member, in the order
    of ``token_members``; ``token_edges`` ``(2, edges)`` are places in that list, ``token_edge``
    ``(edges,)`` the number of each edge in the batch. For a model's ``transform`` alone, after
    ``RandomWalkTokens``: places and numbers are those of one batch.

    Source:
        Behrouz and Hashemi, "Graph Mamba", KDD 2024: a token is the sub-graph induced by the
        union of the nodes on its walks.
    """

    fixed = True

    def forward(self, data: Data) -> Data:
        """Returns the batch with the fields added."""
        edges = InEdges.of(data.edge_index, int(data.num_nodes or 0))
        data.token_node, data.token_of = token_members(data.walk_index)
        data.token_edges, data.token_edge = induced_edges(edges, data.token_node, data.token_of)
        return data
