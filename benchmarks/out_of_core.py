"""Training out of core on a made graph whose features are over four times the memory.

    python benchmarks/out_of_core.py --folder /somewhere/with/30GB

A power-law graph is drawn and prepared, and ``graphkit ooc bench`` measures it: every way of
training in a process of its own that may hold so much memory and no more, page cache included.
Result and picture are written after each job; killed, the same command goes on.

The graph is a hard case: half of the ends of its edges are drawn evenly, so that a cache serves
few accesses, and numbers say nothing about neighbourhoods.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import tyro
from rich.console import Console

from graphkit.bench.ooc_bench import Asked, measured
from graphkit.bench.ooc_page import show
from graphkit.data.split import Split
from graphkit.ooc.inputs import Input
from graphkit.ooc.prepare import prepare
from graphkit.tasks import NodeClassification

OUT = Path(__file__).parent / "measured" / "out_of_core.json"
PRIME = 2_654_435_761  # spreads ranks over the numbers of the nodes
EDGES, ROWS = 1 << 18, 1 << 14  # drawn at a time; part of what a seed means
CLASSES = 10


@dataclass(frozen=True)
class Graph:
    """A graph with a heavy tail of degrees at half of the ends of its edges.

    Args:
        nodes: Their number.
        degree: Mean number of in-edges.
        train: Training nodes; each of the other parts has a tenth as many.
        memory: Bytes that training may hold.
        cached_rows: Rows kept in memory; ``None`` is as many as fit.
        columns: Width of the features, float32.
        seed: Seed of all draws.
    """

    nodes: int
    degree: int
    train: int
    memory: int
    cached_rows: int | None = None
    columns: int = 128
    seed: int = 0

    def numbered(self, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Node of each rank: each has one, for the prime divides no number of nodes."""
        return ranks * PRIME % self.nodes

    def edges(self, limit: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Draws the edges; rank r with a density of r ** -0.6, or evenly, one as often as the
        other."""
        total = self.nodes * self.degree
        for number, start in enumerate(range(0, total, EDGES)):
            draw = np.random.default_rng((self.seed, 1, number))
            share = draw.random((2, min(EDGES, total - start)))
            tail = draw.random(share.shape) < 0.5
            np.power(share, 2.5, out=share, where=tail)
            ends = self.numbered((share * self.nodes).astype(np.int64))
            for low in range(0, ends.shape[1], limit):
                yield ends[0, low : low + limit], ends[1, low : low + limit]

    def features(self, limit: int) -> Iterator[npt.NDArray[np.float32]]:
        """Draws normal features."""
        for number, start in enumerate(range(0, self.nodes, ROWS)):
            draw = np.random.default_rng((self.seed, 2, number))
            shape = (min(ROWS, self.nodes - start), self.columns)
            rows = draw.standard_normal(shape, dtype=np.float32)
            for low in range(0, len(rows), limit):
                yield rows[low : low + limit]

    def input(self) -> Input:
        """What a store is prepared from."""
        ranks = np.arange(self.train + 2 * (self.train // 10), dtype=np.int64)
        parts = torch.from_numpy(self.numbered(self.nodes // 2 + ranks))
        sizes = [self.train, self.train // 10, self.train // 10]
        labels = torch.arange(self.nodes) * 7919 % CLASSES
        return Input(
            name="power-law/bench", labels=labels, split=Split(*parts.split(sizes)),
            task=NodeClassification(num_classes=CLASSES), num_features=self.columns,
            edges=self.edges, features=self.features, num_edges=self.nodes * self.degree,
            key=asdict(self),
        )  # fmt: skip


GIB = 1 << 30
GRAPHS = {
    "small": Graph(200_000, 10, 8_192, 1 * GIB, 20_000),
    "medium": Graph(3_000_000, 12, 32_768, 1 * GIB),
    "full": Graph(12_000_000, 12, 65_536, 11 * GIB // 8),
}


def main(
    folder: Path,
    size: Literal["small", "medium", "full"] = "full",
    seconds: float = 30.0,
    out: Path | None = None,
) -> None:
    """Prepares the graph, measures it, and writes what came out.

    Args:
        folder: Where the store goes, on the disk that is measured.
        size: How large a graph.
        seconds: When an epoch of a way is cut off.
        out: The result; beside the script if not given, and then of the full size alone.
    """
    if out is None:
        out = OUT if size == "full" else folder / f"out_of_core_{size}.json"
    graph = GRAPHS[size]
    asked = Asked(memory=graph.memory, seconds=seconds, cached_rows=graph.cached_rows)
    stages: dict[str, float] = {}

    def watch(stage: str, done: int, total: int) -> None:
        stages.setdefault(stage, time.perf_counter())
        if total and done >= total:
            print(f"{stage}: {time.perf_counter() - stages[stage]:.1f} s", flush=True)

    start = time.perf_counter()
    store = prepare(graph.input(), folder / f"{size}.store", watch=watch, memory=GIB // 2)
    before = {"prepare": {"seconds": time.perf_counter() - start}}
    found = measured(store.path, asked, out, about=asdict(graph), before=before, watch=watch)
    show(found, Console(width=180))


if __name__ == "__main__":
    tyro.cli(main)
