"""Rows of features by node, tier behind tier: ``read(ids)`` of a cache asks the one below."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphkit.errors import DataError, SettingError
from graphkit.ooc.blocks import check_block, read_sums
from graphkit.ooc.disk import BLOCK, PAGE, Bytes, Reader, aligned
from graphkit.ooc.row_kernels import cut_rows, reads
from graphkit.ooc.store import Store

__all__ = ["Cached", "Lru", "OnDisk", "Rows"]

Ids: TypeAlias = npt.NDArray[np.int64]


@runtime_checkable
class Rows(Protocol):
    """Features of nodes, wherever they lie."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of nodes, and of columns."""
        ...

    def read(self, ids: Tensor) -> Tensor:
        """Returns the rows of nodes, in the order asked for, some maybe twice.

        Shape:
            ids ``(rows,)`` int64 -> ``(rows, columns)`` float32.
        """
        ...


class OnDisk:
    """Reads rows from the file itself, the few that are asked for, past the page cache.

    Rows are put in order and merged into pages, pages into longer reads where a gap costs less
    than another request; threads share the reads. Where most of the file is asked for, this
    becomes a scan from front to back.

    Args:
        store: Whose features; opened with ``lazy``, each block is checked when first touched.
        threads: Reads under way at once.
        gap_bytes: Longest gap that is read along.
        buffer_bytes: Memory for pages; a larger request is served in turns.

    Raises:
        SettingError: There is no thread, or memory for less than a row.
    """

    def __init__(
        self,
        store: Store,
        *,
        threads: int = 8,
        gap_bytes: int = 32 << 10,
        buffer_bytes: int = 64 << 20,
    ) -> None:
        self.array = store.arrays["node/x"]
        if threads < 1 or buffer_bytes < self.array.row_bytes + 2 * PAGE:
            raise SettingError(f"threads = {threads}, buffer_bytes = {buffer_bytes}: too few")
        self.shape = (store.num_nodes, store.dims.in_channels)
        self._store, self._threads = store, threads
        self._gap, self._pages = gap_bytes // PAGE, buffer_bytes // PAGE
        self._buffer: Bytes = aligned(0)
        self._unchecked = np.full(self.array.num_blocks, store.verify == "lazy")
        self._sums = read_sums(self.array) if store.verify == "lazy" else None
        self._file = Reader(self.array.path)
        self._pool = ThreadPoolExecutor(threads)
        self.num_requests = self.num_pages = 0  # since it was made

    def __enter__(self) -> OnDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file and ends the threads."""
        self._file.close()
        self._pool.shutdown()

    def read(self, ids: Tensor) -> Tensor:
        """Returns the rows of nodes, in the order asked for, some maybe twice.

        Raises:
            DataError: A node is not in the store.
            DamagedFile: A block is not what was written.
            StorageError: The disk fails.
        """
        nodes, place = np.unique(_checked(ids, self.shape[0]), return_inverse=True)
        width = self.array.row_bytes
        raw = np.empty((len(nodes), width), dtype=np.uint8)
        first, last = nodes * width // PAGE, (nodes * width + width - 1) // PAGE
        fresh = self._begins(first, last)
        grown = np.where(fresh, last - first + 1, np.diff(last, prepend=-1))
        total = np.cumsum(grown)  # pages in memory up to a row, those of gaps included
        most = self._pages - 2 - width // PAGE
        start = 0
        while start < len(nodes):
            limit = int(total[start] - grown[start]) + most
            stop = max(int(np.searchsorted(total, limit, side="right")), start + 1)
            part = slice(start, stop)
            self._read_sorted(nodes[part], first[part], last[part], raw[part])
            start = stop
        return torch.from_numpy(self._store.decode(raw)[place])

    def _begins(self, first: Ids, last: Ids) -> npt.NDArray[np.bool_]:
        """Which rows begin a new run, too far from the row before to be read along with it."""
        fresh = np.ones(len(first), dtype=np.bool_)
        fresh[1:] = first[1:] - last[:-1] > self._gap + 1
        return fresh

    def _read_sorted(self, nodes: Ids, first: Ids, last: Ids, raw: Bytes) -> None:
        """Reads rows that fit into the buffer together."""
        self._check_blocks(first, last)
        fresh = self._begins(first, last)
        begins = np.flatnonzero(fresh)
        offsets = first[begins] * PAGE
        ends = np.append(last[begins[1:] - 1], last[-1]) + 1
        lengths = ends * PAGE - offsets
        places = np.cumsum(lengths) - lengths
        num_bytes = int(lengths.sum())
        if len(self._buffer) < num_bytes:
            self._buffer = aligned(num_bytes)
        self._read_runs(places, offsets, lengths)
        run = np.cumsum(fresh) - 1
        cut_rows(self._buffer, nodes * self.array.row_bytes + (places - offsets)[run], raw)
        self.num_requests += len(offsets)
        self.num_pages += num_bytes // PAGE

    def _read_runs(self, places: Ids, offsets: Ids, lengths: Ids) -> None:
        """Reads runs into the buffer, cut to a block at most, each thread an equal share."""
        pieces = -(-lengths // BLOCK)
        inner = (np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)) * BLOCK
        places, offsets = np.repeat(places, pieces) + inner, np.repeat(offsets, pieces) + inner
        lengths = np.minimum(np.repeat(lengths, pieces) - inner, BLOCK)
        got = np.zeros(len(places), dtype=np.int64)
        shares = np.linspace(0, len(places), min(self._threads, len(places)) + 1).astype(np.int64)
        memory = self._buffer.ctypes.data
        jobs = []
        for low, high in pairwise(shares.tolist()):
            parts = (places[low:high], offsets[low:high], lengths[low:high], got[low:high])
            jobs.append(self._pool.submit(reads(), self._file.fileno(), memory, *parts))
        for job in jobs:
            job.result()
        wanted = np.minimum(lengths, self._file.size - offsets)
        for at in np.flatnonzero(got < wanted).tolist():  # none, unless the disk has a fault
            room = self._buffer[places[at] : places[at] + lengths[at]]
            self._file.read_into(room, int(offsets[at]), int(wanted[at]))
        if not self._file.direct:
            self._file.drop()

    def _check_blocks(self, first: Ids, last: Ids) -> None:
        if self._sums is None:
            return
        low, high = first * PAGE // BLOCK, last * PAGE // BLOCK
        span = int((high - low).max())
        touched = np.unique(np.concatenate([np.minimum(low + k, high) for k in range(span + 1)]))
        block = aligned(BLOCK)
        for number in touched[self._unchecked[touched]].tolist():
            length = min(BLOCK, self.array.num_bytes - number * BLOCK)
            self._file.read_into(block, number * BLOCK, length)
            check_block(self.array, number, block[:length], int(self._sums[number]))
            self._unchecked[number] = False


class Cached:
    """Keeps the rows of some nodes in memory for good, and asks ``below`` for the others.

    Args:
        below: Where rows come from.
        hot: Nodes to keep, e.g. those a plan visits most often.

    Source:
        Liu et al., "DiskGNN", SIGMOD 2025, static cache by access count.
    """

    def __init__(self, below: Rows, hot: Tensor) -> None:
        self.below, self.shape = below, below.shape
        self._hot = np.unique(_checked(hot, self.shape[0]))
        self._rows = below.read(torch.from_numpy(self._hot))
        self.num_reads = self.num_hits = 0  # rows asked for, and those among them kept here

    def read(self, ids: Tensor) -> Tensor:
        """Returns the rows of nodes, in the order asked for."""
        nodes = _checked(ids, self.shape[0])
        slot = np.searchsorted(self._hot, nodes)
        hit = np.zeros(len(nodes), dtype=np.bool_)
        inside = slot < len(self._hot)
        hit[inside] = self._hot[slot[inside]] == nodes[inside]
        self.num_reads += len(nodes)
        self.num_hits += int(hit.sum())
        return _joined(ids, hit, slot, self._rows, self.below)


class Lru:
    """Keeps the rows asked for last, and asks ``below`` for the others.

    What one call asks for counts as used at one moment. Takes 4 bytes per node of the graph
    besides the rows.

    Args:
        below: Where rows come from.
        num_rows: Rows to keep.

    Raises:
        SettingError: There is no row to keep.
    """

    def __init__(self, below: Rows, num_rows: int) -> None:
        if num_rows < 1:
            raise SettingError(f"num_rows = {num_rows}; expected at least one row to keep")
        self.below, self.shape = below, below.shape
        count = min(num_rows, self.shape[0])
        self._rows = torch.zeros(count, self.shape[1])
        self._slot = np.full(self.shape[0], -1, dtype=np.int32)  # of each node, -1 if not kept
        self._node: Ids = np.full(count, -1, dtype=np.int64)  # in each slot
        self._used: Ids = np.full(count, -1, dtype=np.int64)
        self._now = 0
        self.num_reads = self.num_hits = 0  # rows asked for, and those among them kept here

    def read(self, ids: Tensor) -> Tensor:
        """Returns the rows of nodes, in the order asked for."""
        nodes = _checked(ids, self.shape[0])
        slot = self._slot[nodes].astype(np.int64)
        hit = slot >= 0
        self._used[slot[hit]] = self._now
        self.num_reads += len(nodes)
        self.num_hits += int(hit.sum())
        out = _joined(ids, hit, slot, self._rows, self.below)
        self._take_in(nodes, hit, out)
        self._now += 1
        return out

    def _take_in(self, nodes: Ids, hit: npt.NDArray[np.bool_], rows: Tensor) -> None:
        fresh, place = np.unique(nodes[~hit], return_index=True)
        free = np.flatnonzero(self._used < self._now)  # not used by this very call
        count = min(len(fresh), len(free))
        if count == 0:
            return
        oldest = free[np.argsort(self._used[free], kind="stable")[:count]]
        gone = self._node[oldest]
        self._slot[gone[gone >= 0]] = -1
        self._slot[fresh[:count]] = oldest
        self._node[oldest] = fresh[:count]
        self._used[oldest] = self._now
        source = np.flatnonzero(~hit)[place[:count]]
        self._rows[torch.from_numpy(oldest)] = rows[torch.from_numpy(source)]


def _joined(
    ids: Tensor, hit: npt.NDArray[np.bool_], slot: Ids, kept: Tensor, below: Rows
) -> Tensor:
    """Rows that are kept, and the others from below."""
    here, there = torch.from_numpy(np.flatnonzero(hit)), torch.from_numpy(np.flatnonzero(~hit))
    out = torch.empty(len(hit), kept.shape[1])
    out[here] = kept[torch.from_numpy(slot[hit])]
    if len(there):
        out[there] = below.read(ids.cpu()[there])
    return out


def _checked(ids: Tensor, num_nodes: int) -> Ids:
    if ids.dim() != 1 or ids.dtype not in (torch.int32, torch.int64):
        raise DataError(f"ids are {ids.dtype} of shape {tuple(ids.shape)}; expected (rows,) int64")
    nodes: Ids = ids.cpu().long().numpy()
    if len(nodes) and not 0 <= int(nodes.min()) <= int(nodes.max()) < num_nodes:
        at = int(((nodes < 0) | (nodes >= num_nodes)).argmax())
        raise DataError(f"ids[{at}] = {int(nodes[at])} is out of range for {num_nodes} nodes")
    return nodes
