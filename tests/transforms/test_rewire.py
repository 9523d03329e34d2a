"""The full graph against a double loop."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from graphkit.errors import DataError
from graphkit.transforms.encodings import LaplacianPE
from graphkit.transforms.rewire import ToFullGraph, full_edges

NONE = torch.empty(2, 0, dtype=torch.long)


def all_pairs(sizes: list[int]) -> list[tuple[int, int]]:
    pairs, first = [], 0
    for size in sizes:
        block = range(first, first + size)
        pairs += [(j, i) for i in block for j in block if i != j]
        first += size
    return pairs


@pytest.mark.parametrize("sizes", [[4], [1], [0], [3, 1, 0, 5, 2], [0, 0], [1, 1]])
def test_every_ordered_pair_within_a_graph_once(sizes: list[int]) -> None:
    found = full_edges(torch.tensor(sizes))
    assert found.dtype == torch.long
    assert list(map(tuple, found.t().tolist())) == all_pairs(sizes)  # by destination, then source


def test_one_graph_and_a_batch() -> None:
    graphs = [
        Data(x=torch.ones(n, 1), edge_index=torch.zeros(2, 1).long(), edge_attr=torch.ones(1, 2))
        for n in (3, 2)
    ]
    one = ToFullGraph()(graphs[0].clone())
    assert one.edge_index.shape == (2, 6)
    batch = ToFullGraph()(Batch.from_data_list(graphs))
    assert list(map(tuple, batch.edge_index.t().tolist())) == all_pairs([3, 2])
    assert torch.equal(batch.edge_attr, torch.zeros(8, 2))


@pytest.mark.parametrize("kind", [torch.long, torch.float32])
def test_edges_are_of_type_zero_and_what_described_the_old_ones_is_gone(kind: torch.dtype) -> None:
    data = Data(
        x=torch.ones(4, 1), edge_index=torch.tensor([[0, 1], [1, 2]]),
        edge_attr=torch.tensor([[3], [2]], dtype=kind), edge_weight=torch.ones(2),
    )  # fmt: skip
    full = ToFullGraph()(data)
    assert full.edge_attr.dtype == kind
    assert full.edge_attr.tolist() == [[0]] * 12
    assert "edge_weight" not in full
    bare = ToFullGraph()(Data(x=torch.ones(2, 1), edge_index=NONE))
    assert "edge_attr" not in bare


def test_places_are_those_of_the_given_graph() -> None:
    ends = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    data = LaplacianPE(2)(Data(edge_index=ends, num_nodes=3))
    kept = data.pe.clone()
    assert torch.equal(ToFullGraph()(data).pe, kept)


def test_too_many_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="have 399,980,000 edges"):
        ToFullGraph()(Data(edge_index=NONE, num_nodes=20_000))
