"""Answers that lie far away: a leaf's value asked at the root, a chain's first symbol at its end.

50,000 parameters a model: every width stands here as a number and brings its model within 5 % of
``BUDGETS``. The local networks (GCN, GIN, Graph Transformer) have ten layers each: all trees, of
depth 2 to 6, and chains of up to 11 nodes are within their reach, and what they miss there is lost
on the way; in longer chains the answer cannot reach the end, and a guess (0.25) is the expected
result. ``graph-transformer-full`` attends between all nodes of a graph, in three layers (four on
the deepest trees).

``graph-mamba`` scans the nodes by degree. **On a chain that gives the answer away**: the two ends
are the only nodes of degree 1 and stand side by side in the row, whatever the length. On chains
alone, ``graph-mamba-by-number`` scans from end to end, so that the answer is as far as the chain
is long, and ``graph-mamba-random`` has the two ends anywhere in the row.

**Protocol.** All rows are trained alike: AdamW, 1e-3, gradient norm 1, batch 64, at most 50 epochs,
the epoch best on validation, patience 15; three seeds. No figure is published for these sets, which
are made by the library. A perfect answer is 1.0, a guess is right once in as many times as there
are classes: 4 in chains, 4 to 64 in trees.

Source: Alon and Yahav, "On the Bottleneck of Graph Neural Networks and its Practical Implications",
ICLR 2021, for the trees; Behrouz and Hashemi, "Graph Mamba", KDD 2024, for scans over nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.bench import Experiment
from graphkit.models import (
    FramedGCN,
    FramedGIN,
    FullGraphTransformer,
    GraphMamba,
    GraphTransformer,
)
from graphkit.models.graph_mamba import Scan
from graphkit.train import Patience, Supervised, TrainConfig


def by_number(batch: Any) -> Tensor:
    """The place of each node in its graph: ``(nodes,)``, from 0."""
    places: Tensor = torch.arange(batch.num_nodes, device=batch.ptr.device)
    return places - batch.ptr[batch.batch]


_mamba = partial(GraphMamba, num_layers=2)
_full = partial(FullGraphTransformer, heads=4)
MODELS: dict[str, Callable[..., nn.Module]] = {
    "gcn": partial(FramedGCN, num_layers=10),
    "gin": partial(FramedGIN, num_layers=10),
    "graph-transformer": partial(GraphTransformer, num_layers=10, heads=4),
    "graph-transformer-full": partial(_full, num_layers=3),
    "graph-mamba": _mamba,
    "graph-mamba-by-number": partial(_mamba, scan=Scan(order=by_number)),
    "graph-mamba-random": partial(_mamba, scan=Scan(order="random")),
}
# Widths in the order of MODELS; the symbols and classes of a tree grow with its depth.
_CHAIN = (67, 48, 24, 44, 31, 31, 31)
WIDTHS: dict[str, tuple[int, ...]] = {
    **{f"chain-copy/length-{nodes}": _CHAIN for nodes in (4, 8, 16)},
    "tree-neighbours-match/depth-2": (67, 48, 24, 44, 31),
    **{f"chain-copy/length-{nodes}": _CHAIN for nodes in (32, 64)},
    "tree-neighbours-match/depth-3": (66, 47, 24, 44, 31),
    "tree-neighbours-match/depth-4": (65, 47, 24, 44, 30),
    "chain-copy/length-128": _CHAIN,
    "tree-neighbours-match/depth-5": (64, 46, 24, 44, 30),
    "tree-neighbours-match/depth-6": (61, 44, 24, 36, 29),
}
TRAIN = TrainConfig(epochs=50, lr=1e-3, optimizer="adamw", clip_norm=1.0, stop=Patience(15))


def _rows(problem: str) -> tuple[Experiment, ...]:
    """The models that have a width on one problem: on trees, the first five."""
    rows = []
    for (name, model), width in zip(MODELS.items(), WIDTHS[problem], strict=False):
        if name == "graph-transformer-full" and problem.endswith("depth-6"):
            model = partial(_full, num_layers=4)  # no width of three layers meets the budget
        recipe = Supervised(partial(model, hidden_channels=width), TRAIN)
        rows.append(Experiment(name, problem, recipe, range(3)))
    return tuple(rows)


SUITE = tuple(experiment for problem in WIDTHS for experiment in _rows(problem))
BUDGETS = dict.fromkeys(WIDTHS, 50_000)
