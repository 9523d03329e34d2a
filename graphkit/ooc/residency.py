"""Which rows are where, for all nodes at once: a bit a node, and ranks to find a row's slot.

Compiled kernels, arrays in and arrays out; no lock of Python's is held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphkit.kernels import Array, compiled

__all__ = [
    "Members",
    "first_uses",
    "least_ranks",
    "mark_uses",
    "members",
    "ranks",
    "sort_out",
    "spread_ids",
]

_ONE = np.uint64(1)
_WORD = np.uint64(63)  # position of a bit inside a word of 64
_WORDS = np.uint64(6)  # shift from a bit to its word


@dataclass(frozen=True, eq=False)
class Members:
    """A set of nodes in 0.25 bytes a node, each with a slot.

    Args:
        words: One bit a node.
        before: Members in all words before each.
        slots: Slot of each member, in order of ids; empty where that is the order.
    """

    words: Array
    before: Array
    slots: Array

    def __len__(self) -> int:
        return int(self.before[-1])


def members(ids: Array, num_nodes: int) -> Members:
    """Makes a set of distinct nodes; slots are places in ``ids``."""
    words = np.zeros(num_nodes // 64 + 1, dtype=np.uint64)
    _enter(ids, words)
    rising = len(ids) < 2 or bool((ids[1:] > ids[:-1]).all())
    slots = np.empty(0 if rising else len(ids), dtype=np.int64)
    before = ranks(words)
    if not rising:
        _fill_slots(ids, words, before, slots)
    return Members(words, before, slots)


def ranks(words: Array) -> Array:
    before = np.zeros(len(words) + 1, dtype=np.int64)
    np.cumsum(np.bitwise_count(words), out=before[1:])
    return before


@compiled
def _enter(ids: Array, words: Array) -> None:
    for i in range(len(ids)):
        v = np.uint64(ids[i])
        words[v >> _WORDS] |= _ONE << (v & _WORD)


@compiled
def _ones(word: np.uint64) -> np.int64:
    """Number of bits set (Warren, "Hacker's Delight", section 5-1)."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _rank(v: np.uint64, words: Array, before: Array) -> np.int64:
    """Place of a node among the members, -1 for one that is none."""
    word = words[v >> _WORDS]
    bit = _ONE << (v & _WORD)
    if not word & bit:
        return np.int64(-1)
    return before[v >> _WORDS] + _ones(word & (bit - _ONE))


@compiled
def _fill_slots(ids: Array, words: Array, before: Array, slots: Array) -> None:
    for i in range(len(ids)):
        slots[_rank(np.uint64(ids[i]), words, before)] = i


@compiled
def sort_out(
    ids: Array,
    hot_words: Array,
    hot_before: Array,
    hot_slots: Array,
    shared_words: Array,
    shared_before: Array,
    shared_slots: Array,
    hot: int,
    where: Array,
    cold_at: Array,
) -> tuple[int, int]:
    """Says of each row of a batch where it is; returns how many are in its region and shared.

    ``where`` gets the slot of a cached row, ``hot`` plus the place of a shared one; places of all
    others in the batch go to ``cold_at``.
    """
    cold = shared = 0
    for i in range(len(ids)):
        v = np.uint64(ids[i])
        slot = _rank(v, hot_words, hot_before)
        if slot >= 0:
            where[i] = slot if len(hot_slots) == 0 else hot_slots[slot]
            continue
        if len(shared_words) > 0:
            slot = _rank(v, shared_words, shared_before)
            if slot >= 0:
                where[i] = hot + (slot if len(shared_slots) == 0 else shared_slots[slot])
                shared += 1
                continue
        cold_at[cold] = i
        cold += 1
    return cold, shared


@compiled
def spread_ids(ids: Array, where: Array, sorted_ids: Array) -> None:
    """Puts the ids of a region's rows in the order of the region."""
    for i in range(len(ids)):
        if where[i] < 0:
            sorted_ids[-where[i] - 1] = ids[i]


@compiled
def mark_uses(ids: Array, hot_words: Array, once: Array, twice: Array) -> None:
    """Sets a bit of each row that is not cached when it is wanted first, and again."""
    for i in range(len(ids)):
        v = np.uint64(ids[i])
        word, bit = v >> _WORDS, _ONE << (v & _WORD)
        if hot_words[word] & bit:
            continue
        twice[word] |= once[word] & bit
        once[word] |= bit


@compiled
def first_uses(ids: Array, hot_words: Array, seen: Array) -> int:
    """Counts rows that are neither cached nor seen, and marks them as seen."""
    new = 0
    for i in range(len(ids)):
        v = np.uint64(ids[i])
        word, bit = v >> _WORDS, _ONE << (v & _WORD)
        if not (hot_words[word] | seen[word]) & bit:
            seen[word] |= bit
            new += 1
    return new


@compiled
def least_ranks(
    ids: Array, words: Array, before: Array, low: int, high: int, lows: Array, highs: Array
) -> None:
    """Lowers both min-hashes of each shared row of a batch to the ranks of that batch."""
    for i in range(len(ids)):
        at = _rank(np.uint64(ids[i]), words, before)
        if at >= 0:
            lows[at] = min(lows[at], low)
            highs[at] = min(highs[at], high)
