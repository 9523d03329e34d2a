"""The gated convolution with an edge stream of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphkit.nn.dropout import Dropout
from graphkit.nn.norm import BatchNorm

__all__ = ["GatedGCNLayer"]


class GatedGCNLayer(nn.Module):
    r"""Edges learn gates; a node sums its neighbours through them.

    .. math:: \hat e_{ij} = C e_{ij} + D h_j + E h_i, \quad
        h_i' = h_i + ReLU(BN(A h_i + \sum_j
        \frac{\sigma(\hat e_{ij})}{\sum_{j'} \sigma(\hat e_{ij'}) + \epsilon} \odot B h_j)), \quad
        e_{ij}' = e_{ij} + ReLU(BN(\hat e_{ij}))

    Args:
        channels: Width of nodes and edges; unchanged by the layer.
        dropout: Share dropped from both streams in training.

    Shape:
        x ``(nodes, channels)``, edge_index ``(2, edges)``, e ``(edges, channels)`` -> both streams.

    Source:
        Bresson and Laurent, "Residual Gated Graph ConvNets", 2017, as used by Dwivedi et al.,
        "Benchmarking Graph Neural Networks", JMLR 2023.
    """

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.A = nn.Linear(channels, channels)
        self.B = nn.Linear(channels, channels)
        self.C = nn.Linear(channels, channels)
        self.D = nn.Linear(channels, channels)
        self.E = nn.Linear(channels, channels)
        self.norm_nodes = BatchNorm(channels)
        self.norm_edges = BatchNorm(channels)
        self.drop = Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        e: Float[Tensor, "edges channels"],
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "edges channels"]]:
        source, destination = edge_index
        e_hat = self.C(e) + self.D(x).index_select(0, source) + self.E(x).index_select(
            0, destination
        )  # fmt: skip
        gate = e_hat.sigmoid()
        zeros = torch.zeros_like(x)
        weighed = zeros.index_add(0, destination, gate * self.B(x).index_select(0, source))
        total = zeros.index_add(0, destination, gate)
        x_new = self.A(x) + weighed / (total + 1e-6)
        x_new, e_new = self.norm_nodes(x_new).relu(), self.norm_edges(e_hat).relu()
        return x + self.drop(x_new), e + self.drop(e_new)
