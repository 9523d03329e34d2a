"""Settings are checked when they are made; schedules move the rate as they say."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from graphkit.errors import SettingError
from graphkit.train import Cosine, Patience, Plateau, TrainConfig, fit
from tests.train.problems import NodeNet, nodes

OUT_OF_RANGE = {
    "epochs": (0, -1),
    "lr": (0.0, -0.1, float("nan")),
    "weight_decay": (-1e-9, float("nan")),
    "clip_norm": (0.0, -1.0),
    "min_lr": (-1.0,),
    "evaluate_every": (0,),
    "optimizer": ("adagrad",),
    "keep": ("first",),
    "precision": ("float16",),
    "on_nan": ("raise",),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in OUT_OF_RANGE.items() for value in values]
)
def test_a_value_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=rf"^{name}=.*expected"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize("values", [{"factor": 0.0}, {"factor": 1.0}, {"patience": -1}])
def test_a_plateau_out_of_range_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="Plateau"):
        Plateau(**values)


@pytest.mark.parametrize(
    ("keep", "scores", "kept"),
    [
        ("best", [1.0, 2.0, 2.0, 1.0], [True, True, False, False]),
        ("latest_best", [1.0, 2.0, 2.0, 1.0], [True, True, True, False]),
        ("last", [1.0, 2.0, 2.0, 1.0], [True, True, True, True]),
        ("best", [math.nan, 2.0, 1.0], [True, True, False]),
        ("best", [2.0, math.nan, 1.0, 3.0], [True, False, False, True]),
    ],
)
def test_which_epoch_counts(keep: Any, scores: list[float], kept: list[bool]) -> None:
    config = TrainConfig(keep=keep)
    assert [config.is_kept(scores[: n + 1]) for n in range(len(scores))] == kept


def test_a_fit_ends_by_epochs_rate_or_rule() -> None:
    config = TrainConfig(epochs=10, min_lr=1e-3, stop=Patience(1))
    assert not config.ends([1.0], {"epoch": 0, "lr": 1e-3})
    assert config.ends([1.0], {"epoch": 0, "lr": 0.9e-3})
    assert config.ends([1.0], {"epoch": 9})
    assert config.ends([1.0, 0.5], {"epoch": 1})


def test_plateau_acts_one_epoch_after_its_patience() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    schedule = Plateau(patience=2, factor=0.5).build(optimizer, 100)
    rates = []
    for _ in range(8):  # the first loss is the best there is
        schedule.step(1.0)  # type: ignore[arg-type]
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_min_lr_stops_a_fit_on_a_plateau() -> None:
    config = TrainConfig(epochs=50, lr=0.4, schedule=Plateau(patience=0, factor=0.5), min_lr=0.06)

    class Constant(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            return 0 * self.map(x)

    rates = [row["lr"] for row in fit(Constant(), nodes().blind(), config).history]
    assert rates == pytest.approx([0.4, 0.2, 0.1, 0.05])


@pytest.mark.parametrize("evaluate_every", [1, 2])
def test_cosine_ends_at_its_last_share(evaluate_every: int) -> None:
    config = TrainConfig(epochs=5, lr=0.1, schedule=Cosine(last=0.2), evaluate_every=evaluate_every)
    history = fit(NodeNet(), nodes().blind(), config).history
    halves = [0.02 + 0.08 * (1 + math.cos(math.pi * n / 5)) / 2 for n in range(1, 6)]
    assert [row["lr"] for row in history] == pytest.approx(halves)
    assert history[-1]["lr"] == pytest.approx(0.02)
