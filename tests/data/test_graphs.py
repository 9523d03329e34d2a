"""Joined graphs equal PyG's batches, field by field."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from graphkit.data import GraphSet
from graphkit.errors import DataError


def some_graphs() -> list[Data]:
    torch.manual_seed(0)
    return [
        Data(
            x=torch.randn(n, 3),
            edge_index=torch.randint(0, n, (2, 2 * n)),
            edge_attr=torch.randn(2 * n, 2),
            pair_index=torch.randint(0, n, (2, 1)),
            y=torch.tensor([float(n)]),
            number=n,
        )
        for n in (1, 4, 2, 7, 3)
    ]


def without_numbers(graphs: list[Data]) -> list[Data]:
    for graph in graphs:
        graph.number = torch.tensor([graph.number])
    return graphs


@pytest.mark.parametrize("numbers", [[0], [3, 1], [4, 4, 0], [0, 1, 2, 3, 4]])
def test_batch_equals_pygs(numbers: list[int]) -> None:
    graphs = without_numbers(some_graphs())
    ours = GraphSet.of(graphs).batch(torch.tensor(numbers))
    theirs = Batch.from_data_list([graphs[n] for n in numbers])
    for key in ("x", "edge_index", "edge_attr", "pair_index", "y", "batch", "ptr", "number"):
        assert torch.equal(ours[key], theirs[key]), key
    assert ours.num_graphs == theirs.num_graphs
    assert ours.num_nodes == theirs.num_nodes


def test_items_come_back_as_they_went_in() -> None:
    graphs = without_numbers(some_graphs())
    joined = GraphSet.of(graphs)
    for before, after in zip(graphs, joined, strict=True):
        assert all(torch.equal(before[key], after[key]) for key in before.keys())  # noqa: SIM118
    assert joined[-1].num_nodes == 3
    assert [g.num_nodes for g in joined[1:3]] == [4, 2]
    with pytest.raises(IndexError):
        joined[5]


def test_a_field_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(DataError, match="'number' of a graph is not a tensor"):
        GraphSet.of(some_graphs())
    with pytest.raises(DataError, match="holds no graph"):
        GraphSet.of([])


def test_an_empty_graph_keeps_its_place() -> None:
    graphs = [Data(x=torch.ones(n, 1), edge_index=torch.empty(2, 0).long()) for n in (2, 0, 1)]
    batch = GraphSet.of(graphs).batch(torch.arange(3))
    assert batch.num_graphs == 3
    assert batch.batch.tolist() == [0, 0, 2]
