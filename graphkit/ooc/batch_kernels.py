"""Compiled parts of putting a batch together: from bytes as they were read to what a model takes.

Kernels write into memory that is there already and hold no lock of Python's. Those that follow
places (see ``Where``) return how many rows they have filled: fewer than asked for means a place
that does not exist, and nothing outside of the arrays is touched.
"""

from __future__ import annotations

import numpy as np

from graphkit.kernels import Array, compiled

__all__ = ["gather", "gather_halves", "gather_steps", "unfold", "widen"]


@compiled
def widen(ids: Array, out: Array) -> None:
    """Copies ids to a wider type."""
    for i in range(len(ids)):
        out[i] = ids[i]


@compiled
def unfold(counts: Array, out: Array) -> int:
    """Writes each number as often as its count says, if that fills ``out``; returns the sum."""
    total = 0
    for i in range(len(counts)):
        total += counts[i]
    if total != len(out):
        return total
    at = 0
    for i in range(len(counts)):
        for _ in range(counts[i]):
            out[at] = i
            at += 1
    return total


@compiled
def gather(where: Array, region: Array, cache: Array, shared: Array, out: Array) -> int:
    """Copies rows as they are."""
    for i in range(len(where)):
        at, rows = where[i], cache
        if at < 0:
            at, rows = -1 - at, region
        elif at >= len(cache):
            at, rows = at - len(cache), shared
        if at >= len(rows):
            return i
        for j in range(out.shape[1]):
            out[i, j] = rows[at, j]
    return len(where)


@compiled
def gather_halves(where: Array, region: Array, cache: Array, shared: Array, out: Array) -> int:
    """Copies rows of float16, given as uint16, to float32 given as uint32.

    Exponent and mantissa are moved to where a float32 has them; the bias of the exponent is made
    good by a multiplication, which is exact and sees to subnormal numbers too.
    """
    values = out.view(np.float32)
    for i in range(len(where)):
        at, rows = where[i], cache
        if at < 0:
            at, rows = -1 - at, region
        elif at >= len(cache):
            at, rows = at - len(cache), shared
        if at >= len(rows):
            return i
        for j in range(out.shape[1]):
            out[i, j] = (np.uint32(rows[at, j]) & np.uint32(0x7FFF)) << np.uint32(13)
        for j in range(out.shape[1]):
            values[i, j] *= np.float32(2.0**112)
        for j in range(out.shape[1]):
            half = np.uint32(rows[at, j])
            out[i, j] |= (half & np.uint32(0x8000)) << np.uint32(16)
            if half & np.uint32(0x7C00) == np.uint32(0x7C00):  # infinite, or not a number
                out[i, j] |= np.uint32(0x7F800000)
    return len(where)


@compiled
def gather_steps(
    where: Array, region: Array, cache: Array, shared: Array, scale: Array, out: Array
) -> int:
    """Copies rows of int8, each value times what a step of its column is worth."""
    for i in range(len(where)):
        at, rows = where[i], cache
        if at < 0:
            at, rows = -1 - at, region
        elif at >= len(cache):
            at, rows = at - len(cache), shared
        if at >= len(rows):
            return i
        for j in range(out.shape[1]):
            out[i, j] = np.float32(rows[at, j]) * scale[j]
    return len(where)
