"""A mini-batch on its way while a graph is scanned, and the file its drawn edges wait in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from graphkit.data.sampler_kernels import collect, enter_seeds, forget, mark
from graphkit.kernels import Array
from graphkit.ooc.disk import Bytes, Reader, Writer, remove_tree
from graphkit.ooc.plan_files import Hops, padded
from graphkit.ooc.scan_kernels import localize

__all__ = ["Batch", "Desk", "Scratch"]


@dataclass(eq=False)
class Batch:
    """A batch on its way: the hops so far, and where the edges of the newest one wait.

    Args:
        key: Key of its draws.
        nodes: Nodes that each hop added, the seeds first.
        order: Which seed comes first, second, ... by its id: seeds alone come in any order.
        counts: Edges of each node of each frontier.
        rows: Local ids of sources, by destination, of the hops that are folded.
        waiting: First byte and number of the sources of each piece in the scratch file.
    """

    key: np.uint64
    nodes: list[Array]
    order: Array | None
    counts: list[Array] = field(default_factory=list)
    rows: list[Array] = field(default_factory=list)
    waiting: list[tuple[int, int]] = field(default_factory=list)

    @property
    def frontier(self) -> Array:
        """Nodes to expand, in ascending order."""
        return self.nodes[-1] if self.order is None else self.nodes[-1][self.order]

    @property
    def sizes(self) -> tuple[int, int]:
        """Its nodes, and the sources in the scratch file."""
        return sum(map(len, self.nodes)), sum(count for _, count in self.waiting)

    @property
    def num_bytes(self) -> int:
        """What it holds in memory."""
        return sum(part.nbytes for parts in (self.nodes, self.counts, self.rows) for part in parts)

    def wait(self, first: int, counts: Array, place: int) -> None:
        """Notes what was drawn of a run of the frontier.

        Args:
            first: Its first node, as a place in the frontier.
            counts: Edges of each of its nodes.
            place: Where their sources begin in the scratch file.
        """
        self.counts[-1][first : first + len(counts)] = counts
        size = int(counts.sum())
        if size:
            self.waiting.append((place, size))

    def take(self, scratch: Scratch) -> Array:
        """Returns the sources of the newest hop, and puts its counts in the order of the nodes."""
        source = scratch.read(self.waiting, self.nodes[0].dtype)
        self.waiting = []
        if self.order is not None:
            sizes, place = self.counts[-1].astype(np.int64), np.empty_like(self.order)
            place[self.order] = np.arange(len(place))
            ends = np.cumsum(sizes)
            self.counts[-1] = self.counts[-1][place]
            lengths = sizes[place]
            shift = (ends - sizes)[place] - (np.cumsum(lengths) - lengths)
            source = source[np.repeat(shift, lengths) + np.arange(len(source))]
            self.order = None
        return source

    def hops(self) -> Hops:
        """Returns it as it is written down."""
        return Hops(self.nodes, self.rows, self.counts)


class Desk:
    """Tables over all nodes on which one batch at a time gets its local ids."""

    def __init__(self, num_nodes: int) -> None:
        words = num_nodes // 64 + 1
        self.table: Array = np.zeros(num_nodes, dtype=np.int32)
        self.seen: Array = np.zeros(words, dtype=np.uint64)
        self.fresh: Array = np.zeros(words, dtype=np.uint64)
        self.filled: Array = np.zeros(words // 64 + 1, dtype=np.uint64)

    def fold(self, batch: Batch, source: Array) -> None:
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


class Scratch:
    """A file for drawn edges that wait until all of their hop are there; gone when it is closed.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.end = path, 0
        self._writer = Writer(path, num_bytes=None)
        self._reader = Reader(path)

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._writer.close()
        remove_tree(self.path)

    def clear(self) -> None:
        """Forgets what is in it; its room is used again."""
        self.end = 0

    def add(self, content: Bytes, num_bytes: int) -> int:
        """Writes the start of ``content``, which has room for whole pages; returns its place."""
        start = self.end
        if num_bytes:
            self._writer.write_at(start, content[: padded(num_bytes)])
            self.end += padded(num_bytes)
            self._reader.size = max(self._reader.size, self.end)
        return start

    def read(self, pieces: list[tuple[int, int]], dtype: np.dtype) -> Array:
        """Returns entries that lie in pieces, each given by first byte and number."""
        width = dtype.itemsize
        out: Array = np.empty(sum(count for _, count in pieces), dtype=dtype)
        done = 0
        for start, count in pieces:
            into = out[done : done + count].view(np.uint8)
            self._reader.read_into(into, start, count * width)
            done += count
        return out
