"""Pairs of graphs that are not the same and that Weisfeiler and Leman's colours do not tell apart.

Not problems to learn: what a network says of them before any training shows what its form can see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch_geometric.data import Data

__all__ = ["look_alikes", "relabelled"]

Pair = tuple[int, int]


def look_alikes() -> dict[str, tuple[Data, Data]]:
    """Returns the pairs by name; all nodes carry the constant 1.

    All pairs have the same colours after any number of rounds of one-dimensional refinement; the
    last one also after two-dimensional refinement (both are strongly regular, 16, 6, 2, 2).

    Source:
        Standard examples; Mitton and Murray-Smith, TMLR 2023, use such pairs of ego networks.
    """
    torus = [(i, j) for i in range(4) for j in range(4)]
    return {
        "hexagon, two triangles": (
            _graph(6, _ring(6)),
            _graph(6, [*_ring(3), *_ring(3, 3)]),
        ),
        "octagon, two squares": (
            _graph(8, _ring(8)),
            _graph(8, [*_ring(4), *_ring(4, 4)]),
        ),
        # two rings of six that share a link; two rings of five joined by a link
        "decalin, bicyclopentyl": (
            _graph(10, [*_ring(10), (0, 5)]),
            _graph(10, [*_ring(5), *_ring(5, 5), (0, 5)]),
        ),
        "K(3,3), prism": (
            _graph(6, [(a, b) for a in range(3) for b in range(3, 6)]),
            _graph(6, [*_ring(3), *_ring(3, 3), (0, 3), (1, 4), (2, 5)]),
        ),
        "rook's graph, Shrikhande graph": (
            _graph(16, _linked(torus, lambda di, dj: (di == 0) != (dj == 0))),
            _graph(16, _linked(torus, lambda di, dj: (di, dj) in SHRIKHANDE)),
        ),
    }


# Steps on a torus of 4 by 4: along either axis, and along one diagonal.
SHRIKHANDE = ((0, 1), (0, 3), (1, 0), (3, 0), (1, 1), (3, 3))


def relabelled(graph: Data, generator: torch.Generator) -> Data:
    """Returns the same graph with its nodes numbered in another order."""
    new = torch.randperm(int(graph.num_nodes or 0), generator=generator)
    x = torch.empty_like(graph.x)
    x[new] = graph.x
    edges = new[graph.edge_index]
    order = (edges[1] * len(new) + edges[0]).argsort()
    return Data(x=x, edge_index=edges[:, order])


def _ring(nodes: int, first: int = 0) -> list[Pair]:
    return [(first + i, first + (i + 1) % nodes) for i in range(nodes)]


def _linked(places: list[Pair], near: Callable[[int, int], bool]) -> list[Pair]:
    return [
        (a, b)
        for a, (i, j) in enumerate(places)
        for b, (k, m) in enumerate(places)
        if a < b and near((k - i) % 4, (m - j) % 4)
    ]


def _graph(nodes: int, links: Iterable[Pair]) -> Data:
    ends = torch.tensor(sorted({(b, a) for a, b in links} | {(a, b) for a, b in links}))
    order = (ends[:, 1] * nodes + ends[:, 0]).argsort()
    return Data(x=torch.ones(nodes, 1), edge_index=ends[order].t().contiguous())
