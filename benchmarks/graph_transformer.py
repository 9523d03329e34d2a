"""The Graph Transformer's layer against PyG's ``TransformerConv`` of the same heads and width.

    python benchmarks/graph_transformer.py

Forward and backward on a random graph of 2,000 nodes of mean degree 16, in turn in one process,
medians of CPU time. ``TransformerConv`` with edge features stands for PyG: attention with biases,
edge vectors added to keys and values, a root weight; no edge stream, no network per node, no
normalisation. Three of ours stand beside it: the attention alone (with the edge stream's scores),
the whole layer without edge features, and the whole layer with them, whose edge stream (an output
map and a network of two layers for each edge) is six maps of all edges to PyG's one.
The second table is the time as the number of edges doubles; a doubling costs more than twice where
a tensor of all edges outgrows 32 MiB, beyond which the system hands out fresh pages every time.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from torch import Tensor
from torch_geometric.nn import TransformerConv

from graphkit.bench.host import describe_host
from graphkit.nn import EdgeAttention, GraphTransformerLayer

OUT = Path(__file__).parent / "measured" / "graph_transformer.json"
NODES, DEGREE, HEADS = 2_000, 16, 8
DEGREES = (4, 8, 16, 32, 64)


def graph(degree: int, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Node vectors, edges sorted by destination, edge vectors."""
    draw = torch.Generator().manual_seed(degree)
    edges = torch.randint(NODES, (2, NODES * degree), generator=draw)
    edges = edges[:, (edges[1] * NODES + edges[0]).argsort()]
    x = torch.randn(NODES, channels, generator=draw, requires_grad=True)
    return x, edges, torch.randn(edges.shape[1], channels, generator=draw, requires_grad=True)


def medians(steps: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of a forward and backward pass of each, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name, step in steps.items():
            start = time.process_time()
            step().backward()
            if number >= 2:  # the first ones warm up
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def both(layer: Callable, *given: Tensor) -> Tensor:
    """One number of both streams."""
    x, e = layer(*given)
    return x.sum() + e.sum()


def against_pyg(channels: int, rounds: int) -> dict[str, float]:
    """Seconds of all, and ratios to PyG's layer with edge features."""
    torch.manual_seed(0)
    x, edges, e = graph(DEGREE, channels)
    theirs = TransformerConv(channels, channels // HEADS, HEADS, edge_dim=channels)
    bare = TransformerConv(channels, channels // HEADS, HEADS)
    attention = EdgeAttention(channels, HEADS, edges=True)
    plain = GraphTransformerLayer(channels, HEADS, edges=False)
    whole = GraphTransformerLayer(channels, HEADS, edges=True)
    found = medians(
        {
            "pyg_seconds": lambda: theirs(x, edges, e).sum(),
            "pyg_without_edge_features_seconds": lambda: bare(x, edges).sum(),
            "attention_seconds": lambda: both(attention, x, edges, e),
            "layer_without_edge_features_seconds": lambda: plain(x, edges)[0].sum(),
            "layer_seconds": lambda: both(whole, x, edges, e),
        },
        rounds,
    )
    ratios = {
        f"{name}_ratio": found[f"{name}_seconds"] / found["pyg_seconds"]
        for name in ("attention", "layer_without_edge_features", "layer")
    }
    return {"channels": channels} | found | ratios


def by_edges(channels: int, rounds: int) -> list[dict[str, float]]:
    """Seconds for each number of edges, and how often the time of half of them."""
    torch.manual_seed(0)
    plain = GraphTransformerLayer(channels, HEADS, edges=False)
    whole = GraphTransformerLayer(channels, HEADS, edges=True)
    theirs = TransformerConv(channels, channels // HEADS, HEADS, edge_dim=channels)
    steps = {}
    for degree in DEGREES:
        x, edges, e = graph(degree, channels)
        steps[f"pyg {degree}"] = lambda x=x, edges=edges, e=e: theirs(x, edges, e).sum()
        steps[f"plain {degree}"] = lambda x=x, edges=edges: plain(x, edges)[0].sum()
        steps[f"whole {degree}"] = lambda x=x, edges=edges, e=e: both(whole, x, edges, e)
    found = medians(steps, rounds)
    rows: list[dict[str, float]] = []
    for degree in DEGREES:
        row = {
            "edges": float(NODES * degree),
            "pyg_seconds": found[f"pyg {degree}"],
            "layer_without_edge_features_seconds": found[f"plain {degree}"],
            "layer_seconds": found[f"whole {degree}"],
        }
        if rows:
            row |= {
                f"{name}_doubling": row[f"{name}_seconds"] / rows[-1][f"{name}_seconds"]
                for name in ("pyg", "layer_without_edge_features", "layer")
            }
        rows.append(row)
    return rows


def main(*, rounds: int = 21, threads: int = 1) -> None:
    """Measures, prints and stores.

    Args:
        rounds: Passes of each side, in turn.
        threads: Threads of both sides.
    """
    torch.set_num_threads(threads)
    rows = [against_pyg(channels, rounds) for channels in (64, 80)]
    doubling = by_edges(64, rounds // 2)
    for row in (*rows, *doubling):
        print({k: round(v, 4) for k, v in row.items()})
    told = {
        "what": "median CPU seconds, forward and backward, 2,000 nodes, mean degree 16, 8 heads",
        "command": "python benchmarks/graph_transformer.py",
        "rounds": rounds, "threads": threads, "rows": rows, "by_edges": doubling,
        "host": describe_host("cpu"),
    }  # fmt: skip
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
