"""Packs features: for each batch of a plan, the rows it reads from disk in one run.

The feature file is read front to back and every row is handed to the regions that want it, as often
as memory asks for; the bytes written do not depend on that. A killed run is given again with the
same words and goes on after the last segment that reached the disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graphkit.errors import DamagedFile, StorageError
from graphkit.ooc.disk import READERS, Writer, free_bytes, locked, make_folder, remove_tree
from graphkit.ooc.pack_draft import PackDraft, Room
from graphkit.ooc.pack_layout import Cuts, Sorter
from graphkit.ooc.packed import Pack
from graphkit.ooc.placement import Placement
from graphkit.ooc.plan import Plan, Watch, nobody
from graphkit.ooc.residency import members
from graphkit.ooc.sealed import identity
from graphkit.ooc.sizes import show_bytes

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["Cuts", "Pack", "pack", "pack_id", "placement_of", "repair"]

_MEMORY = 1 << 30
_CUTS = Cuts()


def pack_id(store: Store, plan: Plan, placement: Placement) -> str:
    """Returns the name of the pack that a placement makes."""
    return identity(_settings(store, plan, placement))


def pack(
    store: Store,
    plan: Plan,
    placement: Placement,
    *,
    threads: int | None = None,
    memory: int | None = None,
    watch: Watch = nobody,
    cuts: Cuts = _CUTS,
) -> Pack:
    """Writes what a placement asks for below ``packs`` of a plan.

    A pack that is there already is opened; one that was interrupted goes on.

    Args:
        store: Where the features are.
        plan: The batches.
        placement: How many rows are on each level.
        threads: Threads that copy and write; ``None`` is torch's number, 6 at least: they wait
            for the disk more than they copy.
        memory: Bytes this may take; ``None`` is 1 GiB.
        watch: Told stage, bytes done and bytes in all.
        cuts: How the work is cut up.

    Raises:
        SettingError: The memory is too small; it names what is needed.
        DamagedFile: Features or plan are not what was written.
        StorageError: The disk is full or fails, or another process packs the same.
    """
    settings = _settings(store, plan, placement)
    path = plan.path / "packs" / identity(settings)
    if (path / "pack.json").exists() and not (path / "journal.jsonl").exists():
        return Pack.open(store, plan, path.name)
    threads = threads or max(torch.get_num_threads(), READERS)
    room = Room.of(store, plan, placement, threads, memory or _MEMORY, cuts)
    _claimable(path, placement)
    make_folder(path)
    with locked(path / ".lock"):
        if not (path / "pack.json").exists():
            PackDraft(store, plan, path, room, cuts, watch).write(placement, settings)
        for stray in (path / "journal.jsonl", *path.glob("*.tmp-*")):
            remove_tree(stray)
    return Pack.open(store, plan, path.name)


def repair(
    store: Store,
    plan: Plan,
    packed: Pack,
    *,
    threads: int | None = None,
    memory: int | None = None,
    watch: Watch = nobody,
) -> list[int]:
    """Writes damaged regions and places of rows again; the plan says which rows they hold.

    Args:
        store: Where the features are.
        plan: The batches.
        packed: What is to be mended.
        threads: Threads that copy and write; ``None`` is torch's number, 6 at least: they wait
            for the disk more than they copy.
        memory: Bytes this may take; ``None`` is 1 GiB.
        watch: Told stage, bytes done and bytes in all.

    Returns:
        Numbers of the regions that were damaged.

    Raises:
        DamagedFile: What would be written is not what was written: plan or features are damaged.
    """
    threads = threads or max(torch.get_num_threads(), READERS)
    placement = placement_of(packed)
    room = Room.of(store, plan, placement, threads, memory or _MEMORY, Cuts())
    with locked(packed.path / ".lock"):
        damaged = packed.damaged(watch)
        if not damaged:
            return []
        _mend_places(plan, packed, placement, [n for n in damaged if n < plan.num_batches])
        draft = PackDraft(store, plan, packed.path, room, Cuts(), watch)
        draft.take_up(packed.regions, packed.sums.copy())
        draft.fill(damaged, None)
        still = packed.damaged()
    if still:
        path, offset, _ = packed.place(still[0])
        raise DamagedFile(
            f"{path} at byte {offset} cannot be mended: plan or features have changed"
        )
    return damaged


def placement_of(packed: Pack) -> Placement:
    """Returns the placement a pack was made with, as far as it decides on bytes."""
    settings, totals = packed.settings, packed.totals
    return Placement(
        device_rows=settings["device_rows"],
        host_rows=settings["host_rows"],
        span=settings["span"],
        row_bytes=packed.row_bytes,
        accesses=totals["accesses"],
        cold_rows=totals["cold_rows"],
        stored_rows=totals["stored_rows"],
        memory_bytes=0,
        disk_bytes=totals["disk_bytes"],
    )


def _settings(store: Store, plan: Plan, placement: Placement) -> dict[str, Any]:
    return {
        "plan": plan.plan_id,
        "features": store.features_digest,
        "dtype": store.arrays["node/x"].dtype.name,
        "row_bytes": placement.row_bytes,
        "device_rows": placement.device_rows,
        "host_rows": placement.host_rows,
        "span": placement.span,
    }


def _claimable(path: Path, placement: Placement) -> None:
    held = sum(each.stat().st_size for each in path.glob("*.bin")) if path.is_dir() else 0
    free = free_bytes(path)
    if placement.disk_bytes > free + held:
        raise StorageError(
            f"the pack {path} takes {show_bytes(placement.disk_bytes)}, {show_bytes(free)} are "
            "free. A larger cache, fewer sampled epochs or a cap on the disk would make it smaller"
        )


def _mend_places(plan: Plan, packed: Pack, placement: Placement, numbers: list[int]) -> None:
    """Writes damaged places of rows again."""
    damaged = []
    for number in numbers:
        try:
            packed.where(number)
        except DamagedFile:
            damaged.append(number)
    if not damaged:
        return
    sorter = Sorter(plan, members(packed.cached_ids(), plan.num_nodes), placement.span)
    stop, span = 0, None
    for number in damaged:
        if number >= stop:
            stop, span = sorter.span_of(number)
        path, offset, _ = packed.where_place(number)
        with Writer(path, num_bytes=path.stat().st_size) as file:
            file.write_at(offset, sorter.batch(number, span).blob)
            file.flush()
