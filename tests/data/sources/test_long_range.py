"""Peptides and superpixels, from hand-made files in their format."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from graphkit.data.sources import long_range
from graphkit.errors import DamagedFile, DataError, UnknownName
from graphkit.tasks import GraphRegression, MultilabelGraphs, NodesOfGraphs

EDGES = torch.tensor([[0, 1], [1, 0]])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def _write(root: Path, name: str, ending: str, content: dict[str, Any]) -> None:
    folder = root / "lrgb" / name / "raw"
    folder.mkdir(parents=True)
    for part, graphs in content.items():
        path = folder / f"{part}.{ending}"
        if ending == "pt":
            torch.save(graphs, path)
        else:
            path.write_bytes(pickle.dumps(graphs))


def _peptide(width: int) -> tuple[torch.Tensor, ...]:
    return torch.zeros(2, 9).long(), torch.ones(2, 3).long(), EDGES, torch.ones(1, width)


@pytest.mark.parametrize(
    ("name", "width", "task", "monitor"),
    [
        ("peptides-func", 10, MultilabelGraphs, "average_precision"),
        ("peptides-struct", 11, GraphRegression, "mae"),
    ],
)
def test_peptides_are_atoms_and_bonds(
    root: Path, name: str, width: int, task: type, monitor: str
) -> None:
    counts = {"train": 1, "val": 2, "test": 3}
    _write(root, name, "pt", {part: [_peptide(width)] * n for part, n in counts.items()})
    problem = long_range.long_range(root, 0, name)
    assert type(problem.task) is task
    assert problem.task.monitor == monitor
    assert problem.split.sizes() == counts | {"hidden": 0}
    assert problem.data.joined.y.shape == (6, width)
    assert problem.dims.edge_symbols == (5, 6, 2)


@pytest.mark.parametrize(
    ("name", "labels", "classes"),
    [("pascalvoc-sp", [20, 0], [20, 0]), ("coco-sp", [90, 13], [80, 12])],
)
def test_superpixels_have_classes(
    root: Path, name: str, labels: list[int], classes: list[int]
) -> None:
    """The numbers of COCO's classes have gaps: 90 is the 81st, 13 comes after 11."""
    graph = (torch.ones(2, 14, dtype=torch.float64), torch.ones(2, 2), EDGES, labels)
    _write(root, name, "pickle", {part: [graph] for part in ("train", "val", "test")})
    problem = long_range.long_range(root, 0, name)
    assert isinstance(problem.task, NodesOfGraphs)
    assert problem.task.monitor == "macro_f1"
    assert problem.data[0].y.tolist() == classes
    assert problem.data[0].x.dtype == torch.float32
    assert (problem.dims.in_channels, problem.dims.edge_channels) == (14, 2)


def test_files_of_another_form_are_refused(root: Path) -> None:
    _write(root, "peptides-func", "pt", {part: [1, 2] for part in ("train", "val", "test")})
    with pytest.raises(DataError, match=r"train\.pt"):
        long_range.long_range(root, 0, "peptides-func")
    _write(root, "pascalvoc-sp", "pickle", {part: Path() for part in ("train", "val", "test")})
    with pytest.raises(DamagedFile, match=r"train\.pickle"):
        long_range.long_range(root, 0, "pascalvoc-sp")
    with pytest.raises(UnknownName, match="did you mean 'coco-sp'"):
        long_range.long_range(root, 0, "coco")
