"""What drawing, packing and training would take, from a few batches and a look at the disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np

from graphkit.data.problem import Turn
from graphkit.data.sampler import SeededNeighbors
from graphkit.errors import DataError
from graphkit.ooc.budget import default_reserve, resident_bytes
from graphkit.ooc.disk import BLOCK, READERS, Reader, aligned
from graphkit.ooc.pack_layout import place_bytes
from graphkit.ooc.plan_files import Hops, encode
from graphkit.ooc.store import ArrayFile, Store
from graphkit.seeds import derived_seed

__all__ = ["Estimate", "estimate", "read_rate"]


@dataclass(frozen=True)
class Estimate:
    """What a store's training would take; sizes are those without a cache, so the most.

    Args:
        batches: Batches of all parts and sampled epochs.
        batch_nodes: Nodes of a batch of training.
        batch_edges: Its edges.
        memory_bytes: Least memory to train in, interpreter and a guess at the model included.
        cache_bytes: What would keep every row in memory.
        disk_bytes: Plans and packs.
        read_rate: Bytes a second that the disk gives, read front to back.
        sample_seconds: Time to draw all batches, with one thread.
        pack_seconds: Time to pack them.
        epoch_seconds: Time to read one epoch of training.
    """

    batches: int
    batch_nodes: int
    batch_edges: int
    memory_bytes: int
    cache_bytes: int
    disk_bytes: int
    read_rate: float
    sample_seconds: float
    pack_seconds: float
    epoch_seconds: float


def estimate(
    store: Store,
    *,
    fanouts: Sequence[int],
    batch_size: int,
    sampled_epochs: int = 2,
    parts: Sequence[str] = ("train", "val", "test"),
    seed: int = 0,
    reserve: int | None = None,
    tries: int = 4,
    seconds: float = 2.0,
) -> Estimate:
    """Draws a few batches, reads a little of the features, and reckons; writes nothing.

    Args:
        store: The graph.
        fanouts: Neighbours drawn per hop.
        batch_size: Seeds a batch.
        sampled_epochs: Epochs of training to draw.
        parts: Which parts will be read.
        seed: Seed of order and draws.
        reserve: Bytes for model and optimiser; ``None`` guesses.
        tries: Batches drawn of each part.
        seconds: How long the disk is looked at.

    Raises:
        DataError: No part has a node.
    """
    x = store.arrays["node/x"]
    columns, places = store.dims.in_channels, place_bytes(store.num_nodes)
    graph = replace(store, verify="off").csc(in_memory=False)
    batches = disk = nodes = edges = buffer = raw = epoch_bytes = 0
    drawing = 0.0
    for part in parts:
        items = store.split.part(part)
        if not len(items):
            continue
        sampler = SeededNeighbors(
            graph, tuple(fanouts), seed=derived_seed(seed, "neighbours", part), threads=1
        )
        count = -(-len(items) // batch_size)
        epochs = sampled_epochs if part == "train" else 1
        chunks = [c for _, c in islice(Turn(part, seed).chunks(items, batch_size), tries)]
        list(sampler.sample_batches(chunks[:1]))  # compiles, and makes its tables
        start = time.perf_counter()
        drawn = list(sampler.sample_batches(chunks))
        drawing += (time.perf_counter() - start) / len(chunks) * count * epochs
        n = [len(out.node) for out in drawn]
        e = [len(out.row) for out in drawn]
        width = 4 if store.num_nodes < 1 << 31 else 8
        topology = [len(encode(Hops.of(out), width)[1]) for out in drawn]
        read = [t + k * (x.row_bytes + places) for t, k in zip(topology, n, strict=True)]
        batches += count * epochs
        disk += int(np.mean(read)) * count * epochs
        buffer = max(buffer, *(k * (4 * columns + 8) + 16 * m for k, m in zip(n, e, strict=True)))
        raw = max(raw, *read)
        if part == "train" or not nodes:
            nodes, edges = int(np.mean(n)), int(np.mean(e))
            epoch_bytes = int(np.mean(read)) * count
    if not batches:
        raise DataError(f"{store.path} has no node in {', '.join(parts)}")
    rate = read_rate(x, seconds)
    small = sum(a.num_bytes for name, a in store.arrays.items() if name.startswith("split"))
    small += store.arrays["node/y"].num_bytes
    held = (resident_bytes() or 0) + small
    held += default_reserve(buffer) if reserve is None else reserve
    return Estimate(
        batches=batches,
        batch_nodes=nodes,
        batch_edges=edges,
        memory_bytes=int(1.1 * (held + 3 * buffer + raw)),  # batches differ by a few per cent
        cache_bytes=x.num_bytes,
        disk_bytes=disk,
        read_rate=rate,
        sample_seconds=drawing,
        pack_seconds=(x.num_bytes + disk) / (rate / 2),  # what is written takes its time too
        epoch_seconds=epoch_bytes / rate,
    )


def read_rate(array: ArrayFile, seconds: float = 2.0, threads: int = READERS) -> float:
    """Returns the bytes a second at which a file is read front to back, past the page cache."""
    start = time.perf_counter()

    def read(reader: Reader, first: int) -> int:
        block, done = aligned(BLOCK), 0
        for low in range(first * BLOCK, reader.size, threads * BLOCK):
            size = min(BLOCK, reader.size - low)
            reader.read_into(block, low, size)
            done += size
            if time.perf_counter() - start > seconds:
                break
        return done

    with Reader(array.path) as reader, ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(partial(read, reader), range(threads)))
        return done / max(time.perf_counter() - start, 1e-9)
