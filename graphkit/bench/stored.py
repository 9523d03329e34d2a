"""A run on a store: the problem behind it, and what reading it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from graphkit.data.problem import Problem
from graphkit.models.base import Model
from graphkit.ooc.packed_nodes import PackedNodes
from graphkit.ooc.refresh import Refreshed
from graphkit.ooc.ring import Rotation

__all__ = ["FreshReading", "ReadAhead", "Reading", "StoredProblem", "reading_of"]

ReadAhead: TypeAlias = PackedNodes | Refreshed


@dataclass(frozen=True, eq=False)
class StoredProblem:
    """The problem of a store with what was drawn ahead, as an experiment asks for it.

    Args:
        batching: What reads it.
    """

    batching: ReadAhead

    @property
    def __name__(self) -> str:
        """What records call the problem: the store's name and which batches are drawn."""
        batching = self.batching
        if isinstance(batching, Refreshed):
            ring, every = batching.ring.ring_id, batching.rotation.every
            return f"{batching.store.name}-{ring[:8]}-every{every}"
        plan = next(iter(batching.parts.values())).plan_id
        return f"{batching.store.name}-{plan[:8]}"

    def __call__(self, seed: int) -> Problem:
        """Returns the problem for a seed."""
        return self.batching.store.problem(self.batching, seed)


@dataclass(frozen=True)
class Reading:
    """Adds to a record what was read, how fast, and how long training waited for it.

    Args:
        batching: What has read.
    """

    batching: ReadAhead = field(compare=False, repr=False)

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


@dataclass(frozen=True)
class FreshReading(Reading):
    """The same of batches that are drawn anew; its settings say which.

    Args:
        batching: What has read.
        rotation: What is drawn and how often it is used.
        ring_id: Name of the ring below ``rings`` of the store.
    """

    rotation: Rotation
    ring_id: str


def reading_of(batching: ReadAhead) -> Reading:
    """Returns what adds to a record how batches were read."""
    if isinstance(batching, Refreshed):
        return FreshReading(batching, batching.rotation, batching.ring.ring_id)
    return Reading(batching)
