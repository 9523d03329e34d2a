"""An epoch of training, taken apart: waiting, computing, bytes from disk, memory."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from graphkit.bench.ooc_ways import Replay
from graphkit.data.problem import Problem
from graphkit.models import GraphSAGE
from graphkit.models.base import Model, as_model
from graphkit.ooc.packed_nodes import PackedNodes
from graphkit.ooc.store import Store
from graphkit.train import GradientUpdate, TrainConfig

__all__ = ["Peak", "Step", "measured_epoch", "network"]

LEAST = 4  # batches of an epoch that is cut off: a mapping's page cache is full after two or three
LOSSES = 3  # first losses of an epoch that are kept, to hold ways against each other


@dataclass(frozen=True)
class Step:
    """A network, and what trains it on a batch."""

    model: Model
    update: GradientUpdate


def network(store: Store, hops: int, hidden: int, seed: int) -> Step:
    """Makes a GraphSAGE of as many layers as there are hops; the same one for the same seed."""
    torch.manual_seed(seed)
    net = GraphSAGE(store.dims, hidden_channels=hidden, num_layers=hops, undirected=False)
    model = as_model(net)
    return Step(model, GradientUpdate(model, store.task, TrainConfig(lr=0.005)))


def measured_epoch(
    problem: Problem,
    packed: PackedNodes,
    step: Step | None,
    epoch: int,
    *,
    batches: int | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Takes the batches of an epoch, trains on each if there is a network, and returns what that
    took.

    Args:
        problem: Its batching is what is measured.
        packed: The store's own batching, which knows the batches.
        step: What is trained; ``None`` only takes batches.
        epoch: Which.
        batches: How many, the last of the epoch; ``None`` takes all.
        seconds: When it is cut off, if it has come to four batches; the time of an epoch is then
            reckoned from the later half of them, in which a page cache is filled.
    """
    part, other = packed.parts["train"], problem.batching
    count = part.plan.batches_per_epoch
    first = 0 if batches is None else max(count - batches, 0)
    replay = other if isinstance(other, Replay) else None
    if replay is not None:
        replay.forget()
        replay.rows_read = 0
    stages, read = dict(packed.meter.stages), _read_bytes()
    waits, steps, losses, wanted = list[float](), list[float](), list[float](), 0
    coming = iter(problem.batches("train", step.model if step else None, epoch, first))
    start = clock = time.perf_counter()
    while seconds is None or clock - start < seconds or len(steps) < LEAST:
        batch = next(coming, None)
        before, clock = clock, time.perf_counter()
        if batch is None:
            break
        waits.append(clock - before)
        wanted += len(batch.n_id)
        terms = {} if step is None else step.update(batch)
        del batch  # it would keep its memory while the next is read
        losses += [] if len(losses) >= LOSSES else terms.values()
        before, clock = clock, time.perf_counter()
        steps.append(clock - before)
    took, read = clock - start, _read_bytes() - read
    del coming  # ends the threads that read ahead
    each = [wait + step for wait, step in zip(waits, steps, strict=True)]
    whole = len(each) == count - first
    begin = epoch % part.plan.sampled_epochs * count
    rows = part.pack.regions["rows"][begin + first : begin + count]
    asked = int(rows.sum()) if replay is None else replay.rows_read
    now = packed.meter.stages if replay is None else {}
    return {
        "epoch": epoch, "batches": len(each), "of": count, "whole": whole, "seconds": took,
        "epoch_seconds": count * (took / len(each) if whole else fmean(each[len(each) // 2 :])),
        "wait_seconds": sum(waits), "compute_seconds": sum(steps), "losses": losses,
        "wanted_bytes": wanted * part.pack.row_bytes, "asked_bytes": asked * part.pack.row_bytes,
        "disk_bytes": read, "stages": {k: v - stages[k] for k, v in now.items()},
    }  # fmt: skip


def _read_bytes() -> int:
    """Bytes this process has had read from disk, through the page cache or past it."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("read_bytes")).split()[1])


class Peak:
    """Looks at the memory of the process all the time, inside ``with``."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        names = {"RssAnon": "anonymous", "RssFile": "file", "VmRSS": "all"}
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                key, _, rest = line.partition(":")
                if key in names:
                    size = 1024 * int(rest.split()[0])
                    self.most[names[key]] = max(self.most.get(names[key], 0), size)
            if self._over.wait(0.005):
                return
