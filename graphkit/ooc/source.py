"""Where the batches of one part are, and how their bytes become ids, edges and features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from graphkit.errors import DamagedFile
from graphkit.kernels import Array
from graphkit.ooc.batch_kernels import gather, gather_halves, gather_steps, unfold, widen
from graphkit.ooc.device_rows import DeviceRows, Split
from graphkit.ooc.disk import BLOCK, PAGE, Bytes, aligned, checksum
from graphkit.ooc.pack_files import DEVICE, HOST, words
from graphkit.ooc.packed import Pack
from graphkit.ooc.plan import Plan
from graphkit.ooc.plan_files import ids_bytes
from graphkit.ooc.store import Store

__all__ = ["Check", "Source", "batch_bytes", "most_read"]

Check: TypeAlias = Literal["first", "always", "never"]
Checker: TypeAlias = Callable[[Bytes], None]

_LINE = 64  # bytes; parts of a buffer start on a line of the processor's cache


class Source:
    """A plan with its pack, and the rows that are kept in memory; not those for the device.

    Args:
        store: Whose features.
        plan: The batches.
        pack: Their rows.
        check: Hold regions against their checksums when read for the ``first`` time, ``always``
            or ``never``.
    """

    def __init__(self, store: Store, plan: Plan, pack: Pack, check: Check = "first") -> None:
        self.plan, self.pack = plan, pack
        self.columns = store.dims.in_channels
        self.dtype: np.dtype[Any] = store.arrays["node/x"].dtype
        self.scale: Array = np.empty(0, np.float32) if store.scale is None else store.scale
        self.cache = self._cached()
        self.read_bytes = _read_bytes(plan, pack)  # of each batch, without the rows it shares
        self._nodes = plan.num_ids().tolist()
        self._edges = plan.records["edges"].astype(np.int64).sum(axis=1).tolist()
        self._check = check
        self._checked = np.full(plan.num_batches, check == "never")

    def places(
        self, number: int
    ) -> Iterator[tuple[str, Path, int, int, Callable[[int, int], Checker | None]]]:
        """Yields of each run of bytes of a batch what stage it is for, its file, offset and length,
        and what gives the check of a block from its place and the run's length."""
        check = _no_check if self._checked[number] else partial(self._block_check, number)
        yield "topology", *self.plan.place(number), _no_check
        yield "rows", *self.pack.where_place(number), _no_check
        yield "rows", *self.pack.place(number), check

    def mark_checked(self, number: int) -> None:
        """Notes that a batch has been read and found to be what was written."""
        if self._check == "first":
            self._checked[number] = True

    def sizes(self, number: int) -> tuple[list[int], list[int]]:
        """Returns the nodes and edges that each hop of a batch added."""
        record = self.plan.records[number]
        hops = int(record["hops"])
        return record["nodes"][: hops + 1].tolist(), record["edges"][:hops].tolist()

    def cut(self, number: int, room: Bytes) -> tuple[Array, Array, Array]:
        """Cuts a buffer into node ids, edges and features of a batch."""
        nodes, edges = self._nodes[number], self._edges[number]
        first = 4 * nodes * self.columns
        second = _up(first) + 16 * edges
        third = _up(second) + 8 * nodes
        x = room[:first].view(np.float32).reshape(nodes, self.columns)
        edge_index = room[_up(first) : second].view(np.int64).reshape(2, edges)
        return room[_up(second) : third].view(np.int64), edge_index, x

    def fill_topology(self, number: int, blob: Bytes, n_id: Array, edge_index: Array) -> None:
        """Turns the bytes of a batch's plan into ids and edges.

        Raises:
            DamagedFile: They are not those that were written.
        """
        record = self.plan.records[number]
        first = ids_bytes(record)
        second = first + 4 * edge_index.shape[1]
        if self.plan.verify and not self._checked[number]:
            self._check_topology(number, blob, first)
        widen(blob[:first].view(f"<i{record['id_bytes']}"), n_id)
        widen(blob[first:second].view("<i4"), edge_index[0])
        counts = blob[second:].view(f"<u{record['count_bytes']}")
        if unfold(counts, edge_index[1]) != edge_index.shape[1]:
            self._refuse(number, "the edges")

    def find_rows(self, number: int, places: Bytes) -> tuple[Array, Array, int]:
        """Returns where the rows of a batch are, those it shares with others, which are read now,
        and the bytes that moved for them.

        Raises:
            DamagedFile: Places or rows are not those that were written.
            StorageError: The disk fails.
        """
        found = self.pack.decode_where(number, places)
        moved: list[int] = []
        return found.where, self.pack.shared(number, found.needed, moved), sum(moved)

    def fill_rows(
        self, number: int, where: Array, region: Bytes, shared: Array, x: Array
    ) -> tuple[Array, Split | None]:
        """Puts the rows of a batch in the order of its nodes, as float32.

        Returns:
            The rows, those on the device left out, and where these belong.

        Raises:
            DamagedFile: A place is none that was written.
        """
        pack, cache = self.pack, self.cache
        where, split = self._without_device(where)
        x = x[: len(where)]
        region = region.reshape(-1, pack.row_bytes)
        if self.dtype == np.float32:
            out = words(x.view(np.uint8))
            filled = gather(where, words(region), words(cache), words(shared), out)
        elif self.dtype == np.float16:
            rows = [each.view(np.uint16) for each in (region, cache, shared)]
            filled = gather_halves(where, rows[0], rows[1], rows[2], x.view(np.uint32))
        else:
            rows = [each.view(np.int8) for each in (region, cache, shared)]
            filled = gather_steps(where, rows[0], rows[1], rows[2], self.scale, x)
        if filled != len(x):
            self._refuse(number, "the places of rows")
        return x, split

    def device_rows(self, device: str) -> DeviceRows:
        """Brings the hottest rows to a device."""
        parts = self._kept(DEVICE)
        count = self.pack.device_rows
        return DeviceRows(parts, count, self.columns, self.dtype, self.scale, device)

    def most_read(self) -> int:
        """Returns the most bytes that are read for a batch, each run in whole pages."""
        return int(self.read_bytes.max())

    def _without_device(self, where: Array) -> tuple[Array, Split | None]:
        """The places of rows that are not on the device, as if there were no other."""
        first = self.pack.device_rows
        if first == 0:
            return where, None
        hot = (where >= 0) & (where < first)
        at, rest = np.flatnonzero(hot), np.flatnonzero(~hot)
        left = where[rest]
        left[left >= 0] -= first
        parts = (torch.from_numpy(each) for each in (at, where[at].astype(np.int64), rest))
        return left, Split(*parts)

    def _kept(self, kind: int) -> Iterator[Array]:
        """Yields all cached rows of a kind."""
        for number in np.flatnonzero(self.pack.regions["kind"] == kind):
            yield self.pack.region(int(number))

    def _cached(self) -> Array:
        rows, width = self.pack.cached_rows - self.pack.device_rows, self.pack.row_bytes
        cache: Array = aligned(rows * width)[: rows * width].reshape(rows, width)
        done = 0
        for part in self._kept(HOST):
            cache[done : done + len(part)] = part
            done += len(part)
        return cache

    def _block_check(self, number: int, low: int, length: int) -> Checker | None:
        if not self.pack.verify:
            return None
        high = min(low + BLOCK, length)
        return lambda block: self._check_block(number, low, block[: high - low])

    def _check_block(self, number: int, low: int, block: Bytes) -> None:
        try:
            self.pack.check_region(number, block, low)
        except DamagedFile as error:
            raise DamagedFile(f"{error} (batch {number} of plan {self.plan.plan_id})") from error

    def _check_topology(self, number: int, blob: Bytes, ids: int) -> None:
        record = self.plan.records[number]
        for name, low, high in (("ids_sum", 0, ids), ("edges_sum", ids, len(blob))):
            if checksum(blob[low:high]) != int(record[name]):
                self._refuse(number, f"bytes {low} to {high} of its topology")

    def _refuse(self, number: int, what: str) -> None:
        path, offset, _ = self.plan.place(number)
        raise DamagedFile(
            f"{path} is damaged at byte {offset}: {what} of batch {number} are not what was written"
        )


def batch_bytes(plan: Plan, columns: int) -> int:
    """Returns the most bytes a batch of a plan takes when it is finished."""
    nodes = plan.records["nodes"].astype(np.int64).sum(axis=1)
    edges = plan.records["edges"].astype(np.int64).sum(axis=1)
    return int((nodes * (4 * columns + 8) + 16 * edges).max()) + 2 * _LINE


def most_read(plan: Plan, row_bytes: int, place_bytes: int) -> int:
    """Returns a bound on what is read for a batch before it is known which rows are cached."""
    nodes = plan.num_ids()
    return int((plan.records["length"] + nodes * (row_bytes + 2 * place_bytes)).max()) + 3 * PAGE


def _read_bytes(plan: Plan, pack: Pack) -> Array:
    regions = pack.regions[: plan.num_batches]
    total: Array = np.zeros(plan.num_batches, dtype=np.int64)
    rows = regions["rows"] * np.uint64(pack.row_bytes)
    for lengths in (plan.records["length"], regions["where_bytes"], rows):
        total += -(-lengths.astype(np.int64) // PAGE) * PAGE
    return total


def _no_check(low: int, length: int) -> None:
    return None


def _up(num_bytes: int) -> int:
    return -(-num_bytes // _LINE) * _LINE
