"""From a row of batch numbers to batches in memory, a few ahead of whoever takes them.

All reads of all batches under way stand in one queue, in the order in which batches are wanted, and
threads take them from there a block at a time, past the page cache: the disk goes on with the next
batch while others put one together. How far ahead is bounded by memory: the buffers of finished
batches, and the raw bytes of those under way.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType

import torch
from torch import Tensor

from graphkit.errors import GraphkitError, SettingError
from graphkit.ooc.buffers import Buffers
from graphkit.ooc.device_rows import Split
from graphkit.ooc.disk import BLOCK, Bytes, Reader
from graphkit.ooc.folders import locked
from graphkit.ooc.plan_files import padded
from graphkit.ooc.sizes import show_bytes
from graphkit.ooc.source import Source

__all__ = ["STAGES", "Meter", "Pipeline", "Ready"]

STAGES = ("topology", "rows", "assembly")


@dataclass(frozen=True, eq=False)
class Ready:
    """A batch in memory: ids, edges and features lie in one buffer, which they keep.

    Args:
        number: Its number in the plan.
        n_id: Its nodes, seeds first.
        edge_index: In local ids.
        x: Features of its nodes, those on the device left out.
        split: Where these belong; ``None`` where there are none.
        nodes: Nodes that each hop added, the seeds first.
        edges: Edges that each hop added.
        read_bytes: Bytes that came from disk for it.
        stages: Seconds that each stage took.
    """

    number: int
    n_id: Tensor
    edge_index: Tensor
    x: Tensor
    split: Split | None
    nodes: list[int]
    edges: list[int]
    read_bytes: int
    stages: dict[str, float]


@dataclass
class Meter:
    """What has been read, and how long was waited for it.

    Args:
        batches: Batches handed out.
        read_bytes: Bytes that came from disk.
        waited: Seconds that whoever takes batches has waited.
        seconds: Seconds from the first batch asked for to the last, those spent elsewhere too.
        peak_bytes: Most memory the process was seen to hold.
        stages: Seconds that threads have spent on each stage: on ``topology`` (ids and edges, read
            and unfolded), on ``rows`` (read and checked), on ``assembly`` (rows put in order).
            Threads work side by side, so the sum may exceed ``seconds``.
    """

    batches: int = 0
    read_bytes: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    peak_bytes: int = 0
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    _lock: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    def add(
        self,
        batches: int = 0,
        read_bytes: int = 0,
        waited: float = 0.0,
        seconds: float = 0.0,
        stages: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Adds to what is counted; several turns may do so at once."""
        with self._lock:
            self.batches += batches
            self.read_bytes += read_bytes
            self.waited += waited
            self.seconds += seconds
            for name, spent in stages.items():
                self.stages[name] += spent


@dataclass(eq=False)
class _Batch:
    """A batch under way.

    Args:
        number: Its number in the plan.
        room: Where it is put together.
        done: What whoever wants it waits for.
    """

    number: int
    room: Bytes | None
    done: Future[Ready]
    raw: Bytes | None = None
    parts: list[Bytes] = field(default_factory=list)
    left: int = 0  # reads that have not ended
    error: BaseException | None = None
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))


@dataclass(frozen=True)
class _Piece:
    """One read: a block of a file, and what checks it."""

    batch: _Batch
    stage: str
    file: Reader
    offset: int
    into: Bytes
    check: Callable[[Bytes], None] | None


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
        self._lock = threading.Lock()
        self._raw = list(raw)  # that no batch uses
        self._waiting = deque[_Batch]()  # for raw bytes
        self._pieces: SimpleQueue[_Piece | None] = SimpleQueue()
        self._files: dict[Path, Reader] = {}
        self._threads = threads
        self._workers = ThreadPoolExecutor(len(raw), thread_name_prefix="graphkit-batch")
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="graphkit-read")

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
                stack.callback(self._end)
                for _ in range(self._threads):
                    self._readers.submit(self._read_on)
                while True:
                    self._begin(wanted, pending)
                    if not pending:
                        return
                    yield self._next(pending)
        finally:
            self.meter.add(seconds=time.perf_counter() - start)

    def _end(self) -> None:
        """Ends all threads, then closes the files they read."""
        self._stop.set()
        for _ in range(self._threads):
            self._pieces.put(None)
        self._readers.shutdown()
        self._workers.shutdown(cancel_futures=True)
        for file in self._files.values():
            file.close()

    def _next(self, pending: deque[Future[Ready]]) -> Ready:
        start = time.perf_counter()
        ready = pending.popleft().result()
        waited = time.perf_counter() - start
        self.meter.add(1, ready.read_bytes, waited, stages=ready.stages)
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
                break
            batch = _Batch(wanted.popleft(), room, Future())
            self._waiting.append(batch)
            pending.append(batch.done)
        self._request()

    def _one_more(self) -> Bytes | None:
        """A buffer when all are held by batches that are still referred to."""
        if self.may_grow(self.buffers.num_bytes):
            self.buffers.count = self.buffers.made + 1
        else:
            gc.collect()  # a batch may hang in a cycle of references
            time.sleep(0.01)  # or in a thread that is about to let go of it
        room = self.buffers.lend()
        if room is None:
            raise SettingError(
                f"all {self.buffers.made} buffers of {show_bytes(self.buffers.num_bytes)} are held "
                "by batches that something still refers to (a list of batches, or a tensor cut "
                "from one), and the memory given has no room for more. Let go of batches, copy "
                "what is to be kept, or give more memory"
            )
        return room

    def _request(self) -> None:
        """Asks for all that the batches need for which there are raw bytes."""
        with self._lock:
            while self._waiting and self._raw and not self._stop.is_set():
                batch = self._waiting.popleft()
                batch.raw = self._raw.pop()
                try:
                    pieces = self._pieces_of(batch, batch.raw)
                except BaseException as error:
                    self._raw.append(batch.raw)
                    batch.done.set_exception(error)
                    continue
                batch.left = len(pieces)
                for piece in pieces:
                    self._pieces.put(piece)

    def _pieces_of(self, batch: _Batch, raw: Bytes) -> list[_Piece]:
        """All reads of a batch, each of a block at most."""
        pieces, start = list[_Piece](), 0
        for stage, path, offset, length, check in self.source.places(batch.number):
            into = raw[start : start + padded(length)]
            batch.parts.append(into[:length])
            start += len(into)
            if length and path not in self._files:
                self._files[path] = Reader(path)
            for low in range(0, len(into), BLOCK):
                block, checker = into[low : low + BLOCK], check(low, length)
                file = self._files[path]
                pieces.append(_Piece(batch, stage, file, offset + low, block, checker))
        return pieces

    def _read_on(self) -> None:
        """Reads piece after piece, until there is none."""
        while (piece := self._pieces.get()) is not None:
            self._read(piece)
            del piece  # it would keep its batch while this waits

    def _read(self, piece: _Piece) -> None:
        batch, start = piece.batch, time.perf_counter()
        try:
            if batch.error is None and not self._stop.is_set():
                piece.file.read_into(piece.into, piece.offset, len(piece.into))
                if piece.check is not None:
                    piece.check(piece.into)
        except BaseException as error:
            batch.error = error
        with self._lock:
            batch.stages[piece.stage] += time.perf_counter() - start
            batch.left -= 1
            last = batch.left == 0
        if last and not self._stop.is_set():
            self._workers.submit(self._finish, batch)

    def _finish(self, batch: _Batch) -> None:
        """Puts a batch together whose bytes are all there, and lets the next have its raw bytes."""
        try:
            if batch.error is not None:
                raise batch.error
            ready = self._assemble(batch)
        except BaseException as error:
            self._give_back(batch)
            batch.done.set_exception(error)
        else:
            self._give_back(batch)
            batch.done.set_result(ready)

    def _give_back(self, batch: _Batch) -> None:
        assert batch.raw is not None
        batch.parts.clear()
        with self._lock:
            self._raw.append(batch.raw)
        batch.raw = batch.room = None  # what it became keeps the room
        self._request()

    def _assemble(self, batch: _Batch) -> Ready:
        source, number, stages = self.source, batch.number, batch.stages
        topology, places, region = batch.parts
        assert batch.room is not None  # until it is given back
        start = time.perf_counter()
        n_id, edge_index, x = source.cut(number, batch.room)
        source.fill_topology(number, topology, n_id, edge_index)
        first = time.perf_counter()
        where, shared, moved = source.find_rows(number, places)
        second = time.perf_counter()
        x, split = source.fill_rows(number, where, region, shared, x)
        source.mark_checked(number)
        stages["topology"] += first - start
        stages["rows"] += second - first
        stages["assembly"] += time.perf_counter() - second
        nodes, edges = source.sizes(number)
        ids, edge_ends, rows = (torch.from_numpy(array) for array in (n_id, edge_index, x))
        read = int(source.read_bytes[number]) + moved
        return Ready(number, ids, edge_ends, rows, split, nodes, edges, read, stages)
