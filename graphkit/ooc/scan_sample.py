"""Neighbour sampling from a graph that does not fit into memory, by reading it front to back.

Many batches are drawn at once: per hop, one pass over where the in-edges of each node begin, and
one over the in-edges themselves, whatever the number of batches. No byte is read at random. As a
draw is a function of (seed, epoch, batch, hop, node), each batch is the one that
``SeededNeighbors`` draws from memory, to the bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice, pairwise
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch_geometric.sampler import SamplerOutput

from graphkit.data.sampler_kernels import (
    Array,
    batch_key,
    collect,
    enter_seeds,
    forget,
    hop_key,
    mark,
)
from graphkit.ooc.block_runs import BlockRuns
from graphkit.ooc.disk import BLOCK, aligned
from graphkit.ooc.plan_files import padded
from graphkit.ooc.scan_kernels import draw_from, localize, look_up, want_lists
from graphkit.seeds import derived_seed

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["OUTPUT", "ScanSampler"]

OUTPUT = 36  # bytes an edge takes while a batch is handed on: three int64, and the draws
_PAIR = 48  # bytes of a node of a frontier while it is expanded
_DESK = 4.3  # bytes a node that a thread keeps
_AHEAD = 2  # chunks that are read while one is used
_CHUNK = 8 << 20  # bytes; longer ones gain nothing


@dataclass(eq=False)
class _Batch:
    """A batch on its way: nodes that each hop added, and the edges of the hops so far."""

    key: np.uint64
    nodes: list[Array]
    counts: list[Array] = field(default_factory=list)
    rows: list[Array] = field(default_factory=list)  # local ids of sources, by destination

    @property
    def num_bytes(self) -> int:
        """What it holds."""
        return sum(part.nbytes for parts in (self.nodes, self.counts, self.rows) for part in parts)

    def output(self) -> SamplerOutput:
        """Returns it as the sampler of memory does, without numbers of edges."""
        counts = np.concatenate(self.counts)
        return SamplerOutput(
            node=torch.from_numpy(np.concatenate(self.nodes).astype(np.int64)),
            row=torch.from_numpy(np.concatenate(self.rows)),
            col=torch.from_numpy(np.repeat(np.arange(len(counts)), counts)),
            edge=None,
            num_sampled_nodes=[len(part) for part in self.nodes],
            num_sampled_edges=[len(part) for part in self.rows],
        )


class _Desk:
    """Tables over all nodes on which one batch at a time gets its local ids."""

    def __init__(self, num_nodes: int) -> None:
        words = num_nodes // 64 + 1
        self.table: Array = np.zeros(num_nodes, dtype=np.int32)
        self.seen: Array = np.zeros(words, dtype=np.uint64)
        self.fresh: Array = np.zeros(words, dtype=np.uint64)
        self.filled: Array = np.zeros(words // 64 + 1, dtype=np.uint64)

    def fold(self, batch: _Batch, source: Array) -> None:
        """Adds to a batch the sources of a hop, which become local ids in place."""
        known = np.concatenate(batch.nodes)
        most = len(known) + min(len(source), len(self.table))
        nodes = np.empty(most, dtype=known.dtype)
        enter_seeds(known, self.seen, self.table, nodes)
        mark(source, len(source), self.seen, self.fresh, self.filled)
        tables = (self.seen, self.fresh, self.filled, self.table)
        end = int(collect(*tables, nodes, len(known)))
        localize(source, self.table)
        forget(nodes[:end], self.seen)
        batch.nodes.append(nodes[len(known) : end].copy())
        batch.rows.append(source)


@dataclass(eq=False)
class _Pairs:
    """The frontiers of all batches of a group side by side, each in ascending order of nodes."""

    bounds: Array
    nodes: Array
    order: Array | None  # of seeds alone: later frontiers are in order
    first: Array
    degree: Array

    @classmethod
    def of(cls, frontiers: Sequence[Array], *, in_order: bool) -> _Pairs:
        bounds = np.cumsum([0, *map(len, frontiers)])
        nodes = np.concatenate(frontiers)
        order = None
        if not in_order:
            parts = [part.argsort(kind="stable") for part in frontiers]
            order = np.concatenate(parts) + np.repeat(bounds[:-1], np.diff(bounds))
            nodes = nodes[order]
        size = len(nodes)
        return cls(bounds, nodes, order, np.zeros(size, np.int64), np.zeros(size, np.int64))

    def counts(self, fanout: int) -> Array:
        """Edges that are drawn of each node, in the order of the frontier."""
        drawn = self.degree if fanout < 0 else np.minimum(self.degree, fanout)
        if self.order is None:
            return drawn
        counts = np.empty_like(drawn)
        counts[self.order] = drawn
        return counts


class ScanSampler:
    """Draws batches by reading the graph of a store front to back, without repeats.

    A group of batches is as large as memory allows, one batch at least: what a hop needs is known
    before it is drawn, and batches that do not fit are left to the next group. Frontiers are in
    order of nodes by themselves, so a cursor per batch takes the place of sorting the (node, batch)
    pairs of a group and of putting what was drawn back in order.

    Args:
        store: The graph.
        fanouts: In-edges drawn per hop, nearest hop first; -1 takes all.
        seed: Seed of all draws, as ``SeededNeighbors`` takes it.
        memory: Bytes this may take; chunks of 1 MiB and one batch are the least.
        threads: Threads that expand and read; fewer where their tables would take a tenth of it.
        group: Most batches drawn at a time; ``None`` is as many as fit.
    """

    def __init__(
        self,
        store: Store,
        fanouts: Sequence[int],
        *,
        seed: int,
        memory: int,
        threads: int,
        group: int | None = None,
    ) -> None:
        self.fanouts, self.seed, self.group = tuple(fanouts), seed, group
        self.num_nodes, self.num_edges = store.num_nodes, store.num_edges
        arrays = (store.arrays["graph/indptr"], store.arrays["graph/indices"])
        self._starts, self._edges = (BlockRuns(array, check=store.checks) for array in arrays)
        self._dtype = arrays[1].dtype
        self._width = self._dtype.itemsize
        desk = int(_DESK * self.num_nodes) + 1
        self.threads = max(1, min(threads, memory // 10 // desk))
        chunk = min(max(memory // 32 // BLOCK, 1) * BLOCK, _CHUNK)
        chunk = min(chunk, padded(max(array.num_bytes for array in arrays)))
        self._buffers = [aligned(chunk) for _ in range(_AHEAD + 1)]
        self.room = memory - self.threads * desk - sum(map(len, self._buffers))
        self._desks: SimpleQueue[_Desk] = SimpleQueue()
        for _ in range(self.threads):
            self._desks.put(_Desk(self.num_nodes))
        self._each = self._once = 0  # bytes that the last group took for each batch, and besides

    def draw(self, batches: Iterable[tuple[int, Tensor]]) -> Generator[SamplerOutput, None, None]:
        """Yields batches in order.

        Args:
            batches: Epoch and seeds of each.

        Raises:
            DamagedFile: The graph on disk is not what was written.
            StorageError: The disk fails.
        """
        coming, waiting = iter(batches), deque[tuple[int, Tensor]]()
        with ThreadPoolExecutor(self.threads) as crew, ThreadPoolExecutor(_AHEAD) as readers:
            while True:
                waiting.extend(islice(coming, 0 if waiting else 1))
                if not waiting:
                    return
                size = self._size(len(waiting[0][1]))
                waiting.extend(islice(coming, max(size - len(waiting), 0)))
                group = [waiting.popleft() for _ in range(min(size, len(waiting)))]
                done = self._walk(group, crew, readers)
                waiting.extendleft(reversed(group[len(done) :]))
                while done:
                    yield done.pop(0).output()

    def _size(self, seeds: int) -> int:
        """Batches of the next group, by what the last ones took or, before, by what they may."""
        if not self._each:
            edges, frontier = 0, seeds
            for fanout in self.fanouts:
                most = self.num_edges if fanout < 0 else frontier * fanout
                drawn = min(most, self.num_edges)
                edges += drawn
                self._each += 2 * self._width * drawn + _PAIR * frontier
                frontier = min(drawn, self.num_nodes)
            self._once = (OUTPUT + self.threads * self._width) * edges
        size = max((self.room - self._once) // max(self._each, 1), 1)
        return size if self.group is None else min(size, self.group)

    def _walk(
        self, group: list[tuple[int, Tensor]], crew: ThreadPoolExecutor, readers: ThreadPoolExecutor
    ) -> list[_Batch]:
        """Draws as many of some batches as fit, from the first on."""
        batches = [self._begin(*one) for one in group]
        each = once = 0
        for hop, fanout in enumerate(self.fanouts):
            held = [batch.num_bytes + _PAIR * len(batch.nodes[-1]) for batch in batches]
            del batches[self._fitting(np.cumsum(held)) :]
            pairs = _Pairs.of([batch.nodes[-1] for batch in batches], in_order=hop > 0)
            self._look_up(pairs, crew, readers)
            counts = pairs.counts(fanout)
            ends = np.concatenate([[0], np.cumsum(counts)])
            most, besides = self._needed(batches, pairs, np.diff(ends[pairs.bounds]))
            kept = self._fitting(np.cumsum(most) + besides)
            del batches[kept:]
            each, once = max(each, int(most[:kept].mean())), max(once, int(besides[kept - 1]))
            cuts = ends[pairs.bounds[: kept + 1]]
            source: Array = np.empty(int(cuts[-1]), dtype=self._dtype)
            place = ends[:-1] if pairs.order is None else ends[pairs.order]
            keys = np.array([hop_key(batch.key, hop) for batch in batches], dtype=np.uint64)
            self._draw(pairs, keys, fanout, place, source, crew, readers)
            narrow = counts.astype(np.uint32)
            for batch, (low, high) in zip(batches, pairwise(pairs.bounds), strict=False):
                batch.counts.append(narrow[low:high])
            del pairs, counts, ends, place
            shares = [source[low:high] for low, high in pairwise(cuts)]
            list(crew.map(self._fold, batches, shares))
        self._each, self._once = each, once
        return batches

    def _begin(self, epoch: int, seeds: Tensor) -> _Batch:
        ids = seeds.numpy().astype(np.int64, copy=False)
        key = np.uint64(derived_seed(self.seed, "neighbours", epoch))
        return _Batch(np.uint64(batch_key(key, ids)), [ids.astype(self._dtype)])

    def _fitting(self, needed: Array) -> int:
        """How many of the first batches fit, by what each takes with those before it; 1 always."""
        return max(int(np.searchsorted(needed, self.room, side="right")), 1)

    def _needed(self, batches: list[_Batch], pairs: _Pairs, edges: Array) -> tuple[Array, Array]:
        """Bytes of each batch at the end of a hop that draws so many edges, and those needed once
        for the largest so far."""
        nodes = np.array([sum(map(len, batch.nodes)) for batch in batches])
        total = np.array([sum(map(len, batch.rows)) for batch in batches]) + edges
        held = np.array([batch.num_bytes for batch in batches])
        most = held + _PAIR * np.diff(pairs.bounds) + 2 * self._width * edges
        once = OUTPUT * total + self.threads * self._width * (2 * nodes + edges)
        return most, np.maximum.accumulate(once)

    def _look_up(
        self, pairs: _Pairs, crew: ThreadPoolExecutor, readers: ThreadPoolExecutor
    ) -> None:
        """Finds the lists of all pairs: a pass over where lists begin."""
        wanted = self._starts.none_wanted()
        for more in (0, 1):
            wanted[(pairs.nodes.astype(np.int64) + more) // self._starts.entries] = True
        cursor = pairs.bounds[:-1].copy()

        def serve(low: int, high: int, base: int, chunk: Array) -> None:
            lists = (pairs.first, pairs.degree)
            look_up(low, high, pairs.bounds, cursor, pairs.nodes, chunk, base, *lists)

        self._pass(self._starts, wanted, serve, len(cursor), crew, readers)

    def _draw(
        self,
        pairs: _Pairs,
        keys: Array,
        fanout: int,
        place: Array,
        source: Array,
        crew: ThreadPoolExecutor,
        readers: ThreadPoolExecutor,
    ) -> None:
        """Draws the edges of the first pairs, those of as many batches as there are keys."""
        wanted = self._edges.none_wanted()
        stop = pairs.bounds[len(keys)]
        lists = (pairs.first, pairs.degree)
        want_lists(pairs.first[:stop], pairs.degree[:stop], fanout, self._edges.entries, wanted)
        cursor = pairs.bounds[:-1].copy()

        def serve(low: int, high: int, base: int, chunk: Array) -> None:
            frontier = (pairs.bounds, cursor, keys, fanout, pairs.nodes, *lists, place)
            draw_from(low, high, *frontier, chunk, base, source)

        self._pass(self._edges, wanted, serve, len(keys), crew, readers)

    def _fold(self, batch: _Batch, source: Array) -> None:
        desk = self._desks.get()
        try:
            desk.fold(batch, source)
        finally:
            self._desks.put(desk)

    def _pass(
        self,
        blocks: BlockRuns,
        wanted: Array,
        serve: Callable[[int, int, int, Array], None],
        batches: int,
        crew: ThreadPoolExecutor,
        readers: ThreadPoolExecutor,
    ) -> None:
        """Reads wanted blocks in order; for each chunk the batches are shared out to threads."""
        shares = np.linspace(0, batches, min(self.threads, batches) + 1).astype(int)
        with closing(blocks.chunks(wanted, self._buffers, readers)) as chunks:
            for base, chunk in chunks:
                jobs = [
                    crew.submit(serve, low, high, base, chunk) for low, high in pairwise(shares)
                ]
                wait(jobs)  # all of them, also after a failure: they read the chunk
                for job in jobs:
                    job.result()
