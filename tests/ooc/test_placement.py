"""How much a cache serves, and what it needs: against brute force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.errors import SettingError
from graphkit.ooc.placement import Curve, cached_ids, place
from graphkit.ooc.plan import Plan
from graphkit.ooc.residency import members
from graphkit.ooc.sample_ahead import sample_ahead
from graphkit.ooc.shared_rows import share, stored_rows
from graphkit.ooc.sizes import parse_bytes
from graphkit.ooc.store import Store
from tests.ooc.stores import make_store, random_edges

COUNTS = np.array([0, 3, 1, 3, 7, 0, 1, 1], dtype=np.uint32)


@pytest.fixture
def world(tmp_path: Path) -> tuple[Store, Plan]:
    train = torch.randperm(600, generator=torch.Generator().manual_seed(1))[:101]
    store = make_store(tmp_path / "store", random_edges(600, 4000), 600, train=train)
    return store, sample_ahead(store, (4, 3), 20, seed=3)


def test_the_curve_of_eight_nodes_by_hand() -> None:
    """Seven, three and three, one three times: 0, 7, 10, 13, 14, 15, 16."""
    curve = Curve.of(COUNTS)
    assert [curve.served(rows) for rows in range(9)] == [0, 7, 10, 13, 14, 15, 16, 16, 16]
    assert (curve.accesses, curve.distinct) == (16, 6)
    assert [curve.rows_for(n) for n in (0, 1, 7, 8, 10, 13, 14, 16)] == [0, 1, 1, 2, 2, 3, 4, 6]


def test_nothing_wanted_is_a_flat_curve() -> None:
    curve = Curve.of(np.zeros(4, dtype=np.uint32))
    assert (curve.accesses, curve.distinct, curve.served(3), curve.rows_for(2)) == (0, 0, 0, 0)


def test_the_curve_is_exact(world: tuple[Store, Plan]) -> None:
    _, plan = world
    counts, curve = plan.counts(), Curve.of(plan.counts())
    falling = np.sort(counts)[::-1].astype(np.int64)
    assert [curve.served(rows) for rows in range(601)] == [0, *np.cumsum(falling)]
    for wanted in range(0, curve.accesses, 17):
        rows = curve.rows_for(wanted)
        assert curve.served(rows) >= wanted
        assert rows == 0 or curve.served(rows - 1) < wanted


def test_equally_hot_rows_are_taken_by_id(world: tuple[Store, Plan]) -> None:
    store, plan = world
    draft = place(store, plan, memory=1 << 30)
    counts = plan.counts()
    by_heat = sorted(range(600), key=lambda v: (-int(counts[v]), v))
    for device, host in ((0, 0), (0, 50), (7, 50), (7, 0), (0, 600), (1, 1)):
        chosen = replace(draft, device_rows=device, host_rows=host)
        ids = cached_ids(counts, Curve.of(counts), chosen).tolist()
        wanted = [v for v in by_heat if counts[v]]
        assert ids == sorted(wanted[:device]) + sorted(wanted[device : device + host])


def test_memory_decides_on_the_cache(world: tuple[Store, Plan]) -> None:
    store, plan = world
    whole = place(store, plan, memory=1 << 30)
    assert whole.cached_rows == Curve.of(plan.counts()).distinct
    assert (whole.cold_rows, whole.hit_rate) == (0, 1.0)
    fixed = whole.memory_bytes - whole.host_rows * 20
    some = place(store, plan, memory=fixed + 20 * 100 + 19)
    assert (some.host_rows, some.span) == (100, 0)
    assert some.memory_bytes == fixed + 2000
    counts = np.sort(plan.counts())[::-1].astype(int)
    assert some.cold_rows == counts[100:].sum() == some.stored_rows
    both = place(store, plan, memory=fixed + 2000, device_memory=20 * 30 + 1)
    assert (both.device_rows, both.host_rows) == (30, 100)
    assert both.cold_rows == counts[130:].sum()
    kept = place(store, plan, memory=fixed + 2000, cached_rows=7, reserve=1000)
    assert (kept.host_rows, kept.memory_bytes) == (7, fixed + 1140)


def test_too_little_memory_is_refused_with_what_would_do(world: tuple[Store, Plan]) -> None:
    store, plan = world
    fixed = place(store, plan, memory=1 << 30, cached_rows=0).memory_bytes
    with pytest.raises(SettingError, match="before a row is cached") as caught:
        place(store, plan, memory=fixed - 1)
    named = str(caught.value).split("takes ")[1].split(" before")[0]
    assert abs(parse_bytes(named) - fixed) < fixed * 0.01
    assert place(store, plan, memory=fixed).host_rows == 0
    with pytest.raises(SettingError, match="has room for 3"):
        place(store, plan, memory=fixed + 79, cached_rows=4)


def test_stored_rows_against_brute_force(world: tuple[Store, Plan]) -> None:
    _, plan = world
    hot = members(np.arange(0, 600, 5), plan.num_nodes)
    batches = [set(plan.ids(b).tolist()) - set(range(0, 600, 5)) for b in range(plan.num_batches)]
    spans = [1, 2, 3, 5, 100]
    expected = [
        sum(len(set().union(*batches[at : at + span])) for at in range(0, len(batches), span))
        for span in spans
    ]
    assert stored_rows(plan, hot, spans) == expected


def test_shared_rows_are_those_wanted_twice_in_min_hash_order(world: tuple[Store, Plan]) -> None:
    _, plan = world
    hot = members(np.array([9, 3, 5]), plan.num_nodes)
    span = share(plan, hot, 2, 6)
    batches = [set(plan.ids(b).tolist()) for b in range(2, 6)]
    users = {v: tuple(b for b in range(4) if v in batches[b]) for v in range(600)}
    shared = {v for v in users if len(users[v]) > 1} - {3, 5, 9}
    assert set(span.ids.tolist()) == shared
    assert len(span.ids) == len(shared) == len(span.members)
    runs: dict[tuple[int, ...], list[int]] = {}
    for place_, v in enumerate(span.ids.tolist()):
        runs.setdefault(users[v], []).append(place_)
    for places in runs.values():  # wanted by the same batches: close together, by id
        ids = span.ids[places].tolist()
        assert ids == sorted(ids)
    everyone = runs[(0, 1, 2, 3)]
    assert everyone[-1] - everyone[0] < len(shared)
    again = share(plan, hot, 2, 6)
    assert np.array_equal(again.ids, span.ids)


def test_a_cap_on_the_disk_makes_batches_share(world: tuple[Store, Plan]) -> None:
    store, plan = world
    free = place(store, plan, memory=1 << 30, cached_rows=40)
    capped = place(store, plan, memory=1 << 30, cached_rows=40, disk=free.disk_bytes - 1)
    assert free.span == 0
    assert capped.span > 1
    assert capped.disk_bytes < free.disk_bytes
    assert capped.cold_rows == free.cold_rows > capped.stored_rows


def test_too_little_disk_is_refused_with_what_would_do(world: tuple[Store, Plan]) -> None:
    store, plan = world
    with pytest.raises(SettingError, match=r"What would fit: .* of disk where batches") as caught:
        place(store, plan, memory=1 << 30, cached_rows=0, disk=100_000)
    assert "float16" in str(caught.value)
    named = parse_bytes(str(caught.value).split("fit: ")[1].split(" of disk")[0])
    assert place(store, plan, memory=1 << 30, cached_rows=0, disk=int(named * 1.01)).span
