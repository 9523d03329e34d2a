"""A selection of items, renumbered, for each kind of data."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data, TemporalData

from graphkit.data.graphs import GraphSet
from graphkit.transforms.hypergraph import hyperedge_fields, induce

__all__ = ["keep", "renumber"]


def keep(data: Data | GraphSet | TemporalData, items: Tensor) -> Data | GraphSet | TemporalData:
    """Returns the data of the chosen items alone: nodes with the edges (or memberships) among
    them, graphs, or events. A hyperedge without nodes left vanishes; the others are renumbered.

    Args:
        data: One graph, a set of graphs or a stream.
        items: Item numbers, in the order they are to have.
    """
    if isinstance(data, GraphSet):
        return data.keep(items)
    if isinstance(data, TemporalData):
        return data[items]
    return _keep_nodes(data, items)


def renumber(items: Tensor, kept: Tensor, num_items: int) -> Tensor:
    """Returns the new numbers of ``items`` after ``kept`` alone stayed; those gone are left out."""
    place = torch.full((num_items,), -1, dtype=torch.long)
    place[kept] = torch.arange(len(kept))
    return place[items][place[items] >= 0]


def _keep_nodes(data: Data, nodes: Tensor) -> Data:
    count = int(data.num_nodes or 0)
    place = torch.full((count,), -1, dtype=torch.long)
    place[nodes] = torch.arange(len(nodes))
    kept = data.__class__()  # a hypergraph stays one
    edges_kept: Tensor | None = None
    if data.get("edge_index") is not None:
        moved = place[data.edge_index]
        edges_kept = (moved >= 0).all(dim=0)
        kept.edge_index = moved[:, edges_kept]
    if data.get("hyperedge_index") is not None:
        kept.hyperedge_index, hyperedges_kept = induce(data.hyperedge_index, nodes)
        for key in hyperedge_fields(data):
            kept[key] = data[key][hyperedges_kept]
    for key, value in data.to_dict().items():
        if key in kept or key == "num_nodes":
            continue
        if isinstance(value, Tensor) and data.is_node_attr(key) and len(value) == count:
            kept[key] = value[nodes]
        elif isinstance(value, Tensor) and edges_kept is not None and data.is_edge_attr(key):
            kept[key] = value[edges_kept]
        else:
            kept[key] = value
    kept.num_nodes = len(nodes)
    return kept
