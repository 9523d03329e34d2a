"""Planted motifs: a hand-made file, and the true links of the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphkit.data.catalogue import load_problem
from graphkit.data.sources.motifs import read
from graphkit.data.sources.node_problem import node_problem
from graphkit.errors import DataError


def _place(folder: Path, **changed: Any) -> Path:
    arrays = {
        "edge_index": np.array([[0, 1, 2, 1], [1, 0, 1, 2]]),
        "edge_gt": np.array([0, 0, 0, 1], dtype=np.int8),  # one of the two directions
        "x": np.ones((3, 10), dtype=np.float32),
        "y": np.array([0, 1, 1]),
        "train_mask": np.array([True, False, False]),
        "val_mask": np.array([False, True, False]),
        "test_mask": np.array([False, False, True]),
    }
    np.savez(folder / "m.npz", **(arrays | changed))
    return folder / "m.npz"


def test_the_truth_is_marked_both_ways_and_follows_its_edge(tmp_path: Path) -> None:
    data = node_problem("m/fixed", *read(_place(tmp_path))).data
    assert data.edge_index.tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]
    assert data.edge_gt.tolist() == [0, 0, 1, 1]
    truth = {tuple(edge) for edge in data.edge_index[:, data.edge_gt == 1].t().tolist()}
    assert truth == {(1, 2), (2, 1)}


@pytest.mark.parametrize(
    "changed",
    [
        {"edge_gt": np.zeros(3, dtype=np.int8)},
        {"train_mask": np.zeros(4, dtype=bool)},
        {"x": np.array("words")},
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path: Path, changed: Any) -> None:
    path = _place(tmp_path, **changed)
    with pytest.raises(DataError, match=str(path)):
        read(path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "links"),
    [("ba-shapes", 480), ("ba-community", 960), ("tree-cycles", 360), ("tree-grid", 960)],
)
def test_the_real_motifs_join_nodes_of_the_motif_classes(name: str, links: int) -> None:
    """Class 0 (and 4, in the second community) is the base graph: no motif link ends there."""
    data = load_problem(f"{name}/fixed").data
    motif = data.edge_index[:, data.edge_gt == 1]
    assert motif.shape[1] == 2 * links
    assert not bool((data.y[motif] % 4 == 0).any())
    both = {tuple(edge) for edge in motif.t().tolist()}
    assert both == {(end, start) for start, end in both}
