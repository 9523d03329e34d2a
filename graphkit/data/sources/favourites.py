"""A stream made here, whose answer is known: it comes from ``DATA_SEED`` alone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch_geometric.data import TemporalData

from graphkit.data.fetch import Raw
from graphkit.data.problem import Problem
from graphkit.data.sources.interactions import numbered, stream_problem
from graphkit.data.sources.synthetic import DATA_SEED
from graphkit.errors import unknown_name
from graphkit.seeds import stream

__all__ = ["events", "favourites", "files"]


def files(*_: str) -> tuple[Raw, ...]:
    """Lists no raw file: all is made here."""
    return ()


def favourites(
    num_events: int,
    *,
    num_sources: int = 200,
    num_items: int = 100,
    loyal: float = 0.8,
    seed: int = DATA_SEED,
) -> TemporalData:
    """Draws a stream in which each source has one favourite item.

    Args:
        num_events: Number of events.
        num_sources: Sources, numbered first; each event's is drawn evenly.
        num_items: Items, numbered behind them.
        loyal: Share of the events that go to the favourite; the others go to any item.
        seed: Decides on everything.

    Returns:
        Times from 0, on average 60 apart; ``msg`` says whether the event went to the favourite.
        Remembering pairs is all there is to learn: it ranks a ``loyal`` share of events first.
    """
    generator = stream(seed, "favourites")
    favourite = torch.randint(num_items, (num_sources,), generator=generator)
    src = torch.randint(num_sources, (num_events,), generator=generator)
    other = torch.randint(num_items, (num_events,), generator=generator)
    to_favourite = torch.rand(num_events, generator=generator) < loyal
    item = torch.where(to_favourite, favourite[src], other)
    gap = torch.empty(num_events).exponential_(1 / 60, generator=generator).long()
    t = gap.cumsum(0)
    src, dst = numbered(src, item + num_sources)
    return TemporalData(src=src, dst=dst, t=t - t[0], msg=to_favourite.float()[:, None])


EVENTS = {"events-small": 10_000}


def events(root: Path | None, seed: int, size: str) -> Problem:
    """Which item comes next, where 4 of 5 events go to the source's favourite.

    Args:
        root: Not read.
        seed: Seeds the draws of training alone.
        size: ``events-small`` (10,000 events).
    """
    if size not in EVENTS:
        raise unknown_name("synthetic stream", size, EVENTS)
    return stream_problem(f"synthetic/{size}", favourites(EVENTS[size]))
