"""What a network tells apart before it has learned anything: pairs of graphs, random weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch_geometric.data import Data

from graphkit.data.batching import Graphs
from graphkit.data.problem import Problem
from graphkit.data.sources.joined import in_order
from graphkit.data.sources.look_alikes import relabelled
from graphkit.seeds import seeded, stream
from graphkit.tasks import Dims, GraphClassification
from graphkit.train import ModelFactory, predict

__all__ = ["Separation", "separation"]

CHANNELS = 8  # answers compared


@dataclass(frozen=True)
class Separation:
    """How far the answers to two graphs lie apart, over random weights.

    Args:
        between: Distance of the answers to the pair, relative to their size, one per draw of the
            weights.
        within: The same between a graph and itself with its nodes renumbered: what is not due to
            the graphs. Of a network that commutes with renumbering it is rounding.
    """

    between: tuple[float, ...]
    within: tuple[float, ...]

    @property
    def separates(self) -> float:
        """Share of the draws in which the pair lies clearly further apart than a graph from
        itself: ten times as far, and more than rounding."""
        clear = [b > max(10 * w, 1e-6) for b, w in zip(self.between, self.within, strict=True)]
        return sum(clear) / len(clear)

    @property
    def invariant(self) -> bool:
        """Whether renumbering the nodes changes nothing but the rounding."""
        return max(self.within) < 1e-9


def separation(
    factory: ModelFactory, pair: tuple[Data, Data], *, seeds: Sequence[int] = range(5)
) -> Separation:
    """Compares the answers of untrained networks, in double precision and evaluation mode.

    Args:
        factory: Makes a model that answers per graph.
        pair: Two graphs with ``x`` of one column.
        seeds: One draw of the weights for each.
    """
    with _double():
        results = [_distances(factory, pair, seed) for seed in seeds]
    between, within = zip(*results, strict=True)
    return Separation(tuple(between), tuple(within))


@contextmanager
def _double() -> Iterator[None]:
    """Makes what transforms add to the data double too; as before outside."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _distances(factory: ModelFactory, pair: tuple[Data, Data], seed: int) -> tuple[float, float]:
    copies = [relabelled(graph, stream(seed, "renumbered", i)) for i, graph in enumerate(pair)]
    dims = Dims(in_channels=1, out_channels=CHANNELS)
    with seeded(seed, "weights"):
        model = factory(dims).double().eval()
    problem = Problem(
        name="look-alikes/pair",
        data=[
            Data(x=g.x.double(), edge_index=g.edge_index, y=torch.zeros(1, dtype=torch.long))
            for g in (*pair, *copies)
        ],
        split=in_order(1, 1, 2),
        task=GraphClassification(num_classes=CHANNELS),
        dims=dims,
        batching=Graphs(batch_size=4),
        seed=seed,
    )
    left, right, left_again, right_again = answers = predict(model, problem)
    size = answers.norm(dim=1).mean().clamp(min=1e-300)
    own = torch.maximum((left - left_again).norm(), (right - right_again).norm())
    return float((left - right).norm() / size), float(own / size)
