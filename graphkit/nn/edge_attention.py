"""Attention along the edges, with an edge stream that scales and is fed by the scores."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphkit.errors import SettingError
from graphkit.nn.dropout import Dropout
from graphkit.nn.norm import BatchNorm

__all__ = ["EdgeAttention", "GraphTransformerLayer"]

Norm = Literal["batch", "layer"]


class EdgeAttention(nn.Module):
    r"""Each node attends to the sources of its edges; the destination asks, the source answers.

    .. math:: s_{ij} = \frac{Q h_i \odot K h_j}{\sqrt{d_k}} \odot E e_{ij}, \quad
        w_{ij} = \mathrm{softmax}_j(\mathrm{clamp}(\textstyle\sum s_{ij}, -5, 5)), \quad
        a_i = \sum_j w_{ij} V h_j

    A node without edges gets zeros.

    Args:
        channels: Width of nodes and edges.
        heads: Number of heads; divides the width.
        edges: Read and return an edge stream.
        clamp: Bound of a score before the exponential.

    Shape:
        x ``(nodes, channels)``, edge_index ``(2, edges)``, e ``(edges, channels)`` or ``None`` ->
        ``(nodes, channels)``, and the scores ``(edges, channels)`` or ``None``.

    Raises:
        SettingError: The heads do not divide the width.

    Source:
        Dwivedi and Bresson, "A Generalization of Transformer Networks to Graphs", DLG-AAAI 2021.
        Differs: with edges the score is kept entry by entry and summed afterwards, as in the
        authors' code; the printed formula reads as a number per head.
    """

    def __init__(self, channels: int, heads: int, *, edges: bool, clamp: float = 5.0) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise SettingError(f"{heads} heads do not divide a width of {channels}")
        self.heads, self.clamp = heads, clamp
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.edge = nn.Linear(channels, channels, bias=False) if edges else None

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        e: Float[Tensor, "edges channels"] | None = None,
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "edges channels"] | None]:
        source, destination = edge_index
        asked = self.query(x).index_select(0, destination)
        score = asked * self.key(x).index_select(0, source) / (x.shape[1] // self.heads) ** 0.5
        if self.edge is not None and e is not None:
            score = score * self.edge(e)
        by_head = score.view(len(score), self.heads, x.shape[1] // self.heads)
        weight = by_head.sum(dim=-1).clamp(-self.clamp, self.clamp).exp()  # (edges, heads)
        value = self.value(x).index_select(0, source).view_as(by_head)
        weighed = (weight[:, :, None] * value).flatten(1)
        total = x.new_zeros(len(x), self.heads).index_add(0, destination, weight)
        summed = torch.zeros_like(x).index_add(0, destination, weighed)
        share = (
            summed.view(len(x), self.heads, x.shape[1] // self.heads)
            / total.masked_fill(total == 0, 1)[:, :, None]
        )
        return share.flatten(1), score if self.edge is not None else None


class _Stream(nn.Module):
    """What follows the attention in a stream: output map, norm, two-layer network, norm."""

    def __init__(self, channels: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        kind = BatchNorm if norm == "batch" else nn.LayerNorm
        self.out = nn.Linear(channels, channels)
        self.norm_attention, self.norm_network = kind(channels), kind(channels)
        self.network = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(2 * channels, channels),
        )
        self.drop = Dropout(dropout)

    def forward(self, h: Tensor, attended: Tensor) -> Tensor:
        h = self.norm_attention(h + self.out(self.drop(attended)))
        return self.norm_network(h + self.network(h))


class GraphTransformerLayer(nn.Module):
    """Attention along the edges, then a network per node; the same for edges where there are any.

    Args:
        channels: Width of nodes and edges; unchanged by the layer.
        heads: Number of heads.
        edges: Read and return an edge stream.
        dropout: Share dropped in training.
        norm: ``batch`` or ``layer``, after each residual.

    Shape:
        x ``(nodes, channels)``, edge_index ``(2, edges)``, e ``(edges, channels)`` or ``None`` ->
        both streams.

    Source:
        Dwivedi and Bresson, "A Generalization of Transformer Networks to Graphs", DLG-AAAI 2021.
    """

    def __init__(
        self, channels: int, heads: int, *, edges: bool, dropout: float = 0.0, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.attention = EdgeAttention(channels, heads, edges=edges)
        self.nodes = _Stream(channels, dropout, norm)
        self.edges = _Stream(channels, dropout, norm) if edges else None

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        e: Float[Tensor, "edges channels"] | None = None,
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "edges channels"] | None]:
        attended, score = self.attention(x, edge_index, e)
        if self.edges is not None and e is not None and score is not None:
            e = self.edges(e, score)
        return self.nodes(x, attended), e
