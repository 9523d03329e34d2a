"""Every model gets the same number of trials; the seed decides them, validation chooses."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from torch_geometric import seed_everything

from graphkit.bench import Experiment, Tuned
from graphkit.bench.run import run
from graphkit.data.catalogue import load_problem
from graphkit.errors import SettingError
from graphkit.models import GCN, MLP
from graphkit.train import Fitted, TrainConfig

pytest.importorskip("optuna")
TRAIN = TrainConfig(epochs=3)


def tuned(model: Any = GCN, seed: int = 0, **more: Any) -> Fitted:
    seed_everything(seed)
    return Tuned(model, TRAIN, trials=4, **more)(load_problem("sbm/small", seed=seed).blind())


@pytest.mark.parametrize("model", [GCN, MLP, partial(GCN, hidden_channels=8)])
def test_every_model_gets_the_same_number_of_trials(model: Any) -> None:
    trials = tuned(model).notes["trials"]
    assert len(trials) == 4
    assert all(set(row) == {"lr", "weight_decay", "dropout", "accuracy"} for row in trials)
    assert len({row["lr"] for row in trials}) == 4
    assert all(1e-3 <= row["lr"] <= 3e-2 for row in trials)


def test_first_trials_of_a_seed_are_the_same_for_all_models() -> None:
    """TPE draws at random until it knows ten trials, so models meet the same settings."""
    first, second = (tuned(model).notes["trials"] for model in (GCN, MLP))
    assert [row["lr"] for row in first] == [row["lr"] for row in second]


def test_seed_decides_the_trials() -> None:
    assert tuned().notes == tuned().notes
    assert tuned(seed=1).notes["trials"][0]["lr"] != tuned().notes["trials"][0]["lr"]


@pytest.mark.parametrize(("monitor", "best"), [("accuracy", max), ("loss", min)])
def test_best_on_validation_is_kept(monitor: str, best: Any) -> None:
    config = TrainConfig(epochs=3, monitor=monitor)
    fitted = Tuned(GCN, config, trials=4)(load_problem("sbm/small").blind())
    scores = [row[monitor] for row in fitted.notes["trials"]]
    assert fitted.val[f"val_{monitor}"] == best(scores)
    assert len(set(scores)) > 1


def test_without_dropout_values_the_model_is_left_alone() -> None:
    trials = tuned(dropout=()).notes["trials"]
    assert all("dropout" not in row for row in trials)


def test_trials_reach_the_record() -> None:
    experiment = Experiment("gcn-tuned", "sbm/small", Tuned(GCN, TRAIN, trials=2))
    record = run(experiment, 0)
    assert record["status"] == "done", record["error"]
    assert len(record["notes"]["trials"]) == 2
    assert record["settings"]["recipe"]["trials"] == 2
    assert json.loads(json.dumps(record["notes"])) == record["notes"]
    other = Experiment("gcn-tuned", "sbm/small", Tuned(GCN, TRAIN, trials=3))
    assert other.fingerprint != experiment.fingerprint


def test_no_trial_is_refused() -> None:
    with pytest.raises(SettingError, match="trials=0"):
        Tuned(GCN, TRAIN, trials=0)
