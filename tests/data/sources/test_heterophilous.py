"""The heterophilous npz files: a hand-made one, and the real ones against PyG."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.datasets import HeterophilousGraphDataset

from graphkit.data.catalogue import load_problem
from graphkit.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")


def _place(root: Path, name: str, **changed: Any) -> Path:
    stem = name.replace("-", "_")
    folder = "heterophilous_filtered" if "filtered" in name else f"heterophilous/{stem}/raw"
    path = root / folder / f"{stem}.npz"
    path.parent.mkdir(parents=True)
    one = np.stack([np.roll(np.arange(4) == 0, number) for number in range(10)])
    arrays = {
        "node_features": np.arange(8, dtype=np.float32).reshape(4, 2),
        "node_labels": np.array([0, 1, 1, 0]),
        "edges": np.array([[0, 1], [2, 1]]),
        "train_masks": one,
        "val_masks": np.roll(one, 1, axis=1),
        "test_masks": np.roll(one, 2, axis=1),
    }
    np.savez(path, **(arrays | changed))
    return path


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("roman-empire", "accuracy"),
        ("amazon-ratings", "accuracy"),
        ("questions", "roc_auc"),
        ("squirrel-filtered", "accuracy"),
    ],
)
def test_a_graph_of_four_nodes(tmp_path: Path, name: str, metric: str) -> None:
    _place(tmp_path, name)
    problem = load_problem(f"{name}/fixed", tmp_path, seed=11)
    assert problem.data.x.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]  # as given
    assert sorted(problem.data.edge_index.t().tolist()) == [[0, 1], [1, 0], [1, 2], [2, 1]]
    parts = [problem.split.part(part).tolist() for part in ("train", "val", "test")]
    assert parts == [[1], [2], [3]]  # the second split
    assert problem.task.monitor == metric


@pytest.mark.parametrize(
    "changed",
    [
        {"edges": np.array([[0, 4]])},
        {"edges": np.array([[0, -1]])},
        {"edges": np.array([[0, 1, 2]])},
        {"edges": np.array([[0.5, 1]])},
        {"node_labels": np.array([0, 1, 1])},
        {"node_labels": np.array([0, 1, -2, 0])},
        {"node_features": np.full((4, 2), np.nan)},
        {"node_features": np.array("words")},
        {"train_masks": np.zeros((10, 4))},
        {"val_masks": np.ones((10, 4))},
        {"test_masks": np.ones((10, 5))},
        {"node_labels": np.array([{}] * 4, dtype=object)},
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path: Path, changed: Any) -> None:
    path = _place(tmp_path, "roman-empire", **changed)
    with pytest.raises(DataError, match=str(path)):
        load_problem("roman-empire/fixed", tmp_path)


@pytest.mark.data
@pytest.mark.parametrize("name", ["minesweeper", "tolokers"])
def test_the_real_files_read_as_pyg_reads_them(name: str, tmp_path: Path) -> None:
    raw = Path(os.environ["GRAPHKIT_DATA"]) / "heterophilous" / name / "raw"
    shutil.copytree(raw, tmp_path / name / "raw", copy_function=shutil.copyfile)
    theirs = HeterophilousGraphDataset(str(tmp_path), name)[0]
    problem = load_problem(f"{name}/fixed", seed=7)
    assert torch.equal(problem.data.x, theirs.x)
    assert torch.equal(problem.data.y, theirs.y)
    mine = problem.data.edge_index.flip(0)  # undirected: sorted by the other end it is the same
    assert torch.equal(mine, theirs.edge_index)
    assert torch.equal(problem.split.val, theirs.val_mask[:, 7].nonzero().flatten())
    assert problem.task.monitor == "roc_auc"
