"""A vector for each token of a node: from the rows of its walks, or from its sub-graph."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from graphkit.errors import DataError, SettingError

__all__ = ["SubgraphEncoder", "WalkFeatureEncoder"]


class WalkFeatureEncoder(nn.Module):
    r"""Convolves over the rows of each walk; a token is the mean over its rows and walks.

    Row :math:`i` of a walk is :math:`f_i`: features of the node, of the edge walked to it (zeros
    in row 0 and where a node was not left), identity and adjacency bits of a window of :math:`c`.

    .. math:: x^{(l, j)} = \frac{1}{M (l + 1)} \sum_{w} \sum_{i=0}^{l}
        \mathrm{ReLU}\Big(b + \sum_{k=0}^{K-1} W_k f_{i-k}\Big), \quad f_{i<0} = 0

    The convolution looks back alone, so that the rows of a shorter walk are computed once, as the
    first rows of a longer one. Nodes and edges are mapped before they are gathered: the product
    is with ``nodes`` rows, not with ``nodes * walks * positions``.

    Args:
        in_channels: Width of the node features.
        out_channels: Width of a token.
        window: Rows that a row looks back, :math:`c`, at most 8; bits of a wider one are not read.
        edge_channels: Width of the edge features; 0 where there are none.
        kernel_size: Rows that the convolution joins, :math:`K`. With 1 (a network per row) pairs
            of graphs are confused that 2 tells apart.

    Shape:
        x ``(nodes, in_channels)``, walk_index ``(sets, repeats, walks, length + 1, nodes)``,
        walk_bits ``(nodes, sets, repeats, walks, length + 1)``, edge_attr ``(edges,
        edge_channels)``, walk_edge ``(sets, repeats, walks, length, nodes)`` -> ``(nodes, length *
        repeats, out_channels)``, longest walks first.

    Raises:
        SettingError: A size is out of range.
        DataError: The walks are not those of these nodes, or edge features are missing.

    Source:
        Behrouz and Hashemi, "Graph Mamba", KDD 2024, local encoding by RWF; Tönshoff et al.,
        "Walking Out of the Weisfeiler Leman Hierarchy", TMLR 2023 (CRaWl), walk features.
        Differs: how walks become one vector is not said by the first; one convolution and means,
        where CRaWl stacks several with pooling into nodes between them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        window: int,
        edge_channels: int = 0,
        kernel_size: int = 2,
    ) -> None:
        super().__init__()
        if not 1 <= window <= 8 or kernel_size < 1 or edge_channels < 0:
            raise SettingError(
                f"window={window}, kernel_size={kernel_size}, edge_channels={edge_channels}; "
                "expected 1 to 8, at least 1, and at least 0"
            )
        self.kernel_size, self.edge_channels = kernel_size, edge_channels
        self.num_bits = 2 * window - 1
        self.convolve = nn.Conv1d(
            in_channels + edge_channels + self.num_bits, out_channels, kernel_size
        )

    def forward(
        self,
        x: Float[Tensor, "nodes in_channels"],
        walk_index: Int[Tensor, "sets repeats walks positions nodes"],
        walk_bits: Int[Tensor, "nodes sets repeats walks positions"],
        edge_attr: Float[Tensor, "edges edge_channels"] | None = None,
        walk_edge: Int[Tensor, "sets repeats walks steps nodes"] | None = None,
    ) -> Float[Tensor, "nodes tokens out_channels"]:
        _check_roots(walk_index)
        patterns = torch.arange(1 << self.num_bits, device=x.device)
        places = torch.arange(self.num_bits, device=x.device)
        sources = [x, (patterns[:, None] >> places & 1).to(x.dtype)]
        chosen = [walk_index.movedim(-1, 0), walk_bits.long() & len(patterns) - 1]
        if self.edge_channels:
            if edge_attr is None or walk_edge is None:
                raise DataError(
                    "the encoder reads edge features, and the batch lacks edge_attr or walk_edge: "
                    "draw the walks with RandomWalkTokens(..., edges=True)"
                )
            sources.append(F.pad(edge_attr, (0, 0, 1, 0)))  # row 0: no edge
            chosen.append(F.pad(walk_edge.movedim(-1, 0) + 1, (1, 0)))
        shape = chosen[0].shape
        taps = range(min(self.kernel_size, shape[-1]))
        rows = torch.zeros(*shape, len(taps) * len(sources), dtype=torch.long, device=x.device)
        weights = self.convolve.weight.flip(-1).split([part.shape[1] for part in sources], dim=1)
        tables, size = [x.new_zeros(1, self.convolve.out_channels)], 1  # row 0: before the walk
        for part, (source, number) in enumerate(zip(sources, chosen, strict=True)):
            for back in taps:
                column = part * len(taps) + back
                rows[..., back:, column] = number[..., : shape[-1] - back] + size
                bias = self.convolve.bias if column == 0 else None  # each row has one such entry
                tables.append(F.linear(source, weights[part][:, :, back], bias))
                size += len(source)
        gathered = _GatherSum.apply(torch.cat(tables), rows.flatten(0, -2))
        return _tokens(gathered.relu().view(*shape, gathered.shape[1]).mean(dim=3))


class _GatherSum(torch.autograd.Function):
    """Sums rows of a table. torch's own is as fast forward, and three times slower backward."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.size = len(table)
        return F.embedding_bag(rows, table, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        out = grad.new_zeros(ctx.size, grad.shape[1])
        for column in rows.unbind(dim=1):
            out.index_add_(0, column, grad)
        return out, None


class SubgraphEncoder(nn.Module):
    """Message passing inside each token's sub-graph, mean over its nodes, plus its length.

    One network serves all lengths; an embedding of the length is added to its result.

    Args:
        convs: Layers called with ``(x, edges)``, or ``(x, edges, edge_attr)`` where edge features
            are given; one that returns a pair hands on its first as nodes, its second as edges.
        channels: Width of a token: that of the last layer's result.
        walk_length: Steps of the longest walk, as told to ``RandomWalkTokens``.
        num_repeats: Tokens of each length, as told to it.

    Shape:
        x ``(nodes, in_channels)``, token_node and token_of ``(members,)``, token_edges
        ``(2, edges)``, edge_attr ``(graph_edges, edge_channels)``, token_edge ``(edges,)`` ->
        ``(nodes, walk_length * num_repeats, channels)``, longest walks first.

    Raises:
        DataError: The tokens are not those of these nodes.

    Source:
        Behrouz and Hashemi, "Graph Mamba", KDD 2024, local encoding by an MPNN.
        Differs: that lengths share the network and are told apart by an embedding is not said.
    """

    def __init__(
        self, *convs: nn.Module, channels: int, walk_length: int, num_repeats: int
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.num_repeats = num_repeats
        self.length = nn.Embedding(walk_length, channels)

    def forward(
        self,
        x: Float[Tensor, "nodes in_channels"],
        token_node: Int[Tensor, " members"],
        token_of: Int[Tensor, " members"],
        token_edges: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "graph_edges edge_channels"] | None = None,
        token_edge: Int[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "nodes tokens channels"]:
        lengths, channels = self.length.weight.shape
        tokens = lengths * self.num_repeats
        expected = len(x) * tokens
        last = int(token_of[-1]) + 1 if len(token_of) else 0
        if last != expected:
            raise DataError(
                f"the batch holds {last} tokens; expected {tokens} for each of {len(x)} nodes. "
                "InducedTokens is a transform of the batch, not of the graphs before it"
            )
        h = F.embedding(token_node, x)
        e = None if edge_attr is None or token_edge is None else F.embedding(token_edge, edge_attr)
        for conv in self.convs:
            out = conv(h, token_edges) if e is None else conv(h, token_edges, e)
            h, e = out if isinstance(out, tuple) else (out, e)
        summed = h.new_zeros(expected, channels).index_add(0, token_of, h)
        size = torch.bincount(token_of, minlength=expected).clamp(min=1)
        pooled = (summed / size[:, None].to(h.dtype)).view(len(x), tokens, channels)
        return pooled + self.length.weight.flip(0).repeat_interleave(self.num_repeats, dim=0)


def _tokens(rows: Tensor) -> Tensor:
    """Means over the beginnings of the walks: ``(nodes, sets, repeats, positions, channels)`` to
    ``(nodes, length * repeats, channels)``, longest first."""
    sets, length = rows.shape[1], rows.shape[3] - 1
    count = torch.arange(1, length + 2, device=rows.device, dtype=rows.dtype)
    means = rows.cumsum(dim=3) / count[:, None]
    if sets == 1:
        chosen = means[:, 0, :, 1:].transpose(1, 2)  # (nodes, length, repeats, channels)
    else:
        chosen = means[:, :, :, 1:].diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
    return chosen.flip(1).flatten(1, 2)


def _check_roots(walk_index: Tensor) -> None:
    """Refuses walks that were drawn before the nodes were renumbered: each begins at its node."""
    if not walk_index.numel():
        return
    begin = walk_index[0, 0, 0, 0]
    odd = begin != torch.arange(len(begin), device=begin.device)
    if bool(odd.any()):
        at = int(odd.nonzero()[0])
        raise DataError(
            f"the walk of node {at} begins at node {int(begin[at])}: nodes were renumbered after "
            "the walks were drawn. Draw them in the model's transform, not in pre_transform"
        )
