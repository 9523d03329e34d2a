"""Making the pairs a generator of neighbours is fitted on: graphkit beside the paper's own way.

The official code loops over nodes in Python, slices each node's row of the adjacency, stacks all
neighbours and all repeated centres into two matrices of edges x features, and hands them to a
loader that reads one pair at a time. graphkit keeps edge numbers and gathers the rows of a batch.
Both sides are run here, in one process, by turns: what has to be done before the first batch
(``build``), and that with one epoch of batches (``epoch``).

Run: ``python benchmarks/generator.py``; ``--help`` shows what can be changed. Needs
``GRAPHKIT_DATA``.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from graphkit import load_problem
from graphkit.augment.pairs import Pairs, pairs_problem
from graphkit.data.problem import Problem, Turn

RESULTS = Path(__file__).parent / "measured" / "generator.json"
PACKAGES = ("graphkit", "numpy", "scipy", "torch", "torch-geometric")


@dataclass(frozen=True)
class Result:
    """One row: medians over the rounds in seconds, the ratio being that of each round."""

    step: str
    pairs: int
    graphkit: float
    loop: float
    ratio: float
    graphkit_bytes: int
    loop_bytes: int


def loop_pairs(adjacency: sp.csr_matrix, features: np.ndarray) -> TensorDataset:
    """Stacks every pair, node by node, as the official code does."""
    neighbours, centers = [], []
    for node in range(adjacency.shape[0]):
        near = features[adjacency[[node], :].nonzero()[1]]
        neighbours.append(near)
        centers.append(np.tile(features[node], (near.shape[0], 1)))
    stacked = (np.vstack(neighbours), np.vstack(centers))
    return TensorDataset(*(torch.tensor(rows, dtype=torch.float32) for rows in stacked))


def loop_epoch(pairs: TensorDataset, batch_size: int) -> int:
    """Reads one epoch; returns the number of pairs."""
    loader = DataLoader(pairs, sampler=RandomSampler(pairs), batch_size=batch_size)
    return sum(len(near) for near, _ in loader)


def our_epoch(problem: Problem, batch_size: int, epoch: int) -> int:
    """Reads one epoch; returns the number of pairs."""
    items = torch.arange(problem.data.edge_index.shape[1])
    batches = Pairs(batch_size)(problem.data, items, Turn(epoch=epoch))
    return sum(len(batch.x_neighbor) for batch in batches)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Returns what came out, and the seconds it took."""
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


def compare(problem: Problem, batch_size: int, rounds: int) -> list[Result]:
    """Runs both ways by turns."""
    nodes = problem.num_items
    edges = problem.data.edge_index.numpy()
    features = problem.data.x.numpy()
    ones = np.ones(edges.shape[1], dtype=np.float32)
    adjacency = sp.csr_matrix((ones, (edges[1], edges[0])), shape=(nodes, nodes))
    ours: dict[str, list[float]] = {"build": [], "epoch": []}
    theirs: dict[str, list[float]] = {"build": [], "epoch": []}
    for number in range(rounds):
        mine, seconds = timed(lambda: pairs_problem(problem))
        ours["build"].append(seconds)
        count, reading = timed(lambda: our_epoch(mine, batch_size, number))  # noqa: B023
        ours["epoch"].append(seconds + reading)
        stacked, seconds = timed(lambda: loop_pairs(adjacency, features))
        theirs["build"].append(seconds)
        other, reading = timed(lambda: loop_epoch(stacked, batch_size))  # noqa: B023
        theirs["epoch"].append(seconds + reading)
        if count != other:
            raise RuntimeError(f"graphkit makes {count} pairs and the loop {other}")
    kept = mine.data.edge_index.numel() * 8
    width = features.shape[1] * 4
    return [
        Result(
            step=step,
            pairs=count,
            graphkit=statistics.median(ours[step]),
            loop=statistics.median(theirs[step]),
            ratio=statistics.median(b / a for a, b in zip(ours[step], theirs[step], strict=True)),
            graphkit_bytes=kept + 2 * batch_size * width,
            loop_bytes=2 * count * width,
        )
        for step in ("build", "epoch")
    ]


def table(results: list[Result]) -> Table:
    """Lays the results out."""
    out = Table(title="Seconds to make the pairs of a generator")
    for heading in ("step", "pairs", "graphkit", "loop", "ratio", "graphkit MB", "loop MB"):
        out.add_column(heading, justify="left" if heading == "step" else "right")
    for row in results:
        sizes = (row.graphkit_bytes / 1e6, row.loop_bytes / 1e6)
        out.add_row(
            row.step,
            f"{row.pairs:,}",
            f"{row.graphkit:.3f}",
            f"{row.loop:.2f}",
            f"{row.ratio:.0f}",
            *(f"{size:.1f}" for size in sizes),
        )
    return out


def main(
    problem: str = "pubmed/public",
    batch_size: int = 256,
    rounds: int = 3,
    output: Path = RESULTS,
) -> None:
    """Compares both ways and writes what came out.

    Args:
        problem: Name from the catalogue.
        batch_size: Pairs a batch.
        rounds: Rounds; medians are reported.
        output: File the result is written to.
    """
    torch.set_num_threads(1)
    console = Console()
    results = compare(load_problem(problem, seed=0), batch_size, rounds)
    console.print(table(results))
    record = {
        "unit": "seconds",
        "settings": {"problem": problem, "batch_size": batch_size, "rounds": rounds, "threads": 1},
        "results": [asdict(result) for result in results],
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "host": {"machine": platform.machine(), "cores": os.cpu_count()},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f"{output.name}.tmp-{os.getpid()}")
    draft.write_text(json.dumps(record, indent=2) + "\n")
    draft.replace(output)
    console.print(f"written to {output.name}")


if __name__ == "__main__":
    tyro.cli(main)
