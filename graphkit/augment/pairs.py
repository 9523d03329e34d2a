"""Edges as items: the pairs of rows a generator of neighbours is fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import remove_self_loops, to_undirected

from graphkit.data.prepare import Prepared
from graphkit.data.problem import Problem, Turn
from graphkit.data.split import Split
from graphkit.errors import DataError, SettingError
from graphkit.seeds import stream
from graphkit.tasks import Dims
from graphkit.tasks.reconstruction import Reconstruction

__all__ = ["PairBatch", "Pairs", "pairs_problem"]


@runtime_checkable
class PairBatch(Protocol):
    """Edges with the features of both ends; ``pair`` is the number of each edge."""

    x_neighbor: Tensor
    x_center: Tensor
    pair: Tensor
    seeds: Tensor


@dataclass(frozen=True)
class Pairs:
    """Edges in an order drawn anew each epoch, with the features of both ends.

    Rows are gathered as a batch is made: memory is that of a batch and not of all edges.

    Args:
        batch_size: Pairs a batch.

    Raises:
        SettingError: A batch has no pair.
    """

    batch_size: int = 256

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise SettingError(f"batch_size={self.batch_size}; expected at least one pair")

    def __call__(self, data: Data, items: Tensor, turn: Turn) -> Iterator[Data]:
        """Yields the pairs of each chunk of edge numbers: source is neighbour of destination."""
        source, destination = data.edge_index
        for _, chunk in turn.chunks(items, self.batch_size):
            batch = Data(x_neighbor=data.x[source[chunk]], x_center=data.x[destination[chunk]])
            batch.pair, batch.seeds = chunk, torch.arange(len(chunk))
            batch.num_nodes = len(chunk)
            yield batch.to(turn.device)


def pairs_problem(problem: Problem, *, val_share: float = 0.05) -> Problem:
    """Returns the problem whose items are the edges and whose answer to each is its neighbour.

    Every edge counts in both directions, once, and none from a node to itself. No label is in it,
    and what the given problem hides is not either. Both directions of an edge are in one part.

    Args:
        problem: One graph with vectors on its nodes; blind, if hidden nodes are not to be seen.
        val_share: Share of edges held out to choose the epoch by.

    Raises:
        DataError: The nodes carry no vectors, or fewer than two edges are between two nodes.
    """
    data = problem.data
    x = data.get("x") if isinstance(data, Data) else None
    if x is None or not x.is_floating_point() or x.dim() != 2:
        raise DataError(f"{problem.name} has no vectors on its nodes: there is nothing to generate")
    nodes = len(x)
    edges = torch.empty(2, 0, dtype=torch.long)
    if data.get("edge_index") is not None:
        edges = to_undirected(remove_self_loops(data.edge_index)[0], num_nodes=nodes)
    link = edges.min(dim=0).values * nodes + edges.max(dim=0).values
    link = link.unique(return_inverse=True)[1]
    count = int(link.max()) + 1 if len(link) else 0
    if count < 2:
        raise DataError(
            f"{problem.name} has {count} edges between two nodes, so no neighbour to learn from; "
            "local augmentation needs at least 2 (branches=0 trains without it)"
        )
    order = torch.randperm(count, generator=stream(problem.seed, "held-out pairs"))
    held_out = torch.zeros(count, dtype=torch.bool)
    held_out[order[: max(1, round(val_share * count))]] = True
    held_out = held_out[link]
    return replace(
        problem,
        name=f"{problem.name}/pairs",
        data=Data(x=x, edge_index=edges),
        split=Split((~held_out).nonzero().flatten(), held_out.nonzero().flatten(), link[:0]),
        task=Reconstruction(),
        dims=Dims(x.shape[1], x.shape[1], num_nodes=nodes),
        batching=Pairs(4096),
        stage_fields=(),
        prepared=Prepared(),  # a table of its own: what is made for this stage goes with it
    )
