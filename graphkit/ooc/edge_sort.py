"""Edges in any order into in-edges of every node, in memory much smaller than they are.

Two passes over the edges: one counts the in-edges of groups of nodes, which cuts the nodes into
ranges whose edges fit; one lays each edge, as one number (destination, source), into the bucket of
its range. Then each bucket is sorted by itself and written on. The result is the edges in order of
destination, then source: a function of the graph alone, whatever the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from graphkit.errors import DataError, SettingError
from graphkit.ooc.disk import Reader, Writer
from graphkit.ooc.sizes import show_bytes

__all__ = ["EdgeSort", "Loops", "Watch"]

Ids: TypeAlias = npt.NDArray[np.int64]
Chunks: TypeAlias = Callable[[int], Iterator[tuple[Ids, Ids]]]
Loops = Literal["keep", "add", "drop"]
Watch: TypeAlias = Callable[[str, int, int], None]

_GROUPS = 18  # bits of a node's group: a table of 2 MiB
_CHUNK_BYTES = 128  # of all temporaries of an edge while it is laid into its bucket


@dataclass
class EdgeSort:
    """One sorting of edges; ``count``, then ``columns``, each once.

    Args:
        chunks: Yields sources and destinations, at most as many edges as it is told.
        num_nodes: Nodes of the graph.
        memory: Bytes to work in.
        scratch: Folder for the buckets, where the edges do not fit into memory.
        undirected: Add the opposite of each edge.
        dedup: Keep one of several equal edges.
        loops: ``add`` leaves every node with exactly one edge to itself, ``drop`` with none.
        watch: Told the stage, and bytes done and in all.
    """

    chunks: Chunks
    num_nodes: int
    memory: int
    scratch: Path
    undirected: bool = False
    dedup: bool = False
    loops: Loops = "keep"
    watch: Watch = lambda stage, done, total: None
    _given: int = 0
    _of_group: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        self._bits = max((self.num_nodes - 1).bit_length(), 1)
        self._shift = max(self._bits - _GROUPS, 0)
        self._chunk = max(self.memory // 8 // _CHUNK_BYTES, 1024)

    def count(self) -> int:
        """Reads all edges once and checks them; returns how many are going to be sorted.

        Raises:
            DataError: An edge names a node that is not there; it says which edge.
        """
        groups = ((self.num_nodes - 1) >> self._shift) + 1 if self.num_nodes else 0
        self._of_group = np.zeros(groups, dtype=np.int64)
        for source, destination in self.chunks(self._chunk):
            self._check(source, destination)
            self._given += len(source)
            for _, into in self._directions(source, destination):
                self._of_group += np.bincount(into >> self._shift, minlength=groups)
            self.watch("counting edges", self._given * 16, 0)
        if self.loops == "add":
            starts = np.arange(groups + 1, dtype=np.int64) << self._shift
            self._of_group += np.diff(np.minimum(starts, self.num_nodes))
        return int(self._of_group.sum())

    def columns(self) -> Iterator[tuple[Ids, Iterator[Ids]]]:
        """Yields, for one range of nodes after another, an array for their numbers of in-edges
        and their sources in chunks; the array is filled once the chunks have been taken.

        Raises:
            SettingError: The in-edges of a few nodes do not fit into memory.
            DataError: The edges are not those that were counted.
            StorageError: The disk is full or fails.
        """
        cuts = self._cut()
        sizes = np.add.reduceat(self._of_group, cuts[:-1]) if len(cuts) > 1 else np.zeros(0, int)
        lows = np.minimum(cuts << self._shift, self.num_nodes)
        place = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        buckets: _Held | _OnDisk
        if len(cuts) <= 2:
            buckets = _Held(np.empty(int(place[-1]), dtype=np.int64))
        else:
            buckets = _OnDisk(self.scratch / "edges.tmp", int(place[-1]) * 8)
        try:
            filled = self._lay(buckets, lows, place)
            total = int(place[-1]) * 8
            for number in range(len(cuts) - 1):
                low, high = int(lows[number]), int(lows[number + 1])
                keys = buckets.take(int(place[number]), int(place[number + 1]))
                if self.loops == "add":
                    own = np.arange(high - low, dtype=np.int64)
                    keys[filled[number] :] = (own << self._bits) | (own + low)
                keys.sort()
                degree: Ids = np.zeros(high - low, dtype=np.int64)
                yield degree, self._sources(keys, degree)
                del keys, degree  # before the next bucket is taken
                self.watch("sorting edges", int(place[number + 1]) * 8, total)
        finally:
            buckets.close()

    def _check(self, source: Ids, destination: Ids) -> None:
        for side, ids in (("source", source), ("destination", destination)):
            if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self.num_nodes:
                at = int(((ids < 0) | (ids >= self.num_nodes)).argmax())
                raise DataError(
                    f"the {side} of edge {self._given + at} is {int(ids[at])}: out of range for "
                    f"{self.num_nodes} nodes; expected 0 <= id < {self.num_nodes}"
                )

    def _directions(self, source: Ids, destination: Ids) -> list[tuple[Ids, Ids]]:
        if self.loops != "keep":
            proper = source != destination
            source, destination = source[proper], destination[proper]
        if self.undirected:
            return [(source, destination), (destination, source)]
        return [(source, destination)]

    def _cut(self) -> Ids:
        """First group of each bucket, and the number of groups."""
        most = self.memory // 2 // 8
        # A bucket's nodes have a number that leaves room for a source, and a table of degrees.
        nodes = min(1 << min(63 - self._bits, 62), self.memory // 128)
        reach = max(nodes >> self._shift, 1)
        ends = np.cumsum(self._of_group)
        cuts, taken = [0], 0
        while cuts[-1] < len(ends):
            first = cuts[-1]
            stop = int(np.searchsorted(ends, taken + most, side="right"))
            stop = min(max(stop, first), first + reach, len(ends))
            if stop == first:
                size = int(self._of_group[first]) * 16
                raise SettingError(
                    f"the in-edges of nodes {first << self._shift} to "
                    f"{((first + 1) << self._shift) - 1} take {show_bytes(size)} to sort; "
                    f"memory is {show_bytes(self.memory)}"
                )
            taken = int(ends[stop - 1])
            cuts.append(stop)
        return np.asarray(cuts, dtype=np.int64)

    def _lay(self, buckets: _Held | _OnDisk, lows: Ids, place: Ids) -> Ids:
        """Lays every edge into its bucket; returns how many each got."""
        filled: Ids = np.zeros(len(lows) - 1, dtype=np.int64)
        seen = 0
        for source, destination in self.chunks(self._chunk):
            seen += len(source)
            for origin, into in self._directions(source, destination):
                bucket = np.searchsorted(lows[1:], into, side="right").astype(np.uint32)
                key = ((into - lows[bucket]) << self._bits) | origin
                sizes = np.bincount(bucket, minlength=len(filled))
                if seen > self._given or bool((filled + sizes > np.diff(place)).any()):
                    raise DataError("the edges changed while they were read")
                if len(filled) > 1:
                    key = key[np.argsort(bucket, kind="stable")]
                start = 0
                for number in np.flatnonzero(sizes).tolist():
                    part = key[start : start + int(sizes[number])]
                    buckets.put(int(place[number] + filled[number]), part)
                    start += len(part)
                filled += sizes
            self.watch("reading edges", seen * 16, self._given * 16)
        loops = np.diff(lows) if self.loops == "add" else 0
        if bool((filled + loops != np.diff(place)).any()):
            raise DataError("the edges changed while they were read")
        buckets.settle()
        return filled

    def _sources(self, keys: Ids, degree: Ids) -> Iterator[Ids]:
        last = -1
        for start in range(0, len(keys), self._chunk):
            part = keys[start : start + self._chunk]
            if self.dedup:
                fresh = np.diff(part, prepend=last) != 0
                last = int(part[-1])
                part = part[fresh]
            if len(part):
                into = part >> self._bits
                found = np.bincount(into - into[0])
                degree[into[0] : into[0] + len(found)] += found
                yield part & ((1 << self._bits) - 1)


class _Held:
    """A single bucket, in memory."""

    def __init__(self, keys: Ids) -> None:
        self._keys = keys

    def put(self, first: int, keys: Ids) -> None:
        self._keys[first : first + len(keys)] = keys

    def settle(self) -> None: ...

    def take(self, first: int, stop: int) -> Ids:
        return self._keys[first:stop]

    def close(self) -> None: ...


class _OnDisk:
    """Buckets side by side in one file."""

    def __init__(self, path: Path, num_bytes: int) -> None:
        self._writer = Writer(path, num_bytes=num_bytes, direct=False)
        self._reader: Reader | None = None

    def put(self, first: int, keys: Ids) -> None:
        self._writer.write_at(first * 8, keys)

    def settle(self) -> None:
        self._writer.flush()
        self._reader = Reader(self._writer.path, direct=False)

    def take(self, first: int, stop: int) -> Ids:
        assert self._reader is not None
        raw: npt.NDArray[Any] = np.empty((stop - first) * 8, dtype=np.uint8)
        self._reader.read_into(raw, first * 8, len(raw))
        return raw.view(np.int64)

    def close(self) -> None:
        self._writer.close()
        if self._reader is not None:
            self._reader.close()
