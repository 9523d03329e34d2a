"""Geom-GCN's text files: hand-made pages and words, and the real ones against PyG."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.datasets import Actor, WebKB, WikipediaNetwork

from graphkit.data.catalogue import load_problem
from graphkit.data.sources.geom_gcn import FOLDERS, read_pages, read_words
from graphkit.errors import DataError

PAGES = "node_id\tfeature\tlabel\n1\t0,1,1\t2\n0\t1,0,0\t0\n3\t0,0,0\t1\n2\t0,1,0\t0\n"
LINKS = "node_id\tnode_id\n0\t1\n0\t1\n3\t3\n2\t0\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")


def _root(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / "root" / FOLDERS[name]
    folder.mkdir(parents=True)
    (folder / "out1_node_feature_label.txt").write_text(PAGES)
    (folder / "out1_graph_edges.txt").write_text(LINKS)
    for number in range(10):
        masks = np.roll(np.eye(4, dtype=np.uint8), number, axis=1)
        np.savez(
            folder / f"{name}_split_0.6_0.2_{number}.npz",
            train_mask=masks[0],
            val_mask=masks[1],
            test_mask=masks[2],
        )
    return tmp_path / "root"


@pytest.mark.parametrize("name", ["cornell", "squirrel"])
def test_rows_go_where_their_number_says(tmp_path: Path, name: str) -> None:
    problem = load_problem(f"{name}/geom-gcn", _root(tmp_path, name), seed=13)
    assert problem.data.x.tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert problem.data.y.tolist() == [0, 2, 0, 1]
    links = sorted(problem.data.edge_index.t().tolist())
    assert links == [[0, 1], [2, 0], [3, 3]]  # once each, in the direction of the file
    assert problem.split.train.tolist() == [3]  # split 3 of 0 to 9
    assert problem.dims.out_channels == 3


def test_words_are_set_where_their_number_says(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("node_id\tfeature\tlabel\n2\t0,3\t1\n0\t3\t4\n1\t1\t0\n")
    x, y = read_words(path)
    assert x.tolist() == [[0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 1]]
    assert y.tolist() == [4, 0, 1]


@pytest.mark.parametrize("read", [read_pages, read_words])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "heading",
        "heading\n",
        "h\n0\t1,0\n",
        "h\n0\t1,0\t1\t1\n",
        "h\n0\t1,0\t1\n\n",
        "h\n0\t1,0\t1\n0\t1,1\t1\n",  # a node twice
        "h\n0\t1,0\t1\n2\t1,1\t1\n",  # a node is missing
        "h\n0\t1,a\t1\n",
        "h\n0\t1,1\ta\n",
        "h\n0\té\t1\n",
    ],
)
def test_tables_that_are_none_are_refused_by_name(
    tmp_path: Path, text: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "table"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=str(path)):
        read(path)


def test_rows_of_two_widths_and_words_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("h\n0\t1,0\t1\n1\t1\t1\n")
    with pytest.raises(DataError, match=str(path)):
        read_pages(path)
    for word in (-1, 99_999_999_999):
        path.write_text(f"h\n0\t1,{word}\t1\n")
        with pytest.raises(DataError, match=str(path)):
            read_words(path)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\x00\xff\n1\t2\n", b"h\n7\t1\n"])
def test_damaged_files_are_refused_by_name(tmp_path: Path, place: int, content: bytes) -> None:
    root = _root(tmp_path, "cornell")
    names = ("out1_node_feature_label.txt", "out1_graph_edges.txt", "cornell_split_0.6_0.2_0.npz")
    path = root / FOLDERS["cornell"] / names[place]
    path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        load_problem("cornell/geom-gcn", root)


def test_crocodile_has_fifths_of_the_traffic_as_classes(tmp_path: Path) -> None:
    path = tmp_path / "wikipedia_network" / "crocodile" / "raw" / "crocodile.npz"
    path.parent.mkdir(parents=True)
    target = np.array([50.0, 3, 3, 20, 11, 90, 80, 31, 70, 61])
    np.savez(path, features=np.eye(10), edges=np.array([[0, 1], [1, 2]]), target=target)
    problem = load_problem("crocodile/random", tmp_path)
    assert problem.data.y.tolist() == [2, 0, 0, 1, 1, 4, 4, 2, 3, 3]  # equal traffic, one class
    assert problem.split.sizes() == {"train": 6, "val": 2, "test": 2, "hidden": 0}
    path.write_bytes(path.read_bytes()[:-100])
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(DataError, match=str(path)):
        load_problem("crocodile/random", tmp_path)


@pytest.mark.data
@pytest.mark.parametrize("name", ["texas", "wisconsin", "chameleon", "actor"])
def test_the_real_files_read_as_pyg_reads_them(name: str, tmp_path: Path) -> None:
    raw = Path(os.environ["GRAPHKIT_DATA"]) / FOLDERS[name]
    place = tmp_path / FOLDERS[name]
    shutil.copytree(raw, place, copy_function=shutil.copyfile)
    if name == "actor":
        theirs = Actor(str(place.parent))[0]
    elif name == "chameleon":
        theirs = WikipediaNetwork(str(tmp_path / "wikipedia_network"), name)[0]
    else:
        theirs = WebKB(str(tmp_path / "webkb"), name)[0]
    problem = load_problem(f"{name}/geom-gcn", seed=2)
    assert torch.equal(problem.data.x, theirs.x)
    assert torch.equal(problem.data.y, theirs.y)
    assert sorted(problem.data.edge_index.t().tolist()) == theirs.edge_index.t().tolist()
    for part, mask in (("train", "train_mask"), ("val", "val_mask"), ("test", "test_mask")):
        items = theirs[mask][:, 2].nonzero().flatten()
        assert torch.equal(problem.split.part(part), items)
    assert len(problem.files) == 3
