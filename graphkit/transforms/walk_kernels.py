"""Compiled look-ups of edges among the nodes of walks: each in the short list of one node's edges.

The same look-ups in one sorted list of all edges or members wait for memory at every step.
"""

from __future__ import annotations

from graphkit.kernels import Array, compiled

__all__ = ["count_inside", "linked", "write_inside"]


@compiled
def _first(sorted_ids: Array, low: int, high: int, wanted: int) -> int:
    """Place of the first entry in ``low`` to ``high`` that is not below ``wanted``."""
    while low < high:
        middle = (low + high) >> 1
        if sorted_ids[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def linked(start: Array, source: Array, now: Array, before: Array, found: Array) -> None:
    """Writes for each pair whether there is an edge from ``now`` to ``before``."""
    for i in range(len(now)):
        end = start[before[i] + 1]
        at = _first(source, start[before[i]], end, now[i])
        found[i] = at < end and source[at] == now[i]


@compiled
def count_inside(start: Array, source: Array, node: Array, token: Array, offsets: Array) -> None:
    """Writes where the edges into each member from members of its token begin."""
    total, low, high = 0, 0, 0
    for i in range(len(node)):
        if i == high:  # the next token's members
            low = i
            while high < len(node) and token[high] == token[low]:
                high += 1
        offsets[i] = total
        at, end = start[node[i]], start[node[i] + 1]
        for j in range(low, high):
            at = _first(source, at, end, node[j])
            while at < end and source[at] == node[j]:
                at += 1
                total += 1
    offsets[len(node)] = total


@compiled
def write_inside(
    start: Array, source: Array, order: Array, node: Array, token: Array, ends: Array, edge: Array
) -> None:
    """Writes those edges as places in the list of members, and their numbers."""
    total, low, high = 0, 0, 0
    for i in range(len(node)):
        if i == high:
            low = i
            while high < len(node) and token[high] == token[low]:
                high += 1
        at, end = start[node[i]], start[node[i] + 1]
        for j in range(low, high):
            at = _first(source, at, end, node[j])
            while at < end and source[at] == node[j]:
                ends[0, total], ends[1, total], edge[total] = j, i, order[at]
                at += 1
                total += 1
