"""The suites at an equal budget: every model is of the size it claims on the sizes of its data."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from graphkit import load_problem
from graphkit.bench import Experiment
from graphkit.bench.budget import count_parameters
from graphkit.bench.suites import load_suite
from graphkit.data.catalogue import entry
from graphkit.data.sources.far_answers import chain_graphs
from graphkit.models.graph_mamba import GraphMamba
from graphkit.tasks import Dims
from graphkit.train import Supervised

SUITES = Path(__file__).resolve().parents[2] / "benchmarks" / "suites"
NAMES = ("molecules", "tu", "heterophily", "communities", "long_range", "expressivity")
TOLERANCE = 0.05

_OGB = Dims(0, 1, node_symbols=(119, 5, 12, 12, 10, 6, 6, 2, 2), edge_symbols=(5, 6, 2))


def _molecule_net(answers: int) -> Dims:
    return Dims(0, answers, node_symbols=(119, 9, 11, 12, 9, 5, 8, 2, 2), edge_symbols=(22, 6, 2))


DIMS = {
    **{f"ogbg-mol{name}/scaffold": _OGB for name in ("freesolv", "esol", "bace", "bbbp")},
    "ogbg-molhiv/scaffold-rebuilt": _OGB,
    **{f"{name}/random": _molecule_net(1) for name in ("esol", "bbbp", "hiv")},
    "clintox/random": _molecule_net(2),
    "sider/random": _molecule_net(27),
    "aqsol/scaffold": Dims(0, 1, node_symbols=(65,), edge_symbols=(5,)),
    "zinc/subset-rebuilt": Dims(0, 1, node_symbols=(28,), edge_symbols=(4,)),
    "zinc/subset": Dims(0, 1, node_symbols=(28,), edge_symbols=(4,)),
    "mutag/10fold": Dims(7, 2, edge_channels=4),
    "nci1/10fold": Dims(37, 2),
    "proteins/10fold": Dims(4, 2),
    "imdb-multi/10fold": Dims(0, 3),
    "enzymes/10fold": Dims(21, 6),
    "minesweeper/fixed": Dims(7, 2, num_nodes=10_000),
    "tolokers/fixed": Dims(10, 2, num_nodes=11_758),
    "actor/geom-gcn": Dims(932, 5, num_nodes=7_600),
    "texas/geom-gcn": Dims(1_703, 5, num_nodes=183),
    "wisconsin/geom-gcn": Dims(1_703, 5, num_nodes=251),
    **{f"pattern/{size}": Dims(0, 2, node_symbols=(3,)) for size in ("mini", "generated")},
    **{f"cluster/{size}": Dims(0, 6, node_symbols=(7,)) for size in ("mini", "generated")},
    "csl/5fold": Dims(0, 10),
    **{f"chain-copy/length-{2**n}": Dims(0, 4, node_symbols=(6,)) for n in range(2, 8)},
    **{
        f"tree-neighbours-match/depth-{n}": Dims(0, 2**n, node_symbols=(2**n + 1, 2**n + 1))
        for n in range(2, 7)
    },
}


def _module(name: str) -> ModuleType:
    load_suite(str(SUITES / f"{name}.py"))
    return sys.modules[f"suite_{name}"]


def _experiments() -> Iterator[tuple[str, int, Experiment]]:
    """Suite, parameters claimed and experiment."""
    for suite in NAMES:
        module = _module(suite)
        for experiment in module.SUITE:
            own = re.search(r"-(\d+)k$", experiment.name)
            budget = int(own[1]) * 1000 if own else module.BUDGETS[experiment.problem_name]
            yield suite, budget, experiment


ALL = list(_experiments())


@pytest.mark.parametrize(
    ("budget", "experiment"),
    [
        pytest.param(budget, one, id=f"{suite}/{one.name}/{one.problem_name}")
        for suite, budget, one in ALL
    ],
)
def test_a_model_is_of_the_size_its_suite_claims(budget: int, experiment: Experiment) -> None:
    assert isinstance(experiment.recipe, Supervised)
    with torch.device("meta"):  # counted without drawing weights
        count = count_parameters(experiment.recipe.model(DIMS[experiment.problem_name]))
    assert abs(count / budget - 1) <= TOLERANCE, f"{count} parameters for a budget of {budget}"


def test_figures_of_published_data_never_stand_beside_rebuilt_data() -> None:
    rebuilt = [e for _, _, e in ALL if entry(e.problem_name).rebuilt]
    assert rebuilt
    assert [e.name for e in rebuilt if e.reported is not None] == []


def test_small_sets_are_held_against_no_figure_of_the_full_ones() -> None:
    small = [e for _, _, e in ALL if e.problem_name.endswith("/mini")]
    assert small
    assert [e.name for e in small if e.reported is not None] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_seed_of_a_problem_with_folds_is_another_fold(name: str) -> None:
    for experiment in _module(name).SUITE:
        folds = entry(experiment.problem_name).folds
        seeds = list(experiment.seeds)
        assert len(seeds) >= 3, experiment.name
        if folds:
            assert len({seed % folds for seed in seeds}) == len(seeds) <= folds
        if name == "tu":
            assert seeds == list(range(10))


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_a_problem_read_nodes_or_graphs_as_it_asks(name: str) -> None:
    """A model that pools answers per graph; where each node is asked it must not."""
    for experiment in _module(name).SUITE:
        asked = entry(experiment.problem_name)
        readout = experiment.settings()["recipe"]["model"].get("readout")
        per_graph = asked.kind == "graphs" and not asked.per_node
        assert (readout is not None) == per_graph, (experiment.name, experiment.problem_name)


def test_places_by_number_begin_anew_in_each_graph() -> None:
    by_number = _module("long_range").by_number
    batch = chain_graphs(3, 4).batch(torch.tensor([2, 0]))
    assert by_number(batch).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize("length", [5, 20])
def test_a_scan_by_number_hears_the_other_end_and_ten_local_layers_do_not(length: int) -> None:
    """What the first node says changes the last one's answer, or cannot."""
    models = _module("long_range").MODELS
    chains = chain_graphs(2, length)
    batch = chains.batch(torch.tensor([0, 1]))
    other = batch.clone()
    other.x = batch.x.clone()
    other.x[0] = 1 + batch.x[0] % 4

    def moved(name: str) -> bool:
        torch.manual_seed(0)
        model = models[name](Dims(0, 4, node_symbols=(6,)), hidden_channels=16).eval()
        prepare = model.transform or (lambda given: given)
        with torch.no_grad():
            before, after = (model(prepare(one.clone()))[length - 1] for one in (batch, other))
        return bool((before - after).abs().max() > 0)

    assert moved("graph-mamba-by-number")
    for name in ("gcn", "gin", "graph-transformer"):
        assert moved(name) == (length <= 11), name


def test_what_a_row_without_a_part_leaves_out_is_that_part() -> None:
    """Names say what differs: the settings of a pair differ there and in the width alone."""
    models = _module("heterophily").MODELS
    sizes = DIMS["minesweeper/fixed"]
    whole = models["graph-mamba-walks-pe"](sizes, hidden_channels=8)
    assert isinstance(whole, GraphMamba)
    for name, field, value in (
        ("one-way", "both_ways", False),
        ("no-mpnn", "mpnn", False),
        ("ppr", "order", "ppr"),
    ):
        other = models[f"graph-mamba-walks-pe-{name}"](sizes, hidden_channels=8)
        assert isinstance(other, GraphMamba)
        differing = {
            key for key, found in vars(other.scan).items() if found != getattr(whole.scan, key)
        }
        assert differing == {field}
        assert getattr(other.scan, field) == value
        assert (other.walks, other.encoding) == (whole.walks, whole.encoding)


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "ogbg-molfreesolv/scaffold",
        "mutag/10fold",
        "proteins/10fold",
        "imdb-multi/10fold",
        "nci1/10fold",
        "enzymes/10fold",
        "minesweeper/fixed",
        "actor/geom-gcn",
        "texas/geom-gcn",
        "wisconsin/geom-gcn",
        "csl/5fold",
    ],
)
def test_sizes_above_are_those_of_the_data(name: str) -> None:
    assert load_problem(name, seed=0).dims == DIMS[name]


def test_sizes_above_are_those_of_made_problems() -> None:
    for name in ("chain-copy/length-4", "tree-neighbours-match/depth-2", "pattern/mini"):
        assert load_problem(name, seed=0).dims == DIMS[name]
