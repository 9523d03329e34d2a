"""How long an answer takes: the time to fetch what a model reads, and the time to compute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.data.batching import FullGraph, NodeRows, SampledNodes
from graphkit.data.problem import Batching, Problem
from graphkit.errors import SettingError
from graphkit.models.base import Model, as_model
from graphkit.models.hgnn import HGNN, HGNNPlus
from graphkit.seeds import stream
from graphkit.sparse import SparseMatrix

__all__ = [
    "Latency",
    "answer_of",
    "full_pass",
    "neighbourhood",
    "of_nodes",
    "of_rows",
    "of_vertices",
    "timed",
]

WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """Time of one answer, medians over the repeats.

    Args:
        what: What was asked for and how it was fetched.
        nodes: Number of nodes answered for at once.
        fetch_seconds: Gathering features, neighbours and operators.
        compute_seconds: The network's own pass.
        repeats: How often it was measured, after a warm-up.
    """

    what: str
    nodes: int
    fetch_seconds: float
    compute_seconds: float
    repeats: int

    @property
    def seconds(self) -> float:
        """Time of the whole answer."""
        return self.fetch_seconds + self.compute_seconds


def full_pass(net: nn.Module, problem: Problem, *, repeats: int = 20) -> Latency:
    """Times one pass over all nodes; the operators of the graph are ready beforehand.

    Args:
        net: The network.
        problem: A graph or hypergraph.
        repeats: Measurements after a warm-up.
    """
    model = _ready(net, problem)
    [batch] = problem.batched(FullGraph()).batches("all", model)
    seconds = timed(lambda: model(batch), repeats, problem.device)
    return Latency("all nodes, full pass", problem.num_items, 0.0, seconds, repeats)


def of_nodes(
    net: nn.Module,
    problem: Problem,
    fanouts: tuple[int, ...],
    *,
    nodes: int = 1,
    repeats: int = 20,
    seed: int = 0,
) -> Latency:
    """Times an answer for a few nodes with their drawn neighbourhood, fetched anew each time.

    Args:
        net: The network.
        problem: One graph.
        fanouts: Neighbours per hop, nearest first; -1 takes all, which makes the answer exact.
        nodes: Nodes answered for at once.
        repeats: Measurements, each for other nodes.
        seed: Which nodes.
    """
    drawn = "all neighbours" if set(fanouts) == {-1} else f"neighbours {fanouts}"
    what = f"{nodes} nodes, {drawn}, {len(fanouts)} hops"
    return _fetched(net, problem, SampledNodes(fanouts, nodes), what, nodes, repeats, seed)


def of_vertices(
    net: HGNN | HGNNPlus, problem: Problem, *, nodes: int = 1, repeats: int = 20, seed: int = 0
) -> Latency:
    """Times an exact answer for a few vertices of a hypergraph, fetched anew each time: the rows of
    the incidence operators they reach, one pair for each layer.

    Args:
        net: The network.
        problem: One hypergraph.
        nodes: Vertices answered for at once.
        repeats: Measurements, each for other vertices.
        seed: Which vertices.
    """
    model = _ready(net, problem)
    [whole] = problem.batched(FullGraph()).batches("all", model)
    fetch, compute = [], []
    with torch.no_grad():
        for number, chosen in enumerate(_draws(problem.num_items, nodes, repeats, seed)):
            start = time.perf_counter()
            x, steps = neighbourhood(whole, chosen.to(problem.device), len(net.convs))
            _wait(problem.device)
            middle = time.perf_counter()
            answer_of(net, x, steps)
            _wait(problem.device)
            if number >= WARM_UP:
                fetch.append(middle - start)
                compute.append(time.perf_counter() - middle)
    what = f"{nodes} nodes, their hyperedges, {len(net.convs)} hops"
    return Latency(what, nodes, median(fetch), median(compute), repeats)


Step = tuple[SparseMatrix, SparseMatrix]


def neighbourhood(
    whole: Any, vertices: Tensor, hops: int
) -> tuple[Tensor | SparseMatrix, list[Step]]:
    """Returns what an exact answer for ``vertices`` reads: features, and operators of each layer.

    Args:
        whole: The hypergraph with ``to_hyperedges`` and ``to_nodes``.
        vertices: Who is asked for.
        hops: Number of layers.
    """
    steps: list[Step] = []
    for _ in range(hops):
        back, hyperedges = _rows(whole.to_nodes, vertices)
        there, vertices = _rows(whole.to_hyperedges, hyperedges)
        steps.insert(0, (there, back))
    return whole.x[vertices], steps


def answer_of(net: HGNN | HGNNPlus, x: Tensor | SparseMatrix, steps: list[Step]) -> Tensor:
    """Returns the answers of a hypergraph network for what ``neighbourhood`` fetched."""
    for number, (conv, (there, back)) in enumerate(zip(net.convs, steps, strict=True)):
        x = conv(x if number == 0 else x.relu(), there, back)  # type: ignore[union-attr]
    return x  # type: ignore[return-value]


def _rows(matrix: SparseMatrix, rows: Tensor) -> tuple[SparseMatrix, Tensor]:
    """The chosen rows over the columns they touch, and which columns these are."""
    pointer = matrix.forward_csr.crow_indices().long()
    counts = pointer[rows + 1] - pointer[rows]
    row = torch.arange(len(rows), device=rows.device).repeat_interleave(counts)
    before = counts.cumsum(0) - counts
    at = torch.arange(len(row), device=rows.device) - before[row] + pointer[rows][row]
    columns, column = matrix.forward_csr.col_indices()[at].long().unique(return_inverse=True)
    edges = torch.stack([column, row])
    shape = (len(rows), len(columns))
    return SparseMatrix.from_edges(edges, matrix.values[at], shape), columns


def of_rows(
    net: nn.Module, problem: Problem, *, nodes: int = 1, repeats: int = 20, seed: int = 0
) -> Latency:
    """Times an answer of a network that sees no edge, for a few nodes.

    Args:
        net: The network.
        problem: Its features are the rows.
        nodes: Nodes answered for at once.
        repeats: Measurements, each for other nodes.
        seed: Which nodes.
    """
    what = f"{nodes} nodes, rows alone"
    return _fetched(net, problem, NodeRows(nodes), what, nodes, repeats, seed)


def timed(answer: Callable[[], object], repeats: int, device: str = "cpu") -> float:
    """Returns the median seconds of a call, after a warm-up and without gradients."""
    found = []
    with torch.no_grad():
        for number in range(WARM_UP + repeats):
            _wait(device)
            start = time.perf_counter()
            answer()
            _wait(device)
            if number >= WARM_UP:
                found.append(time.perf_counter() - start)
    return median(found)


def _fetched(
    net: nn.Module,
    problem: Problem,
    batching: Batching,
    what: str,
    nodes: int,
    repeats: int,
    seed: int,
) -> Latency:
    if repeats < 1 or nodes < 1:
        raise SettingError(f"repeats={repeats} and nodes={nodes}; expected at least 1 each")
    model = _ready(net, problem)
    items = torch.cat(_draws(problem.num_items, nodes, repeats, seed))
    asked = replace(problem.batched(batching), split=replace(problem.split, train=items))
    batches = asked.batches("train", model)
    fetch, compute = [], []
    with torch.no_grad():
        for number in range(WARM_UP + repeats):
            start = time.perf_counter()
            batch = next(batches)
            _wait(problem.device)
            middle = time.perf_counter()
            model(batch)
            _wait(problem.device)
            if number >= WARM_UP:
                fetch.append(middle - start)
                compute.append(time.perf_counter() - middle)
    return Latency(what, nodes, median(fetch), median(compute), repeats)


def _draws(num_items: int, nodes: int, repeats: int, seed: int) -> list[Tensor]:
    """Nodes for each measurement, those of the warm-up too; they come again when all were used."""
    count = (WARM_UP + repeats) * nodes
    order = torch.randperm(num_items, generator=stream(seed, "latency"))
    return list(order.repeat(-(-count // num_items))[:count].split(nodes))


def _ready(net: nn.Module, problem: Problem) -> Model:
    return as_model(net).to(problem.device).eval()


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
