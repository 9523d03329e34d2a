"""From a store to a batching in one call: what is missing is drawn and packed, within the budget.

The same call with the same words finds what it made before, and goes on where it was killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.errors import DamagedFile, SettingError
from graphkit.ooc.batch_kernels import gather, gather_halves, gather_steps, unfold, widen
from graphkit.ooc.budget import Budget, reckon, resident_bytes
from graphkit.ooc.disk import READERS, free_bytes
from graphkit.ooc.pack import Pack, pack, placement_of
from graphkit.ooc.packed_nodes import Packed, PackedNodes, refuse_hidden
from graphkit.ooc.placement import Placement, place
from graphkit.ooc.plan import Plan, Watch, nobody
from graphkit.ooc.sample_ahead import Engine, sample_ahead
from graphkit.ooc.sealed import identity, read_sealed, write_sealed
from graphkit.ooc.sizes import show_bytes
from graphkit.ooc.store import Store

__all__ = ["make_ready", "open_ready"]

_FORMAT = 1
_ENOUGH = 0.9  # of the rows that fit: a pack that is there is worth a few rows less


def make_ready(
    store: Store,
    *,
    fanouts: Sequence[int],
    batch_size: int,
    memory: int,
    disk: int | None = None,
    sampled_epochs: int = 2,
    parts: Sequence[str] = ("train", "val", "test"),
    score_batch_size: int | None = None,
    seed: int = 0,
    cached_rows: int | None = None,
    device_memory: int | None = None,
    threads: int | None = None,
    reserve: int | None = None,
    engine: Engine = "auto",
    watch: Watch = nobody,
) -> PackedNodes:
    """Draws and packs the batches of all parts, and returns the batching that reads them.

    Training gets the cache, and ``sampled_epochs`` epochs; other parts one, without a cache.

    Args:
        store: The graph.
        fanouts: Neighbours drawn per hop, nearest hop first; -1 takes all.
        batch_size: Seeds a batch of training.
        memory: Bytes the process may hold in training, all of it: interpreter and model included.
        disk: Bytes all packs together may take; ``None`` is what is free.
        sampled_epochs: Epochs of training to draw, each with other neighbours.
        parts: Which parts will be read.
        score_batch_size: Seeds a batch of the other parts; ``None`` is ``batch_size``.
        seed: Seed of order and draws, that of the problem.
        cached_rows: Rows kept in memory; ``None`` takes as many as fit.
        device_memory: Bytes on the device that trains for its hottest rows; ``None`` keeps none
            there. The turns of training must then be on a device.
        threads: Threads that draw, copy and read; ``None`` is torch's number (6 for reading,
            6 at least for copying).
        reserve: Bytes for model, optimiser and what a step computes; ``None`` guesses.
        engine: How batches are drawn: ``memory``, ``scan``, or ``auto``, which scans where the
            graph does not fit. No batch depends on it.
        watch: Told stage, steps done and steps in all.

    Raises:
        SettingError: Memory or disk is too small; the message says what would fit.
        DataError: The store has hidden nodes, or a part is empty.
        DamagedFile: Something is not what was written.
        StorageError: The disk is full or fails, or another process does the same.
    """
    refuse_hidden(store)
    _warm()
    held = resident_bytes() or 0
    if memory <= held:
        raise SettingError(
            f"memory = {show_bytes(memory)}; the process holds {show_bytes(held)} before anything "
            f"is read: expected clearly more, such as {show_bytes(2 * held)}"
        )
    plans: dict[str, Plan] = {}
    for part in parts:
        room = max(memory - (resident_bytes() or 0), 1)
        size = batch_size if part == "train" else score_batch_size or batch_size
        epochs = sampled_epochs if part == "train" else 1
        plans[part] = sample_ahead(
            store, fanouts, size, part, epochs, seed, threads=threads, memory=room, watch=watch,
            engine=engine,
        )  # fmt: skip
    readers = threads or READERS
    asked: dict[str, Any] = {
        "memory": memory,
        "reserve": reserve,
        "cached_rows": cached_rows,
        "disk": disk,
        "plans": [plan.plan_id for plan in plans.values()],
    }
    # What drawing leaves behind (machine code, memory that the allocator keeps) stays while it
    # trains: the process is measured after it.
    budget = reckon(store, plans.values(), memory=memory, reserve=reserve, threads=readers)
    if device_memory:
        asked["device_memory"] = device_memory
        budget = _on_device(budget, plans.values())
    left = free_bytes(store.path) if disk is None else disk
    made: dict[str, Packed] = {}
    for part in sorted(parts, key=lambda each: each == "train"):  # the cache takes what is left
        placement = _placed(store, plans[part], part, budget, asked, left)
        room = max(memory - (resident_bytes() or 0), 1)
        packed = pack(store, plans[part], placement, threads=threads, memory=room, watch=watch)
        made[part] = Packed(plans[part], packed)
        left -= int(packed.totals["disk_bytes"]) if disk is not None else 0
        budget = _with_rows(budget, packed)
    return PackedNodes(store, {part: made[part] for part in parts}, budget, readers)


def open_ready(
    store: Store,
    packs: Mapping[str, tuple[str, str]],
    *,
    memory: int | None = None,
    reserve: int | None = None,
    threads: int = READERS,
) -> PackedNodes:
    """Opens plans and packs that are there; writes nothing.

    Args:
        store: The graph.
        packs: Names of plan and pack of each part.
        memory: Bytes the process may hold; ``None`` is no limit.
        reserve: Bytes for model, optimiser and what a step computes; ``None`` guesses.
        threads: Reads under way at once.

    Raises:
        UnknownName: There is no plan or pack of that name.
        SettingError: The memory is too small for them; the message says what is needed.
        DamagedFile: A file is not what was written.
    """
    refuse_hidden(store)
    _warm()
    made = {part: Packed.open(store, *names) for part, names in packs.items()}
    plans = [each.plan for each in made.values()]
    budget = reckon(store, plans, memory=memory, reserve=reserve, threads=threads)
    if any(each.pack.device_rows for each in made.values()):
        budget = _on_device(budget, plans)
    for each in made.values():
        budget = _with_rows(budget, each.pack)
    # What is left aside is for a pack that was chosen for this memory, when the process held less.
    chosen = all(_chosen_for(each, memory, reserve) for each in made.values())
    if budget.room + (budget.slack if chosen else 0) < 0:
        raise SettingError(
            f"memory = {show_bytes(memory or 0)}; training with these packs takes {budget}"
        )
    return PackedNodes(store, made, budget, threads)


def _placed(
    store: Store,
    plan: Plan,
    part: str,
    budget: Budget,
    asked: Mapping[str, Any],
    disk: int,
) -> Placement:
    """The placement of a part: what the same words came to before, if it still fits.

    What the process holds differs a little from run to run, and with it the rows that fit. A cache
    of another size would be another pack.
    """
    fixed = budget.needed
    if part != "train":
        return place(store, plan, memory=1 << 62, reserve=fixed, depth=0, disk=disk, cached_rows=0)
    row_bytes = store.arrays["node/x"].row_bytes
    path = plan.path / "packs" / f"placement-{identity(asked)}.json"
    if path.exists():
        before = _known(path)
        if before is not None and before.host_rows * row_bytes <= budget.room + budget.slack:
            return before
    cached = asked["cached_rows"]
    placement = place(
        store,
        plan,
        memory=max(budget.usable, fixed + (1 << 20)),
        device_memory=asked.get("device_memory", 0),
        reserve=fixed,
        depth=0,
        disk=disk,
        cached_rows=cached,
    )
    if cached is None:
        placement = _made_already(store, plan, placement, budget.room + budget.slack)
    placement = replace(placement, memory_bytes=0)  # what the process held is in it
    head = {"kind": "placement", "format": _FORMAT, "asked": dict(asked)}
    write_sealed(path, {**head, "placement": asdict(placement)})
    return placement


def _on_device(budget: Budget, plans: Iterable[Plan]) -> Budget:
    """The budget with what batches take on their way to a device: places of the rows that are
    there already, and pinned memory for those of two batches."""
    most = max(plan.totals["most_nodes"] for plan in plans)
    more = 16 * budget.buffers * most + 2 * budget.buffer
    return replace(budget, tables=budget.tables + more)


def _with_rows(budget: Budget, packed: Pack) -> Budget:
    """The budget with the rows that a pack keeps in memory, and on the device."""
    device = packed.device_rows * packed.row_bytes
    cache = packed.cached_rows * packed.row_bytes - device
    return replace(budget, cache=budget.cache + cache, device=budget.device + device)


def _chosen_for(packed: Packed, memory: int | None, reserve: int | None) -> bool:
    """Whether ``make_ready`` chose the rows of a pack for this memory, or it keeps none."""
    pack = packed.pack
    if pack.cached_rows == pack.device_rows:
        return True
    for path in sorted(pack.path.parent.glob("placement-*.json")):
        found = _sealed(path)
        asked, placement = found.get("asked", {}), found.get("placement", {})
        same = (asked.get("memory"), asked.get("reserve")) == (memory, reserve)
        settings = ("device_rows", "host_rows", "span")
        if same and all(placement.get(key) == pack.settings[key] for key in settings):
            return True
    return False


def _made_already(store: Store, plan: Plan, wanted: Placement, room: int) -> Placement:
    """A placement whose pack is there, if its cache fits and is nearly as large as wanted."""
    best: Placement | None = None
    for folder in sorted((plan.path / "packs").glob("*/pack.json")):
        found = placement_of(Pack.open(store, plan, folder.parent.name))
        fits = found.device_rows == wanted.device_rows and found.host_rows * found.row_bytes <= room
        if fits and (best is None or found.host_rows > best.host_rows):
            best = found
    enough = best is not None and best.host_rows >= _ENOUGH * wanted.host_rows
    return best if best is not None and enough else wanted


def _known(path: Path) -> Placement | None:
    found = _sealed(path)
    return Placement(**found["placement"]) if found else None


def _sealed(path: Path) -> dict[str, Any]:
    """A placement that was noted, with the words it was asked for with; empty if damaged."""
    try:
        return read_sealed(path, "placement", _FORMAT)
    except DamagedFile:
        return {}


def _warm() -> None:
    """Runs the compiled parts once, so that their machine code is in memory when it is measured."""
    for width in (np.int32, np.int64):
        where, ids = np.zeros(1, dtype=width), np.zeros(1, dtype=np.int64)
        widen(where, ids)
        rows = np.zeros((1, 1), dtype=np.uint8)
        gather(where, rows, rows, rows, rows.copy())
        halves = rows.astype(np.uint16)
        gather_halves(where, halves, halves, halves, rows.astype(np.uint32))
        steps, scale = rows.astype(np.int8), np.ones(1, dtype=np.float32)
        gather_steps(where, steps, steps, steps, scale, rows.astype(np.float32))
    unfold(np.ones(1, dtype=np.uint8), np.zeros(1, dtype=np.int64))
