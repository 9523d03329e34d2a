"""Hypergraphs: a hand-made file, joining, and what the real ones hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from graphkit.data.catalogue import load_problem
from graphkit.data.sources.hypergraphs import Hypergraph, read
from graphkit.errors import DataError


def _place(folder: Path, **changed: Any) -> Path:
    arrays = {
        "hyperedge_index": np.array([[0, 2, 1, 2], [0, 0, 5, 5]]),
        "x_indptr": np.array([0, 1, 3, 3]),
        "x_indices": np.array([1, 0, 1]),
        "x_data": np.ones(3, dtype=np.float32),
        "x_shape": np.array([3, 2]),
        "y": np.array([0, 1, 1]),
        "train_masks": np.eye(10, 3, dtype=bool),
        "test_masks": ~np.eye(10, 3, dtype=bool),
    }
    np.savez(folder / "h.npz", **(arrays | changed))
    return folder / "h.npz"


def test_nodes_and_hyperedges_are_read(tmp_path: Path) -> None:
    data, train, test = read(_place(tmp_path))
    assert data.num_nodes == 3
    assert data.x.tolist() == [[0, 1], [1, 1], [0, 0]]
    assert data.hyperedge_index.tolist() == [[0, 2, 1, 2], [0, 0, 5, 5]]  # more hyperedges: fine
    assert train[1].tolist() == [False, True, False]
    assert test.shape == (10, 3)
    assert data.get("edge_index") is None


def test_joined_hypergraphs_keep_their_hyperedges_apart() -> None:
    """The second graph's nodes start at 3, its hyperedges at 2."""
    members = torch.tensor([[0, 2, 1], [0, 0, 1]])
    graph = Hypergraph(x=torch.zeros(3, 1), hyperedge_index=members)
    joined = Batch.from_data_list([graph, graph])
    assert joined.hyperedge_index.tolist() == [[0, 2, 1, 3, 5, 4], [0, 0, 1, 2, 2, 3]]


@pytest.mark.parametrize(
    "changed",
    [
        {"hyperedge_index": np.array([[3], [0]])},
        {"hyperedge_index": np.array([[-1], [0]])},
        {"hyperedge_index": np.array([[0], [-1]])},
        {"hyperedge_index": np.array([[0], [2**40]])},
        {"hyperedge_index": np.array([0, 1])},
        {"train_masks": np.eye(10, 2, dtype=bool)},
        {"test_masks": np.zeros(3, dtype=bool)},
        {"x_shape": np.array([2, 3])},
        {"x_indices": np.array([1, 0, 2])},
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path: Path, changed: Any) -> None:
    path = _place(tmp_path, **changed)
    with pytest.raises(DataError, match=str(path)):
        read(path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "hyperedges", "inside"),
    [("cora-coauthorship", 1_072, 2_388), ("cora-cocitation", 1_579, 1_434)],
)
def test_the_real_hypergraphs(name: str, hyperedges: int, inside: int) -> None:
    problem = load_problem(f"{name}/fixed", seed=12)
    node, hyperedge = problem.data.hyperedge_index
    assert len(hyperedge.unique()) == hyperedges
    assert len(node.unique()) == inside
    sums = problem.data.x.sum(dim=1)
    assert bool((torch.isclose(sums, torch.ones(())) | (sums == 0)).all())
    assert isinstance(problem.data, Hypergraph)


@pytest.mark.data
def test_validation_comes_out_of_the_published_test_part() -> None:
    """Seeds 1 and 11 share the training nodes of split 1 and differ in what they validate on."""
    first, other = (load_problem("cora-coauthorship/fixed", seed=seed).split for seed in (1, 11))
    assert torch.equal(first.train, other.train)
    assert not torch.equal(first.val, other.val)
    assert first.sizes() == {"train": 140, "val": 500, "test": 2_068, "hidden": 0}


@pytest.mark.data
def test_hidden_nodes_leave_with_their_memberships() -> None:
    problem = load_problem("cora-cocitation/production", seed=3)
    blind = problem.blind()
    gone = len(problem.split.hidden)
    assert blind.num_items == problem.num_items - gone
    node = problem.data.hyperedge_index[0]
    lost = int(torch.isin(node, problem.split.hidden).sum())
    assert blind.data.hyperedge_index.shape[1] == problem.data.hyperedge_index.shape[1] - lost
