"""Graph Mamba Networks (GMN): a scan over each node's walks, then scans over all nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphkit.errors import SettingError
from graphkit.models.base import Model
from graphkit.models.graph_mamba_hybrid import Order, node_keys
from graphkit.nn import Dropout, GatedGCNLayer, Head, InputEncoder, Readout, pool
from graphkit.nn.mamba_block import BidirectionalMamba, ForwardMamba
from graphkit.nn.node_order import NodeKeys, NodeRows
from graphkit.nn.walk_encoder import SubgraphEncoder, WalkFeatureEncoder
from graphkit.seeds import seeded
from graphkit.tasks import Dims
from graphkit.transforms import Chain, LaplacianPE, SignFlip
from graphkit.transforms.walk_tokens import InducedTokens
from graphkit.transforms.walks import RandomWalkTokens

__all__ = ["GraphMamba", "Scan", "SettledWalks", "Walks"]


@dataclass(frozen=True)
class Walks:
    """What a node's tokens are made of, and how they are read.

    Args:
        length: Steps of the longest walk, :math:`m`.
        num_walks: Walks whose union is a token, :math:`M`.
        num_repeats: Tokens of each length, :math:`s`.
        local: A token is read from the rows of its ``walks``, or by message passing inside its
            ``subgraph``.
        num_layers: Scans over the tokens of a node.
        independent_lengths: Draw walks of their own for each length.
        non_backtracking: Do not go back to the node just left.
    """

    length: int = 2
    num_walks: int = 2
    num_repeats: int = 2
    local: Literal["walks", "subgraph"] = "walks"
    num_layers: int = 1
    independent_lengths: bool = False
    non_backtracking: bool = False

    def drawn(self, edges: bool) -> RandomWalkTokens:
        """The transform that draws them, from the seed of each batch."""
        return RandomWalkTokens(
            self.length,
            self.num_walks,
            self.num_repeats,
            independent_lengths=self.independent_lengths,
            non_backtracking=self.non_backtracking,
            edges=edges,
        )


@dataclass(frozen=True)
class Scan:
    """How sequences are read.

    Args:
        order: What the row of nodes rises by: ``degree``, ``pagerank``, ``ppr``, ``random``, or a
            function of the batch that gives a number per node. Ties fall by chance.
        both_ways: Read from both ends, each with weights of its own.
        mpnn: Add message passing to each scan over the nodes.
        num_eval_orders: Orders of the nodes averaged in evaluation.
        d_state: Numbers of state per inner channel.
        expand: Inner width as a multiple of the width.
    """

    order: Order = "degree"
    both_ways: bool = True
    mpnn: bool = True
    num_eval_orders: int = 1
    d_state: int = 16
    expand: int = 2

    def layer(self, channels: int) -> nn.Module:
        """Returns a layer over sequences."""
        kind = BidirectionalMamba if self.both_ways else ForwardMamba
        return kind(channels, d_state=self.d_state, expand=self.expand)


class SettledWalks(BaseTransform):
    """Draws the same walks whatever the nodes are called, as far as their content tells them apart.

    Nodes are numbered by what they carry and see, walks are drawn, numbers are put back.

    Args:
        draw: Draws the walks of a batch from torch's global generator.
        edges: Whether ``edge_attr`` is part of what a node sees.
    """

    fixed = True

    def __init__(self, draw: RandomWalkTokens, edges: bool) -> None:
        self.draw, self.edges = draw, edges

    def forward(self, data: Data) -> Data:
        """Returns the batch with the walks added."""
        keys = node_keys(data, "random", edges=self.edges, rounds=3, training=False)
        assert keys.rank is not None
        sizes = torch.bincount(keys.batch)
        place = keys.rank + (sizes.cumsum(0) - sizes)[keys.batch]  # of each node in the new order
        order = place.argsort()
        renamed = Data(edge_index=place[data.edge_index], num_nodes=len(place))
        renamed.batch = keys.batch
        renamed.ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        with seeded(0, "settled walks"):
            renamed = self.draw(renamed)
        data.walk_index = order[renamed.walk_index][..., place]
        data.walk_bits = renamed.walk_bits[place]
        if self.draw.edges:
            data.walk_edge = renamed.walk_edge[..., place]
        return data

    def __repr__(self) -> str:
        return f"SettledWalks({self.draw!r}, edges={self.edges})"


class _Tokens(nn.Module):
    """From a node's walks to its vector: local encoding, then scans from the far to the near."""

    def __init__(
        self, channels: int, walks: Walks, scan: Scan, window: int, edges: bool, dropout: float
    ) -> None:
        super().__init__()
        self.encode: nn.Module
        if walks.local == "subgraph":
            self.encode = SubgraphEncoder(
                GatedGCNLayer(channels, dropout),
                channels=channels,
                walk_length=walks.length,
                num_repeats=walks.num_repeats,
            )
        else:
            self.encode = WalkFeatureEncoder(
                channels, channels, window=window, edge_channels=channels if edges else 0
            )
        self.layers = nn.ModuleList(scan.layer(channels) for _ in range(walks.num_layers))
        self.drop = Dropout(dropout)

    def forward(self, h: Tensor, e: Tensor | None, batch: Any) -> Float[Tensor, "nodes channels"]:
        if isinstance(self.encode, SubgraphEncoder):
            places = (batch.token_node, batch.token_of, batch.token_edges)
            tokens = self.encode(h, *places, e, batch.token_edge)
        else:
            walks = (batch.walk_index, batch.walk_bits)
            tokens = self.encode(h, *walks, e, batch.get("walk_edge"))
        row = torch.cat([tokens, h.unsqueeze(1)], dim=1)  # (nodes, tokens + 1, channels)
        for layer in self.layers:
            row = row + self.drop(layer(row))
        return row[:, -1]


class _OverNodes(nn.Module):
    """A scan of all nodes and message passing, added to what comes in."""

    def __init__(self, channels: int, scan: Scan, dropout: float, number: int) -> None:
        super().__init__()
        self.rows = NodeRows(
            scan.layer(channels), num_eval_orders=scan.num_eval_orders, number=number
        )
        self.local = GatedGCNLayer(channels, dropout) if scan.mpnn else None
        self.drop = Dropout(dropout)

    def forward(
        self, h: Tensor, around: Tensor, edge_index: Tensor, e: Tensor | None, keys: NodeKeys
    ) -> tuple[Tensor, Tensor | None]:
        out = h + self.drop(self.rows(h, keys))
        if self.local is not None:
            near, e = self.local(around, edge_index, e)
            out = out + (near - around)
        return out, e


class GraphMamba(Model):
    r"""Reads each node's walks from far to near, then all nodes in the order of their importance.

    .. math:: y_v = \mathrm{last}(\mathrm{BiMamba}(\phi(T_{m}), \dots, \phi(T_1), x_v)), \quad
        Y' = Y + \mathrm{BiMamba}(Y_{order}) + \Psi(G, X)

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of all layers.
        num_layers: Scans over the nodes; 0 leaves each node with its walks.
        walks: What a node's tokens are made of. A number :math:`m` alone is the length of the
            walks; 0 leaves them out: then the model is GraphGPS with a scan for attention.
        scan: How sequences are read.
        dropout: Share of features dropped in training.
        encoding: Number of Laplacian eigenvectors added to the input; 0 adds none.
        readout: How node vectors make one answer per graph; ``None`` answers per node.

    Reads:
        ``x``, ``edge_index``, ``edge_attr`` where the data have it, ``batch`` with a readout or
        with several graphs.

    Raises:
        SettingError: A number of layers is negative, or there is no way ``local`` to read a token.

    Source:
        Behrouz and Hashemi, "Graph Mamba: Towards Learning on Graphs with State Space Models",
        KDD 2024, arXiv 2402.08678, algorithm 1. Widths and sizes of the state are not published.
        Differs: residuals around the scans, which the formulas leave out; the raw node is always
        the last token; message passing is added after the scan, in the first layer on the input
        (as printed), in later ones on what the layer before gives; encodings are added to the
        features, not appended; tokens of a length are not shuffled. In training walks and ties are
        drawn in each batch; in evaluation they are always the same and bound to what a node sees
        (``NodeRows``, ``SettledWalks``).
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 2,
        walks: Walks | int = 0,
        scan: Scan = Scan(),
        dropout: float = 0.0,
        encoding: int = 0,
        readout: Readout | None = None,
    ) -> None:
        super().__init__()
        walks = Walks(walks) if isinstance(walks, int) else walks
        if num_layers < 0 or walks.num_layers < 1 or walks.local not in ("walks", "subgraph"):
            raise SettingError(
                f"num_layers={num_layers}, {walks}; expected at least 0 layers over nodes, 1 over "
                "tokens, and local='walks' or 'subgraph'"
            )
        self.encoding, self.readout, self.scan, self.walks = encoding, readout, scan, walks
        self.edges = bool(dims.edge_channels or dims.edge_symbols)
        self.encode = InputEncoder(dims.in_channels, dims.node_symbols, hidden_channels)
        self.place = nn.Linear(encoding, hidden_channels) if encoding else None
        self.draw = walks.drawn(self.edges and walks.local == "walks")
        tokens = self.draw.num_tokens > 0
        passing = (scan.mpnn and num_layers > 0) or (tokens and walks.local == "subgraph")
        self.encode_edges = (
            InputEncoder(dims.edge_channels, dims.edge_symbols, hidden_channels)
            if passing or (tokens and self.edges)
            else None
        )
        self.tokens = (
            _Tokens(hidden_channels, walks, scan, self.draw.window, self.edges, dropout)
            if tokens
            else None
        )
        self.layers = nn.ModuleList(
            _OverNodes(hidden_channels, scan, dropout, number) for number in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_channels)
        self.head = Head(hidden_channels, dims.out_channels)

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """The Laplacian encoding, where there is one."""
        return LaplacianPE(self.encoding) if self.encoding else None

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """The walks, where there are any; in training random signs of the encoding."""
        parts: list[Callable[[Any], Any]] = []
        if self.encoding and self.training:
            parts.append(SignFlip("pe"))
        if self.tokens is not None:
            parts.append(self.draw if self.training else SettledWalks(self.draw, self.edges))
            if self.walks.local == "subgraph":
                parts.append(InducedTokens())
        return Chain(*parts) if parts else None

    def forward(self, batch: Any) -> Float[Tensor, "rows answers"]:
        h = self.encode(batch.get("x"), batch.num_nodes)
        if self.place is not None:
            h = h + self.place(batch.pe)
        e = None
        if self.encode_edges is not None:
            e = self.encode_edges(batch.get("edge_attr"), batch.edge_index.shape[1])
        around = h
        if self.tokens is not None:
            h = self.tokens(h, e, batch)
        keys = self._keys(batch) if len(self.layers) else None
        for number, layer in enumerate(self.layers):
            h, e = layer(h, h if number else around, batch.edge_index, e, keys)
        if self.readout is not None:
            h = pool(h, batch.batch, batch.num_graphs, self.readout)
        return self.head(self.norm(h))

    def _keys(self, batch: Any) -> NodeKeys:
        """Where the nodes stand in their rows; walks tell apart what the keys cannot."""
        keys = node_keys(
            batch, self.scan.order, edges=self.edges, rounds=len(self.layers),
            training=self.training,
        )  # fmt: skip
        return keys if self.tokens is None else replace(keys, alike=None)
