"""Neighbour sampling from a graph that does not fit into memory, by reading it front to back.

Many batches are drawn at once: per hop, one pass over where the in-edges of each node begin and
over the in-edges themselves, whatever the number of batches. No byte of the graph is read at
random. A pass goes from window to window of nodes; what a window drew waits in a scratch file, so
that a batch holds little more than its nodes until all edges of a hop are there. As a draw is a
function of (seed, epoch, batch, hop, node), each batch is the one that ``SeededNeighbors`` draws
from memory, to the bit.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from graphkit.data.sampler_kernels import batch_key, hop_key
from graphkit.kernels import Array
from graphkit.ooc.block_runs import BlockRuns
from graphkit.ooc.disk import BLOCK, READERS, Bytes, aligned, private
from graphkit.ooc.plan_files import Hops, padded
from graphkit.ooc.scan_batch import Batch, Desk, Scratch
from graphkit.ooc.scan_kernels import draw_from, look_up, want_lists
from graphkit.ooc.scan_window import Pairs, Window
from graphkit.seeds import derived_seed

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["ScanSampler"]

_PAIR = 40  # bytes of a node of a frontier while it is expanded
_FOLD, _HAND = 3, 4  # ids and edges of a batch, so many times: while it is folded, and handed on
_DESK = 4.3  # bytes a node that a thread keeps to give out local ids
_DESKS = 3  # a share of the memory: all such tables take one of so many, if more than one is kept
_BUFFERS = 2  # one is read into while the other is used
_CHUNK = 16 << 20  # bytes; longer ones gain nothing


class ScanSampler:
    """Draws batches by reading the graph of a store front to back, without repeats.

    A group of batches is as large as memory allows, one batch at least: what it will hold is known
    after each hop, and batches that do not fit are left to the next group. Frontiers are in order
    of nodes by themselves, so a cursor per batch takes the place of sorting the (node, batch) pairs
    of a group and of putting what was drawn back in order.

    Args:
        store: The graph.
        fanouts: In-edges drawn per hop, nearest hop first; -1 takes all.
        seed: Seed of all draws, as ``SeededNeighbors`` takes it.
        memory: Bytes this may take; chunks of 1 MiB, the longest list and one batch are the least.
        threads: Threads that draw; as many give out local ids, fewer where their tables would take
            more than a third of the memory.
        scratch: Folder for a file that holds the sources of the widest hop of a group meanwhile.
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
        scratch: Path,
        group: int | None = None,
    ) -> None:
        self.fanouts, self.seed, self.group = tuple(fanouts), seed, group
        self.num_nodes, self.num_edges = store.num_nodes, store.num_edges
        arrays = (store.arrays["graph/indptr"], store.arrays["graph/indices"])
        self._starts, self._edges = (BlockRuns(array, check=store.checks) for array in arrays)
        self._dtype = arrays[1].dtype
        self._width = self._dtype.itemsize
        self._scratch = scratch
        desk = int(_DESK * self.num_nodes) + 1
        self.threads = threads
        desks = max(1, min(threads, memory // _DESKS // desk))
        chunk = min(max(memory // 16 // BLOCK, 1) * BLOCK, _CHUNK)
        chunk = min(chunk, padded(max(array.num_bytes for array in arrays)))
        self._buffers = [_chunk(chunk) for _ in range(_BUFFERS)]
        room = memory - desks * desk - sum(map(len, self._buffers))
        self._drawn = aligned(max(room // 8, self._width))  # by a window
        self._pairs = max(room // 8 // _PAIR, 1)
        self.room = room - 2 * (room // 8)
        self._desks: SimpleQueue[Desk] = SimpleQueue()
        for _ in range(desks):
            self._desks.put(Desk(self.num_nodes))
        self._each = self._once = 0  # bytes that the last group took for each batch, and besides

    def draw(self, batches: Iterable[tuple[int, Tensor]]) -> Generator[Hops, None, None]:
        """Yields batches in order.

        Args:
            batches: Epoch and seeds of each.

        Raises:
            DamagedFile: The graph on disk is not what was written.
            StorageError: The disk is full or fails.
        """
        coming, waiting = iter(batches), deque[tuple[int, Tensor]]()
        path = self._scratch / f"drawn.tmp-{os.getpid()}"
        with (
            Scratch(path) as scratch,
            ThreadPoolExecutor(self.threads) as crew,
            ThreadPoolExecutor(READERS) as readers,
        ):
            while True:
                waiting.extend(islice(coming, 0 if waiting else 1))
                if not waiting:
                    return
                size = self._size(len(waiting[0][1]))
                waiting.extend(islice(coming, max(size - len(waiting), 0)))
                group = [waiting.popleft() for _ in range(min(size, len(waiting)))]
                done = self._walk(group, scratch, crew, readers)
                waiting.extendleft(reversed(group[len(done) :]))
                yield from self._handed_on(done, scratch, crew)

    def _size(self, seeds: int) -> int:
        """Batches of the next group, by what the last ones took or else may take."""
        if not self._each:
            edges, frontier = [], [seeds]
            for fanout in self.fanouts:
                most = self.num_edges if fanout < 0 else frontier[-1] * fanout
                edges.append(min(most, self.num_edges))
                frontier.append(min(edges[-1], self.num_nodes))
            # Half of the most: nodes are reached twice, lists are short. If it is more after all,
            # some batches are left to the next group before their last hop, which costs most.
            each = self._width * (2 * sum(frontier[:-1]) + sum(edges[:-1])) // 2
            size = (self.room - self._folding(sum(frontier) // 2, edges[-1] // 2)) // max(each, 1)
        else:
            size = (self.room - self._once) // self._each
        return max(size if self.group is None else min(size, self.group), 1)

    def _folding(self, nodes: int, edges: int) -> int:
        """Bytes for folding and handing on batches of so many nodes, and edges in the last hop: for
        one at a time, or by all threads beside one that is handed on, if that leaves half of the
        memory."""
        unit = self._width * (nodes + edges)
        several = (self.threads * _FOLD + _HAND) * unit
        return several if 2 * several <= self.room else _HAND * unit

    def _walk(
        self,
        group: list[tuple[int, Tensor]],
        scratch: Scratch,
        crew: ThreadPoolExecutor,
        readers: ThreadPoolExecutor,
    ) -> list[Batch]:
        """Draws as many of some batches as fit, from the first on, but for folding the last hop."""
        batches = [self._begin(*one) for one in group]
        last = len(self.fanouts) - 1
        for hop, fanout in enumerate(self.fanouts):
            scratch.clear()
            self._sweep(batches, hop, fanout, scratch, crew, readers)
            if hop < last:
                self._fold_some(batches, scratch, crew)
        self._fit(batches, _HAND * self._width * max(sum(batch.sizes) for batch in batches), 1)
        self._each = max(1, *(batch.num_bytes for batch in batches))
        self._once = max(self._folding(*batch.sizes) for batch in batches)
        return batches

    def _fold_some(self, batches: list[Batch], scratch: Scratch, crew: ThreadPoolExecutor) -> None:
        """Folds a hop that is not the last of as many batches as fit, from the first on; the others
        are dropped before memory is exceeded."""
        done = 0
        while done < len(batches):
            some = batches[done : done + self.threads]
            # As many new nodes as edges at the most, and a count for each in the next hop.
            more = sum((2 * self._width + 4) * batch.sizes[1] for batch in some)
            self._fit(batches, self._once + more, max(done, 1))
            some = some[: max(len(batches) - done, 0)]
            list(crew.map(lambda batch: self._fold(batch, scratch), some))
            done += len(some)

    def _fit(self, batches: list[Batch], more: int, least: int) -> None:
        """Drops the last batches until all others and so many more bytes fit."""
        held = more + sum(batch.num_bytes for batch in batches)
        while len(batches) > least and held > self.room:
            held -= batches.pop().num_bytes

    def _handed_on(
        self, batches: list[Batch], scratch: Scratch, crew: ThreadPoolExecutor
    ) -> Iterator[Hops]:
        """Yields batches, the last hop of the next ones folded meanwhile while memory lasts."""
        unit = self._width * max(1, *(sum(batch.sizes) for batch in batches))
        room = self.room - sum(batch.num_bytes for batch in batches) - _HAND * unit
        ahead = min(max(room // (_FOLD * unit), 0), self.threads)
        pending = deque[tuple[Batch, Future[None]]]()

        def begin(most: int) -> None:
            while batches and len(pending) < most:
                batch = batches.pop(0)
                pending.append((batch, crew.submit(self._fold, batch, scratch)))

        try:
            while batches or pending:
                begin(max(ahead, 1))
                batch, done = pending.popleft()
                done.result()
                begin(ahead)
                yield batch.hops()
                del batch
        finally:
            wait([done for _, done in pending])

    def _begin(self, epoch: int, seeds: Tensor) -> Batch:
        ids = seeds.numpy().astype(np.int64, copy=False)
        key = np.uint64(derived_seed(self.seed, "neighbours", epoch))
        nodes = ids.astype(self._dtype)
        return Batch(np.uint64(batch_key(key, ids)), [nodes], nodes.argsort(kind="stable"))

    def _sweep(
        self,
        batches: list[Batch],
        hop: int,
        fanout: int,
        scratch: Scratch,
        crew: ThreadPoolExecutor,
        readers: ThreadPoolExecutor,
    ) -> None:
        """Draws a hop of all batches, window by window."""
        width = np.min_scalar_type(fanout) if fanout >= 0 else np.uint32
        frontiers = tuple(batch.frontier for batch in batches)
        for batch, frontier in zip(batches, frontiers, strict=True):
            batch.counts.append(np.empty(len(frontier), dtype=width))
        keys = np.array([hop_key(batch.key, hop) for batch in batches], dtype=np.uint64)
        done = np.zeros(len(batches), dtype=np.int64)  # pairs of each batch
        # Draws of a window fit if each node has as many as it may.
        most = max(len(self._drawn) // (self._width * max(fanout, 1)), 1)
        left = [Window(tuple(range(len(batches))), frontiers, 0, self.num_nodes)]
        while left:
            window = left.pop()
            halves = window.halves() if window.size > min(self._pairs, most) else None
            if halves is None and window.size:
                pairs = Pairs.of(window.frontiers)
                self._look_up(pairs, crew, readers)
                counts = pairs.degree if fanout < 0 else np.minimum(pairs.degree, fanout)
                num_bytes = int(counts.sum()) * self._width
                if num_bytes > len(self._drawn):
                    halves = window.halves()
                if halves is None:
                    room = self._drawn if num_bytes <= len(self._drawn) else aligned(num_bytes)
                    source = room[:num_bytes].view(self._dtype)
                    ends = np.concatenate([[0], np.cumsum(counts)])
                    own = keys[list(window.batches)]
                    self._draw(pairs, own, fanout, ends, source, crew, readers)
                    start = scratch.add(room, num_bytes)
                    bounds = pairwise(pairs.bounds)
                    for number, (low, high) in zip(window.batches, bounds, strict=True):
                        place = start + int(ends[low]) * self._width
                        batches[number].wait(int(done[number]), counts[low:high], place)
                        done[number] += high - low
            if halves is not None:
                left += reversed(halves)

    def _look_up(self, pairs: Pairs, crew: ThreadPoolExecutor, readers: ThreadPoolExecutor) -> None:
        """Finds the lists of all pairs, from where lists begin."""
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
        pairs: Pairs,
        keys: Array,
        fanout: int,
        place: Array,
        source: Array,
        crew: ThreadPoolExecutor,
        readers: ThreadPoolExecutor,
    ) -> None:
        """Draws the edges of all pairs."""
        wanted = self._edges.none_wanted()
        lists = (pairs.first, pairs.degree)
        want_lists(*lists, fanout, self._edges.entries, wanted)
        cursor = pairs.bounds[:-1].copy()

        def serve(low: int, high: int, base: int, chunk: Array) -> None:
            frontier = (pairs.bounds, cursor, keys, fanout, pairs.nodes, *lists, place)
            draw_from(low, high, *frontier, chunk, base, source)

        self._pass(self._edges, wanted, serve, len(keys), crew, readers)

    def _fold(self, batch: Batch, scratch: Scratch) -> None:
        """Takes up the newest hop of a batch."""
        source = batch.take(scratch)
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


def _chunk(num_bytes: int) -> Bytes:
    return np.frombuffer(private(num_bytes, huge=True), dtype=np.uint8)
