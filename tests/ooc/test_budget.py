"""Memory is reckoned before training and kept to while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.errors import GraphkitError, SettingError, TrainingError
from graphkit.ooc import budget as module
from graphkit.ooc.budget import Budget, Watchdog, reckon, resident_bytes
from graphkit.ooc.buffers import private
from graphkit.ooc.disk import aligned
from graphkit.ooc.packed_nodes import PackedNodes
from graphkit.ooc.store import Store
from tests.ooc.packed import packed, undirected
from tests.ooc.stores import make_store, random_edges

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


@pytest.mark.parametrize("make", [private, aligned])
def test_resident_bytes_counts_what_is_touched(make: object) -> None:
    before = resident_bytes()
    assert before is not None
    memory = make(32 * MIB)  # type: ignore[operator]
    assert (resident_bytes() or 0) - before < 4 * MIB
    np.frombuffer(memory, np.uint8)[:] = 1
    assert 28 * MIB < (resident_bytes() or 0) - before < 40 * MIB


def test_a_budget_adds_up() -> None:
    budget = Budget(
        memory=1000, baseline=100, reserve=50, tables=10, buffer=40, raw=30, buffers=4, under_way=2
    )
    assert budget.needed == 100 + 50 + 10 + 160 + 60
    assert budget.room == 950 - 380
    assert budget.slack == 50
    for word in ("380 B", "process 100 B", "4 batches of 40 B"):
        assert word in str(budget)


def test_fewer_batches_ahead_before_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "resident_bytes", lambda: 10 * MIB)
    _, store = undirected(tmp_path / "s", columns=300)
    plan = packed(store).plan
    free = reckon(store, [plan], memory=None, reserve=MIB)
    assert (free.buffers, free.under_way) == (4, 2)
    columns = 300
    most = max(int(n) for n in plan.num_ids())
    assert (
        most * columns * 4
        < free.buffer
        < most * (columns * 4 + 8) + plan.totals["most_edges"] * 16 + 200
    )
    assert most * columns * 4 < free.raw
    found = []
    for memory in (free.needed, free.needed - free.buffer, free.needed - free.buffer - free.raw):
        way = reckon(store, [plan], memory=int(memory / 0.95) + 2, reserve=MIB)
        found.append((way.buffers, way.under_way))
        assert way.room >= 0
    assert found == [(4, 2), (3, 2), (3, 1)]
    least = free.needed - free.buffer - free.raw
    with pytest.raises(SettingError, match="training on this plan takes at least"):
        reckon(store, [plan], memory=int(least / 0.95) - 100, reserve=MIB)


def test_watchdog_lowers_once_and_then_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter([500, 960, 980, 990, 1001])
    monkeypatch.setattr(module, "resident_bytes", lambda: next(held))
    told: list[str] = []
    errors: list[GraphkitError] = []
    dog = Watchdog(1000, lambda: told.append("lower"), errors.append)
    for expected in (0, 0, 1, 1, 1):
        dog.look()
        assert len(told) == expected
    assert dog.peak == 1001
    [error] = errors
    assert isinstance(error, TrainingError)
    assert "1001 B" in str(error)


def test_watchdog_looks_and_ends_with_its_block() -> None:
    before = threading.active_count()
    with Watchdog(None, lambda: None, lambda error: None, every=0.01) as dog:
        time.sleep(0.05)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert dog.peak > 10 * MIB


def test_peak_is_on_the_meter(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    batching = PackedNodes(store, {"train": packed(store)})
    for _ in store.problem(batching).batches("train"):
        pass
    assert abs(batching.meter.peak_bytes - (resident_bytes() or 0)) < 64 * MIB


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """100 MB of features."""
    nodes = 200_000
    train = torch.randperm(nodes, generator=torch.Generator().manual_seed(0))[:6000]
    path = tmp_path_factory.mktemp("large")
    return make_store(path, random_edges(nodes, 1_200_000), nodes, train=train, columns=128)


def test_training_keeps_to_its_budget(large: Store) -> None:
    """All that the process holds, interpreter included, while it draws, packs and trains."""
    found = []
    for megabytes in (65, 80, 110):
        done = subprocess.run(
            [sys.executable, "-m", "tests.ooc.within", str(large.path), str(megabytes)],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(done.stdout))
    features = large.arrays["node/x"].num_bytes
    for row in found:
        assert row["peak"] <= row["memory"], row["budget"]
        assert row["seen"] <= row["peak"] + MIB
        assert row["needed"] <= row["memory"]
        assert row["cached_rows"] * 512 < features
    assert found[0]["cached_rows"] < found[1]["cached_rows"] <= found[2]["cached_rows"]
    assert found[0]["memory"] - found[0]["start"] < features * 0.7
