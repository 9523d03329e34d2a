"""One measurement of training out of core, in a process of its own.

``python -m graphkit.bench.ooc_job JOB`` with the job as JSON; what came out is the last line
printed, as JSON. The process that asks sets the limit of memory (``graphkit.bench.confined``).
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch_geometric.data import Data

from graphkit.bench.disk_probe import best_rate, ring, sequential_rate, spans
from graphkit.bench.ooc_epoch import Peak, Step, measured_epoch, network
from graphkit.bench.ooc_rows import hot_nodes, rows_of
from graphkit.bench.ooc_ways import InMemory, Mapped, OnDemand, Replay, Way
from graphkit.data.problem import Problem
from graphkit.errors import GraphkitError
from graphkit.ooc.disk import BLOCK
from graphkit.ooc.inputs import of_data
from graphkit.ooc.packed_nodes import PackedNodes
from graphkit.ooc.prepare import prepare
from graphkit.ooc.ready import make_ready, open_ready
from graphkit.ooc.sample_ahead import Engine
from graphkit.ooc.store import Store

__all__ = ["Job", "carry_out"]


@dataclass(frozen=True)
class Job:
    """What a process is to measure.

    Args:
        kind: ``warm`` compiles what ``ready`` runs; ``ready`` draws and packs; ``way`` trains one
            way; ``rates`` reads and trains nothing, in turn with the disk's own rate; ``beside``
            trains in memory and from the store in turn.
        store: The store's folder.
        memory: Bytes the process may hold; ``None`` is no limit.
        fanouts: Neighbours drawn per hop.
        batch_size: Seeds a batch.
        sampled_epochs: Epochs drawn.
        seed: Seed of order, draws and weights.
        threads: Threads of torch.
        way: With ``way``: which.
        hidden: Width of the network's hidden layer.
        epochs: Epochs of a way, or rounds.
        batches: Batches of an epoch that are trained on, its last ones; ``None`` is all.
        seconds: When an epoch is cut off, its time then being reckoned from its later half.
        confined: Whether a control group holds the process to its memory.
        packs: Names of plan and pack; ``None`` draws and packs within the memory, and finds what
            the same words made before.
        cached_rows: Rows kept in memory; ``None`` keeps as many as fit.
    """

    kind: str
    store: str
    memory: int | None
    fanouts: tuple[int, ...]
    batch_size: int
    sampled_epochs: int
    seed: int
    threads: int
    way: Way = "packed"
    hidden: int = 16
    epochs: int = 1
    batches: int | None = None
    seconds: float | None = None
    confined: bool = True
    packs: tuple[str, str] | None = None
    cached_rows: int | None = None


def carry_out(job: Job) -> dict[str, Any]:
    """Returns what a job came to: its result, and the most memory it held."""
    torch.set_num_threads(job.threads)
    kinds: dict[str, Callable[[Job], dict[str, Any]]] = {
        "warm": _warm, "ready": _ready, "way": _way, "rates": _rates, "beside": _beside,
    }  # fmt: skip
    with Peak() as peak:
        found = kinds[job.kind](job)
    return found | {"peak": peak.most}


def _packed(job: Job, watch: Callable[[str, int, int], None] | None = None) -> PackedNodes:
    store = Store.open(job.store)
    if job.packs is not None:
        return open_ready(store, {"train": job.packs})
    words: dict[str, Any] = {} if watch is None else {"watch": watch}
    return make_ready(
        store, fanouts=job.fanouts, batch_size=job.batch_size, memory=job.memory or 1 << 62,
        sampled_epochs=job.sampled_epochs, parts=("train",), seed=job.seed,
        cached_rows=job.cached_rows, **words,
    )  # fmt: skip


def _warm(job: Job) -> dict[str, Any]:
    """Draws and packs a graph of a few nodes: machine code is made once a machine, not once a
    graph, and is on disk before anything is timed."""
    nodes = torch.arange(64)
    few = Data(x=torch.zeros(64, 8), y=nodes % 2, train_mask=nodes < 32, val_mask=nodes >= 48)
    few.edge_index, few.test_mask = torch.combinations(nodes).T, (nodes >= 32) & (nodes < 48)
    with tempfile.TemporaryDirectory() as folder:
        store = prepare(of_data(few, "few/warm"), Path(folder) / "store")
        engines: tuple[Engine, ...] = ("memory", "scan")
        for seed, engine in enumerate(engines):  # another seed, else it would find its plan there
            make_ready(
                store, fanouts=job.fanouts, batch_size=8, memory=job.memory or 1 << 62,
                parts=("train",), seed=seed, engine=engine,
            )  # fmt: skip
    return {}


def _ready(job: Job) -> dict[str, Any]:
    """Draws and packs; what was there before takes no time and is said to be so."""
    stages: dict[str, list[float]] = {}

    def watch(stage: str, done: int, total: int) -> None:
        stages.setdefault(stage.split()[0], []).append(time.perf_counter())

    start = time.perf_counter()
    packed = _packed(job, watch)
    seconds = time.perf_counter() - start
    drawn = stages["sample"][-1] - start if "sample" in stages else 0.0
    part, budget = packed.parts["train"], packed.budget
    assert budget is not None  # make_ready has reckoned it
    store, plan, pack = packed.store, part.plan, part.pack
    rows = pack.regions["rows"][: plan.num_batches]
    return {
        "plan": plan.plan_id, "pack": pack.pack_id, "fresh": bool(stages),
        "sample_seconds": drawn, "pack_seconds": seconds - drawn,
        "batches": plan.batches_per_epoch, "rows_per_batch": fmean(plan.num_ids()),
        "edges_per_batch": fmean(plan.records["edges"].astype(int).sum(axis=1)),
        "accesses": int(plan.num_ids().sum()), "cached_rows": pack.cached_rows,
        "cold_rows": int(rows.sum()),
        "region_bytes": sum(pack.read_bytes(number) for number in range(plan.num_batches)),
        "row_bytes": pack.row_bytes,
        "distinct_rows": int((plan.counts() > 0).sum()),
        "pack_bytes": int(pack.totals["disk_bytes"]),
        "feature_bytes": store.arrays["node/x"].num_bytes, "nodes": store.num_nodes,
        "edges": store.num_edges, "needed": budget.needed, "budget": str(budget),
        "store_bytes": sum(array.num_bytes for array in store.arrays.values()),
    }  # fmt: skip


def _way(job: Job) -> dict[str, Any]:
    """Trains for some epochs in one way."""
    packed = _packed(job)
    with ExitStack() as stack:
        batching = packed if job.way == "packed" else stack.enter_context(_opened(job, packed))
        problem = packed.store.problem(batching, job.seed)
        step = network(packed.store, len(job.fanouts), job.hidden, job.seed)
        return {"epochs": [_epoch(problem, packed, step, job, n) for n in range(job.epochs)]}


@contextmanager
def _opened(job: Job, packed: PackedNodes) -> Iterator[Replay]:
    """A way that is not the store's own, with as large a cache as that has."""
    store = replace(packed.store, verify="off")
    plan, rows = packed.parts["train"].plan, packed.parts["train"].pack.cached_rows
    if job.way in ("memory", "packed"):
        yield InMemory(store, plan)
    elif job.way == "mapped" or job.way == "mapped-random":
        limit = None if job.confined or job.memory is None else job.memory // 2
        mapped = Mapped(store, plan, random=job.way == "mapped-random", limit=limit)
        with contextlib.closing(mapped):
            yield mapped
    else:
        with rows_of(store, job.way, hot_nodes(plan, rows)) as reader:
            yield OnDemand(store, plan, reader)


def _rates(job: Job) -> dict[str, Any]:
    """Reading alone in turn with the disk's own rate, each over the same regions.

    Both read each sampled epoch once before anything counts, so that neither finds them colder.
    """
    packed = _packed(job)
    part, budget = packed.parts["train"], packed.budget
    assert budget is not None  # make_ready has reckoned it
    own = budget.buffers * budget.buffer + budget.under_way * budget.raw
    room = ring(max(own, packed.threads * BLOCK))
    count, epochs = part.plan.batches_per_epoch, part.plan.sampled_epochs
    problem = packed.store.problem(packed, job.seed)
    rounds = []
    for number in range(epochs + job.epochs):
        drawn = number % epochs
        places = spans(part.pack, range(drawn * count, (drawn + 1) * count))
        disk = sequential_rate(places, threads=packed.threads, into=room)
        told = _epoch(problem, packed, None, job, number)
        rounds.append(told | {"disk": disk.bytes_per_second})
    places = spans(part.pack, range(count * epochs))
    return {
        "rounds": rounds[epochs:], "threads": packed.threads, "ring_bytes": len(room),
        "strictest": asdict(best_rate(places)),
    }  # fmt: skip


def _beside(job: Job) -> dict[str, Any]:
    """Epochs in memory and from the store in turn, from the same weights, on the same batches."""
    packed = _packed(job)
    plan = packed.parts["train"].plan
    memory = InMemory(replace(packed.store, verify="off"), plan)
    count = plan.batches_per_epoch
    memory.hold(range(count - min(job.batches or count, count), count))
    problems = {
        "memory": packed.store.problem(memory, job.seed),
        "packed": packed.store.problem(packed, job.seed),
    }
    rounds = []
    for _ in range(1 + job.epochs):
        told = {}
        for name, problem in problems.items():
            step = network(packed.store, len(job.fanouts), job.hidden, job.seed)
            told[name] = _epoch(problem, packed, step, job, 0)
        rounds.append(told)
    return {"rounds": rounds[1:]}  # the first one warms up


def _epoch(
    problem: Problem, packed: PackedNodes, step: Step | None, job: Job, epoch: int
) -> dict[str, Any]:
    return measured_epoch(problem, packed, step, epoch, batches=job.batches, seconds=job.seconds)


def main() -> None:
    """Carries out the job that was given and prints what it came to."""
    words = json.loads(sys.argv[1])
    lists = {name: tuple(value) for name, value in words.items() if isinstance(value, list)}
    job = Job(**(words | lists))
    try:
        told = carry_out(job)
    except GraphkitError as error:
        told = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
