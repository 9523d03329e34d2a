"""One graph whose nodes are classified, as a problem: what all node-level sources end with."""

from __future__ import annotations

from torch_geometric.data import Data

from graphkit.data.batching import FullGraph
from graphkit.data.problem import Problem
from graphkit.data.split import Split
from graphkit.tasks import Dims, NodeClassification

__all__ = ["node_problem"]


def node_problem(
    name: str, data: Data, split: Split, *, seed: int = 0, metric: str = "accuracy"
) -> Problem:
    """Returns the problem of one class per node, scored on the whole graph.

    Args:
        name: ``<data set>/<split>``.
        data: The graph; ``y`` holds classes, -1 where not known.
        split: Its parts.
        seed: The run's seed.
        metric: The score it is judged by.

    Raises:
        DataError: Data or split cannot be used.
    """
    num_classes = max(int(data.y.max()) + 1, 2)
    in_channels = 0 if data.x is None else int(data.x.shape[1])
    return Problem(
        name=name,
        data=data,
        split=split,
        task=NodeClassification(measures=(metric,), num_classes=num_classes),
        dims=Dims(in_channels, num_classes, num_nodes=data.num_nodes),
        batching=FullGraph(),
        seed=seed,
    )
