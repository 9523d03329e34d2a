"""One call from a store to a batching: found again, gone on with, refused with what would fit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from graphkit.data.batching import SampledNodes
from graphkit.data.split import Split
from graphkit.errors import DataError, SettingError, StorageError, UnknownName
from graphkit.ooc import ready as module
from graphkit.ooc.budget import resident_bytes
from graphkit.ooc.estimate import estimate
from graphkit.ooc.inputs import of_problem
from graphkit.ooc.packed_nodes import PackedNodes
from graphkit.ooc.prepare import prepare
from graphkit.ooc.ready import make_ready, open_ready
from graphkit.ooc.store import Store
from tests.ooc.fault_layer import killed_at, tree
from tests.ooc.graphs import random_problem
from tests.ooc.packed import FANOUTS, SIZE, fitted, undirected

ROOT = Path(__file__).parents[2]
MEMORY = 8 << 30


def ready(store: Store, **words: Any) -> PackedNodes:
    return make_ready(store, **{"fanouts": FANOUTS, "batch_size": SIZE, "memory": MEMORY, **words})


def names(batching: PackedNodes) -> dict[str, tuple[str, str]]:
    return {part: (each.plan_id, each.pack_id) for part, each in batching.parts.items()}


def content(store: Store) -> dict[str, bytes]:
    return {name: raw for name, raw in tree(store.path).items() if not name.endswith(".lock")}


def test_trains_as_in_memory(tmp_path: Path) -> None:
    memory, store = undirected(tmp_path / "s")
    batching = ready(store)
    assert fitted(store.problem(batching)).history == fitted(memory).history
    train = batching.parts["train"]
    assert train.pack.cached_rows == len(
        set().union(*(train.plan.ids(n).tolist() for n in range(train.plan.num_batches)))
    )
    assert {part: each.plan.sampled_epochs for part, each in batching.parts.items()} == {
        "train": 2, "val": 1, "test": 1,
    }  # fmt: skip
    assert batching.parts["val"].pack.cached_rows == 0


def test_scoring_may_have_larger_batches(tmp_path: Path) -> None:
    memory, store = undirected(tmp_path / "s")
    batching = ready(store, score_batch_size=500)
    [batch] = store.problem(batching).batches("val")
    assert batch.batch_size == len(memory.split.val)
    large = replace(memory, batching=SampledNodes(FANOUTS, 500))
    small = replace(memory, batching=SampledNodes(FANOUTS, SIZE))
    expected = fitted(large, batching=small.batching)
    assert fitted(store.problem(batching)).history == expected.history


def test_the_engine_is_handed_on_and_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store = undirected(tmp_path / "s")
    shutil.copytree(store.path, tmp_path / "t")
    other = Store.open(tmp_path / "t")
    real, asked = module.sample_ahead, []

    def noted(*words: Any, **named: Any) -> Any:
        asked.append(named["engine"])
        return real(*words, **named)

    monkeypatch.setattr(module, "sample_ahead", noted)
    ready(store, cached_rows=100)
    ready(other, cached_rows=100, engine="scan")
    assert asked == ["auto"] * 3 + ["scan"] * 3
    assert content(other) == content(store)
    with pytest.raises(SettingError, match="engine = 'tape'; expected auto, memory or scan"):
        ready(store, engine="tape")


def test_every_public_name_loads() -> None:
    import graphkit.ooc

    for name in graphkit.ooc.__all__:
        assert getattr(graphkit.ooc, name).__name__ == name
    named = [name for names in graphkit.ooc._HOMES.values() for name in names]
    assert sorted(named) == sorted(graphkit.ooc.__all__)


def test_the_same_words_find_what_they_made(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    first = ready(store)
    before = content(store)
    told: list[str] = []
    again = ready(store, watch=lambda stage, done, total: told.append(stage))
    assert names(again) == names(first)
    assert content(store) == before
    assert told == []


def test_the_same_pack_when_the_process_holds_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache that was chosen stays as long as it fits; another size would be another pack."""
    _, store = undirected(tmp_path / "s", columns=512)
    base = 8 << 20
    held = base
    monkeypatch.setattr(module, "resident_bytes", lambda: held)
    monkeypatch.setattr("graphkit.ooc.budget.resident_bytes", lambda: held)
    reserve = 1 << 20
    bare = ready(store, reserve=reserve, cached_rows=0).budget
    assert bare is not None
    memory = int((bare.needed + 600 * 2048) / 0.95)
    first = ready(store, memory=memory, reserve=reserve)
    rows = first.parts["train"].pack.cached_rows
    assert 590 < rows <= 600
    held = base + (1 << 19)  # less than is left aside
    again = ready(store, memory=memory, reserve=reserve)
    assert names(again) == names(first)
    assert again.budget is not None
    assert again.budget.needed <= memory
    fewer = bare.buffer + bare.raw  # what is given up before rows are
    held = base + again.budget.slack + fewer + (1 << 15)
    third = ready(store, memory=memory, reserve=reserve)
    assert third.parts["train"].pack.cached_rows < rows
    held = base  # with a little more memory, a pack that is there is nearly as good as a new one
    assert names(ready(store, memory=memory + (100 << 10), reserve=reserve)) == names(first)
    more = ready(store, memory=memory + (1 << 20), reserve=reserve)
    assert more.parts["train"].pack.cached_rows > rows + 400


@pytest.mark.parametrize("at", [3, 20, 45, 80, 120, 160])
def test_killed_on_the_way_the_same_words_end_with_the_same_bytes(tmp_path: Path, at: int) -> None:
    _, store = undirected(tmp_path / "s")
    shutil.copytree(store.path, tmp_path / "t")
    other = Store.open(tmp_path / "t")
    ready(store, cached_rows=100)
    assert killed_at(at, lambda: ready(other, cached_rows=100))
    ready(other, cached_rows=100)
    assert content(other) == content(store)


def test_too_little_memory_is_refused_with_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store = undirected(tmp_path / "s", columns=200)
    with pytest.raises(SettingError, match=r"the process holds .* expected clearly more"):
        ready(store, memory=1 << 20)
    held = resident_bytes() or 0
    with pytest.raises(SettingError, match=r"takes at least [\d.]+ GiB .*work 1.0 GiB"):
        ready(store, memory=held + (100 << 20), reserve=1 << 30)
    found = ready(store)
    assert found.budget is not None
    memory = int((found.budget.needed - found.budget.cache) / 0.95) + (64 << 10)
    bare = found.budget.needed - found.budget.cache - found.budget.baseline
    monkeypatch.setattr("graphkit.ooc.budget.resident_bytes", lambda: memory * 95 // 100 - bare)
    with pytest.raises(SettingError, match="with these packs takes"):
        open_ready(store, names(found), memory=memory, reserve=found.budget.reserve)


def test_too_little_disk_is_refused_with_what_would_do(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s", columns=200)
    with pytest.raises((SettingError, StorageError), match="What would fit"):
        ready(store, disk=1 << 20, cached_rows=0)


def test_packs_that_are_there_are_opened_by_name(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    found = ready(store)
    opened = open_ready(store, names(found))
    assert opened == found
    first, second = (next(store.problem(each).batches("test")) for each in (found, opened))
    assert torch.equal(first.x, second.x)
    with pytest.raises(UnknownName, match="plan"):
        open_ready(store, {"train": ("0" * 16, "0" * 16)})


def test_what_was_made_for_a_memory_is_opened_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ``make_ready`` finds its pack again, ``open_ready`` takes it; elsewhere it must fit."""
    _, store = undirected(tmp_path / "s", columns=512)
    held = base = 8 << 20
    monkeypatch.setattr(module, "resident_bytes", lambda: held)
    monkeypatch.setattr("graphkit.ooc.budget.resident_bytes", lambda: held)
    reserve = 1 << 20
    bare = ready(store, reserve=reserve, cached_rows=0).budget
    assert bare is not None
    memory = int((bare.needed + 600 * 2048) / 0.95)
    made = names(ready(store, memory=memory, reserve=reserve))
    held = base + (1 << 19)  # less than is left aside
    assert names(ready(store, memory=memory, reserve=reserve)) == made
    opened = open_ready(store, made, memory=memory, reserve=reserve)
    assert opened.budget is not None
    assert -opened.budget.slack <= opened.budget.room < 0
    for other, kept in ((memory - 4096, reserve), (memory, reserve + 4096)):
        with pytest.raises(SettingError, match="with these packs takes"):
            open_ready(store, made, memory=other, reserve=kept)
    held = base + opened.budget.slack + (1 << 16)
    with pytest.raises(SettingError, match="with these packs takes"):
        open_ready(store, made, memory=memory, reserve=reserve)
    for path in store.path.glob("plans/*/packs/placement-*.json"):
        path.write_bytes(b"{}")  # damaged: nothing is known of what it was made for
    held = base + (1 << 19)
    with pytest.raises(SettingError, match="with these packs takes"):
        open_ready(store, made, memory=memory, reserve=reserve)


def test_hidden_nodes_are_refused_before_any_work(tmp_path: Path) -> None:
    problem = random_problem(300, 900)
    split = problem.split
    hidden = Split(split.train, split.val, split.test[5:], split.test[:5])
    store = prepare(of_problem(replace(problem, split=hidden)), tmp_path / "s", memory=16 << 20)
    with pytest.raises(DataError, match="5 hidden nodes"):
        ready(store)
    assert not (store.path / "plans").exists()


def test_estimate_is_near_what_is_made(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s", columns=64)
    before = content(store)
    told = estimate(store, fanouts=FANOUTS, batch_size=SIZE, seconds=0.1)
    assert content(store) == before
    made = ready(store, cached_rows=0)
    assert told.batches == sum(each.plan.num_batches for each in made.parts.values())
    train = made.parts["train"].plan
    assert abs(told.batch_nodes / (train.totals["nodes"] / train.num_batches) - 1) < 0.2
    disk = sum(
        each.pack.totals["disk_bytes"] + each.plan.totals["topology_bytes"]
        for each in made.parts.values()
    )
    assert abs(told.disk_bytes / disk - 1) < 0.35  # batches this small waste much of their pages
    assert told.read_rate > 0
    assert told.cache_bytes == 1200 * 256


def processes(store: Path, folder: Path, *steps: int) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.ooc.killed", str(store), str(folder), "SIGKILL", "0"]
        + [str(step) for step in steps],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_training_killed_at_any_step_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Two fits of 4 epochs of 9 steps: killed in a drawn epoch, in a replayed one, at an end."""
    _, store = undirected(tmp_path / "s")
    steps = (4, 9, 24, 50)
    *killed, unbroken = processes(store.path, tmp_path / "f", *steps)
    batches = -(-len(store.split.train) // SIZE)
    assert unbroken["told"].pop("steps") == 8 * batches
    for row, step in zip(killed, steps, strict=True):
        assert row["first"] == -9
        assert row["second"] == 0
        assert row["told"].pop("steps") == 8 * batches - step + 1
        assert row["told"] == unbroken["told"]
