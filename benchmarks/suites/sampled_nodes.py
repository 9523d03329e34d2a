"""GraphSAGE trained on sampled neighbourhoods beside the same network on the full graph."""

from __future__ import annotations

from functools import partial

from graphkit.bench import Experiment
from graphkit.data import SampledNodes
from graphkit.models import GraphSAGE
from graphkit.train import Supervised, TrainConfig

_SAMPLED = SampledNodes(fanouts=(10, 10), batch_size=512)

SUITE = tuple(
    Experiment(
        name,
        problem,
        Supervised(
            partial(GraphSAGE, input_dropout=dropout),
            TrainConfig(
                epochs=epochs,
                lr=lr,
                weight_decay=decay,
                batching=batching,
            ),
        ),
        seeds=range(3),
    )
    for problem, dropout, decay in (("pubmed/public", 0.5, 5e-4), ("debian-deps/source", 0.0, 1e-4))
    for name, batching, epochs, lr in (
        ("graphsage-full", None, 100, 0.01),
        ("graphsage-sampled", _SAMPLED, 20, 0.005),
    )
)
