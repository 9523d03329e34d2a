"""What the catalogue says of graphs and streams is what is loaded; the numbers are published."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path

import pytest

from graphkit.data.batching import Graphs
from graphkit.data.catalogue import PROBLEMS, load_problem, raw_files
from graphkit.data.catalogue.graphs import GRAPHS
from graphkit.data.catalogue.streams import STREAMS
from graphkit.data.catalogue.synthetic import SYNTHETIC
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources import tu
from graphkit.errors import UnknownName

LARGE = ("pattern/generated", "cluster/generated")
AT_HAND = (
    *("mutag/10fold", "nci1/10fold", "enzymes/10fold", "imdb-multi/10fold", "proteins/10fold"),
    *("aids/10fold", "csl/5fold", "zinc/subset-rebuilt", "aqsol/scaffold"),
    *("ogbg-molesol/scaffold", "ogbg-molfreesolv/scaffold", "ogbg-molbace/scaffold"),
    *("ogbg-molbbbp/scaffold", "ogbg-molhiv/scaffold-rebuilt"),
    *("wikipedia/time", "collegemsg/time", "bitcoin-otc/time", "bitcoin-alpha/time"),
    *("mathoverflow/time", "numpy-commits/time"),
)
TABLES_OF_SMILES = ("esol/random", "bbbp/random", "clintox/random", "sider/random")

# Mean nodes and the widths of one-hot labels, as PyG loads the sets by default.
LABELS_ALONE = {
    "MUTAG": (188, 17.93, 39.59, 7, 4, 2),
    "NCI1": (4_110, 29.87, 64.60, 37, 0, 2),
    "ENZYMES": (600, 32.63, 124.27, 3, 0, 6),
    "IMDB-MULTI": (1_500, 13.00, 131.87, 0, 0, 3),
    "PROTEINS": (1_113, 39.06, 145.63, 3, 0, 2),
    "AIDS": (2_000, 15.69, 32.39, 38, 3, 2),
}
MEAN_NODES = {
    "csl/5fold": 41.00,
    "ogbg-molesol/scaffold": 13.29,
    "ogbg-molfreesolv/scaffold": 8.72,
    "ogbg-molbace/scaffold": 34.09,
    "ogbg-molbbbp/scaffold": 24.06,
    "ogbg-molhiv/scaffold-rebuilt": 25.51,
    "zinc/subset-rebuilt": 23.09,
    "esol/random": 13.29,
    "bbbp/random": 24.06,
    "clintox/random": 26.22,
    "sider/random": 33.64,
}


def _check(name: str, problem: Problem) -> None:
    line = PROBLEMS[name]
    assert problem.name == name
    if line.items is not None:
        assert problem.num_items == line.items
    assert problem.dims.out_channels == line.outputs
    assert problem.task.monitor == line.metric
    data = problem.data.joined if isinstance(problem.data, GraphSet) else problem.data
    x = data.x if "x" in data else None
    assert (0 if x is None else x.shape[1]) == line.features
    assert len(problem.dims.node_symbols) in (0, line.features)
    if line.edges is not None:
        per_item = len(problem.data) if isinstance(problem.data, GraphSet) else 1
        assert data.edge_index.shape[1] / per_item == pytest.approx(line.edges, abs=0.006)
    assert (line.kind == "graphs") == isinstance(problem.batching, Graphs)
    assert line.rebuilt == ("rebuilt" in name or name == "aqsol/scaffold")


@pytest.mark.parametrize("name", [n for n in SYNTHETIC if n not in LARGE])
def test_generated_problems_are_what_is_said(name: str) -> None:
    _check(name, load_problem(name))
    assert raw_files(name) == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in SYNTHETIC if n in LARGE])
def test_large_generated_problems_are_what_is_said(name: str) -> None:
    _check(name, load_problem(name))


@pytest.mark.data
@pytest.mark.parametrize("name", AT_HAND)
def test_problems_are_what_is_said(name: str) -> None:
    problem = load_problem(name)
    _check(name, problem)
    assert problem.files.keys() == {raw.path for raw in raw_files(name)}
    if name in MEAN_NODES:
        mean = problem.data.num_nodes.double().mean().item()
        assert mean == pytest.approx(MEAN_NODES[name], abs=0.006)


@pytest.mark.data
@pytest.mark.skipif(importlib.util.find_spec("rdkit") is None, reason="needs graphkit[chem]")
@pytest.mark.parametrize("name", TABLES_OF_SMILES)
def test_tables_of_smiles_are_what_is_said(name: str) -> None:
    test_problems_are_what_is_said(name)


@pytest.mark.data
def test_nothing_at_hand_is_left_out() -> None:
    """Every file of these kinds under the root belongs to a problem of the catalogue."""
    root = Path(os.environ["GRAPHKIT_DATA"])
    known = {raw.path for name in (*GRAPHS, *STREAMS) for raw in raw_files(name)}
    folders = ("tudataset", "gnn_benchmark", "zinc_rebuilt/raw", "ogb", "ogb_rebuilt", "temporal")
    found = {
        str(path.relative_to(root))
        for folder in folders
        for path in (root / folder).rglob("*")
        if path.is_file()
    }
    left = {p for p in found - known if not p.endswith(("readme.txt", "README.txt", "README.md"))}
    assert {Path(p).name for p in left} <= {"RELEASE_v1.txt", "mol.csv.gz"}


@pytest.mark.data
@pytest.mark.parametrize("name", LABELS_ALONE)
def test_sets_of_tu_have_their_published_means(name: str) -> None:
    graphs = tu.read(name)
    count, nodes, edges, node_width, edge_width, classes = LABELS_ALONE[name]
    joined = graphs.joined
    assert len(graphs) == count
    assert graphs.num_nodes.double().mean().item() == pytest.approx(nodes, abs=0.006)
    assert joined.num_edges / count == pytest.approx(edges, abs=0.006)
    assert (0 if joined.x is None else joined.x.shape[1]) == node_width
    assert (0 if joined.edge_attr is None else joined.edge_attr.shape[1]) == edge_width
    assert len(joined.y.unique()) == classes


def test_every_line_names_a_function_and_lists_its_files() -> None:
    for name in (*GRAPHS, *STREAMS, *SYNTHETIC):
        module, function = PROBLEMS[name].source.split(":")
        source = importlib.import_module(f"graphkit.data.sources.{module}")
        assert callable(getattr(source, function))
        for raw in raw_files(name):
            assert not raw.path.startswith("/")
            assert ".." not in raw.path


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'mutag/10fold'"):
        load_problem("mutagg/10fold")
