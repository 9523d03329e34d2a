"""Small seeded problems, one of each kind, and small networks for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, TemporalData
from torch_geometric.nn import GCNConv, global_add_pool

from graphkit import Problem, make_problem
from graphkit.data.batching import Events, Graphs, SampledNodes
from graphkit.data.negatives import RandomNegatives
from graphkit.data.split import Split
from graphkit.models.base import Model


def graph(nodes: int = 40, seed: int = 0) -> Data:
    """Random features, and a class that is the sign of the first of them."""
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, 4, generator=source)
    edge_index = torch.randint(nodes, (2, 3 * nodes), generator=source)
    return Data(x=x, edge_index=edge_index, y=(x[:, 0] > 0).long())


def nodes(*, seed: int = 0, hidden: bool = False) -> Problem:
    """40 nodes: 20 train, 8 validate, 12 test; with ``hidden`` 4 of the latter are hidden."""
    items = torch.arange(40)
    last = (items[28:36], items[36:]) if hidden else (items[28:], items[:0])
    return make_problem(graph(), split=Split(items[:20], items[20:28], *last), seed=seed)


def sampled(*, seed: int = 0) -> Problem:
    """The same nodes, six seeds a batch: 4 steps an epoch."""
    items = torch.arange(40)
    split = Split(items[:20], items[20:28], items[28:])
    return make_problem(graph(), split=split, batching=SampledNodes((2, 2), 6), seed=seed)


def graphs(*, seed: int = 0) -> Problem:
    """30 graphs of 3 to 7 nodes, 18 train, five a batch: 4 steps an epoch."""
    made = []
    for number in range(30):
        one = graph(3 + number % 5, seed=number)
        one.y = (one.x[:, 0].sum() > 0).long().reshape(1)
        made.append(one)
    return make_problem(made, split="random", batching=Graphs(5), seed=seed)


def events(*, seed: int = 0) -> Problem:
    """60 events among 8 nodes, 42 train, ten a batch: 5 steps an epoch."""
    source = torch.Generator().manual_seed(5)
    stream = TemporalData(
        src=torch.randint(0, 4, (60,), generator=source),
        dst=torch.randint(4, 8, (60,), generator=source),
        t=torch.arange(60),
        msg=torch.randn(60, 2, generator=source),
    )
    return make_problem(stream, batching=Events(RandomNegatives(4, 8, draws=2), 10), seed=seed)


class NodeNet(nn.Module):
    """Two convolutions with dropout and batch norm, in PyG's call."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GCNConv(4, 8), GCNConv(8, 2)
        self.norm, self.dropout = nn.BatchNorm1d(8), nn.Dropout(0.5)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.norm(self.first(x, edge_index)).relu()
        return self.second(self.dropout(hidden), edge_index)


class GraphNet(Model):
    """A convolution with dropout, a sum over each graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.dropout = GCNConv(4, 8), nn.Linear(8, 2), nn.Dropout(0.5)

    def forward(self, batch: Any) -> Tensor:
        hidden = self.dropout(self.first(batch.x, batch.edge_index).relu())
        return self.last(global_add_pool(hidden, batch.batch))


class StreamNet(Model):
    """Each node remembers a vector in a buffer; an event moves those of its two ends."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.map = nn.Parameter(torch.randn(8, 4)), nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.25)
        self.memory: Tensor
        self.register_buffer("memory", torch.zeros(8, 4))

    def forward(self, batch: Any) -> Tensor:
        state = self.dropout(self.start + self.memory)
        columns = torch.cat([batch.dst[:, None], batch.negatives], dim=1)
        return (self.map(state)[batch.src][:, None] * state[columns]).sum(dim=-1)

    def reset_state(self) -> None:
        self.memory.zero_()

    def observe(self, batch: Any) -> None:
        for ends in (batch.src, batch.dst):
            self.memory[ends] = 0.5 * self.memory[ends] + batch.msg.repeat(1, 2)


KINDS = {
    "nodes": (nodes, NodeNet),
    "sampled": (sampled, NodeNet),
    "graphs": (graphs, GraphNet),
    "events": (events, StreamNet),
}
"""Problem and network of each kind."""
