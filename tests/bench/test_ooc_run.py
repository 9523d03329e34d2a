"""Runs on a store: what records call them, and that nothing goes on behind afterwards."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from graphkit.bench.ooc_run import config_of, one_then_all, prepared_for, trained
from graphkit.bench.presets import NODES
from graphkit.bench.stored import FreshReading, Reading, StoredProblem, reading_of
from graphkit.errors import SettingError
from graphkit.ooc import PackedNodes, Refreshed, make_ready, make_refreshed
from graphkit.ooc.store import Store
from graphkit.train import GradientUpdate, describe
from tests.ooc.packed import FANOUTS, SIZE, undirected

WORDS: dict[str, Any] = {"fanouts": FANOUTS, "batch_size": SIZE, "memory": 8 << 30, "threads": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return undirected(tmp_path / "s")[1]


def name_of(batching: PackedNodes | Refreshed) -> str:
    return StoredProblem(batching).__name__


def run(batching: PackedNodes | Refreshed, tmp_path: Path, epochs: int = 3) -> Any:
    return trained(
        batching, "graphsage-ooc", prepared_for(batching.store, "graphsage"), epochs=epochs,
        lr=None, seed=0, results=tmp_path / "results", keep_models=False, device="cpu",
        threads=1, watch=lambda event: None,
    )  # fmt: skip


def at_work() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "graphkit-refresh"]


def test_names_say_which_batches_are_drawn(store: Store) -> None:
    ready = make_ready(store, **WORDS)
    assert name_of(ready) == f"{store.name}-{ready.parts['train'].plan_id[:8]}"
    fresh = [make_refreshed(store, **WORDS, every=every) for every in (1, 2)]
    ring = fresh[0].ring.ring_id[:8]
    assert [name_of(each) for each in fresh] == [f"{store.name}-{ring}-every{k}" for k in (1, 2)]
    # A ring is named by what is drawn of the training part, and so needs no other part.
    alone = make_refreshed(store, **WORDS, every=1, parts=("train",))
    assert name_of(alone) == name_of(fresh[0])
    larger = make_refreshed(store, **WORDS, every=1, sampled_epochs=2)
    assert name_of(larger) != name_of(fresh[0])


def test_settings_of_a_reading(store: Store) -> None:
    """Those of plans drawn once are as they were: records on disk stay valid."""
    assert describe(reading_of(make_ready(store, **WORDS))) == {"name": "Reading"}
    fresh = make_refreshed(store, **WORDS, every=2)
    found = reading_of(fresh)
    assert isinstance(found, FreshReading)
    told = describe(found)
    assert told["ring_id"] == fresh.ring.ring_id
    assert told["rotation"]["every"] == 2
    assert isinstance(found, Reading)


def test_a_run_measures_what_all_plans_gave(store: Store, tmp_path: Path) -> None:
    fresh = make_refreshed(store, **WORDS, every=1, epochs=3)
    record = run(fresh, tmp_path)
    assert record["status"] == "done"
    batches = {part: -(-len(store.split.part(part)) // SIZE) for part in ("train", "val", "test")}
    scored = 3 * batches["val"] + 2 * batches["test"]
    assert record["measures"]["batches"] == 3 * batches["train"] + scored
    assert record["measures"]["peak_memory_bytes"] > 0
    assert fresh.ring.slots() == [1, 2]
    assert not at_work()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_work_behind_ends_whatever_happens(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    fresh = make_refreshed(store, **WORDS, every=1)
    begun = threading.Event()

    def endless(self: Any, slot: int, keep: Any, watch: Any) -> None:
        begun.set()
        while True:  # until the watch raises, because nobody waits any more
            watch("sample", 0, 1)
            time.sleep(0.01)

    def step(self: GradientUpdate, batch: Any) -> dict[str, float]:
        assert begun.wait(30)
        assert at_work()
        raise error("stop")

    monkeypatch.setattr(type(fresh.ring), "make", endless)
    monkeypatch.setattr(GradientUpdate, "__call__", step)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            run(fresh, tmp_path)
    else:
        assert run(fresh, tmp_path)["error"]["message"] == "stop"
    assert not at_work()


def test_alone_it_is_made_ready_once() -> None:
    made: list[int] = []

    def ready() -> Any:
        made.append(1)
        return made

    assert one_then_all(ready) is made
    assert made == [1]


def test_settings_are_refused_without_a_store() -> None:
    assert config_of(7).epochs == 7
    assert (config_of(7).lr, config_of(7, 0.5).lr) == (NODES.lr, 0.5)
    assert config_of(7).stop is None
    with pytest.raises(SettingError, match="epochs=0; expected at least 1"):
        config_of(0)
