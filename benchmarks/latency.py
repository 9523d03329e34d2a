"""Time of an answer: a student that sees no edge beside the teachers that do, in one run.

Three settings. PubMed (needs GRAPHKIT_DATA). A random graph of 50,000 nodes and mean degree 50,
with networks of three layers of equal width, as the acceptance of GLNN asks. A random hypergraph of
50,000 vertices and 50,000 hyperedges of ten, as that of LightHGNN asks. Weights are as drawn: time
does not depend on them.

How it is timed: the median of the repeats after three to warm up; every repeat asks for other
nodes; *fetch* is drawing or gathering neighbours, copying their features and making the operators,
*compute* is the pass. A full pass has its operators ready and fetches nothing, so it is the
teacher at its best: it pays only when all nodes are wanted at once.

Run: ``python benchmarks/latency.py``; ``--help`` shows what can be changed.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch_geometric.data import Data

import graphkit
from graphkit.bench.latency import Latency, full_pass, of_nodes, of_rows, of_vertices
from graphkit.data.batching import FullGraph
from graphkit.data.problem import Problem
from graphkit.data.split import share
from graphkit.models import GCN, HGNN, MLP, GraphSAGE, HGNNPlus, LightMLP, Model
from graphkit.tasks import Dims, NodeClassification

RESULTS = Path(__file__).parent / "measured" / "latency.json"
NODES = 50_000
FEW = (1, 10, 512)


@dataclass(frozen=True)
class Row:
    """One measurement; ``ratio`` is this time over the student's for as many nodes."""

    setting: str
    model: str
    what: str
    nodes: int
    fetch_ms: float
    compute_ms: float
    ratio: float | None


def random_graph(mean_degree: int = 50, channels: int = 128, classes: int = 10) -> Problem:
    """Edges between nodes drawn at random, normal features."""
    draw = torch.Generator().manual_seed(0)
    edges = torch.randint(NODES, (2, NODES * mean_degree), generator=draw)
    return _problem("random graph", {"edge_index": edges}, channels, classes, draw)


def random_hypergraph(size: int = 10, channels: int = 128, classes: int = 10) -> Problem:
    """As many hyperedges as vertices, each of vertices drawn at random."""
    draw = torch.Generator().manual_seed(0)
    vertices = torch.randint(NODES, (NODES * size,), generator=draw)
    pairs = torch.stack([vertices, torch.arange(NODES).repeat_interleave(size)])
    fields = {"hyperedge_index": pairs.unique(dim=1)}
    return _problem("random hypergraph", fields, channels, classes, draw)


def _problem(
    name: str, fields: dict[str, torch.Tensor], channels: int, classes: int, draw: torch.Generator
) -> Problem:
    x = torch.randn(NODES, channels, generator=draw)
    y = torch.randint(classes, (NODES,), generator=draw)
    data = Data(x=x, y=y, **fields)
    return Problem(
        name, data, share(NODES, 0), NodeClassification(num_classes=classes),
        Dims(channels, classes, num_nodes=NODES), FullGraph(),
    )  # fmt: skip


Ask = Callable[[Model], Iterable[Latency]]


def rows_of(
    problem: Problem, teachers: dict[str, Model], student: Model, ask: Ask, repeats: int
) -> Iterator[Row]:
    """Teachers, each asked in every way, beside a student asked for as many nodes."""
    everyone = full_pass(student, problem, repeats=repeats)
    mine = {n: of_rows(student, problem, nodes=n, repeats=repeats) for n in FEW}
    mine[everyone.nodes] = everyone
    for name, teacher in teachers.items():
        yield _row(problem, name, full_pass(teacher, problem, repeats=repeats), mine)
        yield from (_row(problem, name, found, mine) for found in ask(teacher))
    yield from (_row(problem, "student", found, {}) for found in mine.values())


def with_neighbours(problem: Problem, hops: int, repeats: int) -> Ask:
    """Asks a network on a graph for a few nodes, with all their neighbours and with 15 a hop."""

    def ask(teacher: Model) -> Iterator[Latency]:
        for nodes in FEW:
            for fanouts in ((-1,) * hops, (15,) * hops):
                yield of_nodes(teacher, problem, fanouts, nodes=nodes, repeats=repeats)

    return ask


def with_hyperedges(problem: Problem, repeats: int) -> Ask:
    """Asks a network on a hypergraph for a few vertices, exactly."""

    def ask(teacher: Model) -> Iterator[Latency]:
        assert isinstance(teacher, HGNN | HGNNPlus)
        for nodes in FEW:
            yield of_vertices(teacher, problem, nodes=nodes, repeats=repeats)

    return ask


def _row(problem: Problem, model: str, found: Latency, student: dict[int, Latency]) -> Row:
    own = student.get(found.nodes)
    return Row(
        problem.name, model, found.what, found.nodes, found.fetch_seconds * 1e3,
        found.compute_seconds * 1e3, found.seconds / own.seconds if own else None,
    )  # fmt: skip


def main(repeats: int = 20, threads: int = 2, out: Path = RESULTS) -> None:
    """Measures and writes the table.

    Args:
        repeats: Measurements of each row.
        threads: Threads of torch.
        out: Where the rows are written.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    rows: list[Row] = []
    if os.environ.get("GRAPHKIT_DATA"):
        pubmed = graphkit.load_problem("pubmed/public")
        teachers: dict[str, Model] = {
            "gcn, 2 x 64": GCN(pubmed.dims), "graphsage, 2 x 64": GraphSAGE(pubmed.dims),
        }  # fmt: skip
        student = MLP(pubmed.dims, hidden_channels=128)
        ask = with_neighbours(pubmed, 2, repeats)
        rows += rows_of(pubmed, teachers, student, ask, repeats)
    else:
        print("PubMed is left out: set GRAPHKIT_DATA to the folder of raw data sets")
    graph = random_graph()
    deep = GraphSAGE(graph.dims, hidden_channels=128, num_layers=3)
    equal = MLP(graph.dims, hidden_channels=128, num_layers=3)
    ask = with_neighbours(graph, 3, repeats)
    rows += rows_of(graph, {"graphsage, 3 x 128": deep}, equal, ask, repeats)
    hypergraph = random_hypergraph()
    networks: dict[str, Model] = {
        "hgnn, 2 x 32": HGNN(hypergraph.dims), "hgnn-plus, 2 x 32": HGNNPlus(hypergraph.dims),
    }  # fmt: skip
    ask = with_hyperedges(hypergraph, repeats)
    rows += rows_of(hypergraph, networks, LightMLP(hypergraph.dims), ask, repeats)
    table = Table("setting", "model", "asked for", "fetch ms", "compute ms", "over student")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        table.add_row(row.setting, row.model, row.what, f"{row.fetch_ms:.3g}",
                      f"{row.compute_ms:.3g}", ratio)  # fmt: skip
    Console(width=130).print(table)
    told = {
        "command": "python benchmarks/latency.py",
        "threads": threads,
        "repeats": repeats,
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "rows": [asdict(row) for row in rows],
    }
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n")
    print(out)


if __name__ == "__main__":
    tyro.cli(main)
