"""The selective scan in tensor operations: all states at once, or those of a chunk at a time."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from graphkit.nn.scan_dispatch import states_of, token_loop_wins
from graphkit.nn.scan_layout import starts
from graphkit.nn.scan_recurrence import States, recur
from graphkit.nn.scan_reference import Discretization

__all__ = ["chunked_scan", "whole_scan"]


class _Hold(torch.autograd.Function):
    """(exp(u) - 1) / u: what an input held over the step gains over Euler's.

    As a quotient its derivative would cancel for small u, and with it the gradient of the rates.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        held = torch.where(u == 0, 1.0, torch.expm1(u) / u)
        ctx.save_for_backward(u, held)
        return held

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        u, held = ctx.saved_tensors
        near = u.clamp(-0.3, 0.3)
        series = torch.ones_like(u)
        for k in range(13, 2, -1):  # Horner: 2 (held - 1) / u = 1 + u/3 (1 + u/4 (1 + ...))
            series = series.mul_(near).div_(k).add_(1.0)
        slope = torch.where(u.abs() < 0.3, held - 0.5 * series, (u.exp() - held) / u)
        return grad * slope


def _span(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor,  # noqa: N803
    reset: Tensor | None, before: Tensor | None, discretization: Discretization, states: States,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Returns outputs and all states of a span of tokens."""
    step = delta.unsqueeze(-1) * A  # (batch, length, channels, state)
    decay, increment = step.exp(), (delta * x).unsqueeze(-1) * B.unsqueeze(-2)
    if discretization == "zoh":
        increment = increment * _Hold.apply(step)
    if reset is not None:
        decay = decay.masked_fill(reset[None, :, None, None], 0.0)  # forgets the one in front
    h = recur(decay, increment, states, before)
    return (h @ C.unsqueeze(-1)).squeeze(-1), h


def whole_scan(
    x: Float[Tensor, "batch length channels"],
    delta: Float[Tensor, "batch length channels"],
    A: Float[Tensor, "channels state"],  # noqa: N803
    B: Float[Tensor, "batch length state"],  # noqa: N803
    C: Float[Tensor, "batch length state"],  # noqa: N803
    ptr: Int[Tensor, " pointers"] | None,
    discretization: Discretization,
    states: States,
) -> tuple[Float[Tensor, "batch length channels"], Float[Tensor, "sequences channels state"]]:
    """Scans with all states in memory; ``ptr`` cuts the one row of a packed batch."""
    reset = None if ptr is None else starts(ptr)
    y, h = _span(x, delta, A, B, C, reset, None, discretization, states)
    if ptr is None:
        return y, h[:, -1]
    return y, _spread_ends(h[0].index_select(0, _ends(ptr)), ptr)


def chunked_scan(
    x: Float[Tensor, "batch length channels"],
    delta: Float[Tensor, "batch length channels"],
    A: Float[Tensor, "channels state"],  # noqa: N803
    B: Float[Tensor, "batch length state"],  # noqa: N803
    C: Float[Tensor, "batch length state"],  # noqa: N803
    ptr: Int[Tensor, " pointers"] | None,
    discretization: Discretization,
    size: int,
) -> tuple[Float[Tensor, "batch length channels"], Float[Tensor, "sequences channels state"]]:
    """Scans ``size`` tokens at a time; between chunks only their last state is kept.

    The states of a chunk are computed again for its gradient, so no more than one chunk's are ever
    in memory.
    """
    loops = token_loop_wins(len(x) * A.numel(), size)
    states = states_of("loop" if loops else "scan", size)
    state, outputs, ends = x.new_zeros(len(x), *A.shape), [], []
    resets: list[Tensor | None] = [None] * -(-x.shape[1] // size)
    picks: list[Tensor] = [torch.empty(0, dtype=torch.long, device=x.device)] * len(resets)
    if ptr is not None:
        resets = list(starts(ptr).split(size))
        at = _ends(ptr)
        picks = [at[(at >= low) & (at < low + size)] - low for low in range(0, x.shape[1], size)]
    # split and not slices: the gradient of each slice would be as large as the whole
    parts = (t.split(size, dim=1) for t in (x, delta, B, C))
    for *tokens, reset, pick in zip(*parts, resets, picks, strict=True):
        y, state, picked = checkpoint(
            _chunk, *tokens, A, reset, state, pick, discretization, states,
            use_reentrant=False, preserve_rng_state=False,
        )  # fmt: skip
        outputs.append(y)
        ends.append(picked)
    last = state if ptr is None else _spread_ends(torch.cat(ends), ptr)
    return torch.cat(outputs, dim=1), last


def _chunk(
    x: Tensor, delta: Tensor, B: Tensor, C: Tensor, A: Tensor,  # noqa: N803
    reset: Tensor | None, before: Tensor, pick: Tensor, discretization: Discretization,
    states: States,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns outputs, the last state, and the states at ``pick`` of a packed row."""
    y, h = _span(x, delta, A, B, C, reset, before, discretization, states)
    return y, h[:, -1].clone(), h[0].index_select(0, pick)  # a clone: a view would keep all of h


def _ends(ptr: Tensor) -> Tensor:
    """Places of the last tokens of all sequences that have one."""
    return ptr[1:][ptr.diff() > 0] - 1


def _spread_ends(ends: Tensor, ptr: Tensor) -> Tensor:
    """Gives empty sequences a state of zeros."""
    filled = (ptr.diff() > 0).nonzero().flatten()
    return ends.new_zeros(len(ptr) - 1, *ends.shape[1:]).index_copy(0, filled, ends)
