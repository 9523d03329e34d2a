"""Ways to batch: each a frozen value that turns data, items and a turn into batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, TemporalData
from torch_geometric.loader import NodeLoader

from graphkit.data.graphs import GraphSet
from graphkit.data.negatives import Negatives
from graphkit.data.problem import Turn
from graphkit.errors import DataError, SettingError
from graphkit.seeds import derived_seed

__all__ = ["Events", "FullGraph", "Graphs", "NodeRows", "Past", "SampledNodes"]


@dataclass(frozen=True)
class FullGraph:
    """The whole graph in one batch; the part's items are its seeds."""

    whole = True  # every batch is the same graph: what is fixed about it is made once

    def __call__(self, data: Data, items: Tensor, turn: Turn) -> Iterator[Data]:
        """Yields the graph once, unless the turn is past its only batch."""
        if turn.first == 0:
            batch = copy.copy(data)
            batch.seeds = items.to(turn.device)
            yield batch


@dataclass(frozen=True)
class NodeRows:
    """Rows of nodes alone, without edges: for models that see no edge.

    Args:
        batch_size: Nodes a batch; ``None`` takes all at once.
    """

    batch_size: int | None = 512

    def __call__(self, data: Data, items: Tensor, turn: Turn) -> Iterator[Data]:
        """Yields the node fields of each chunk of items."""
        fields = {
            key: value
            for key, value in data.to_dict().items()
            if isinstance(value, Tensor) and data.is_node_attr(key)
        }
        for _, chunk in turn.chunks(items, self.batch_size):
            batch = Data.from_dict({key: value[chunk] for key, value in fields.items()})
            batch.edge_index = torch.empty(2, 0, dtype=torch.long)
            batch.n_id, batch.seeds = chunk, torch.arange(len(chunk))
            batch.num_nodes = len(chunk)
            yield batch.to(turn.device)


@dataclass(frozen=True)
class SampledNodes:
    """Nodes with a drawn neighbourhood; edges flow towards the seeds.

    Args:
        fanouts: Neighbours drawn per hop, nearest hop first; -1 takes all.
        batch_size: Seeds a batch.

    Source:
        Hamilton et al., "Inductive Representation Learning on Large Graphs", NeurIPS 2017.
    """

    fanouts: tuple[int, ...] = (10, 10)
    batch_size: int = 512

    def __post_init__(self) -> None:
        if not self.fanouts or self.batch_size < 1:
            raise SettingError(
                f"fanouts={self.fanouts} and batch_size={self.batch_size}; expected at least one "
                "hop and a batch of at least one node"
            )

    def __call__(self, data: Data, items: Tensor, turn: Turn) -> Iterator[Data]:
        """Yields a sampled sub-graph per chunk of items; its first rows are the seeds."""
        from graphkit.data.sampler import Csc, SeededNeighbors  # numba: loaded when sampled

        sampler = SeededNeighbors(
            Csc.of(data.edge_index, int(data.num_nodes or 0)),
            self.fanouts,
            seed=derived_seed(turn.seed, "neighbours", turn.part),
            epoch=turn.epoch,
        )
        loader = NodeLoader(data, sampler, input_nodes=None, batch_size=self.batch_size)
        for _, chunk in turn.chunks(items, self.batch_size):
            batch = loader(chunk)
            batch.seeds = torch.arange(len(chunk))
            yield batch.to(turn.device)


@dataclass(frozen=True)
class Graphs:
    """Graphs side by side.

    Args:
        batch_size: Graphs a batch.
    """

    batch_size: int = 128

    def __call__(self, data: GraphSet, items: Tensor, turn: Turn) -> Iterator[Data]:
        """Yields the graphs of each chunk, joined; its seeds are the graphs."""
        for _, chunk in turn.chunks(items, self.batch_size):
            batch = data.batch(chunk)
            batch.seeds = torch.arange(len(chunk))
            yield batch.to(turn.device)


@dataclass(frozen=True)
class Past:
    """A view of the events before a batch, oldest first."""

    data: TemporalData = field(repr=False)
    end: int

    def __len__(self) -> int:
        return self.end

    @property
    def src(self) -> Tensor:
        """Source of each past event."""
        return self.data.src[: self.end]

    @property
    def dst(self) -> Tensor:
        """Destination of each past event."""
        return self.data.dst[: self.end]

    @property
    def t(self) -> Tensor:
        """Time of each past event."""
        return self.data.t[: self.end]

    @property
    def msg(self) -> Tensor:
        """Features of each past event."""
        return self.data.msg[: self.end]


@dataclass(frozen=True)
class Events:
    """Events in order of time, with candidates and a view of the past.

    Args:
        negatives: How candidate destinations are drawn.
        batch_size: Events a batch.
    """

    negatives: Negatives
    batch_size: int = 200

    def __call__(self, data: TemporalData, items: Tensor, turn: Turn) -> Iterator[Any]:
        """Yields runs of consecutive events; never shuffled.

        Raises:
            DataError: Several processes share the turn: a stream is seen by one.
        """
        if turn.ranks > 1:
            raise DataError("a stream of events runs on one device: its memory cannot be shared")
        for number, chunk in turn.chunks(items, self.batch_size, shuffle=False):
            if len(chunk) == 0:
                continue
            batch = data[chunk]
            batch.negatives = self.negatives(data, chunk, turn, number)
            batch.seeds = torch.arange(len(chunk))
            batch = batch.to(turn.device)
            # Events of one moment do not see each other, also across the border of two batches.
            batch.history = Past(data, int(torch.searchsorted(data.t, data.t[chunk[0]])))
            yield batch
