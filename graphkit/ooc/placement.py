"""Where each row is kept: on the device, in memory, in a batch's own region, or shared on disk.

How often each row is wanted is known before training, so the share of accesses a cache of any size
serves is exact, and so are memory and disk that a size needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graphkit.errors import SettingError
from graphkit.kernels import Array
from graphkit.ooc.disk import BLOCK, PAGE, free_bytes
from graphkit.ooc.plan import Plan
from graphkit.ooc.residency import Members, members
from graphkit.ooc.shared_rows import stored_rows
from graphkit.ooc.sizes import show_bytes

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["Curve", "Placement", "cached_ids", "place"]

_CHUNK = 1 << 22  # nodes looked at at a time


@dataclass(frozen=True, eq=False)
class Curve:
    """Accesses that the hottest rows serve; exact for every number of rows.

    Args:
        uses: Each number of accesses that occurs, falling, without 0.
        rows: Rows with at least that many.
        hits: Accesses those rows serve together.
    """

    uses: Array
    rows: Array
    hits: Array

    @classmethod
    def of(cls, counts: Array) -> Curve:
        """Makes the curve of a plan's counts."""
        size = int(counts.max(initial=0)) + 1
        found = np.zeros(size, dtype=np.int64)
        for start in range(0, len(counts), _CHUNK):
            found += np.bincount(counts[start : start + _CHUNK], minlength=size)
        uses = np.flatnonzero(found[1:])[::-1] + 1
        rows = found[uses]
        return cls(uses, np.cumsum(rows), np.cumsum(rows * uses))

    @property
    def accesses(self) -> int:
        """Rows that all batches want together."""
        return int(self.hits[-1]) if len(self.hits) else 0

    @property
    def distinct(self) -> int:
        """Rows that are wanted at all."""
        return int(self.rows[-1]) if len(self.rows) else 0

    def served(self, rows: int) -> int:
        """Returns the accesses that the hottest ``rows`` serve."""
        if rows >= self.distinct:
            return self.accesses
        step = int(np.searchsorted(self.rows, rows, side="right"))
        before = (int(self.rows[step - 1]), int(self.hits[step - 1])) if step else (0, 0)
        return before[1] + (rows - before[0]) * int(self.uses[step])

    def rows_for(self, accesses: int) -> int:
        """Returns the least number of rows that serves as many accesses."""
        step = int(np.searchsorted(self.hits, accesses, side="left"))
        if accesses <= 0 or step == len(self.hits):
            return 0 if accesses <= 0 else self.distinct
        before = (int(self.rows[step - 1]), int(self.hits[step - 1])) if step else (0, 0)
        return before[0] + -(-(accesses - before[1]) // int(self.uses[step]))


@dataclass(frozen=True)
class Placement:
    """How many rows are on each level, and what that needs.

    Args:
        device_rows: Hottest rows, kept on the device.
        host_rows: The next ones, kept in memory.
        span: Consecutive batches that share what two of them want; 0 shares nothing.
        row_bytes: Bytes of a row as it is stored.
        accesses: Rows all batches of the plan want together.
        cold_rows: Those of them that come from disk.
        stored_rows: Rows on disk; fewer than ``cold_rows`` where batches share.
        memory_bytes: What training takes at most, ``reserve`` included.
        disk_bytes: What the pack takes at most.
    """

    device_rows: int
    host_rows: int
    span: int
    row_bytes: int
    accesses: int
    cold_rows: int
    stored_rows: int
    memory_bytes: int
    disk_bytes: int

    @property
    def cached_rows(self) -> int:
        """Rows on the device and in memory."""
        return self.device_rows + self.host_rows

    @property
    def hit_rate(self) -> float:
        """Share of accesses the caches serve."""
        return 1.0 - self.cold_rows / self.accesses if self.accesses else 0.0


def cached_ids(counts: Array, curve: Curve, placement: Placement) -> Array:
    """Returns the cached rows: those of the device, then those in memory, each by id.

    Equally hot rows are taken by id.
    """
    device = _hottest(counts, curve, placement.device_rows)
    every = _hottest(counts, curve, placement.cached_rows)
    if not len(device):
        return every
    return np.concatenate([device, np.setdiff1d(every, device, assume_unique=True)])


def place(
    store: Store,
    plan: Plan,
    *,
    memory: int,
    device_memory: int = 0,
    disk: int | None = None,
    depth: int = 3,
    reserve: int = 0,
    cached_rows: int | None = None,
) -> Placement:
    """Chooses the largest cache that fits, and shares rows between batches where disk is scarce.

    Args:
        store: Where the features are.
        plan: The batches to train on.
        memory: Bytes that training may take.
        device_memory: Bytes on the device for its hottest rows.
        disk: Bytes the pack may take; ``None`` is what is free.
        depth: Batches under way at a time.
        reserve: Bytes for all else: interpreter, model, optimiser.
        cached_rows: Rows in memory; ``None`` takes as many as fit.

    Raises:
        SettingError: Memory or disk is too small; the message names what would fit.
    """
    counts = plan.counts()
    curve = Curve.of(counts)
    row_bytes = store.arrays["node/x"].row_bytes
    fixed = reserve + _tables(plan, curve, row_bytes) + depth * _batch_bytes(store, plan)
    if fixed > memory:
        raise SettingError(
            f"memory = {show_bytes(memory)}; training on this plan takes {show_bytes(fixed)} "
            f"before a row is cached: {show_bytes(_batch_bytes(store, plan))} for each of {depth} "
            "batches under way. Give more memory, or sample smaller batches or fan-outs"
        )
    device_rows = min(device_memory // row_bytes, curve.distinct)
    room = min((memory - fixed) // row_bytes, curve.distinct - device_rows)
    if cached_rows is not None and cached_rows > room:
        needed = fixed + min(cached_rows, curve.distinct) * row_bytes
        if needed > memory:
            raise SettingError(
                f"{cached_rows} cached rows take {show_bytes(needed)} with all else; "
                f"memory = {show_bytes(memory)} has room for {room}"
            )
    host_rows = room if cached_rows is None else min(cached_rows, room)
    cold = curve.accesses - curve.served(device_rows + host_rows)
    draft = Placement(
        device_rows=device_rows,
        host_rows=host_rows,
        span=0,
        row_bytes=row_bytes,
        accesses=curve.accesses,
        cold_rows=cold,
        stored_rows=cold,
        memory_bytes=fixed + host_rows * row_bytes,
        disk_bytes=_disk_bytes(plan, cold, device_rows + host_rows, row_bytes, 0),
    )
    cap = free_bytes(store.path) if disk is None else disk
    return draft if draft.disk_bytes <= cap else _shared(plan, curve, counts, draft, cap, fixed)


def _shared(
    plan: Plan, curve: Curve, counts: Array, draft: Placement, cap: int, fixed: int
) -> Placement:
    """The shortest span of batches whose shared rows bring the pack below the cap."""
    spans = [1 << power for power in range(1, max(plan.num_batches - 1, 1).bit_length() + 1)]
    hot: Members = members(cached_ids(counts, curve, draft), plan.num_nodes)
    best = draft
    for span, rows in zip(spans, stored_rows(plan, hot, spans), strict=True):
        disk = _disk_bytes(plan, rows, draft.cached_rows, draft.row_bytes, draft.cold_rows)
        found = Placement(
            **{**draft.__dict__, "span": span, "stored_rows": rows, "disk_bytes": disk}
        )
        if disk <= cap:
            return found
        best = min(best, found, key=lambda each: each.disk_bytes)
    raise SettingError(_advice(plan, curve, draft, best, cap, fixed))


def _advice(
    plan: Plan, curve: Curve, draft: Placement, best: Placement, cap: int, fixed: int
) -> str:
    """What a refused placement needs, and what would fit."""
    per_row = draft.row_bytes
    spare = cap - _disk_bytes(plan, 0, 0, per_row, 0)
    ways = [f"{show_bytes(best.disk_bytes)} of disk where batches share rows"]
    # One more cached row takes its own bytes on disk, and saves those of all its uses.
    rows = np.concatenate([[0], curve.rows])
    kept = (curve.accesses - np.concatenate([[0], curve.hits]) + rows) * per_row
    fitting = np.flatnonzero(kept <= spare)
    if len(fitting):
        needed = fixed + int(rows[fitting[0]]) * per_row
        ways.append(f"{show_bytes(needed)} of memory")
    epochs = plan.sampled_epochs * cap // draft.disk_bytes
    if epochs:
        ways.append(f"{epochs} sampled epochs instead of {plan.sampled_epochs}")
    return (
        f"the pack takes {show_bytes(draft.disk_bytes)} of disk, {show_bytes(cap)} may be used. "
        f"What would fit: {', or '.join(ways)}, or a store of a smaller type (float16 halves it)"
    )


def _hottest(counts: Array, curve: Curve, rows: int) -> Array:
    """The hottest rows by id; of equally hot ones those with the lowest ids."""
    narrow = np.int32 if len(counts) < 1 << 31 else np.int64
    rows = min(rows, curve.distinct)
    if rows == 0:
        return np.empty(0, dtype=narrow)
    step = int(np.searchsorted(curve.rows, rows, side="left"))
    least = int(curve.uses[step])
    ties = rows - (int(curve.rows[step - 1]) if step else 0)
    found = []
    for start in range(0, len(counts), _CHUNK):
        part = counts[start : start + _CHUNK]
        equal = np.flatnonzero(part == least)[:ties]
        ties -= len(equal)
        chosen = part > least
        chosen[equal] = True
        found.append((np.flatnonzero(chosen) + start).astype(narrow))
    return np.concatenate(found)


def _batch_bytes(store: Store, plan: Plan) -> int:
    """A batch under way: as read, and as it is handed out (features as float32)."""
    x = store.arrays["node/x"]
    columns = x.row_bytes // x.dtype.itemsize
    nodes, edges = plan.totals["most_nodes"], plan.totals["most_edges"]
    read = nodes * x.row_bytes + plan.totals["most_bytes"] + 8 * nodes + 4 * PAGE
    return read + nodes * (4 * columns + 8) + 16 * edges


def _tables(plan: Plan, curve: Curve, row_bytes: int) -> int:
    """Indexes and checksums that stay in memory."""
    blocks = curve.accesses * row_bytes // BLOCK + plan.num_batches
    return plan.num_batches * 256 + 8 * blocks


def _disk_bytes(plan: Plan, rows: int, cached: int, row_bytes: int, shared_cold: int) -> int:
    """Upper bound: rows, cache, places of rows, checksums, and the last page of each region."""
    regions = plan.num_batches * (2 * PAGE + 256) + 16 * PAGE
    places = 4 * plan.totals["nodes"] + 8 * shared_cold
    data = (rows + cached) * row_bytes
    return data + data // BLOCK * 8 + places + 8 * cached + regions
