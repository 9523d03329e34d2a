"""Rows that several batches of a span want, stored once: less disk, for reads by the page.

A span is a run of consecutive batches. Its shared rows lie in an order in which rows wanted by the
same batches are neighbours: by two min-hashes of the batches that want them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphkit.kernels import Array
from graphkit.ooc.plan import Plan
from graphkit.ooc.residency import Members, first_uses, least_ranks, mark_uses, ranks

__all__ = ["Span", "share", "stored_rows"]


@dataclass(frozen=True, eq=False)
class Span:
    """The shared rows of a run of batches.

    Args:
        ids: Rows in the order in which they are stored.
        members: The same as a set; slots are places in ``ids``.
    """

    ids: Array
    members: Members


def stored_rows(plan: Plan, hot: Members, spans: Sequence[int]) -> list[int]:
    """Returns how many rows are stored for each length of span; one pass over the plan.

    Args:
        plan: The batches.
        hot: Rows that are cached.
        spans: Lengths, in batches.
    """
    seen = [np.zeros_like(hot.words) for _ in spans]
    totals = [0] * len(spans)
    for number in range(plan.num_batches):
        ids = plan.ids(number)
        for at, span in enumerate(spans):
            if number % span == 0:
                seen[at].fill(0)
            totals[at] += int(first_uses(ids, hot.words, seen[at]))
    return totals


def share(plan: Plan, hot: Members, first: int, stop: int) -> Span:
    """Finds the rows that two or more batches of a span want, and orders them.

    Args:
        plan: The batches.
        hot: Rows that are cached.
        first: First batch of the span.
        stop: Batch after its last.

    Source:
        Liu et al., "DiskGNN", SIGMOD 2025: rows by the pair of their min-hashes.
        Differs: the hashes of batches are two permutations of the span, drawn from its place.
    """
    once, twice = np.zeros_like(hot.words), np.zeros_like(hot.words)
    for number in range(first, stop):
        mark_uses(plan.ids(number), hot.words, once, twice)
    before = ranks(twice)
    count = int(before[-1])
    draw = np.random.Generator(np.random.Philox(key=[first, stop]))
    permutations = [_order(draw, stop - first) for _ in range(2)]
    lows, highs = (np.full(count, stop - first, dtype=np.int64) for _ in range(2))
    for number in range(first, stop):
        low, high = (int(each[number - first]) for each in permutations)
        least_ranks(plan.ids(number), twice, before, low, high, lows, highs)
    order = np.argsort(lows * (stop - first + 1) + highs, kind="stable")
    slots = np.empty(count, dtype=np.int64)
    slots[order] = np.arange(count)
    bits = np.unpackbits(twice.view(np.uint8), bitorder="little")
    ids = np.flatnonzero(bits).astype(np.int32 if plan.num_nodes < 1 << 31 else np.int64)
    return Span(ids[order], Members(twice, before, slots))


def _order(draw: np.random.Generator, size: int) -> Array:
    """A permutation from raw bits alone, whose stream numpy keeps the same between versions."""
    return np.argsort(np.argsort(draw.bit_generator.random_raw(size), kind="stable"))
