"""Node sets of OGB, from hand-made tables and archives in their format."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from graphkit.data.sources import ogbn
from graphkit.data.sources.ogb_graphs import SPLIT_FILES
from graphkit.errors import DataError, UnknownName
from graphkit.tasks import MultilabelNodes, NodeClassification


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return tmp_path


def _write(root: Path, name: str, split: str, tables: dict[str, str]) -> Path:
    folder = root / "ogb" / name.replace("-", "_")
    tables = tables | {f"split/{split}/{p}": f"{n}\n" for n, p in enumerate(SPLIT_FILES)}
    for part, text in tables.items():
        path = folder / f"{part}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))
    return folder


ARXIV = {
    "raw/edge": "3,0\n1,2\n",
    "raw/num-node-list": "4\n",
    "raw/node-feat": "0.5,1\n0,1\n1,1\n2,1\n",
    "raw/node-label": "0\n39\n1\n1\n",
}


def test_citations_lead_one_way(root: Path) -> None:
    _write(root, "ogbn-arxiv", "time", ARXIV)
    problem = ogbn.property_prediction(root, 0, "ogbn-arxiv")
    assert problem.name == "ogbn-arxiv/time"
    assert problem.data.edge_index.tolist() == [[3, 1], [0, 2]]
    assert problem.data.x[0].tolist() == [0.5, 1.0]
    assert problem.data.y.tolist() == [0, 39, 1, 1]
    assert isinstance(problem.task, NodeClassification)
    assert (problem.dims.in_channels, problem.dims.out_channels) == (2, 40)
    assert problem.split.test.tolist() == [2]


def test_products_are_bought_together_both_ways(root: Path) -> None:
    _write(root, "ogbn-products", "sales_ranking", ARXIV)
    problem = ogbn.property_prediction(root, 0, "ogbn-products")
    assert problem.name == "ogbn-products/sales"
    assert problem.data.edge_index.tolist() == [[3, 2, 1, 0], [0, 1, 2, 3]]


def test_proteins_have_labels_and_edge_features(root: Path) -> None:
    tables = {key: text for key, text in ARXIV.items() if key != "raw/node-feat"}
    tables |= {"raw/edge-feat": "0.5,0\n0.25,1\n", "raw/node-label": "0,1\n1,1\n0,0\n1,0\n"}
    _write(root, "ogbn-proteins", "species", tables)
    problem = ogbn.property_prediction(root, 0, "ogbn-proteins")
    assert isinstance(problem.task, MultilabelNodes)
    assert problem.task.monitor == "roc_auc"
    assert (problem.dims.in_channels, problem.dims.edge_channels) == (0, 2)
    assert problem.data.edge_attr.tolist() == [[0.5, 0], [0.25, 1], [0.25, 1], [0.5, 0]]
    assert problem.data.num_nodes == 4


def test_archives_are_read_and_objects_in_them_refused(root: Path) -> None:
    folder = _write(root, "ogbn-papers100M", "time", {})
    (folder / "raw").mkdir()
    np.savez(
        folder / "raw" / "data.npz",
        edge_index=np.array([[0], [1]]),
        node_feat=np.array([[0.5], [1], [2]], dtype=np.float16),
    )
    labels = folder / "raw" / "node-label.npz"
    np.savez(labels, node_label=np.array([[1.0], [171], [np.nan]]))
    with pytest.raises(DataError, match="no item of the 'test' part has a known answer"):
        ogbn.property_prediction(root, 0, "ogbn-papers100M")
    data = ogbn.read("ogbn-papers100M", root)
    assert data.y.tolist() == [1, 171, -1]
    assert data.x.tolist() == [[0.5], [1.0], [2.0]]


def test_an_archive_of_objects_is_refused(root: Path) -> None:
    folder = _write(root, "ogbn-papers100M", "time", {})
    (folder / "raw").mkdir()
    np.savez(folder / "raw" / "data.npz", edge_index=np.array([[0], [1]]), node_feat=[[None]])
    np.savez(folder / "raw" / "node-label.npz", node_label=np.array([[1.0]]))
    with pytest.raises(DataError, match=r"data\.npz"):
        ogbn.read("ogbn-papers100M", root)


def test_unknown_sets_are_told() -> None:
    with pytest.raises(UnknownName, match="did you mean 'ogbn-arxiv'"):
        ogbn.files("ogbn-arxive")
