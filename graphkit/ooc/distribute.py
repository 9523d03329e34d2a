"""Reads the feature file once, front to back, and hands every row to the regions that want it.

Each region takes its rows in ascending order of ids and so is written front to back. What it holds
in memory is a stage of a few pages; how long stages and segments are leaves no trace in the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import xxhash

from graphkit.kernels import Array
from graphkit.ooc.blocks import check_block, read_sums
from graphkit.ooc.disk import BLOCK, READERS, Reader, Writer, aligned, checksum, private
from graphkit.ooc.manifest import ArrayFile
from graphkit.ooc.plan_files import padded

__all__ = ["Run", "Scatter", "Sink", "distribute", "segments"]


class Sink(Protocol):
    """A region that is being filled."""

    def take(self, rows: Array, first: int, stop: int) -> None:
        """Copies what it wants of the rows ``first`` to ``stop`` of the feature file."""
        ...

    def hold(self) -> None:
        """Writes what it holds in memory, and keeps it."""
        ...

    def finish(self) -> None:
        """Writes what is left."""
        ...


class Run:
    """A region whose rows lie in ascending order of ids.

    Args:
        ids: Its rows, rising.
        row_bytes: Bytes of a row.
        writer: Its file.
        offset: Where it starts in the file, on a page.
        sums: Room for the checksum of each of its blocks.
        stage: Page-aligned memory; its length less the padded row is written at a time and
            divides ``BLOCK``.
    """

    def __init__(
        self, ids: Array, row_bytes: int, writer: Writer, offset: int, sums: Array, stage: Array
    ) -> None:
        self.ids, self.row_bytes, self.writer = ids, row_bytes, writer
        self.offset, self.sums, self.stage = offset, sums, stage
        self.size = len(stage) - padded(row_bytes)
        self.at = self.have = self.done = 0
        self.hash = xxhash.xxh3_64()

    def skip(self, below: int, reader: Reader) -> None:
        """Goes on where all rows below an id have been written; the last block is read back."""
        self.at = int(np.searchsorted(self.ids, below))
        held = self.at * self.row_bytes
        self.done = held // BLOCK * BLOCK
        while self.done < held:
            count = min(self.size, held - self.done)
            reader.read_into(self.stage, self.offset + self.done, padded(count))
            if count < self.size:
                self.have = count
                return
            self._passed()

    def take(self, rows: Array, first: int, stop: int) -> None:
        """Copies what it wants of some rows, and writes its stage whenever that is full."""
        high = self.at + int(np.searchsorted(self.ids[self.at :], stop))
        while self.at < high:
            count = min(high - self.at, -(-(self.size - self.have) // self.row_bytes))
            end = self.have + count * self.row_bytes
            chosen = self.ids[self.at : self.at + count].astype(np.intp) - first
            room = self.stage[self.have : end].reshape(count, self.row_bytes)
            np.take(rows, chosen, axis=0, out=room, mode="clip")  # clip: no second copy
            self.at, self.have = self.at + count, end
            if end >= self.size:
                self.writer.write_at(self.offset + self.done, self.stage[: self.size])
                self._passed()
                rest = end - self.size
                self.stage[:rest] = self.stage[self.size : end].copy()
                self.have = rest

    def hold(self) -> None:
        """Writes the pages of its stage, the last one padded with zeros, and keeps them."""
        if self.have:
            end = padded(self.have)
            self.stage[self.have : end] = 0
            self.writer.write_at(self.offset + self.done, self.stage[:end])

    def finish(self) -> None:
        """Writes what is left."""
        self.hold()
        self.hash.update(self.stage[: self.have].data)
        if (self.done + self.have) % BLOCK:
            self.sums[self.done // BLOCK] = self.hash.intdigest()

    def _passed(self) -> None:
        self.hash.update(self.stage[: self.size].data)
        self.done += self.size
        if self.done % BLOCK == 0:
            self.sums[self.done // BLOCK - 1] = self.hash.intdigest()
            self.hash.reset()


class Scatter:
    """A region whose rows lie in an order of their own; it is held in memory as a whole.

    Args:
        ids: Its rows in their order.
        row_bytes: Bytes of a row.
        writer: Its file.
        offset: Where it starts in the file, on a page.
        sums: Room for the checksum of each of its blocks.
    """

    def __init__(
        self, ids: Array, row_bytes: int, writer: Writer, offset: int, sums: Array
    ) -> None:
        self.order = np.argsort(ids, kind="stable")
        self.ids, self.at = ids[self.order], 0
        self.writer, self.offset, self.sums = writer, offset, sums
        self.num_bytes = len(ids) * row_bytes
        self.whole = aligned(self.num_bytes)
        self.rows = self.whole[: self.num_bytes].reshape(-1, row_bytes)

    def take(self, rows: Array, first: int, stop: int) -> None:
        """Copies what it wants of some rows to their places."""
        high = self.at + int(np.searchsorted(self.ids[self.at :], stop))
        self.rows[self.order[self.at : high]] = rows[self.ids[self.at : high] - first]
        self.at = high

    def hold(self) -> None:
        """Holds all until it is finished: a region like this is never taken up half-way."""

    def finish(self) -> None:
        """Writes all of it."""
        self.writer.write_at(self.offset, self.whole[: padded(self.num_bytes)])
        for number in range(len(self.sums)):
            low = number * BLOCK
            block = self.whole[low : min(low + BLOCK, self.num_bytes)]
            self.sums[number] = checksum(block)


def distribute(
    array: ArrayFile,
    sinks: Sequence[Sink],
    *,
    below: int,
    segment_bytes: int,
    threads: int,
    check: bool,
    after: Callable[[int], None],
) -> None:
    """Fills regions with rows of one array, read once.

    Args:
        array: The features.
        sinks: Regions to fill.
        below: Rows before this one have been handed out.
        segment_bytes: Bytes read at a time; twice that is held.
        threads: Threads that copy and write.
        check: Hold what is read against its checksums.
        after: Told after each segment below which row all is handed out.

    Raises:
        DamagedFile: The features are not what was written.
        StorageError: The disk is full or fails.
    """
    shares = [sinks[number::threads] for number in range(threads)]

    def serve(share: Sequence[Sink], rows: Array, first: int, stop: int) -> None:
        for sink in share:
            sink.take(rows, first, stop)

    with ThreadPoolExecutor(threads) as pool:
        for first, rows in segments(array, below, segment_bytes, check=check):
            stop = first + len(rows)
            waiting = [pool.submit(serve, share, rows, first, stop) for share in shares]
            for future in waiting:
                future.result()
            after(stop)


def segments(
    array: ArrayFile, below: int, segment_bytes: int, *, check: bool
) -> Iterator[tuple[int, Array]]:
    """Yields runs of whole rows front to back, the next one read meanwhile; every byte once.

    Args:
        array: The rows.
        below: First row to yield.
        segment_bytes: Bytes read at a time, rounded to whole blocks.
        check: Hold each block against its checksum.

    Yields:
        Number of the first row, and the rows as ``(rows, row_bytes)`` of uint8, valid until the
        next ones.
    """
    row_bytes = array.row_bytes
    size = max(segment_bytes // BLOCK, 1) * BLOCK
    head = padded(row_bytes)  # room for the start of a row that the segment before ended with
    buffers = [np.frombuffer(private(head + size, huge=True), dtype=np.uint8) for _ in range(2)]
    sums = read_sums(array) if check else None
    start = below * row_bytes // BLOCK * BLOCK

    def read(at: int, into: Array) -> None:
        length = min(BLOCK, array.num_bytes - at)
        reader.read_into(into, array.offset + at, length)
        if sums is not None:
            check_block(array, at // BLOCK, into[:length], int(sums[at // BLOCK]))

    def begin_reading(number: int) -> list[Future[None]]:
        first, into = start + number * size, buffers[number % 2][head:]
        stop = min(first + size, array.num_bytes)
        return [pool.submit(read, at, into[at - first :]) for at in range(first, stop, BLOCK)]

    with Reader(array.path) as reader, ThreadPoolExecutor(READERS) as pool:
        count = -(-(array.num_bytes - start) // size)
        ahead = begin_reading(0) if count else []
        row = below
        for number in range(count):
            for block in ahead:
                block.result()
            ahead = begin_reading(number + 1) if number + 1 < count else []
            begin = start + number * size
            end = min(begin + size, array.num_bytes)
            low, high = head + row * row_bytes - begin, head + end - begin
            rows = buffers[number % 2][low : low + (high - low) // row_bytes * row_bytes]
            yield row, rows.reshape(-1, row_bytes)
            row += len(rows) // row_bytes
            left = end - row * row_bytes  # the start of a row whose end is in the next segment
            buffers[(number + 1) % 2][head - left : head] = buffers[number % 2][high - left : high]
