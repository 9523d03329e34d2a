"""What a step does to which parameters."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphkit.models.base import Model, as_model
from graphkit.train import Alternate, Cosine, GradientUpdate, Supervised, TrainConfig, Update, fit
from tests.train.killed import digest
from tests.train.problems import NodeNet, nodes, sampled

Batch = Any


class Two(Model):
    """Two parameters of three numbers whose loss is their sum: each gradient is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), 2.0))
        self.choice = nn.Parameter(torch.full((3,), 2.0))

    def losses(self, batch: Batch, task: Any) -> dict[str, Tensor]:
        return {"a": self.weight.sum(), "b": self.choice.sum()}


def plain(lr: float, decay: float = 0.0) -> TrainConfig:
    """Steps of plain descent."""
    return TrainConfig(lr=lr, weight_decay=decay, optimizer="sgd")


def test_all_terms_are_followed() -> None:
    model = Two()
    assert GradientUpdate(model, nodes().task, plain(0.5))(None) == {"a": 6.0, "b": 6.0}
    assert model.weight.tolist() == [1.5] * 3
    assert model.choice.tolist() == [1.5] * 3


def test_parameters_not_named_are_not_stepped() -> None:
    model = Two()
    update = GradientUpdate(model, nodes().task, plain(0.5), [model.weight])
    update(None)
    assert list(update.parameters()) == [model.weight]
    assert model.weight.tolist() == [1.5] * 3
    assert model.choice.tolist() == [2.0] * 3


def test_groups_have_rates_of_their_own() -> None:
    model = Two()
    groups: list[dict[str, Any]] = [
        {"params": [model.weight], "lr": 0.25},
        {"params": [model.choice]},
    ]
    GradientUpdate(model, nodes().task, plain(0.5), groups)(None)
    assert model.weight.tolist() == [1.75] * 3
    assert model.choice.tolist() == [1.5] * 3


def test_parameters_without_gradient_are_left_out() -> None:
    model = Two()
    model.choice.requires_grad_(False)
    assert list(GradientUpdate(model, nodes().task, plain(0.5)).parameters()) == [model.weight]


class Decayed(Model):
    """Its loss does not depend on its parameters: only decay moves them."""

    def __init__(self, dims: Any) -> None:
        super().__init__()
        self.first, self.last = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))

    def forward(self, batch: Batch) -> Tensor:
        nothing = 0 * (self.first.sum() + self.last.sum())
        return torch.zeros(len(batch.x), 2) + nothing


@pytest.mark.parametrize(("decay", "last"), [(("first",), 1.0), ((), 0.95), (("f", "la"), 0.95)])
def test_decay_is_for_the_named_parameters_alone(decay: tuple[str, ...], last: float) -> None:
    config = TrainConfig(epochs=1, lr=0.5, weight_decay=0.1, optimizer="sgd")
    fitted = Supervised(Decayed, config, decay=decay)(nodes().blind())
    first, found = fitted.last.first, fitted.last.last
    assert first.tolist() == pytest.approx([0.95] * 2)  # type: ignore[operator]
    assert found.tolist() == pytest.approx([last] * 2)  # type: ignore[operator]


class Nothing(Model):
    """Has no parameters."""

    def forward(self, batch: Batch) -> Tensor:
        return batch.x[:, :2]


@pytest.mark.parametrize("schedule", [None, Cosine()])
def test_no_parameters_is_fine(schedule: Any) -> None:
    fitted = fit(Nothing(), nodes().blind(), TrainConfig(epochs=2, schedule=schedule))
    expected = {"epoch", "loss", "val_accuracy", "val_loss"}
    assert [set(row) for row in fitted.history] == [expected] * 2
    model = Nothing()
    update = GradientUpdate(model, nodes().task, TrainConfig(schedule=schedule))
    assert list(update.parameters()) == []
    update.load_state_dict(update.state_dict())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_state_goes_back(optimizer: Any) -> None:
    """Two steps, saved, two more: the same as from the saved state on a fresh update."""
    problem = nodes().blind()
    config = TrainConfig(epochs=9, lr=0.1, optimizer=optimizer, schedule=Cosine())
    [batch] = problem.batches("train")

    def made() -> tuple[nn.Module, GradientUpdate]:
        model = as_model(NodeNet())
        model.net.dropout.p = 0.0  # type: ignore[union-attr]
        return model, GradientUpdate(model, problem.task, config)

    def steps(update: GradientUpdate) -> None:
        for _ in range(2):
            update(batch)
            update.after_epoch({"loss": 1.0})

    (model, update), (other, fresh) = made(), made()
    steps(update)
    weights, state = deepcopy(model.state_dict()), deepcopy(update.state_dict())
    steps(update)
    other.load_state_dict(weights)
    fresh.load_state_dict(state)
    assert fresh.steps == 2
    steps(fresh)
    assert digest(other) == digest(model)
    assert fresh.after_epoch({}) == update.after_epoch({})


def numbered(seen: list[tuple[int, int]], epoch: int, first: int) -> Iterator[tuple[int, int]]:
    """Three held-out batches an epoch, each named by its place."""
    for step in range(first, 3):
        seen.append((epoch, step))
        yield epoch, step


def alternate(model: Two, seen: list[tuple[int, int]]) -> Alternate:
    """Weights by 0.5, choices by 0.25 a step."""
    task = nodes().task
    return Alternate(
        GradientUpdate(model, task, plain(0.5), [model.weight]),
        GradientUpdate(model, task, plain(0.25), [model.choice]),
        partial(numbered, seen),
    )


def test_alternate_steps_both() -> None:
    model, seen = Two(), list[tuple[int, int]]()
    update = alternate(model, seen)
    assert isinstance(update, Update)
    terms = update(None)
    assert terms == {"a": 6.0, "b": 6.0, "outer_a": 4.5, "outer_b": 6.0}  # after the inner step
    assert model.weight.tolist() == [1.5] * 3
    assert model.choice.tolist() == [1.75] * 3
    assert update.after_epoch({"loss": 1.0}) == {"lr": 0.5, "outer_lr": 0.25}


@pytest.mark.parametrize("before", [0, 1, 3, 4, 6])
def test_alternate_resumes_at_the_same_held_out_batch(before: int) -> None:
    unbroken: list[tuple[int, int]] = []
    whole = alternate(Two(), unbroken)
    for _ in range(8):
        whole(None)
    assert unbroken == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]

    seen: list[tuple[int, int]] = []
    first = alternate(Two(), seen)
    for _ in range(before):
        first(None)
    second = alternate(Two(), seen)
    second.load_state_dict(first.state_dict())
    for _ in range(before, 8):
        second(None)
    assert seen == unbroken
    assert second.state_dict()["inner"]["steps"] == 8


def test_alternate_over_two_halves_of_the_training_part() -> None:
    weights, choices = sampled().blind().halve_train()

    class Both(Model):
        def __init__(self) -> None:
            super().__init__()
            self.map, self.gate = nn.Linear(4, 2), nn.Parameter(torch.zeros(4))

        def forward(self, batch: Batch) -> Tensor:
            return self.map(batch.x * self.gate.sigmoid())

    model, config = Both(), TrainConfig(epochs=2, lr=0.1)
    update = Alternate(
        GradientUpdate(model, weights.task, config, model.map.parameters()),
        GradientUpdate(model, weights.task, config, [model.gate]),
        partial(choices.batches, "train", model),
    )
    row = fit(model, weights, config, update=update).history[-1]
    assert {"loss", "outer_loss", "lr", "outer_lr"} <= set(row)
    assert bool((model.gate != 0).all())
