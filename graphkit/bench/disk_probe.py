"""How fast the disk reads front to back: what reading while training is held against.

The yardstick, fixed before any result: ``O_DIRECT`` reads of the very files that training reads,
front to back, in the same request size and with as many requests under way as the pipeline has
threads, into a ring of buffers as large as the pipeline's own. A reader that writes over a few MiB
again and again measures the processor's cache; training cannot do that, for each batch has to lie
in memory of its own. Measure and yardstick alternate, and medians of at least five rounds count:
disks that are shared change from second to second.

Beside it stands the strictest rate there is: the best over sizes of requests and numbers of
threads, each thread into one small buffer. It is for information; nothing is judged by it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphkit.errors import DataError, SettingError
from graphkit.ooc.disk import BLOCK, Bytes, Reader, private
from graphkit.ooc.pack import Pack
from graphkit.ooc.plan_files import padded

__all__ = ["SIZES", "THREADS", "Rate", "Span", "best_rate", "ring", "sequential_rate", "spans"]

SIZES = (1 << 20, 4 << 20, 16 << 20)
THREADS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Span:
    """Bytes of a file from ``start`` to ``end``, both on a page."""

    path: Path
    start: int
    end: int


@dataclass(frozen=True)
class Rate:
    """A rate of reading, in bytes a second, and how it was read."""

    bytes_per_second: float
    request_bytes: int
    threads: int


def spans(pack: Pack, numbers: Sequence[int]) -> list[Span]:
    """Returns where the regions of some batches lie, neighbours joined, in the order of the disk.

    Args:
        pack: Whose regions.
        numbers: The batches.

    Raises:
        DataError: None of them reads a row.
    """
    places = [pack.place(number) for number in numbers]
    found: list[Span] = []
    for path, start, length in sorted(place for place in places if place[2]):
        end = start + padded(length)
        if found and found[-1].path == path and found[-1].end == start:
            found[-1] = Span(path, found[-1].start, end)
        else:
            found.append(Span(path, start, end))
    if not found:
        raise DataError(f"no batch of {pack.path} reads a row: all of them are cached")
    return found


def ring(num_bytes: int) -> Bytes:
    """Returns memory to read into again and again, made and laid out as the pipeline's own."""
    memory = np.frombuffer(private(max(num_bytes, BLOCK), huge=True), dtype=np.uint8)
    memory[:] = 0  # in memory before it is timed
    return memory


def sequential_rate(
    places: Sequence[Span],
    *,
    threads: int,
    request_bytes: int = BLOCK,
    into: Bytes | None = None,
    seconds: float | None = None,
) -> Rate:
    """Reads some places front to back, past the page cache.

    Args:
        places: What to read.
        threads: Requests under way at a time.
        request_bytes: Size of a request, in whole pages.
        into: Where the bytes go, request after request and round and round; ``None`` gives each
            thread one buffer of a request's size.
        seconds: When to stop; ``None`` reads everything.

    Raises:
        SettingError: There is no thread, or ``into`` has no room for the requests under way.
        StorageError: The disk fails.
    """
    if threads < 1:
        raise SettingError(f"threads = {threads}; expected at least 1")
    room = ring(threads * request_bytes) if into is None else into
    slots = len(room) // request_bytes
    if slots < threads:
        raise SettingError(
            f"into has {len(room)} bytes; {threads} requests of {request_bytes} are under way"
        )
    with ExitStack() as stack, ThreadPoolExecutor(threads) as pool:
        paths = dict.fromkeys(place.path for place in places)
        files = {path: stack.enter_context(Reader(path)) for path in paths}
        requests = [
            (files[place.path], low, min(request_bytes, place.end - low))
            for place in places
            for low in range(place.start, place.end, request_bytes)
        ]
        turn = itertools.count()

        def read(thread: int) -> int:
            done = 0
            while (number := next(turn)) < len(requests) and time.perf_counter() < end:
                slot = thread if into is None else number % slots
                file, offset, length = requests[number]
                file.read_into(room[slot * request_bytes :], offset, length)
                done += length
            return done

        start = time.perf_counter()
        end = float("inf") if seconds is None else start + seconds
        done = sum(pool.map(read, range(threads)))
        return Rate(done / max(time.perf_counter() - start, 1e-9), request_bytes, threads)


def best_rate(
    places: Sequence[Span],
    *,
    sizes: Sequence[int] = SIZES,
    threads: Sequence[int] = THREADS,
    seconds: float = 1.0,
) -> Rate:
    """Returns the best rate over sizes of requests and numbers of threads, each into its own small
    buffer."""
    tried = (
        sequential_rate(places, threads=count, request_bytes=size, seconds=seconds)
        for size in sizes
        for count in threads
    )
    return max(tried, key=lambda rate: rate.bytes_per_second)
