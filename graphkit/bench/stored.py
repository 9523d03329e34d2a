"""A run on a store: the problem behind it, and what reading it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphkit.data.problem import Problem
from graphkit.models.base import Model
from graphkit.ooc.packed_nodes import PackedNodes

__all__ = ["Reading", "StoredProblem"]


@dataclass(frozen=True, eq=False)
class StoredProblem:
    """The problem of a store with its packs, as an experiment asks for it.

    Args:
        batching: What reads them.
    """

    batching: PackedNodes

    @property
    def __name__(self) -> str:
        """What records call the problem: the store's name and which batches were drawn."""
        plan = next(iter(self.batching.parts.values())).plan_id
        return f"{self.batching.store.name}-{plan[:8]}"

    def __call__(self, seed: int) -> Problem:
        """Returns the problem for a seed."""
        return self.batching.store.problem(self.batching, seed)


@dataclass(frozen=True)
class Reading:
    """Adds to a record what was read, how fast, and how long training waited for it.

    Args:
        batching: What has read.
    """

    batching: PackedNodes = field(compare=False, repr=False)

    def __call__(self, model: Model, problem: Problem) -> Mapping[str, float]:
        """Returns the columns."""
        meter = self.batching.meter
        seconds = max(meter.seconds, 1e-9)
        return {
            "batches": float(meter.batches),
            "read_bytes": float(meter.read_bytes),
            "read_bytes_per_second": meter.read_bytes / seconds,
            "stall_share": meter.waited / seconds,
            "peak_memory_bytes": float(meter.peak_bytes),
        }
