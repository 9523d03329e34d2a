"""The selective scan in tensor operations: all states at once, or those of a chunk at a time."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

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
    how = (discretization, states_of("loop" if loops else "scan", size))
    if ptr is None:
        return _Chunked.apply(x, delta, A, B, C, None, None, size, how)
    y, ends = _Chunked.apply(x, delta, A, B, C, starts(ptr), _ends(ptr), size, how)
    return y, _spread_ends(ends, ptr)


class _Chunked(torch.autograd.Function):
    """Writes into tensors made beforehand: what stays never lies between what is freed."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor,  # noqa: N803
        reset: Tensor | None, ends: Tensor | None, size: int, how: tuple[Discretization, States],
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        y, lows = torch.empty_like(x), range(0, x.shape[1], size)
        marks = x.new_zeros(len(lows) + 1, len(x), *A.shape)  # the states between chunks
        picked = None if ends is None else x.new_empty(len(ends), *A.shape)
        for k, low in enumerate(lows):
            part = slice(low, low + size)
            u, step, b, c = (t[:, part] for t in (x, delta, B, C))
            cut = None if reset is None else reset[part]
            y[:, part], h = _span(u, step, A, b, c, cut, marks[k], *how)
            marks[k + 1] = h[:, -1]
            if ends is not None and picked is not None:
                here = (ends >= low) & (ends < low + size)
                picked[here] = h[0, ends[here] - low]
        ctx.save_for_backward(x, delta, A, B, C, reset, ends, marks[:-1])
        ctx.size, ctx.how = size, how
        return y, marks[-1].clone() if picked is None else picked

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_last: Tensor) -> tuple[Tensor | None, ...]:
        x, delta, A, B, C, reset, ends, marks = ctx.saved_tensors  # noqa: N806
        grads = [torch.empty_like(t) for t in (x, delta, B, C)]
        grad_rates = torch.zeros_like(A)
        carry = grad_last if ends is None else torch.zeros_like(marks[0])
        for k in reversed(range(len(marks))):
            low = k * ctx.size
            part = slice(low, low + ctx.size)
            with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
                leaves = [t[:, part].detach().requires_grad_() for t in (x, delta, B, C)]
                leaves += [t.detach().requires_grad_() for t in (A, marks[k])]
                u, step, b, c, rates, before = leaves
                cut = None if reset is None else reset[part]
                y, h = _span(u, step, rates, b, c, cut, before, *ctx.how)
                found, wanted = [y, h[:, -1]], [grad_y[:, part], carry]
                if ends is not None:
                    here = (ends >= low) & (ends < low + ctx.size)
                    found.append(h[0, ends[here] - low])
                    wanted.append(grad_last[here])
            *of_tokens, of_rates, carry = torch.autograd.grad(found, leaves, wanted)
            grad_rates += of_rates
            for grad, of_part in zip(grads, of_tokens, strict=True):
                grad[:, part] = of_part
        return grads[0], grads[1], grad_rates, grads[2], grads[3], None, None, None, None


def _ends(ptr: Tensor) -> Tensor:
    """Places of the last tokens of all sequences that have one."""
    return ptr[1:][ptr.diff() > 0] - 1


def _spread_ends(ends: Tensor, ptr: Tensor) -> Tensor:
    """Gives empty sequences a state of zeros."""
    filled = (ptr.diff() > 0).nonzero().flatten()
    return ends.new_zeros(len(ptr) - 1, *ends.shape[1:]).index_copy(0, filled, ends)
