"""The Mamba-2 block: one decay per head, so that the scan is a product of matrices."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from graphkit.errors import SettingError
from graphkit.nn.selective_scan import ssd
from graphkit.nn.selective_ssm import ShortConv, step_bias, undecayed, unpadded

__all__ = ["Mamba2Block"]


class Mamba2Block(nn.Module):
    r"""The Mamba-2 block: one decay per head, read by matrix products.

    .. math:: (z, u, \delta) = W_{in} x, \quad (u, B, C) = \mathrm{SiLU}(\mathrm{conv}(u)), \quad
        y = W_{out} \mathrm{norm}(\mathrm{SSD}(\Delta u, \Delta A, B, C) + D u) \odot
        \mathrm{SiLU}(z))

    Args:
        channels: Width; unchanged by the block.
        d_state: Numbers of state per inner channel.
        d_conv: Tokens the convolution looks at.
        expand: Inner width as a multiple of ``channels``.
        head_channels: Inner channels that share a decay; divides the inner width.

    Shape:
        As for ``MambaBlock``.

    Raises:
        SettingError: The heads do not divide the inner width.

    Source:
        Dao and Gu, "Transformers are SSMs", ICML 2024, section 7.1; one group, and the norm after
        the gate, as in the authors' code.
    """

    def __init__(
        self,
        channels: int,
        *,
        d_state: int = 64,
        d_conv: int = 4,
        expand: int = 2,
        head_channels: int = 64,
    ) -> None:
        super().__init__()
        inner = expand * channels
        if head_channels < 1 or inner % head_channels:
            raise SettingError(f"heads of {head_channels} do not divide a width of {inner}")
        self.inner, self.d_state, self.heads = inner, d_state, inner // head_channels
        self.in_proj = nn.Linear(channels, 2 * inner + 2 * d_state + self.heads, bias=False)
        self.conv = ShortConv(inner + 2 * d_state, d_conv)
        self.dt_bias = undecayed(step_bias(self.heads))
        self.A_log = undecayed(torch.empty(self.heads).uniform_(1, 16).log())
        self.D = undecayed(torch.ones(self.heads))
        self.norm = nn.RMSNorm(inner, eps=1e-5)
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
        sizes = [self.inner, self.inner + 2 * self.d_state, self.heads]
        gate, u, step = self.in_proj(x).split(sizes, dim=-1)
        u = F.silu(self.conv(u, ptr, reverse=reverse))
        u, b, c = u.split([self.inner, self.d_state, self.d_state], dim=-1)
        step = F.softplus(step + self.dt_bias)  # (..., heads)
        heads = u.unflatten(-1, (self.heads, -1))
        y = ssd(
            heads * step.unsqueeze(-1),
            -step * self.A_log.exp(),
            b.unsqueeze(-2),
            c.unsqueeze(-2),
            ptr=ptr,
            reverse=reverse,
        )
        assert isinstance(y, Tensor)  # no last state was asked for
        y = (y + self.D.unsqueeze(-1) * heads).flatten(-2)
        return self.out_proj(self.norm(y * F.silu(gate)))
