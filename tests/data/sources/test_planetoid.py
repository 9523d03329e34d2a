"""Planetoid: a hand-made CiteSeer with a missing test node, and the real files against PyG."""

from __future__ import annotations

import os
import pickle
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.datasets import Planetoid
from torch_geometric.io import read_planetoid_data

from graphkit.data.catalogue import load_problem
from graphkit.data.sources.planetoid import PARTS, read
from graphkit.errors import DataError

ABSENT, COUNT = 506, 509  # 4 training nodes, 500 for validation, test nodes 504 to 508 less one
TEST = (508, 504, 507, 505)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with a CiteSeer of 509 nodes, 3 words and 2 classes; the class is the parity."""
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    node = np.arange(COUNT)
    x = np.stack([node % 2, node % 3, node % 5 * 0.5], axis=1).astype(np.float32)
    y = np.eye(2, dtype=np.int32)[node % 2]
    links = {0: [1, 1, 0, 508], 1: [0], 508: [0], 2: [504], 504: [2], ABSENT: []}
    files = {
        "x": sp.csr_matrix(x[:4]),
        "tx": sp.csr_matrix(x[list(TEST)]),
        "allx": sp.csr_matrix(x[:504]),
        "y": y[:4],
        "ty": y[list(TEST)],
        "ally": y[:504],
        "graph": defaultdict(list, links),
    }
    folder = tmp_path / "root" / "planetoid" / "CiteSeer" / "raw"
    folder.mkdir(parents=True)
    for part, value in files.items():
        (folder / f"ind.citeseer.{part}").write_bytes(pickle.dumps(value, 4))
    (folder / "ind.citeseer.test.index").write_text("\n".join(map(str, TEST)) + "\n")
    return tmp_path / "root"


def _folder(root: Path) -> Path:
    return root / "planetoid" / "CiteSeer" / "raw"


def test_a_missing_test_node_is_there_without_words_links_and_class(root: Path) -> None:
    data = read(root, "citeseer")
    assert data.num_nodes == COUNT
    assert data.x[ABSENT].tolist() == [0, 0, 0]
    assert int(data.y[ABSENT]) == -1
    assert not bool((data.edge_index == ABSENT).any())
    assert not bool(data.test_mask[ABSENT])


def test_each_test_row_is_at_its_own_number(root: Path) -> None:
    data = read(root, "citeseer")
    for node in TEST:
        assert data.x[node].tolist() == [node % 2, node % 3, node % 5 * 0.5]
        assert int(data.y[node]) == node % 2


def test_loops_and_duplicates_are_gone(root: Path) -> None:
    pairs = {tuple(pair) for pair in read(root, "citeseer").edge_index.t().tolist()}
    assert pairs == {(0, 1), (1, 0), (0, 508), (508, 0), (2, 504), (504, 2)}
    assert read(root, "citeseer").edge_index.shape[1] == len(pairs)


def test_it_is_what_pyg_reads_but_for_the_class_of_the_missing_node(root: Path) -> None:
    mine, theirs = read(root, "citeseer"), read_planetoid_data(str(_folder(root)), "citeseer")
    assert torch.equal(mine.x, theirs.x)
    assert mine.edge_index.t().tolist() == sorted(theirs.edge_index.t().tolist())
    for mask in ("train_mask", "val_mask", "test_mask"):
        assert torch.equal(mine[mask], theirs[mask])
    assert (mine.y != theirs.y).nonzero().flatten().tolist() == [ABSENT]


def test_the_public_split_and_normalised_rows(root: Path) -> None:
    problem = load_problem("citeseer/public", root)
    assert problem.split.train.tolist() == [0, 1, 2, 3]
    assert problem.split.val.tolist() == list(range(4, 504))
    assert problem.split.test.tolist() == sorted(TEST)
    sums = problem.data.x.sum(dim=1)
    assert bool((torch.isclose(sums, torch.ones(())) | (sums == 0)).all())
    assert problem.data.x[1].tolist() == pytest.approx([0.4, 0.4, 0.2])  # 1, 1 and a half
    assert sorted(problem.data.keys()) == ["edge_index", "x", "y"]


def test_the_missing_node_is_in_no_drawn_part(root: Path) -> None:
    with pytest.raises(DataError, match="nothing is left"):  # 40 and 500 leave none of 508
        load_problem("citeseer/random", root)
    full = load_problem("citeseer/full", root)
    hidden = load_problem("citeseer/production", root, seed=1)
    for split in (full.split, hidden.split):
        everything = torch.cat([split.train, split.val, split.test, split.hidden])
        assert ABSENT not in everything.tolist()
    assert hidden.split.sizes() == {"train": 40, "val": 60, "test": 326, "hidden": 82}


def test_geom_gcn_takes_the_split_of_the_seed(root: Path) -> None:
    folder = root / "planetoid" / "CiteSeer" / "geom-gcn" / "raw"
    folder.mkdir(parents=True)
    for number in (3, 4):
        place = np.arange(COUNT) % 7
        masks = {"train_mask": place == number, "val_mask": place == 5, "test_mask": place == 6}
        np.savez(folder / f"citeseer_split_0.6_0.2_{number}.npz", **masks)
    assert load_problem("citeseer/geom-gcn", root, seed=13).split.train[:2].tolist() == [3, 10]
    assert load_problem("citeseer/geom-gcn", root, seed=4).split.train[:2].tolist() == [4, 11]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9])
def test_a_cut_file_is_refused_by_name(root: Path, part: str, kept: float) -> None:
    path = _folder(root) / f"ind.citeseer.{part}"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match="citeseer"):
        load_problem("citeseer/full", root)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("graph", {0: [9999]}),
        ("graph", {0: [-1]}),
        ("graph", {0: "abc"}),
        ("graph", {0: ["a"]}),
        ("graph", {0: [1.5]}),
        ("graph", {"a": [1]}),
        ("graph", [1]),
        ("x", 3),
        ("x", sp.csr_matrix((4, 3))),
        ("x", sp.csr_matrix((4, 2))),
        ("tx", sp.csr_matrix((4, 2))),
        ("tx", sp.csr_matrix((9, 3))),
        ("allx", np.zeros((504, 3))),
        ("allx", sp.csr_matrix((600, 3))),
        ("ally", np.zeros((504, 9))),
        ("ally", np.zeros(504)),
        ("ty", sp.csr_matrix((4, 2))),
        ("y", np.zeros((400, 2))),
        ("y", np.zeros((4, 2))),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(root: Path, part: str, value: object) -> None:
    (_folder(root) / f"ind.citeseer.{part}").write_bytes(pickle.dumps(value, 4))
    with pytest.raises(DataError, match="citeseer"):
        load_problem("citeseer/public", root)


class Attack:
    """Unpickled by Python itself, it writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


@pytest.mark.parametrize("part", PARTS[:-1])
def test_nothing_in_a_raw_file_is_called(root: Path, part: str) -> None:
    """Alone, and within what the file should hold."""
    mark, path = root / "mark", _folder(root) / f"ind.citeseer.{part}"
    pickle.loads(pickle.dumps(Attack(mark)))
    assert mark.exists()
    mark.unlink()
    for number, value in enumerate((Attack(mark), defaultdict(list, {0: [Attack(mark)]}))):
        path.write_bytes(pickle.dumps(value, 2 + number))
        shutil.rmtree(root.parent / "cache", ignore_errors=True)  # its notes on checksums
        with pytest.raises(DataError, match=f"{path} cannot be read"):
            load_problem("citeseer/public", root)
        assert not mark.exists()


@pytest.mark.parametrize("text", ["504\n504\n", "-1\n", "504\nabc\n", "503\n505\n", "504\n90000\n"])
def test_test_numbers_that_cannot_be_are_refused(root: Path, text: str) -> None:
    (_folder(root) / "ind.citeseer.test.index").write_text(text)
    with pytest.raises(DataError, match="citeseer"):
        load_problem("citeseer/public", root)


@pytest.mark.data
@pytest.mark.parametrize("name", ["Cora", "PubMed"])
def test_the_real_files_read_as_pyg_reads_them(name: str, tmp_path: Path) -> None:
    raw = Path(os.environ["GRAPHKIT_DATA"]) / "planetoid" / name / "raw"
    shutil.copytree(raw, tmp_path / name / "raw", copy_function=shutil.copyfile)
    theirs = Planetoid(str(tmp_path), name)[0]
    mine = read(None, name.lower())
    assert torch.equal(mine.x, theirs.x)
    assert torch.equal(mine.y, theirs.y)
    for mask in ("train_mask", "val_mask", "test_mask"):
        assert torch.equal(mine[mask], theirs[mask])
    assert mine.edge_index.t().tolist() == sorted(theirs.edge_index.t().tolist())


@pytest.mark.data
def test_the_public_splits_have_their_published_sizes() -> None:
    for name, train in (("cora", 140), ("pubmed", 60)):
        problem = load_problem(f"{name}/public")
        assert problem.split.sizes() == {"train": train, "val": 500, "test": 1000, "hidden": 0}
        assert problem.data.y[problem.split.train].bincount().unique().tolist() == [20]
        assert len(problem.files) == 8


@pytest.mark.data
def test_drawn_splits_follow_the_seed() -> None:
    first, again, other = (load_problem("cora/random", seed=seed).split for seed in (1, 1, 2))
    assert torch.equal(first.train, again.train)
    assert not torch.equal(first.train, other.train)
