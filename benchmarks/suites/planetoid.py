"""Cora and PubMed, public split, next to the figures of Liu et al., KDD 2020, table 3."""

from __future__ import annotations

from functools import partial

from graphkit.bench import Experiment, preset
from graphkit.models import DAGNN
from graphkit.train import Supervised, TrainConfig, WindowMean

MODELS = ("mlp", "gcn", "gat", "sgc", "appnp", "dagnn")

_CORA = TrainConfig(epochs=1000, weight_decay=5e-3, monitor="loss", stop=WindowMean(100, after=500))

SUITE = (
    *(preset(model, "cora/public", seeds=range(10)) for model in MODELS),
    *(preset(model, "pubmed/public", seeds=range(5)) for model in MODELS),
    preset("dagnn", "cora/random", seeds=range(5)),
    # what the input dropout and the depth are worth (dagnn, acceptance 2 and 4)
    Experiment(
        "dagnn-no-input-dropout",
        "cora/public",
        Supervised(partial(DAGNN, input_dropout=0.0), _CORA),
        seeds=range(3),
    ),
    Experiment("dagnn-64-hops", "cora/public", Supervised(partial(DAGNN, hops=64), _CORA), (0,)),
)
