"""The part of many frontiers that a scan expands at a time, in arrays side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphkit.kernels import Array

__all__ = ["Pairs", "Window"]


@dataclass(eq=False)
class Pairs:
    """Parts of the frontiers of all batches of a group side by side, each in ascending order.

    Args:
        bounds: Where the pairs of each batch begin, and their end.
        nodes: Node of each pair.
        first: Where its list of in-edges begins, once that is known.
        degree: Length of the list.
    """

    bounds: Array
    nodes: Array
    first: Array
    degree: Array

    @classmethod
    def of(cls, frontiers: Sequence[Array]) -> Pairs:
        """Puts frontiers side by side."""
        bounds = np.cumsum([0, *map(len, frontiers)])
        nodes = np.concatenate(frontiers)
        size = len(nodes)
        return cls(bounds, nodes, np.zeros(size, np.int64), np.zeros(size, np.int64))


@dataclass(frozen=True, eq=False)
class Window:
    """Some batches, and of the frontier of each a run: its nodes from ``low`` to below ``high``.

    Args:
        batches: Their numbers in the group.
        frontiers: The run of each, in ascending order.
        low: First node.
        high: End of the nodes.
    """

    batches: tuple[int, ...]
    frontiers: tuple[Array, ...]
    low: int
    high: int

    @property
    def size(self) -> int:
        """Pairs of node and batch."""
        return sum(map(len, self.frontiers))

    def halves(self) -> tuple[Window, Window] | None:
        """Returns two windows in its place, of half the nodes or of half the batches each; ``None``
        if it is of one node and batch."""
        if self.high - self.low > 1:
            longest = max(self.frontiers, key=len)
            middle = max(int(longest[len(longest) // 2]), self.low + 1)
            cuts = [int(np.searchsorted(each, middle)) for each in self.frontiers]
            pairs = list(zip(self.frontiers, cuts, strict=True))
            below, above = ([f[:c] for f, c in pairs], [f[c:] for f, c in pairs])
            return (
                Window(self.batches, tuple(below), self.low, middle),
                Window(self.batches, tuple(above), middle, self.high),
            )
        if len(self.batches) > 1:
            half = len(self.batches) // 2
            parts = (slice(half), slice(half, None))
            first, second = (
                Window(self.batches[part], self.frontiers[part], self.low, self.high)
                for part in parts
            )
            return first, second
        return None
