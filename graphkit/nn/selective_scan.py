"""State-space recurrences over sequences: the selective scan of Mamba, and that of Mamba-2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from graphkit.nn.scan_checks import (
    check_recurrence,
    check_scan,
    check_ssd,
    check_steps,
    compute_dtype,
)
from graphkit.nn.scan_dispatch import THRESHOLDS, Method, choose, chunk_length, states_of
from graphkit.nn.scan_fused import fused_recurrence, fused_scan
from graphkit.nn.scan_layout import checked_ptr, even_ptr, flipped_ptr, mask_to_ptr, starts
from graphkit.nn.scan_official import official_scan, why_not_kernel
from graphkit.nn.scan_recurrence import recur
from graphkit.nn.scan_reference import Discretization, selective_scan_reference
from graphkit.nn.scan_ssd import block_ssd
from graphkit.nn.scan_torch import chunked_scan, whole_scan

__all__ = ["linear_recurrence", "selective_scan", "selective_scan_reference", "ssd"]


def linear_recurrence(
    a: Float[Tensor, "..."],
    b: Float[Tensor, "..."],
    *,
    h0: Float[Tensor, "..."] | None = None,
    ptr: Int[Tensor, "..."] | None = None,
    reverse: bool = False,
    method: str = "auto",
    chunk_size: int | None = None,
) -> Float[Tensor, "..."]:
    r"""Computes every state of a recurrence that is linear in the state.

    .. math:: h_t = a_t \odot h_{t-1} + b_t

    Args:
        a: Decays.
        b: Increments.
        h0: State in front of the first token; zeros if not given.
        ptr: Where each sequence begins in a packed row of tokens, and where the last one ends.
        reverse: Run from the last token of each sequence to its first; ``h0`` is then behind.
        method: ``loop``, ``scan`` (associative), ``chunked``, ``kernel`` (compiled, on the
            processor), or ``auto``.
        chunk_size: Tokens of a chunk of ``chunked``.

    Shape:
        a and b ``(batch, length, ...)``, h0 ``(batch, ...)``; with ptr ``(tokens, ...)`` and
        ``(sequences, ...)``. The result is as b.

    Raises:
        DataError: Sizes differ, or ``ptr`` does not rise from 0 to the number of tokens.
        SettingError: The method cannot run; the message says why.

    Source:
        Martin and Cundy, "Parallelizing Linear Recurrent Neural Nets Over Sequence Length",
        ICLR 2018; Blelloch, "Prefix Sums and Their Applications", 1990.
    """
    ptr = None if ptr is None else checked_ptr(ptr, len(b))
    check_recurrence(a, b, h0, ptr)
    shape = b.shape if ptr is None else torch.Size([1, *b.shape])
    reason = "" if b.device.type == "cpu" else f"there is none for {b.device}"
    route = choose(method, shape, b.device, reason)
    chunk = chunk_length(chunk_size, shape[0] * shape[2:].numel())
    if b.numel() == 0:
        return a * b
    with torch.autocast(b.device.type, enabled=False):
        dtype, kind = b.dtype, compute_dtype(a, b, h0)
        a, b = a.to(kind), b.to(kind)
        h0 = None if h0 is None else h0.to(kind)
        if ptr is None and route != "kernel":
            a, b = (a.flip(1), b.flip(1)) if reverse else (a, b)
            h = recur(a, b, states_of(route, chunk), h0)
            return (h.flip(1) if reverse else h).to(dtype)
        pointers = even_ptr(b) if ptr is None else ptr
        a, b = (t if ptr is not None else t.flatten(0, 1) for t in (a, b))  # (tokens, ...)
        if h0 is not None:
            filled = pointers.diff() > 0
            first = (pointers[1:] - 1 if reverse else pointers[:-1])[filled]
            b = b.index_add(0, first, a[first] * h0[filled])
        if route == "kernel":
            a, b = (t.reshape(len(t), -1) for t in (a, b))
            h = fused_recurrence(a, b, pointers, reverse=reverse)
            return h.view(shape if ptr is None else shape[1:]).to(dtype)
        a, b = (a.flip(0), b.flip(0)) if reverse else (a, b)
        marks = starts(flipped_ptr(pointers) if reverse else pointers)
        a = a.masked_fill(marks.view(-1, *[1] * (a.dim() - 1)), 0.0)
        h = recur(a[None], b[None], states_of(route, chunk))[0]
        return (h.flip(0) if reverse else h).to(dtype)


def selective_scan(
    x: Float[Tensor, "..."],
    delta: Float[Tensor, "..."],
    A: Float[Tensor, "..."],  # noqa: N803  the paper's letters
    B: Float[Tensor, "..."],  # noqa: N803
    C: Float[Tensor, "..."],  # noqa: N803
    D: Float[Tensor, "..."] | None = None,  # noqa: N803
    z: Float[Tensor, "..."] | None = None,
    *,
    delta_bias: Float[Tensor, "..."] | None = None,
    delta_softplus: bool = False,
    ptr: Int[Tensor, "..."] | None = None,
    mask: Bool[Tensor, "..."] | None = None,
    reverse: bool = False,
    discretization: Discretization = "euler",
    method: str = "auto",
    chunk_size: int | None = None,
    return_last_state: bool = False,
) -> Float[Tensor, "..."] | tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    r"""Carries a state along each sequence; each token says how much to keep, take in and show.

    .. math:: h_t = e^{\Delta_t A} \odot h_{t-1} + \Delta_t B_t x_t, \quad
        y_t = (h_t C_t + D x_t) \odot \mathrm{SiLU}(z_t)

    Args:
        x: Inputs.
        delta: Step sizes, positive; a step of 0 is a token that does nothing.
        A: Rates of the state, negative.
        B: Input maps.
        C: Output maps.
        D: Skip from input to output.
        z: Gate of the output.
        delta_bias: Added to ``delta`` first.
        delta_softplus: ``delta`` is raw and goes through a softplus.
        ptr: Where each sequence begins in a packed row of tokens, and where the last one ends.
        mask: True where a padded batch has tokens, at any places. The others are left out: their
            outputs and gradients are zero, whatever they hold.
        reverse: Run from the last token of each sequence to its first.
        discretization: ``euler``, which the official kernels compute, or ``zoh``, the paper's.
        method: ``loop``, ``scan`` (associative), ``chunked`` (states of one chunk in memory at a
            time), ``kernel`` (compiled; on CUDA the official one), or ``auto``.
        chunk_size: Tokens of a chunk of ``chunked``.
        return_last_state: Return the state after the last token of each sequence too (with
            ``reverse``, after the first); zeros for an empty one.

    Shape:
        x, delta, z ``(batch, length, channels)``, A ``(channels, state)``, B and C
        ``(batch, length, state)``, D and delta_bias ``(channels,)``, mask ``(batch, length)`` ->
        ``(batch, length, channels)``, and ``(batch, channels, state)``. With ptr the first two
        axes are one, ``tokens``, and last states are ``(sequences, channels, state)``.

    Raises:
        DataError: Sizes differ, a step size is below zero, or ``ptr`` does not rise from 0 to the
            number of tokens.
        SettingError: The method cannot run; the message says why.

    Source:
        Gu and Dao, "Mamba", COLM 2024, section 3.2 and algorithm 2.
        Differs: computed in float32, or float64 where an input is, also under autocast; outputs
        are as ``x``. On the processor a masked batch is packed at any fill, since the kernel's
        time is that of the tokens; elsewhere where fewer than 0.6 of the places are taken.
    """
    ptr = None if ptr is None else checked_ptr(ptr, len(x))
    tokens = {"delta": delta, "B": B, "C": C, "z": z}
    check_scan(x, A, tokens, {"D": D, "delta_bias": delta_bias}, ptr, mask)
    batch = x.shape[:2] if ptr is None else torch.Size([1, len(x)])
    kind = compute_dtype(x, delta, A, B, C)
    reason = why_not_kernel(
        x.device, kind, A.shape[1], ptr is not None, return_last_state, discretization
    )
    route = choose(method, torch.Size([*batch, *A.shape]), x.device, reason)
    if mask is not None and _better_packed(mask, route, method):
        rows, pointers = mask_to_ptr(mask)
        valid = [t.flatten(0, 1)[rows] for t in (x, delta, B, C)]
        gate = None if z is None else z.flatten(0, 1)[rows]
        y, last = selective_scan(
            valid[0], valid[1], A, valid[2], valid[3], D, gate, delta_bias=delta_bias,
            delta_softplus=delta_softplus, ptr=pointers, reverse=reverse, method=method,
            discretization=discretization, chunk_size=chunk_size, return_last_state=True,
        )  # fmt: skip
        y = y.new_zeros(mask.numel(), x.shape[2]).index_copy(0, rows, y).view(x.shape)
        return (y, last) if return_last_state else y
    with torch.autocast(x.device.type, enabled=False):
        dtype = x.dtype
        x, delta, A, B, C = (t.to(kind) for t in (x, delta, A, B, C))  # noqa: N806
        if delta_bias is not None:
            delta = delta + delta_bias.to(kind)
        if delta_softplus:
            delta = F.softplus(delta)
        if mask is not None:  # a step of 0 keeps the state: right in both directions
            gap = ~mask.unsqueeze(-1)
            x, delta, B, C = (t.masked_fill(gap, 0.0) for t in (x, delta, B, C))  # noqa: N806
            z = None if z is None else z.masked_fill(gap, 0.0)
        if not delta_softplus:
            check_steps(delta)
        chunk = chunk_length(chunk_size, batch[0] * A.numel())
        y, last = _route(
            x, delta, A, B, C, ptr, reverse, discretization, route, chunk, return_last_state
        )
        y = y if D is None else y + D.to(kind) * x
        y = y if z is None else y * F.silu(z.to(kind))
    return (y.to(dtype), last) if return_last_state else y.to(dtype)


def ssd(
    x: Float[Tensor, "..."],
    log_decay: Float[Tensor, "..."],
    B: Float[Tensor, "..."],  # noqa: N803
    C: Float[Tensor, "..."],  # noqa: N803
    D: Float[Tensor, "..."] | None = None,  # noqa: N803
    *,
    ptr: Int[Tensor, "..."] | None = None,
    reverse: bool = False,
    chunk_size: int = 64,
    initial_state: Float[Tensor, "..."] | None = None,
    return_last_state: bool = False,
) -> Float[Tensor, "..."] | tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    r"""Scans with one decay per head and token, in matrix products over blocks.

    .. math:: h_t = e^{l_t} h_{t-1} + x_t B_t^T, \quad y_t = h_t C_t + D x_t

    Args:
        x: Inputs; where there is a step size, already multiplied by it.
        log_decay: Logarithms of the decays, at most 0.
        B: Input maps, shared by the heads of a group.
        C: Output maps, shared likewise.
        D: Skip from input to output, a number per head.
        ptr: Where each sequence begins in a packed row of tokens, and where the last one ends.
        reverse: Run from the last token of each sequence to its first.
        chunk_size: Tokens of a block; shorter where all sequences are.
        initial_state: State in front of each sequence; with ``reverse``, behind.
        return_last_state: Return the state after the last token too; an empty sequence's is its
            initial one.

    Shape:
        x ``(batch, length, heads, width)``, log_decay ``(batch, length, heads)``, B and C
        ``(batch, length, groups, state)``, D ``(heads,)``, initial_state
        ``(batch, heads, width, state)`` -> as x, and as initial_state. With ptr the first two axes
        are one, ``tokens``, and states have one row a sequence.

    Raises:
        DataError: Sizes differ, or ``ptr`` does not rise from 0 to the number of tokens.
        SettingError: ``chunk_size`` is below 1.

    Source:
        Dao and Gu, "Transformers are SSMs", ICML 2024, section 6.
        Differs: sequences are aligned to blocks, where the authors mask blocks by sequence.
    """
    ptr = None if ptr is None else checked_ptr(ptr, len(x))
    check_ssd(x, log_decay, B, C, D, ptr, initial_state)
    chunk = chunk_length(chunk_size, 1)
    pointers = even_ptr(x) if ptr is None else ptr
    with torch.autocast(x.device.type, enabled=False):
        dtype, kind = x.dtype, compute_dtype(x, log_decay, B, C, initial_state)
        state = x.new_zeros(len(pointers) - 1, *x.shape[-2:], B.shape[-1], dtype=kind)
        state = state if initial_state is None else initial_state.to(kind)
        tokens = [t.to(kind) for t in (x, log_decay, B, C)]
        tokens = tokens if ptr is not None else [t.flatten(0, 1) for t in tokens]
        if reverse:
            tokens, pointers = [t.flip(0) for t in tokens], flipped_ptr(pointers)
            state = state.flip(0)
        if x.numel() == 0:
            y, last = tokens[0] * tokens[1].unsqueeze(-1), state
        else:
            x_, log_, B_, C_ = tokens  # noqa: N806
            y, last = block_ssd(x_, log_, B_, C_, pointers, state, chunk)
        y, last = (y.flip(0), last.flip(0)) if reverse else (y, last)
        y = y.view(x.shape)
        y = y if D is None else y + D.to(kind).unsqueeze(-1) * x
    return (y.to(dtype), last) if return_last_state else y.to(dtype)


def _better_packed(mask: Tensor, route: Method, method: str) -> bool:
    if route == "kernel":
        return mask.device.type == "cpu"
    return method == "auto" and bool(mask.sum() < THRESHOLDS.full * mask.numel())


def _route(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, ptr: Tensor | None,  # noqa: N803
    reverse: bool, discretization: Discretization, route: Method, chunk: int, with_last: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Lays tokens out as the chosen algorithm wants them, and the results as they were."""
    if x.numel() == 0 or A.numel() == 0:
        return x * delta * 0, x.new_zeros(len(x) if ptr is None else len(ptr) - 1, *A.shape)
    if route == "kernel" and x.device.type == "cpu":
        rows = [t if ptr is not None else t.flatten(0, 1) for t in (x, delta, B, C)]
        y, last = fused_scan(
            rows[0], rows[1], A, rows[2], rows[3], even_ptr(x) if ptr is None else ptr,
            reverse=reverse, zoh=discretization == "zoh", with_last=with_last,
        )  # fmt: skip
        return y.view(x.shape), last
    tokens = [t if ptr is None else t[None] for t in (x, delta, B, C)]
    if reverse:
        tokens, ptr = [t.flip(1) for t in tokens], None if ptr is None else flipped_ptr(ptr)
    x_, delta_, B_, C_ = tokens  # noqa: N806
    if route == "kernel":
        y, last = official_scan(x_, delta_, A, B_, C_)
    elif route == "chunked":
        y, last = chunked_scan(x_, delta_, A, B_, C_, ptr, discretization, chunk)
    else:
        states = states_of(route, chunk)
        y, last = whole_scan(x_, delta_, A, B_, C_, ptr, discretization, states)
    if reverse:
        y, last = y.flip(1), last if ptr is None else last.flip(0)
    return y.view(x.shape), last
