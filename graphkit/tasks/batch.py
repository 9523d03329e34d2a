"""What a model is called with: PyG objects that carry at least these fields."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["EventBatch", "GraphBatch", "History", "HyperBatch", "NodeBatch"]


@runtime_checkable
class NodeBatch(Protocol):
    """A graph, or a sampled part of one; ``seeds`` are the rows whose answer is asked for.

    ``edge_index`` is sorted by destination. ``x`` may be absent (``None``) or hold symbols.
    """

    x: Tensor
    edge_index: Int[Tensor, "2 edges"]
    y: Tensor
    seeds: Int[Tensor, " seeds"]


@runtime_checkable
class HyperBatch(Protocol):
    """A hypergraph: row 0 of ``hyperedge_index`` is the node, row 1 the hyperedge."""

    x: Float[Tensor, "nodes channels"]
    hyperedge_index: Int[Tensor, "2 memberships"]
    y: Tensor
    seeds: Int[Tensor, " seeds"]


@runtime_checkable
class GraphBatch(Protocol):
    """Several graphs side by side; ``batch`` says which graph a node belongs to."""

    x: Tensor
    edge_index: Int[Tensor, "2 edges"]
    batch: Int[Tensor, " nodes"]
    num_graphs: int
    y: Tensor
    seeds: Int[Tensor, " seeds"]


@runtime_checkable
class History(Protocol):
    """The events before a batch, oldest first: all that a model may look at."""

    src: Int[Tensor, " past"]
    dst: Int[Tensor, " past"]
    t: Tensor


@runtime_checkable
class EventBatch(Protocol):
    """Events in order of time, each with the destinations it is ranked against."""

    src: Int[Tensor, " events"]
    dst: Int[Tensor, " events"]
    t: Tensor
    negatives: Int[Tensor, "events draws"]
    history: History
    seeds: Int[Tensor, " events"]
