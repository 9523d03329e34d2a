"""Chosen blocks of an array in the order of the file, the next ones read while one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, wait

import numpy as np

from graphkit.kernels import Array
from graphkit.ooc.blocks import check_block, read_sums
from graphkit.ooc.disk import BLOCK, PAGE, Bytes, Reader
from graphkit.ooc.manifest import ArrayFile

__all__ = ["BlockRuns"]


class BlockRuns:
    """Reads blocks of an array again and again, past the page cache.

    Args:
        array: The array, of one dimension.
        check: Hold each block against its checksum when it is read for the first time.
    """

    def __init__(self, array: ArrayFile, *, check: bool) -> None:
        self.array = array
        self.entries = BLOCK // array.dtype.itemsize  # of a block
        self._sums = read_sums(array) if check else None
        self._checked = np.zeros(array.num_blocks, dtype=bool)

    def none_wanted(self) -> Array:
        """Returns a mark for each block, to be set for those that are to be read."""
        return np.zeros(self.array.num_blocks, dtype=bool)

    def chunks(
        self, wanted: Array, buffers: Sequence[Bytes], readers: Executor
    ) -> Generator[tuple[int, Array], None, None]:
        """Yields number of the first entry and entries of runs of blocks, valid until the next.

        Args:
            wanted: Which blocks.
            buffers: Page-aligned memory of whole blocks (less for a short array), of equal size;
                all but one are read ahead into, as many runs as fit.
            readers: Threads that read, a block at a time.

        Raises:
            DamagedFile: A block is not what was written.
            StorageError: The disk fails.
        """
        room = max(len(buffers[0]) // BLOCK, 1)
        loads, ahead = list(_loads(_runs(wanted, room), room)), deque[list[Future[None]]]()
        with Reader(self.array.path, direct=self.array.offset % PAGE == 0) as reader:
            try:
                for number, load in enumerate(loads):
                    while len(ahead) < len(buffers) and number + len(ahead) < len(loads):
                        at = number + len(ahead)
                        into = buffers[at % len(buffers)]
                        ahead.append([
                            readers.submit(self._read, reader, block, into[place * BLOCK :])
                            for place, block in enumerate(_blocks(loads[at]))
                        ])  # fmt: skip
                    for read in ahead[0]:
                        read.result()
                    ahead.popleft()
                    start = 0
                    for first, stop in load:
                        length = min(stop * BLOCK, self.array.num_bytes) - first * BLOCK
                        chunk = buffers[number % len(buffers)][start : start + length]
                        yield first * self.entries, chunk.view(self.array.dtype)
                        start += (stop - first) * BLOCK
            finally:
                wait([read for load in ahead for read in load])

    def _read(self, reader: Reader, block: int, into: Bytes) -> None:
        length = min(BLOCK, self.array.num_bytes - block * BLOCK)
        reader.read_into(into, self.array.offset + block * BLOCK, length)
        if self._sums is not None and not self._checked[block]:
            check_block(self.array, block, into[:length], int(self._sums[block]))
            self._checked[block] = True


def _runs(wanted: Array, most: int) -> Iterator[tuple[int, int]]:
    """Cuts the wanted blocks into runs of at most so many."""
    blocks = np.flatnonzero(wanted)
    cuts = np.flatnonzero(np.diff(blocks) > 1) + 1
    for run in np.split(blocks, cuts) if len(blocks) else ():
        stop = int(run[-1]) + 1
        for low in range(int(run[0]), stop, most):
            yield low, min(low + most, stop)


def _loads(runs: Iterator[tuple[int, int]], most: int) -> Iterator[list[tuple[int, int]]]:
    """Puts runs together that are of so many blocks at most."""
    load, size = list[tuple[int, int]](), 0
    for first, stop in runs:
        if load and size + stop - first > most:
            yield load
            load, size = [], 0
        load.append((first, stop))
        size += stop - first
    if load:
        yield load


def _blocks(load: list[tuple[int, int]]) -> Iterator[int]:
    for first, stop in load:
        yield from range(first, stop)
