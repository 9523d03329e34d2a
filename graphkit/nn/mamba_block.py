"""The Mamba block, and layers that read a sequence from one end or from both."""

from __future__ import annotations

import math
from functools import partial

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from graphkit.nn.selective_ssm import SelectiveSSM, ShortConv, unpadded

__all__ = ["BidirectionalMamba", "ForwardMamba", "MambaBlock"]


class MambaBlock(nn.Module):
    r"""The Mamba block: a gated selective scan behind a short convolution.

    .. math:: (u, z) = W_{in} x, \quad
        y = W_{out}(\mathrm{SSM}(\mathrm{SiLU}(\mathrm{conv}(u))) \odot \mathrm{SiLU}(z))

    Args:
        channels: Width; unchanged by the block.
        d_state: Numbers of state per inner channel.
        d_conv: Tokens the convolution looks at.
        expand: Inner width as a multiple of ``channels``.

    Shape:
        x ``(batch, length, channels)``, with mask ``(batch, length)`` where rows differ in length,
        or ``(tokens, channels)`` with ptr ``(sequences + 1,)`` -> the shape of x. Places that the
        mask leaves out get zeros. ``reverse`` reads each sequence from its own end.

    Source:
        Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", COLM 2024.
    """

    def __init__(
        self, channels: int, *, d_state: int = 16, d_conv: int = 4, expand: int = 2
    ) -> None:
        super().__init__()
        inner = expand * channels
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv = ShortConv(inner, d_conv)
        self.ssm = SelectiveSSM(inner, d_state, math.ceil(channels / 16))
        self.out_proj = nn.Linear(inner, channels, bias=False)

    def forward(
        self,
        x: Float[Tensor, "*rows channels"],
        *,
        ptr: Int[Tensor, " pointers"] | None = None,
        mask: Bool[Tensor, "batch length"] | None = None,
        reverse: bool = False,
    ) -> Float[Tensor, "*rows channels"]:
        return unpadded(partial(self._read, reverse), x, ptr, mask)

    def _read(self, reverse: bool, x: Tensor, ptr: Tensor | None) -> Tensor:
        u, gate = self.in_proj(x).chunk(2, dim=-1)
        u = F.silu(self.conv(u, ptr, reverse=reverse))
        return self.out_proj(self.ssm(u, gate, ptr, reverse=reverse))


class BidirectionalMamba(nn.Module):
    r"""Reads every sequence from both ends, with weights of its own for each direction.

    .. math:: Y_r = \mathrm{Mamba}_r(\mathrm{LN}(\Phi)), \quad
        y = W_{out}(Y_f + \mathrm{reverse}(Y_b))

    Args:
        channels: Width; unchanged by the layer.
        d_state: Numbers of state per inner channel.
        d_conv: Tokens the convolution looks at.
        expand: Inner width as a multiple of ``channels``.
        share_A: Both directions share the decays :math:`A`, which bear no index in the paper.

    Shape:
        x ``(batch, length, channels)``, with mask ``(batch, length)`` where rows differ in length,
        or ``(tokens, channels)`` with ptr ``(sequences + 1,)`` -> the shape of x.

    Source:
        Behrouz and Hashemi, "Graph Mamba", KDD 2024, algorithm 1: the inner linear map
        :math:`W_1` is the one that ends a block. No residual: the model around adds it.
    """

    def __init__(
        self,
        channels: int,
        *,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        share_A: bool = False,  # noqa: N803
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.ahead, self.back = (
            MambaBlock(channels, d_state=d_state, d_conv=d_conv, expand=expand) for _ in range(2)
        )
        if share_A:
            self.back.ssm.A_log = self.ahead.ssm.A_log
        self.out_proj = nn.Linear(channels, channels, bias=False)

    def forward(
        self,
        x: Float[Tensor, "*rows channels"],
        *,
        ptr: Int[Tensor, " pointers"] | None = None,
        mask: Bool[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "*rows channels"]:
        return unpadded(self._read, x, ptr, mask)

    def _read(self, x: Tensor, ptr: Tensor | None) -> Tensor:
        h = self.norm(x)
        return self.out_proj(self.ahead(h, ptr=ptr) + self.back(h, ptr=ptr, reverse=True))


class ForwardMamba(nn.Module):
    """Reads every sequence from its beginning alone: ``BidirectionalMamba`` without its way back.

    Args:
        channels, d_state, d_conv, expand: As for ``BidirectionalMamba``.

    Shape:
        As for ``BidirectionalMamba``.

    Source:
        Behrouz and Hashemi, "Graph Mamba", KDD 2024, ablation with one direction. The two linear
        maps that would follow each other there are one.
    """

    def __init__(
        self, channels: int, *, d_state: int = 16, d_conv: int = 4, expand: int = 2
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.ahead = MambaBlock(channels, d_state=d_state, d_conv=d_conv, expand=expand)

    def forward(
        self,
        x: Float[Tensor, "*rows channels"],
        *,
        ptr: Int[Tensor, " pointers"] | None = None,
        mask: Bool[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "*rows channels"]:
        return unpadded(self._read, x, ptr, mask)

    def _read(self, x: Tensor, ptr: Tensor | None) -> Tensor:
        return self.ahead(self.norm(x), ptr=ptr)
