"""Draws all mini-batches of some epochs before training, in bounded memory, and writes them down.

Two engines draw the same batches: one from the graph in memory, one that reads the graph front to
back for many batches at a time, where it is larger than memory.

What is drawn is a pure function of its key, so a killed run is given again with the same words: it
goes on after the last batch that reached the disk and ends with the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor

from graphkit.data.problem import PARTS
from graphkit.data.sampler import SeededNeighbors
from graphkit.errors import DataError, SettingError
from graphkit.ooc.disk import locked, make_folder
from graphkit.ooc.plan import Plan, Watch, nobody
from graphkit.ooc.plan_draft import Drawing, PlanDraft, Steps
from graphkit.ooc.plan_files import HOPS, Hops
from graphkit.ooc.scan_sample import ScanSampler
from graphkit.ooc.sealed import digest_of, identity
from graphkit.ooc.sizes import show_bytes
from graphkit.seeds import derived_seed

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["Engine", "Steps", "plan_settings", "sample_ahead"]

Engine: TypeAlias = Literal["auto", "memory", "scan"]

_STEPS = Steps()
_OUTPUT = 36  # bytes an edge takes while a batch drawn in memory is handed on


def sample_ahead(
    store: Store,
    fanouts: Sequence[int],
    batch_size: int,
    part: str = "train",
    sampled_epochs: int = 2,
    seed: int = 0,
    threads: int | None = None,
    memory: int | None = None,
    watch: Watch = nobody,
    steps: Steps = _STEPS,
    *,
    engine: Engine = "auto",
    first_epoch: int | None = None,
) -> Plan:
    """Draws all mini-batches of some epochs and writes them below ``plans`` of a store.

    Batch by batch the same as ``SampledNodes`` yields for ``Turn(part, seed, epoch)``. A plan
    that is there already is opened; one that was interrupted goes on.

    Args:
        store: Where the graph is, and where the plan will be.
        fanouts: Neighbours drawn per hop, nearest hop first; -1 takes all.
        batch_size: Seeds a batch.
        part: ``train``, ``val``, ``test``, ``hidden`` or ``all``.
        sampled_epochs: Epochs to draw, each with other neighbours.
        seed: Seed of order and draws, that of the problem.
        threads: Batches drawn at a time; ``None`` is torch's number.
        memory: Bytes this may take; ``None`` is half of the machine's. A scan holds some chunks of
            1 MiB and one batch at least.
        watch: Told stage, batches done and batches in all.
        steps: How work is cut up.
        engine: ``memory`` reads the graph into memory, ``scan`` reads it from disk once per hop
            and group of batches; ``auto`` scans where the graph does not fit. No batch depends
            on it.
        first_epoch: Epoch of training to draw first, for a plan that is one of a row; ``None``
            is the first.

    Raises:
        SettingError: A setting is wrong, or the memory too small; it names what is needed.
        DataError: The part is empty.
        DamagedFile: The graph on disk is not what was written.
        StorageError: The disk is full or fails, or another process draws this plan.
    """
    settings = plan_settings(
        store, fanouts, batch_size, part, sampled_epochs, seed, first_epoch=first_epoch
    )
    if engine not in ("auto", "memory", "scan"):
        raise SettingError(f"engine = {engine!r}; expected auto, memory or scan")
    path = store.path / "plans" / identity(settings)
    if (path / "plan.json").exists():
        return Plan.open(store, path.name)
    threads = threads or torch.get_num_threads()
    fits = _Fit.of(store, fanouts, batch_size, threads, memory)
    scans = fits.scans(engine)
    make_folder(path)
    with locked(path / ".lock"):
        if not (path / "plan.json").exists():
            own = derived_seed(seed, "neighbours", part)
            drawing: Drawing
            if scans:
                drawing = ScanSampler(
                    store, fanouts, seed=own, memory=fits.room, threads=threads, scratch=path,
                    group=steps.group,
                )  # fmt: skip
            else:
                drawing = _InMemory(
                    SeededNeighbors(store.csc(), tuple(fanouts), seed=own, threads=fits.threads)
                )
            PlanDraft(path, settings, steps, watch).write(drawing, _items(store, part))
    return Plan.open(store, path.name)


def plan_settings(
    store: Store,
    fanouts: Sequence[int],
    batch_size: int,
    part: str,
    sampled_epochs: int,
    seed: int,
    *,
    first_epoch: int | None = None,
) -> dict[str, Any]:
    """Returns all that decides which batches are drawn.

    Raises:
        SettingError: A setting is wrong.
        DataError: The part is empty, or there is none of that name.
    """
    if not 1 <= len(fanouts) <= HOPS:
        raise SettingError(f"fanouts has {len(fanouts)} hops; expected 1 to {HOPS}")
    for name, value in (("batch_size", batch_size), ("sampled_epochs", sampled_epochs)):
        if value < 1:
            raise SettingError(f"{name} = {value}; expected at least 1")
    if first_epoch is not None and first_epoch < 0:
        raise SettingError(f"first_epoch = {first_epoch}; expected at least 0")
    items = _items(store, part)
    if len(items) == 0:
        raise DataError(f"the {part!r} part of {store.path} is empty: there is nothing to draw")
    settings = {
        "graph": store.graph_digest,
        "num_nodes": store.num_nodes,
        "part": part,
        "items": digest_of(items.numpy().data),
        "fanouts": [int(fanout) for fanout in fanouts],
        "batch_size": batch_size,
        "sampled_epochs": sampled_epochs,
        "seed": seed,
        "direction": "in",
        "expansion": "once",
        "replace": False,
    }
    return settings if first_epoch is None else settings | {"first_epoch": first_epoch}


def _items(store: Store, part: str) -> Tensor:
    if part not in PARTS:
        raise DataError(f"there is no part {part!r}; expected one of {', '.join(PARTS)}")
    return torch.arange(store.num_nodes) if part == "all" else store.split.part(part)


@dataclass(frozen=True)
class _InMemory:
    """Draws one batch per thread at a time from a graph in memory."""

    sampler: SeededNeighbors

    def draw(self, batches: Iterable[tuple[int, Tensor]]) -> Generator[Hops, None, None]:
        for epoch, run in groupby(batches, key=itemgetter(0)):
            for out in self.sampler.at(epoch).sample_batches(seeds for _, seeds in run):
                yield Hops.of(out)


@dataclass(frozen=True)
class _Fit:
    """What sampling takes, beside what it may take; all in bytes but ``threads``.

    Args:
        memory: What it may take.
        fixed: Counts of all nodes.
        graph: The graph.
        batch: What one thread holds, of the largest batches there may be.
        threads: Batches there is room for at a time when the graph is in memory.
    """

    memory: int
    fixed: int
    graph: int
    batch: int
    threads: int

    @classmethod
    def of(
        cls, store: Store, fanouts: Sequence[int], size: int, threads: int, memory: int | None
    ) -> _Fit:
        if memory is None:
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        frontier, edges = size, 0
        for fanout in fanouts:
            drawn = store.num_edges if fanout < 0 else min(frontier * fanout, store.num_edges)
            edges, frontier = edges + drawn, min(drawn, store.num_nodes)
        fixed, desk = 4 * store.num_nodes, 5 * store.num_nodes
        if fixed + desk > memory:
            raise SettingError(
                f"memory = {show_bytes(memory)}; sampling a graph of {store.num_nodes} nodes takes "
                f"at least {show_bytes(fixed + desk)}"
            )
        graph = sum(store.arrays[f"graph/{name}"].num_bytes for name in ("indptr", "indices"))
        batch = desk + 3 * edges * _OUTPUT  # two batches wait for each that is drawn
        room = max(memory - fixed - graph, 0)
        return cls(memory, fixed, graph, batch, max(1, min(threads, room // max(batch, 1))))

    @property
    def room(self) -> int:
        """What a scan may take."""
        return self.memory - self.fixed

    def scans(self, engine: Engine) -> bool:
        """Whether the graph is scanned.

        Raises:
            SettingError: It is to be in memory, and does not fit.
        """
        if engine == "memory" and self.fixed + self.graph > self.memory:
            raise SettingError(
                f"memory = {show_bytes(self.memory)}; with the graph in memory sampling takes more "
                f"than {show_bytes(self.fixed + self.graph)}. Give that, or engine = 'scan'"
            )
        fits = self.fixed + self.graph + self.batch <= self.memory
        return engine == "scan" or (engine == "auto" and not fits)
