"""Compiled parts of sampling from a graph that is read front to back, a chunk at a time.

A *pair* is a node of the frontier of one batch. Pairs of a batch lie in ascending order of their
nodes, and so do their lists of in-edges in the file: a cursor per batch stands at the first pair
that is not finished, whatever the length of chunks and lists.
"""

from __future__ import annotations

import numpy as np

from graphkit.data.sampler_kernels import STEP, draw_distinct, mix, num_slots
from graphkit.kernels import Array, compiled

__all__ = ["draw_from", "localize", "look_up", "want_lists"]


@compiled
def look_up(
    low: int,
    high: int,
    bounds: Array,
    cursor: Array,
    nodes: Array,
    starts: Array,
    base: int,
    first: Array,
    degree: Array,
) -> None:
    """Finds begin and length of the lists of batches ``low`` to ``high`` in a chunk of starts.

    Args:
        low: First batch.
        high: End of the batches.
        bounds: First pair of each batch.
        cursor: First pair of each batch whose length is not known.
        nodes: Node of each pair.
        starts: Where lists begin, of the nodes from ``base`` on.
        base: See there.
        first: Gets where the list of each pair begins.
        degree: Gets its length.
    """
    stop = base + len(starts)
    for b in range(low, high):
        done = cursor[b]
        for i in range(done, bounds[b + 1]):
            v = np.int64(nodes[i])
            if v >= stop:
                break
            if v >= base:
                first[i] = starts[v - base]
            if v + 1 < stop:
                degree[i] = starts[v + 1 - base] - first[i]
                done = i + 1
        cursor[b] = done


@compiled
def want_lists(first: Array, degree: Array, fanout: int, entries: int, wanted: Array) -> None:
    """Marks the blocks of so many ``entries`` in which the lists of pairs lie."""
    for i in range(len(first)):
        if degree[i] > 0 and fanout != 0:
            for block in range(first[i] // entries, (first[i] + degree[i] - 1) // entries + 1):
                wanted[block] = True


@compiled
def draw_from(
    low: int,
    high: int,
    bounds: Array,
    cursor: Array,
    keys: Array,
    fanout: int,
    nodes: Array,
    first: Array,
    degree: Array,
    place: Array,
    chunk: Array,
    base: int,
    source: Array,
) -> None:
    """Writes the drawn in-edges of batches ``low`` to ``high`` whose sources are in a chunk.

    The draw of a node is that of ``sampler_kernels.draw``, a function of key and node. It is
    drawn again for every chunk that its list reaches into, so nothing of it has to be kept.

    Args:
        low: First batch.
        high: End of the batches.
        bounds: First pair of each batch.
        cursor: First pair of each batch whose list does not end before the chunk.
        keys: Key of this hop of each batch.
        fanout: In-edges drawn of each node, without repeats; -1 takes all.
        nodes: Node of each pair.
        first: Where its list begins.
        degree: Its length.
        place: Where its sources go.
        chunk: Sources of the edges from ``base`` on.
        base: See there.
        source: Gets the sources.
    """
    stop = base + len(chunk)
    drawn = np.empty(0, dtype=np.uint32)
    slots = np.empty(0, dtype=np.int64)
    for b in range(low, high):
        done = cursor[b]
        for i in range(done, bounds[b + 1]):
            begin = first[i]
            if begin >= stop:
                break
            end = begin + degree[i]
            if end <= stop:
                done = i + 1
            if end <= base or fanout == 0:
                continue
            out = place[i]
            if fanout < 0 or degree[i] <= fanout:
                for e in range(max(begin, base), min(end, stop)):
                    source[out + e - begin] = chunk[e - base]
                continue
            if len(drawn) < fanout:  # not before it is needed: a fan-out may exceed all degrees
                drawn = np.empty(fanout, dtype=np.uint32)
                slots = np.empty(num_slots(fanout), dtype=np.int64)
            state = mix(keys[b] ^ mix(np.uint64(nodes[i]) + STEP))
            draw_distinct(state, degree[i], drawn, slots)
            for j in range(fanout):
                e = begin + np.int64(drawn[j])
                if base <= e < stop:
                    source[out + j] = chunk[e - base]
        cursor[b] = done


@compiled
def localize(source: Array, table: Array) -> None:
    """Replaces nodes by their local ids."""
    for e in range(len(source)):
        source[e] = table[np.uint64(source[e])]
