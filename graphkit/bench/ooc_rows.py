"""Ways to read features when a batch asks for them, as the comparison out of core has them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from graphkit.errors import DamagedFile
from graphkit.ooc.disk import PAGE, Reader, aligned
from graphkit.ooc.placement import Curve, Placement, cached_ids
from graphkit.ooc.plan import Plan
from graphkit.ooc.row_kernels import cut_rows, reads
from graphkit.ooc.rows import Cached, Lru, OnDisk, Rows
from graphkit.ooc.store import Store

__all__ = ["RowByRow", "hot_nodes", "rows_of"]

IN_FLIGHT = 32  # requests of the ways that read few rows at a time: what they are best with


class RowByRow:
    """Reads each row for itself past the page cache: one request for the pages it lies on.

    Args:
        store: Whose features.
        threads: Reads under way at once.
    """

    def __init__(self, store: Store, threads: int = IN_FLIGHT) -> None:
        self.array = store.arrays["node/x"]
        self.shape = (store.num_nodes, store.dims.in_channels)
        self._store, self._threads = store, threads
        self._file = Reader(self.array.path)
        self._pool = ThreadPoolExecutor(threads)

    def __enter__(self) -> RowByRow:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._pool.shutdown()

    def read(self, ids: Tensor) -> Tensor:
        """Returns the rows of nodes, in the order asked for.

        Raises:
            DamagedFile: The file ends before a row.
        """
        starts = ids.numpy() * self.array.row_bytes
        first = starts // PAGE * PAGE
        most = -(-self.array.row_bytes // PAGE) + 1  # pages that a row may lie on
        lengths = (starts + self.array.row_bytes - 1) // PAGE * PAGE + PAGE - first
        pages = aligned(len(ids) * most * PAGE)
        places = np.arange(len(ids), dtype=np.int64) * most * PAGE
        got = np.zeros(len(ids), dtype=np.int64)
        shares = np.linspace(0, len(ids), self._threads + 1).astype(np.int64)
        jobs = [
            self._pool.submit(
                reads(), self._file.fileno(), pages.ctypes.data,
                places[low:high], first[low:high], lengths[low:high], got[low:high],
            )
            for low, high in pairwise(shares.tolist())
        ]  # fmt: skip
        for job in jobs:
            job.result()
        short = got < np.minimum(lengths, self._file.size - first)
        if short.any():
            raise DamagedFile(f"{self.array.path} could not be read at {first[short.argmax()]}")
        raw = np.empty((len(ids), self.array.row_bytes), dtype=np.uint8)
        cut_rows(pages, places + starts - first, raw)
        return torch.from_numpy(self._store.decode(raw))


class _InParts:
    """Reads very many rows a part at a time, so that no more is held than what is returned."""

    def __init__(self, below: Rows, part: int = 1 << 16) -> None:
        self.below, self.shape, self.part = below, below.shape, part

    def read(self, ids: Tensor) -> Tensor:
        out = torch.empty(len(ids), self.shape[1])
        for start in range(0, len(ids), self.part):
            part = slice(start, start + self.part)
            out[part] = self.below.read(ids[part])
        return out


def hot_nodes(plan: Plan, rows: int) -> Tensor:
    """Returns the nodes that a plan wants most often: those that a pack of as many rows caches."""
    counts = plan.counts()
    curve = Curve.of(counts)
    placement = Placement(0, min(rows, curve.distinct), 0, 1, 0, 0, 0, 0, 0)
    return torch.from_numpy(cached_ids(counts, curve, placement).astype(np.int64))


@contextmanager
def rows_of(store: Store, way: str, hot: Tensor) -> Iterator[Rows]:
    """Opens what reads features for one of the ways on demand.

    Args:
        store: Whose features.
        way: ``static``, ``lru``, ``pages`` (rows merged into pages, no cache) or ``row-by-row``.
        hot: Nodes a static cache keeps; an LRU cache keeps as many.
    """
    if way == "row-by-row":
        with RowByRow(store) as rows:
            yield _InParts(rows, 1 << 14)  # two pages a row: of a whole batch, half of the memory
        return
    with OnDisk(store, threads=IN_FLIGHT) as disk:
        if way == "pages" or not len(hot):
            yield disk
        else:
            yield Cached(_InParts(disk), hot) if way == "static" else Lru(disk, len(hot))
