"""From a row of batch numbers to batches in memory, a few ahead of whoever takes them.

One thread for each batch under way asks for its bytes, which other threads read a block at a time
past the page cache, and puts it together. How far ahead is bounded by memory: the buffers of
finished batches, and the raw bytes of those under way.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue

import torch
from torch import Tensor

from graphkit.data.sampler_kernels import Array
from graphkit.errors import GraphkitError, SettingError
from graphkit.ooc.buffers import Buffers
from graphkit.ooc.disk import BLOCK, Bytes, Reader
from graphkit.ooc.folders import locked
from graphkit.ooc.plan_files import padded
from graphkit.ooc.sizes import show_bytes
from graphkit.ooc.source import Source

__all__ = ["Meter", "Pipeline", "Ready"]


@dataclass(frozen=True, eq=False)
class Ready:
    """A batch in memory: ids, edges and features lie in one buffer, which they keep.

    Args:
        number: Its number in the plan.
        n_id: Its nodes, seeds first.
        edge_index: In local ids.
        x: Features of its nodes.
        nodes: Nodes that each hop added, the seeds first.
        edges: Edges that each hop added.
    """

    number: int
    n_id: Tensor
    edge_index: Tensor
    x: Tensor
    nodes: list[int]
    edges: list[int]


@dataclass
class Meter:
    """What has been read, and how long was waited for it.

    Args:
        batches: Batches handed out.
        read_bytes: Bytes that came from disk.
        waited: Seconds that whoever takes batches has waited.
        seconds: Seconds from the first batch asked for to the last, those spent elsewhere too.
        peak_bytes: Most memory the process was seen to hold.
    """

    batches: int = 0
    read_bytes: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    peak_bytes: int = 0


@dataclass(frozen=True)
class _Piece:
    """One read: a block of a file, and what checks it."""

    file: Reader
    offset: int
    into: Bytes
    check: Callable[[Bytes], None] | None


class _Stopped(Exception):
    """Nobody waits for the batch any more."""


class Pipeline:
    """Reads batches of one part.

    Args:
        source: Where they are.
        buffers: Where they are put together.
        raw: Room for the bytes of each batch under way; their number says how many.
        threads: Reads under way at once.
        meter: What keeps count.
        may_grow: Asked whether one more buffer may be made when all are held by others.
    """

    def __init__(
        self,
        source: Source,
        buffers: Buffers,
        raw: list[Bytes],
        threads: int,
        meter: Meter,
        may_grow: Callable[[int], bool] = lambda num_bytes: True,
    ) -> None:
        self.source, self.buffers, self.meter = source, buffers, meter
        self.may_grow = may_grow
        self.failed: GraphkitError | None = None  # set from outside, it ends the pipeline
        self._stop = threading.Event()
        self._raw: SimpleQueue[Bytes] = SimpleQueue()
        for room in raw:
            self._raw.put(room)
        self._workers = ThreadPoolExecutor(len(raw), thread_name_prefix="graphkit-batch")
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="graphkit-read")
        self._threads = threads

    def run(self, numbers: Sequence[int]) -> Generator[Ready, None, None]:
        """Yields batches in the order asked for; closing it ends all threads.

        Raises:
            DamagedFile: A batch is not what was written; the message names file and place.
            StorageError: The disk fails.
            SettingError: All buffers are held, and there is no memory for more.
        """
        wanted, pending = deque(numbers), deque[Future[Ready]]()
        start = time.perf_counter()
        try:
            with ExitStack() as stack:
                for folder in (self.source.plan.path, self.source.pack.path):
                    stack.enter_context(locked(folder / ".lock", shared=True))
                while True:
                    self._begin(wanted, pending)
                    if not pending:
                        return
                    yield self._next(pending)
        finally:
            self.meter.seconds += time.perf_counter() - start
            self._stop.set()
            self._workers.shutdown(cancel_futures=True)
            self._readers.shutdown(cancel_futures=True)

    def _next(self, pending: deque[Future[Ready]]) -> Ready:
        start = time.perf_counter()
        ready = pending.popleft().result()
        self.meter.waited += time.perf_counter() - start
        self.meter.batches += 1
        self.meter.read_bytes += int(self.source.read_bytes[ready.number])
        return ready

    def _begin(self, wanted: deque[int], pending: deque[Future[Ready]]) -> None:
        """Begins as many batches as there are buffers for."""
        if self.failed is not None:
            raise self.failed
        self.buffers.drop_free()
        while wanted:
            room = self.buffers.lend()
            if room is None and not pending:
                room = self._one_more()
            if room is None:
                return
            pending.append(self._workers.submit(self._load, wanted.popleft(), room))

    def _one_more(self) -> Bytes | None:
        """A buffer when all are held by batches that are still referred to."""
        if self.may_grow(self.buffers.num_bytes):
            self.buffers.count = self.buffers.made + 1
        else:
            gc.collect()  # a batch may hang in a cycle of references
        room = self.buffers.lend()
        if room is None:
            raise SettingError(
                f"all {self.buffers.made} buffers of {show_bytes(self.buffers.num_bytes)} are held "
                "by batches that something still refers to (a list of batches, or a tensor cut "
                "from one), and the memory given has no room for more. Let go of batches, copy "
                "what is to be kept, or give more memory"
            )
        return room

    def _load(self, number: int, room: Bytes) -> Ready:
        """Reads a batch and puts it together in ``room``."""
        raw = self._raw.get()
        try:
            topology, places, region = self._read(number, raw)
            source = self.source
            n_id, edge_index, x = source.cut(number, room)
            source.fill_topology(number, topology, n_id, edge_index)
            source.fill_rows(number, places, region, x)
            source.mark_checked(number)
        finally:
            self._raw.put(raw)
        nodes, edges = source.sizes(number)
        ids, edge_ends, rows = (torch.from_numpy(array) for array in (n_id, edge_index, x))
        return Ready(number, ids, edge_ends, rows, nodes, edges)

    def _read(self, number: int, raw: Bytes) -> list[Array]:
        """Reads all that a batch needs, in blocks that the threads share."""
        parts, pieces = [], list[_Piece]()
        with ExitStack() as stack:
            start = 0
            for path, offset, length, check in self.source.places(number):
                into = raw[start : start + padded(length)]
                parts.append(into[:length])
                start += len(into)
                if length == 0:
                    continue
                file = stack.enter_context(Reader(path))
                for low in range(0, len(into), BLOCK):
                    block = into[low : low + BLOCK]
                    pieces.append(_Piece(file, offset + low, block, check(low, length)))
            shares = [pieces[first :: self._threads] for first in range(self._threads)]
            jobs = [self._readers.submit(self._read_share, share) for share in shares if share]
            wait(jobs)  # all of them, also after a failure: they write into ``raw``
            for job in jobs:
                job.result()
        return parts

    def _read_share(self, pieces: list[_Piece]) -> None:
        for piece in pieces:
            if self._stop.is_set():
                raise _Stopped
            piece.file.read_into(piece.into, piece.offset, len(piece.into))
            if piece.check is not None:
                piece.check(piece.into)
