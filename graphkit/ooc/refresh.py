"""Fresh samples while training goes on: one plan is read, the next is drawn and packed meanwhile.

The work behind is done by a thread of this process. Its kernels, reads and writes hold no lock of
Python's: with it an epoch of GraphSAGE on two busy cores took 1.14 times as long as without (1.08
to 1.18 in four rounds by turns), with a process in its place 1.27 times (1.04 to 1.53). A thread
needs no second interpreter, its memory is inside the budget that is watched, and it ends with the
process, however that ends.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.problem import Turn
from graphkit.errors import SettingError
from graphkit.ooc.budget import Budget, default_reserve, reckon, resident_bytes
from graphkit.ooc.disk import READERS, locked
from graphkit.ooc.packed_nodes import Packed, PackedNodes, refuse_hidden
from graphkit.ooc.pipeline import Meter
from graphkit.ooc.plan import Watch, nobody
from graphkit.ooc.ready import make_ready
from graphkit.ooc.ring import FOREVER, Ring, Rotation, fitted
from graphkit.ooc.sample_ahead import Engine
from graphkit.ooc.sizes import show_bytes
from graphkit.ooc.source import batch_bytes
from graphkit.ooc.store import Store

__all__ = ["Refreshed", "make_refreshed"]


class _Stopped(Exception):
    """Nobody waits for the slot any more."""


class _Worker:
    """One slot being made in a thread."""

    def __init__(self, ring: Ring, slot: int, keep: Sequence[int]) -> None:
        self.slot = slot
        self.stop = threading.Event()
        self.error: BaseException | None = None
        # It may be cut off at any time, so it does not hold up the end of the process.
        self._thread = threading.Thread(
            target=self._run, args=(ring, keep), name="graphkit-refresh", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Waits until it has ended."""
        self._thread.join()

    def _run(self, ring: Ring, keep: Sequence[int]) -> None:
        try:
            ring.make(self.slot, keep, self._watch)
        except BaseException as error:  # for whoever wants the slot
            self.error = error

    def _watch(self, stage: str, done: int, total: int) -> None:
        if self.stop.is_set():
            raise _Stopped


class _Turning:
    """What outlives a turn: the slot that is read, and the one being made."""

    def __init__(
        self, ring: Ring, scoring: Mapping[str, Packed], threads: int, epochs: int | None
    ) -> None:
        self.ring, self.scoring, self.threads, self.epochs = ring, scoring, threads, epochs
        self._past = Meter()
        self._nodes: PackedNodes | None = None
        self._slot = -1
        self._worker: _Worker | None = None
        self._use = ExitStack()  # the lock that keeps others from removing the slot
        self._guard = threading.Lock()
        self._last = weakref.finalize(self, lambda: None)  # what ends the work when this is gone

    def __reduce__(self) -> tuple[type[_Turning], tuple[Any, ...]]:
        return _Turning, (self.ring, self.scoring, self.threads, self.epochs)

    @property
    def meter(self) -> Meter:
        """Sums over all slots read so far."""
        if self._nodes is None:
            return self._past
        return _added(self._past, self._nodes.meter)

    def scores(self) -> PackedNodes:
        """Returns what reads the other parts, with the buffers of training where there are."""
        with self._guard:
            if self._nodes is None:
                self._nodes = PackedNodes(
                    self.ring.store, self.scoring, self.ring.budget, self.threads
                )
            return self._nodes

    def turn_to(self, slot: int) -> PackedNodes:
        """Returns what reads a slot; the next one is begun."""
        with self._guard:
            if slot != self._slot or self._nodes is None:
                start = time.perf_counter()
                self._let_go()
                self._take(self._open(slot), slot)
                waited = time.perf_counter() - start
                self._past.add(waited=waited, seconds=waited)
            self._begin(slot + 1)
            assert self._nodes is not None
            return self._nodes

    def close(self) -> None:
        """Ends the work behind and lets go of the slot."""
        with self._guard:
            self._end()
            self._let_go()

    def _open(self, slot: int) -> Packed:
        """Finds a slot, waits for it, or makes it now; and holds on to it."""
        self._end(unless=slot)
        while True:
            path = self.ring.plan_path(slot)
            if path.is_dir():
                self._use.enter_context(locked(path / ".lock", shared=True, wait=FOREVER))
                if (found := self.ring.find(slot)) is not None:
                    return found
                self._use.close()  # whoever makes it needs the folder
            self.ring.make(slot, (slot + 1,))

    def _end(self, unless: int = -1) -> None:
        """Ends the work behind where it is, or waits for it if it is on the slot that is wanted;
        what reached the disk is gone on with another time."""
        if self._worker is None:
            return
        if self._worker.slot != unless:
            self._worker.stop.set()
        self._worker.wait()
        worker, self._worker = self._worker, None
        if worker.slot == unless and worker.error is not None:
            raise worker.error

    def _take(self, packed: Packed, slot: int) -> None:
        assert self.ring.budget is not None  # the ring packs
        budget = fitted(self.ring.budget, self.ring.store, packed.plan)
        budget = replace(budget, cache=packed.pack.cached_rows * packed.pack.row_bytes)
        parts = {"train": packed, **self.scoring}
        self._nodes = PackedNodes(self.ring.store, parts, budget, self.threads)
        self._slot = slot

    def _let_go(self) -> None:
        """First the rows and buffers of a slot, then those of the next: never both."""
        self._past = self.meter
        self._nodes, self._slot = None, -1
        self._use.close()

    def _begin(self, slot: int) -> None:
        if self._worker is not None and self._worker.slot == slot:
            return
        if self.epochs is not None and slot * self.ring.rotation.period >= self.epochs:
            return
        self._worker = _Worker(self.ring, slot, (slot - 1,))
        self._last.detach()
        self._last = weakref.finalize(self, self._worker.stop.set)


@dataclass(frozen=True)
class Refreshed:
    """Nodes with a neighbourhood that is drawn and packed a little ahead, anew all the time.

    Training reads a slot: ``sampled_epochs`` drawn epochs, each used ``every`` times, first in the
    order drawn, then in others. Meanwhile the next slot is drawn and packed; the one before is
    removed when the next is begun, so two are on disk. With ``every=1`` epoch ``e`` is what
    ``SampledNodes`` draws for epoch ``e``. Other parts are drawn once.

    Args:
        rotation: What is drawn and how often it is used.
        parts: Plan and pack of each part but training.

    Source:
        Liu et al., "DiskGNN: Bridging I/O Efficiency and Model Accuracy for Out-of-Core GNN
        Training", SIGMOD 2025.
        Differs: the paper draws one epoch and replays it to the end.
    """

    rotation: Rotation
    parts: Mapping[str, Packed]
    _turning: _Turning = field(compare=False, repr=False)

    whole = False

    @property
    def store(self) -> Store:
        """Where all of it is."""
        return self._turning.ring.store

    @property
    def ring(self) -> Ring:
        """The slots on disk."""
        return self._turning.ring

    @property
    def budget(self) -> Budget | None:
        """What memory is for, but for cached rows of training."""
        return self._turning.ring.budget

    @property
    def brings(self) -> tuple[str, ...]:
        """``repr`` of each pre_transform that is in the store."""
        return self.store.brings

    @property
    def meter(self) -> Meter:
        """What has been read so far, and how long was waited for it, for slots too."""
        return self._turning.meter

    def close(self) -> None:
        """Ends the work behind; it is gone on with when the next turn of training begins."""
        self._turning.close()

    def __call__(self, data: Data, items: Tensor, turn: Turn) -> Iterator[Data]:
        """Yields the batches of a turn; the first rows of each are its seeds.

        Raises:
            DataError: The part has no plan, or one for other items.
            DamagedFile: A batch is not what was written.
            SettingError: Memory or disk is too small for the next slot.
            StorageError: The disk is full or fails.
            TrainingError: The process takes more memory than was given.
        """
        if turn.part != "train":
            yield from self._turning.scores()(data, items, turn)
            return
        slot, local = divmod(turn.epoch, self.rotation.period)
        if local < self.rotation.sampled_epochs:  # the first use, in the order drawn
            turn = replace(turn, epoch=local)
        yield from self._turning.turn_to(slot)(data, items, turn)


def make_refreshed(
    store: Store,
    *,
    fanouts: Sequence[int],
    batch_size: int,
    memory: int,
    every: int,
    epochs: int | None = None,
    disk: int | None = None,
    sampled_epochs: int = 1,
    parts: Sequence[str] = ("train", "val", "test"),
    score_batch_size: int | None = None,
    seed: int = 0,
    cached_rows: int | None = None,
    threads: int | None = None,
    reserve: int | None = None,
    behind: int | None = None,
    engine: Engine = "auto",
    watch: Watch = nobody,
) -> Refreshed:
    """Draws and packs what training needs first, and returns the batching that goes on with it.

    The same words find what is on disk, whichever epoch that was made for.

    Args:
        store: The graph.
        fanouts: Neighbours drawn per hop, nearest hop first; -1 takes all.
        batch_size: Seeds a batch of training.
        memory: Bytes the process may hold in training, the work behind included.
        every: Epochs of training that use the same drawn epoch.
        epochs: Epochs of training in all: none is drawn beyond. ``None`` draws one slot too many.
        disk: Bytes all packs together may take; ``None`` is what is free.
        sampled_epochs: Drawn epochs of a slot.
        parts: Which parts will be read; ``train`` is always one of them.
        score_batch_size: Seeds a batch of the other parts; ``None`` is ``batch_size``.
        seed: Seed of order and draws, that of the problem.
        cached_rows: Rows kept in memory; ``None`` takes as many as fit.
        threads: Threads that draw, copy and read; ``None`` is torch's number (6 for reading,
            6 at least for copying).
        reserve: Bytes for model, optimiser and what a step computes; ``None`` guesses.
        behind: Bytes of ``memory`` that drawing and packing may take; ``None`` is a quarter of
            what the process leaves.
        engine: How batches are drawn.
        watch: Told stage, steps done and steps in all, until training begins.

    Raises:
        SettingError: Memory or disk is too small, or a setting is wrong.
        DataError: The store has hidden nodes, or a part is empty.
        DamagedFile: Something is not what was written.
        StorageError: The disk is full or fails.
    """
    if every < 1:
        raise SettingError(f"every = {every}; expected at least 1")
    refuse_hidden(store)
    others = [part for part in parts if part != "train"]
    scoring: Mapping[str, Packed] = {}
    if others:
        scoring = make_ready(
            store, fanouts=fanouts, batch_size=score_batch_size or batch_size, memory=memory,
            disk=disk, parts=others, seed=seed, threads=threads, reserve=reserve, engine=engine,
            watch=watch,
        ).parts  # fmt: skip
    if disk is not None:
        taken = sum(int(each.pack.totals["disk_bytes"]) for each in scoring.values())
        disk = max(disk - taken, 0) // 2
    left = memory - (resident_bytes() or 0)
    if left <= 0:
        raise SettingError(f"memory = {show_bytes(memory)}; the process holds as much already")
    rotation = Rotation(tuple(fanouts), batch_size, seed, every, sampled_epochs)
    behind = left // 4 if behind is None else behind
    readers = threads or READERS
    first = Ring(store, rotation, behind, None, disk, cached_rows, threads, engine)
    slot = min(first.slots(), default=0)
    plan = first.draw(slot, watch)
    plans = [plan, *(each.plan for each in scoring.values())]
    if reserve is None:
        reserve = default_reserve(max(batch_bytes(each, store.dims.in_channels) for each in plans))
    budget = reckon(store, plans, memory=memory, reserve=reserve + behind, threads=readers)
    ring = replace(first, budget=budget)
    ring.make(slot, (slot + 1,), watch)
    return Refreshed(rotation, scoring, _Turning(ring, scoring, readers, epochs))


def _added(one: Meter, other: Meter) -> Meter:
    """Both together; of the most memory that was held, the greater."""
    total = Meter(peak_bytes=max(one.peak_bytes, other.peak_bytes))
    for each in (one, other):
        total.add(each.batches, each.read_bytes, each.waited, each.seconds, each.stages)
    return total
