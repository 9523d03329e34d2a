"""The stream whose answer is known."""

from __future__ import annotations

import pytest
import torch

from graphkit.data.prepare import fingerprint
from graphkit.data.sources import favourites
from graphkit.errors import UnknownName


def test_a_sources_favourite_gets_its_share() -> None:
    problem = favourites.events(None, 0, "events-small")
    data = problem.data
    assert problem.split.sizes()["train"] == pytest.approx(7_000, abs=5)
    counts = torch.zeros(200, data.num_nodes, dtype=torch.long)
    counts.index_put_((data.src, data.dst), torch.ones(10_000, dtype=torch.long), accumulate=True)
    top = counts.max(dim=1).values.sum().item() / 10_000
    assert top == pytest.approx(0.8 + 0.2 / 100, abs=0.01)
    assert problem.batching.negatives.low == 200
    assert data.msg.mean().item() == pytest.approx(0.8, abs=0.01)
    assert bool((data.t.diff() >= 0).all())


def test_a_seed_stands_for_its_stream() -> None:
    first = fingerprint(favourites.favourites(500))
    assert fingerprint(favourites.favourites(500)) == first
    assert fingerprint(favourites.favourites(500, seed=7)) != first


def test_unknown_streams_are_told() -> None:
    with pytest.raises(UnknownName, match="unknown synthetic stream"):
        favourites.events(None, 0, "tiny")
