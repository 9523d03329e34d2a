"""OGB's tables read without ``ogb``: the same graphs and scores as its own readers give."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from graphkit.data.sources import ogb_graphs
from graphkit.errors import DataError, DataNotFound, UnknownName
from graphkit.tasks import METRICS, GraphClassification, GraphRegression, MultilabelGraphs

NAMES = sorted(ogb_graphs.SETS)


@pytest.fixture
def ogb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package, imported without the module by which it asks the network for a newer one."""
    monkeypatch.setitem(sys.modules, "outdated", None)
    pytest.importorskip("ogb")
    import ogb.graphproppred
    import ogb.io.read_graph_raw

    return ogb


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return tmp_path


def _write(root: Path, name: str, tables: dict[str, str]) -> None:
    for part, text in tables.items():
        path = root / "ogb" / name.replace("-", "_") / f"{part}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))


ATOM = "5,0,2,5,3,0,2,0,0\n"
# Three molecules of 2, 1 and 3 atoms; each bond is stored once.
TOX = {
    "raw/edge": "0,1\n0,1\n2,1\n",
    "raw/num-node-list": "2\n1\n3\n",
    "raw/num-edge-list": "1\n0\n2\n",
    "raw/node-feat": ATOM * 6,
    "raw/edge-feat": "0,0,0\n1,0,0\n3,0,1\n",
    "raw/graph-label": "0.0,1.0\n1.0,\n,0.0\n",
    "split/scaffold/train": "2\n",
    "split/scaffold/valid": "1\n",
    "split/scaffold/test": "0\n",
}


def test_bonds_go_both_ways_and_missing_labels_are_nan(root: Path) -> None:
    _write(root, "ogbg-molclintox", TOX)
    problem = ogb_graphs.property_prediction(root, 0, "ogbg-molclintox")
    first, second, third = problem.data
    assert first.edge_index.tolist() == [[1, 0], [0, 1]]
    assert second.num_nodes == 1
    assert third.edge_index.tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]
    assert third.edge_attr.tolist() == [[1, 0, 0], [1, 0, 0], [3, 0, 1], [3, 0, 1]]
    assert second.y.isnan().tolist() == [[False, True]]
    assert third.y.isnan().tolist() == [[True, False]]
    assert [p.tolist() for p in (problem.split.train, problem.split.val, problem.split.test)] == [
        [2],
        [1],
        [0],
    ]
    assert isinstance(problem.task, MultilabelGraphs)
    assert problem.dims.out_channels == 2
    assert problem.dims.node_symbols == ogb_graphs.ATOM_SYMBOLS


def test_protein_graphs_have_vectors_on_edges_and_nothing_on_nodes(root: Path) -> None:
    tables = {key: text for key, text in TOX.items() if not key.startswith(("split", "raw/node-f"))}
    tables |= {f"split/species/{part}": f"{n}\n" for n, part in enumerate(ogb_graphs.SPLIT_FILES)}
    tables |= {"raw/edge-feat": "0.5,0\n0.25,1\n1,0\n", "raw/graph-label": "0\n36\n1\n"}
    _write(root, "ogbg-ppa", tables)
    problem = ogb_graphs.property_prediction(root, 0, "ogbg-ppa")
    assert isinstance(problem.task, GraphClassification)
    assert problem.data.joined.x is None
    assert problem.data.joined.y.tolist() == [0, 36, 1]
    assert (problem.dims.in_channels, problem.dims.edge_channels) == (0, 2)
    assert problem.data[0].edge_attr.tolist() == [[0.5, 0.0], [0.5, 0.0]]


@pytest.mark.parametrize(
    ("part", "text", "said"),
    [
        ("raw/edge", "0,1\n0,5\n2,1\n", "names node|both in one graph"),
        ("raw/num-edge-list", "1\n0\n1\n", "counts 2 edges of 3 graphs; expected the 3 edges"),
        ("raw/node-feat", ATOM * 5, "x has 5 rows; expected one per node, 6"),
        ("raw/node-feat", "119" + ATOM[1:] + ATOM * 5, r"x .*\[0, 0\] = 119 is no symbol"),
        ("raw/graph-label", "0\n1\n", "y has 2 rows"),
        ("split/scaffold/train", "3\n", "out of range for 3 items"),
    ],
)
def test_tables_that_do_not_fit_are_refused(root: Path, part: str, text: str, said: str) -> None:
    _write(root, "ogbg-molclintox", TOX | {part: text})
    with pytest.raises(DataError, match=said):
        ogb_graphs.property_prediction(root, 0, "ogbg-molclintox")


def test_absent_and_unknown_sets_are_told(root: Path) -> None:
    with pytest.raises(DataNotFound, match=r"ogb/ogbg_molmuv/raw/edge\.csv\.gz"):
        ogb_graphs.property_prediction(root, 0, "ogbg-molmuv")
    with pytest.raises(UnknownName, match="did you mean 'ogbg-molhiv'"):
        ogb_graphs.files("ogbg-molhiiv")


def test_symbols_are_those_of_ogb(ogb: ModuleType) -> None:
    from ogb.utils.features import get_atom_feature_dims, get_bond_feature_dims

    assert list(ogb_graphs.ATOM_SYMBOLS) == get_atom_feature_dims()
    assert list(ogb_graphs.BOND_SYMBOLS) == get_bond_feature_dims()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_known_of_a_set_is_what_ogb_knows(ogb: ModuleType, name: str) -> None:
    """Archive, split, classes and metric stand in the master file of the package."""
    import pandas as pd

    folder = Path(ogb.graphproppred.__file__).parent
    master = pd.read_csv(folder / "master.csv", index_col=0, keep_default_na=False)[name]
    known = ogb_graphs.SETS[name]
    ours = {"rocauc": "roc_auc", "ap": "average_precision", "acc": "accuracy", "rmse": "rmse"}
    assert known.measure == ours[master["eval metric"]]
    assert known.split == master["split"]
    assert known.molecules == (master["data type"] == "mol")
    assert known.num_classes == (int(master["num classes"]) if name == "ogbg-ppa" else 0)
    assert {raw.url for raw in ogb_graphs.files(name)} == {master["url"]}
    assert known.archive == master["download_name"]


@pytest.mark.parametrize("name", ["ogbg-molhiv", "ogbg-moltox21", "ogbg-molpcba", "ogbg-molesol"])
def test_our_score_is_that_of_its_evaluator(ogb: ModuleType, name: str) -> None:
    """Random answers with ties, missing labels and a column of one class alone."""
    evaluator = ogb.graphproppred.Evaluator(name)
    draw = torch.Generator().manual_seed(0)
    for _ in range(5):
        shape = (200, evaluator.num_tasks)
        said = torch.randn(shape, generator=draw).mul(4).round() / 4
        if name == "ogbg-molesol":
            true = torch.randn(shape, generator=draw)
        else:
            true = (torch.rand(shape, generator=draw) < 0.3).float()
            if evaluator.num_tasks > 1:
                true[torch.rand(shape, generator=draw) < 0.2] = float("nan")
                true[:, 0] = 0.0
        [(metric, expected)] = evaluator.eval({"y_true": true, "y_pred": said}).items()
        measure = ogb_graphs.SETS[name].measure
        assert METRICS[measure](said, true) == pytest.approx(float(expected), abs=1e-6), metric


@pytest.mark.data
@pytest.mark.parametrize("name", ["ogbg-molesol", "ogbg-molbace"])
def test_graphs_are_those_of_its_reader(ogb: ModuleType, name: str) -> None:
    folder = Path(os.environ["GRAPHKIT_DATA"]) / "ogb" / name.replace("-", "_") / "raw"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        theirs = ogb.io.read_graph_raw.read_csv_graph_raw(str(folder), add_inverse_edge=True)
    ours = ogb_graphs.read(name)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        edge_index = torch.from_numpy(other["edge_index"])
        order = (edge_index[1] * other["num_nodes"] + edge_index[0]).argsort()
        assert torch.equal(mine.edge_index, edge_index[:, order])
        assert torch.equal(mine.edge_attr, torch.from_numpy(other["edge_feat"])[order])
        assert torch.equal(mine.x, torch.from_numpy(other["node_feat"]))


@pytest.mark.data
def test_molhiv_has_its_counts() -> None:
    problem = ogb_graphs.property_prediction(None, 0, "ogbg-molhiv", "ogb_rebuilt")
    assert problem.name == "ogbg-molhiv/scaffold-rebuilt"
    assert problem.split.sizes() == {"train": 32_901, "val": 4_113, "test": 4_113, "hidden": 0}
    assert problem.data.joined.y.sum() == 1_443
    assert problem.task.monitor == "roc_auc"


@pytest.mark.data
def test_molesol_is_a_regression() -> None:
    problem = ogb_graphs.property_prediction(None, 0, "ogbg-molesol")
    assert isinstance(problem.task, GraphRegression)
    assert problem.task.monitor == "rmse"
    assert problem.split.sizes() == {"train": 902, "val": 113, "test": 113, "hidden": 0}
