"""Many graphs from joined arrays: nodes numbered through, edges in any order, no loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.graphs import GraphSet
from graphkit.data.split import Split
from graphkit.errors import DataError

__all__ = ["check_symbols", "graph_set", "in_order", "numbered_through"]


def graph_set(
    sizes: Tensor,
    edge_index: Tensor,
    *,
    nodes: Mapping[str, Tensor] | None = None,
    edges: Mapping[str, Tensor] | None = None,
    graphs: Mapping[str, Tensor] | None = None,
) -> GraphSet:
    """Cuts joined arrays into graphs; each graph's edges come out sorted by destination, then
    source.

    Args:
        sizes: Nodes of each graph.
        edge_index: Edges of all graphs, ``(2, edges)``, with the nodes of graph 0 first, then
            those of graph 1, and so on.
        nodes: Fields with a row per node.
        edges: Fields with a row per edge.
        graphs: Fields with a row per graph.

    Raises:
        DataError: A field has another number of rows, or an edge names no node or two graphs.
    """
    nodes, edges, graphs = nodes or {}, edges or {}, graphs or {}
    count, num_edges, total = len(sizes), edge_index.shape[1], int(sizes.sum())
    for rows, kind, fields in ((total, "node", nodes), (num_edges, "edge", edges),
                               (count, "graph", graphs)):  # fmt: skip
        for name, values in fields.items():
            if len(values) != rows:
                raise DataError(f"{name} has {len(values)} rows; expected one per {kind}, {rows}")
    low, high = (int(v) for v in edge_index.aminmax()) if num_edges else (0, -1)
    if low < 0 or high >= total:
        raise DataError(f"an edge names node {low if low < 0 else high}; there are {total} nodes")
    source, destination = edge_index
    key = destination * total + source
    if not bool((key[1:] >= key[:-1]).all()):
        order = key.argsort(stable=True)
        source, destination = source[order], destination[order]
        edges = {name: values[order] for name, values in edges.items()}
    del key
    starts = _starts(sizes)
    owner = torch.arange(count).repeat_interleave(sizes)
    graph = owner[destination]
    astray = owner[source] != graph
    if bool(astray.any()):
        at = int(astray.nonzero()[0])
        raise DataError(
            f"an edge leads from node {int(source[at])} of graph {int(owner[source[at]])} to node "
            f"{int(destination[at])} of graph {int(graph[at])}; expected both in one graph"
        )
    shift = starts[:-1][graph]
    local = torch.stack([source - shift, destination - shift])
    of_edges = _starts(torch.bincount(graph, minlength=count))
    fields = {"edge_index": local, **nodes, **edges, **graphs}
    slices = {"edge_index": of_edges}
    slices |= dict.fromkeys(nodes, starts) | dict.fromkeys(edges, of_edges)
    slices |= dict.fromkeys(graphs, torch.arange(count + 1))
    return GraphSet(Data.from_dict(fields), slices, sizes)


def numbered_through(edge_index: Sequence[Tensor], sizes: Tensor) -> Tensor:
    """Joins the edges of many graphs, each numbered from 0, into one ``(2, edges)``.

    Args:
        edge_index: Of each graph, ``(2, its edges)``.
        sizes: Nodes of each graph.
    """
    counts = torch.tensor([edges.shape[1] for edges in edge_index])
    shift = _starts(sizes)[:-1].repeat_interleave(counts)
    return torch.cat([edges.long() for edges in edge_index], dim=1) + shift


def in_order(train: int, val: int, test: int) -> Split:
    """Makes the split of graphs that lie in order: so many of each part, one part after another."""
    return Split(*torch.arange(train + val + test).split([train, val, test]))


def check_symbols(values: Tensor, counts: Sequence[int], name: str) -> None:
    """Refuses symbols that are outside the range of their column.

    Raises:
        DataError: With row, column and value of the first one.
    """
    if values.shape[1] != len(counts):
        raise DataError(f"{name} has {values.shape[1]} columns; expected {len(counts)}")
    bad = ((values < 0) | (values >= torch.tensor(counts))).nonzero()
    if len(bad):
        row, column = (int(v) for v in bad[0])
        raise DataError(
            f"{name}[{row}, {column}] = {int(values[row, column])} is no symbol; "
            f"expected 0 <= symbol < {counts[column]}"
        )


def _starts(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
