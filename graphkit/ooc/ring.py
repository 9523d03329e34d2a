"""Plans one after the other, each with its pack; on disk are the one in use and the next.

Each place of the row is a *slot*: the plan of some epochs, drawn for just these. Which slots may be
on disk is written down before the first byte of one is, so whoever is killed leaves nothing that
is not found again. Several processes may turn the same ring: one makes a slot while the others
wait, and none removes what another reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from graphkit.errors import DamagedFile, SettingError, StorageError, UnknownName
from graphkit.ooc.budget import Budget
from graphkit.ooc.folders import free_bytes, locked, make_folder, remove_tree
from graphkit.ooc.folders import replace as rename
from graphkit.ooc.pack import pack, pack_id
from graphkit.ooc.pack_layout import place_bytes
from graphkit.ooc.packed_nodes import Packed
from graphkit.ooc.placement import Placement, place
from graphkit.ooc.plan import Plan, Watch, nobody
from graphkit.ooc.sample_ahead import Engine, plan_settings, sample_ahead
from graphkit.ooc.sealed import identity, read_sealed, write_sealed
from graphkit.ooc.sizes import show_bytes
from graphkit.ooc.source import batch_bytes, most_read
from graphkit.ooc.store import Store

__all__ = ["FOREVER", "Ring", "Rotation", "fitted"]

_FORMAT = 1
_PATIENCE = 5.0  # seconds that a slot's last reader is waited for before it is removed
FOREVER = 1e9  # seconds: until whoever is at it has ended


@dataclass(frozen=True)
class Rotation:
    """Which epochs are drawn, and how often each is used.

    Args:
        fanouts: Neighbours drawn per hop, nearest hop first; -1 takes all.
        batch_size: Seeds a batch.
        seed: Seed of order and draws, that of the problem.
        every: Epochs of training that use the same drawn epoch.
        sampled_epochs: Drawn epochs of a slot.
    """

    fanouts: tuple[int, ...]
    batch_size: int
    seed: int = 0
    every: int = 1
    sampled_epochs: int = 1

    @property
    def period(self) -> int:
        """Epochs of training that one slot serves."""
        return self.every * self.sampled_epochs

    def first_epoch(self, slot: int) -> int:
        """Epoch whose draws a slot begins with: that of training where each is used once."""
        return slot * self.sampled_epochs


@dataclass(frozen=True, eq=False)
class Ring:
    """The slots of a rotation on disk.

    Args:
        store: The graph.
        rotation: What is drawn.
        room: Bytes that drawing and packing may take beside training.
        budget: Memory of training without cached rows; ``None`` while no plan is known, from which
            it is reckoned: slots can be drawn then, and not packed.
        disk: Bytes that a pack may take; ``None`` is half of what is free.
        cached_rows: Rows kept in memory; ``None`` takes as many as fit.
        threads: Threads that draw and pack.
        engine: How batches are drawn.
    """

    store: Store
    rotation: Rotation
    room: int
    budget: Budget | None = None
    disk: int | None = None
    cached_rows: int | None = None
    threads: int | None = None
    engine: Engine = "auto"

    @property
    def path(self) -> Path:
        """Folder that says which slots there are."""
        return self.store.path / "rings" / self.ring_id

    @property
    def ring_id(self) -> str:
        """Name of the ring: the hash of what decides the batches of its slots."""
        return identity(self._settings(0))

    def slots(self) -> list[int]:
        """Returns the slots that may be on disk, finished or not."""
        return sorted(
            int(path.stem.removeprefix("slot-")) for path in self.path.glob("slot-*.json")
        )

    def plan_path(self, slot: int) -> Path:
        """Returns the folder of a slot's plan."""
        return self.store.path / "plans" / identity(self._settings(slot))

    def find(self, slot: int) -> Packed | None:
        """Opens a slot that is finished and suits memory and settings, or returns nothing.

        Raises:
            DamagedFile: It is not what was written.
        """
        note = self._note(slot)
        if note is None or note["placement"] is None:
            return None
        if not (self.plan_path(slot) / "plan.json").exists():
            return None
        with contextlib.suppress(UnknownName):
            plan = Plan.open(self.store, note["plan"])
            placement = Placement(**note["placement"])
            name = pack_id(self.store, plan, placement)
            folder = plan.path / "packs" / name
            finished = (folder / "pack.json").exists() and not (folder / "journal.jsonl").exists()
            if finished and self._suits(plan, placement):
                return Packed.open(self.store, plan.plan_id, name)
        return None

    def draw(self, slot: int, watch: Watch = nobody) -> Plan:
        """Draws the plan of a slot, or opens it.

        Args:
            slot: Which one.
            watch: Told stage, batches done and batches in all; what it raises ends the work.

        Raises:
            SettingError: The memory is too small.
            StorageError: The disk is full or fails.
        """
        make_folder(self.path)
        with locked(self.path / ".lock", wait=FOREVER):
            return self._draw(slot, watch)

    def make(self, slot: int, keep: Collection[int], watch: Watch = nobody) -> None:
        """Removes other slots, then draws and packs one, unless it is there.

        Args:
            slot: Which one.
            keep: Slots that stay.
            watch: Told stage, steps done and steps in all; what it raises ends the work.

        Raises:
            SettingError: Memory or disk is too small.
            DamagedFile: Something is not what was written.
            StorageError: The disk is full or fails.
        """
        make_folder(self.path)
        with locked(self.path / ".lock", wait=FOREVER):
            for other in self.slots():
                if other not in (slot, *keep):
                    self._remove(other)
            for gone in self.path.glob("gone-*"):  # left by one that was killed
                remove_tree(gone)
            if self.find(slot) is None:
                plan = self._draw(slot, watch)
                placement = self._placed(slot, plan)
                threads, memory = self.threads, self.room
                pack(self.store, plan, placement, threads=threads, memory=memory, watch=watch)

    def _draw(self, slot: int, watch: Watch) -> Plan:
        if self._note(slot) is None:
            self._write(slot, None)
        rotation = self.rotation
        return sample_ahead(
            self.store, rotation.fanouts, rotation.batch_size, "train", rotation.sampled_epochs,
            rotation.seed, self.threads, self.room, watch,
            engine=self.engine, first_epoch=rotation.first_epoch(slot),
        )  # fmt: skip

    def _placed(self, slot: int, plan: Plan) -> Placement:
        """The placement that was begun with, if it suits; else one that does."""
        note = self._note(slot)
        if note is not None and note["placement"] is not None:
            before = Placement(**note["placement"])
            if self._suits(plan, before):
                return before
        with contextlib.suppress(StorageError), locked(plan.path / ".lock"):
            remove_tree(plan.path / "packs")  # of another placement, unless somebody reads it
        room = max(self._budget_of(plan).room, 0)
        rows = room // self.store.arrays["node/x"].row_bytes
        rows = rows if self.cached_rows is None else self.cached_rows
        disk = self.disk
        if disk is None:
            disk = (free_bytes(self.store.path) + self._held()) // 2
        made = place(self.store, plan, memory=1 << 62, depth=0, disk=disk, cached_rows=rows)
        if not self._suits(plan, made):
            raise SettingError(
                f"{rows} cached rows take {show_bytes(made.host_rows * made.row_bytes)}; memory "
                f"leaves {show_bytes(room)}"
            )
        placement = replace(made, memory_bytes=0)  # what the process held is in it
        self._write(slot, placement)
        return placement

    def _budget_of(self, plan: Plan) -> Budget:
        assert self.budget is not None  # set before anything is packed
        return fitted(self.budget, self.store, plan)

    def _suits(self, plan: Plan, placement: Placement) -> bool:
        """Whether a placement fits into memory, and has the rows in it that were asked for."""
        budget, asked, rows = self._budget_of(plan), self.cached_rows, placement.host_rows
        every = placement.cold_rows == 0  # more rows than are wanted at all
        as_asked = asked is None or rows == asked or (rows < asked and every)
        return as_asked and rows * placement.row_bytes <= max(budget.room, 0) + budget.slack

    def _held(self) -> int:
        """Bytes of all packs of the ring."""
        packs = [self.plan_path(slot) / "packs" for slot in self.slots()]
        return sum(file.stat().st_size for path in packs for file in path.rglob("*.bin"))

    def _remove(self, slot: int) -> None:
        """Removes a slot, unless somebody reads it still: then it goes when the next is made."""
        path, gone = self.plan_path(slot), self.path / f"gone-{slot}"
        if path.is_dir():
            try:
                with locked(path / ".lock", wait=_PATIENCE):
                    remove_tree(gone)
                    rename(path, gone)  # at one stroke: nobody finds half of it
            except StorageError:
                return
        remove_tree(gone)
        remove_tree(self._note_path(slot))

    def _note_path(self, slot: int) -> Path:
        return self.path / f"slot-{slot}.json"

    def _note(self, slot: int) -> dict[str, Any] | None:
        path = self._note_path(slot)
        try:
            return read_sealed(path, "slot", _FORMAT) if path.exists() else None
        except DamagedFile:
            return None  # it is written anew

    def _write(self, slot: int, placement: Placement | None) -> None:
        placed = None if placement is None else asdict(placement)
        note = {"kind": "slot", "format": _FORMAT, "plan": self.plan_path(slot).name}
        write_sealed(self._note_path(slot), note | {"placement": placed})

    def _settings(self, slot: int) -> dict[str, Any]:
        rotation = self.rotation
        return plan_settings(
            self.store, rotation.fanouts, rotation.batch_size, "train", rotation.sampled_epochs,
            rotation.seed, first_epoch=rotation.first_epoch(slot),
        )  # fmt: skip


def fitted(budget: Budget, store: Store, plan: Plan) -> Budget:
    """Returns a budget with buffers that hold the batches of one more plan."""
    row_bytes, places = store.arrays["node/x"].row_bytes, place_bytes(store.num_nodes)
    return replace(
        budget,
        buffer=max(budget.buffer, batch_bytes(plan, store.dims.in_channels)),
        raw=max(budget.raw, most_read(plan, row_bytes, places)),
    )
