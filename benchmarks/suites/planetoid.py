"""Cora and PubMed, public split, next to the figures of Liu et al., KDD 2020, table 3."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from graphkit.bench import Experiment, preset
from graphkit.models import DAGNN
from graphkit.train import Supervised, TrainConfig, WindowMean

MODELS = ("mlp", "gcn", "gat", "sgc", "appnp", "dagnn")

_CORA = TrainConfig(epochs=1000, weight_decay=5e-3, monitor="loss", stop=WindowMean(100, after=500))


class LastHop(DAGNN):
    """What is left of DAGNN without its gates: the view from the longest distance alone."""

    def forward(self, batch: Any) -> Tensor:
        """Class scores after ``hops`` steps."""
        sparse = batch.get("sparse_x")
        z = self.classify(self.norm(self.encode(batch.x if sparse is None else sparse)).relu())
        for _ in range(self.reach.hops):
            z = batch.adj @ z
        return z


# What the input dropout, the depth and the gates are worth (dagnn, acceptance 2 and 4).
ABLATIONS = tuple(
    Experiment(name, "cora/public", Supervised(model, _CORA), seeds)
    for name, model, seeds in (
        ("dagnn-no-input-dropout", partial(DAGNN, input_dropout=0.0), range(3)),
        ("dagnn-last-hop", LastHop, range(3)),
        ("dagnn-64-hops", partial(DAGNN, hops=64), (0,)),
        ("dagnn-64-hops-last-hop", partial(LastHop, hops=64), (0,)),
    )
)

SUITE = (
    *(preset(model, "cora/public", seeds=range(10)) for model in MODELS),
    *(preset(model, "pubmed/public", seeds=range(5)) for model in MODELS),
    preset("dagnn", "cora/random", seeds=range(5)),
    *ABLATIONS,
)
