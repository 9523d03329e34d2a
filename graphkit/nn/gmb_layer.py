"""A local and a global look at the graph side by side: gated edges, and a scan of all nodes."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from graphkit.nn.dropout import Dropout
from graphkit.nn.gated_conv import GatedGCNLayer
from graphkit.nn.mamba_block import MambaBlock
from graphkit.nn.node_order import NodeKeys, NodeRows
from graphkit.nn.norm import BatchNorm

__all__ = ["GMBLayer"]


class GMBLayer(nn.Module):
    r"""The layer of GraphGPS with a selective scan in the place of attention.

    .. math:: h_L, e' = \mathrm{BN}(\mathrm{GatedGCN}(h, e)), \quad
        h_G = \mathrm{BN}(h + \mathrm{drop}(\mathrm{Mamba}(h_{order}))), \quad
        h' = \mathrm{BN}(h_L + h_G + \mathrm{MLP}(h_L + h_G))

    Args:
        channels: Width of nodes and edges; unchanged by the layer.
        dropout: Share dropped in training.
        num_bins: Parts into which a graph's nodes are thrown; each is read alone.
        num_eval_orders: Orders averaged in evaluation.
        number: Which of a model's layers this is; each has orders of its own.

    Shape:
        x ``(nodes, channels)``, edge_index ``(2, edges)``, e ``(edges, channels)`` -> both streams.

    Source:
        Wang et al., "Graph-Mamba: Towards Long-Range Graph Sequence Modeling with Selective State
        Spaces", arXiv 2402.00789, section 4 and the authors' code: no norm before the scan, one
        forward direction, a state of 16, a convolution of 4, inner width not expanded.
    """

    def __init__(
        self,
        channels: int,
        *,
        dropout: float = 0.0,
        num_bins: int = 1,
        num_eval_orders: int = 5,
        number: int = 0,
    ) -> None:
        super().__init__()
        self.local = GatedGCNLayer(channels, dropout)
        self.rows = NodeRows(
            MambaBlock(channels, d_state=16, d_conv=4, expand=1),
            num_bins=num_bins,
            num_eval_orders=num_eval_orders,
            number=number,
        )
        self.norm_local, self.norm_rows = BatchNorm(channels), BatchNorm(channels)
        self.norm_network = BatchNorm(channels)
        self.network = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(2 * channels, channels),
            Dropout(dropout),
        )
        self.drop = Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        e: Float[Tensor, "edges channels"],
        keys: NodeKeys,
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "edges channels"]]:
        near, e = self.local(x, edge_index, e)
        h = self.norm_local(near) + self.norm_rows(x + self.drop(self.rows(x, keys)))
        return self.norm_network(h + self.network(h)), e
