"""A recipe is a value: its settings can be written down in full."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from graphkit import Supervised, TrainConfig
from graphkit.data.batching import SampledNodes
from graphkit.tasks import Dims
from graphkit.train import Cosine, Patience, Recipe, describe
from tests.train.problems import nodes


def small(dims: Dims, *, hidden: int = 8, dropout: float = 0.5) -> nn.Module:
    """Rows through two linear maps."""

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Sequential(
                nn.Linear(dims.in_channels, hidden), nn.Linear(hidden, dims.out_channels)
            )

        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            return self.map(x)

    return Rows()


def test_defaults_of_a_model_are_told() -> None:
    assert describe(small) == {"name": "small", "hidden": 8, "dropout": 0.5}
    assert describe(partial(small, hidden=3)) == {"name": "small", "hidden": 3, "dropout": 0.5}
    assert describe(partial(partial(small, hidden=3), hidden=4))["hidden"] == 4


def test_defaults_of_a_class_are_told() -> None:
    from graphkit.models.baselines import SGC

    told = describe(partial(SGC, hops=3))
    assert told == {"name": "SGC", "hops": 3, "dropout": 0.0, "undirected": True}


def test_a_recipe_is_told_in_full() -> None:
    config = TrainConfig(
        lr=0.1, schedule=Cosine(0.5), stop=Patience(7), batching=SampledNodes((3, 2), 9)
    )
    told = describe(Supervised(partial(small, hidden=3), config, decay=("map",)))
    assert told["name"] == "Supervised"
    assert told["model"] == {"name": "small", "hidden": 3, "dropout": 0.5}
    assert told["decay"] == ["map"]
    assert told["train"]["schedule"] == {"name": "Cosine", "last": 0.5}
    assert told["train"]["stop"] == {"name": "Patience", "epochs": 7, "after": 0}
    batching = {"name": "SampledNodes", "fanouts": [3, 2], "batch_size": 9}
    assert told["train"]["batching"] == batching
    assert set(told["train"]) - {"name"} == set(TrainConfig.__dataclass_fields__)
    assert json.loads(json.dumps(told)) == told


def test_each_setting_changes_what_is_told() -> None:
    told = {
        json.dumps(describe(recipe))
        for recipe in (
            Supervised(small),
            Supervised(partial(small, hidden=9)),
            Supervised(small, TrainConfig(lr=0.02)),
            Supervised(small, decay=("a",)),
            Supervised(small, TrainConfig(stop=Patience(1))),
        )
    }
    assert len(told) == 5
    assert describe(Supervised(partial(small, hidden=8))) == describe(Supervised(small))


def test_watching_is_no_setting() -> None:
    silent, watched = Supervised(small), Supervised(small, on_epoch=print)
    assert describe(silent) == describe(watched)
    assert silent == watched
    assert "on_epoch" not in repr(watched)


def test_a_recipe_fits_and_is_watched() -> None:
    rows: list[dict[str, float]] = []
    recipe = Supervised(small, TrainConfig(epochs=3), on_epoch=rows.append)
    assert isinstance(recipe, Recipe)
    assert recipe(nodes().blind()).history == rows
    assert len(rows) == 3


@dataclass(frozen=True)
class Holds:
    """Holds anything."""

    thing: Any


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (torch.zeros(2, 3), {"tensor": [2, 3]}),
        ({1: (True, None)}, {"1": [True, None]}),
        (range(3), [0, 1, 2]),
        (nn.ReLU(), {"name": "ReLU", "repr": "ReLU()", "weights": "2d06800538d394c2"}),
    ],
)
def test_other_values(thing: Any, told: Any) -> None:
    assert describe(Holds(thing)) == {"name": "Holds", "thing": told}


def test_two_networks_trained_alike_are_told_apart() -> None:
    first, second = nn.Linear(2, 1), nn.Linear(2, 1)
    assert describe(Holds(first)) != describe(Holds(second))
    second.load_state_dict(first.state_dict())
    assert describe(Holds(first)) == describe(Holds(second))


def test_what_cannot_be_written_down_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        describe(Holds(object()))


def test_a_positional_setting_is_told() -> None:
    """It would change the result, so it must change the fingerprint."""

    def first(width: int, dims: Dims) -> nn.Module:
        return small(dims, hidden=width)

    assert describe(partial(first, 3)) != describe(partial(first, 4))
