"""Refuses data that would fail or mislead later, at the door, with the first offending place.

The quick depth reads ids, shapes and types; the full one also reads every feature.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data, TemporalData

from graphkit.data.graphs import GraphSet
from graphkit.errors import DataError
from graphkit.transforms.hypergraph import members

__all__ = ["check_data", "check_edges", "check_finite", "check_labels", "check_times"]


def check_edges(edge_index: Tensor, num_nodes: int, *, name: str = "edge_index") -> None:
    """Refuses edges of the wrong shape or type, or that name a node that is not there.

    Raises:
        DataError: With the position and the value of the first wrong entry.
    """
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        shape = tuple(edge_index.shape)
        turned = edge_index.dim() == 2 and edge_index.shape[1] == 2
        advice = " It looks transposed: pass edge_index.t()." if turned else ""
        raise DataError(f"{name} has shape {shape}; expected (2, edges).{advice}")
    if edge_index.dtype not in (torch.int64, torch.int32):
        raise DataError(f"{name} is {edge_index.dtype}; expected torch.int64: pass {name}.long()")
    if edge_index.numel() == 0:
        return
    low, high = int(edge_index.min()), int(edge_index.max())
    if low >= 0 and high < num_nodes:
        return
    row, at = (int(v) for v in ((edge_index < 0) | (edge_index >= num_nodes)).nonzero()[0])
    advice = ""
    distinct = len(torch.unique(edge_index))
    if low >= 0 and high + 1 > 4 * distinct + 1024:
        advice = (
            f" The ids have gaps ({distinct} distinct ids up to {high}): number the nodes "
            "from 0 first, e.g. torch.unique(edge_index, return_inverse=True)[1]."
        )
    raise DataError(
        f"{name}[{row}, {at}] = {int(edge_index[row, at])} is out of range for {num_nodes} nodes; "
        f"expected 0 <= id < {num_nodes}.{advice}"
    )


def check_finite(values: Tensor, name: str) -> None:
    """Refuses NaN and infinite entries.

    Raises:
        DataError: With row, column and value of the first one.
    """
    if not values.is_floating_point() or bool(torch.isfinite(values.sum())):
        return  # a sum is finite only if every entry is
    bad = ~torch.isfinite(values)
    if not bool(bad.any()):
        return
    place = [int(v) for v in bad.nonzero()[0]]
    where = f"row {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "")
    raise DataError(
        f"{name} holds {values[tuple(place)].item()} at {where}; expected finite numbers. "
        "Mend the data, or pass allow_nonfinite=True to let it pass."
    )


def check_labels(y: Tensor, num_items: int, num_classes: int | None, name: str = "y") -> None:
    """Refuses answers of the wrong number, or classes outside the range.

    Raises:
        DataError: With the first wrong entry.
    """
    if len(y) != num_items:
        raise DataError(f"{name} has {len(y)} rows; expected one for each of {num_items} items")
    if num_classes is None or y.is_floating_point():
        return
    bad = ((y < -1) | (y >= num_classes)).nonzero()
    if len(bad):
        at = tuple(int(v) for v in bad[0])
        raise DataError(
            f"{name}[{at[0]}] = {int(y[at])} is no class; expected 0 <= class < {num_classes}, "
            "or -1 where it is not known"
        )


def check_times(t: Tensor, name: str = "t") -> None:
    """Refuses times that fall, are negative, not numbers, or too large for their type.

    Raises:
        DataError: With the first wrong position.
    """
    if t.is_floating_point():
        check_finite(t, name)
        if len(t) and float(t.abs().max()) > 2**53:
            raise DataError(f"{name} is {t.dtype} beyond 2**53, where whole numbers are lost")
    if len(t) and bool((t < 0).any()):
        at = int((t < 0).nonzero()[0])
        raise DataError(f"{name}[{at}] = {t[at].item()} is negative; expected times from 0 on")
    falls = (t[1:] < t[:-1]).nonzero()
    if len(falls):
        at = int(falls[0]) + 1
        raise DataError(
            f"{name}[{at}] = {t[at].item()} lies before {name}[{at - 1}] = {t[at - 1].item()}: "
            "events must be in order of time, or the future leaks. Pass sort=True to sort them."
        )


def check_data(data: Data | GraphSet | TemporalData, *, allow_nonfinite: bool = False) -> None:
    """Refuses a data object that no model could be trained on.

    Raises:
        DataError: It names the field and the first wrong entry.
    """
    if isinstance(data, GraphSet):
        _check_graphs(data, allow_nonfinite=allow_nonfinite)
        return
    if isinstance(data, TemporalData):
        check_times(data.t)
        ends = torch.stack([data.src, data.dst])
        check_edges(ends, int(data.num_nodes), name="(src, dst)")
    else:
        if not data.num_nodes:
            raise DataError("the graph has no nodes; at least one was expected for training")
        if data.get("edge_index") is not None:
            check_edges(data.edge_index, int(data.num_nodes))
            edges = data.edge_index.shape[1]
            for name in ("edge_attr", "edge_weight", "edge_type"):
                rows = data.get(name)
                if rows is not None and len(rows) != edges:
                    raise DataError(f"{name} has {len(rows)} rows; expected one for {edges} edges")
        if data.get("hyperedge_index") is not None:
            members(data)
        x = data.get("x")
        if x is not None and len(x) != data.num_nodes:
            raise DataError(f"x has {len(x)} rows; expected one for each of {data.num_nodes} nodes")
    if not allow_nonfinite:
        for name in ("x", "edge_attr", "edge_weight", "msg"):
            if isinstance(value := data.to_dict().get(name), Tensor):
                check_finite(value, name)


def _check_graphs(data: GraphSet, *, allow_nonfinite: bool) -> None:
    joined = data.joined.to_dict()
    edges = joined.get("edge_index")
    if edges is not None:
        if edges.dim() != 2 or edges.shape[0] != 2 or edges.is_floating_point():
            check_edges(edges, 0)
        owner = torch.arange(len(data)).repeat_interleave(data.slices["edge_index"].diff())
        bad = ((edges < 0) | (edges >= data.num_nodes[owner])).any(dim=0).nonzero()
        if len(bad):
            graph = int(owner[int(bad[0])])
            try:
                check_edges(data[graph].edge_index, int(data.num_nodes[graph]))
            except DataError as error:
                raise DataError(f"graph {graph}: {error}") from None
    if not allow_nonfinite:
        for name in ("x", "edge_attr", "edge_weight"):
            if name in joined:
                check_finite(joined[name], f"{name} (all graphs joined)")
