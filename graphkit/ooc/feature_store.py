"""A store behind PyG's own interfaces: rows are read when a batch asks for them.

The baseline of training on demand: ``NodeLoader((DiskFeatureStore(store), DiskGraphStore(store)),
SeededNeighbors(store.csc(), ...))`` needs neither pyg-lib nor torch-sparse.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import EdgeAttr, FeatureStore, GraphStore, TensorAttr
from torch_geometric.data.graph_store import EdgeLayout
from torch_geometric.typing import EdgeTensorType, FeatureTensorType

from graphkit.errors import SettingError
from graphkit.ooc.rows import OnDisk, Rows
from graphkit.ooc.store import Store

__all__ = ["DiskFeatureStore", "DiskGraphStore"]


class DiskFeatureStore(FeatureStore):
    """Features ``x`` from disk and answers ``y`` from memory, by node.

    Args:
        store: What is read.
        rows: Where features come from, e.g. an ``Lru`` around ``OnDisk``; ``OnDisk`` by default.
    """

    def __init__(self, store: Store, rows: Rows | None = None) -> None:
        super().__init__()
        self.store = store
        self.rows: Rows = OnDisk(store) if rows is None else rows
        self._labels = store.labels()

    def get_all_tensor_attrs(self) -> list[TensorAttr]:
        """Returns what there is; new objects each time, for PyG writes into them."""
        return [TensorAttr(None, "x"), TensorAttr(None, "y")]

    def _get_tensor(self, attr: TensorAttr) -> FeatureTensorType | None:
        if attr.attr_name not in ("x", "y"):
            return None
        index = _nodes(attr.index, self.store.num_nodes)
        return self.rows.read(index) if attr.attr_name == "x" else self._labels[index]

    def _get_tensor_size(self, attr: TensorAttr) -> tuple[int, ...] | None:
        sizes = {"x": tuple(self.rows.shape), "y": tuple(self._labels.shape)}
        return sizes.get(attr.attr_name)

    def _put_tensor(self, tensor: FeatureTensorType, attr: TensorAttr) -> bool:
        raise SettingError(f"{self.store.path} is read-only; prepare another store")

    def _remove_tensor(self, attr: TensorAttr) -> bool:
        raise SettingError(f"{self.store.path} is read-only; prepare another store")


class DiskGraphStore(GraphStore):
    """Edges of a store as one CSC, with ``(row, colptr)`` as PyG has it.

    Args:
        store: What is read.
        in_memory: Read the edges now; else they are mapped.
    """

    def __init__(self, store: Store, in_memory: bool = True) -> None:
        super().__init__()
        self.store = store
        self.csc = store.csc(in_memory)

    def get_all_edge_attrs(self) -> list[EdgeAttr]:
        """Returns the one kind of edge there is; a new object each time."""
        size = (self.store.num_nodes, self.store.num_nodes)
        return [EdgeAttr(edge_type=None, layout=EdgeLayout.CSC, size=size)]

    def _get_edge_index(self, edge_attr: EdgeAttr) -> EdgeTensorType | None:
        if edge_attr.layout != EdgeLayout.CSC:
            return None
        return self.csc.row, self.csc.colptr

    def _put_edge_index(self, edge_index: EdgeTensorType, edge_attr: EdgeAttr) -> bool:
        raise SettingError(f"{self.store.path} is read-only; prepare another store")

    def _remove_edge_index(self, edge_attr: EdgeAttr) -> bool:
        raise SettingError(f"{self.store.path} is read-only; prepare another store")


def _nodes(index: object, num_nodes: int) -> Tensor:
    """Node numbers of what PyG accepts as an index: none, a slice, an array, a mask."""
    if index is None:
        return torch.arange(num_nodes)
    if isinstance(index, slice):
        return torch.arange(num_nodes)[index]
    ids = torch.from_numpy(index) if isinstance(index, np.ndarray) else torch.as_tensor(index)
    return ids.nonzero().flatten() if ids.dtype == torch.bool else ids.reshape(-1)
