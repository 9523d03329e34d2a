"""Two small graphs, written as joined arrays in the wrong order."""

from __future__ import annotations

import pytest
import torch

from graphkit.data.sources.joined import check_symbols, graph_set, in_order, numbered_through
from graphkit.errors import DataError

SIZES = torch.tensor([2, 0, 3])
EDGES = torch.tensor([[4, 0, 2, 1, 3], [2, 1, 4, 0, 2]])


def test_graphs_are_cut_and_their_edges_sorted() -> None:
    """Edge fields follow their edge: 4->2 was the first, and is the last of its destination."""
    number = torch.arange(5)
    graphs = graph_set(
        SIZES,
        EDGES,
        nodes={"x": torch.arange(5.0)[:, None]},
        edges={"edge_attr": number},
        graphs={"y": torch.tensor([7, 8, 9])},
    )
    first, empty, last = graphs
    assert first.edge_index.tolist() == [[1, 0], [0, 1]]
    assert first.edge_attr.tolist() == [3, 1]
    assert empty.num_nodes == 0
    assert empty.edge_index.shape == (2, 0)
    assert last.edge_index.tolist() == [[1, 2, 0], [0, 0, 2]]
    assert last.edge_attr.tolist() == [4, 0, 2]
    assert last.x.flatten().tolist() == [2.0, 3.0, 4.0]
    assert [graph.y.item() for graph in graphs] == [7, 8, 9]


def test_edges_of_each_graph_are_numbered_through() -> None:
    edges = [torch.tensor([[1], [0]]), torch.empty(2, 0), torch.tensor([[2, 1], [0, 0]])]
    assert numbered_through(edges, SIZES).tolist() == [[1, 4, 3], [0, 2, 2]]


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ([[0], [5]], "an edge names node 5; there are 5 nodes"),
        ([[-1], [0]], "an edge names node -1"),
        ([[0], [3]], "from node 0 of graph 0 to node 3 of graph 2"),
    ],
)
def test_edges_outside_a_graph_are_refused(edges: list[list[int]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        graph_set(SIZES, torch.tensor(edges))


def test_fields_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="x has 4 rows; expected one per node, 5"):
        graph_set(SIZES, EDGES, nodes={"x": torch.zeros(4, 1)})
    with pytest.raises(DataError, match="y has 2 rows; expected one per graph, 3"):
        graph_set(SIZES, EDGES, graphs={"y": torch.zeros(2)})


def test_parts_in_order() -> None:
    split = in_order(2, 1, 3)
    assert [part.tolist() for part in (split.train, split.val, split.test)] == [
        [0, 1],
        [2],
        [3, 4, 5],
    ]


def test_symbols_out_of_range_are_refused() -> None:
    check_symbols(torch.tensor([[0, 1], [2, 0]]), (3, 2), "x")
    with pytest.raises(DataError, match=r"x\[1, 0\] = 2 is no symbol; expected 0 <= symbol < 2"):
        check_symbols(torch.tensor([[0, 1], [2, 0]]), (2, 2), "x")
    with pytest.raises(DataError, match="x has 2 columns; expected 1"):
        check_symbols(torch.tensor([[0, 1]]), (2,), "x")
