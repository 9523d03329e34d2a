"""Molecules by hand in the format of each set, and the real ones by their published means."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphkit.data.sources import molecules
from graphkit.errors import DataError, UnknownName


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return tmp_path


def _molecule(atoms: list[int], bonds: list[tuple[int, int, int]], y: float) -> dict[str, Any]:
    matrix = torch.zeros(len(atoms), len(atoms), dtype=torch.int8)
    for one, other, kind in bonds:
        matrix[one, other] = matrix[other, one] = kind
    return {
        "num_atom": len(atoms),
        "atom_type": torch.tensor(atoms, dtype=torch.int8),
        "bond_type": matrix,
        "logP_SA_cycle_normalized": torch.tensor([y]),
    }


WATERLESS = _molecule([0, 3, 27], [(0, 1, 1), (1, 2, 2)], 0.5)
LONE = _molecule([5], [], -1.0)
PAIR = _molecule([1, 2], [(0, 1, 3)], 2.0)


def _write_zinc(root: Path, train: list[dict[str, Any]], index: str) -> None:
    folder = root / "zinc" / "raw"
    folder.mkdir(parents=True)
    for part, content in (("train", train), ("val", [PAIR, LONE]), ("test", [PAIR])):
        (folder / f"{part}.pickle").write_bytes(pickle.dumps(content, 2))
        (folder / f"{part}.index").write_text(index if part == "train" else "0\n")


def test_zinc_takes_the_molecules_of_the_list(root: Path) -> None:
    _write_zinc(root, [PAIR, WATERLESS, LONE], "1,2\n")
    problem = molecules.zinc(root, 0, "zinc", "subset")
    assert problem.split.sizes() == {"train": 2, "val": 1, "test": 1, "hidden": 0}
    first, second, third, _ = problem.data
    assert first.x.tolist() == [[0], [3], [27]]
    assert first.edge_index.tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]
    assert first.edge_attr.tolist() == [[1], [1], [2], [2]]
    assert first.y.tolist() == [[0.5]]
    assert (second.num_nodes, second.edge_index.shape[1]) == (1, 0)
    assert third.edge_attr.tolist() == [[3], [3]]
    assert (problem.dims.node_symbols, problem.dims.edge_symbols) == ((28,), (4,))
    assert molecules.zinc(root, 0, "zinc", "full").split.sizes()["train"] == 3


def test_reading_in_pieces_changes_nothing() -> None:
    read = pickle.loads  # the real thing: these are our own
    made = [
        {
            key: _Kept(value) if isinstance(value, torch.Tensor) else value
            for key, value in read(pickle.dumps(one)).items()
        }
        for one in (PAIR, WATERLESS, LONE, PAIR, WATERLESS)
    ]
    whole = molecules._from_matrices(made)
    pieces = molecules._from_matrices(made, at_once=2)
    for name, value in whole.joined.to_dict().items():
        assert torch.equal(pieces.joined[name], value), name


class _Kept:
    def __init__(self, value: torch.Tensor) -> None:
        self.value = value

    def tensor(self) -> torch.Tensor:
        return self.value


@pytest.mark.parametrize(
    ("train", "index", "said"),
    [
        ([PAIR], "7\n", r"train\.index"),
        ([PAIR], "one\n", r"train\.index"),
        ([_molecule([28, 0], [], 1.0)], "0\n", r"x .*\[0, 0\] = 28 is no symbol"),
        ([PAIR | {"bond_type": torch.zeros(3, 3)}], "0\n", "not square with a row per atom"),
        ([{}], "0\n", "zinc/raw"),
    ],
)
def test_zinc_files_that_do_not_fit_are_refused(
    root: Path, train: list[dict[str, Any]], index: str, said: str
) -> None:
    _write_zinc(root, train, index)
    with pytest.raises(DataError, match=said):
        molecules.zinc(root, 0, "zinc", "subset")


def test_aqsol_leaves_out_molecules_without_a_bond(root: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(molecules, "AQSOL_SHA256", dict.fromkeys(("train", "val", "test")))
    bonded = (np.array([1, 64]), np.array([2, 2]), np.array([[0, 1], [1, 0]]), 0.25)
    lone = (np.array([0]), np.array([], dtype=np.int64), np.empty((2, 0), dtype=np.int64), 1.0)
    folder = root / "aqsol_original" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "val", "test"):
        (folder / f"{part}.pickle").write_bytes(pickle.dumps([lone, bonded]))
    problem = molecules.aqsol(root, 0, "aqsol", "original")
    assert problem.split.sizes() == {"train": 1, "val": 1, "test": 1, "hidden": 0}
    assert problem.data[0].x.tolist() == [[1], [64]]
    assert problem.data[0].edge_attr.tolist() == [[2], [2]]
    assert problem.data[0].y.tolist() == [[0.25]]


def test_unknown_names_are_told() -> None:
    with pytest.raises(UnknownName, match="did you mean 'zinc'"):
        molecules.files("zink")


@pytest.mark.data
def test_zinc_equals_pyg_on_the_validation_part(tmp_path: Path) -> None:
    """PyG reads all parts before it gives one: here the validation file stands for each."""
    from torch_geometric.datasets import ZINC

    raw = Path(os.environ["GRAPHKIT_DATA"]) / "zinc_rebuilt" / "raw"
    (tmp_path / "raw").mkdir()
    for part in ("train", "val", "test"):
        for kind in ("pickle", "index"):
            shutil.copyfile(raw / f"val.{kind}", tmp_path / "raw" / f"{part}.{kind}")
    theirs = ZINC(str(tmp_path), subset=True, split="val")
    problem = molecules.zinc(None, 0, "zinc", "subset-rebuilt")
    ours = problem.data.keep(problem.split.val)
    assert len(ours) == len(theirs) == 1_000
    for mine, other in zip(ours, theirs, strict=True):
        order = (other.edge_index[1] * other.num_nodes + other.edge_index[0]).argsort()
        assert torch.equal(mine.edge_index, other.edge_index[:, order])
        assert torch.equal(mine.edge_attr[:, 0], other.edge_attr[order])
        assert torch.equal(mine.x, other.x)
        assert torch.equal(mine.y[0], other.y)
    for part, count in (("train", 10_000), ("val", 1_000), ("test", 1_000)):
        assert len(problem.split.part(part)) == count
    assert problem.data.num_nodes.double().mean().item() == pytest.approx(23.09, abs=0.005)
    assert problem.data.joined.num_edges / 12_000 == pytest.approx(49.65, abs=0.01)


@pytest.mark.data
def test_aqsol_has_the_means_of_its_parts() -> None:
    problem = molecules.aqsol(None, 0, "aqsol")
    expected = {
        "train": (7_836, 15.42, 30.66),
        "val": (998, 23.49, 50.76),
        "test": (999, 28.66, 61.13),
    }
    for part, (count, nodes, edges) in expected.items():
        graphs = problem.data.keep(problem.split.part(part))
        assert len(graphs) == count
        assert graphs.num_nodes.double().mean().item() == pytest.approx(nodes, abs=0.005)
        assert graphs.joined.num_edges / count == pytest.approx(edges, abs=0.005)
