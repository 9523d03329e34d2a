"""PyG's own loader over a store gives the batches it gives in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import EdgeAttr, TensorAttr
from torch_geometric.data.graph_store import EdgeLayout
from torch_geometric.loader import NodeLoader

from graphkit.data.sampler import Csc, SeededNeighbors
from graphkit.errors import SettingError
from graphkit.ooc.feature_store import DiskFeatureStore, DiskGraphStore
from graphkit.ooc.rows import Lru, OnDisk
from tests.ooc.graphs import random_problem, store_of


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_same_batches_as_in_memory(tmp_path: Path, in_memory: bool) -> None:
    problem = random_problem()
    store = store_of(problem, tmp_path / "store")
    features = DiskFeatureStore(store, Lru(OnDisk(store), 500))
    graph = DiskGraphStore(store, in_memory)
    seeds = problem.split.train[:200]
    held = NodeLoader(
        problem.data,
        SeededNeighbors(Csc.of(problem.data.edge_index, 3000), (4, 3), seed=1),
        input_nodes=seeds,
        batch_size=64,
    )
    read = NodeLoader(
        (features, graph),
        SeededNeighbors(graph.csc, (4, 3), seed=1),
        input_nodes=seeds,
        batch_size=64,
    )
    count = 0
    for ours, theirs in zip(read, held, strict=True):
        count += 1
        for name in ("x", "y", "edge_index", "n_id", "e_id", "input_id"):
            assert torch.equal(ours[name], theirs[name]), name
        assert ours.num_sampled_nodes == theirs.num_sampled_nodes
        assert ours.batch_size == theirs.batch_size
        assert ours.num_nodes == theirs.num_nodes
    assert count == 4


def test_single_tensors(tmp_path: Path) -> None:
    problem = random_problem(50, 100, 3)
    store = store_of(problem, tmp_path / "store")
    features, graph = DiskFeatureStore(store), DiskGraphStore(store)
    for index, expected in (
        (None, slice(None)),
        (slice(2, 9, 3), slice(2, 9, 3)),
        (torch.tensor([4, 1]), torch.tensor([4, 1])),
        (torch.arange(50) % 2 == 0, torch.arange(50) % 2 == 0),
    ):
        attr = TensorAttr(None, "x", index)
        assert torch.equal(features.get_tensor(attr), problem.data.x[expected])
    assert features.get_tensor_size(TensorAttr(None, "x", None)) == (50, 3)
    assert features.get_tensor(TensorAttr(None, "z", None)) is None
    first, again = features.get_all_tensor_attrs(), features.get_all_tensor_attrs()
    assert first[0] is not again[0]
    row, colptr = graph.get_edge_index(graph.get_all_edge_attrs()[0])
    expected_csc = Csc.of(problem.data.edge_index, 50)
    assert torch.equal(row, expected_csc.row)
    assert torch.equal(colptr, expected_csc.colptr)
    with pytest.raises(KeyError):
        graph.get_edge_index(EdgeAttr(None, EdgeLayout.COO))
    with pytest.raises(SettingError, match="read-only"):
        features.put_tensor(torch.zeros(50, 3), TensorAttr(None, "x", None))
    with pytest.raises(SettingError, match="read-only"):
        graph.put_edge_index((row, colptr), graph.get_all_edge_attrs()[0])
