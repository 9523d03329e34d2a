"""Circular skip links: what encodings, walks and ego networks tell apart, 100,000 parameters each.

Ten classes of graphs in which every node has degree 4 and nothing else: without an encoding,
message passing and attention along the edges see one graph (0.10, the share of one class). Those
rows are the negative controls; what is above 0.10 without ``-pe`` owes it to the network. ``-pe``
adds 20 Laplacian eigenvectors (signs drawn in training), ``-walk`` the chance that a walk of up to
16 steps returns, which differs between all ten classes from 8 steps on. SPEN takes no encoding: its
ego networks are the structure it reads (their size is that of the degree, so weights are shared by
all). Every width stands here as a number and brings its model within 5 % of ``BUDGETS``.

Which pairs of non-isomorphic graphs untrained networks separate is measured apart, by
``benchmarks/expressivity.py``.

**Protocol.** Seed n is fold n of five, drawn by us (the paper: 20 seeds for each fold of its own);
batch 5, 5e-4, plateau on the validation loss with a patience of 5, stop at 1e-6; the last epoch
counts. Published figures are those of MPNNs; of the others none is published.

Source: Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023, table of CSL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import nn

from graphkit.bench import Experiment, Reported
from graphkit.bench.presets import BENCHMARKING_GNNS
from graphkit.data import Graphs
from graphkit.models import (
    SPEN,
    FramedGCN,
    FramedGIN,
    GatedGCN,
    GraphMamba,
    GraphMambaHybrid,
    GraphTransformer,
    WalkGraphTransformer,
)
from graphkit.models.graph_mamba import Walks
from graphkit.train import Plateau, Supervised

PLACES = 20
_gin = partial(FramedGIN, num_layers=4, readout="sum")
_gcn = partial(FramedGCN, num_layers=4, readout="mean")
_gated = partial(GatedGCN, num_layers=4, readout="mean")
_gt = partial(GraphTransformer, hidden_channels=48, num_layers=5, heads=4, readout="mean")
_mamba = partial(GraphMamba, num_layers=2, readout="mean")
_hybrid = partial(GraphMambaHybrid, hidden_channels=42, num_layers=4, readout="mean")
_spen = partial(SPEN, hidden_channels=18, share="all", readout="mean")

MODELS: dict[str, Callable[..., nn.Module]] = {
    "gin": partial(_gin, hidden_channels=106),
    "gin-pe": partial(_gin, hidden_channels=105, encoding=PLACES),
    "gatedgcn": partial(_gated, hidden_channels=69),
    "gatedgcn-pe": partial(_gated, hidden_channels=68, encoding=PLACES),
    "graph-transformer": _gt,
    "graph-transformer-pe": partial(_gt, encoding=PLACES),
    "graph-transformer-walk": partial(
        WalkGraphTransformer,
        hidden_channels=48,
        num_layers=5,
        heads=4,
        encoding=16,
        readout="mean",
    ),
    "spen": _spen,
    "spen-2-hops": partial(_spen, num_hops=2),
    "graph-mamba": partial(_mamba, hidden_channels=46),
    "graph-mamba-pe": partial(_mamba, hidden_channels=45, encoding=PLACES),
    "graph-mamba-walks": partial(
        GraphMamba,
        hidden_channels=47,
        num_layers=1,
        walks=Walks(length=6, num_walks=4),
        readout="mean",
    ),
    "graph-mamba-hybrid": _hybrid,
    "graph-mamba-hybrid-pe": partial(_hybrid, encoding=PLACES),
    "gcn": partial(_gcn, hidden_channels=145),
    "gcn-pe": partial(_gcn, hidden_channels=143, encoding=PLACES),
}
_NONE = "Dwivedi et al., JMLR 2023, CSL without encodings"
_WITH = "Dwivedi et al., JMLR 2023, CSL with 20 eigenvectors"
_PUBLISHED = {
    **{name: Reported(0.10, _NONE, 0.0, 100) for name in ("gin", "gatedgcn", "gcn")},
    "gin-pe": Reported(0.99333, _WITH, 0.01333, 100),
    "gatedgcn-pe": Reported(0.99600, _WITH, 0.01083, 100),
    "gcn-pe": Reported(1.0, _WITH, 0.0, 100),
}
TRAIN = replace(BENCHMARKING_GNNS, lr=5e-4, schedule=Plateau(5), min_lr=1e-6, batching=Graphs(5))

SUITE = tuple(
    Experiment(name, "csl/5fold", Supervised(model, TRAIN), range(5), _PUBLISHED.get(name))
    for name, model in MODELS.items()
)
BUDGETS = {"csl/5fold": 100_000}
