"""Time and memory of a training step of Graph Mamba as one graph grows, beside dense attention.

Random regular graphs of degree 8, from 1,000 to 128,000 nodes; width 32, two layers over nodes.
``graph-mamba`` with walks of two steps (m = s = M = 2), ``graph-mamba-no-walks`` with m = 0, and
``dense-attention``: the latter with its scans over nodes replaced by attention of one head between
all nodes, which keeps its weights for the gradient; as far as their memory allows.

``graph-mamba-pages-kept`` is the first once more in a process that keeps freed memory
(``graphkit.bench.host.keep_freed_memory``): else each step on a large graph has the system clear
the same pages again, whose time grows faster than the graph once tensors exceed 32 MiB.

How it is measured: each network and size in a process of its own, on one thread. Time is processor
time, the median of the repeats after one to warm up; drawing walks is not part of a step and is
told apart. Memory is the most the process held during the repeats over what it held before the
first. ``slope`` is that of a line through the logarithms; 1 is linear, 2 quadratic.

Run: ``python benchmarks/scaling.py``; ``--help`` shows what can be changed.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.bench.host import (
    describe_host,
    keep_freed_memory,
    peak_memory_bytes,
    reset_peak_memory,
)
from graphkit.files import write_whole
from graphkit.models.graph_mamba import GraphMamba, Walks
from graphkit.tasks import Dims

RESULTS = Path(__file__).parent / "measured" / "graph_mamba_scaling.json"
DEGREE, CHANNELS, CLASSES = 8, 32, 4
KEPT = "-pages-kept"
ATTENTION_BYTES = 7 * 4  # an entry of the weights, of their gradients and of copies on the way


@dataclass(frozen=True)
class Row:
    """One network on one size of graph; ``growth`` is the ratio to half as many nodes."""

    network: str
    nodes: int
    step_seconds: float
    peak_bytes: int
    walk_seconds: float
    growth: dict[str, float] | None = None


class Attention(nn.Module):
    """Every node attends to every node of the one graph, behind a layer norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attend = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor, *, ptr: Tensor) -> Tensor:
        """Returns what each row of the one sequence collects."""
        query, key, value = self.attend(self.norm(x)).chunk(3, dim=1)
        weights = (query @ key.t() * query.shape[1] ** -0.5).softmax(dim=1)
        return self.out(weights @ value)


def dense_attention(dims: Dims, **settings: Any) -> GraphMamba:
    """Graph Mamba without walks whose scans are replaced by attention."""
    model = GraphMamba(dims, **settings)
    for layer in model.layers:
        layer.rows.layer = Attention(CHANNELS)
    return model


settings: dict[str, Any] = {"hidden_channels": CHANNELS, "num_layers": 2}
NETWORKS: dict[str, Callable[[Dims], GraphMamba]] = {
    "graph-mamba": partial(GraphMamba, **settings, walks=Walks(2, 2, 2)),
    "graph-mamba-no-walks": partial(GraphMamba, **settings),
    "dense-attention": partial(dense_attention, **settings),
}


def regular_graph(nodes: int) -> Data:
    """Four random rings through all nodes, both ways: each node has eight edges."""
    draw = torch.Generator().manual_seed(nodes)
    rings = [torch.randperm(nodes, generator=draw) for _ in range(DEGREE // 2)]
    one_way = torch.cat([torch.stack([ring, ring.roll(1)]) for ring in rings], dim=1)
    edges = torch.cat([one_way, one_way.flip(0)], dim=1)
    edges = edges[:, edges[1].argsort(stable=True)]
    x = torch.randn(nodes, CHANNELS, generator=draw)
    y = torch.randint(CLASSES, (nodes,), generator=draw)
    return Data(x=x, edge_index=edges, y=y, num_nodes=nodes)


def measured(network: str, nodes: int, repeats: int) -> Row:
    """Runs in a process of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if network.endswith(KEPT):
        keep_freed_memory()
    graph = regular_graph(nodes)
    model = NETWORKS[network.removesuffix(KEPT)](Dims(CHANNELS, CLASSES)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(data: Data) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data), data.y).backward()
        optimizer.step()

    small = regular_graph(64)  # compiles, and allocates what is there in any case
    step(model.transform(small) if model.transform is not None else small)
    start = time.process_time()
    graph = model.transform(graph) if model.transform is not None else graph
    walks = time.process_time() - start
    reset_peak_memory("cpu")
    before, seconds = peak_memory_bytes("cpu"), []
    for _ in range(repeats + 1):
        start = time.process_time()
        step(graph)
        seconds.append(time.process_time() - start)
    held = peak_memory_bytes("cpu") - before
    return Row(network, nodes, statistics.median(seconds[1:]), held, walks)


def slope(rows: list[Row], quantity: str) -> float:
    """Of a line through the logarithms of nodes and quantity."""
    points = [(math.log(row.nodes), math.log(getattr(row, quantity))) for row in rows]
    return float(np.polyfit(*zip(*points, strict=True), 1)[0])


def grown(rows: list[Row]) -> list[Row]:
    """The rows of one network with their growth."""
    told = rows[:1]
    for half, row in pairwise(rows):
        ratios = {q: getattr(row, q) / getattr(half, q) for q in ("step_seconds", "peak_bytes")}
        told.append(Row(**{**asdict(row), "growth": ratios}))
    return told


def table(rows: list[Row], slopes: dict[str, dict[str, float]]) -> Table:
    """Lays the results out."""
    out = Table(title="A training step as the graph grows")
    for heading in ("network", "nodes", "step s", "ratio", "peak MB", "ratio", "walks s"):
        out.add_column(heading, justify="left" if heading == "network" else "right")
    for row in rows:
        growth = row.growth or {}
        ratios = [f"{growth[q]:.2f}" if growth else "" for q in ("step_seconds", "peak_bytes")]
        out.add_row(
            row.network, f"{row.nodes:,}", f"{row.step_seconds:.3f}", ratios[0],
            f"{row.peak_bytes / 1e6:,.0f}", ratios[1], f"{row.walk_seconds:.2f}",
        )  # fmt: skip
    for network, found in slopes.items():
        out.add_row(
            f"slope of {network}", "", "", f"{found['step_seconds']:.2f}", "",
            f"{found['peak_bytes']:.2f}", "",
        )  # fmt: skip
    return out


def main(
    smallest: int = 1_000,
    largest: int = 128_000,
    repeats: int = 3,
    attention_bytes: int = 6 << 30,
    networks: tuple[str, ...] = (*NETWORKS, f"graph-mamba{KEPT}"),
    output: Path = RESULTS,
) -> None:
    """Measures all networks on all sizes and writes what came out.

    Args:
        smallest: Nodes of the smallest graph.
        largest: Nodes of the largest; sizes double.
        repeats: Steps after the one to warm up; medians are reported.
        attention_bytes: Memory that dense attention may take; larger graphs are left out.
        networks: Which networks.
        output: File the result is written to.
    """
    console, rows, slopes = Console(), [], {}
    sizes = [smallest * 2**k for k in range(int(math.log2(largest / smallest)) + 1)]
    spawn = multiprocessing.get_context("spawn")
    for network in networks:
        found: list[Row] = []
        for nodes in sizes:
            if network == "dense-attention" and nodes**2 * ATTENTION_BYTES > attention_bytes:
                break
            with ProcessPoolExecutor(1, mp_context=spawn) as alone:
                found.append(alone.submit(measured, network, nodes, repeats).result())
            console.print(found[-1])
        rows += grown(found)
        slopes[network] = {q: slope(found, q) for q in ("step_seconds", "peak_bytes")}
    console.print(table(rows, slopes))
    record = {
        "what": "a training step on one random regular graph: processor time and peak memory",
        "command": "python benchmarks/scaling.py",
        "settings": {
            "degree": DEGREE, "channels": CHANNELS, "layers": 2, "walks": asdict(Walks(2, 2, 2)),
            "repeats": repeats, "attention_bytes": attention_bytes, "threads": 1,
        },
        "slopes": slopes,
        "results": [asdict(row) for row in rows],
        "host": describe_host("cpu") | {"threads": 1},
    }  # fmt: skip
    write_whole(output, (json.dumps(record, indent=2) + "\n").encode())
    console.print(f"written to {output.name}")


if __name__ == "__main__":
    tyro.cli(main)
