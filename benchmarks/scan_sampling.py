"""Neighbour sampling when memory is smaller than the graph: by scans, beside a mapped file.

Both draw the same batches from one store on this machine's disk, by turns, in this process. The
mapped side is ``SeededNeighbors`` over files in the address space, told to the kernel as read at
random (with read-ahead it is slower still). So that no machine needs a control group, its memory is
limited by hand: a thread counts the resident pages of the in-edges fifty times a second and drops
some as soon as there are more. The scan reads past the page cache and reckons its own tables in;
the mapped side is given its tables, and where the lists of in-edges begin, besides.

Run: ``python benchmarks/scan_sampling.py``; ``--help`` shows what can be changed.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import mmap
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from graphkit.data.sampler import SeededNeighbors
from graphkit.data.split import Split
from graphkit.ooc import Input, Store, read_rate, show_bytes
from graphkit.ooc.prepare import prepare
from graphkit.ooc.scan_sample import ScanSampler
from graphkit.tasks import NodeClassification

RESULTS = Path(__file__).parent / "measured" / "scan_sampling.json"
PACKAGES = ("graphkit", "numba", "numpy", "torch", "torch-geometric")
PAGE = mmap.PAGESIZE
PARTS = 256  # of the file; one is dropped at a time
STEP = 1 << 22  # edges that are drawn at a time


@dataclass(frozen=True)
class Result:
    """Medians over the rounds in edges per second; ratios are those of each round."""

    threads: int
    edges_per_batch: int
    scan_batches: int
    mapped_batches: int
    scan: float
    mapped: float
    in_memory: float
    ratio: float
    share_of_memory: float


class Limit:
    """Keeps the resident pages of one mapped array below a limit, inside ``with``."""

    def __init__(self, array: Tensor, path: Path, most: int) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.address, self.most = array.data_ptr(), most
        self.marks = np.zeros(-(-array.nbytes // PAGE), dtype=np.uint8)
        self.step = -(-len(self.marks) // PARTS)
        self.handle = os.open(path, os.O_RDONLY)
        self.next = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Limit:
        for part in range(PARTS):
            self.drop(part)
        parts = np.random.default_rng(0).permutation(PARTS).tolist()
        while self.look() < 0.95 * self.most and parts:  # as full as it is later
            os.pread(self.handle, self.step * PAGE, parts.pop() * self.step * PAGE)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        os.close(self.handle)

    def look(self) -> int:
        """Finds the pages that are in memory; returns their bytes."""
        address, size = ctypes.c_void_p(self.address), ctypes.c_size_t(len(self.marks) * PAGE)
        if self.libc.mincore(address, size, self.marks.ctypes.data_as(ctypes.c_void_p)):
            raise OSError(ctypes.get_errno(), "mincore")
        self.marks &= 1
        return int(self.marks.sum()) * PAGE

    def drop(self, part: int) -> int:
        """Takes a part out of this process and out of the page cache; returns what it held."""
        low = min(part * self.step, len(self.marks))
        pages = self.marks[low : low + self.step]
        if not len(pages):
            return 0
        address, size = self.address + low * PAGE, len(pages) * PAGE
        self.libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), mmap.MADV_DONTNEED)
        os.posix_fadvise(self.handle, low * PAGE, size, os.POSIX_FADV_DONTNEED)
        return int(pages.sum()) * PAGE

    def watch(self) -> None:
        while not self.over.wait(0.02):
            held = self.look()
            while held > self.most:
                held -= self.drop(self.next % PARTS)
                self.next += 101  # not the same neighbours one after the other


def make(path: Path, nodes: int, edges: int, seed: int) -> Store:
    """A store of a graph whose in-edges follow a power law; sources are uniform: hard to cache."""
    draw = np.random.default_rng(seed)
    ids, chosen = draw.permutation(nodes), torch.from_numpy(draw.permutation(nodes)[: nodes // 100])

    def chunks(limit: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for low in range(0, edges, STEP):
            own = np.random.default_rng([seed, low])
            size = min(STEP, edges - low)
            into = ids[(nodes * own.random(size) ** 2.5).astype(np.int64)]
            source = own.integers(nodes, size=size)
            for first in range(0, size, limit):
                yield source[first : first + limit], into[first : first + limit]

    def features(limit: int) -> Iterator[np.ndarray]:
        for low in range(0, nodes, limit):
            yield np.zeros((min(limit, nodes - low), 1), dtype=np.float32)

    source = Input(
        name="power/law",
        labels=torch.arange(nodes) % 2,
        split=Split(train=chosen[4:], val=chosen[:2], test=chosen[2:4]),
        task=NodeClassification(num_classes=2),
        num_features=1,
        edges=chunks,
        features=features,
        num_edges=edges,
        key={"nodes": nodes, "edges": edges, "seed": seed},
    )
    return prepare(source, path, memory=1 << 30)


def timed(sampler: SeededNeighbors, batches: list[Tensor]) -> tuple[list[int], float]:
    """Edges of each batch, and edges a second."""
    start = time.perf_counter()
    counts = [len(out.row) for out in sampler.sample_batches(batches)]
    return counts, sum(counts) / (time.perf_counter() - start)


def scanned(
    store: Store, fanouts: tuple[int, ...], batches: list[Tensor], memory: int, threads: int
) -> tuple[list[int], float]:
    """The same by scans; the tables are made inside the time that is measured."""
    start = time.perf_counter()
    room = memory - 4 * store.num_nodes  # counts, as ``sample_ahead`` keeps them
    sampler = ScanSampler(store, fanouts, seed=0, memory=room, threads=threads, scratch=store.path)
    counts = [out.num_edges for out in sampler.draw((0, seeds) for seeds in batches)]
    return counts, sum(counts) / (time.perf_counter() - start)


def compare(
    store: Store, fanouts: tuple[int, ...], batches: list[Tensor], few: int, memory: int,
    threads: int, rounds: int,
) -> Result:  # fmt: skip
    """Runs both by turns; the mapped side draws the first few of the same batches."""
    unchecked = replace(store, verify="off")
    mapped = unchecked.csc(in_memory=False)
    held = unchecked.csc()
    path = store.arrays["graph/indices"].path
    rates: dict[str, list[float]] = {"scan": [], "mapped": [], "memory": []}
    for number in range(rounds + 1):
        sampler = SeededNeighbors(held, fanouts, seed=0, threads=threads)
        expected, memory_rate = timed(sampler, batches)
        counts, scan_rate = scanned(store, fanouts, batches, memory, threads)
        if counts != expected:
            raise RuntimeError("the two engines drew different batches")
        if number == 0:
            continue  # compiles
        with Limit(mapped.row, path, memory):
            sampler = SeededNeighbors(mapped, fanouts, seed=0, threads=threads)
            counts, mapped_rate = timed(sampler, batches[number * few : (number + 1) * few])
        if counts != expected[number * few : (number + 1) * few]:
            raise RuntimeError("the mapped graph is another one")
        for name, rate in (("scan", scan_rate), ("mapped", mapped_rate), ("memory", memory_rate)):
            rates[name].append(rate)
    return Result(
        threads=threads,
        edges_per_batch=sum(expected) // len(expected),
        scan_batches=len(batches),
        mapped_batches=few,
        scan=statistics.median(rates["scan"]),
        mapped=statistics.median(rates["mapped"]),
        in_memory=statistics.median(rates["memory"]),
        ratio=statistics.median(a / b for a, b in zip(rates["scan"], rates["mapped"], strict=True)),
        share_of_memory=statistics.median(
            a / b for a, b in zip(rates["scan"], rates["memory"], strict=True)
        ),
    )


def table(results: list[Result]) -> Table:
    """Lays the results out, rates in millions of edges a second."""
    out = Table(title="Sampled edges a second, in millions")
    for heading in ("threads", "scan", "mapped", "ratio", "in memory", "scan / in memory"):
        out.add_column(heading, justify="right")
    for row in results:
        rates = [f"{rate / 1e6:.3f}" for rate in (row.scan, row.mapped, row.in_memory)]
        out.add_row(
            str(row.threads), rates[0], rates[1], f"{row.ratio:.1f}", rates[2],
            f"{row.share_of_memory:.2f}",
        )  # fmt: skip
    return out


def main(
    nodes: int = 4_000_000,
    edges: int = 60_000_000,
    fanouts: tuple[int, ...] = (10, 10, 10),
    batch_size: int = 1024,
    batches: int = 32,
    mapped_batches: int = 2,
    memory_share: float = 0.5,
    threads: tuple[int, ...] = (1, 2),
    rounds: int = 3,
    seed: int = 0,
    folder: Path | None = None,
    output: Path = RESULTS,
) -> None:
    """Compares both ways and writes what came out.

    Args:
        nodes: Nodes of the graph.
        edges: Its edges.
        fanouts: Neighbours drawn per hop, nearest hop first.
        batch_size: Seeds a batch.
        batches: Batches a round for the scan.
        mapped_batches: Batches a round for the mapped file; others each round.
        memory_share: Memory given, as a share of the graph's bytes.
        threads: Threads of both sides.
        rounds: Rounds; medians are reported.
        seed: Seed of the graph.
        folder: Where the store is made, on a disk; by default the folder of temporary files.
        output: File the result is written to.
    """
    console = Console()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = make(Path(place) / "store", nodes, edges, seed)
        parts = [store.arrays[f"graph/{name}"] for name in ("indptr", "indices")]
        size = sum(part.num_bytes for part in parts)
        memory = int(memory_share * size)
        rate = read_rate(parts[1])
        console.print(
            f"graph {show_bytes(size)}, memory {show_bytes(memory)}; the disk reads "
            f"{show_bytes(int(rate))} a second in order"
        )
        chosen = list(store.split.train.split(batch_size)[:batches])
        results = [
            compare(store, fanouts, chosen, mapped_batches, memory, count, rounds)
            for count in threads
        ]
    console.print(table(results))
    record = {
        "unit": "edges per second",
        "settings": {
            "nodes": nodes, "edges": edges, "fanouts": fanouts, "batch_size": batch_size,
            "memory_share": memory_share, "rounds": rounds, "seed": seed,
        },
        "graph_bytes": size,
        "memory_bytes": memory,
        "read_bytes_per_second": rate,
        "results": [asdict(result) for result in results],
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "host": {"machine": platform.machine(), "cores": os.cpu_count()},
    }  # fmt: skip
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f"{output.name}.tmp-{os.getpid()}")
    draft.write_text(json.dumps(record, indent=2) + "\n")
    draft.replace(output)
    console.print(f"written to {output.name}")


if __name__ == "__main__":
    tyro.cli(main)
