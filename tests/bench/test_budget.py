"""The width that meets a budget is the one a search over all widths finds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import pytest
import torch
from torch import nn

from graphkit.bench.budget import count_parameters, fit_width
from graphkit.errors import SettingError
from graphkit.models.baselines import SGC
from graphkit.models.framed import FramedGCN, GatedGCN
from graphkit.models.graph_transformer import GraphTransformer
from graphkit.tasks import Dims

BUDGET = 100_000
SHAPES = {
    "zinc": Dims(in_channels=0, out_channels=1, node_symbols=(28,), edge_symbols=(4,)),
    "pattern": Dims(in_channels=0, out_channels=2, node_symbols=(3,)),
}
MODELS: dict[str, tuple[Callable[..., nn.Module], int]] = {
    "gcn": (partial(FramedGCN, num_layers=4), 1),
    "gatedgcn": (partial(GatedGCN, num_layers=4), 1),
    "graph-transformer": (partial(GraphTransformer, num_layers=2), 8),
}


@cache
def counts(model: str, shape: str) -> dict[int, int]:
    """Parameters at every width from 1 to 400 that the model can have."""
    make, multiple = MODELS[model]
    with torch.device("meta"):
        return {
            width: count_parameters(make(SHAPES[shape], hidden_channels=width))
            for width in range(multiple, 401, multiple)
            if width >= 4  # the head's narrowest map has a quarter of the width
        }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", MODELS)
def test_width_is_that_of_a_brute_force_search(model: str, shape: str) -> None:
    make, multiple = MODELS[model]
    table = counts(model, shape)
    best = min(table, key=lambda width: (abs(table[width] - BUDGET), width))
    found = fit_width(make, SHAPES[shape], BUDGET, multiple_of=multiple)
    assert (found.width, found.num_parameters) == (best, table[best])
    assert found.deviation == pytest.approx(table[best] / BUDGET - 1)
    assert abs(found.deviation) <= 0.05


def test_no_width_within_the_tolerance_is_refused() -> None:
    # A map 1 -> w -> 1 in steps of 64 has 193 or 385 numbers: neither is within 5 % of 290.
    def make(dims: Dims, *, hidden_channels: int) -> nn.Module:
        return nn.Sequential(nn.Linear(1, hidden_channels), nn.Linear(hidden_channels, 1))

    with pytest.raises(SettingError, match="within 5%"):
        fit_width(make, SHAPES["zinc"], 290, multiple_of=64)


def test_a_model_without_a_width_is_refused() -> None:
    with pytest.raises(SettingError, match="no hidden_channels"):
        fit_width(SGC, SHAPES["pattern"], BUDGET)
