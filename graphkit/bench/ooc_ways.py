"""The ways of training on a graph whose features lie on disk, each as a batching.

All of them yield the batches of one plan, in its order and with the same fields, and differ in
where the features come from. Other ways than the store's own would have to draw their batches while
they train; here they read the plan as it does, which spares them that. The store's own way is not
here: it is ``graphkit.ooc.PackedNodes``.
"""

from __future__ import annotations

import mmap
import os
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import BaseSampler, EdgeSamplerInput, NodeSamplerInput, SamplerOutput

from graphkit.data.problem import Turn
from graphkit.errors import SettingError
from graphkit.ooc.disk import PAGE
from graphkit.ooc.plan import Plan
from graphkit.ooc.plan_files import Drawn
from graphkit.ooc.rows import Cached, Lru, Rows
from graphkit.ooc.store import Store

__all__ = [
    "WAYS",
    "InMemory",
    "Mapped",
    "OnDemand",
    "Replay",
    "Way",
]

Way: TypeAlias = Literal[
    "packed", "memory", "mapped", "mapped-random", "static", "lru", "pages", "row-by-row"
]
WAYS: tuple[Way, ...] = get_args(Way)


class Replay:
    """Batches of sampled epochs as they were drawn, with features from elsewhere.

    Args:
        store: The graph.
        plan: Its batches.
    """

    whole = False

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan
        self.brings = store.brings
        self.rows_read = 0  # rows that were asked of the disk, as far as that is known

    def __call__(self, data: Data, items: Tensor, turn: Turn) -> Iterator[Data]:
        """Yields the batches of an epoch from ``turn.first`` on, in the order they were drawn."""
        count = self.plan.batches_per_epoch
        begin = turn.epoch % self.plan.sampled_epochs * count
        for number in range(begin + turn.first, begin + count):
            yield self.batch(data, number)

    def batch(self, data: Data, number: int) -> Data:
        """Returns a batch with all that ``SampledNodes`` gives it."""
        drawn = self.drawn(number)
        batch = Data(x=self.features(drawn.n_id), edge_index=drawn.edge_index, n_id=drawn.n_id)
        batch.y, batch.num_nodes = data.y[drawn.n_id], len(drawn.n_id)
        batch.batch_size, batch.seeds = drawn.num_seeds, torch.arange(drawn.num_seeds)
        return batch

    def drawn(self, number: int) -> Drawn:
        """Returns ids and edges of a batch."""
        return self.plan.batch(number)

    def forget(self) -> None:
        """Called before an epoch: nothing that is read in it may be in memory because of reading
        alone."""

    @abstractmethod
    def features(self, n_id: Tensor) -> Tensor:
        """Returns the features of some nodes."""


class InMemory(Replay):
    """Features, ids and edges of all batches in memory: what training costs without a disk."""

    def __init__(self, store: Store, plan: Plan) -> None:
        super().__init__(store, plan)
        rows = store.load("node/x")
        self.x = torch.from_numpy(rows if rows.dtype == np.float32 else store.decode(rows))
        self._drawn: dict[int, Drawn] = {}

    def drawn(self, number: int) -> Drawn:
        if number not in self._drawn:
            self._drawn[number] = self.plan.batch(number)
        return self._drawn[number]

    def hold(self, numbers: range) -> None:
        """Reads batches ahead of time."""
        for number in numbers:
            self.drawn(number)

    def features(self, n_id: Tensor) -> Tensor:
        return self.x[n_id]


class OnDemand(Replay):
    """Features read when a batch asks for them.

    Args:
        store: The graph.
        plan: Its batches.
        rows: What reads them.
    """

    def __init__(self, store: Store, plan: Plan, rows: Rows) -> None:
        super().__init__(store, plan)
        self.rows = rows

    def features(self, n_id: Tensor) -> Tensor:
        kept = self.rows.num_hits if isinstance(self.rows, (Cached, Lru)) else 0
        found = self.rows.read(n_id)
        hits = self.rows.num_hits - kept if isinstance(self.rows, (Cached, Lru)) else 0
        self.rows_read += len(n_id) - hits
        return found


class _Planned(BaseSampler):
    """Hands PyG's loader the batches of a plan, one after the other."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.number = plan, 0

    @property
    def edge_permutation(self) -> None:
        return None

    def sample_from_nodes(self, index: NodeSamplerInput, **_: Any) -> SamplerOutput:
        drawn = self.plan.batch(self.number)
        row, col = drawn.edge_index
        return SamplerOutput(
            drawn.n_id, row, col, None, num_sampled_nodes=drawn.nodes,
            num_sampled_edges=drawn.edges, metadata=(index.input_id, index.time),
        )  # fmt: skip

    def sample_from_edges(self, index: EdgeSamplerInput, **_: Any) -> SamplerOutput:
        raise SettingError("a plan of nodes has no batches of edges")


class Mapped(Replay):
    """The features as ``numpy.memmap`` in PyG's ``NodeLoader``: the usual way past memory.

    Args:
        store: The graph; its features are float32.
        plan: Its batches.
        random: Tell the kernel that pages are wanted in no order, which keeps it from reading
            ahead. PyG does not do so.
        limit: Where no control group bounds the process: bytes of the mapping that may be in
            memory; then pages are dropped by hand when a batch has left more.

    Raises:
        SettingError: The features are of another type.
    """

    def __init__(self, store: Store, plan: Plan, *, random: bool, limit: int | None = None) -> None:
        super().__init__(store, plan)
        array = store.arrays["node/x"]
        if array.dtype != np.float32:
            raise SettingError(f"features are {array.dtype}; PyG's loader maps float32 alone")
        self._file = os.open(array.path, os.O_RDONLY)
        # What numpy.memmap does. Copy on write, so that torch takes it; nothing is ever written.
        self._view = mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY)
        count = array.num_bytes // array.dtype.itemsize
        mapped = np.frombuffer(self._view, array.dtype, count, array.offset)
        self._limit = limit
        if random:
            self._view.madvise(mmap.MADV_RANDOM)
        self.x = torch.from_numpy(mapped.reshape(array.shape))
        self._sampler = _Planned(plan)
        self._loader: NodeLoader | None = None
        self._since = 0  # bytes of pages touched since they were last dropped, at most

    def close(self) -> None:
        """Closes the file; the mapping goes with the last tensor."""
        os.close(self._file)

    def forget(self) -> None:
        self._view.madvise(mmap.MADV_DONTNEED)  # pages that are mapped cannot leave the cache
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
        self._since = 0

    def features(self, n_id: Tensor) -> Tensor:
        return self.x[n_id]

    def batch(self, data: Data, number: int) -> Data:
        if self._loader is None:
            whole = Data(
                x=self.x, y=data.y, edge_index=torch.empty(2, 0, dtype=torch.long),
                num_nodes=self.store.num_nodes,
            )  # fmt: skip
            self._loader = NodeLoader(whole, self._sampler)
        self._sampler.number = number
        seeds = int(self.plan.records[number]["nodes"][0])
        batch: Data = self._loader(torch.arange(seeds))  # which ones, the plan knows
        batch.seeds = torch.arange(seeds)
        batch.input_id = batch.n_id[:seeds]
        self.rows_read += len(batch.n_id)
        self._since += len(batch.n_id) * PAGE
        if self._limit is not None and self._since > self._limit:
            self.forget()
        return batch
