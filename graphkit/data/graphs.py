"""Many small graphs as one value: joined arrays, cut by index, so that a batch is a few gathers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphkit.errors import DataError

__all__ = ["GraphSet"]


@dataclass(frozen=True)
class GraphSet(Sequence[Data]):
    """An immutable list of graphs, stored joined.

    Args:
        joined: All graphs' fields, one after the other (PyG's collated form).
        slices: For each field, where each graph begins: ``(graphs + 1,)``.
        num_nodes: Nodes of each graph: ``(graphs,)``.

    Source:
        The layout is that of PyG's ``InMemoryDataset``; cutting a batch of B graphs takes
        a few gathers instead of a Python loop over B objects.
    """

    joined: Data
    slices: dict[str, Tensor]
    num_nodes: Tensor

    @classmethod
    def of(cls, graphs: Sequence[Data]) -> GraphSet:
        """Joins a list of graphs that carry the same fields.

        Raises:
            DataError: The list is empty, or a graph lacks a field that the first one has.
        """
        if isinstance(graphs, GraphSet):
            return graphs
        if len(graphs) == 0:
            raise DataError("a list of graphs holds no graph; at least one was expected")
        fields = set(graphs[0].keys())
        for number, graph in enumerate(graphs):
            if set(graph.keys()) != fields:
                odd = sorted(fields ^ set(graph.keys()))
                raise DataError(
                    f"graph {number} and graph 0 do not carry the same fields: {odd} differ"
                )
        sizes = torch.tensor([int(graph.num_nodes or 0) for graph in graphs])
        plain = [_without_count(graph) for graph in graphs]
        joined, slices = Data(), {}
        for key in plain[0]:
            rows = [graph[key] for graph in plain]
            axis = _axis(joined, key, rows[0])
            joined[key] = torch.cat(rows, dim=axis)
            slices[key] = _starts(torch.tensor([row.shape[axis] for row in rows]))
        return cls(joined, slices, sizes)

    def __len__(self) -> int:
        return len(self.num_nodes)

    def __iter__(self) -> Iterator[Data]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: Any) -> Any:
        """Returns one graph; a slice or a tensor of numbers gives a smaller set."""
        if isinstance(number, slice):
            return self.keep(torch.arange(len(self))[number])
        if isinstance(number, Tensor) and number.dim() == 1:
            return self.keep(number)
        if not -len(self) <= number < len(self):
            raise IndexError(f"graph {number} of {len(self)}")
        graph = Data()
        at = int(number) % len(self)
        for key, value in self.joined.to_dict().items():
            low, high = int(self.slices[key][at]), int(self.slices[key][at + 1])
            graph[key] = value.narrow(_axis(self.joined, key, value), low, high - low)
        graph.num_nodes = int(self.num_nodes[at])
        return graph

    def _cut(self, numbers: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The chosen graphs' fields, still numbered within each graph, and their new slices."""
        fields, cuts = {}, {}
        for key, value in self.joined.to_dict().items():
            low, high = self.slices[key][numbers], self.slices[key][numbers + 1]
            cuts[key] = _starts(high - low)
            rows = _ranges(low, cuts[key])
            fields[key] = value.index_select(_axis(self.joined, key, value), rows)
        return fields, cuts

    def keep(self, numbers: Tensor) -> GraphSet:
        """Returns the set of the chosen graphs alone, in the order given."""
        fields, cuts = self._cut(numbers)
        return GraphSet(Data.from_dict(fields), cuts, self.num_nodes[numbers])

    def batch(self, numbers: Tensor) -> Batch:
        """Returns the chosen graphs side by side, node numbers shifted as PyG does."""
        fields, cuts = self._cut(numbers)
        sizes = self.num_nodes[numbers]
        ptr = _starts(sizes)
        batch = Batch()
        for key, value in fields.items():
            if _ONE_NODE.__inc__(key, value) != 0:  # PyG's rule: whatever is named an index
                value = value + ptr[:-1].repeat_interleave(cuts[key].diff())
            batch[key] = value
        batch.batch = torch.arange(len(numbers)).repeat_interleave(sizes)
        batch.ptr = ptr
        batch.num_nodes = int(ptr[-1])
        batch._num_graphs = len(numbers)
        return batch

    def with_field(self, name: str, values: Tensor) -> GraphSet:
        """Returns the set with a field of one row per graph added or replaced."""
        joined = Data.from_dict(self.joined.to_dict() | {name: values})
        return GraphSet(joined, self.slices | {name: torch.arange(len(self) + 1)}, self.num_nodes)


_ONE_NODE = Data(num_nodes=1)


def _axis(graph: Data, key: str, value: Tensor) -> int:
    """The dimension along which PyG joins a field."""
    return (graph.__cat_dim__(key, value) or 0) % max(value.dim(), 1)


def _without_count(graph: Data) -> dict[str, Tensor]:
    """A graph without a stored node count, which is kept apart."""
    fields = {key: value for key, value in graph.to_dict().items() if key != "num_nodes"}
    bad = [key for key, value in fields.items() if not isinstance(value, Tensor)]
    if bad:
        raise DataError(f"field {bad[0]!r} of a graph is not a tensor")
    return {k: v.reshape(1) if v.dim() == 0 else v for k, v in fields.items()}


def _starts(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def _ranges(low: Tensor, starts: Tensor) -> Tensor:
    """Joins the ranges that begin at ``low`` and fill ``starts``: a gather index."""
    sizes = starts.diff()
    return torch.arange(int(starts[-1])) + (low - starts[:-1]).repeat_interleave(sizes)
