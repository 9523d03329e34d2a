"""CSL against PyG's reader; the other sets from hand-made files in their format."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from graphkit.data.sources import gnn_benchmark
from graphkit.errors import DataError, UnknownName
from graphkit.tasks import GraphClassification, NodesOfGraphs


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def _save(root: Path, name: str, parts: object) -> None:
    folder = root / "gnn_benchmark" / name / "raw"
    folder.mkdir(parents=True)
    torch.save(parts, folder / f"{name}_v2.pt")


def _marked(symbol: int, y: list[int]) -> dict[str, torch.Tensor]:
    x = torch.zeros(2, 7)
    x[0, 0] = x[1, symbol] = 1.0
    return {"x": x, "edge_index": torch.tensor([[0, 1], [1, 0]]), "y": torch.tensor(y)}


def test_one_hot_symbols_become_symbols(root: Path) -> None:
    parts = [[_marked(3, [0, 5]), _marked(1, [0, 1])], [_marked(2, [1, 1])], [_marked(6, [2, 2])]]
    _save(root, "CLUSTER", parts)
    problem = gnn_benchmark.public(root, 0, "CLUSTER")
    assert isinstance(problem.task, NodesOfGraphs)
    assert problem.dims.node_symbols == (7,)
    assert problem.split.sizes() == {"train": 2, "val": 1, "test": 1, "hidden": 0}
    assert problem.data[0].x.tolist() == [[0], [3]]
    assert problem.data[0].y.tolist() == [0, 5]
    batch = next(problem.batches("val"))
    assert batch.x.tolist() == [[0], [2]]


def test_superpixels_carry_colour_and_place(root: Path) -> None:
    one = {
        "x": torch.tensor([[0.5], [0.25]]),
        "pos": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        "edge_index": torch.tensor([[0], [1]]),
        "edge_attr": torch.tensor([0.75]),
        "y": torch.tensor([4]),
    }
    _save(root, "MNIST", [[one], [one], [one]])
    problem = gnn_benchmark.public(root, 0, "MNIST")
    assert isinstance(problem.task, GraphClassification)
    assert (problem.dims.in_channels, problem.dims.edge_channels) == (3, 1)
    assert problem.data[1].x.tolist() == [[0.5, 1.0, 2.0], [0.25, 3.0, 4.0]]
    assert problem.data[1].y.tolist() == [4]


@pytest.mark.parametrize("parts", [[[], []], 3, [[{"x": 1}], [], []], [[1], [2], [3]]])
def test_files_of_another_form_are_refused(root: Path, parts: object) -> None:
    _save(root, "MNIST", parts)
    with pytest.raises(DataError, match=r"MNIST_v2\.pt"):
        gnn_benchmark.public(root, 0, "MNIST")


def test_unknown_sets_are_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'CLUSTER'"):
        gnn_benchmark.files("CLUSTERS")


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:.*scipy.sparse.coo:DeprecationWarning")  # of PyG's reader
def test_csl_equals_pyg(tmp_path: Path) -> None:
    from torch_geometric.datasets import GNNBenchmarkDataset

    raw = Path(os.environ["GRAPHKIT_DATA"]) / "gnn_benchmark" / "CSL" / "raw"
    shutil.copytree(raw, tmp_path / "CSL" / "raw", copy_function=shutil.copyfile)
    (tmp_path / "CSL").chmod(0o755)
    (tmp_path / "CSL" / "raw").chmod(0o755)
    theirs = GNNBenchmarkDataset(str(tmp_path), "CSL")
    ours = gnn_benchmark.read_csl()
    assert len(ours) == len(theirs) == 150
    for mine, other in zip(ours, theirs, strict=True):
        order = (other.edge_index[1] * 41 + other.edge_index[0]).argsort()
        assert torch.equal(mine.edge_index, other.edge_index[:, order])
        assert (mine.num_nodes, mine.y.item()) == (other.num_nodes, int(other.y))


@pytest.mark.data
def test_csl_has_five_folds_of_three_to_one_to_one() -> None:
    splits = [gnn_benchmark.csl(None, seed).split for seed in range(5)]
    assert {tuple(split.sizes().values()) for split in splits} == {(90, 30, 30, 0)}
    assert torch.cat([split.test for split in splits]).unique().numel() == 150
    y = gnn_benchmark.read_csl().joined.y
    assert y[splits[0].test].bincount().tolist() == [3] * 10
    assert splits[0].val.tolist() == splits[1].test.tolist()
