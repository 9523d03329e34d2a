"""Every experiment of every suite can be built, described and filed, and names its source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphkit.bench import Experiment
from graphkit.bench.presets import PRESETS, models_for, preset
from graphkit.bench.suites import load_suite
from graphkit.data.catalogue import PROBLEMS

ROOT = Path(__file__).resolve().parents[2]
SUITES = sorted(path for path in (ROOT / "benchmarks" / "suites").glob("*.py"))
EXPERIMENTS = [
    pytest.param(experiment, id=f"{path.stem}/{experiment.name}/{experiment.problem_name}")
    for path in SUITES
    for experiment in load_suite(str(path))[1]
]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_can_be_described_and_filed(experiment: Experiment) -> None:
    settings = experiment.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert experiment.problem_name in PROBLEMS
    assert len(set(experiment.seeds)) == len(experiment.seeds)
    assert set(experiment.run_id(0)) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.@_-+"
    )
    if experiment.reported is not None:
        assert len(experiment.reported.source) > 10
        assert experiment.reported.value <= 1.0  # a share, not a percentage


def test_no_two_experiments_of_a_suite_share_a_run() -> None:
    for path in SUITES:
        runs = [e.run_id(seed) for e in load_suite(str(path))[1] for seed in e.seeds]
        assert len(set(runs)) == len(runs), path.stem


@pytest.mark.parametrize(("model", "problem"), PRESETS)
def test_preset_names_what_exists(model: str, problem: str) -> None:
    assert model in models_for(problem)
    experiment = preset(model, problem)
    assert experiment.fingerprint == preset(model, problem).fingerprint
    assert experiment.fingerprint != preset(model, problem, train={"lr": 0.123}).fingerprint


@pytest.mark.parametrize("path", SUITES, ids=[path.stem for path in SUITES])
def test_stored_records_belong_to_the_suite(path: Path) -> None:
    """Committed results are those of the settings that stand in the suite now."""
    expected = {e.run_id(seed) for e in load_suite(str(path))[1] for seed in e.seeds}
    stored = {file.stem for file in (ROOT / "benchmarks" / "results" / path.stem).glob("*.json")}
    assert stored <= expected


def test_answers_per_node_of_many_graphs_are_not_pooled() -> None:
    experiment = preset("gcn", "cluster/mini")
    assert experiment.settings()["recipe"]["model"]["readout"] is None
    assert preset("gcn", "csl/5fold").settings()["recipe"]["model"]["readout"] == "mean"
