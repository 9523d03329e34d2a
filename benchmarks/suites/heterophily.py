"""Nodes whose neighbours differ: scans over the nodes beside attention and message passing.

Minesweeper and Tolokers at 50,000 parameters a model, where a step takes the whole graph at once;
Actor, Texas and Wisconsin at 100,000, of which the first map of their 932 and 1,703 words takes the
most. Every width stands here as a number and brings its model within 5 % of ``BUDGETS``. Raw files
of Cornell were not at hand.

``graph-mamba`` scans the nodes by degree, from both ends, beside a gated convolution: GraphGPS with
a scan for attention. ``-walks`` first reads each node's walks, ``-pe`` adds eight Laplacian
eigenvectors: both together are GMN as published. ``-one-way``, ``-no-mpnn`` and ``-ppr`` take one
thing away or change it. ``graph-mamba-hybrid`` is Graph-Mamba (GMB). The others stand in one frame:
residuals, batch normalisation, four layers (GAT 3; Graph Transformer 3, on words 5: the numbers for
which the heads divide a width that meets the budget). Edges are those of the data: one way in
Actor, Texas and Wisconsin.

**Protocol.** Seed n is split n of ten; Tolokers and the rows with something taken away have three.
All rows are trained alike: Adam, 3e-3, gradient norm 1, at most 300 epochs, the epoch best on
validation (area under the ROC curve on the first two, accuracy on the others), patience 100. The
GMN paper's rate is 1e-3, its widths, dropout and walks are not published.

Source: Behrouz and Hashemi, "Graph Mamba", KDD 2024, table of heterophilic graphs, with rows of
Platonov et al., ICLR 2023. Plain GAT is not their GAT-sep: no figure stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from graphkit.bench import Experiment, Reported
from graphkit.models import (
    FramedGAT,
    FramedGCN,
    FramedMLP,
    FramedSAGE,
    GraphMamba,
    GraphMambaHybrid,
    GraphTransformer,
)
from graphkit.models.graph_mamba import Scan, Walks
from graphkit.train import Patience, Supervised, TrainConfig

GMN = "Behrouz and Hashemi, KDD 2024, heterophilic graphs"
OWN = "Platonov et al., ICLR 2023, ten splits"
MINES, TOLOKERS = "minesweeper/fixed", "tolokers/fixed"
BUDGETS = {
    "texas/geom-gcn": 100_000,
    "wisconsin/geom-gcn": 100_000,
    MINES: 50_000,
    "actor/geom-gcn": 100_000,
    TOLOKERS: 50_000,
}
TRAIN = TrainConfig(epochs=300, lr=3e-3, clip_norm=1.0, stop=Patience(100))
# Share dropped in training; 0.5 where the features are words.
DROPOUT = {MINES: 0.2, TOLOKERS: 0.2}

_walks = partial(GraphMamba, num_layers=1, walks=Walks(length=2))
MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": partial(FramedMLP, num_layers=4),
    "gcn": partial(FramedGCN, num_layers=4),
    "graphsage": partial(FramedSAGE, num_layers=4),
    "gat": partial(FramedGAT, num_layers=3),
    "graph-transformer": partial(GraphTransformer, heads=4),
    "graph-mamba": partial(GraphMamba, num_layers=2),
    "graph-mamba-hybrid": partial(GraphMambaHybrid, num_layers=4),
    "graph-mamba-walks": _walks,
    "graph-mamba-pe": partial(GraphMamba, num_layers=2, encoding=8),
    "graph-mamba-walks-pe": partial(_walks, encoding=8),
    "graph-mamba-walks-pe-one-way": partial(_walks, encoding=8, scan=Scan(both_ways=False)),
    "graph-mamba-walks-pe-no-mpnn": partial(_walks, encoding=8, scan=Scan(mpnn=False)),
    "graph-mamba-walks-pe-ppr": partial(_walks, encoding=8, scan=Scan(order="ppr")),
}
TAKEN_AWAY = tuple(name for name in MODELS if name.startswith("graph-mamba-walks-pe-"))

_WORDS = {
    "mlp": 51,
    "gcn": 51,
    "graphsage": 47,
    "graph-transformer": 32,
    "graph-mamba": 30,
    "graph-mamba-hybrid": 29,
    "graph-mamba-walks": 31,
}
WIDTHS: dict[str, dict[str, int]] = {
    "texas/geom-gcn": _WORDS,
    "wisconsin/geom-gcn": _WORDS,
    MINES: {
        "mlp": 102,
        "gcn": 102,
        "graphsage": 75,
        "gat": 112,
        "graph-transformer": 44,
        "graph-mamba": 31,
        "graph-mamba-hybrid": 29,
        "graph-mamba-walks": 32,
        "graph-mamba-pe": 31,
        "graph-mamba-walks-pe": 32,
        "graph-mamba-walks-pe-one-way": 44,
        "graph-mamba-walks-pe-no-mpnn": 34,
        "graph-mamba-walks-pe-ppr": 32,
    },
    "actor/geom-gcn": {
        "mlp": 77,
        "gcn": 77,
        "graphsage": 66,
        "graph-transformer": 40,
        "graph-mamba": 36,
        "graph-mamba-hybrid": 34,
        "graph-mamba-walks": 37,
    },
    TOLOKERS: {
        "mlp": 101,
        "gcn": 101,
        "graphsage": 75,
        "gat": 112,
        "graph-transformer": 44,
        "graph-mamba": 31,
        "graph-mamba-hybrid": 29,
        "graph-mamba-walks": 32,
        "graph-mamba-walks-pe": 32,
    },
}
_PUBLISHED = {
    ("mlp", MINES): Reported(0.5089, f"{OWN}, MLP with residuals", 0.0139, 10),
    ("mlp", TOLOKERS): Reported(0.7295, f"{OWN}, MLP with residuals", 0.0106, 10),
    ("gcn", MINES): Reported(0.8975, GMN, 0.0052),
    ("gcn", TOLOKERS): Reported(0.8364, GMN, 0.0067),
    ("graphsage", MINES): Reported(0.9351, OWN, 0.0057, 10),
    ("graphsage", TOLOKERS): Reported(0.8243, OWN, 0.0044, 10),
    ("graph-mamba-pe", MINES): Reported(0.8993, f"{GMN}, GPS + BiMamba", 0.0054, 4),
    ("graph-mamba-walks", MINES): Reported(0.9011, f"{GMN}, without PE", 0.0025, 4),
    ("graph-mamba-walks-pe", MINES): Reported(0.9101, f"{GMN}, GMN", 0.0023, 4),
    ("graph-mamba-walks-pe", TOLOKERS): Reported(0.8452, f"{GMN}, GMN", 0.0021, 4),
    ("graph-mamba-walks-pe-one-way", MINES): Reported(0.8597, f"{GMN}, one way", 0.0028, 4),
    ("graph-mamba-walks-pe-no-mpnn", MINES): Reported(0.8983, f"{GMN}, no MPNN", 0.0031, 4),
    ("graph-mamba-walks-pe-ppr", MINES): Reported(0.8991, f"{GMN}, PPR order", 0.0021, 4),
}


def _rows(problem: str) -> tuple[Experiment, ...]:
    """The models that have a width on a problem."""
    rows = []
    for name, width in WIDTHS[problem].items():
        given: dict[str, Any] = {"dropout": DROPOUT.get(problem, 0.5)}
        if name == "graph-transformer":
            given["num_layers"] = 3 if problem in (MINES, TOLOKERS) else 5
        few = problem == TOLOKERS or name in TAKEN_AWAY
        seeds: Sequence[int] = range(3) if few else range(10)
        recipe = Supervised(partial(MODELS[name], hidden_channels=width, **given), TRAIN)
        rows.append(Experiment(name, problem, recipe, seeds, _PUBLISHED.get((name, problem))))
    return tuple(rows)


SUITE = tuple(experiment for problem in BUDGETS for experiment in _rows(problem))
