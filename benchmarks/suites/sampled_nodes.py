"""GraphSAGE trained on sampled neighbourhoods beside the same network on the full graph."""

from __future__ import annotations

from functools import partial

from graphkit.bench import Experiment
from graphkit.data import SampledNodes
from graphkit.models import GraphSAGE
from graphkit.train import Supervised, TrainConfig

_SAMPLED = SampledNodes(fanouts=(10, 10), batch_size=512)

# PubMed has 60 training nodes, one batch: as many steps as on the full graph.
SUITE = tuple(
    Experiment(
        name,
        problem,
        Supervised(
            partial(GraphSAGE, input_dropout=dropout),
            TrainConfig(epochs=epochs, lr=lr, weight_decay=decay, batching=batching),
        ),
        seeds=range(3),
    )
    for name, problem, dropout, decay, batching, epochs, lr in (
        ("graphsage-full", "pubmed/public", 0.5, 5e-4, None, 100, 0.01),
        ("graphsage-sampled", "pubmed/public", 0.5, 5e-4, _SAMPLED, 100, 0.01),
        ("graphsage-full", "debian-deps/source", 0.0, 1e-4, None, 100, 0.01),
        ("graphsage-sampled", "debian-deps/source", 0.0, 1e-4, _SAMPLED, 20, 0.005),
    )
)
