"""Edges sampled a second, graphkit's sampler beside torch-sparse's compiled one.

Both draw from the same graph for the same seeds, in this process, by turns; each thread works on
a batch of its own. torch-sparse's kernel is what PyG's NeighborLoader calls; it releases Python's
lock, so it is run from threads as well. It returns edge numbers in sorted order, graphkit in the
order of the input, so graphkit does one look-up per edge more.

Run: ``python benchmarks/sampling.py``; ``--help`` shows what can be changed. torch-sparse has to
be built: ``pip install --no-build-isolation torch-scatter torch-sparse``. Without it graphkit is
timed alone and no result is written.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch_geometric.sampler import NodeSamplerInput

from graphkit.data.sampler import Csc, SeededNeighbors

RESULTS = Path(__file__).parent / "measured" / "sampling.json"
THREADS = (1, 2)
PACKAGES = ("graphkit", "numba", "numpy", "torch", "torch-geometric", "torch-sparse")

Run = Callable[[Sequence[Tensor]], int]  # samples all batches, returns the number of edges


@dataclass(frozen=True)
class Graph:
    """A random graph whose degrees follow a power law with exponent 2.67, at both ends."""

    name: str
    num_nodes: int
    num_edges: int

    def draw(self, seed: int) -> Tensor:
        """Draws node of rank r with a density of r ** -0.6; ranks are spread over the ids."""
        generator = np.random.default_rng(seed)
        ids = generator.permutation(self.num_nodes)
        ranks = self.num_nodes * generator.random((2, self.num_edges)) ** 2.5
        return torch.from_numpy(ids[ranks.astype(np.int64)])


GRAPHS = (Graph("small", 50_000, 1_000_000), Graph("large", 1_000_000, 10_000_000))


@dataclass(frozen=True)
class Result:
    """One row: medians over the rounds, the ratios being those of each round.

    ``cpu_ratio`` compares edges per second of processor time: what other processes on the machine
    take away does not count there.
    """

    graph: str
    nodes: int
    edges: int
    threads: int
    edges_per_batch: int
    graphkit: float
    graphkit_one_call: float
    torch_sparse: float | None
    ratio: float | None
    cpu_ratio: float | None


def graphkit_batches(sampler: SeededNeighbors, batches: Sequence[Tensor]) -> int:
    """Samples batches side by side, one per thread."""
    return sum(len(out.row) for out in sampler.sample_batches(batches))


def graphkit_calls(sampler: SeededNeighbors, batches: Sequence[Tensor]) -> int:
    """Samples one batch after the other, as a loader does; threads share a batch."""
    inputs = (NodeSamplerInput(None, seeds) for seeds in batches)
    return sum(len(sampler.sample_from_nodes(index).row) for index in inputs)


def torch_sparse_batches(
    graph: Csc, fanouts: Sequence[int], threads: int, batches: Sequence[Tensor]
) -> int:
    """Samples batches side by side, one per thread."""

    def count(seeds: Tensor) -> int:
        out = torch.ops.torch_sparse.neighbor_sample(
            graph.colptr, graph.row, seeds, list(fanouts), False, True
        )
        return len(out[1])

    if threads == 1:
        return sum(count(seeds) for seeds in batches)
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(count, batches))


def timed(run: Run, batches: Sequence[Tensor]) -> tuple[int, float, float]:
    """Returns the edges of one round, the seconds it took, and those of processor time."""
    start, cpu_start = time.perf_counter(), time.process_time()
    count = run(batches)
    return count, time.perf_counter() - start, time.process_time() - cpu_start


def median_ratio(ours: Sequence[float], theirs: Sequence[float] | None) -> float | None:
    """Returns the median over the rounds, each compared with itself."""
    if theirs is None:
        return None
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def compare(
    graph: Graph, fanouts: Sequence[int], batch_size: int, num_batches: int, rounds: int, seed: int
) -> list[Result]:
    """Runs all samplers by turns on one graph."""
    csc = Csc.of(graph.draw(seed), graph.num_nodes)
    wide = Csc(csc.colptr, csc.row.long().contiguous())  # torch-sparse takes int64 alone
    generator = torch.Generator().manual_seed(seed)
    nodes = torch.randperm(graph.num_nodes, generator=generator)[: batch_size * num_batches]
    batches = nodes.split(batch_size)
    with_torch_sparse = importlib.util.find_spec("torch_sparse") is not None
    results = []
    for threads in THREADS:
        sampler = SeededNeighbors(csc, fanouts, seed=seed, threads=threads)
        runs: dict[str, Run] = {
            "graphkit": partial(graphkit_batches, sampler),
            "one call": partial(graphkit_calls, sampler),
        }
        if with_torch_sparse:
            runs["torch-sparse"] = partial(torch_sparse_batches, wide, fanouts, threads)
        for run in runs.values():
            run(batches)  # compiles, and touches all memory once
        rates: dict[str, list[float]] = {name: [] for name in runs}
        cpu_rates: dict[str, list[float]] = {name: [] for name in runs}
        counts: dict[str, int] = {}
        for _ in range(rounds):
            for name, run in runs.items():
                counts[name], seconds, cpu_seconds = timed(run, batches)
                rates[name].append(counts[name] / seconds)
                cpu_rates[name].append(counts[name] / cpu_seconds)
        theirs = rates.get("torch-sparse")
        if theirs and abs(counts["torch-sparse"] / counts["graphkit"] - 1) > 0.02:
            raise RuntimeError(f"the samplers draw different numbers of edges: {counts}")
        results.append(
            Result(
                graph=graph.name,
                nodes=graph.num_nodes,
                edges=graph.num_edges,
                threads=threads,
                edges_per_batch=counts["graphkit"] // len(batches),
                graphkit=statistics.median(rates["graphkit"]),
                graphkit_one_call=statistics.median(rates["one call"]),
                torch_sparse=statistics.median(theirs) if theirs else None,
                ratio=median_ratio(rates["graphkit"], theirs),
                cpu_ratio=median_ratio(cpu_rates["graphkit"], cpu_rates.get("torch-sparse")),
            )
        )
    return results


def table(results: Sequence[Result]) -> Table:
    """Lays the results out, rates in millions of edges a second."""
    out = Table(title="Sampled edges a second, in millions")
    for heading in (
        "graph",
        "threads",
        "graphkit",
        "one call",
        "torch-sparse",
        "ratio",
        "CPU ratio",
    ):
        out.add_column(heading, justify="left" if heading == "graph" else "right")
    for row in results:
        rates = [row.graphkit, row.graphkit_one_call, row.torch_sparse]
        cells = ["-" if rate is None else f"{rate / 1e6:.2f}" for rate in rates]
        cells += ["-" if x is None else f"{x:.1f}" for x in (row.ratio, row.cpu_ratio)]
        out.add_row(row.graph, str(row.threads), *cells)
    return out


def version(package: str) -> str | None:
    """Returns the installed version of a package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(
    fanouts: tuple[int, ...] = (10, 10, 10),
    batch_size: int = 1024,
    batches: int = 16,
    rounds: int = 5,
    seed: int = 0,
    output: Path = RESULTS,
) -> None:
    """Compares the samplers and writes what came out.

    Args:
        fanouts: Neighbours drawn per hop, nearest hop first.
        batch_size: Seeds a batch.
        batches: Batches a round.
        rounds: Rounds; medians are reported.
        seed: Seed of graphs, seeds and draws.
        output: File the result is written to, if torch-sparse is installed.
    """
    console = Console()
    installed = importlib.util.find_spec("torch_sparse") is not None
    if installed:
        import torch_sparse  # noqa: F401  registers the kernel with torch
    else:
        console.print("torch-sparse is not installed: graphkit is timed alone, nothing is written")
    results = []
    for graph in GRAPHS:
        results += compare(graph, fanouts, batch_size, batches, rounds, seed)
    console.print(table(results))
    if not installed:
        return
    record = {
        "unit": "edges per second",
        "settings": {
            "fanouts": fanouts,
            "batch_size": batch_size,
            "batches": batches,
            "rounds": rounds,
            "seed": seed,
        },
        "results": [asdict(result) for result in results],
        "versions": {name: version(name) for name in PACKAGES},
        "host": {"machine": platform.machine(), "cores": os.cpu_count()},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f"{output.name}.tmp-{os.getpid()}")
    draft.write_text(json.dumps(record, indent=2) + "\n")
    draft.replace(output)
    console.print(f"written to {output.name}")


if __name__ == "__main__":
    tyro.cli(main)
