"""Attention along the edges, with an edge stream that scales and is fed by the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from graphkit.errors import SettingError
from graphkit.nn.dropout import Dropout
from graphkit.nn.norm import BatchNorm

__all__ = ["EdgeAttention", "GraphTransformerLayer"]

Norm = Literal["batch", "layer"] | None
NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "batch": BatchNorm, "layer": nn.LayerNorm, None: nn.Identity
}  # fmt: skip
BLOCK = 2**18  # numbers in a row of blocks: a megabyte


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
        query, key, value = self.query(x), self.key(x), self.value(x)
        factor = self.edge(e) if self.edge is not None and e is not None else None
        # sums over neighbours are not for the half precision that autocast gives the maps
        kind = torch.promote_types(query.dtype, torch.float32)
        query, key, value = query.to(kind), key.to(kind), value.to(kind)
        factor = factor.to(kind) if factor is not None else None
        query = query / (x.shape[1] // self.heads) ** 0.5
        with torch.autocast(x.device.type, enabled=False):
            out: tuple[Tensor, Tensor | None] = _Attend.apply(
                query, key, value, factor, *edge_index, self.heads, self.clamp
            )
        return out


class _Attend(torch.autograd.Function):
    """The attention of ``EdgeAttention`` from its maps on, with a gradient written by hand.

    Kept for the gradient are rows of nodes and a number per edge and head; what has a row of
    ``channels`` per edge, but for ``factor``, is made again. On a CPU edges are taken in blocks
    that stay in its cache: there fresh memory costs more than the arithmetic.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        factor: Tensor | None,
        source: Tensor,
        destination: Tensor,
        heads: int,
        clamp: float,
    ) -> tuple[Tensor, Tensor | None]:
        nodes, channels = query.shape
        parts = (-1, heads, channels // heads)
        score = torch.empty_like(factor) if factor is not None else None
        logit = query.new_empty(len(source), heads)
        shared, total = torch.zeros_like(query), query.new_zeros(nodes, heads)
        for block in _blocks(source, channels):
            begin, end = source[block], destination[block]
            asked = query.index_select(0, end).mul_(key.index_select(0, begin))
            if factor is not None and score is not None:
                asked = torch.mul(asked, factor[block], out=score[block])
            torch.sum(asked.view(parts), dim=-1, out=logit[block])
            weight = logit[block].clamp(-clamp, clamp).exp_()
            total.index_add_(0, end, weight)
            flowing = value.index_select(0, begin)
            flowing.view(parts).mul_(weight[:, :, None])
            shared.index_add_(0, end, flowing)
        total.masked_fill_(total == 0, 1)  # a node without edges
        shared.view(parts).div_(total[:, :, None])
        ctx.save_for_backward(
            query, key, value, factor, source, destination, shared, logit, total
        )  # fmt: skip
        ctx.parts, ctx.clamp = parts, clamp
        ctx.set_materialize_grads(False)
        return shared, score

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_shared: Tensor | None, to_score: Tensor | None) -> tuple[Any, ...]:
        query, key, value, factor, source, destination, shared, logit, total = ctx.saved_tensors
        parts = ctx.parts
        if to_shared is None:
            to_shared = torch.zeros_like(shared)
        to_query, to_key, to_value = (torch.zeros_like(part) for part in (query, key, value))
        to_factor = torch.empty_like(factor) if factor is not None else None
        mean = (to_shared * shared).view(parts).sum(dim=-1)  # (nodes, heads)
        for block in _blocks(source, query.shape[1]):
            begin, end = source[block], destination[block]
            share = logit[block].clamp(-ctx.clamp, ctx.clamp).exp_()
            share.div_(total.index_select(0, end))
            flowing = to_shared.index_select(0, end)
            spread = value.index_select(0, begin).mul_(flowing)
            to_logit = spread.view(parts).sum(dim=-1).sub_(mean.index_select(0, end))
            to_logit.mul_(share).mul_(logit[block].abs() <= ctx.clamp)
            flowing.view(parts).mul_(share[:, :, None])
            to_value.index_add_(0, begin, flowing)
            spread.view(parts).copy_(to_logit[:, :, None])
            if to_score is not None:
                spread.add_(to_score[block])
            asked, answered = query.index_select(0, end), key.index_select(0, begin)
            if factor is not None and to_factor is not None:
                torch.mul(asked, answered, out=to_factor[block]).mul_(spread)
                spread.mul_(factor[block])
            to_query.index_add_(0, end, answered.mul_(spread))
            to_key.index_add_(0, begin, asked.mul_(spread))
        return to_query, to_key, to_value, to_factor, None, None, None, None


def _blocks(source: Tensor, channels: int) -> Iterator[slice]:
    """Parts of the edges; all of them at once on a device where a call is what costs."""
    count = len(source)
    size = max(count if source.is_cuda else BLOCK // channels, 1)
    return (slice(at, at + size) for at in range(0, count, size))


class _Stream(nn.Module):
    """What follows the attention in a stream: output map, norm, two-layer network, norm."""

    def __init__(self, channels: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        if norm not in NORMS:
            raise SettingError(f"norm={norm!r}; expected 'batch', 'layer' or None")
        kind = NORMS[norm]
        self.out = nn.Linear(channels, channels)
        self.norm_attention, self.norm_network = kind(channels), kind(channels)
        self.network = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            nn.ReLU(inplace=True),
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
        norm: ``batch`` or ``layer``, after each residual; ``None`` leaves it out.

    Raises:
        SettingError: The heads do not divide the width, or the norm is unknown.

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
