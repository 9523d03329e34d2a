"""A pack while it is written: rows go from the feature file to regions, group by group.

First rows reach the disk, then their checksums, then the line of the journal that vouches for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from graphkit.errors import SettingError
from graphkit.kernels import Array
from graphkit.ooc.disk import BLOCK, PAGE, Reader, Writer, aligned, fsync_folder, remove_tree
from graphkit.ooc.distribute import Run, Scatter, Sink, distribute
from graphkit.ooc.journal import Journal
from graphkit.ooc.pack_files import BATCH, FORMAT, REGION, SHARED
from graphkit.ooc.pack_layout import Cuts, lay_out, place_bytes, sorting_bytes
from graphkit.ooc.packed import Pack
from graphkit.ooc.placement import Placement
from graphkit.ooc.plan import Plan, Watch
from graphkit.ooc.plan_files import padded
from graphkit.ooc.residency import spread_ids
from graphkit.ooc.sealed import digest_of, read_whole, write_sealed
from graphkit.ooc.sizes import show_bytes

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["PackDraft", "Room"]

_SMALL_STAGE = 1 << 16  # bytes; a region is not written in smaller pieces while memory lasts


@dataclass(frozen=True)
class Room:
    """How memory is shared out: two segments of features, ids of regions, stages."""

    threads: int
    segment_bytes: int
    group_bytes: int
    stage_bytes: int | None

    @classmethod
    def of(
        cls, store: Store, plan: Plan, placement: Placement, threads: int, memory: int, cuts: Cuts
    ) -> Room:
        row = padded(placement.row_bytes)
        chunk = 2 * cuts.chunk_bytes if placement.span else 0  # shared rows are held whole
        largest = max(plan.totals["most_nodes"] * 8 + BLOCK, chunk) + row
        least = max(
            sorting_bytes(plan, placement, 1),
            2 * (BLOCK + row) + 2 * largest + 16 * plan.totals["most_nodes"],
        )
        if memory < least:
            raise SettingError(
                f"memory = {show_bytes(memory)}; packing this plan takes at least "
                f"{show_bytes(least)}"
            )
        per_thread = sorting_bytes(plan, placement, 2) - sorting_bytes(plan, placement, 1)
        more = (memory - sorting_bytes(plan, placement, 1)) // max(per_thread, 1)
        segment = cuts.segment_bytes or max(memory // 8, BLOCK)
        return cls(min(threads, 1 + more), segment, memory // 2, cuts.stage_bytes)

    def stage(self, regions: int) -> int:
        """Bytes of a stage when so many regions are filled at once."""
        if self.stage_bytes is not None:
            return self.stage_bytes
        share = max(self.group_bytes // (2 * max(regions, 1)), _SMALL_STAGE)
        return min(1 << (share.bit_length() - 1), BLOCK)


class PackDraft:
    """A pack that is being written."""

    def __init__(
        self, store: Store, plan: Plan, path: Path, room: Room, cuts: Cuts, watch: Watch
    ) -> None:
        self.store, self.plan, self.path = store, plan, path
        self.room, self.cuts, self.watch = room, cuts, watch
        self.array = store.arrays["node/x"]
        self.regions: Array = np.empty(0, dtype=REGION)
        self.sums: Array = np.empty(0, dtype="<u8")

    def write(self, placement: Placement, settings: dict[str, Any]) -> None:
        """Lays everything out, moves the rows, and makes the pack complete."""
        journal = Journal(self.path / "journal.jsonl")
        regions = self._known(journal)
        if regions is None:
            journal.clear()
            room, watch = self.room, self.watch
            regions = lay_out(self.path, self.plan, placement, self.cuts, room.threads, watch)
            _write_small(self.path / "region.idx", regions)
            fsync_folder(self.path)
            journal.add({"index": digest_of(regions.tobytes())})
        lengths = regions["rows"].astype(np.int64) * placement.row_bytes
        blocks = int((-(-lengths // BLOCK)).sum())
        sums = np.zeros(blocks, dtype="<u8")
        if journal.entries[1:]:
            sums[:] = np.frombuffer(read_whole(self.path / "region.sum"), dtype="<u8")
        self.take_up(regions, sums)
        self.fill(range(len(regions)), journal)
        self._finish(placement, settings)

    def take_up(self, regions: Array, sums: Array) -> None:
        """Sets which regions there are and what is known of their checksums."""
        self.regions, self.sums = regions, sums

    def _known(self, journal: Journal) -> Array | None:
        """The regions, if an earlier run has laid everything out."""
        if not journal.entries or not (self.path / "region.idx").exists():
            return None
        content = read_whole(self.path / "region.idx")
        if digest_of(content) != journal.entries[0].get("index"):
            return None
        return np.frombuffer(content, dtype=REGION)

    def fill(self, numbers: Sequence[int], journal: Journal | None) -> None:
        """Moves rows into regions, in as many readings of the features as memory asks for.

        Args:
            numbers: The regions, rising.
            journal: What is done already, and where to write down what more; ``None`` for none.
        """
        first, below, stop = 0, 0, None
        if journal is not None:
            for entry in journal.entries[1:]:
                first, stop, below = entry["first"], entry["stop"], entry["below"]
        shards = sorted({int(shard) for shard in self.regions["shard"]})
        with ExitStack() as stack:
            writers = {
                shard: stack.enter_context(
                    Writer(self._shard(shard), num_bytes=self._shard_bytes(shard))
                )
                for shard in shards
            }
            fsync_folder(self.path)
            for group in self._groups([n for n in numbers if n >= first]):
                if stop != group[-1] + 1:
                    below = 0  # memory was another: the group is not the one that was begun
                self._fill_group(group, writers, below, journal)
                below, stop = 0, None

    def _fill_group(
        self, group: list[int], writers: dict[int, Writer], below: int, journal: Journal | None
    ) -> None:
        stage_bytes = self.room.stage(len(group))
        slot = stage_bytes + padded(self.array.row_bytes)
        runs = sum(self.regions[n]["kind"] != SHARED for n in group)
        stages = aligned(runs * slot)
        every, sinks = self._ids(group), list[Sink]()
        for at, (number, ids) in enumerate(zip(group, every, strict=True)):
            record = self.regions[number]
            writer, offset = writers[int(record["shard"])], int(record["offset"])
            low = int(record["first_sum"])
            blocks = -(-len(ids) * self.array.row_bytes // BLOCK)
            sums = self.sums[low : low + blocks]
            if record["kind"] == SHARED:
                sinks.append(Scatter(ids, self.array.row_bytes, writer, offset, sums))
                continue
            stage = stages[at * slot : (at + 1) * slot]
            run = Run(ids, self.array.row_bytes, writer, offset, sums, stage)
            if below and len(ids):
                with Reader(writer.path) as reader:
                    run.skip(below, reader)
            sinks.append(run)
        del every
        whole = runs == len(group)  # shared rows are never taken up half-way
        every_bytes = max(self.cuts.commit_bytes, 4 * runs * stage_bytes)
        wanted = int(self.regions["rows"][group].sum()) * self.array.row_bytes
        written = self.array.num_bytes or 1
        seen = 0

        def after(row: int) -> None:
            nonlocal seen
            done = row * self.array.row_bytes
            share = done * wanted // written
            self.watch(f"pack regions {group[0]} to {group[-1]}", share, wanted)
            if journal is not None and whole and share - seen >= every_bytes:
                seen = share
                for sink in sinks:
                    sink.hold()
                self._commit(group, writers, row, journal)

        distribute(
            self.array,
            sinks,
            below=below,
            segment_bytes=self.room.segment_bytes,
            threads=self.room.threads,
            check=self.store.checks,
            after=after,
        )
        for sink in sinks:
            sink.finish()
        self._commit(group, writers, None, journal)

    def _commit(
        self, group: list[int], writers: dict[int, Writer], row: int | None, journal: Journal | None
    ) -> None:
        """First rows, then checksums, then the journal, which vouches for both."""
        for shard in sorted({int(self.regions[n]["shard"]) for n in group}):
            writers[shard].flush()
        if journal is None:
            return
        _write_small(self.path / "region.sum", self.sums)
        fsync_folder(self.path)
        if row is None:
            journal.add({"first": group[-1] + 1, "stop": None, "below": 0})
        else:
            journal.add({"first": group[0], "stop": group[-1] + 1, "below": row})

    def _groups(self, numbers: list[int]) -> Iterator[list[int]]:
        """Cuts regions into groups that are filled at once; shared rows stay among themselves."""
        ids = 4 if self.plan.num_nodes < 1 << 31 else 8
        stage = self.room.stage_bytes or _SMALL_STAGE
        row = padded(self.array.row_bytes)
        group: list[int] = []
        held, kind = 0, False
        for number in numbers:
            shared = bool(self.regions[number]["kind"] == SHARED)
            rows = int(self.regions[number]["rows"])
            whole = rows * (16 + self.array.row_bytes) + PAGE
            cost = whole if shared else rows * ids + stage + row
            if group and (held + cost > self.room.group_bytes or shared != kind):
                yield group
                group, held = [], 0
            group.append(number)
            held, kind = held + cost, shared
        if group:
            yield group

    def _ids(self, group: list[int]) -> list[Array]:
        """The rows of each region of a group, in the order in which they lie."""
        with ThreadPoolExecutor(self.room.threads) as pool:
            return list(pool.map(self._region_ids, group))

    def _region_ids(self, number: int) -> Array:
        kind = int(self.regions[number]["kind"])
        width = 4 if self.plan.num_nodes < 1 << 31 else 8
        rows = int(self.regions[number]["rows"])
        if kind == BATCH:
            found = np.empty(rows, dtype=f"<i{width}")
            places = self._pack().where(number)
            spread_ids(self.plan.ids(number), places.where, found)
            return found
        same = self.regions["kind"] == SHARED if kind == SHARED else self.regions["kind"] > BATCH
        before = int(self.regions["rows"][:number][same[:number]].sum())
        name = "shared_ids.bin" if kind == SHARED else "cache_ids.bin"
        raw = aligned(rows * width)
        with Reader(self.path / name, direct=False) as reader:
            reader.read_into(raw, before * width, rows * width)
        return raw[: rows * width].view(f"<i{width}")

    def _pack(self) -> Pack:
        layout = {"place_bytes": place_bytes(self.plan.num_nodes)}
        row = {"row_bytes": self.array.row_bytes}
        return Pack(self.path, row, layout, {}, {}, self.regions, self.sums)

    def _shard(self, number: int) -> Path:
        return self.path / f"region-{number:03d}.bin"

    def _shard_bytes(self, shard: int) -> int:
        mine = self.regions[self.regions["shard"] == shard]
        ends = (
            mine["offset"].astype(np.int64) + mine["rows"].astype(np.int64) * self.array.row_bytes
        )
        return padded(int(ends.max()))

    def _finish(self, placement: Placement, settings: dict[str, Any]) -> None:
        files: dict[str, dict[str, Any]] = {}
        names = ["cache_ids.bin", "shared_ids.bin", "region.idx", "region.sum"]
        for name in names:
            files[name] = {
                "bytes": (self.path / name).stat().st_size,
                "digest": _file_digest(self.path / name),
            }
        used = {self._shard(int(shard)).name for shard in self.regions["shard"]}
        for stray in self.path.glob("region-*.bin"):
            if stray.name not in used:
                remove_tree(stray)
        for path in sorted([*self.path.glob("region-*.bin"), *self.path.glob("where-*.bin")]):
            files[path.name] = {"bytes": path.stat().st_size}
        batches = self.regions[self.regions["kind"] == BATCH]
        shared = self.regions[self.regions["kind"] == SHARED]
        cold = int(batches["rows"].sum())
        totals = {
            "accesses": placement.accesses,
            "cold_rows": placement.cold_rows,
            "region_rows": cold,
            "shared_rows": int(shared["rows"].sum()),
            "stored_rows": cold + int(shared["rows"].sum()),
            "shared_reads": int(batches["shared"].sum()),
            "most_rows": int(batches["rows"].max()),
            "most_shared": int(batches["shared"].max()),
            "most_where_bytes": int(batches["where_bytes"].max()),
            "disk_bytes": sum(entry["bytes"] for entry in files.values()),
        }
        layout = {
            "chunk_rows": max(self.cuts.chunk_bytes // placement.row_bytes, 1),
            "place_bytes": place_bytes(self.plan.num_nodes),
            "id_bytes": 4 if self.plan.num_nodes < 1 << 31 else 8,
        }
        fsync_folder(self.path)
        head = {"kind": "pack", "format": FORMAT, "settings": settings, "layout": layout}
        write_sealed(self.path / "pack.json", {**head, "totals": totals, "files": files})


def _write_small(path: Path, content: Array) -> None:
    with Writer(path, num_bytes=content.nbytes, direct=False) as file:
        file.write_at(0, content)
        file.flush()


def _file_digest(path: Path) -> str:
    total, block = xxhash.xxh3_128(), aligned(BLOCK)
    with Reader(path, direct=False) as reader:
        for start in range(0, reader.size, BLOCK):
            length = min(BLOCK, reader.size - start)
            reader.read_into(block, start, length)
            total.update(block[:length].data)
    return total.hexdigest()
