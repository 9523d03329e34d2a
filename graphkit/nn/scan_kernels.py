"""Compiled kernels of the scans: arrays in, arrays out, no lock of Python's held.

A task of the selective scan owns a run of sequences and a block of channels. Its state, ``(state,
channels of the block)``, stays in the nearest cache while tokens pass; innermost loops run over
channels, so that they become vector instructions and no sum over the state crosses lanes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, no_type_check

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from graphkit.kernels import Array
from graphkit.kernels import compiled as _compiled

__all__ = ["recurrence", "recurrence_backward", "scan", "scan_backward"]

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# Sums may be regrouped, which vectorising them needs; infinities and NaNs keep their meaning.
# No check for a division by zero, which would be a branch inside a loop.
_OPTIONS: dict[str, Any] = {
    "fastmath": {"contract", "nsz", "reassoc"},
    "error_model": "numpy",
}


def compiled(function: Kernel) -> Kernel:
    """Compiles a function with the options above."""
    return _compiled(function, **_OPTIONS)


@intrinsic
@no_type_check
def _as_float(context: Any, bits: Any) -> Any:
    """Reads 32 bits as a float."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


def _exp(x: float) -> float:
    return math.exp(x)


@overload(_exp, jit_options={"fastmath": {"contract"}})  # regrouping would undo the reduction
@no_type_check
def _compile_exp(x: Any) -> Callable[[Any], Any]:
    """Cephes' expf for floats, without a call, so that loops over it are vectorised."""

    def exact(x: Any) -> Any:
        return math.exp(x)

    if x != types.float32:
        return exact
    f = np.float32
    low, high, log2e, half, one = f(-87.0), f(88.0), f(1.44269504), f(0.5), f(1.0)
    ln2_high, ln2_low = f(0.693359375), f(-2.12194440e-4)
    c0, c1, c2 = f(1.9875691500e-4), f(1.3981999507e-3), f(8.3334519073e-3)
    c3, c4, c5 = f(4.1665795894e-2), f(1.6666665459e-1), f(5.0000001201e-1)

    def exp(x: Any) -> Any:
        x = min(max(x, low), high)
        power = np.floor(x * log2e + half)
        r = x - power * ln2_high
        r = r - power * ln2_low
        p = ((((c0 * r + c1) * r + c2) * r + c3) * r + c4) * r + c5
        bits = np.int32((np.int32(power) + np.int32(127)) << np.int32(23))
        return (p * (r * r) + r + one) * _as_float(bits)

    return exp


def _hold(u: float, decay: float) -> tuple[float, float]:
    """Returns f(u) = (exp(u) - 1) / u and its derivative; ``decay`` is exp(u)."""
    raise NotImplementedError  # exists compiled alone


@overload(_hold, jit_options={"error_model": "numpy"})
@no_type_check
def _compile_hold(u: Any, decay: Any) -> Callable[[Any, Any], Any]:
    """By its series where the difference would cancel, in the precision of ``u``."""
    kind = np.float32 if u == types.float32 else np.float64
    near, one, half = kind(0.3), kind(1), kind(0.5)
    shares = tuple(kind(1 / k) for k in range(14, 2, -1))  # of Horner's scheme

    def hold(u: Any, decay: Any) -> Any:
        total = one  # becomes 2 (f(u) - 1) / u = 1 + u/3 (1 + u/4 (1 + ...))
        for share in shares:
            total = one + total * u * share
        series, quotient = one + half * u * total, (decay - one) / u
        held = series if abs(u) < near else quotient
        return held, held - half * total if abs(u) < near else (decay - held) / u

    return hold


@compiled
@no_type_check
def scan(
    x: Array, delta: Array, A: Array, B: Array, C: Array, ptr: Array, slots: Array,  # noqa: N803
    first: int, stop: int, low: int, high: int, backwards: bool, zoh: bool, every: int,
    y: Array, last: Array, marks: Array,
) -> None:  # fmt: skip
    """Scans sequences ``first`` to ``stop`` in channels ``low`` to ``high``.

    ``marks[slots[s] + k]`` receives the state of sequence s before its token ``(k + 1) * every``,
    ``last[s]`` the one after its last token; neither where the array has no rows.
    """
    size, width = len(A), high - low
    step, state = np.empty((size, width), A.dtype), np.empty((size, width), A.dtype)
    step[:] = A[:, low:high]
    for s in range(first, stop):
        state[:] = 0
        for i in range(ptr[s + 1] - ptr[s]):
            if len(marks) > 0 and i > 0 and i % every == 0:
                marks[slots[s] + i // every - 1, :, low:high] = state
            t = ptr[s + 1] - 1 - i if backwards else ptr[s] + i
            x_t, delta_t, y_t = x[t, low:high], delta[t, low:high], y[t, low:high]
            y_t[:] = 0
            for n in range(size):
                b, c, a, h = B[t, n], C[t, n], step[n], state[n]
                if zoh:
                    for e in range(width):
                        u = delta_t[e] * a[e]
                        decay = _exp(u)
                        h[e] = decay * h[e] + delta_t[e] * x_t[e] * b * _hold(u, decay)[0]
                        y_t[e] += h[e] * c
                else:
                    for e in range(width):
                        h[e] = _exp(delta_t[e] * a[e]) * h[e] + delta_t[e] * x_t[e] * b
                        y_t[e] += h[e] * c
        if len(last) > 0:
            last[s, :, low:high] = state


@compiled
@no_type_check
def _replay(
    x_t: Array, delta_t: Array, b_t: Array, step: Array, zoh: bool,
    before: Array, decays: Array, after: Array,
) -> None:  # fmt: skip
    """One step forward that keeps the decays."""
    for n in range(len(step)):
        b, a, h, kept, out = b_t[n], step[n], before[n], decays[n], after[n]
        if zoh:
            for e in range(len(x_t)):
                u = delta_t[e] * a[e]
                kept[e] = _exp(u)
                held = _hold(u, kept[e])[0]
                out[e] = kept[e] * h[e] + delta_t[e] * x_t[e] * b * held
        else:
            for e in range(len(x_t)):
                kept[e] = _exp(delta_t[e] * a[e])
                out[e] = kept[e] * h[e] + delta_t[e] * x_t[e] * b


@compiled
@no_type_check
def scan_backward(
    x: Array, delta: Array, A: Array, B: Array, C: Array, ptr: Array, slots: Array,  # noqa: N803
    first: int, stop: int, low: int, high: int, backwards: bool, zoh: bool, every: int,
    marks: Array, grad_y: Array, grad_last: Array, grad_x: Array, grad_delta: Array,
    grad_A: Array, grad_B: Array, grad_C: Array,  # noqa: N803
) -> None:  # fmt: skip
    """Gradients of ``scan``, from the last token to the first, ``every`` tokens recomputed at once.

    ``grad_A``, ``grad_B``, ``grad_C`` belong to this task alone: ``(state, channels)`` of the block
    and ``(tokens, state)``; the first is float64, since it is added to over all tokens.
    """
    size, width = len(A), high - low
    step, grad = np.empty((size, width), A.dtype), np.empty((size, width), A.dtype)
    step[:] = A[:, low:high]
    states = np.empty((every + 1, size, width), A.dtype)
    decays = np.empty((every, size, width), A.dtype)
    by_input, by_step = np.empty(width, A.dtype), np.empty(width, A.dtype)
    held, slope = np.empty(width, A.dtype), np.empty(width, A.dtype)
    partial = np.empty((size, width), A.dtype)  # of grad_A: over one run of tokens
    for s in range(first, stop):
        count = ptr[s + 1] - ptr[s]
        if len(grad_last) > 0:
            grad[:] = grad_last[s, :, low:high]
        else:
            grad[:] = 0
        for k in range((count + every - 1) // every - 1, -1, -1):
            if k > 0:
                states[0] = marks[slots[s] + k - 1, :, low:high]
            else:
                states[0] = 0
            partial[:] = 0
            tokens = min(every, count - k * every)
            for j in range(tokens):
                i = k * every + j
                t = ptr[s + 1] - 1 - i if backwards else ptr[s] + i
                _replay(
                    x[t, low:high], delta[t, low:high], B[t], step, zoh,
                    states[j], decays[j], states[j + 1],
                )  # fmt: skip
            for j in range(tokens - 1, -1, -1):
                i = k * every + j
                t = ptr[s + 1] - 1 - i if backwards else ptr[s] + i
                x_t, delta_t, g_t = x[t, low:high], delta[t, low:high], grad_y[t, low:high]
                by_input[:] = 0  # of delta_t * x_t
                by_step[:] = 0  # of delta_t, through the decays
                for n in range(size):
                    b, c, a, g, ga = B[t, n], C[t, n], step[n], grad[n], partial[n]
                    kept, before, after = decays[j, n], states[j, n], states[j + 1, n]
                    sum_b, sum_c = x_t[0] * 0, x_t[0] * 0
                    if zoh:
                        for e in range(width):
                            held[e], slope[e] = _hold(delta_t[e] * a[e], kept[e])
                        for e in range(width):
                            here = g[e] + g_t[e] * c
                            sum_c += g_t[e] * after[e]
                            gain = here * delta_t[e] * x_t[e]
                            sum_b += gain * held[e]
                            g[e] = here * kept[e]
                            through = g[e] * before[e] + gain * b * slope[e]  # of delta_t * a
                            ga[e] += through * delta_t[e]
                            by_step[e] += through * a[e]
                            by_input[e] += here * b * held[e]
                    else:
                        for e in range(width):
                            here = g[e] + g_t[e] * c
                            sum_c += g_t[e] * after[e]
                            sum_b += here * delta_t[e] * x_t[e]
                            g[e] = here * kept[e]
                            through = g[e] * before[e]  # of delta_t * a
                            ga[e] += through * delta_t[e]
                            by_step[e] += through * a[e]
                            by_input[e] += here * b
                    grad_B[t, n], grad_C[t, n] = sum_b, sum_c
                out, out_step = grad_x[t, low:high], grad_delta[t, low:high]
                for e in range(width):
                    out[e] = by_input[e] * delta_t[e]
                    out_step[e] = by_step[e] + by_input[e] * x_t[e]
            grad_A[:] += partial


@compiled
@no_type_check
def recurrence(
    a: Array, b: Array, ptr: Array, low: int, high: int, backwards: bool, h: Array
) -> None:
    """Computes h_t = a_t h_(t-1) + b_t in each sequence, from 0, in columns ``low`` to ``high``."""
    state = np.empty(high - low, a.dtype)
    for s in range(len(ptr) - 1):
        state[:] = 0
        for i in range(ptr[s + 1] - ptr[s]):
            t = ptr[s + 1] - 1 - i if backwards else ptr[s] + i
            a_t, b_t, h_t = a[t, low:high], b[t, low:high], h[t, low:high]
            for e in range(high - low):
                state[e] = a_t[e] * state[e] + b_t[e]
                h_t[e] = state[e]


@compiled
@no_type_check
def recurrence_backward(
    a: Array, h: Array, grad_h: Array, ptr: Array, low: int, high: int, backwards: bool,
    grad_a: Array, grad_b: Array,
) -> None:  # fmt: skip
    """Gradients of ``recurrence``, which are a recurrence of their own from the other end."""
    carry = np.empty(high - low, a.dtype)
    for s in range(len(ptr) - 1):
        carry[:] = 0
        count = ptr[s + 1] - ptr[s]
        for i in range(count - 1, -1, -1):
            t = ptr[s + 1] - 1 - i if backwards else ptr[s] + i
            a_t, g_t = a[t, low:high], grad_h[t, low:high]
            ga_t, gb_t = grad_a[t, low:high], grad_b[t, low:high]
            if i == 0:
                for e in range(high - low):
                    gb_t[e] = g_t[e] + carry[e]
                    ga_t[e] = 0
                continue
            h_t = h[t + 1 if backwards else t - 1, low:high]
            for e in range(high - low):
                gb_t[e] = g_t[e] + carry[e]
                ga_t[e] = gb_t[e] * h_t[e]
                carry[e] = gb_t[e] * a_t[e]
