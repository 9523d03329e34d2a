"""Memory that batches are put together in: reused, and never while anything refers to it."""

from __future__ import annotations

import mmap
import weakref
from queue import Empty, SimpleQueue

import numpy as np

from graphkit.ooc.disk import Bytes, private

__all__ = ["Buffers"]


class Buffers:
    """Equally large buffers. One that is lent is free again once no array or tensor refers to it.

    Args:
        num_bytes: Size of each.
        count: How many.
    """

    def __init__(self, num_bytes: int, count: int) -> None:
        self.num_bytes, self.count = num_bytes, count
        self.made = 0  # that are in memory
        self._free: SimpleQueue[mmap.mmap] = SimpleQueue()

    def lend(self) -> Bytes | None:
        """Returns a buffer, with what was last in it, or ``None`` if all are in use."""
        while True:
            try:
                memory = self._free.get_nowait()
            except Empty:
                if self.made >= self.count:
                    return None
                memory = private(self.num_bytes, huge=True)
                self.made += 1
            if self.made <= self.count:
                break
            self.made -= 1  # ``count`` was lowered: this one is not lent again
        # A new array each time: whatever is cut out of it, torch's tensors too, keeps it alive. A
        # simple queue may be put into wherever the last reference goes, inside of itself too.
        root = np.frombuffer(memory, dtype=np.uint8)
        weakref.finalize(root, self._free.put, memory).atexit = False
        return root

    def drop_free(self) -> None:
        """Gives memory that is not in use back to the system, down to ``count`` buffers."""
        while self.made > self.count:
            try:
                self._free.get_nowait()
            except Empty:
                return
            self.made -= 1
