"""A ring of plans: fresh samples in every epoch, two on disk, whatever happens meanwhile."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from graphkit.data.problem import Problem
from graphkit.errors import DataError, SettingError, StorageError
from graphkit.ooc import ring as module
from graphkit.ooc.disk import locked
from graphkit.ooc.pack import pack
from graphkit.ooc.packed_nodes import Packed, PackedNodes
from graphkit.ooc.placement import place
from graphkit.ooc.refresh import Refreshed, make_refreshed
from graphkit.ooc.sample_ahead import sample_ahead
from graphkit.ooc.store import Store
from graphkit.train import describe
from tests.ooc.fault_layer import WRITES, faulty, killed_at
from tests.ooc.packed import FANOUTS, SIZE, fitted, same, undirected

MEMORY = 8 << 30


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.1)


def refreshed(store: Store, **words: Any) -> Refreshed:
    asked = {"fanouts": FANOUTS, "batch_size": SIZE, "memory": MEMORY, "every": 1, "threads": 1}
    return make_refreshed(store, **{**asked, "behind": 64 << 20, **words})


def plans_on_disk(store: Store) -> int:
    """Plans of training with their packs; those of other parts are not counted."""
    return len([p for p in store.path.glob("plans/*/packs") if "-" not in p.parent.name]) - 2


def seeds(problem: Problem, epoch: int, **words: int) -> list[list[int]]:
    return [batch.input_id.tolist() for batch in problem.batches("train", None, epoch, **words)]


def edges(problem: Problem, epoch: int) -> list[str]:
    """What each batch of an epoch is, in an order of its own."""
    found = problem.batches("train", None, epoch)
    return sorted(str((b.n_id.tolist(), b.edge_index.tolist())) for b in found)


def test_used_once_each_epoch_is_what_is_drawn_for_it(tmp_path: Path) -> None:
    """Batch by batch that of sampling in memory, and that of a plan drawn for that epoch."""
    memory, store = undirected(tmp_path / "s")
    batching = refreshed(store)
    disk = store.problem(batching)
    for epoch in range(4):
        plan = sample_ahead(store, FANOUTS, SIZE, sampled_epochs=2, first_epoch=epoch)
        found = list(disk.batches("train", None, epoch))
        assert len(found) == plan.batches_per_epoch > 5
        for number, (batch, expected) in enumerate(
            zip(found, memory.batches("train", _Undirected(), epoch), strict=True)
        ):
            same(expected, batch)
            assert torch.equal(plan.batch(number).n_id, batch.n_id)
            assert torch.equal(plan.batch(number).edge_index, batch.edge_index)
    batching.close()


class _Undirected:
    from graphkit.transforms import Undirected

    pre_transform, transform = Undirected(), None


def test_a_fit_is_the_fit_that_samples_in_memory(tmp_path: Path) -> None:
    memory, store = undirected(tmp_path / "s")
    batching = refreshed(store, cached_rows=150, epochs=4)
    found = fitted(store.problem(batching), epochs=4)
    expected = fitted(memory, epochs=4)
    assert found.history == expected.history
    for name, value in expected.last.state_dict().items():
        assert torch.equal(value, found.last.state_dict()[name]), name
    assert batching.ring.slots() == [2, 3]  # no epoch 4 is drawn
    batching.close()


@pytest.mark.parametrize(("every", "sampled"), [(3, 1), (2, 2)])
def test_each_drawn_epoch_is_used_so_often(tmp_path: Path, every: int, sampled: int) -> None:
    memory, store = undirected(tmp_path / "s")
    batching = refreshed(store, every=every, sampled_epochs=sampled)
    disk = store.problem(batching)
    kinds = [edges(disk, epoch) for epoch in range(2 * every * sampled)]
    orders = [str(seeds(disk, epoch)) for epoch in range(2 * every * sampled)]
    for epoch, kind in enumerate(kinds):
        slot, local = divmod(epoch, every * sampled)
        drawn = slot * sampled + local % sampled
        expected = memory.batches("train", _Undirected(), drawn)
        whole = sorted(str((b.n_id.tolist(), b.edge_index.tolist())) for b in expected)
        assert kind == whole
    assert len(set(orders)) == len(orders)
    batching.close()


def test_two_are_on_disk_at_most(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    batching = refreshed(store, every=2)
    disk, most = store.problem(batching), 0
    for epoch in range(12):
        for _ in disk.batches("train", None, epoch):
            most = max(most, plans_on_disk(store))
        list(disk.batches("val"))
        slots = batching.ring.slots()  # the last one goes when the work behind begins the next
        assert epoch // 2 in slots
        assert len(slots) <= 2
        assert max(slots) <= epoch // 2 + 1
    batching.close()
    assert most <= 2  # the next one may not be there yet
    assert plans_on_disk(store) <= 2
    assert not list(store.path.glob("rings/*/gone-*"))


def test_the_next_is_made_while_one_is_read(tmp_path: Path) -> None:
    """The work behind is done before the epoch is over, and the epoch goes on meanwhile."""
    _, store = undirected(tmp_path / "s")
    batching = refreshed(store)
    turn = store.problem(batching).batches("train", None, 0)
    first = next(turn)
    until = time.monotonic() + 60
    while batching.ring.find(1) is None and time.monotonic() < until:
        time.sleep(0.01)
    assert batching.ring.find(1) is not None
    assert len(list(turn)) > 4
    assert first.num_nodes > 0
    before = batching.meter.waited
    next(store.problem(batching).batches("train", None, 1))
    assert batching.meter.waited - before < 30
    batching.close()


@pytest.mark.parametrize("first", [0, 3])
def test_killed_anywhere_training_goes_on(tmp_path: Path, first: int) -> None:
    """Killed at many a write, of either thread; then from the epoch before, and from the start."""
    memory, store = undirected(tmp_path / "s")
    expected = [edges_in_memory(memory, epoch) for epoch in range(first + 3)]

    def work() -> None:
        batching = refreshed(store, cached_rows=90, epochs=first + 3)
        for epoch in range(first, first + 3):
            list(store.problem(batching).batches("train", None, epoch))
        batching.close()

    with faulty(only=WRITES) as layer:
        work()
    calls = len(layer.calls)
    assert calls > 60
    struck = 0
    for at in range(1, calls, calls // 5):
        for path in (store.path / "plans", store.path / "rings"):
            module.remove_tree(path)
        struck += killed_at(at, work, WRITES)
        batching = refreshed(store, cached_rows=90, epochs=first + 3)
        for epoch in (first, first + 1, first + 2, 0):
            assert edges(store.problem(batching), epoch) == expected[epoch]
        batching.close()
        assert len(batching.ring.slots()) <= 2
        assert plans_on_disk(store) <= 2
        assert not list(store.path.glob("rings/*/gone-*"))
    assert struck > 3


def edges_in_memory(memory: Problem, epoch: int) -> list[str]:
    found = memory.batches("train", _Undirected(), epoch)
    return sorted(str((b.n_id.tolist(), b.edge_index.tolist())) for b in found)


def test_started_again_it_finds_what_is_there(tmp_path: Path) -> None:
    """In the middle of epoch 5: no batch is drawn but those of epoch 7."""
    _, store = undirected(tmp_path / "s")
    batching = refreshed(store)
    disk = store.problem(batching)
    whole = seeds(disk, 5)
    list(disk.batches("train", None, 6))
    batching.close()
    made: list[int] = []
    again = refreshed(store, watch=lambda *told: made.append(1))
    assert not made
    assert min(again.ring.slots()) in (5, 6)
    assert seeds(store.problem(again), 6, first=3) == seeds(store.problem(batching), 6)[3:]
    assert seeds(store.problem(again), 5, first=3) == whole[3:]  # gone by now: it is drawn anew
    again.close()
    batching.close()


def test_going_back_and_far_ahead(tmp_path: Path) -> None:
    """A second fit begins with epoch 0 again; the work on the slot that is not wanted ends."""
    memory, store = undirected(tmp_path / "s")
    batching = refreshed(store)
    disk = store.problem(batching)
    for epoch in (0, 1, 0, 7, 3, 3):
        assert edges(disk, epoch) == edges_in_memory(memory, epoch)
    batching.close()
    assert len(batching.ring.slots()) <= 2


def test_other_parts_are_those_of_packed_nodes(tmp_path: Path) -> None:
    memory, store = undirected(tmp_path / "s")
    batching = refreshed(store)
    for moment in ("before training", "after"):
        for part in ("val", "test"):
            pairs = zip(
                memory.batches(part, _Undirected()),
                store.problem(batching).batches(part),
                strict=True,
            )
            for expected, found in pairs:
                same(expected, found)
        if moment == "before training":
            list(store.problem(batching).batches("train"))
    batching.close()
    only = refreshed(store, parts=("train",))
    with pytest.raises(DataError, match=r"'val' part .* has no plan"):
        next(store.problem(only).batches("val"))
    only.close()


def test_two_processes_turn_the_same_ring(tmp_path: Path) -> None:
    """One is an epoch behind the other: neither loses what it reads."""
    memory, store = undirected(tmp_path / "s")
    one, two = refreshed(store), refreshed(store)
    ahead, behind = store.problem(one), store.problem(two)
    slow = behind.batches("train", None, 0)
    got = [next(slow)]
    for epoch in range(3):
        assert edges(ahead, epoch) == edges_in_memory(memory, epoch)
    got += list(slow)
    expected = list(memory.batches("train", _Undirected(), 0))
    assert [b.n_id.tolist() for b in got] == [b.n_id.tolist() for b in expected]
    assert edges(behind, 1) == edges_in_memory(memory, 1)
    one.close()
    two.close()


def test_ranks_share_a_slot(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    each = [refreshed(store) for _ in range(2)]
    whole = seeds(store.problem(each[0]), 1)
    shares = [seeds(store.problem(b), 1, rank=r, ranks=2) for r, b in enumerate(each)]
    in_turn = [batch for step in zip(*shares, strict=True) for batch in step]
    assert in_turn[: len(whole)] == whole
    for batching in each:
        batching.close()


def test_what_goes_wrong_behind_is_told_to_who_waits(tmp_path: Path) -> None:
    memory, store = undirected(tmp_path / "s")
    batching = refreshed(store)
    disk = store.problem(batching)
    real = module.pack

    def failing(*words: Any, **named: Any) -> None:
        raise StorageError("cannot write it: the disk is full")

    module.pack = failing  # type: ignore[assignment]
    try:
        assert edges(disk, 0) == edges_in_memory(memory, 0)  # what is there is read to its end
        with pytest.raises(StorageError, match="the disk is full"):
            next(disk.batches("train", None, 1))
    finally:
        module.pack = real
    assert edges(disk, 1) == edges_in_memory(memory, 1)
    batching.close()


def test_a_slot_that_somebody_reads_stays_until_later(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    batching = refreshed(store)
    ring = batching.ring
    with locked(ring.plan_path(0) / ".lock", shared=True):
        ring.make(1, ())
        assert ring.slots() == [0, 1]
        assert ring.find(0) is not None
    ring.make(2, (1,))
    assert ring.slots() == [1, 2]
    assert not ring.plan_path(0).exists()


def test_a_larger_cache_than_fits_is_packed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot made with more memory is not read with less."""
    _, store = undirected(tmp_path / "s", columns=512)
    for name in ("budget", "ready", "refresh"):
        monkeypatch.setattr(f"graphkit.ooc.{name}.resident_bytes", lambda: 1 << 20)
    words: dict[str, Any] = {"reserve": 1 << 20, "behind": 6 << 20}
    wide = refreshed(store, cached_rows=1100, **words)
    before, budget = wide.ring.find(0), wide.ring.budget
    assert before is not None
    assert budget is not None
    assert before.pack.cached_rows == 1100
    words["memory"] = int((budget.needed + 300 * 2048) / 0.95)
    found = refreshed(store, **words).ring.find(0)
    assert found is not None
    assert 290 < found.pack.cached_rows <= 300
    assert [path.parent.name for path in found.plan.path.glob("packs/*/pack.json")] == [
        found.pack_id
    ]
    with pytest.raises(SettingError, match=r"1100 cached rows take 2\.1 MiB; memory leaves"):
        refreshed(store, cached_rows=1100, **words)


def test_it_is_a_setting_and_can_be_sent(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    batching = refreshed(store, epochs=3)
    told = describe(batching)
    assert told["rotation"]["every"] == 1
    assert set(told["parts"]) == {"val", "test"}
    first = seeds(store.problem(batching), 1)
    assert describe(batching) == told
    for other in (pickle.loads(pickle.dumps(batching)), copy.deepcopy(batching)):
        assert other == batching
        assert seeds(store.problem(other), 1) == first
        other.close()
    batching.close()
    assert refreshed(store, every=2, epochs=3) != batching


def test_bad_settings_are_named(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    with pytest.raises(SettingError, match="every = 0"):
        refreshed(store, every=0)
    with pytest.raises(SettingError, match="holds"):
        refreshed(store, memory=1000, parts=("train",))
    with pytest.raises(SettingError, match="sampled_epochs = 0"):
        refreshed(store, sampled_epochs=0)


def test_nothing_is_left_running(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    batching = refreshed(store)
    turn = store.problem(batching).batches("train", None, 0)
    next(turn)
    turn.close()  # type: ignore[attr-defined]
    del batching, turn
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if not [t for t in threading.enumerate() if t.name == "graphkit-refresh"]:
            return
        time.sleep(0.05)
    raise AssertionError("the work behind goes on though nobody wants it")


def test_ring_of_the_packs_a_user_made_is_its_own(tmp_path: Path) -> None:
    """A plan of one epoch that was drawn by hand is not the ring's, and stays."""
    _, store = undirected(tmp_path / "s")
    plan = sample_ahead(store, FANOUTS, SIZE, sampled_epochs=1)
    placement = place(store, plan, memory=1 << 40, cached_rows=0)
    mine = PackedNodes(store, {"train": Packed(plan, pack(store, plan, placement))})
    batching = refreshed(store)
    for epoch in range(3):
        list(store.problem(batching).batches("train", None, epoch))
    batching.close()
    assert plan.path not in {batching.ring.plan_path(slot) for slot in range(4)}
    assert len(seeds(store.problem(mine), 0)) == plan.num_batches
