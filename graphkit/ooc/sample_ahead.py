"""Draws all mini-batches of some epochs before training, in bounded memory, and writes them down.

What is drawn is a pure function of its key, so a killed run is given again with the same words: it
goes on after the last batch that reached the disk and ends with the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.problem import PARTS
from graphkit.data.sampler import SeededNeighbors
from graphkit.errors import DataError, SettingError
from graphkit.ooc.disk import locked, make_folder
from graphkit.ooc.plan import Plan, Watch, nobody
from graphkit.ooc.plan_draft import PlanDraft, Steps
from graphkit.ooc.plan_files import HOPS
from graphkit.ooc.sealed import digest_of, identity
from graphkit.ooc.sizes import show_bytes
from graphkit.seeds import derived_seed

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["Steps", "plan_settings", "sample_ahead"]

_STEPS = Steps()
_HELD = 36  # bytes an edge takes while it waits to be written: three int64, and the draws


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
        memory: Bytes this may take; ``None`` is half of the machine's.
        watch: Told stage, batches done and batches in all.
        steps: How work is cut up.

    Raises:
        SettingError: A setting is wrong, or the memory too small; it names what is needed.
        DataError: The part is empty.
        DamagedFile: The graph on disk is not what was written.
        StorageError: The disk is full or fails, or another process draws this plan.
    """
    settings = plan_settings(store, fanouts, batch_size, part, sampled_epochs, seed)
    path = store.path / "plans" / identity(settings)
    if (path / "plan.json").exists():
        return Plan.open(store, path.name)
    threads = threads or torch.get_num_threads()
    in_memory, threads = _fit(store, fanouts, batch_size, threads, memory)
    make_folder(path)
    with locked(path / ".lock"):
        if not (path / "plan.json").exists():
            sampler = SeededNeighbors(
                store.csc(in_memory),
                tuple(fanouts),
                seed=derived_seed(seed, "neighbours", part),
                threads=threads,
            )
            PlanDraft(path, settings, steps, watch).write(sampler, _items(store, part))
    return Plan.open(store, path.name)


def plan_settings(
    store: Store,
    fanouts: Sequence[int],
    batch_size: int,
    part: str,
    sampled_epochs: int,
    seed: int,
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
    items = _items(store, part)
    if len(items) == 0:
        raise DataError(f"the {part!r} part of {store.path} is empty: there is nothing to draw")
    return {
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


def _items(store: Store, part: str) -> Tensor:
    if part not in PARTS:
        raise DataError(f"there is no part {part!r}; expected one of {', '.join(PARTS)}")
    return torch.arange(store.num_nodes) if part == "all" else store.split.part(part)


def _fit(
    store: Store, fanouts: Sequence[int], batch_size: int, threads: int, memory: int | None
) -> tuple[bool, int]:
    """Returns whether the graph is read into memory, and how many threads there is room for."""
    if memory is None:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    frontier, edges = batch_size, 0
    for fanout in fanouts:
        drawn = store.num_edges if fanout < 0 else min(frontier * fanout, store.num_edges)
        edges, frontier = edges + drawn, min(drawn, store.num_nodes)
    fixed = 4 * store.num_nodes  # counts
    desk = 5 * store.num_nodes + 3 * edges * _HELD  # two batches wait for each that is drawn
    graph = sum(store.arrays[f"graph/{name}"].num_bytes for name in ("indptr", "indices"))
    lean = fixed + 5 * store.num_nodes
    if lean > memory:
        raise SettingError(
            f"memory = {show_bytes(memory)}; sampling a graph of {store.num_nodes} nodes takes "
            f"at least {show_bytes(lean)}"
        )
    in_memory = fixed + desk + graph <= memory
    room = memory - fixed - (graph if in_memory else 0)
    return in_memory, max(1, min(threads, room // max(desk, 1)))
