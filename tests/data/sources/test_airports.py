"""Airports: hand-made files, and the real ones against PyG."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from torch_geometric.datasets import Airports

from graphkit.data.catalogue import load_problem
from graphkit.data.sources.airports import read
from graphkit.errors import DataError


def test_airports_are_numbered_in_the_order_of_their_classes(tmp_path: Path) -> None:
    links, classes = tmp_path / "links", tmp_path / "classes"
    classes.write_text("node label\n300 2\n100 0\n200 1\n")
    links.write_text("100 200\n300 100\n100 200\n")
    data = read(links, classes)
    assert data.y.tolist() == [2, 0, 1]
    assert sorted(data.edge_index.t().tolist()) == [[0, 1], [1, 2]]
    assert torch.equal(data.x, torch.eye(3))


@pytest.mark.parametrize(
    ("links", "classes"),
    [
        ("", "h\n1 0\n2 1\n"),
        ("1 2\n", ""),
        ("1 3\n", "h\n1 0\n2 1\n"),  # an airport without a class
        ("1 2 1\n", "h\n1 0\n2 1\n"),
        ("1 x\n", "h\n1 0\n2 1\n"),
        ("1 2\n", "h\n1 0\n1 1\n"),
        ("1 2\n", "h\n1\n2\n"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, links: str, classes: str
) -> None:
    (tmp_path / "links").write_text(links)
    (tmp_path / "classes").write_text(classes)
    with pytest.raises(DataError, match=str(tmp_path)):
        read(tmp_path / "links", tmp_path / "classes")


@pytest.mark.data
@pytest.mark.parametrize("name", ["usa", "brazil", "europe"])
def test_the_real_files_read_as_pyg_reads_them(name: str, tmp_path: Path) -> None:
    raw = Path(os.environ["GRAPHKIT_DATA"]) / "airports" / name / "raw"
    shutil.copytree(raw, tmp_path / name / "raw", copy_function=shutil.copyfile)
    theirs = Airports(str(tmp_path), name)[0]
    mine = load_problem(f"airports-{name}/random").data
    assert torch.equal(mine.x, theirs.x)
    assert torch.equal(mine.y, theirs.y)
    assert sorted(mine.edge_index.t().tolist()) == theirs.edge_index.t().tolist()
