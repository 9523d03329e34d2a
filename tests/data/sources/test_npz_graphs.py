"""The npz collection: hand-made graphs against PyG's reader, the component, and the split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.io import read_npz

from graphkit.data.catalogue import load_problem
from graphkit.data.sources.npz_graphs import PLACES, largest_component, read_graph
from graphkit.errors import DataError

SIDE = 60  # nodes of each class in the large component


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")


def _arrays() -> dict[str, Any]:
    """Nodes 0 to 2 a triangle with a self-loop, then a path of 120 nodes, then one alone."""
    count = 3 + 2 * SIDE + 1
    path = [(node, node + 1) for node in range(3, 2 + 2 * SIDE)]
    row, column = zip(*[(0, 1), (1, 0), (1, 2), (2, 0), (0, 0), *path], strict=True)
    adj = sp.csr_matrix((np.full(len(row), 2.0), (row, column)), (count, count))
    attr = sp.csr_matrix(np.stack([np.arange(count) % 4, np.arange(count) % 2 * 0.5], axis=1))
    arrays = {"labels": (np.arange(count) % 2).astype(np.int8), "node_names": np.array(["a", "b"])}
    for key, matrix in (("adj", adj), ("attr", attr)):
        for part in ("data", "indices", "indptr", "shape"):
            arrays[f"{key}_{part}"] = np.array(getattr(matrix, part))
    return arrays


def _place(root: Path, name: str, **changed: Any) -> Path:
    path = root / PLACES[name]
    path.parent.mkdir(parents=True)
    np.savez(path, **(_arrays() | changed))
    return path


def test_the_graph_is_what_pyg_reads(tmp_path: Path) -> None:
    path = _place(tmp_path, "amazon-photo")
    mine, theirs = read_graph(path, binary=True), read_npz(str(path))
    assert torch.equal(mine.x, theirs.x)
    assert torch.equal(mine.y, theirs.y)
    assert torch.equal(mine.edge_index, theirs.edge_index)
    assert read_graph(path, binary=False).x[3].tolist() == [3.0, 0.5]


def test_the_largest_component_keeps_rows_classes_and_links(tmp_path: Path) -> None:
    data = largest_component(read_graph(_place(tmp_path, "amazon-photo"), binary=False))
    assert data.num_nodes == 2 * SIDE
    assert data.x[:2].tolist() == [[3.0, 0.5], [0.0, 0.0]]  # those of nodes 3 and 4
    assert data.y[:2].tolist() == [1, 0]
    assert data.edge_index.shape[1] == 2 * (2 * SIDE - 1)
    assert bool((data.edge_index.diff(dim=0).abs() == 1).all())  # still a path


@pytest.mark.parametrize("name", ["amazon-computers", "amazon-photo"])
def test_amazon_is_reduced_before_the_split(tmp_path: Path, name: str) -> None:
    """20 and 30 of each class, numbered within the component: balanced, and up to its end."""
    _place(tmp_path, name)
    problem = load_problem(f"{name}/shchur", tmp_path, seed=3)
    assert problem.num_items == 2 * SIDE
    assert problem.split.sizes() == {"train": 40, "val": 60, "test": 20, "hidden": 0}
    assert problem.data.y[problem.split.train].bincount().tolist() == [20, 20]
    assert problem.data.y[problem.split.val].bincount().tolist() == [30, 30]
    everything = torch.cat([problem.split.train, problem.split.val, problem.split.test])
    assert sorted(everything.tolist()) == list(range(2 * SIDE))


@pytest.mark.parametrize("name", ["coauthor-cs", "coauthor-physics"])
def test_coauthor_keeps_all_nodes(tmp_path: Path, name: str) -> None:
    _place(tmp_path, name)
    problem = load_problem(f"{name}/shchur", tmp_path)
    assert problem.num_items == 2 * SIDE + 4
    assert problem.data.x.unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": np.zeros(5, int)},
        {"labels": np.zeros((124, 2), int)},
        {"labels": np.zeros(124)},
        {"adj_indices": np.full(124, 999)},
        {"adj_shape": np.array([124, 99])},
        {"adj_shape": np.array([124])},
        {"attr_indptr": np.zeros(3, int)},
        {"attr_data": np.array(["a"] * 3)},
        {"labels": np.array([{}], dtype=object)},
        {"labels": np.arange(124) % 50},  # too few of a class
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path: Path, changed: Any) -> None:
    path = _place(tmp_path, "coauthor-cs", **changed)
    with pytest.raises(DataError, match=str(path)):
        load_problem("coauthor-cs/shchur", tmp_path)
