"""Separation: what message passing cannot see, what a triangle count can, what is no invariant."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from graphkit.bench.separation import separation
from graphkit.data.sources.look_alikes import look_alikes
from graphkit.models import FramedGIN, Model
from graphkit.tasks import Dims, GraphBatch

PAIRS = look_alikes()
RINGS = PAIRS["hexagon, two triangles"]


class Triangles(Model):
    """Random weights times the number of closed walks of three steps."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.out = nn.Linear(1, dims.out_channels)

    def forward(self, batch: GraphBatch) -> Tensor:
        nodes = len(batch.batch)
        dense = torch.zeros(nodes, nodes).index_put(tuple(batch.edge_index), torch.ones(()))
        closed = dense.matrix_power(3).diagonal()
        return self.out(scatter(closed, batch.batch, dim_size=batch.num_graphs)[:, None])


class FirstNode(Model):
    """Looks at which neighbours node 0 of each graph has: no property of the graph."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.out = nn.Linear(1, dims.out_channels)

    def forward(self, batch: GraphBatch) -> Tensor:
        source, destination = batch.edge_index
        local = source - batch.ptr[batch.batch[source]]
        first = torch.isin(destination, batch.ptr[:-1])
        owner = batch.batch[destination[first]]
        return self.out(scatter(local[first].double(), owner, dim_size=batch.num_graphs)[:, None])


def test_message_passing_sees_no_difference() -> None:
    gin = partial(FramedGIN, readout="sum")
    for pair in PAIRS.values():
        found = separation(gin, pair, seeds=range(2))
        assert found.separates == 0
        assert found.invariant


def test_counting_triangles_tells_rings_apart() -> None:
    found = separation(Triangles, RINGS, seeds=range(3))
    assert found.separates == 1
    assert found.invariant
    assert max(separation(Triangles, PAIRS["octagon, two squares"]).between) == 0


def test_what_renumbering_changes_is_not_called_separation() -> None:
    found = separation(FirstNode, RINGS, seeds=range(5))
    assert not found.invariant
    assert max(found.within) > 1e-3


def test_the_same_seeds_give_the_same_distances() -> None:
    gin = partial(FramedGIN, readout="sum")
    assert separation(gin, RINGS, seeds=(3,)) == separation(gin, RINGS, seeds=(3,))
