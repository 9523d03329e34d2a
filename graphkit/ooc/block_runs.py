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
            buffers: Page-aligned memory, of equal size; all but one are read ahead into.
            readers: Threads that read.

        Raises:
            DamagedFile: A block is not what was written.
            StorageError: The disk fails.
        """
        runs, ahead = list(_runs(wanted, max(len(buffers[0]) // BLOCK, 1))), deque[Future[Array]]()
        with Reader(self.array.path, direct=self.array.offset % PAGE == 0) as reader:
            try:
                for number, (first, _) in enumerate(runs):
                    while len(ahead) < len(buffers) and number + len(ahead) < len(runs):
                        at = number + len(ahead)
                        into = buffers[at % len(buffers)]
                        ahead.append(readers.submit(self._read, reader, *runs[at], into))
                    yield first * self.entries, ahead.popleft().result()
            finally:
                wait(ahead)

    def _read(self, reader: Reader, first: int, stop: int, into: Bytes) -> Array:
        length = min(stop * BLOCK, self.array.num_bytes) - first * BLOCK
        reader.read_into(into, self.array.offset + first * BLOCK, length)
        for block in range(first, stop) if self._sums is not None else ():
            if not self._checked[block]:
                assert self._sums is not None
                low = (block - first) * BLOCK
                content = into[low : min(low + BLOCK, length)]
                check_block(self.array, block, content, int(self._sums[block]))
                self._checked[block] = True
        return into[:length].view(self.array.dtype)


def _runs(wanted: Array, most: int) -> Iterator[tuple[int, int]]:
    """Cuts the wanted blocks into runs of at most so many."""
    blocks = np.flatnonzero(wanted)
    cuts = np.flatnonzero(np.diff(blocks) > 1) + 1
    for run in np.split(blocks, cuts) if len(blocks) else ():
        stop = int(run[-1]) + 1
        for low in range(int(run[0]), stop, most):
            yield low, min(low + most, stop)
