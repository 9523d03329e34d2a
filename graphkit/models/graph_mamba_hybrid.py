"""Graph-Mamba (GMB): GraphGPS with a selective scan over nodes sorted by degree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphkit.models.base import Model
from graphkit.nn import Head, InputEncoder, Readout, pool
from graphkit.nn.gmb_layer import GMBLayer
from graphkit.nn.node_order import Named, NodeKeys, node_scores
from graphkit.tasks import Dims
from graphkit.transforms import LaplacianPE, SignFlip

__all__ = ["GraphMambaHybrid", "Order", "node_keys"]

Order: TypeAlias = Named | Callable[[Any], Tensor]


def node_keys(batch: Any, order: Order, *, edges: bool, rounds: int, training: bool) -> NodeKeys:
    """Returns where the nodes of a batch stand in their rows.

    Args:
        batch: The batch; without a field ``batch`` all nodes are of one graph.
        order: A measure of importance, or a function of the batch that gives a number per node.
        edges: Whether the model reads ``edge_attr``.
        rounds: Steps the model looks along the edges.
        training: Let ties fall by chance.
    """
    of = batch.get("batch")
    if of is None:
        of = torch.zeros(batch.num_nodes, dtype=torch.long, device=batch.edge_index.device)
    by = order if isinstance(order, str) else order(batch)
    scores = node_scores(batch.edge_index, of, by)
    if training:
        return NodeKeys.drawn(of, scores)
    fields = tuple(batch[name] for name in ("x", "pe") if batch.get(name) is not None)
    along = batch.edge_attr if edges else None
    return NodeKeys.settled(of, scores, batch.edge_index, fields, along, rounds)


class GraphMambaHybrid(Model):
    """Layers of a gated convolution beside a scan over all nodes, the hubs last.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of both streams.
        num_layers: Number of layers.
        dropout: Share of features dropped in training.
        encoding: Number of Laplacian eigenvectors added to the input; 0 adds none.
        order: What the row of nodes rises by: ``degree``, ``pagerank``, ``ppr``, ``random``, or a
            function of the batch that gives a number per node. Ties fall by chance.
        num_bins: Parts into which a graph's nodes are thrown; each is read alone.
        readout: How node vectors make one answer per graph; ``None`` answers per node.

    Reads:
        ``x``, ``edge_index``, ``edge_attr`` where the data have it, ``batch`` with a readout or
        with several graphs.

    Source:
        Wang et al., "Graph-Mamba: Towards Long-Range Graph Sequence Modeling with Selective State
        Spaces", arXiv 2402.00789.
        Differs: encodings pass through a linear map and not a network over sets; five orders are
        averaged in evaluation as there, but always the same five (``NodeRows``).
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 4,
        dropout: float = 0.0,
        encoding: int = 0,
        order: Order = "degree",
        num_bins: int = 1,
        readout: Readout | None = None,
    ) -> None:
        super().__init__()
        self.encoding, self.order, self.readout = encoding, order, readout
        self.edges = bool(dims.edge_channels or dims.edge_symbols)
        self.encode = InputEncoder(dims.in_channels, dims.node_symbols, hidden_channels)
        self.encode_edges = InputEncoder(dims.edge_channels, dims.edge_symbols, hidden_channels)
        self.place = nn.Linear(encoding, hidden_channels) if encoding else None
        self.layers = nn.ModuleList(
            GMBLayer(hidden_channels, dropout=dropout, num_bins=num_bins, number=number)
            for number in range(num_layers)
        )
        self.head = Head(hidden_channels, dims.out_channels)

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """The Laplacian encoding, where there is one."""
        return LaplacianPE(self.encoding) if self.encoding else None

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """In training, random signs of the encoding."""
        return SignFlip("pe") if self.encoding and self.training else None

    def forward(self, batch: Any) -> Float[Tensor, "rows answers"]:
        h = self.encode(batch.get("x"), batch.num_nodes)
        if self.place is not None:
            h = h + self.place(batch.pe)
        e = self.encode_edges(batch.get("edge_attr"), batch.edge_index.shape[1])
        keys = node_keys(
            batch, self.order, edges=self.edges, rounds=len(self.layers), training=self.training
        )
        for layer in self.layers:
            h, e = layer(h, batch.edge_index, e, keys)
        if self.readout is not None:
            h = pool(h, batch.batch, batch.num_graphs, self.readout)
        return self.head(h)
