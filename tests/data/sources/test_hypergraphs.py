"""Hypergraphs: a hand-made file, joining, and what the real ones hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from graphkit.data.catalogue import load_problem
from graphkit.data.keep import keep
from graphkit.data.sources.hypergraphs import FILES, Hypergraph, hypergraph_file, read
from graphkit.errors import DataError, DataNotFound, UnknownName


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


def test_joining_counts_empty_hyperedges_behind_the_last() -> None:
    members = torch.tensor([[0], [0]])
    graph = Hypergraph(
        x=torch.zeros(1, 1), hyperedge_index=members, hyperedge_weight=torch.tensor([1.0, 2.0])
    )
    joined = Batch.from_data_list([graph, graph])
    assert joined.hyperedge_index.tolist() == [[0, 1], [0, 2]]
    assert joined.hyperedge_weight.tolist() == [1, 2, 1, 2]


def test_fields_of_hyperedges_are_not_those_of_nodes() -> None:
    """Also where there are as many hyperedges as nodes."""
    graph = Hypergraph(
        x=torch.zeros(2, 1),
        hyperedge_index=torch.tensor([[0, 1, 1], [0, 0, 1]]),
        hyperedge_weight=torch.ones(2),
    )
    assert graph.is_node_attr("x")
    assert not graph.is_node_attr("hyperedge_weight")


def test_hyperedges_without_vertices_left_vanish_with_their_fields() -> None:
    """Of 0 1, 2, nothing, 2 3 without vertices 1 and 2: hyperedges 0 and 3 are left."""
    graph = Hypergraph(
        x=torch.arange(4.0)[:, None],
        hyperedge_index=torch.tensor([[0, 1, 2, 2, 3], [0, 0, 1, 3, 3]]),
        hyperedge_weight=torch.tensor([1.0, 2.0, 3.0, 4.0]),
        hyperedge_kind=torch.tensor([[5], [6], [7], [8]]),
        y=torch.tensor([4, 5, 6, 7]),
    )
    kept = keep(graph, torch.tensor([3, 0]))
    assert isinstance(kept, Hypergraph)
    assert kept.hyperedge_index.tolist() == [[1, 0], [0, 1]]
    assert kept.hyperedge_weight.tolist() == [1, 4]
    assert kept.hyperedge_kind.tolist() == [[5], [8]]
    assert kept.x.tolist() == [[3], [0]]
    assert kept.y.tolist() == [7, 4]


def _file(folder: Path, nodes: int = 40, **changed: Any) -> Path:
    """A user's own file: two classes, dense features, a hyperedge of each pair in a row."""
    place = np.arange(nodes)
    arrays: dict[str, Any] = {
        "hyperedge_index": np.stack([place, place // 2]),
        "y": place % 2,
        "x": np.stack([place, -place - 1.0], axis=1),
    }
    arrays |= changed
    path = folder / "my graph.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_a_file_of_ones_own_becomes_a_problem(tmp_path: Path) -> None:
    problem = hypergraph_file(_file(tmp_path), 3, train=4, val=6)
    assert problem.name == "my-graph/random"
    assert problem.split.sizes() == {"train": 8, "val": 12, "test": 20, "hidden": 0}
    assert problem.dims.in_channels == problem.dims.out_channels == 2
    assert isinstance(problem.data, Hypergraph)
    torch.testing.assert_close(problem.data.x[3], torch.tensor([3 / 7, -4 / 7]))
    other = hypergraph_file(_file(tmp_path), 4, train=4, val=6, normalised=False)
    assert not torch.equal(problem.split.train, other.split.train)
    assert other.data.x[3].tolist() == [3, -4]
    hidden = hypergraph_file(str(_file(tmp_path)), 3, "production", train=4, val=6, hidden=0.5)
    assert hidden.split.sizes() == {"train": 8, "val": 12, "test": 10, "hidden": 10}
    assert hidden.blind().num_items == 30


@pytest.mark.parametrize("with_val", [True, False])
def test_fixed_splits_of_a_file(tmp_path: Path, with_val: bool) -> None:
    place = np.arange(40)
    masks = {"train_masks": place < 8, "val_masks": (place >= 8) & (place < 16),
             "test_masks": place >= 16}  # fmt: skip
    masks = {name: np.stack([mask, mask[::-1]]) for name, mask in masks.items()}
    if not with_val:
        masks["val_masks"] = None  # type: ignore[assignment]
    split = hypergraph_file(_file(tmp_path, **masks), 3, "fixed").split
    assert split.train.tolist() == list(range(32, 40))
    assert len(split.val) == (8 if with_val else 6)
    assert len(split.test) == (24 if with_val else 18)


def test_weights_in_a_file_are_kept(tmp_path: Path) -> None:
    weight = np.arange(20)
    path = _file(tmp_path, hyperedge_weight=weight)
    problem = hypergraph_file(path, train=4, val=6)
    assert problem.data.hyperedge_weight.tolist() == list(range(20))
    short = _file(tmp_path, hyperedge_weight=weight[:5])
    with pytest.raises(DataError, match=r"my graph.npz: hyperedge_weight has 5 rows"):
        hypergraph_file(short, train=4, val=6)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hyperedge_index": None}, "no array 'hyperedge_index'"),
        ({"y": None}, "no array 'y'"),
        ({"x": None}, "no array 'x_data'"),
        ({"hyperedge_index": np.array([[40], [0]])}, r"hyperedge_index\[0, 0\] = 40"),
        ({"hyperedge_index": np.array([[0], [2**40]])}, "gaps"),
        ({"hyperedge_index": np.array([[0.5], [0.0]])}, "whole numbers"),
        ({"hyperedge_index": np.array([[0, 1], [0, 0], [1, 1]])}, "transposed"),
        ({"y": np.zeros(39, dtype=int)}, "for 40 nodes"),
        ({"y": np.full(40, 0.5)}, "whole number"),
        ({"y": np.full(40, -1)}, "known class"),
        ({"y": np.full(40, 10**9)}, "number classes from 0"),
        ({"x": np.zeros(40)}, "expected numbers"),
        ({"x": np.array([["a"]] * 40)}, "expected numbers"),
        ({"x": np.full((40, 1), np.nan)}, "finite"),
        ({"y": np.array([0] * 39 + [1])}, "class 1 has 1 items"),
        ({"y": np.array([None] * 40)}, "my graph.npz"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_name(
    tmp_path: Path, changed: Any, said: str
) -> None:
    path = _file(tmp_path, **changed)
    with pytest.raises(DataError, match=said) as caught:
        hypergraph_file(path, train=4, val=6)
    assert str(path) in str(caught.value)


def test_masks_are_needed_for_fixed_splits_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no array 'train_masks'"):
        hypergraph_file(_file(tmp_path), split="fixed")
    wrong = _file(tmp_path, train_masks=np.ones((1, 3)), test_masks=np.ones((1, 40)))
    with pytest.raises(DataError, match=r"train_masks has shape \(1, 3\)"):
        hypergraph_file(wrong, split="fixed")


def test_no_file_no_archive_and_no_such_split(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="there is no file"):
        hypergraph_file(tmp_path / "nothing.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match="holds one array"):
        hypergraph_file(tmp_path / "one.npy")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match="damaged or of another format"):
        hypergraph_file(tmp_path / "text.npz")
    with pytest.raises(UnknownName, match="did you mean 'random'"):
        hypergraph_file(_file(tmp_path), split="radom")  # type: ignore[arg-type]


@pytest.mark.data
@pytest.mark.parametrize("split", ["random", "production", "fixed"])
def test_a_file_of_the_catalogue_by_its_path(split: Any) -> None:
    """The same as by its name; the drawn validation part is of another size under fixed."""
    path = Path(os.environ["GRAPHKIT_DATA"]) / FILES["cora-coauthorship"].path
    own = hypergraph_file(path, 2, split)
    known = load_problem(f"cora-coauthorship/{split}", seed=2)
    assert own.name == f"coauthorship_cora/{split}"
    assert torch.equal(own.data.x, known.data.x)
    assert torch.equal(own.data.hyperedge_index, known.data.hyperedge_index)
    assert own.split.sizes() == known.split.sizes()
    assert torch.equal(own.split.test, known.split.test)


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
