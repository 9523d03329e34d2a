"""Compiled kernels of neighbour sampling: arrays in, arrays out, no lock of Python's held.

Plain threads run them. numba's own thread pool would be faster to start, but not safe to use in a
process forked from one that has used it, which is what the workers of a loader are.
"""

from __future__ import annotations

import numpy as np

from graphkit.kernels import Array, compiled

__all__ = [
    "STEP",
    "batch_key",
    "below",
    "collect",
    "count_draws",
    "count_in_edges",
    "draw",
    "draw_distinct",
    "enter_seeds",
    "forget",
    "hop_key",
    "mark",
    "mix",
    "num_slots",
    "relabel",
    "sort_by_destination",
]

STEP = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's increment
_LOW = np.uint64(0xFFFFFFFF)
_LOW_BITS = np.uint64(32)
_ONE = np.uint64(1)
_WORD = np.uint64(63)  # position of a bit inside a word of 64
_WORDS = np.uint64(6)  # shift from a bit to its word
_FEW = 256  # draws above which repeats are looked up in a hash set

_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)  # each shift by 0..63 shows other six leading bits
_LOWEST_BIT = np.zeros(64, dtype=np.int64)
for _shift in range(64):
    _LOWEST_BIT[((0x03F79D71B4CB0A89 << _shift) & 0xFFFFFFFFFFFFFFFF) >> 58] = _shift


@compiled
def mix(word: np.uint64) -> np.uint64:
    """Scrambles 64 bits: the output function of splitmix64."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@compiled
def below(state: np.uint64, bound: np.uint64) -> tuple[np.int64, np.uint64]:
    """Draws one of ``bound`` < 2**32 numbers without bias (Lemire); returns it and the state."""
    state += STEP
    scaled = (mix(state) >> _LOW_BITS) * bound
    if scaled & _LOW < bound:
        refused = (np.uint64(1 << 32) - bound) % bound
        while scaled & _LOW < refused:
            state += STEP
            scaled = (mix(state) >> _LOW_BITS) * bound
    return np.int64(scaled >> _LOW_BITS), state


@compiled
def batch_key(key: np.uint64, seeds: Array) -> np.uint64:
    """Folds the seeds into the key of an epoch; their order does not matter."""
    total = np.uint64(0)
    for i in range(len(seeds)):
        total += mix(mix(key ^ np.uint64(seeds[i])) + STEP)
    return mix(key + total)


@compiled
def hop_key(key: np.uint64, hop: int) -> np.uint64:
    """Derives the key of a hop from that of a batch."""
    return mix(key + np.uint64(hop + 1) * STEP)


@compiled
def count_in_edges(destination: Array, colptr: Array) -> None:
    """Turns zeros into the places where the in-edges of each node begin."""
    for e in range(len(destination)):
        colptr[destination[e] + 1] += 1
    for v in range(len(colptr) - 1):
        colptr[v + 1] += colptr[v]


@compiled
def sort_by_destination(source: Array, destination: Array, colptr: Array, entries: Array) -> None:
    """Counting sort, stable; ``entries`` holds source and edge id side by side."""
    free = colptr[:-1].copy()
    for e in range(len(source)):
        at = free[destination[e]]
        free[destination[e]] = at + 1
        entries[at, 0] = source[e]
        entries[at, 1] = e


@compiled
def enter_seeds(seeds: Array, seen: Array, table: Array, nodes: Array) -> None:
    """Gives seeds their local ids in the given order; edges will point at the first of twins."""
    for i in range(len(seeds)):
        v = np.uint64(seeds[i])
        bit = _ONE << (v & _WORD)
        nodes[i] = seeds[i]
        if not seen[v >> _WORDS] & bit:
            seen[v >> _WORDS] |= bit
            table[v] = i


@compiled
def count_draws(
    colptr: Array, frontier: Array, fanout: int, with_repeats: bool, offsets: Array
) -> int:
    """Writes where the edges of each frontier node begin; returns how many there will be."""
    total = 0
    for i in range(len(frontier)):
        offsets[i] = total
        degree = colptr[frontier[i] + 1] - colptr[frontier[i]]
        if fanout < 0 or (degree < fanout and not with_repeats) or degree == 0:
            total += degree
        else:
            total += fanout
    offsets[len(frontier)] = total
    return total


@compiled
def _add(slots: Array, value: np.int64) -> bool:
    """Adds to a hash set of numbers >= 0 (empty slots hold -1); false if it was in there."""
    last = len(slots) - 1
    at = np.int64(mix(np.uint64(value)) & np.uint64(last))
    while slots[at] != -1:
        if slots[at] == value:
            return False
        at = (at + 1) & last
    slots[at] = value
    return True


@compiled
def draw_distinct(state: np.uint64, degree: np.int64, drawn: Array, slots: Array) -> None:
    """Floyd's algorithm: as many of ``degree`` positions as ``drawn`` holds, each set as likely."""
    fanout = len(drawn)
    slots[:] = -1
    for i in range(fanout):
        newest = degree - fanout + i
        position, state = below(state, np.uint64(newest + 1))
        if fanout > _FEW:
            if not _add(slots, position):
                position = newest
                _add(slots, position)
        else:
            twice = False
            for j in range(i):  # to the end and without a branch: many at once
                twice |= drawn[j] == np.uint32(position)
            if twice:
                position = newest
        drawn[i] = np.uint32(position)


@compiled
def num_slots(fanout: int) -> int:
    """Size of a hash set for that many numbers, a power of two at least half empty; 0 for few."""
    size = 0 if fanout <= _FEW else 2 * _FEW
    while 0 < size < 2 * fanout:
        size *= 2
    return size


@compiled
def draw(
    low: int,
    high: int,
    key: np.uint64,
    fanout: int,
    with_repeats: bool,
    colptr: Array,
    row: Array,
    edge_id: Array,
    frontier: Array,
    offsets: Array,
    source: Array,
    edge: Array,
) -> None:
    """Draws in-edges of the frontier nodes from ``low`` to ``high``, each from its own key."""
    drawn = np.empty(0, dtype=np.uint32)
    slots = np.empty(0, dtype=np.int64)
    for i in range(low, high):
        v = frontier[i]
        first = colptr[v]
        degree = colptr[v + 1] - first
        start = offsets[i]
        count = offsets[i + 1] - start
        if fanout < 0 or (count == degree and not with_repeats):
            for j in range(count):
                edge[start + j] = first + j
            continue
        state = mix(key ^ mix(np.uint64(v) + STEP))
        if with_repeats:
            for j in range(count):
                position, state = below(state, np.uint64(degree))
                edge[start + j] = first + position
        else:
            if len(drawn) < fanout:  # not before it is needed: a fan-out may exceed all degrees
                drawn = np.empty(fanout, dtype=np.uint32)
                slots = np.empty(num_slots(fanout), dtype=np.int64)
            draw_distinct(state, degree, drawn, slots)
            for j in range(count):
                edge[start + j] = first + np.int64(drawn[j])
    # A loop of its own: nothing in it waits, so many reads of memory are under way at once.
    if len(edge_id) > 0:
        for e in range(offsets[low], offsets[high]):
            at = np.uint64(edge[e])
            source[e] = row[at]
            edge[e] = edge_id[at]
    else:
        for e in range(offsets[low], offsets[high]):
            source[e] = row[np.uint64(edge[e])]


@compiled
def mark(source: Array, count: int, seen: Array, fresh: Array, filled: Array) -> None:
    """Sets a bit for each node that is reached for the first time; without branches."""
    for e in range(count):
        v = np.uint64(source[e])
        word = v >> _WORDS
        fresh[word] |= (_ONE << (v & _WORD)) & ~seen[word]
        filled[word >> _WORDS] |= _ONE << (word & _WORD)


@compiled
def _lowest_bit(word: np.uint64) -> np.int64:
    return np.int64(_LOWEST_BIT[((word & (~word + _ONE)) * _DE_BRUIJN) >> np.uint64(58)])


@compiled
def collect(seen: Array, fresh: Array, filled: Array, table: Array, nodes: Array, end: int) -> int:
    """Appends the marked nodes in ascending order, clears the marks; returns the new end."""
    for group in range(len(filled)):
        words = filled[group]
        filled[group] = 0
        while words:
            word = group * 64 + _lowest_bit(words)
            words &= words - _ONE
            bits = fresh[word]
            fresh[word] = 0
            seen[word] |= bits
            while bits:
                v = word * 64 + _lowest_bit(bits)
                bits &= bits - _ONE
                table[v] = end
                nodes[end] = v
                end += 1
    return end


@compiled
def relabel(
    low: int,
    high: int,
    first: int,
    offsets: Array,
    source: Array,
    edge: Array,
    table: Array,
    rows: Array,
    columns: Array,
    edges: Array,
) -> None:
    """Writes edges of a run of the frontier in local ids; ``first`` is that of its first node."""
    for i in range(low, high):
        for e in range(offsets[i], offsets[i + 1]):
            columns[e] = first + i
    for e in range(offsets[low], offsets[high]):
        rows[e] = table[np.uint64(source[e])]
        edges[e] = edge[e]


@compiled
def forget(nodes: Array, seen: Array) -> None:
    """Clears the bits of the nodes of a batch."""
    for i in range(len(nodes)):
        seen[nodes[i] >> 6] = 0
