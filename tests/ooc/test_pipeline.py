"""The stages between disk and batch: memory lent and given back, faults, an end at any time."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphkit.data.problem import Problem
from graphkit.errors import DamagedFile, SettingError, StorageError, TrainingError
from graphkit.ooc import pipeline as stages
from graphkit.ooc.batch_kernels import gather, gather_halves, unfold
from graphkit.ooc.budget import Budget
from graphkit.ooc.buffers import Buffers
from graphkit.ooc.disk import PAGE, Reader
from graphkit.ooc.packed_nodes import PackedNodes
from graphkit.ooc.packed_nodes import _cut as cut
from graphkit.ooc.pipeline import Meter
from graphkit.ooc.source import Source
from tests.ooc.fault_layer import faulty
from tests.ooc.packed import Asks, packed, undirected, world


def packing(problem: Problem) -> PackedNodes:
    batching = problem.batching
    assert isinstance(batching, PackedNodes)
    return batching


def limited(problem: Problem, buffers: int, room: int = 0) -> Problem:
    """The problem with so many buffers, and memory for ``room`` more."""
    batching = packing(problem)
    assert batching.budget is not None
    small = replace(batching.budget, buffers=buffers)
    needed = small.needed + room * small.buffer
    budget = replace(small, memory=int(needed / 0.95) + small.buffer // 2)
    fresh = replace(batching, budget=budget, _memory=type(batching._memory)())
    return problem.batched(fresh)


def open_files() -> set[str]:
    return {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")}  # fmt: skip


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("graphkit")}


@contextmanager
def nothing_left() -> Iterator[None]:
    """No thread and no file of a pipeline is left afterwards."""
    files = open_files()
    yield
    assert threads() == set()
    assert open_files() <= files


def test_buffers_come_back_when_nothing_refers_to_them() -> None:
    buffers = Buffers(64, 2)
    first, second = buffers.lend(), buffers.lend()
    assert first is not None
    assert second is not None
    assert buffers.lend() is None
    tensor = torch.from_numpy(first[:32].view(np.float32))
    address = first.ctypes.data
    row = tensor.reshape(2, 4)[1]
    del first, tensor
    assert buffers.lend() is None  # one row of it lives on
    del row
    again = buffers.lend()
    assert again is not None
    assert again.ctypes.data == address
    assert buffers.made == 2


def test_fewer_buffers_are_lent_after_their_number_was_lowered() -> None:
    buffers = Buffers(64, 3)
    lent = [buffers.lend() for _ in range(3)]
    buffers.count = 1
    del lent
    buffers.drop_free()
    assert buffers.made == 1
    one = buffers.lend()
    assert one is not None
    assert buffers.lend() is None


def test_places_that_do_not_exist_touch_nothing() -> None:
    """A place past its rows stops the kernel; so does a sum of counts that does not fit."""
    rows = np.arange(6, dtype=np.uint64).reshape(3, 2)
    out = np.full((3, 2), 9, dtype=np.uint64)
    where = np.array([-3, 0, 4], dtype=np.int32)
    assert gather(where, rows, rows[:1], rows[1:], out) == 2
    assert out.tolist() == [[4, 5], [0, 1], [9, 9]]
    where[2] = 2
    assert gather(where, rows, rows[:1], rows[1:], out) == 3
    assert out.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert gather(np.array([-4], dtype=np.int32), rows, rows, rows, out) == 0
    column = np.zeros(4, dtype=np.int64)
    assert unfold(np.array([2, 0, 1], dtype=np.uint8), column) == 3
    assert column.tolist() == [0, 0, 0, 0]
    assert unfold(np.array([3, 0, 1], dtype=np.uint8), column) == 4
    assert column.tolist() == [0, 0, 0, 2]


def test_every_half_is_the_number_numpy_makes_of_it() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).reshape(-1, 1)
    expected = halves.view(np.float16).astype(np.float32)
    found = np.empty_like(expected)
    where = np.arange(len(halves), dtype=np.int64)
    none = halves[:0]
    assert gather_halves(where, none, halves, none, found.view(np.uint32)) == len(halves)
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(np.signbit(found), np.signbit(expected))


def test_batches_that_are_kept_stay_what_they_were(tmp_path: Path) -> None:
    memory, disk = world(tmp_path / "s")
    expected = list(memory.batches("train", Asks()))
    kept = list(disk.batches("train"))
    again = list(disk.batches("train"))
    assert len(kept) > 6
    assert len({batch.x.data_ptr() for batch in kept + again}) == 2 * len(kept)
    for batch, one, other in zip(expected, kept, again, strict=True):
        assert torch.equal(batch.x, one.x)
        assert torch.equal(batch.x, other.x)
        assert torch.equal(batch.edge_index, one.edge_index)


def test_what_is_let_go_is_used_again(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    turn = limited(disk, 3)
    places = set()
    for epoch in range(2):
        for batch in turn.batches("train", None, epoch):
            places.add(batch.x.data_ptr())
    assert len(places) == 3


def test_holding_all_batches_is_refused_where_memory_ends(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    count = packing(disk).parts["train"].plan.batches_per_epoch
    assert count > 6
    small = limited(disk, 3, room=2)
    held: list[Any] = []
    with nothing_left():
        with pytest.raises(SettingError, match=r"all 5 buffers of .* are held by batches"):
            held.extend(small.batches("train"))
        assert len(held) == 5
    assert len(list(limited(disk, 3, room=count).batches("train"))) == count
    held.clear()
    assert sum(1 for _ in small.batches("train")) == count


def test_batches_held_in_a_cycle_are_found(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    small = limited(disk, 3)
    gc.disable()
    try:
        for batch in small.batches("train"):
            knot: list[Any] = [batch]
            knot.append(knot)
            del knot, batch
    finally:
        gc.enable()


def test_two_turns_at_once(tmp_path: Path) -> None:
    """As an update does that takes training and held-out batches in turn."""
    memory, disk = world(tmp_path / "s")
    both = zip(disk.batches("train"), disk.batches("val"), strict=False)
    wanted = zip(memory.batches("train", Asks()), memory.batches("val", Asks()), strict=False)
    for pair, expected in zip(both, wanted, strict=True):
        for found, batch in zip(pair, expected, strict=True):
            assert torch.equal(found.x, batch.x)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_an_early_end_leaves_nothing(tmp_path: Path, taken: int) -> None:
    _, disk = world(tmp_path / "s")
    with nothing_left():
        turn = disk.batches("train")
        for _ in range(taken):
            next(turn)
        turn.close()  # type: ignore[attr-defined]
    with nothing_left():
        turn = disk.batches("train")
        next(turn)
        del turn


def test_an_error_of_the_user_leaves_nothing(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")

    def train() -> None:
        for number, _ in enumerate(disk.batches("train")):
            if number == 2:
                raise KeyboardInterrupt

    with nothing_left(), pytest.raises(KeyboardInterrupt):
        train()


def test_a_waiting_user_can_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a read hangs: the wait ends, and with it the read at its next block."""
    _, disk = world(tmp_path / "s")
    real = stages.Reader.read_into
    main = threading.get_ident()

    def slow(self: Any, *words: Any) -> None:
        time.sleep(0.3)
        real(self, *words)

    monkeypatch.setattr(stages.Reader, "read_into", slow)
    clock = threading.Timer(0.1, lambda: __import__("signal").pthread_kill(main, 2))
    clock.start()
    with nothing_left(), pytest.raises(KeyboardInterrupt):
        list(disk.batches("train"))
    clock.join()


@pytest.mark.parametrize("at", [1, 2, 7, 15])
def test_a_failing_disk_reaches_the_user(tmp_path: Path, at: int) -> None:
    _, store = undirected(tmp_path / "s")
    disk = store.problem(PackedNodes(store, {"train": packed(store, rows=50)}))
    with nothing_left(), faulty(at, "EIO", ("preadv",)) as layer:
        with pytest.raises(StorageError, match="Input/output error"):
            list(disk.batches("train"))
        assert layer.struck
    assert len(list(disk.batches("train"))) > 5  # it can be used afterwards


def test_short_reads_are_read_on(tmp_path: Path) -> None:
    memory, disk = world(tmp_path / "s")
    for at in range(1, 12):
        with faulty(at, "short", ("preadv",)) as layer:
            found = [batch.x for batch in disk.batches("val")]
        assert layer.struck
        for batch, x in zip(memory.batches("val", Asks()), found, strict=True):
            assert torch.equal(batch.x, x)


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    path, offset, length = packing(disk).parts["train"].pack.place(6)
    with path.open("r+b") as file:
        file.truncate(offset + length // 2)
    with nothing_left(), pytest.raises(DamagedFile, match=path.name):
        list(disk.batches("train"))


def test_bytes_and_time_are_counted(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    made = packing(disk).parts["train"]
    count = sum(1 for _ in disk.batches("train"))
    meter = packing(disk).meter
    assert meter.batches == count
    cold = int(made.pack.regions["rows"][:count].sum()) * made.pack.row_bytes
    assert 0 < cold <= meter.read_bytes < cold + count * (2 * 4096 + 20_000)
    assert 0 <= meter.waited <= meter.seconds


def test_stages_are_counted(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s", rows=100)
    list(disk.batches("train"))
    meter = packing(disk).meter
    assert set(meter.stages) == {"topology", "rows", "assembly"}
    assert all(seconds > 0 for seconds in meter.stages.values())
    busy = packing(disk).threads + 4
    assert sum(meter.stages.values()) < busy * meter.seconds
    before = dict(meter.stages)
    list(disk.batches("train"))
    assert all(meter.stages[name] > before[name] for name in before)


def test_several_threads_may_count() -> None:
    meter = Meter()

    def count() -> None:
        for _ in range(2000):
            meter.add(1, 2, 0.5, 0.25, {"rows": 1.0})

    each = [threading.Thread(target=count) for _ in range(4)]
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()
    assert (meter.batches, meter.read_bytes, meter.waited, meter.seconds) == (
        8000, 16_000, 4000.0, 2000.0,
    )  # fmt: skip
    assert meter.stages == {"topology": 0.0, "rows": 8000.0, "assembly": 0.0}


def test_files_are_opened_once_a_turn(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    list(disk.batches("train"))
    with nothing_left(), faulty(0, only=("open",)) as layer:
        assert len(list(disk.batches("train"))) > 5
    assert len(layer.calls) == 3 + 2  # topology, places and rows; a lock of plan and of pack


def test_the_next_batch_is_read_while_one_is_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, disk = world(tmp_path / "s")
    done = threading.Event()
    reads: list[str] = []
    fill, read_into = Source.fill_rows, Reader.read_into

    def noted(reader: Reader, *words: Any) -> None:
        reads.append(reader.path.name)
        read_into(reader, *words)
        if len(reads) == 6:
            done.set()

    def held(source: Source, number: int, *words: Any) -> Any:
        if number == 0:
            assert done.wait(20), reads
        return fill(source, number, *words)

    monkeypatch.setattr(Reader, "read_into", noted)
    monkeypatch.setattr(Source, "fill_rows", held)
    next(disk.batches("train"))
    assert reads[:6].count("topo-000.bin") == 2


def test_cached_rows_leave_room_for_more_batches_under_way(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s", rows=1200)
    batching = packing(disk)
    buffers, raw = batching._room()
    source = batching._source("train")
    rooms = cut(raw, source, buffers.count)
    assert batching.budget is not None
    assert len(rooms) == buffers.count > batching.budget.under_way
    assert all(len(room) >= source.most_read() for room in rooms)
    assert len({room.ctypes.data for room in rooms}) == len(rooms)
    assert cut(raw, source, 1)[0].ctypes.data % PAGE == 0


@pytest.mark.parametrize("span", [0, 4])
def test_the_bytes_counted_are_those_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, span: int
) -> None:
    """Shared rows too. A file's last page may be short, and is read as far as it goes."""
    _, disk = world(tmp_path / "s", rows=200, span=span)
    list(disk.batches("train", epoch=1))  # the cache is loaded, blocks are checked
    moved: list[int] = []
    read_into = Reader.read_into

    def noted(reader: Reader, buffer: Any, offset: int, num_bytes: int) -> None:
        moved.append(num_bytes)
        read_into(reader, buffer, offset, num_bytes)

    monkeypatch.setattr(Reader, "read_into", noted)
    before = packing(disk).meter.read_bytes
    count = sum(1 for _ in disk.batches("train", epoch=1))
    counted = packing(disk).meter.read_bytes - before
    assert counted - count * PAGE <= sum(moved) <= counted


def test_too_much_memory_ends_the_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphkit.ooc import budget as memory

    _, disk = world(tmp_path / "s")
    small = limited(disk, 3, room=4)
    kept = packing(small).budget
    assert isinstance(kept, Budget)
    assert kept.memory is not None
    monkeypatch.setattr(memory, "resident_bytes", lambda: (kept.memory or 0) + 1)

    def train() -> None:
        for _ in small.batches("train"):
            time.sleep(0.05)

    with nothing_left(), pytest.raises(TrainingError, match="Reserve more"):
        train()
    assert packing(small).meter.peak_bytes == kept.memory + 1
