"""Linear recurrences in tensor operations: loop, associative scan, chunks; one gradient for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["States", "chunk_states", "loop_states", "recur", "scan_states"]

# (decays, increments) of shape (batch, length, ...) to all states, written over the increments
States = Callable[[Tensor, Tensor], Tensor]


def loop_states(a: Tensor, b: Tensor) -> Tensor:
    """Takes one step after another: least work, as many operations as tokens."""
    before: Tensor | None = None
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        before = b_t if before is None else b_t.addcmul_(a_t, before)
    return b


def scan_states(a: Tensor, b: Tensor) -> Tensor:
    """Combines neighbours into a sequence of half the length, scans that, fills the gaps.

    Linear work in 2 log2(length) steps for any length.

    Source:
        Blelloch, "Prefix Sums and Their Applications", 1990, by odd-even recursion.
    """
    _scan(a.clone(), b)
    return b


def _scan(a: Tensor, b: Tensor) -> None:
    """Works on views: what is at odd places is overwritten by the pair it closes."""
    length = a.shape[1]
    if length < 2:
        return
    even = length - length % 2
    odd_a, odd_b = a[:, 1::2], b[:, 1::2]
    odd_b.addcmul_(odd_a, b[:, 0:even:2])
    odd_a.mul_(a[:, 0:even:2])
    _scan(odd_a, odd_b)
    b[:, 2::2].addcmul_(a[:, 2::2], b[:, 1 : length - 1 : 2])


def chunk_states(a: Tensor, b: Tensor, size: int) -> Tensor:
    """Loops inside all chunks of ``size`` tokens at once, then carries their ends along."""
    length, rest = a.shape[1], a.shape[2:]
    if length <= size:
        return loop_states(a, b)
    gap = [0, 0] * len(rest) + [0, -length % size]
    decay, state = F.pad(a, gap, value=1.0), F.pad(b, gap)
    decay, state = (t.reshape(-1, size, *rest) for t in (decay, state))
    loop_states(decay, state)
    reach = decay.cumprod(1)  # no gradient passes through here, so its zeros do no harm
    ends, through = (t[:, -1].view(len(a), -1, *rest) for t in (state, reach))
    carry = scan_states(through, ends.clone())
    before = F.pad(carry[:, :-1], [0, 0] * len(rest) + [1, 0]).reshape(-1, 1, *rest)
    return b.copy_(state.addcmul_(reach, before).view(len(a), -1, *rest)[:, :length])


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor | None, states: States) -> Tensor:
        b = b.clone(memory_format=torch.contiguous_format)
        if h0 is not None:
            b[:, 0].addcmul_(a[:, 0], h0)
        h = states(a, b)
        ctx.save_for_backward(a, h, h0)
        ctx.states = states
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, h, h0 = ctx.saved_tensors
        later = torch.cat([torch.zeros_like(a[:, :1]), a[:, 1:].flip(1)], dim=1)
        grad_b = ctx.states(later, grad.flip(1)).flip(1)  # the recurrence from the other end
        grad_a = torch.zeros_like(grad_b)
        torch.mul(grad_b[:, 1:], h[:, :-1], out=grad_a[:, 1:])
        if h0 is None:
            return grad_a, grad_b, None, None
        torch.mul(grad_b[:, 0], h0, out=grad_a[:, 0])
        return grad_a, grad_b, grad_b[:, 0] * a[:, 0], None


def recur(
    a: Float[Tensor, "batch length *rest"],
    b: Float[Tensor, "batch length *rest"],
    states: States,
    h0: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "batch length *rest"]:
    r"""Computes all states, with a gradient that costs what the states cost.

    .. math:: h_t = a_t h_{t-1} + b_t; \quad g^b_t = g_t + a_{t+1} g^b_{t+1}, \quad
        g^a_t = g^b_t h_{t-1}

    Source:
        Martin and Cundy, "Parallelizing Linear Recurrent Neural Nets Over Sequence Length",
        ICLR 2018.
    """
    return _Recurrence.apply(a, b, h0, states)
