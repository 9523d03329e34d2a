"""A plan while it is written: batches in shards, their records in an index, counts of nodes.

Only batches whose record is on disk and sound are there; what comes after is drawn again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from graphkit.data.problem import Turn
from graphkit.errors import DamagedFile
from graphkit.kernels import Array, compiled
from graphkit.ooc.disk import Reader, Writer, aligned, checksum, fsync_folder, remove_tree
from graphkit.ooc.plan import FORMAT, Watch
from graphkit.ooc.plan_files import (
    BATCH,
    SHARD,
    Hops,
    decode_ids,
    encode,
    next_place,
    padded,
    seal_record,
    sound_records,
)
from graphkit.ooc.sealed import digest_of, read_whole, write_sealed

__all__ = ["Drawing", "PlanDraft", "Steps"]


class Drawing(Protocol):
    """What draws batches: from memory, or by reading the graph front to back."""

    def draw(self, batches: Iterable[tuple[int, Tensor]]) -> Generator[Hops, None, None]:
        """Yields the batches of these epochs and seeds in order."""
        ...


@dataclass(frozen=True)
class Steps:
    """How work is cut up; no batch depends on it.

    Args:
        shard_bytes: Most bytes of a file of batches.
        commit_bytes: Bytes after which the disk is waited for.
        group: Most batches that are drawn in one scan; ``None`` is as many as fit into memory.
    """

    shard_bytes: int = SHARD
    commit_bytes: int = 64 << 20
    group: int | None = None


class PlanDraft:
    """A plan that is being written.

    Args:
        path: Its folder.
        settings: What it is drawn with.
        steps: How work is cut up.
        watch: Told stage, batches done and batches in all.
    """

    def __init__(self, path: Path, settings: dict[str, Any], steps: Steps, watch: Watch) -> None:
        self.path, self.settings, self.steps, self.watch = path, settings, steps, watch
        self.id_bytes = 4 if settings["num_nodes"] < 1 << 31 else 8
        self.counts: Array = np.zeros(settings["num_nodes"], dtype="<u4")
        self.records: list[np.void] = []
        self.pending: list[np.void] = []
        self.shard: Writer | None = None
        self.number = self.end = self.unsafe = 0

    def write(self, drawing: Drawing, items: Tensor) -> None:
        """Draws what is missing and makes the plan complete."""
        self._take_up()
        batches = -(-len(items) // self.settings["batch_size"])
        total = batches * self.settings["sampled_epochs"]
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            index = stack.enter_context(
                Writer(self.path / "batches.idx", num_bytes=len(self.records) * BATCH.itemsize)
            )
            self._open_shard(self.number, self.end)
            drawn = drawing.draw(self._missing(items, len(self.records), batches))
            for out in stack.enter_context(contextlib.closing(drawn)):
                self._add(*encode(out, self.id_bytes))
                if self.unsafe >= self.steps.commit_bytes:
                    self._commit(index)
                self.watch("sample", len(self.records) + len(self.pending), total)
            self._commit(index)
        self._finish()

    def _missing(self, items: Tensor, done: int, batches: int) -> Iterator[tuple[int, Tensor]]:
        """Epoch and seeds of each batch that is not on disk."""
        part, seed, size = (self.settings[name] for name in ("part", "seed", "batch_size"))
        for number in range(done // batches, self.settings["sampled_epochs"]):
            epoch = self.settings.get("first_epoch", 0) + number
            turn = Turn(part, seed, epoch, max(done - number * batches, 0))
            for _, chunk in turn.chunks(items, size):
                yield epoch, chunk

    def _take_up(self) -> None:
        """Finds the batches that reached the disk, and counts their nodes."""
        if not (self.path / "batches.idx").exists():
            return
        for record in sound_records(read_whole(self.path / "batches.idx")):
            length = int(record["length"])
            blob = aligned(length)
            name = f"topo-{record['shard']:03d}.bin"
            try:
                with Reader(self.path / name) as reader:
                    reader.read_into(blob, int(record["offset"]), padded(length))
            except DamagedFile:
                return
            first = int(record["nodes"].sum()) * int(record["id_bytes"])
            sums = (checksum(blob[:first]), checksum(blob[first:length]))
            if sums != (int(record["ids_sum"]), int(record["edges_sum"])):
                return
            self._count(record, blob)
            self.records.append(record)
            self.number, self.end = int(record["shard"]), int(record["offset"]) + padded(length)

    def _add(self, record: np.void, blob: Array) -> None:
        number, offset = next_place(
            self.number, self.end, int(record["length"]), self.steps.shard_bytes
        )
        if number != self.number:
            self._flush()
            self._open_shard(number, 0)
        record["shard"], record["offset"] = number, offset
        seal_record(record, len(self.records) + len(self.pending))
        assert self.shard is not None
        self.shard.write_at(offset, blob[: padded(int(record["length"]))])
        self.end = offset + padded(int(record["length"]))
        self.unsafe += len(blob)
        self.pending.append(record)
        self._count(record, blob)

    def _count(self, record: np.void, blob: Array) -> None:
        count_ids(self.counts, decode_ids(record, blob))

    def _open_shard(self, number: int, num_bytes: int) -> None:
        self._close()
        self.shard = Writer(self.path / f"topo-{number:03d}.bin", num_bytes=num_bytes)
        self.number, self.end = number, num_bytes

    def _close(self) -> None:
        if self.shard is not None:
            self.shard.close()

    def _flush(self) -> None:
        if self.shard is not None:
            self.shard.flush()

    def _commit(self, index: Writer) -> None:
        """First the batches, then their records: a record that can be read vouches for them."""
        self._flush()
        if self.pending:
            fsync_folder(self.path)
            content = b"".join(record.tobytes() for record in self.pending)
            index.write_at(len(self.records) * BATCH.itemsize, content)
            index.flush()
        self.records += self.pending
        self.pending, self.unsafe = [], 0

    def _finish(self) -> None:
        shards = [f"topo-{number:03d}.bin" for number in range(self.number + 1)]
        for stray in (*self.path.glob("topo-*.bin"), *self.path.glob("*.tmp-*")):
            if stray.name not in shards:  # left by one that was killed
                remove_tree(stray)
        with Writer(self.path / "counts.bin", num_bytes=None, direct=False) as counts:
            counts.write_at(0, self.counts)
            counts.flush()
        table = np.array(self.records, dtype=BATCH)
        files: dict[str, Any] = {
            name: {"bytes": (self.path / name).stat().st_size} for name in shards
        }
        for name, content in (("batches.idx", table), ("counts.bin", self.counts)):
            raw = content.view(np.uint8)
            files[name] = {"bytes": len(raw), "digest": digest_of(raw.data)}
        nodes = table["nodes"].astype(np.int64).sum(axis=1)
        edges = table["edges"].astype(np.int64).sum(axis=1)
        totals = {
            "batches": len(table),
            "nodes": int(nodes.sum()),
            "edges": int(edges.sum()),
            "most_nodes": int(nodes.max()),
            "most_edges": int(edges.max()),
            "most_bytes": int(table["length"].max()),
            "topology_bytes": sum(files[name]["bytes"] for name in shards),
        }
        fsync_folder(self.path)
        head = {"kind": "plan", "format": FORMAT, "settings": self.settings}
        write_sealed(self.path / "plan.json", {**head, "totals": totals, "files": files})


@compiled
def count_ids(counts: Array, ids: Array) -> None:
    """Raises the count of each node; one that is named twice counts twice."""
    for i in range(len(ids)):
        counts[ids[i]] += 1
