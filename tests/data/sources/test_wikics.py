"""Wiki-CS: a hand-made file against PyG, and its merged masks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.datasets import WikiCS

from graphkit.data.catalogue import load_problem
from graphkit.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")


def _masks(place: int) -> list[list[bool]]:
    """Twenty masks over five nodes; in every second one the first two nodes change places."""
    return [[(node ^ (number % 2) if node < 2 else node) == place for node in range(5)]
            for number in range(20)]  # fmt: skip


def _place(root: Path, **changed: Any) -> Path:
    content = {
        "features": [[0.5, 1], [2, 3], [4, 5], [6, 7], [8, 9]],
        "labels": [0, 1, 2, 1, 0],
        "links": [[1, 2], [0], [], [3, 4, 4], []],
        "train_masks": _masks(0),
        "val_masks": _masks(1),
        "stopping_masks": _masks(2),
        "test_mask": [False, False, False, True, True],
    } | changed
    path = root / "wikics" / "raw" / "data.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return path


def test_it_is_what_pyg_reads(tmp_path: Path) -> None:
    path = _place(tmp_path / "root")
    shutil.copytree(path.parent, tmp_path / "pyg" / "raw")
    theirs = WikiCS(str(tmp_path / "pyg"), is_undirected=True)[0]
    mine = load_problem("wikics/fixed", tmp_path / "root").data
    assert torch.equal(mine.x, theirs.x)
    assert torch.equal(mine.y, theirs.y)
    assert sorted(mine.edge_index.t().tolist()) == theirs.edge_index.t().tolist()


def test_stopping_nodes_are_for_validation_and_the_test_part_is_shared(tmp_path: Path) -> None:
    _place(tmp_path)
    for seed, train, val in ((0, [0], [1, 2]), (21, [1], [0, 2])):
        split = load_problem("wikics/fixed", tmp_path, seed=seed).split
        parts = split.train.tolist(), split.val.tolist(), split.test.tolist()
        assert parts == (train, val, [3, 4])


@pytest.mark.parametrize(
    "changed",
    [
        {"features": [[1, 2], [3]]},
        {"features": [1, 2, 3, 4, 5]},
        {"labels": [0, 1]},
        {"labels": ["a"] * 5},
        {"links": [[1]]},
        {"links": [[9], [], [], [], []]},
        {"links": [["a"], [], [], [], []]},
        {"links": 7},
        {"train_masks": [[True]]},
        {"test_mask": None},
        {"features": None},
    ],
)
def test_content_that_does_not_fit_is_refused_by_name(tmp_path: Path, changed: Any) -> None:
    path = _place(tmp_path, **changed)
    with pytest.raises(DataError, match=str(path)):
        load_problem("wikics/fixed", tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, "\x00"])
def test_a_file_that_is_no_such_json_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = _place(tmp_path)
    path.write_text(content)
    with pytest.raises(DataError, match=str(path)):
        load_problem("wikics/fixed", tmp_path)
