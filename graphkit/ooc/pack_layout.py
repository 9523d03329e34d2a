"""Decides where every row of every batch lies, before a single one is moved.

All sizes follow from the plan and the placement, so disk space is claimed, or refused, at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from graphkit.kernels import Array
from graphkit.ooc.disk import BLOCK, Writer, aligned, checksum, remove_tree
from graphkit.ooc.pack_files import BATCH, DEVICE, HOST, REGION, SHARED
from graphkit.ooc.placement import Curve, Placement, cached_ids
from graphkit.ooc.plan import Plan, Watch
from graphkit.ooc.plan_files import next_place, padded
from graphkit.ooc.residency import Members, members, sort_out
from graphkit.ooc.shared_rows import Span, share

__all__ = ["Cuts", "Sorted", "Sorter", "lay_out", "place_bytes", "sorting_bytes"]

_NONE = np.empty(0, dtype=np.uint64)
_NOT_ONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Cuts:
    """How a pack is cut up. The first two decide where bytes lie, the others leave no trace.

    Args:
        shard_bytes: Most bytes of a file of regions.
        chunk_bytes: Bytes of a part of the cache or of shared rows.
        segment_bytes: Bytes of features read at a time; ``None`` follows from the memory.
        stage_bytes: Bytes of a region written at a time, a power of two from one page to
            ``BLOCK``; ``None`` follows from the memory.
        commit_bytes: Bytes written after which the disk is waited for.
    """

    shard_bytes: int = 1 << 32
    chunk_bytes: int = 8 << 20
    segment_bytes: int | None = None
    stage_bytes: int | None = None
    commit_bytes: int = 1 << 30


class Sorted(NamedTuple):
    """The places of the rows of a batch, as they are written, and how many are of each kind."""

    blob: Array
    num_bytes: int
    cold: int
    hot: int
    shared: int


@dataclass(frozen=True, eq=False)
class Sorter:
    """Says of each row of a batch where it is.

    Args:
        plan: The batches.
        hot: Cached rows.
        span: Batches that share rows; 0 if none do.
    """

    plan: Plan
    hot: Members
    span: int

    def spans(self) -> Iterator[tuple[int, int, Span | None]]:
        """Yields first batch, stop and shared rows of each span."""
        count = self.plan.num_batches
        for first in range(0, count, self.span or count):
            yield first, *self.span_of(first)

    def span_of(self, number: int) -> tuple[int, Span | None]:
        """Returns the batch after the last of a batch's span, and what the span shares."""
        count = self.plan.num_batches
        if not self.span:
            return count, None
        first = number // self.span * self.span
        stop = min(first + self.span, count)
        return stop, share(self.plan, self.hot, first, stop)

    def batch(self, number: int, span: Span | None) -> Sorted:
        """Sorts the rows of a batch."""
        ids = self.plan.ids(number)
        where = np.empty(len(ids), dtype=np.int64)
        cold_at = np.empty(len(ids), dtype=np.int32)
        both = (_NONE, _NOT_ONE, _NOT_ONE)
        if span is not None:
            both = (span.members.words, span.members.before, span.members.slots)
        sets = (self.hot.words, self.hot.before, self.hot.slots, *both)
        hot = len(self.hot)
        cold, shared = sort_out(ids, *sets, hot, where, cold_at)
        cold_at = cold_at[:cold]
        where[cold_at[np.argsort(ids[cold_at], kind="stable")]] = -1 - np.arange(cold)
        needed = _NOT_ONE
        if shared:
            at = where >= hot
            needed, place = np.unique(where[at], return_inverse=True)
            where[at], needed = hot + place, needed - hot
        width = place_bytes(self.plan.num_nodes)
        num_bytes = (len(where) + len(needed)) * width
        blob = aligned(num_bytes)
        places = blob[:num_bytes].view(f"<i{width}")
        places[: len(where)], places[len(where) :] = where, needed
        return Sorted(blob, num_bytes, cold, len(ids) - cold - shared, len(needed))


def place_bytes(num_nodes: int) -> int:
    """Returns the bytes of a place: 4 while twice the nodes can be numbered with 31 bits."""
    return 4 if num_nodes < 1 << 30 else 8


def sorting_bytes(plan: Plan, placement: Placement, threads: int) -> int:
    """Returns the memory that laying out takes."""
    ids = 8 * placement.cached_rows + plan.num_nodes // 4
    if placement.span:
        ids += plan.num_nodes // 2 + 40 * min(placement.cold_rows, plan.num_nodes)
    return ids + 4 * plan.num_nodes + 64 * threads * plan.totals["most_nodes"]


def lay_out(
    path: Path, plan: Plan, placement: Placement, cuts: Cuts, threads: int, watch: Watch
) -> Array:
    """Writes the places of all rows, and the ids of cached and of shared ones.

    Returns:
        A record for each region: batches, the cache, then what spans share.
    """
    counts = plan.counts()
    cached = cached_ids(counts, Curve.of(counts), placement)
    del counts
    _write(path / "cache_ids.bin", cached)
    sorter = Sorter(plan, members(cached, plan.num_nodes), placement.span)
    records = np.zeros(plan.num_batches, dtype=REGION)
    chunk_rows = max(cuts.chunk_bytes // placement.row_bytes, 1)
    others = [
        *_parts(DEVICE, placement.device_rows, chunk_rows),
        *_parts(HOST, placement.host_rows, chunk_rows),
    ]
    shared_rows = 0
    with (
        Writer(path / "shared_ids.bin", num_bytes=None, direct=False) as shared_file,
        _Shards(path, "where", cuts.shard_bytes) as shards,
        ThreadPoolExecutor(threads) as pool,
    ):
        for first, stop, span in sorter.spans():
            if span is not None and len(span.ids):
                width = span.ids.itemsize
                shared_file.write_at(shared_rows * width, span.ids)
                shared_rows += len(span.ids)
            records["shared_first"][first:stop] = plan.num_batches + len(others)
            others += _parts(SHARED, 0 if span is None else len(span.ids), chunk_rows)
            for number, found in _in_order(pool, threads, sorter, span, first, stop):
                record = records[number]
                record["where_shard"], record["where_offset"] = shards.add(found.blob)
                record["where_bytes"] = found.num_bytes
                record["where_sum"] = checksum(found.blob[: found.num_bytes])
                record["rows"], record["hot"], record["shared"] = found[2:]
                watch("lay out", number + 1, plan.num_batches)
        shards.finish()
        shared_file.flush()
    records["kind"] = BATCH
    every = np.concatenate([records, np.array(others, dtype=REGION)]) if others else records
    _set_places(every, placement.row_bytes, cuts.shard_bytes)
    return every


def _in_order(
    pool: ThreadPoolExecutor, threads: int, sorter: Sorter, span: Span | None, first: int, stop: int
) -> Iterator[tuple[int, Sorted]]:
    """Sorts batches in threads, a few ahead, and yields them in order."""
    waiting: deque[tuple[int, Future[Sorted]]] = deque()
    for number in range(first, stop):
        waiting.append((number, pool.submit(sorter.batch, number, span)))
        if len(waiting) > threads:
            number, future = waiting.popleft()
            yield number, future.result()
    for number, future in waiting:
        yield number, future.result()


class _Shards:
    """Files of runs of bytes, each on a page, filled one after another."""

    def __init__(self, path: Path, name: str, limit: int) -> None:
        self.path, self.name, self.limit = path, name, limit
        self.number = self.end = 0
        self.file = self._open(0)

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, blob: Array) -> tuple[int, int]:
        """Writes whole pages; returns shard and offset."""
        shard, offset = next_place(self.number, self.end, len(blob), self.limit)
        if shard != self.number:
            self.file.flush()
            self.file.close()
            self.file, self.number = self._open(shard), shard
        self.file.write_at(offset, blob)
        self.end = offset + len(blob)
        return shard, offset

    def finish(self) -> None:
        """Waits for the disk, and removes what an interrupted run has left."""
        self.file.flush()
        for stray in self.path.glob(f"{self.name}-*.bin"):
            if int(stray.stem.rpartition("-")[2]) > self.number:
                remove_tree(stray)

    def _open(self, number: int) -> Writer:
        return Writer(self.path / f"{self.name}-{number:03d}.bin", num_bytes=None)


def _parts(kind: int, rows: int, chunk_rows: int) -> list[np.void]:
    """Records of rows that are cut into regions of their own."""
    parts = np.zeros(-(-rows // chunk_rows), dtype=REGION)
    parts["kind"] = kind
    parts["rows"] = chunk_rows
    if len(parts):
        parts["rows"][-1] = rows - (len(parts) - 1) * chunk_rows
    return list(parts)


def _set_places(records: Array, row_bytes: int, limit: int) -> None:
    lengths = records["rows"].astype(np.int64) * row_bytes
    shard = end = 0
    for number, length in enumerate(lengths.tolist()):
        shard, offset = next_place(shard, end, length, limit)
        records["shard"][number], records["offset"][number] = shard, offset
        end = offset + padded(length)
    blocks = -(-lengths // BLOCK)
    records["first_sum"] = np.cumsum(blocks) - blocks


def _write(path: Path, values: Array) -> None:
    with Writer(path, num_bytes=None, direct=False) as file:
        file.write_at(0, values)
        file.flush()
