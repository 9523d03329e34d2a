"""Graphs and streams made here: the generators of "Benchmarking Graph Neural Networks", and small
problems whose answer is known.

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
from torch_geometric.data import Data, TemporalData

from graphkit.data.batching import FullGraph, Graphs
from graphkit.data.fetch import Raw
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources.gnn_benchmark import csl_problem
from graphkit.data.sources.interactions import numbered, stream_problem
from graphkit.data.sources.joined import graph_set, in_order
from graphkit.data.split import Split, per_class, share
from graphkit.errors import SettingError, unknown_name
from graphkit.seeds import stream
from graphkit.tasks import Dims, NodeClassification, NodesOfGraphs

__all__ = [
    "DATA_SEED",
    "class_graph",
    "cluster_graphs",
    "csl_graphs",
    "favourites",
    "files",
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


def class_graph(
    num_nodes: int,
    *,
    num_classes: int = 5,
    mean_degree: float = 15.0,
    within: float = 0.7,
    exponent: float | None = None,
    channels: int = 16,
    signal: float = 0.5,
    seed: int = DATA_SEED,
) -> Data:
    """Draws one graph whose links keep to classes and whose features lie around class centres.

    Args:
        num_nodes: Number of nodes.
        num_classes: Number of classes, of nearly the same size.
        mean_degree: Links per node that are drawn; a pair drawn twice counts once.
        within: Share of the links between nodes of one class.
        exponent: Of the power law that degrees follow, over 2; ``None`` for equal chances
            (a planted partition).
        channels: Width of the features.
        signal: Distance of a class centre from 0 in each channel, in units of the noise.
        seed: Decides on everything.

    Returns:
        ``x``, ``edge_index`` with both directions, ``y``.

    Raises:
        SettingError: The exponent is 2 or less: the mean degree would have no bound.

    Source:
        Chung and Lu, "Connected components in random graphs with given expected degrees", 2002,
        for the power law. Differs: the number of links drawn is fixed.
    """
    if exponent is not None and exponent <= 2:
        raise SettingError(f"exponent={exponent}; expected more than 2")
    generator = stream(seed, "class_graph", num_nodes)
    y = torch.arange(num_nodes) % num_classes
    weight = torch.ones(num_nodes, dtype=torch.float64)
    if exponent is not None:
        weight = torch.arange(1, num_nodes + 1, dtype=torch.float64) ** (-1 / (exponent - 1))
    # nodes are laid out class by class; only at the end are they given random numbers
    by_class = y.argsort(stable=True)
    y, weight = y[by_class], weight[by_class]
    upto = weight.cumsum(0)
    ends = torch.bincount(y, minlength=num_classes).cumsum(0)
    mass = torch.cat([upto.new_zeros(1), upto[ends - 1]])

    count, total = int(num_nodes * mean_degree / 2), float(upto[-1])

    def drawn() -> Tensor:
        return torch.rand(count, dtype=torch.float64, generator=generator)

    source = _at(upto, drawn() * total)
    low, high = mass[y[source]], mass[y[source] + 1]
    share_of_class = drawn()
    outside = (high + share_of_class * (total - (high - low))) % total  # past the end: to the front
    inside = low + share_of_class * (high - low)
    target = _at(upto, torch.where(drawn() < within, inside, outside))
    number = torch.randperm(num_nodes, generator=generator)
    source, target = number[source], number[target]
    proper = source != target
    key = torch.cat([target * num_nodes + source, source * num_nodes + target])[proper.repeat(2)]
    key = torch.unique(key)
    classes = torch.empty_like(y)
    classes[number] = y
    centres = torch.randn(num_classes, channels, generator=generator) * signal
    x = centres[classes] + torch.randn(num_nodes, channels, generator=generator)
    return Data(x=x, edge_index=torch.stack([key % num_nodes, key // num_nodes]), y=classes)


def _at(upto: Tensor, points: Tensor) -> Tensor:
    """Numbers of the nodes in whose stretch of the added-up weights the points lie."""
    return torch.searchsorted(upto, points, right=True).clamp(max=len(upto) - 1)


# Nodes of the one-graph problems, by their size.
BLOCKS = {"small": 1_000}
POWER_LAWS = {"small": 10_000, "medium": 200_000}


def sbm(root: Path | None, seed: int, size: str) -> Problem:
    """Planted partition: 5 classes, 70 % of the links within one; 60/20/20 drawn by the seed.

    Args:
        root: Not read.
        seed: Which split.
        size: ``small`` (1,000 nodes).
    """
    if size not in BLOCKS:
        raise unknown_name("size of a planted partition", size, BLOCKS)
    data = class_graph(BLOCKS[size])
    return _one_graph(f"sbm/{size}", data, share(BLOCKS[size], seed))


def power_law(root: Path | None, seed: int, size: str) -> Problem:
    """Degrees with a heavy tail, 64 features, 10 classes; 20 nodes per class for training.

    Args:
        root: Not read.
        seed: Which split.
        size: ``small`` (10,000 nodes) or ``medium`` (200,000 nodes, for out of core).
    """
    if size not in POWER_LAWS:
        raise unknown_name("size of a power-law graph", size, POWER_LAWS)
    data = class_graph(
        POWER_LAWS[size], num_classes=10, mean_degree=20.0, exponent=2.5, channels=64, signal=0.25
    )
    return _one_graph(f"power-law/{size}", data, per_class(data.y, seed))


def _one_graph(name: str, data: Data, split: Split) -> Problem:
    num_classes, count = int(data.y.max()) + 1, int(data.num_nodes or 0)
    return Problem(
        name=name,
        data=data,
        split=split,
        task=NodeClassification(num_classes=num_classes),
        dims=Dims(data.x.shape[1], num_classes, num_nodes=count),
        batching=FullGraph(),
    )


def favourites(
    num_events: int,
    *,
    num_sources: int = 200,
    num_items: int = 100,
    loyal: float = 0.8,
    seed: int = DATA_SEED,
) -> TemporalData:
    """Draws a stream in which each source has one favourite item.

    Args:
        num_events: Number of events.
        num_sources: Sources, numbered first; each event's is drawn evenly.
        num_items: Items, numbered behind them.
        loyal: Share of the events that go to the favourite; the others go to any item.
        seed: Decides on everything.

    Returns:
        Times from 0, on average 60 apart; ``msg`` says whether the event went to the favourite.
        Remembering pairs is all there is to learn: it ranks a ``loyal`` share of events first.
    """
    generator = stream(seed, "favourites")
    favourite = torch.randint(num_items, (num_sources,), generator=generator)
    src = torch.randint(num_sources, (num_events,), generator=generator)
    other = torch.randint(num_items, (num_events,), generator=generator)
    to_favourite = torch.rand(num_events, generator=generator) < loyal
    item = torch.where(to_favourite, favourite[src], other)
    gap = torch.empty(num_events).exponential_(1 / 60, generator=generator).long()
    t = gap.cumsum(0)
    src, dst = numbered(src, item + num_sources)
    return TemporalData(src=src, dst=dst, t=t - t[0], msg=to_favourite.float()[:, None])


EVENTS = {"events-small": 10_000}


def events(root: Path | None, seed: int, size: str) -> Problem:
    """Which item comes next, where 4 of 5 events go to the source's favourite.

    Args:
        root: Not read.
        seed: Seeds the draws of training alone.
        size: ``events-small`` (10,000 events).
    """
    if size not in EVENTS:
        raise unknown_name("synthetic stream", size, EVENTS)
    return stream_problem(f"synthetic/{size}", favourites(EVENTS[size]))
