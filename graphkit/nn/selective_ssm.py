"""The parts of a Mamba block: a short convolution, and a scan whose steps the tokens choose."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphkit.errors import SettingError
from graphkit.nn.scan_layout import mask_to_ptr
from graphkit.nn.selective_scan import selective_scan

__all__ = ["SelectiveSSM", "ShortConv", "step_bias", "undecayed", "unpadded"]


class ShortConv(nn.Module):
    r"""A convolution of each channel over the last few tokens of its own sequence.

    .. math:: y_t = b + \sum_{k=0}^{K-1} w_{K-1-k} \odot x_{t-k}, \quad x_s = 0
        \text{ before the sequence begins}

    Args:
        channels: Width; unchanged by the layer.
        width: Number of tokens :math:`K` looked at, the token itself among them.

    Shape:
        x ``(batch, length, channels)``, or ``(tokens, channels)`` with ptr ``(sequences + 1,)`` ->
        the shape of x. With ``reverse`` the tokens after one are looked at.

    Source:
        Gu and Dao, "Mamba", COLM 2024, figure 3. Differs: sums of shifted rows, so that nothing
        leaks between sequences that lie one behind the other.
    """

    def __init__(self, channels: int, width: int = 4) -> None:
        super().__init__()
        bound = width**-0.5  # torch's own start for a convolution of one channel a group
        self.weight = nn.Parameter(torch.empty(channels, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))

    def forward(
        self,
        x: Float[Tensor, "*rows channels"],
        ptr: Int[Tensor, " pointers"] | None = None,
        *,
        reverse: bool = False,
    ) -> Float[Tensor, "*rows channels"]:
        length, width = x.shape[-2], self.weight.shape[1]
        before = None if ptr is None else _before(ptr, reverse)
        out = torch.addcmul(self.bias, x, self.weight[:, -1])
        for back in range(1, min(width, length)):
            edge = (0, 0, 0, back) if reverse else (0, 0, back, 0)
            shifted = F.pad(x, edge).narrow(-2, back if reverse else 0, length)
            weight = self.weight[:, width - 1 - back]
            if before is not None:
                weight = weight * (before >= back).unsqueeze(1)  # (tokens, channels)
            out = torch.addcmul(out, shifted, weight)
        return out


def _before(ptr: Tensor, reverse: bool) -> Tensor:
    """How many tokens of its own sequence come before each token in the reading direction."""
    sizes = ptr.diff()
    place = torch.arange(int(ptr[-1]), device=ptr.device) - ptr[:-1].repeat_interleave(sizes)
    return sizes.repeat_interleave(sizes) - 1 - place if reverse else place


class SelectiveSSM(nn.Module):
    r"""A state per channel that each token decides what to do with.

    .. math:: (\delta', B, C) = W_x u, \quad \Delta = \mathrm{softplus}(W_\Delta \delta' + b), \quad
        h_t = e^{\Delta_t A} h_{t-1} + \Delta_t B_t u_t, \quad y_t = C_t h_t + D u_t

    Args:
        channels: Inner width :math:`E`.
        d_state: Numbers :math:`N` of state per channel.
        step_rank: Rank :math:`R` of the map to the step sizes.

    Shape:
        u and gate ``(batch, length, channels)``, or ``(tokens, channels)`` with ptr
        ``(sequences + 1,)`` -> the shape of u, multiplied by ``SiLU(gate)``.

    Source:
        Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", COLM 2024,
        algorithm 2 and section 3.6 for the start values; :math:`A = -e^{A_{log}}` starts at
        :math:`-1..-N`.
    """

    def __init__(self, channels: int, d_state: int, step_rank: int) -> None:
        super().__init__()
        if d_state < 1 or step_rank < 1:
            raise SettingError(
                f"a state of {d_state} and steps of rank {step_rank}; expected at least 1 of each"
            )
        self.d_state, self.step_rank = d_state, step_rank
        self.x_proj = nn.Linear(channels, step_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(step_rank, channels)
        nn.init.uniform_(self.dt_proj.weight, -(step_rank**-0.5), step_rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(step_bias(channels))
        real = torch.arange(1, d_state + 1, dtype=torch.float32).log()
        self.A_log = undecayed(real.expand(channels, -1).clone())
        self.D = undecayed(torch.ones(channels))

    def forward(
        self,
        u: Float[Tensor, "*rows channels"],
        gate: Float[Tensor, "*rows channels"],
        ptr: Int[Tensor, " pointers"] | None = None,
        *,
        reverse: bool = False,
    ) -> Float[Tensor, "*rows channels"]:
        low, b, c = self.x_proj(u).split([self.step_rank, self.d_state, self.d_state], dim=-1)
        out = selective_scan(
            u,
            F.linear(low, self.dt_proj.weight),
            -self.A_log.exp(),
            b,
            c,
            self.D,
            gate,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
            ptr=ptr,
            reverse=reverse,
        )
        assert isinstance(out, Tensor)  # no last state was asked for
        return out


def undecayed(start: Tensor) -> nn.Parameter:
    """A parameter that asks optimisers to be left out of weight decay."""
    parameter = nn.Parameter(start)
    parameter._no_weight_decay = True  # type: ignore[attr-defined]
    return parameter


def step_bias(channels: int) -> Tensor:
    """Biases whose softplus is log-uniform between 0.001 and 0.1."""
    steps = torch.empty(channels).uniform_(math.log(1e-3), math.log(1e-1)).exp().clamp(min=1e-4)
    return steps + torch.log(-torch.expm1(-steps))


def unpadded(
    read: Callable[[Tensor, Tensor | None], Tensor],
    x: Tensor,
    ptr: Tensor | None,
    mask: Tensor | None,
) -> Tensor:
    """Takes padded rows out of their frame before ``read`` sees them, and lays them back after."""
    if mask is None:
        return read(x, ptr)
    rows, ptr = mask_to_ptr(mask)
    out = read(x.flatten(0, 1).index_select(0, rows), ptr)
    return out.new_zeros(mask.numel(), out.shape[-1]).index_copy(0, rows, out).view_as(x)
