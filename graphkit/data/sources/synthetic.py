"""Sets of graphs made here: the generators of "Benchmarking Graph Neural Networks".

All of them are fixed sets: they come from ``DATA_SEED`` alone, as if they had been downloaded, so
runs with different seeds are scored on the same graphs. The run's seed chooses a fold or a drawn
split where there is one, and the order of training.

Source: Dwivedi et al., JMLR 2023 (PATTERN, CLUSTER); Murphy et al., ICML 2019 (CSL).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.batching import Graphs
from graphkit.data.fetch import Raw
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources.gnn_benchmark import csl_problem
from graphkit.data.sources.joined import graph_set, in_order
from graphkit.errors import unknown_name
from graphkit.seeds import stream
from graphkit.tasks import Dims, NodesOfGraphs

__all__ = [
    "DATA_SEED",
    "cluster",
    "cluster_graphs",
    "csl",
    "csl_graphs",
    "files",
    "pattern",
    "pattern_graphs",
]

DATA_SEED = 2023  # the year of the paper the generators follow

SMALLEST, LARGEST = 5, 34  # nodes of a community or a pattern
GRAPHS_AT_ONCE = 64  # dense matrices in memory; part of what a seed means, like the seed itself
NUM_PATTERNS = 100
PATTERN_SYMBOLS = 3
PATTERN_COMMUNITIES, PATTERN_INSIDE, PATTERN_ACROSS = 5, 0.5, 0.35
PATTERN_LINK = 0.5  # both inside a pattern and from it to all other nodes
CLUSTER_COMMUNITIES, CLUSTER_INSIDE, CLUSTER_ACROSS = 6, 0.55, 0.25
CSL_NODES = 41
CSL_SKIPS = (2, 3, 4, 5, 6, 9, 11, 12, 13, 16)
CSL_COPIES = 15

# Graphs of each part, by the size of the set.
PATTERN_PARTS = {"generated": (10_000, 2_000, 2_000), "mini": (1_000, 200, 200)}
CLUSTER_PARTS = {"generated": (10_000, 1_000, 1_000), "mini": (1_000, 200, 200)}


def files(*_: str) -> tuple[Raw, ...]:
    """Lists no raw file: all is made here."""
    return ()


@dataclass(frozen=True)
class _Slots:
    """Places for the nodes of some graphs, before and after they are shuffled.

    Args:
        group: Number of the community of each node, one more for a pattern: ``(graphs, widest)``.
        place: Number of the node within its group.
        filled: Whether there is a node.
    """

    group: Tensor
    place: Tensor
    filled: Tensor


def _slots(sizes: Tensor, generator: torch.Generator) -> _Slots:
    """Nodes in random order, given the sizes of the groups ``(graphs, groups)``."""
    ends = sizes.cumsum(dim=1)
    total = ends[:, -1:]
    slot = torch.arange(int(total.max())).expand(len(sizes), -1)
    group = torch.searchsorted(ends, slot.contiguous(), right=True).clamp(max=sizes.shape[1] - 1)
    place = slot - (ends - sizes).gather(1, group)
    filled = slot < total
    # the empty places come last, so that nodes are numbered from 0
    order = (torch.rand(slot.shape, generator=generator) + ~filled).argsort(dim=1)
    return _Slots(group.gather(1, order), place.gather(1, order), filled)


def _linked(chance: Tensor, slots: _Slots, generator: torch.Generator) -> Tensor:
    """Draws each pair of nodes once; returns symmetric adjacency ``(graphs, widest, widest)``."""
    drawn = torch.rand(chance.shape, generator=generator) < chance
    pairs = drawn & (slots.filled[:, :, None] & slots.filled[:, None, :])
    upper = pairs.triu(diagonal=1)
    return upper | upper.transpose(1, 2)


@dataclass(frozen=True)
class _Drawn:
    """Some finished graphs, edges by graph, destination, source, each numbered from 0."""

    sizes: Tensor
    num_edges: Tensor
    ends: Tensor  # bytes: no graph has more than 204 nodes, and there are tens of millions of edges
    x: Tensor
    y: Tensor


def _drawn(adjacency: Tensor, filled: Tensor, x: Tensor, y: Tensor) -> _Drawn:
    graph, destination, source = adjacency.nonzero(as_tuple=True)
    return _Drawn(
        filled.sum(dim=1),
        torch.bincount(graph, minlength=len(filled)),
        torch.stack([source, destination]).to(torch.uint8),
        x[filled][:, None],
        y[filled],
    )


def _joined(parts: Sequence[_Drawn]) -> GraphSet:
    sizes, num_edges = (torch.cat([getattr(p, n) for p in parts]) for n in ("sizes", "num_edges"))
    edge_index = torch.empty(2, int(num_edges.sum()), dtype=torch.long)
    at = 0
    for part in parts:
        edge_index[:, at : at + part.ends.shape[1]] = part.ends
        at += part.ends.shape[1]
    nodes = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    edges = torch.cat([sizes.new_zeros(1), num_edges.cumsum(0)])
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    return GraphSet(
        Data(x=x, edge_index=edge_index, y=y), {"x": nodes, "edge_index": edges, "y": nodes}, sizes
    )


def _chunks(count: int) -> Iterator[Tensor]:
    return iter(torch.arange(count).split(GRAPHS_AT_ONCE))


def _draw_sizes(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(SMALLEST, LARGEST + 1, shape, generator=generator)


def pattern_graphs(count: int, part: str = "train", seed: int = DATA_SEED) -> GraphSet:
    """Draws graphs of communities with one of 100 patterns in each; a node's class is whether it
    is of the pattern.

    Args:
        count: Number of graphs; graph i holds pattern ``i % 100``.
        part: Parts of one seed share their patterns and nothing else.
        seed: Decides on the patterns and the graphs.

    Returns:
        ``x`` is one of 3 symbols, ``y`` 1 in the pattern. Expected: 117.0 nodes and 5,870 edges.

    Source:
        Dwivedi et al., JMLR 2023, PATTERN. Differs from its text, as its code does: a pattern has
        5 to 34 nodes, not 20.
    """
    return _joined(_patterns(count, part, seed))


def _patterns(count: int, part: str, seed: int) -> list[_Drawn]:
    patterns = stream(seed, "patterns")
    size = _draw_sizes((NUM_PATTERNS,), patterns)
    symbols = torch.randint(PATTERN_SYMBOLS, (NUM_PATTERNS, LARGEST), generator=patterns)
    upper = torch.rand(NUM_PATTERNS, LARGEST, LARGEST, generator=patterns) < PATTERN_LINK
    upper = upper.triu(diagonal=1)
    inner = (upper | upper.transpose(1, 2)).float()  # chance 0 or 1: the same in every graph

    generator = stream(seed, "pattern", part)
    done = []
    for numbers in _chunks(count):
        kind = numbers % NUM_PATTERNS
        communities = _draw_sizes((len(numbers), PATTERN_COMMUNITIES), generator)
        slots = _slots(torch.cat([communities, size[kind, None]], dim=1), generator)
        marked = (slots.group == PATTERN_COMMUNITIES) & slots.filled
        place = slots.place.where(marked, torch.zeros_like(slots.place))
        same = slots.group[:, :, None] == slots.group[:, None, :]
        chance = torch.where(same, PATTERN_INSIDE, PATTERN_ACROSS)
        chance[marked[:, :, None] | marked[:, None, :]] = PATTERN_LINK
        both = marked[:, :, None] & marked[:, None, :]
        among = inner[kind[:, None, None], place[:, :, None], place[:, None, :]]
        chance = torch.where(both, among, chance)
        adjacency = _linked(chance, slots, generator)
        own = torch.randint(PATTERN_SYMBOLS, slots.group.shape, generator=generator)
        x = torch.where(marked, symbols[kind[:, None], place], own)
        done.append(_drawn(adjacency, slots.filled, x, marked.long()))
    return done


def cluster_graphs(count: int, part: str = "train", seed: int = DATA_SEED) -> GraphSet:
    """Draws graphs of six communities; one node of each carries its symbol, a node's class is its
    community.

    Args:
        count: Number of graphs.
        part: Parts of one seed share nothing.
        seed: Decides on the graphs.

    Returns:
        ``x`` is 0, or r + 1 at one node of community r. Expected: 117.0 nodes and 4,290 edges.

    Source:
        Dwivedi et al., JMLR 2023, CLUSTER.
    """
    return _joined(_clusters(count, part, seed))


def _clusters(count: int, part: str, seed: int) -> list[_Drawn]:
    generator = stream(seed, "cluster", part)
    done = []
    for numbers in _chunks(count):
        sizes = _draw_sizes((len(numbers), CLUSTER_COMMUNITIES), generator)
        slots = _slots(sizes, generator)
        # nodes are in random order, so the first of its community is a random one of it
        named = (slots.place == 0) & slots.filled
        x = torch.where(named, slots.group + 1, 0)
        same = slots.group[:, :, None] == slots.group[:, None, :]
        chance = torch.where(same, CLUSTER_INSIDE, CLUSTER_ACROSS)
        adjacency = _linked(chance, slots, generator)
        done.append(_drawn(adjacency, slots.filled, x, slots.group))
    return done


def csl_graphs(seed: int = DATA_SEED) -> GraphSet:
    """Makes the circular skip links: a ring of 41 nodes, each also linked to those R steps on.

    Args:
        seed: Decides on the numbering of the nodes in the 15 copies of each of 10 classes.

    Source:
        Murphy et al., "Relational Pooling for Graph Representations", ICML 2019.
    """
    skip = torch.tensor(CSL_SKIPS).repeat_interleave(CSL_COPIES)
    count = len(skip)
    drawn = torch.rand(count, CSL_NODES, generator=stream(seed, "csl"))
    renamed = drawn.argsort(dim=1)  # (graphs, nodes)
    node = torch.arange(CSL_NODES)
    steps = torch.stack([torch.ones_like(skip), -torch.ones_like(skip), skip, -skip], dim=1)
    source = node[None, :, None].expand(count, -1, 4)
    target = (source + steps[:, None, :]) % CSL_NODES
    ends = [renamed.gather(1, e.reshape(count, -1)) for e in (source, target)]
    shift = torch.arange(count)[:, None] * CSL_NODES
    return graph_set(
        torch.full((count,), CSL_NODES),
        torch.stack([(e + shift).reshape(-1) for e in ends]),
        graphs={"y": torch.arange(len(CSL_SKIPS)).repeat_interleave(CSL_COPIES)},
    )


def pattern(root: Path | None, seed: int, size: str) -> Problem:
    """Which nodes are of the pattern; 2 classes, symbols of 3 kinds.

    Args:
        root: Not read.
        seed: Seeds the order of training alone.
        size: ``generated`` (100, 20 and 20 graphs per pattern) or ``mini`` (10, 2 and 2).
    """
    return _nodes_of_graphs("pattern", size, _patterns, PATTERN_PARTS, PATTERN_SYMBOLS, 2)


def cluster(root: Path | None, seed: int, size: str) -> Problem:
    """Which community each node is of; 6 classes, symbols of 7 kinds.

    Args:
        root: Not read.
        seed: Seeds the order of training alone.
        size: ``generated`` (10,000, 1,000 and 1,000 graphs) or ``mini`` (1,000, 200 and 200).
    """
    classes = CLUSTER_COMMUNITIES
    return _nodes_of_graphs("cluster", size, _clusters, CLUSTER_PARTS, classes + 1, classes)


def _nodes_of_graphs(
    kind: str,
    size: str,
    draw: Callable[[int, str, int], list[_Drawn]],
    sizes: dict[str, tuple[int, int, int]],
    symbols: int,
    num_classes: int,
) -> Problem:
    if size not in sizes:
        raise unknown_name(f"size of {kind}", size, sizes)
    counts = dict(zip(("train", "val", "test"), sizes[size], strict=True))
    parts = [draw(count, part, DATA_SEED) for part, count in counts.items()]
    return Problem(
        name=f"{kind}/{size}",
        data=_joined([drawn for part in parts for drawn in part]),
        split=in_order(*sizes[size]),
        task=NodesOfGraphs(num_classes=num_classes),
        dims=Dims(in_channels=0, out_channels=num_classes, node_symbols=(symbols,)),
        batching=Graphs(batch_size=128),
    )


def csl(root: Path | None, seed: int) -> Problem:
    """Circular skip links with another numbering of nodes than the published ones.

    Args:
        root: Not read.
        seed: ``seed % 5`` chooses the fold.
    """
    return csl_problem("csl/generated", csl_graphs(), seed)
