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
from graphkit.models.framed import FramedGAT, FramedGCN, GatedGCN
from graphkit.models.graph_transformer import GraphTransformer
from graphkit.tasks import Dims

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
        }


@pytest.mark.parametrize("budget", [100_000, 500_000])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", MODELS)
def test_width_is_that_of_a_brute_force_search(model: str, shape: str, budget: int) -> None:
    """The closest of all widths; refused where even that one is more than 5 % away."""
    make, multiple = MODELS[model]
    table = counts(model, shape)
    best = min(table, key=lambda width: (abs(table[width] - budget), width))
    deviation = table[best] / budget - 1
    if abs(deviation) > 0.05:
        with pytest.raises(SettingError, match=f"the closest, {best}, has {table[best]}"):
            fit_width(make, SHAPES[shape], budget, multiple_of=multiple)
    else:
        found = fit_width(make, SHAPES[shape], budget, multiple_of=multiple)
        assert (found.width, found.num_parameters) == (best, table[best])
        assert found.deviation == pytest.approx(deviation)


def test_both_outcomes_of_the_search_are_met_above() -> None:
    """Steps of eight leave gaps: at 100,000 the Graph Transformer has no width, at 500,000 one."""
    sizes = counts("graph-transformer", "zinc").values()
    assert min(abs(size / 100_000 - 1) for size in sizes) > 0.05
    assert min(abs(size / 500_000 - 1) for size in sizes) < 0.05


def test_five_per_cent_is_the_limit() -> None:
    """50 numbers a step: 100 is 4.8 % below 105, and 5.7 % below 106."""

    def make(dims: Dims, *, hidden_channels: int) -> nn.Module:
        return nn.Linear(50 * hidden_channels, 1, bias=False)

    assert fit_width(make, SHAPES["zinc"], 96).num_parameters == 100
    assert fit_width(make, SHAPES["zinc"], 105).deviation == pytest.approx(100 / 105 - 1)
    with pytest.raises(SettingError, match=r"within 5%.*\(-5\.7%\)"):
        fit_width(make, SHAPES["zinc"], 106)


def test_a_heads_multiple_that_is_left_out_is_an_error_before_training() -> None:
    with pytest.raises(SettingError, match="8 heads do not divide a width of 20"):
        FramedGAT(SHAPES["zinc"], hidden_channels=20)


def test_no_width_within_the_tolerance_is_refused() -> None:
    # A map 1 -> w -> 1 in steps of 64 has 193 or 385 numbers: neither is within 5 % of 290.
    def make(dims: Dims, *, hidden_channels: int) -> nn.Module:
        return nn.Sequential(nn.Linear(1, hidden_channels), nn.Linear(hidden_channels, 1))

    with pytest.raises(SettingError, match="within 5%"):
        fit_width(make, SHAPES["zinc"], 290, multiple_of=64)


def test_a_model_without_a_width_is_refused() -> None:
    with pytest.raises(SettingError, match="no hidden_channels"):
        fit_width(SGC, SHAPES["pattern"], 100_000)
