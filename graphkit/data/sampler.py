"""Neighbour sampling as a pure function of a key: the same batch in any thread, worker or rank.

Every random number is computed from (seed, epoch, batch, hop, node), never taken from a stream, so
neither the number of threads nor the order of calls nor a restart changes a sample. *batch* is the
content of the batch itself: a sum of hashes of its seed nodes, whatever their order. There is no
counter to restore, and the same seeds in one epoch always give the same sub-graph.

The kernels are compiled by numba when first called and kept on disk where a folder for that can be
written. They hold no lock of Python's and are run by plain threads, which, unlike numba's own
thread pool, may be started after a fork: a sampler works in the workers of a loader.

PyG's own samplers are not used even where pyg-lib is installed: they draw from a global generator,
so that a result would depend on what else is installed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample

from graphkit.data.check import check_edges
from graphkit.data.sampler_kernels import (
    Array,
    batch_key,
    collect,
    count_draws,
    count_in_edges,
    draw,
    enter_seeds,
    forget,
    hop_key,
    mark,
    relabel,
    sort_by_destination,
)
from graphkit.errors import DataError, SettingError
from graphkit.seeds import derived_seed, seeded

__all__ = ["Csc", "SeededNeighbors"]

_WORTH_THREADS = 1 << 15  # edges of a hop below which starting threads costs more than it gains


@dataclass(frozen=True, eq=False)
class Csc:
    """In-edges of every node, side by side; built once, shared by the samplers of all epochs.

    Args:
        colptr: In-edges of node ``v`` are at ``colptr[v]`` to ``colptr[v + 1]``.
        row: Source of each edge.
        edge: Number of each edge in the list it was built from; ``None`` where that is the order.

    Shape:
        colptr ``(nodes + 1,)`` int64; row and edge ``(edges,)``, int32 or int64 alike.

    Raises:
        DataError: The three do not fit together, or ``row`` names a node that is not there.
    """

    colptr: Tensor
    row: Tensor
    edge: Tensor | None = None

    def __post_init__(self) -> None:
        colptr, row, edge = self.colptr, self.row, self.edge
        if colptr.dtype != torch.int64 or row.dtype not in (torch.int32, torch.int64):
            raise DataError(
                f"colptr is {colptr.dtype} and row is {row.dtype}; expected torch.int64, and "
                "torch.int32 or torch.int64"
            )
        if colptr.dim() != 1 or row.dim() != 1 or len(colptr) == 0:
            raise DataError(
                f"colptr has shape {tuple(colptr.shape)} and row {tuple(row.shape)}; "
                "expected (nodes + 1,) and (edges,)"
            )
        if int(colptr[0]) != 0 or int(colptr[-1]) != len(row) or bool((colptr.diff() < 0).any()):
            raise DataError(
                f"colptr must rise from 0 to the number of edges, {len(row)}; it goes from "
                f"{int(colptr[0])} to {int(colptr[-1])}"
            )
        if self.num_nodes and int(colptr.diff().max()) >= 2**32:
            raise DataError("a node has 2**32 in-edges or more; draws are made with 32 bits")
        for name, ids, stop in (("row", row, self.num_nodes), ("edge", edge, len(row))):
            if ids is None:
                continue
            if ids.shape != row.shape or ids.dtype != row.dtype:
                raise DataError(
                    f"{name} is {ids.dtype} of shape {tuple(ids.shape)}; expected {row.dtype} of "
                    f"shape {tuple(row.shape)}, as row is"
                )
            if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < stop:
                at = int(((ids < 0) | (ids >= stop)).nonzero()[0])
                raise DataError(
                    f"{name}[{at}] = {int(ids[at])} is out of range; expected 0 <= id < {stop}"
                )

    @classmethod
    def of(cls, edge_index: Tensor, num_nodes: int) -> Csc:
        """Sorts edges by destination, stably; edges that are in that order are not sorted again.

        Args:
            edge_index: Sources and destinations.
            num_nodes: Nodes of the graph.

        Shape:
            edge_index ``(2, edges)``, int32 or int64.

        Raises:
            DataError: An id is out of range, or shape or type are wrong.
        """
        check_edges(edge_index, num_nodes)
        source, destination = edge_index.as_subclass(Tensor).cpu()
        num_edges = len(source)
        small = max(num_nodes, num_edges) < 2**31
        dtype = torch.int32 if small else torch.int64
        colptr = np.zeros(num_nodes + 1, dtype=np.int64)
        count_in_edges(destination.numpy(), colptr)
        if bool((destination[1:] >= destination[:-1]).all()):
            return cls(torch.from_numpy(colptr), source.to(dtype))
        # Source and edge id of an edge lie side by side: they are always read together, and a
        # draw from a large graph then waits for memory once.
        entries = np.empty((num_edges, 2), dtype=np.int32 if small else np.int64)
        sort_by_destination(source.numpy(), destination.numpy(), colptr, entries)
        both = torch.from_numpy(entries)
        return cls(torch.from_numpy(colptr), both[:, 0], both[:, 1])

    @property
    def num_nodes(self) -> int:
        """Nodes of the graph, isolated ones included."""
        return len(self.colptr) - 1


class _Desk:
    """What one batch is worked out on: tables over all nodes, kept from batch to batch.

    ``table`` holds the local id of each node that ``seen`` has a bit for; ``fresh`` has a bit for
    each node first reached in this hop, ``filled`` one for each word of ``fresh`` to look at.
    """

    def __init__(self, num_nodes: int) -> None:
        words = num_nodes // 64 + 1
        self.table: Array = np.zeros(num_nodes, dtype=np.int32)
        self.seen: Array = np.zeros(words, dtype=np.uint64)
        self.fresh: Array = np.zeros(words, dtype=np.uint64)
        self.filled: Array = np.zeros(words // 64 + 1, dtype=np.uint64)
        self.nodes: Array = np.empty(0, dtype=np.int64)
        self.sources: dict[int, Array] = {}
        self.edges: dict[int, Array] = {}

    def make_room(self, size: int, end: int) -> None:
        """Makes ``nodes`` hold ``size`` entries; those before ``end`` stay."""
        if len(self.nodes) < size:
            grown = np.empty(size + size // 4, dtype=np.int64)
            grown[:end] = self.nodes[:end]
            self.nodes = grown

    def buffers(self, hop: int, size: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """Returns room for sources and edge numbers of a hop; what was in there may be lost."""
        if hop not in self.sources or len(self.sources[hop]) < size:
            self.sources[hop] = np.empty(size + size // 4, dtype=dtype)
            self.edges[hop] = np.empty(size + size // 4, dtype=np.int64)
        return self.sources[hop], self.edges[hop]


@dataclass(frozen=True, eq=False)
class _Hop:
    """The edges into nodes ``first`` to ``reached`` of a batch, in global ids.

    ``end`` is the number of local ids once the sources have theirs.
    """

    first: int
    reached: int
    end: int
    offsets: Array
    source: Array
    edge: Array

    @property
    def num_edges(self) -> int:
        return int(self.offsets[-1])

    @property
    def num_nodes(self) -> int:
        return self.end - self.reached


@dataclass(frozen=True)
class _Crew:
    """Threads that share the work on one batch."""

    pool: ThreadPoolExecutor
    threads: int

    def spread(self, kernel: Callable[..., None], offsets: Array, *arguments: Any) -> None:
        """Runs a kernel on runs of a frontier with equally many edges, one in this thread."""
        total = int(offsets[-1])
        parts = self.threads if total >= _WORTH_THREADS else 1
        inner = np.searchsorted(offsets, [total * part // parts for part in range(1, parts)])
        bounds = [0, *inner.tolist(), len(offsets) - 1]
        waiting = [
            self.pool.submit(kernel, low, high, *arguments) for low, high in pairwise(bounds[1:])
        ]
        kernel(bounds[0], bounds[1], *arguments)
        for future in waiting:
            future.result()


@dataclass(frozen=True, eq=False)
class SeededNeighbors(BaseSampler):
    """Draws neighbours hop by hop against the edges' direction: messages flow to the seeds.

    A node is expanded once, in the hop after it is first reached. Local ids: the seeds as given,
    then hop by hop the new nodes in ascending order. Edges come in ascending order of destination
    and so hop by hop; ``edge`` numbers them as the graph was given. A seed given twice has two
    rows with the same in-edges; edges from it start at the first.

    Args:
        graph: In-edges of every node.
        fanouts: In-edges drawn per hop, nearest hop first; -1 takes all, 0 none (and so none in
            later hops).
        seed: Seed of all draws.
        epoch: Another epoch draws other neighbours for the same seeds.
        replace: Whether an edge may be drawn more than once; a node with any in-edge then gets as
            many as the fan-out says.
        threads: Threads of one call; ``None`` is torch's number (1 in a worker of a loader). No
            result depends on it. Each one that samples whole batches keeps 4.3 bytes a node.

    Raises:
        SettingError: A fan-out is below -1 or not a whole number, there is none, or no thread.

    Source:
        Hamilton et al., "Inductive Representation Learning on Large Graphs", NeurIPS 2017,
        algorithm 2. Draws: Steele et al., "Fast Splittable Pseudorandom Number Generators",
        OOPSLA 2014 (splitmix64); Lemire, "Fast Random Integer Generation in an Interval", TOMACS
        2019; Bentley and Floyd, "A Sample of Brilliance", CACM 1987.
        Differs: a node reached again is not expanded again, as in PyG.
    """

    graph: Csc
    fanouts: Sequence[int]
    seed: int = field(kw_only=True)
    epoch: int = field(default=0, kw_only=True)
    replace: bool = field(default=False, kw_only=True)
    threads: int | None = field(default=None, kw_only=True)
    _desks: list[_Desk] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.fanouts:
            raise SettingError("fanouts is empty; expected one number per hop, e.g. (10, 10)")
        for hop, fanout in enumerate(self.fanouts):
            if isinstance(fanout, bool) or not isinstance(fanout, int) or fanout < -1:
                raise SettingError(
                    f"fanouts[{hop}] = {fanout!r}; expected a number of neighbours, or -1 for all"
                )
        if self.threads is not None and self.threads < 1:
            raise SettingError(f"threads = {self.threads}; expected at least 1, or None")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_desks": []}  # a worker makes its own

    def at(self, epoch: int) -> SeededNeighbors:
        """Returns the sampler of another epoch over the same graph."""
        return replace(self, epoch=epoch)

    @property
    def edge_permutation(self) -> None:
        """Nothing to permute: ``edge`` already numbers edges as the graph was given."""
        return None

    def sample_from_nodes(self, index: NodeSamplerInput, **_: Any) -> SamplerOutput:
        """Draws the neighbourhood of some nodes.

        Args:
            index: Nodes to start from, as PyG's ``NodeLoader`` makes it.

        Raises:
            DataError: A node is not in the graph, or the input names times or a node type.
        """
        self._refuse(index)
        out = self._sample(self._ids(index.node, "node"), self._threads)
        out.metadata = (index.input_id, index.time)
        return out

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None, **_: Any
    ) -> SamplerOutput:
        """Draws the neighbourhood of both ends of some edges, and negatives if asked for.

        The seeds are the distinct ends in ascending order. Negatives are drawn by PyG from a
        generator that is set from seed, epoch and the edges.

        Args:
            index: Edges to start from, as PyG's ``LinkLoader`` makes it.
            neg_sampling: How PyG is to draw negatives; ``None`` draws none.

        Raises:
            DataError: A node is not in the graph, or the input names times or an edge type.
        """
        self._refuse(index)
        ends = np.concatenate([self._ids(index.row, "row"), self._ids(index.col, "col")])
        key = int(batch_key(self._key, ends))
        with seeded(self.seed, "negatives", self.epoch, key):

            def sample(nodes: Tensor, _: None) -> SamplerOutput:
                return self._sample(self._ids(nodes, "node"), self._threads)

            return edge_sample(
                index, sample, self.graph.num_nodes, disjoint=False, neg_sampling=neg_sampling
            )

    def sample_batches(self, batches: Iterable[Tensor]) -> Generator[SamplerOutput, None, None]:
        """Draws many batches, one per thread at a time: the fastest way to sample ahead.

        Args:
            batches: Seeds of each batch; read a few batches ahead of what has been yielded.

        Shape:
            each batch ``(seeds,)``.

        Yields:
            What ``sample_from_nodes`` would return for each, in order.

        Raises:
            DataError: A node is not in the graph; it names batch and position.
        """
        threads = self._threads
        drawn: deque[Future[SamplerOutput]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for number, nodes in enumerate(batches):
                seeds = self._ids(nodes, f"batches[{number}]")
                drawn.append(pool.submit(self._sample, seeds, 1))
                if len(drawn) > 2 * threads:
                    yield drawn.popleft().result()
            while drawn:
                yield drawn.popleft().result()

    @property
    def _threads(self) -> int:
        return self.threads or torch.get_num_threads()

    @property
    def _key(self) -> np.uint64:
        return np.uint64(derived_seed(self.seed, "neighbours", self.epoch))

    def _refuse(self, index: NodeSamplerInput | EdgeSamplerInput) -> None:
        if index.time is not None:
            raise DataError("the input has times; this sampler draws from all edges, late or early")
        if index.input_type is not None:
            raise DataError(
                f"the input is of type {index.input_type!r}; this sampler knows one type of node"
            )

    def _ids(self, nodes: Tensor, name: str) -> Array:
        if nodes.dim() != 1 or nodes.dtype not in (torch.int32, torch.int64):
            raise DataError(
                f"{name} is {nodes.dtype} of shape {tuple(nodes.shape)}; expected node ids, "
                "torch.int64 of shape (seeds,)"
            )
        stop = self.graph.num_nodes
        if len(nodes) and not 0 <= int(nodes.min()) <= int(nodes.max()) < stop:
            at = int(((nodes < 0) | (nodes >= stop)).nonzero()[0])
            raise DataError(
                f"{name}[{at}] = {int(nodes[at])} is out of range for {stop} nodes; "
                f"expected 0 <= id < {stop}"
            )
        return nodes.long().cpu().numpy()

    def _sample(self, seeds: Array, threads: int) -> SamplerOutput:
        try:
            desk = self._desks.pop()
        except IndexError:
            desk = _Desk(self.graph.num_nodes)
        with ThreadPoolExecutor(threads) as pool:  # starts no thread before it is given work
            crew = _Crew(pool, threads)
            hops = self._walk(desk, seeds, crew)
            # One block for all three: large enough for huge pages, which are filled much faster.
            block = np.empty((3, sum(hop.num_edges for hop in hops)), dtype=np.int64)
            start = 0
            for hop in hops:
                rows, columns, edges = block[:, start : start + hop.num_edges]
                ids = (hop.first, hop.offsets, hop.source, hop.edge, desk.table)
                crew.spread(relabel, hop.offsets, *ids, rows, columns, edges)
                start += hop.num_edges
        row, col, edge = torch.from_numpy(block)
        end = hops[-1].end
        node = torch.from_numpy(desk.nodes[:end].copy())
        forget(desk.nodes[:end], desk.seen)
        self._desks.append(desk)  # not after an error: its marks would be left over
        return SamplerOutput(
            node=node,
            row=row,
            col=col,
            edge=edge,
            num_sampled_nodes=[len(seeds), *(hop.num_nodes for hop in hops)],
            num_sampled_edges=[hop.num_edges for hop in hops],
        )

    def _walk(self, desk: _Desk, seeds: Array, crew: _Crew) -> list[_Hop]:
        """Draws all edges and gives all nodes their local ids."""
        colptr, row = self.graph.colptr.numpy(), self.graph.row.numpy()
        edge_id = row[:0] if self.graph.edge is None else self.graph.edge.numpy()
        key = np.uint64(batch_key(self._key, seeds))
        start, end = 0, len(seeds)
        desk.make_room(end, 0)
        enter_seeds(seeds, desk.seen, desk.table, desk.nodes)
        hops = []
        for number, fanout in enumerate(self.fanouts):
            frontier = desk.nodes[start:end]
            offsets = np.empty(end - start + 1, dtype=np.int64)
            count = int(count_draws(colptr, frontier, fanout, self.replace, offsets))
            source, edge = desk.buffers(number, count, row.dtype)
            how = (np.uint64(hop_key(key, number)), fanout, self.replace)
            graph = (colptr, row, edge_id)
            crew.spread(draw, offsets, *how, *graph, frontier, offsets, source, edge)
            mark(source, count, desk.seen, desk.fresh, desk.filled)
            desk.make_room(end + min(count, self.graph.num_nodes), end)
            new_end = int(collect(desk.seen, desk.fresh, desk.filled, desk.table, desk.nodes, end))
            hops.append(_Hop(start, end, new_end, offsets, source, edge))
            start, end = end, new_end
        return hops
