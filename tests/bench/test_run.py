"""A record holds all the schema names, and the recipe never sees what it is scored on."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from graphkit.bench import Experiment, Reported
from graphkit.bench.run import Loader, run
from graphkit.bench.store import Store
from graphkit.data.catalogue import load_problem
from graphkit.data.problem import Problem
from graphkit.data.split import hide
from graphkit.errors import StorageError
from graphkit.models import GCN
from graphkit.models.base import Model
from graphkit.models.saved import load_model
from graphkit.train import Fitted, Supervised, TrainConfig, evaluate

GCN_SHORT = Supervised(GCN, TrainConfig(epochs=3))
KEYS = {
    "schema", "id", "suite", "experiment", "problem", "seed", "fingerprint", "status", "error",
    "data", "settings", "num_parameters", "metric", "higher_is_better", "monitor", "epoch",
    "epochs", "val", "test", "last", "hidden", "production", "measures", "notes", "reported",
    "cost", "host", "started", "finished", "history",
}  # fmt: skip
HOST = {
    "graphkit", "python", "torch", "torch_geometric", "numpy", "platform", "processor", "device",
    "threads", "git_commit", "git_dirty", "deterministic",
}  # fmt: skip
COST = {
    "seconds_per_epoch", "first_epoch_seconds", "fit_seconds", "test_seconds", "total_seconds",
    "peak_memory_bytes",
}  # fmt: skip


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return run(Experiment("gcn", "sbm/small", GCN_SHORT), 0)


def test_record_has_the_schema(record: dict[str, Any], tmp_path: Path) -> None:
    read = json.loads(Store(tmp_path).write(record).read_text())
    assert set(read) == KEYS
    assert set(read["host"]) == HOST
    assert set(read["cost"]) == COST
    assert (read["schema"], read["status"], read["error"]) == (1, "done", None)
    assert (read["suite"], read["experiment"], read["problem"]) == ("mine", "gcn", "sbm/small")
    assert re.fullmatch(r"gcn@sbm-small@seed0@[0-9a-f]{8}", read["id"])
    assert read["fingerprint"].startswith(read["id"].rsplit("@", 1)[1])
    sizes = read["data"]["split"]
    assert (sizes["train"], sizes["val"], sizes["test"], sizes["hidden"]) == (600, 200, 200, 0)
    assert read["data"]["files"] == {}
    assert read["settings"]["recipe"]["train"]["lr"] == 0.01  # a default is written down too
    assert (read["metric"], read["higher_is_better"]) == ("accuracy", True)
    assert read["hidden"] is None
    assert read["production"] is None
    assert read["reported"] is None
    assert read["cost"]["peak_memory_bytes"] > 10 * 2**20


def test_history_holds_a_column_per_score_and_the_kept_epoch(record: dict[str, Any]) -> None:
    history = record["history"]
    assert {"epoch", "loss", "val_accuracy", "val_loss"} <= set(history)
    assert {len(column) for column in history.values()} == {record["epochs"]} == {3}
    best = max(history["val_accuracy"])
    assert record["epoch"] == history["val_accuracy"].index(best)
    assert record["val"]["accuracy"] == pytest.approx(best, rel=1e-5)
    assert record["last"]["val"]["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)


class Spy:
    """A recipe that keeps what it was shown and what it gave."""

    def __init__(self) -> None:
        self.problem: Problem | None = None
        self.fitted: Fitted | None = None

    def __call__(self, problem: Problem) -> Fitted:
        self.problem = problem
        self.fitted = GCN_SHORT(problem)
        return self.fitted


def spied(problem: Any) -> tuple[Spy, dict[str, Any]]:
    spy = Spy()

    def recipe(blind: Problem) -> Fitted:
        return spy(blind)

    return spy, run(Experiment("spy", problem, recipe), 0)


def test_recipe_sees_the_blind_problem_and_the_test_is_of_the_original() -> None:
    spy, record = spied("sbm/small")
    original = load_problem("sbm/small", seed=0)
    assert spy.problem is not None
    assert spy.fitted is not None
    assert len(spy.problem.split.test) == 0
    shown, known = spy.problem.answers, original.answers
    assert shown is not None
    assert known is not None
    assert (shown[original.split.test] == -1).all()
    assert torch.equal(shown[original.split.train], known[original.split.train])
    assert record["test"] == evaluate(spy.fitted.model, original, "test")
    assert record["last"]["test"] == evaluate(spy.fitted.last, original, "test")
    assert record["test"]["accuracy"] != 0.0


def sbm__hidden(seed: int) -> Problem:
    problem = load_problem("sbm/small", seed=seed)
    return replace(problem, split=hide(problem.split, seed, part=0.3))


def test_production_weighs_test_and_hidden_by_their_items() -> None:
    spy, record = spied(sbm__hidden)
    assert record["problem"] == "sbm/hidden"
    assert spy.problem is not None
    assert spy.problem.num_items == 1000 - 60  # hidden nodes are not even there
    sizes = record["data"]["split"]
    assert (sizes["test"], sizes["hidden"]) == (140, 60)
    for name in ("accuracy", "loss"):
        mean = (140 * record["test"][name] + 60 * record["hidden"][name]) / 200
        assert record["production"][name] == pytest.approx(mean)
    assert record["test"]["loss"] != record["hidden"]["loss"]


def failing(problem: Problem) -> Fitted:
    """Fails with a word to look for."""
    raise RuntimeError("wrong turn")


def test_failing_recipe_becomes_a_record(tmp_path: Path) -> None:
    record = run(Experiment("failing", "sbm/small", failing), 0)
    read = json.loads(Store(tmp_path).write(record).read_text())
    assert read["status"] == "failed"
    assert (read["error"]["type"], read["error"]["message"]) == ("RuntimeError", "wrong turn")
    assert "in failing" in read["error"]["traceback"]
    assert read["cost"]["total_seconds"] > 0
    assert "test" not in read


def full(problem: Problem) -> Fitted:
    """Finds no space for its state."""
    raise StorageError("cannot write state: No space left on device")


def interrupted(problem: Problem) -> Fitted:
    """Is stopped by hand."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("recipe", [full, interrupted])
def test_full_disk_and_interrupt_are_no_result(recipe: Any) -> None:
    with pytest.raises((StorageError, KeyboardInterrupt)):
        run(Experiment("stopped", "sbm/small", recipe), 0)


def test_undefined_score_is_null_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undefined(model: Model, problem: Problem, part: str) -> dict[str, float]:
        return evaluate(model, problem, part) | {"accuracy": math.nan}

    monkeypatch.setattr("graphkit.bench.run.evaluate", undefined)
    record = run(Experiment("gcn", "sbm/small", GCN_SHORT), 0)
    text = Store(tmp_path).write(record).read_text()
    assert "NaN" not in text
    read = json.loads(text)
    assert read["test"]["accuracy"] is None
    assert read["test"]["loss"] is not None
    assert "test.accuracy" in read["notes"]["undefined"]
    assert "val.accuracy" not in read["notes"]["undefined"]


def count_layers(model: Model, problem: Problem) -> Mapping[str, float]:
    """Measures on the original problem."""
    return {"test_items": len(problem.split.test), "items": problem.num_items}


def test_reported_and_measured_columns() -> None:
    reported = Reported(0.9, "A paper, table 1", std=0.01, seeds=5)
    experiment = Experiment("gcn", "sbm/small", GCN_SHORT, reported=reported, measure=count_layers)
    record = run(experiment, 1, suite="other")
    assert record["suite"] == "other"
    assert record["seed"] == 1
    assert record["measures"] == {"test_items": 200, "items": 1000}
    assert record["reported"] == {
        "value": 0.9, "std": 0.01, "column": "test", "source": "A paper, table 1", "seeds": 5,
    }  # fmt: skip
    assert record["settings"]["measure"]["name"] == "count_layers"
    assert record["fingerprint"] != Experiment("gcn", "sbm/small", GCN_SHORT).fingerprint


def test_loader_keeps_the_problem_of_a_seed() -> None:
    loader = Loader()
    experiment = Experiment("gcn", "sbm/small", GCN_SHORT)
    first = loader(experiment, 0)
    assert loader(experiment, 0) is first
    other = loader(experiment, 1)
    assert other is not first
    assert other.prepared is first.prepared
    assert not torch.equal(other.split.train, first.split.train)


@pytest.mark.parametrize("problem", ["csl/generated", "synthetic/events-small"])
def test_other_kinds_of_problems(problem: str) -> None:
    from graphkit.bench import preset

    model = "edge-bank" if "events" in problem else "gcn"
    record = run(preset(model, problem, seeds=(0,), train={"epochs": 1}), 0)
    assert record["error"] is None
    assert record["test"][record["metric"]] >= 0


def test_what_cannot_be_kept_is_refused_before_it_is_fitted(tmp_path: Path) -> None:
    """Not after hours of training: were they called, the recipes would fail with another word."""

    class Mine(GCN):
        """A network that no list has."""

    def called(problem: Problem) -> Fitted:
        raise AssertionError("it was fitted")

    for recipe, says in (
        (called, "cannot be kept"),
        (Supervised(Mine), "no network of the library"),
    ):
        record = run(Experiment("mine", "sbm/small", recipe), 0, keep=tmp_path / "m.safetensors")
        assert record["status"] == "failed"
        assert says in record["error"]["message"]
        assert "history" not in record
    assert not list(tmp_path.iterdir())


def test_a_kept_model_answers_as_the_record_says(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    record = run(Experiment("gcn", "sbm/small", GCN_SHORT), 0, keep=path)
    again = run(Experiment("gcn", "sbm/small", GCN_SHORT), 0)
    assert record["test"] == again["test"]  # keeping draws no random number
    saved = load_model(path)
    assert saved.about["run"] == record["id"]
    assert evaluate(saved.model, load_problem("sbm/small"), "test") == record["test"]
