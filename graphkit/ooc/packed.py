"""Pack: the rows each batch reads, side by side on disk, and where all others are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkit.errors import DamagedFile, DataError, unknown_name
from graphkit.kernels import Array
from graphkit.ooc.disk import BLOCK, PAGE, Reader, aligned, checksum
from graphkit.ooc.pack_files import (
    BATCH,
    DEVICE,
    FORMAT,
    HOST,
    REGION,
    Where,
    assemble,
    words,
)
from graphkit.ooc.plan import Plan, Watch, nobody
from graphkit.ooc.plan_files import padded
from graphkit.ooc.row_kernels import cut_rows
from graphkit.ooc.sealed import check_sizes, read_sealed, read_small

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["Pack"]

_GAP = 16 * PAGE  # bytes it is cheaper to read than to skip


@dataclass(frozen=True, eq=False)
class Pack:
    """A finished pack.

    Args:
        path: Its folder.
        settings: What it was made with; their hash is its id.
        layout: Rows of a part of the cache or of shared rows, and bytes of a place.
        totals: Sums and maxima, from which sizes are reckoned.
        files: Name, bytes and checksum of each file.
        regions: One record a region; those of the batches come first.
        sums: Checksum of each block of each region.
        verify: Hold bytes against their checksums when they are read.
    """

    path: Path
    settings: dict[str, Any]
    layout: dict[str, int]
    totals: dict[str, int]
    files: dict[str, dict[str, Any]] = field(repr=False)
    regions: Array = field(repr=False)
    sums: Array = field(repr=False)
    verify: bool = True
    _checked: set[int] = field(default_factory=set, init=False, repr=False)

    @classmethod
    def open(cls, store: Store, plan: Plan, pack_id: str) -> Pack:
        """Opens a finished pack.

        Args:
            store: Where the features are.
            plan: The plan it was made for.
            pack_id: Its name below ``packs``.

        Raises:
            UnknownName: There is none of that name.
            DamagedFile: It is not finished, or a file is not what was written.
            DataError: It was made from other features or for another plan.
        """
        path = plan.path / "packs" / pack_id
        if not path.is_dir():
            folder = plan.path / "packs"
            known = [each.name for each in folder.iterdir()] if folder.is_dir() else []
            raise unknown_name("pack", pack_id, known, "graphkit ooc info")
        content = read_sealed(path / "pack.json", "pack", FORMAT)
        settings, files = content["settings"], content["files"]
        if settings["features"] != store.features_digest:
            raise DataError(f"{path} was made from other features than those of {store.path}")
        if settings["plan"] != plan.plan_id:
            raise DataError(f"{path} was made for the plan {settings['plan']}")
        check_sizes(path, files)
        regions = np.frombuffer(read_small(path, files, "region.idx"), dtype=REGION)
        sums = np.frombuffer(read_small(path, files, "region.sum"), dtype="<u8")
        layout, totals = content["layout"], content["totals"]
        return cls(path, settings, layout, totals, files, regions, sums, store.checks)

    @property
    def pack_id(self) -> str:
        """Name of the pack: the hash of its settings."""
        return self.path.name

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as it is stored."""
        return int(self.settings["row_bytes"])

    @property
    def device_rows(self) -> int:
        """Cached rows that belong on the device: the first slots."""
        return int(self.settings["device_rows"])

    @property
    def cached_rows(self) -> int:
        """Cached rows, those on the device first."""
        return self.device_rows + int(self.settings["host_rows"])

    @property
    def num_batches(self) -> int:
        """Batches, and so regions of kind ``BATCH``."""
        return int((self.regions["kind"] == BATCH).sum())

    def place(self, number: int) -> tuple[Path, int, int]:
        """Returns file, first byte (on a page) and length of a region; the file has whole pages."""
        record = self.regions[number]
        path = self.path / f"region-{record['shard']:03d}.bin"
        return path, int(record["offset"]), int(record["rows"]) * self.row_bytes

    def where_place(self, number: int) -> tuple[Path, int, int]:
        """Returns file, first byte (on a page) and length of the places of a batch's rows."""
        record = self.regions[number]
        path = self.path / f"where-{record['where_shard']:03d}.bin"
        return path, int(record["where_offset"]), int(record["where_bytes"])

    def region(self, number: int, buffer: Array | None = None) -> Array:
        """Reads a region: one run of whole pages.

        Args:
            number: That of the batch, or of another region.
            buffer: Page-aligned bytes with room for whole pages; new ones if not given.

        Shape:
            Returns ``(rows, row_bytes)`` of uint8, within ``buffer``.

        Raises:
            DamagedFile: Its bytes are not those that were written.
            StorageError: The disk fails.
        """
        path, offset, length = self.place(number)
        buffer = aligned(length) if buffer is None else buffer
        if length:
            with Reader(path) as reader:
                reader.read_into(buffer, offset, padded(length))
            if self.verify:
                self.check_region(number, buffer)
        return buffer[:length].reshape(-1, self.row_bytes)

    def where(self, number: int, buffer: Array | None = None) -> Where:
        """Reads where the rows of a batch are.

        Args:
            number: The batch.
            buffer: Page-aligned bytes with room for whole pages; new ones if not given.

        Raises:
            DamagedFile: Its bytes are not those that were written.
            StorageError: The disk fails.
        """
        path, offset, length = self.where_place(number)
        buffer = aligned(length) if buffer is None else buffer
        with Reader(path) as reader:
            reader.read_into(buffer, offset, padded(length))
        return self.decode_where(number, buffer)

    def decode_where(self, number: int, buffer: Array) -> Where:
        """Turns bytes that were read from ``where_place(number)`` into places; no copy.

        Raises:
            DamagedFile: They are not those that were written.
        """
        path, offset, length = self.where_place(number)
        if self.verify and checksum(buffer[:length]) != int(self.regions[number]["where_sum"]):
            raise DamagedFile(f"{path} is damaged at byte {offset}: places of batch {number}")
        places = buffer[:length].view(f"<i{self.layout['place_bytes']}")
        count = len(places) - int(self.regions[number]["shared"])
        return Where(places[:count], places[count:])

    def shared(self, number: int, needed: Array, moved: list[int] | None = None) -> Array:
        """Reads shared rows by the page; pages that are close together in one run.

        Args:
            number: A batch of their span.
            needed: Places of the rows, rising, as ``where`` gave them.
            moved: Gets the bytes of each read.

        Shape:
            needed ``(rows,)`` -> ``(rows, row_bytes)`` of uint8.
        """
        out = np.empty((len(needed), self.row_bytes), dtype=np.uint8)
        if not len(needed):
            return out
        first, size = int(self.regions[number]["shared_first"]), self.layout["chunk_rows"]
        chunks = np.asarray(needed) // size
        bounds = np.flatnonzero(np.diff(chunks, prepend=-1))
        for low, high in zip(bounds, [*bounds[1:], len(needed)], strict=True):
            rows = np.asarray(needed[low:high], dtype=np.int64) % size
            self._pages(first + int(chunks[low]), rows, out[low:high], moved)
        return out

    def cache(self) -> Array:
        """Reads all cached rows, those of the device first.

        Shape:
            Returns ``(cached_rows, row_bytes)`` of uint8.
        """
        out = aligned(self.cached_rows * self.row_bytes)[: self.cached_rows * self.row_bytes]
        done = 0
        for number in np.flatnonzero(np.isin(self.regions["kind"], (DEVICE, HOST))):
            rows = self.region(int(number)).reshape(-1)
            out[done : done + len(rows)] = rows
            done += len(rows)
        return out.reshape(-1, self.row_bytes)

    def cached_ids(self) -> Array:
        """Reads the ids of the cached rows, in order of their slots."""
        raw = read_small(self.path, self.files, "cache_ids.bin")
        return np.frombuffer(raw, dtype=f"<i{self.layout['id_bytes']}")

    def rows(self, number: int, cache: Array) -> Array:
        """Returns the rows of a batch in the order of its nodes, as they are stored.

        Args:
            number: The batch.
            cache: What ``cache`` returned.

        Shape:
            Returns ``(nodes, row_bytes)`` of uint8.
        """
        places = self.where(number)
        out = np.empty((len(places.where), self.row_bytes), dtype=np.uint8)
        shared = self.shared(number, places.needed)
        parts = (words(rows) for rows in (self.region(number), cache, shared, out))
        assemble(places.where, *parts)
        return out

    def read_bytes(self, number: int) -> int:
        """Returns the bytes of the pages that reading a region moves."""
        return padded(self.place(number)[2])

    def damaged(self, watch: Watch = nobody) -> list[int]:
        """Reads all regions and places; returns numbers of those that are not what was written.

        A batch whose places are damaged is named too.
        """
        found = []
        for number in range(len(self.regions)):
            try:
                self.region(number)
                if int(self.regions[number]["kind"]) == BATCH:
                    self.where(number)
            except DamagedFile:
                found.append(number)
            watch("verify pack", number + 1, len(self.regions))
        return found

    def check(self, watch: Watch = nobody) -> None:
        """Reads all bytes of the pack and holds them against their checksums.

        Raises:
            DamagedFile: The first place that is not what was written.
        """
        self.cached_ids()
        read_small(self.path, self.files, "shared_ids.bin")
        for number in range(len(self.regions)):
            self.region(number)
            if int(self.regions[number]["kind"]) == BATCH:
                self.where(number)
            watch("verify pack", number + 1, len(self.regions))

    def check_region(self, number: int, buffer: Array, low: int = 0) -> None:
        """Holds bytes of a region against their checksums.

        Args:
            number: The region.
            buffer: What was read, from byte ``low`` to its end or to a block's.
            low: Where in the region it starts; a multiple of ``BLOCK``.

        Raises:
            DamagedFile: They are not those that were written.
        """
        path, offset, length = self.place(number)
        first = int(self.regions[number]["first_sum"])
        for start in range(low, min(low + len(buffer), length), BLOCK):
            block = buffer[start - low : min(start + BLOCK, length) - low]
            if checksum(block) != int(self.sums[first + start // BLOCK]):
                raise DamagedFile(
                    f"{path} is damaged: block at byte {offset + start}, region {number}, "
                    "has another checksum than when it was written"
                )

    def _pages(self, number: int, rows: Array, out: Array, moved: list[int] | None) -> None:
        """Reads some rows of a region, rising, in as few runs of pages as is cheap."""
        path, offset, _ = self.place(number)
        starts = rows * self.row_bytes
        low, high = starts // PAGE * PAGE, -(-(starts + self.row_bytes) // PAGE) * PAGE
        bounds = np.flatnonzero(low[1:] > high[:-1] + _GAP) + 1
        with Reader(path) as reader:
            if self.verify:
                touched = np.unique([low // BLOCK, (high - 1) // BLOCK])
                self._check_blocks(number, reader, touched, moved)
            for first, last in zip([0, *bounds], [*bounds, len(rows)], strict=True):
                begin, end = int(low[first]), int(high[last - 1])
                pages = aligned(end - begin)
                reader.read_into(pages, offset + begin, end - begin)
                if moved is not None:
                    moved.append(end - begin)
                cut_rows(pages, starts[first:last] - begin, out[first:last])

    def _check_blocks(
        self, number: int, reader: Reader, blocks: Array, moved: list[int] | None
    ) -> None:
        """Holds whole blocks against their checksums before a page of them is read for the first
        time: a page alone has none."""
        _, offset, length = self.place(number)
        first = int(self.regions[number]["first_sum"])
        for block in blocks.tolist():
            if first + block in self._checked or block * BLOCK >= length:
                continue
            size = min(BLOCK, length - block * BLOCK)
            content = aligned(size)
            reader.read_into(content, offset + block * BLOCK, padded(size))
            if moved is not None:
                moved.append(padded(size))
            self.check_region(number, content[:size], block * BLOCK)
            self._checked.add(first + block)
