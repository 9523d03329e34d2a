"""Plan: all mini-batches of some sampled epochs, as they lie on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkit.errors import DamagedFile, DataError, unknown_name
from graphkit.kernels import Array
from graphkit.ooc.disk import Reader, aligned, checksum
from graphkit.ooc.plan_files import (
    Drawn,
    decode,
    decode_ids,
    ids_bytes,
    padded,
    sound_records,
)
from graphkit.ooc.sealed import check_sizes, read_sealed, read_small

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["FORMAT", "Plan", "Watch", "nobody"]

FORMAT = 1

Watch = Callable[[str, int, int], None]


def nobody(stage: str, done: int, total: int) -> None:
    """Watches nothing."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The mini-batches of one part of a store, drawn ahead of training.

    Batch ``number`` is batch ``number % batches_per_epoch`` of sampled epoch
    ``number // batches_per_epoch``, counted from ``first_epoch``.

    Args:
        path: Folder of the plan.
        settings: What it was drawn with; its hash is the plan's id.
        totals: Sums and maxima over all batches, from which sizes are reckoned.
        records: One record a batch.
        verify: Hold bytes against their checksums when they are read.
    """

    path: Path
    settings: dict[str, Any]
    totals: dict[str, int]
    records: Array = field(repr=False)
    verify: bool = True

    @classmethod
    def open(cls, store: Store, plan_id: str) -> Plan:
        """Opens a finished plan.

        Args:
            store: The store it was drawn from.
            plan_id: Its name below ``plans``.

        Raises:
            UnknownName: There is none of that name.
            DamagedFile: It is not finished, or a file is not what was written.
            DataError: It was drawn from another graph.
        """
        path = store.path / "plans" / plan_id
        if not path.is_dir():
            folder = store.path / "plans"
            known = [p.name for p in folder.iterdir()] if folder.is_dir() else []
            raise unknown_name("plan", plan_id, known, "graphkit ooc info")
        content = read_sealed(path / "plan.json", "plan", FORMAT)
        if content["settings"]["graph"] != store.graph_digest:
            raise DataError(f"{path} was drawn from another graph than that of {store.path}")
        index = read_small(path, content["files"], "batches.idx")
        records = sound_records(index)
        if len(records) != content["totals"]["batches"]:
            raise DamagedFile(f"{path / 'batches.idx'}, record {len(records)}, is damaged")
        check_sizes(path, content["files"])
        return cls(path, content["settings"], content["totals"], records, store.checks)

    @property
    def plan_id(self) -> str:
        """Name of the plan: the hash of its settings."""
        return self.path.name

    @property
    def num_batches(self) -> int:
        """Batches of all sampled epochs together."""
        return len(self.records)

    @property
    def sampled_epochs(self) -> int:
        """Epochs that were drawn, each with other neighbours."""
        return int(self.settings["sampled_epochs"])

    @property
    def first_epoch(self) -> int:
        """The epoch whose draws the first sampled epoch holds."""
        return int(self.settings.get("first_epoch", 0))

    @property
    def batches_per_epoch(self) -> int:
        """Batches of one sampled epoch."""
        return self.num_batches // self.sampled_epochs

    @property
    def num_nodes(self) -> int:
        """Nodes of the graph."""
        return int(self.settings["num_nodes"])

    def place(self, number: int) -> tuple[Path, int, int]:
        """Returns file, first byte (on a page) and length of the bytes of a batch."""
        record = self.records[number]
        name = f"topo-{record['shard']:03d}.bin"
        return self.path / name, int(record["offset"]), int(record["length"])

    def batch(self, number: int) -> Drawn:
        """Reads a batch.

        Args:
            number: 0 to ``num_batches - 1``.

        Raises:
            DamagedFile: Its bytes are not those that were written.
            StorageError: The disk fails.
        """
        path, offset, length = self.place(number)
        blob = aligned(length)
        with Reader(path) as reader:
            reader.read_into(blob, offset, padded(length))
        return self.decode(number, blob)

    def decode(self, number: int, blob: Array) -> Drawn:
        """Turns bytes that were read from ``place(number)`` into the batch.

        Raises:
            DamagedFile: They are not those that were written.
        """
        if self.verify:
            self._check(number, blob)
        return decode(self.records[number], blob)

    def ids(self, number: int, reader: Reader | None = None) -> Array:
        """Reads the node ids of a batch alone, int32 or int64 as they lie.

        Args:
            number: 0 to ``num_batches - 1``.
            reader: Its shard, where that is open already.
        """
        path, offset, _ = self.place(number)
        length = ids_bytes(self.records[number])
        blob = aligned(length)
        if length and reader is not None:
            reader.read_into(blob, offset, padded(length))
        elif length:
            with Reader(path) as own:
                own.read_into(blob, offset, padded(length))
        if self.verify and checksum(blob[:length]) != int(self.records[number]["ids_sum"]):
            raise DamagedFile(f"{path} is damaged at byte {offset}: node ids of batch {number}")
        return decode_ids(self.records[number], blob)

    def counts(self) -> Array:
        """Reads in how many batches each node is wanted, uint32."""
        content = read_sealed(self.path / "plan.json", "plan", FORMAT)
        return np.frombuffer(read_small(self.path, content["files"], "counts.bin"), dtype="<u4")

    def num_ids(self) -> Array:
        """Returns the number of nodes of each batch, int64."""
        return self.records["nodes"].astype(np.int64).sum(axis=1)

    def check(self, watch: Watch = nobody) -> None:
        """Reads all bytes of the plan and holds them against their checksums.

        Raises:
            DamagedFile: The first place that is not what was written.
        """
        self.counts()
        for number in range(self.num_batches):
            path, offset, length = self.place(number)
            blob = aligned(length)
            with Reader(path) as reader:
                reader.read_into(blob, offset, padded(length))
            self._check(number, blob)
            watch("verify plan", number + 1, self.num_batches)

    def _check(self, number: int, blob: Array) -> None:
        path, offset, length = self.place(number)
        record, first = self.records[number], ids_bytes(self.records[number])
        for name, low, high in (("ids_sum", 0, first), ("edges_sum", first, length)):
            if checksum(blob[low:high]) != int(record[name]):
                raise DamagedFile(
                    f"{path} is damaged between bytes {offset + low} and {offset + high}: "
                    f"batch {number}"
                )
