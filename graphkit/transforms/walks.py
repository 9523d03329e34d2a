"""Random walks of every node at once, and what each row of a walk says about the rows before it.

Every draw is computed from (seed, node, walk, step), never taken from a stream: the walks of a
graph are the same alone, in a batch and on every device. The draws know a node by its number
within its graph, or in the whole graph where neighbours were sampled (``n_id``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphkit.errors import SettingError
from graphkit.seeds import derived_seed

__all__ = ["InEdges", "RandomWalkTokens", "random_walks", "walk_bits"]

_STEP = -0x61C8864680B583EB  # splitmix64's constants, as signed numbers: torch multiplies those
_FIRST = -0x40A7B892E31B1A47
_SECOND = -0x6B2FB644ECCEEE15


@dataclass(frozen=True, eq=False)
class InEdges:
    """The in-edges of every node side by side, sources in ascending order.

    Args:
        start: In-edges of node ``v`` are at ``start[v]`` to ``start[v + 1]``.
        source: Source of each edge.
        order: Number of each edge in the list it was built from.
        key: ``destination * nodes + source`` of each edge, not falling.

    Shape:
        start ``(nodes + 1,)``, the others ``(edges,)``, all int64.
    """

    start: Tensor
    source: Tensor
    order: Tensor
    key: Tensor

    @classmethod
    def of(cls, edge_index: Tensor, num_nodes: int) -> InEdges:
        """Sorts edges by destination, then source; edges in that order are not sorted again.

        Args:
            edge_index: ``(2, edges)``, source above destination.
            num_nodes: Number of nodes.
        """
        source, destination = edge_index.long()
        key = destination * num_nodes + source
        if bool((key[1:] >= key[:-1]).all()):
            order = torch.arange(len(key), device=key.device)
        else:
            key, order = key.sort(stable=True)
            source, destination = source[order], destination[order]
        nodes = torch.arange(num_nodes + 1, device=key.device)
        return cls(torch.searchsorted(destination.contiguous(), nodes), source, order, key)

    @property
    def num_nodes(self) -> int:
        """Nodes of the graph, isolated ones included."""
        return len(self.start) - 1

    @cached_property
    def degree(self) -> Tensor:
        """Number of in-edges of each node: ``(nodes,)``."""
        return self.start.diff()

    def find(self, source: Tensor, destination: Tensor) -> tuple[Tensor, Tensor]:
        """Returns where the edges from ``source`` to ``destination`` begin, and how many they are.

        Shape:
            Both of one shape -> two of that shape.
        """
        asked = destination * self.num_nodes + source
        first = torch.searchsorted(self.key, asked)
        return first, torch.searchsorted(self.key, asked, right=True) - first

    def has(self, source: Tensor, destination: Tensor) -> Tensor:
        """Returns whether there is an edge from ``source`` to ``destination``.

        Shape:
            Both of one shape -> bool of that shape.
        """
        if not len(self.key):
            return torch.zeros_like(source, dtype=torch.bool)
        if source.device.type == "cpu":
            from graphkit.transforms.walk_kernels import linked  # numba: loaded when walked

            now, before = source.flatten().numpy(), destination.flatten().numpy()
            found = torch.empty(source.numel(), dtype=torch.bool)
            linked(self.start.numpy(), self.source.numpy(), now, before, found.numpy())
            return found.view(source.shape)
        asked = destination * self.num_nodes + source
        first = torch.searchsorted(self.key, asked).clamp(max=len(self.key) - 1)
        return self.key[first] == asked


def random_walks(
    edges: InEdges,
    length: int,
    walks: int,
    *,
    seed: int,
    ids: Tensor | None = None,
    non_backtracking: bool = False,
) -> tuple[Tensor, Tensor]:
    """Draws walks from every node; a step leads to the source of an in-edge, each as likely.

    So a walk goes where messages come from. A node without in-edges is not left. A duplicate edge
    counts twice, a self-loop is a step like any other.

    Args:
        edges: The graph.
        length: Steps of each walk.
        walks: Walks from each node.
        seed: Seed of all draws.
        ids: A number for each node by which it is known to the draws; its place if not given.
        non_backtracking: Do not go back to the node just left, unless there is no other.

    Shape:
        ids ``(nodes,)`` -> the nodes ``(walks, length + 1, nodes)`` and the numbers of the edges
        walked ``(walks, length, nodes)``, -1 where the node was not left.
    """
    nodes, device = edges.num_nodes, edges.start.device
    own = torch.arange(nodes, device=device)
    at = own.expand(walks, nodes)
    visited, used = [at], []
    state = _mix(_mix((own if ids is None else ids.to(device)) + _STEP) ^ seed)  # one per node
    for step in range(length):
        degree, first = edges.degree[at], edges.start[at]
        number = torch.arange(walks, device=device) * length + step + 1
        word = _mix(state + number[:, None] * _STEP)
        share = (word >> 11 & (1 << 53) - 1).double() * 2.0**-53  # [0, 1), exact
        if non_backtracking and step:
            back, twins = edges.find(visited[-2], at)
            free = degree - twins
            turned = free == 0
            place = first + (share * torch.where(turned, degree, free)).long()
            place = place + torch.where(~turned & (place >= back), twins, 0)
        else:
            place = first + (share * degree).long()
        if not len(edges.source):
            used.append(torch.full_like(at, -1))
        else:
            stays, place = degree == 0, place.clamp(max=len(edges.source) - 1)
            used.append(edges.order[place].masked_fill(stays, -1))
            at = torch.where(stays, at, edges.source[place])
        visited.append(at)
    empty = own.new_empty(walks, 0, nodes)
    return torch.stack(visited, dim=1), torch.stack(used, dim=1) if used else empty


def walk_bits(edges: InEdges, walk_index: Tensor, window: int) -> Tensor:
    """Says of each row of a walk which earlier rows are the same node, and which are linked to it.

    One number a row. Bit ``2 * k - 3`` (for ``k = 1``: bit 0): the node ``k`` rows before is this
    one. Bit ``2 * k - 2`` for ``k = 2 .. window``: the walk could have stepped from the node ``k``
    rows before to this one. Bits that look before the first row are 0; those of a narrower window
    are the lower bits of a wider one.

    Args:
        edges: The graph.
        walk_index: Nodes of the walks.
        window: How many rows a row looks back, :math:`c`; at most 8.

    Shape:
        walk_index ``(..., positions, nodes)`` -> int16 ``(nodes, ..., positions)``.
    """
    walk = walk_index.movedim(-1, 0).contiguous()
    bits = torch.zeros(walk.shape, dtype=torch.int16, device=walk.device)
    for back in range(1, min(window, walk.shape[-1] - 1) + 1):
        now, before = walk[..., back:], walk[..., :-back]
        bits[..., back:] += (now == before) * (1 << max(2 * back - 3, 0))
        if back > 1:
            bits[..., back:] += edges.has(now, before) * (1 << 2 * back - 2)
    return bits


class RandomWalkTokens(BaseTransform):
    """Adds the walks from which a node's tokens are made: ``walk_index`` and ``walk_bits``.

    ``walk_index`` ``(sets, repeats, walks, length + 1, nodes)`` holds the nodes visited; row 0 is
    the node itself. Its name and its last dimension let every collation shift and cut it.
    ``walk_bits`` ``(nodes, sets, repeats, walks, length + 1)``, see ``walk_bits``, holds no node
    number. ``walk_edge`` ``(sets, repeats, walks, length, nodes)``, with ``edges``, holds the
    numbers of the edges walked, -1 where a node was not left.

    The token of length ``l`` and repetition ``j`` is made of the first ``l + 1`` rows of the walks
    ``walk_index[0, j]``, or of ``walk_index[l - 1, j]`` with ``independent_lengths``.

    Meant for a model's ``transform``, so that walks stay inside the batch: sampled neighbours are
    renumbered, and node numbers drawn before that would be wrong. With a seed it also serves as
    ``pre_transform`` where graphs or the whole graph are batched, and gives the same walks. To draw
    anew every few epochs, a model states the seed as its count of epochs divided by their number.

    Args:
        walk_length: Steps of the longest walk, :math:`m`; 0 gives no token.
        num_walks: Walks whose union is a token, :math:`M`.
        num_repeats: Tokens of each length, :math:`s`; 0 gives no token.
        window: Rows that the bits look back, :math:`c`; by default the length, at most 8.
        independent_lengths: Draw walks of their own for each length; else a shorter walk is the
            beginning of a longer one.
        non_backtracking: Do not go back to the node just left, unless there is no other.
        edges: Add ``walk_edge``.
        seed: Seed of all draws; ``None`` takes one from torch's global generator at each call,
            which ``Problem.batches`` sets by run, part, epoch and batch.

    Raises:
        SettingError: A number is out of range, or ``edges`` comes with a seed.

    Source:
        Behrouz and Hashemi, "Graph Mamba", KDD 2024, neighbourhood sampling; Tönshoff et al.,
        "Walking Out of the Weisfeiler Leman Hierarchy", TMLR 2023 (CRaWl), the bits.
        Differs: by default lengths share walks; tokens of one length are not shuffled, for they
        are drawn alike.
    """

    def __init__(
        self,
        walk_length: int = 2,
        num_walks: int = 2,
        num_repeats: int = 2,
        *,
        window: int | None = None,
        independent_lengths: bool = False,
        non_backtracking: bool = False,
        edges: bool = False,
        seed: int | None = None,
    ) -> None:
        self.window = max(min(walk_length, 8), 1) if window is None else window
        if walk_length < 0 or num_repeats < 0 or num_walks < 1 or not 1 <= self.window <= 8:
            raise SettingError(
                f"walk_length={walk_length}, num_walks={num_walks}, num_repeats={num_repeats}, "
                f"window={self.window}; expected at least 0, 1, 0, and 1 to 8"
            )
        if edges and seed is not None:
            raise SettingError(
                "edges=True comes with a seed; numbers of edges are not shifted when graphs are "
                "joined, so they can only be drawn in each batch, without a seed"
            )
        self.walk_length, self.num_walks, self.num_repeats = walk_length, num_walks, num_repeats
        self.independent_lengths, self.non_backtracking = independent_lengths, non_backtracking
        self.edges, self.seed = edges, seed

    @property
    def fixed(self) -> bool:
        """Whether the same graph always gets the same walks."""
        return self.seed is not None

    @property
    def num_tokens(self) -> int:
        """Tokens of a node, :math:`s m`."""
        return self.walk_length * self.num_repeats

    def forward(self, data: Data) -> Data:
        """Returns the graph with the fields added."""
        nodes = int(data.num_nodes or 0)
        edges = InEdges.of(data.edge_index, nodes)
        sets = max(self.walk_length, 1) if self.independent_lengths else 1
        seed = int(torch.randint(2**62, ())) if self.seed is None else self.seed
        walk, used = random_walks(
            edges,
            self.walk_length,
            sets * self.num_repeats * self.num_walks,
            seed=derived_seed(seed, "walks"),
            ids=_ids(data),
            non_backtracking=self.non_backtracking,
        )
        shape = (sets, self.num_repeats, self.num_walks)
        data.walk_index = walk.unflatten(0, shape)
        data.walk_bits = walk_bits(edges, data.walk_index, self.window)
        if self.edges:
            data.walk_edge = used.unflatten(0, shape)
        return data

    def __repr__(self) -> str:
        return (
            f"RandomWalkTokens({self.walk_length}, {self.num_walks}, {self.num_repeats}, "
            f"window={self.window}, independent_lengths={self.independent_lengths}, "
            f"non_backtracking={self.non_backtracking}, edges={self.edges}, seed={self.seed})"
        )


def _ids(data: Data) -> Tensor | None:
    """A node's number in the graph it was sampled from, or within its own graph of a batch."""
    if data.get("n_id") is not None:
        return data.n_id
    if data.get("batch") is not None and data.get("ptr") is not None:
        return torch.arange(len(data.batch), device=data.batch.device) - data.ptr[data.batch]
    return None


def _mix(word: Tensor) -> Tensor:
    """Scrambles 64 bits: the output function of splitmix64, shifts without the sign."""
    word = (word ^ (word >> 30 & (1 << 34) - 1)) * _FIRST
    word = (word ^ (word >> 27 & (1 << 37) - 1)) * _SECOND
    return word ^ (word >> 31 & (1 << 33) - 1)
