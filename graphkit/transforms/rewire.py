"""Other edges than those of the data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.transforms import BaseTransform

from graphkit.errors import DataError

__all__ = ["ToFullGraph", "full_edges"]

MAX_PAIRS = 2**28  # 4 GiB of ends


class ToFullGraph(BaseTransform):
    """Links every two nodes of a graph in both directions, none with itself; all edges are alike.

    Edges are sorted by destination. ``edge_attr``, where there is one, becomes type 0 (or the
    vector 0) on every edge; other fields of edges, which say something of edges that are gone, are
    dropped. Graphs of a batch stay apart. Encodings have to be computed before.

    Raises:
        DataError: There would be over 2^28 edges.

    Source:
        Dwivedi and Bresson, "A Generalization of Transformer Networks to Graphs", DLG-AAAI 2021,
        full graphs; without self pairs, as in the official code.
    """

    fixed = True

    def forward(self, data: Any) -> Any:
        """Returns the graph, or the batch of graphs, with its edges replaced."""
        old = data.get("edge_index")
        ptr = data.get("ptr") if data.get("batch") is not None else None
        device = old.device if old is not None else None
        if ptr is None:
            ptr = torch.tensor([0, int(data.num_nodes or 0)], device=device)
        edge_index = full_edges(ptr.diff())
        attr = data.get("edge_attr")
        for name in [name for name in data.keys() if name.startswith("edge_")]:  # noqa: SIM118
            del data[name]
        data.edge_index = edge_index
        if attr is not None:
            data.edge_attr = attr.new_zeros(edge_index.shape[1], *attr.shape[1:])
        return data

    def __repr__(self) -> str:
        return "ToFullGraph()"


def full_edges(sizes: Tensor) -> Tensor:
    """Returns all ordered pairs of different nodes of graphs that lie side by side.

    Args:
        sizes: Nodes of each graph.

    Shape:
        ``(2, pairs)``, sorted by destination, then source.

    Raises:
        DataError: There are over 2^28 pairs.
    """
    pairs = int((sizes * (sizes - 1)).sum())
    if pairs > MAX_PAIRS:
        raise DataError(
            f"the full graphs of {int(sizes.max())} and fewer nodes have {pairs:,} edges; at most "
            f"{MAX_PAIRS:,} are made: take fewer graphs a batch, or the edges that are there"
        )
    others = (sizes - 1).repeat_interleave(sizes)  # for each node
    first = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    destination = torch.arange(len(others), device=sizes.device).repeat_interleave(others)
    start = (others.cumsum(0) - others).repeat_interleave(others)
    source = torch.arange(pairs, device=sizes.device) - start + first[destination]
    return torch.stack([source + (source >= destination), destination])
