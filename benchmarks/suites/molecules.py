"""Molecules at 100,000 parameters a model: a sum over bonds, gates, attention, scans, walks.

Every width stands here as a number and brings its model within 5 % of ``BUDGETS``. Names with
``-pe`` add Laplacian eigenvectors to the input: 8, on AQSOL 4, as the table of the JMLR text does.
``-e`` reads the bonds; so do the Graph Transformer and the three Graph Mambas, GIN does not.

**Data.** The four sets of OGB are the published files, scaffold split. AQSOL (training file),
ZINC and HIV of OGB come in a rebuilt form (``Entry.rebuilt`` of the catalogue): no published
figure stands beside them. ``zinc/subset``, last in the suite, is the published ZINC and is
downloaded where it is missing; without it its rows stay open.

**Protocol.** AQSOL and ZINC: plateau on the validation loss, stop on the rate, the last epoch
counts, batch 128. The others: 100 epochs (HIV 30), Adam with a rate of 1e-3, the epoch that is
best on validation. Four seeds, also on OGB's sets, whose rules ask for ten: no row is a
submission. MoleculeNet draws its split by the seed, three seeds; it needs ``graphkit[chem]``.

Source: Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023, table of ZINC at 100k.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from graphkit.bench import Experiment, Reported
from graphkit.bench.presets import BENCHMARKING_GNNS
from graphkit.data import Graphs
from graphkit.models import FramedGIN, GatedGCN, GraphMamba, GraphMambaHybrid, GraphTransformer
from graphkit.models.graph_mamba import Walks
from graphkit.train import Supervised, TrainConfig

JMLR = "Dwivedi et al., JMLR 2023, results table, ZINC 100k"
MODELS: dict[str, Callable[..., nn.Module]] = {
    "gin": partial(FramedGIN, num_layers=4, readout="sum"),
    "gatedgcn-e": partial(GatedGCN, num_layers=4, readout="mean", edge_features=True),
    "graph-transformer-pe": partial(GraphTransformer, num_layers=5, heads=4, readout="mean"),
    "graph-mamba-hybrid-pe": partial(GraphMambaHybrid, num_layers=4, readout="mean"),
    "graph-mamba-pe": partial(GraphMamba, num_layers=2, readout="mean"),
    "graph-mamba-walks-pe": partial(
        GraphMamba, num_layers=1, walks=Walks(length=4), readout="mean"
    ),
}

# Widths in the order of MODELS, for the sizes of each family of sets.
_OGB = (97, 64, 36, 40, 43, 44)
_MOLECULE_NET = (97, 64, 36, 40, 43, 44)
_AQSOL = (103, 67, 36, 41, 45, 45)
_ZINC = (105, 68, 36, 42, 45, 46)

_BEST = TrainConfig(epochs=100, lr=1e-3)
_HIV = replace(_BEST, epochs=30, batching=Graphs(128))


def _rows(
    problem: str,
    widths: tuple[int, ...],
    train: TrainConfig,
    seeds: Sequence[int] = range(4),
    *,
    places: int = 8,
    reported: Mapping[str, Reported] | None = None,
) -> tuple[Experiment, ...]:
    """All models on one problem, or those of which a figure is reported."""
    rows = []
    for (name, model), width in zip(MODELS.items(), widths, strict=True):
        if reported is not None and name not in reported:
            continue
        given: dict[str, Any] = {"encoding": places} if name.endswith("-pe") else {}
        recipe = Supervised(partial(model, hidden_channels=width, **given), train)
        rows.append(Experiment(name, problem, recipe, seeds, (reported or {}).get(name)))
    return tuple(rows)


SUITE = (
    *_rows("ogbg-molfreesolv/scaffold", _OGB, _BEST),
    *_rows("ogbg-molesol/scaffold", _OGB, _BEST),
    *_rows("ogbg-molbbbp/scaffold", _OGB, _BEST),
    *_rows("ogbg-molbace/scaffold", _OGB, _BEST),
    *_rows("clintox/random", _MOLECULE_NET, _BEST, range(3)),
    *_rows("sider/random", _MOLECULE_NET, _BEST, range(3)),
    *_rows("aqsol/scaffold", _AQSOL, BENCHMARKING_GNNS, places=4),
    *_rows("zinc/subset-rebuilt", _ZINC, BENCHMARKING_GNNS),
    *_rows("esol/random", _MOLECULE_NET, _BEST, range(3)),
    *_rows("bbbp/random", _MOLECULE_NET, _BEST, range(3)),
    *_rows("ogbg-molhiv/scaffold-rebuilt", _OGB, _HIV, range(3)),
    *_rows("hiv/random", _MOLECULE_NET, _HIV, range(3)),
    *_rows(
        "zinc/subset",
        _ZINC,
        BENCHMARKING_GNNS,
        reported={
            "gin": Reported(0.387, JMLR, 0.015, 4),
            "gatedgcn-e": Reported(0.375, JMLR, 0.003, 4),
        },
    ),
)
BUDGETS = dict.fromkeys((experiment.problem_name for experiment in SUITE), 100_000)
