"""Hand-made problems, small enough to check by eye."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor
from torch_geometric.data import Data, TemporalData

from graphkit.data.batching import Events, FullGraph, Graphs
from graphkit.data.negatives import RandomNegatives
from graphkit.data.problem import Problem
from graphkit.data.sources.hypergraphs import Hypergraph
from graphkit.data.split import Split
from graphkit.tasks import (
    Dims,
    GraphClassification,
    GraphRegression,
    NodeClassification,
    NodesOfGraphs,
    TemporalLinkPrediction,
)

SYMBOLS = (4, 3)  # symbols in the two columns of x
BONDS = (3,)  # symbols in the one column of edge_attr


def both_ways(*pairs: tuple[int, int]) -> Tensor:
    """Edges in both directions, sorted by destination, then source."""
    edges = sorted({pair for a, b in pairs for pair in ((a, b), (b, a))}, key=lambda p: p[::-1])
    return torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t().contiguous()


def thirds() -> Split:
    """Six items, two a part."""
    return Split(torch.tensor([0, 3]), torch.tensor([1, 4]), torch.tensor([2, 5]))


def node_problem() -> Problem:
    """Two triangles joined by an edge; a node's class is its triangle."""
    edges = both_ways((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 3))
    x = torch.tensor(
        [
            [1.0, 0.0, 0.5],
            [0.8, 0.1, 0.3],
            [0.6, 0.4, 0.2],
            [0.4, 0.6, 0.1],
            [0.1, 0.9, 0.7],
            [0.2, 1.0, 0.9],
        ]
    )
    return Problem(
        name="tiny/nodes",
        data=Data(x=x, edge_index=edges, y=torch.tensor([0, 0, 0, 1, 1, 1])),
        split=thirds(),
        task=NodeClassification(num_classes=2),
        dims=Dims(in_channels=3, out_channels=2, num_nodes=6),
        batching=FullGraph(),
    )


def node_problem_bare() -> Problem:
    """The same graph without features: nothing but places to learn from."""
    problem = node_problem()
    data = Data(edge_index=problem.data.edge_index, y=problem.data.y, num_nodes=6)
    dims = Dims(in_channels=0, out_channels=2, num_nodes=6)
    return replace(problem, name="tiny/bare-nodes", data=data, dims=dims, checked=False)


def node_problem_symbols() -> Problem:
    """The same graph with two symbols a node."""
    problem, place = node_problem(), torch.arange(6)
    data = copy.copy(problem.data)
    data.x = torch.stack([place % SYMBOLS[0], place % SYMBOLS[1]], dim=1)
    dims = Dims(in_channels=0, out_channels=2, num_nodes=6, node_symbols=SYMBOLS)
    return replace(problem, name="tiny/symbols-nodes", data=data, dims=dims, checked=False)


def hypergraph_problem() -> Problem:
    """Six vertices in three hyperedges, 0 1 2, 3 4 and 2 3; vertex 5 is in none."""
    members = torch.tensor([[0, 1, 2, 3, 4, 2, 3], [0, 0, 0, 1, 1, 2, 2]])
    graph = node_problem().data
    return Problem(
        name="tiny/hypergraph",
        data=Hypergraph(x=graph.x, hyperedge_index=members, y=graph.y),
        split=thirds(),
        task=NodeClassification(num_classes=2),
        dims=Dims(in_channels=3, out_channels=2, num_nodes=6),
        batching=FullGraph(),
    )


def production_problem() -> Problem:
    """Eight nodes in a ring; nodes 2 and 6 are not there until the end."""
    place = torch.arange(8)
    ring = both_ways(*((int(a), int(a + 1) % 8) for a in place))
    x = torch.stack([place / 8.0, (place % 2).float(), torch.ones(8)], dim=1)
    return Problem(
        name="tiny/production",
        data=Data(x=x, edge_index=ring, y=place % 2),
        split=Split(
            torch.tensor([0, 1]), torch.tensor([3, 4]), torch.tensor([5, 7]), torch.tensor([2, 6])
        ),
        task=NodeClassification(num_classes=2),
        dims=Dims(in_channels=3, out_channels=2, num_nodes=8),
        batching=FullGraph(),
    )


def shapes() -> list[Tensor]:
    """Six graphs' edges: paths, a cycle, a star, of 3 to 5 nodes."""
    return [
        both_ways((0, 1), (1, 2)),
        both_ways((0, 1), (1, 2), (2, 3)),
        both_ways((0, 1), (1, 2), (2, 0)),
        both_ways((0, 1), (1, 2), (2, 3), (3, 0)),
        both_ways((0, 1), (0, 2), (0, 3), (0, 4)),
        both_ways((0, 1), (1, 2), (2, 3), (3, 4), (4, 0)),
    ]


def graph_problem() -> Problem:
    """Six graphs with vectors on nodes; the class says whether there is a cycle."""
    draw = torch.Generator().manual_seed(0)
    graphs = [
        Data(x=torch.randn(int(e.max()) + 1, 3, generator=draw), edge_index=e, y=torch.tensor([y]))
        for e, y in zip(shapes(), (0, 0, 1, 1, 0, 1), strict=True)
    ]
    return Problem(
        name="tiny/graphs",
        data=graphs,
        split=thirds(),
        task=GraphClassification(num_classes=2),
        dims=Dims(in_channels=3, out_channels=2),
        batching=Graphs(batch_size=6),
    )


def graph_problem_bare() -> Problem:
    """The same graphs without features."""
    problem = graph_problem()
    graphs = [Data(edge_index=g.edge_index, y=g.y, num_nodes=g.num_nodes) for g in problem.data]
    return replace(
        problem,
        name="tiny/bare",
        data=graphs,
        dims=Dims(in_channels=0, out_channels=2),
        checked=False,
    )


def graph_problem_edges() -> Problem:
    """The same graphs with vectors on nodes and on edges."""
    problem = graph_problem()
    graphs = []
    for graph in problem.data:
        source, destination = graph.edge_index.float()
        graph.edge_attr = torch.stack([source - destination, source + destination], dim=1) / 4
        graphs.append(graph)
    dims = Dims(in_channels=3, out_channels=2, edge_channels=2)
    return replace(problem, name="tiny/edges", data=graphs, dims=dims, checked=False)


def nodes_of_graphs_problem() -> Problem:
    """The same graphs; every node is asked whether it has more than one neighbour."""
    problem = graph_problem()
    graphs = []
    for graph in problem.data:
        degree = torch.bincount(graph.edge_index[1], minlength=graph.num_nodes)
        graph.y = (degree > 1).long()
        graphs.append(graph)
    task = NodesOfGraphs(num_classes=2)
    return replace(problem, name="tiny/nodes-of-graphs", data=graphs, task=task, checked=False)


def graph_problem_symbols() -> Problem:
    """The same graphs with symbols on nodes and edges; the answer is the number of nodes."""
    graphs = []
    for edges in shapes():
        place = torch.arange(int(edges.max()) + 1)
        graphs.append(
            Data(
                x=torch.stack([place % SYMBOLS[0], place % SYMBOLS[1]], dim=1),
                edge_index=edges,
                edge_attr=(edges.sum(dim=0) % BONDS[0])[:, None],
                y=torch.tensor([[float(len(place))]]),
            )
        )
    return Problem(
        name="tiny/symbols",
        data=graphs,
        split=thirds(),
        task=GraphRegression(),
        dims=Dims(in_channels=0, out_channels=1, node_symbols=SYMBOLS, edge_symbols=BONDS),
        batching=Graphs(batch_size=6),
    )


def stream_problem() -> Problem:
    """Twelve events, sources 0 to 2, destinations 3 to 6, one a second."""
    src = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
    dst = torch.tensor([3, 4, 5, 3, 4, 6, 3, 5, 5, 6, 4, 5])
    place = torch.arange(12)
    return Problem(
        name="tiny/stream",
        data=TemporalData(src=src, dst=dst, t=place, msg=place[:, None].float() / 12),
        split=Split(place[:6], place[6:9], place[9:]),
        task=TemporalLinkPrediction(),
        dims=Dims(in_channels=0, out_channels=1, edge_channels=1, num_nodes=7),
        batching=Events(RandomNegatives(3, 7, draws=3), batch_size=2),
    )
