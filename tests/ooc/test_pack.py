"""Packed rows are the features, to the bit, and their bytes a function of the content alone."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.errors import DamagedFile, DataError, SettingError, StorageError, UnknownName
from graphkit.ooc import disk
from graphkit.ooc.blocks import ArrayWriter
from graphkit.ooc.disk import BLOCK, PAGE, locked
from graphkit.ooc.distribute import segments
from graphkit.ooc.pack import Cuts, Pack, pack, pack_id, repair
from graphkit.ooc.placement import Placement, place
from graphkit.ooc.plan import Plan
from graphkit.ooc.sample_ahead import sample_ahead
from graphkit.ooc.store import Store
from tests.ooc.fault_layer import WRITES, Kind, damaged, faulty, forked, killed_at
from tests.ooc.stores import bytes_of, make_store, random_edges

FINE = Cuts(
    shard_bytes=40_000, chunk_bytes=1500, segment_bytes=BLOCK, stage_bytes=PAGE, commit_bytes=1
)
NODES = 3000
WIDE = 4 * BLOCK // NODES // 4  # columns of float32 that make a file of some four blocks


def world(path: Path, dtype: str = "float32", columns: int = 25) -> tuple[Store, Plan]:
    train = torch.randperm(NODES, generator=torch.Generator().manual_seed(1))[:121]
    edges = random_edges(NODES, 20_000)
    store = make_store(path, edges, NODES, train=train, dtype=dtype, columns=columns)
    return store, sample_ahead(store, (6, 4), 30, sampled_epochs=2, seed=5)


def little(path: Path) -> tuple[Store, Plan]:
    """Three segments of features, three batches: few enough writes to fail at each."""
    train = torch.arange(0, 1600, 16)[:81]
    store = make_store(path, random_edges(1600, 5000), 1600, train=train, columns=350)
    return store, sample_ahead(store, (2,), 40, sampled_epochs=1)


def levels(store: Store, plan: Plan, device: int, host: int, span: int = 0) -> Placement:
    draft = place(store, plan, memory=1 << 30, cached_rows=0)
    cold = draft.accesses
    return replace(draft, device_rows=device, host_rows=host, span=span, cold_rows=cold)


def check_rows(store: Store, plan: Plan, packed: Pack) -> None:
    """Each batch's rows against the features in memory."""
    x = store.load("node/x")
    cache = packed.cache()
    assert np.array_equal(cache.view(x.dtype), x[packed.cached_ids()])
    for number in range(plan.num_batches):
        n_id = plan.batch(number).n_id.numpy()
        rows = packed.rows(number, cache)
        assert rows.shape == (len(n_id), x.itemsize * x.shape[1])
        assert np.array_equal(rows.view(x.dtype), x[n_id])


SHAPES = [("float32", 25), ("float16", 100), ("float16", 768), ("float16", 1), ("int8", 7)]


@pytest.mark.parametrize(("dtype", "columns"), SHAPES)
@pytest.mark.parametrize("how", [(0, 0, 0), (5, 90, 0), (0, 60, 4), (40, 60, 100)])
def test_rows_are_the_features(
    tmp_path: Path, dtype: str, columns: int, how: tuple[int, int, int]
) -> None:
    """Rows of 2, 7, 100, 200 and 1536 bytes; without and with caches; spans of 4 and of all."""
    store, plan = world(tmp_path / "s", dtype, columns)
    packed = pack(store, plan, levels(store, plan, *how), cuts=FINE)
    assert packed.num_batches == plan.num_batches == 10
    assert (packed.device_rows, packed.cached_rows) == (how[0], how[0] + how[1])
    check_rows(store, plan, packed)
    packed.check()
    x = packed.rows(3, packed.cache())
    expected = torch.from_numpy(store.decode(store.load("node/x")))[plan.batch(3).n_id]
    assert torch.equal(torch.from_numpy(store.decode(x)), expected)


def test_regions_rise_and_hold_cold_rows_alone(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s")
    packed = pack(store, plan, levels(store, plan, 5, 90), cuts=FINE)
    x, hot = store.load("node/x"), set(packed.cached_ids().tolist())
    for number in range(plan.num_batches):
        cold = sorted(set(plan.ids(number).tolist()) - hot)
        assert np.array_equal(packed.region(number).view(x.dtype), x[cold])


def test_what_is_read_is_what_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read of whole pages for each batch: cold rows and the rest of the last page."""
    store, plan = world(tmp_path / "s")
    packed = pack(store, plan, levels(store, plan, 5, 90), cuts=FINE)
    moved: list[int] = []
    real = os.preadv

    def count(file: int, buffers: list[memoryview], offset: int) -> int:
        moved.append(sum(map(len, buffers)))
        return real(file, buffers, offset)

    monkeypatch.setattr(disk.os, "preadv", count)
    hot = set(packed.cached_ids().tolist())
    for number in range(plan.num_batches):
        cold = len(set(plan.ids(number).tolist()) - hot)
        moved.clear()
        rows = packed.region(number)
        assert len(rows) == cold
        assert moved == [packed.read_bytes(number)]
        assert 0 <= moved[0] - cold * 100 < PAGE
    assert packed.totals["region_rows"] == packed.totals["stored_rows"]


def test_placement_knows_what_is_stored(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s")
    free = place(store, plan, memory=1 << 30, cached_rows=100)
    capped = place(store, plan, memory=1 << 30, cached_rows=100, disk=free.disk_bytes - 60_000)
    assert capped.span > 1
    for chosen in (free, capped):
        packed = pack(store, plan, chosen)
        assert packed.totals["stored_rows"] == chosen.stored_rows
        assert packed.totals["disk_bytes"] <= chosen.disk_bytes
        on_disk = sum(each.stat().st_size for each in packed.path.iterdir())
        assert on_disk - (packed.path / "pack.json").stat().st_size == packed.totals["disk_bytes"]
        check_rows(store, plan, packed)


WAYS = [
    {"threads": 3},
    {"cuts": replace(FINE, segment_bytes=3 * BLOCK)},
    {"cuts": replace(FINE, stage_bytes=8 * PAGE)},
    {"cuts": replace(FINE, stage_bytes=BLOCK, commit_bytes=1 << 30)},
    {"memory": 6 << 20},
    {"memory": 6 << 20, "threads": 2, "cuts": replace(FINE, stage_bytes=1 << 18)},
]


@pytest.mark.parametrize("span", [0, 4])
def test_memory_segments_stages_and_threads_leave_no_trace(tmp_path: Path, span: int) -> None:
    store, plan = world(tmp_path / "s", columns=WIDE)
    chosen = levels(store, plan, 5, 90, span)
    packed = pack(store, plan, chosen, threads=1, cuts=FINE)
    before = bytes_of(packed.path)
    check_rows(store, plan, packed)
    for way in WAYS:
        shutil.rmtree(packed.path)
        pack(store, plan, chosen, **{"threads": 1, "cuts": FINE, **way})  # type: ignore[arg-type]
        assert bytes_of(packed.path) == before, way


def test_little_memory_reads_the_features_more_often(tmp_path: Path) -> None:
    """Stages of 256 KiB for some fifteen regions do not fit in 3 MiB at once."""
    store, plan = world(tmp_path / "s", columns=WIDE)
    stages: set[str] = set()
    cuts = replace(FINE, stage_bytes=1 << 18)
    words = {"memory": 6 << 20, "cuts": cuts, "watch": lambda *w: stages.add(w[0])}
    check_rows(store, plan, pack(store, plan, levels(store, plan, 5, 90), **words))  # type: ignore[arg-type]
    assert len({stage for stage in stages if stage.startswith("pack")}) > 1


def held() -> int:
    """Bytes of memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * sum(int(row.split()[1]) for row in lines if row.startswith(("RssAn", "RssSh")))


def test_packing_stays_within_its_memory(tmp_path: Path) -> None:
    """Features of 96 MiB with 10 MiB of memory; the rest is what Python and allocators keep."""
    train = torch.arange(0, 24_000, 10)
    edges = random_edges(24_000, 60_000)
    store = make_store(tmp_path / "s", edges, 24_000, train=train, columns=1024)
    plan = sample_ahead(store, (3, 2), 100, sampled_epochs=1)
    memory = 10 << 20
    small, small_plan = little(tmp_path / "small")
    pack(small, small_plan, levels(small, small_plan, 0, 10))  # kernels are compiled

    def work() -> None:
        gc.collect()
        before, peak, ended = held(), [0], threading.Event()

        def look() -> None:
            while not ended.wait(0.002):
                peak[0] = max(peak[0], held() - before)

        watcher = threading.Thread(target=look)
        watcher.start()
        pack(store, plan, levels(store, plan, 0, 500), threads=2, memory=memory)
        ended.set()
        watcher.join()
        (tmp_path / "peak").write_text(str(peak[0]))

    assert forked(work) == 0
    peak = int((tmp_path / "peak").read_text())
    assert memory // 8 < peak < memory + (4 << 20)


def test_memory_and_disk_that_cannot_do_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = world(tmp_path / "s")
    chosen = levels(store, plan, 5, 90)
    with pytest.raises(SettingError, match="at least"):
        pack(store, plan, chosen, memory=100_000)
    monkeypatch.setattr("graphkit.ooc.pack.free_bytes", lambda path: 1000)
    with pytest.raises(StorageError, match=r"takes .*, 1000 B are free"):
        pack(store, plan, chosen)
    assert not (plan.path / "packs").exists()


@pytest.mark.parametrize("row_bytes", [100, 1536, 3 * BLOCK // 2])
@pytest.mark.parametrize("below", [0, 1, 77])
def test_segments_are_all_rows_once(tmp_path: Path, row_bytes: int, below: int) -> None:
    rows = max(3 * BLOCK // row_bytes, 90) if row_bytes < BLOCK else 80
    columns = row_bytes // 4
    x = np.random.default_rng(0).random((rows, columns), dtype=np.float32)
    (tmp_path / "node").mkdir()
    with ArrayWriter(tmp_path, "node/x", x.dtype, x.shape) as writer:
        writer.append(x)
        array = writer.finish()
    at = below
    for first, part in segments(array, below, BLOCK, check=True):
        assert first == at
        assert np.array_equal(part.view(np.float32), x[at : at + len(part)])
        at += len(part)
    assert at == rows


@pytest.mark.parametrize("span", [0, 2])
def test_killed_anywhere_and_given_again(tmp_path: Path, span: int) -> None:
    """At every write, wait for the disk and renaming in turn; each segment is committed."""
    store, plan = little(tmp_path / "s")
    chosen = levels(store, plan, 2, 20, span)
    cuts = replace(FINE, shard_bytes=1 << 30, stage_bytes=2 * PAGE, chunk_bytes=1 << 16)

    def work() -> Pack:
        return pack(store, plan, chosen, threads=1, cuts=cuts)

    with faulty(only=WRITES) as layer:
        path = work().path
    before = bytes_of(path)
    calls = layer.calls
    assert calls.count("fdatasync") > 8  # more than without a commit on the way
    for at in range(1, len(calls) + 1):
        shutil.rmtree(path)
        assert killed_at(at, work, WRITES)
        if not (path / "pack.json").exists():
            with pytest.raises((DamagedFile, UnknownName)):
                Pack.open(store, plan, path.name)
        work()
        assert bytes_of(path) == before, (at, calls[at - 1])


def test_killed_with_other_memory_and_threads_goes_on(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s", columns=WIDE)
    chosen = levels(store, plan, 5, 90)
    path = pack(store, plan, chosen, threads=1, cuts=FINE).path
    before = bytes_of(path)
    for at in range(3, 150, 12):
        shutil.rmtree(path)
        coarse = replace(FINE, stage_bytes=1 << 16)
        killed_at(
            at,
            lambda cuts=coarse: pack(store, plan, chosen, threads=2, cuts=cuts),
            ("fdatasync",),
        )
        cuts = replace(FINE, stage_bytes=1 << 18, segment_bytes=2 * BLOCK)
        pack(store, plan, chosen, memory=6 << 20, threads=1, cuts=cuts)
        assert bytes_of(path) == before, at


def test_what_reached_the_disk_is_not_packed_again(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s", columns=WIDE)
    chosen = levels(store, plan, 5, 90)
    cuts = replace(FINE, shard_bytes=1 << 30)
    seen: list[int] = []

    def stop(stage: str, done: int, total: int) -> None:
        if stage.startswith("pack"):
            seen.append(done)
            if len(seen) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(store, plan, chosen, threads=1, cuts=cuts, watch=stop)
    stages: list[tuple[str, int]] = []
    pack(store, plan, chosen, threads=1, cuts=cuts, watch=lambda *w: stages.append(w[:2]))
    assert "lay out" not in {stage for stage, _ in stages}
    assert stages[0][1] == seen[1] > seen[0]  # the row across the border is read again
    assert stages[1][1] == seen[2]


@pytest.mark.parametrize("kind", ["ENOSPC", "EIO"])
def test_every_failing_write_is_named_and_mended_by_giving_it_again(
    tmp_path: Path, kind: Kind
) -> None:
    store, plan = little(tmp_path / "s")
    chosen = levels(store, plan, 2, 20, 2)
    cuts = replace(FINE, shard_bytes=1 << 30, stage_bytes=2 * PAGE, chunk_bytes=1 << 16)
    old = pack(store, plan, levels(store, plan, 0, 10), cuts=cuts)
    path = pack(store, plan, chosen, threads=1, cuts=cuts).path
    before, failed = bytes_of(path), 0
    for at in range(1, 400):
        shutil.rmtree(path)
        with faulty(at, kind, WRITES):
            try:
                pack(store, plan, chosen, threads=1, cuts=cuts)
            except StorageError as error:
                message = str(error)
            else:
                break
        failed += 1
        assert path.name in message
        old.check()
        pack(store, plan, chosen, threads=1, cuts=cuts)
        assert bytes_of(path) == before
    assert failed > 20


@pytest.mark.parametrize("how", ["flipped", "shorter", "longer", "empty"])
def test_damage_is_named(tmp_path: Path, how: str) -> None:
    store, plan = world(tmp_path / "s")
    packed = pack(store, plan, levels(store, plan, 5, 90, 4), cuts=FINE)
    names = sorted(bytes_of(packed.path))
    assert {"cache_ids.bin", "shared_ids.bin", "region.idx", "where-000.bin"} <= set(names)
    for name in names:
        for _ in damaged(packed.path / name, how, 100):
            with pytest.raises(DamagedFile, match=name.split(".")[0]):
                Pack.open(store, plan, packed.pack_id).check()
    Pack.open(store, plan, packed.pack_id).check()


def test_a_flipped_bit_is_never_another_number(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s")
    packed = pack(store, plan, levels(store, plan, 5, 90), cuts=FINE)
    path, offset, length = packed.place(6)
    for _ in damaged(path, "flipped", offset + length - 1):
        with pytest.raises(DamagedFile, match=rf"{path.name}.* byte {offset}"):
            packed.region(6)
        assert packed.damaged() == [6]
        assert len(packed.region(5)) > 0


def test_shared_rows_are_held_against_their_checksums(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s")
    packed = pack(store, plan, levels(store, plan, 0, 0, 4), cuts=FINE)
    needed = packed.where(0).needed
    first = int(packed.regions[0]["shared_first"])
    path, offset, _ = packed.place(first + int(needed[0]) // packed.layout["chunk_rows"])
    at = offset + int(needed[0]) % packed.layout["chunk_rows"] * packed.row_bytes
    for _ in damaged(path, "flipped", at):
        with pytest.raises(DamagedFile, match=path.name):
            packed.shared(0, needed)


def test_damaged_regions_and_places_are_mended(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s")
    packed = pack(store, plan, levels(store, plan, 5, 90, 4), cuts=FINE)
    before = bytes_of(packed.path)
    assert repair(store, plan, packed) == []
    broken_ones = [1, 6, packed.num_batches, len(packed.regions) - 1]
    for number in broken_ones:
        path, offset, length = packed.place(number)
        with path.open("r+b") as file:
            file.seek(offset + length // 2)
            file.write(b"damage")
    path, offset, _ = packed.where_place(8)
    with path.open("r+b") as file:
        file.seek(offset + 8)
        file.write(b"damage")
    assert repair(store, plan, packed) == sorted([*broken_ones, 8])
    assert bytes_of(packed.path) == before
    check_rows(store, plan, packed)


def test_damaged_features_are_not_packed(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s")
    for _ in damaged(store.arrays["node/x"].path, "flipped"):
        with pytest.raises(DamagedFile, match=r"x\.bin is damaged"):
            pack(store, plan, levels(store, plan, 5, 90))
    check_rows(store, plan, pack(store, plan, levels(store, plan, 5, 90)))


def test_a_second_packer_is_refused(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s")
    chosen = levels(store, plan, 5, 90)
    path = pack(store, plan, chosen, cuts=FINE).path
    before = bytes_of(path)
    (path / "pack.json").unlink()
    with locked(path / ".lock"), pytest.raises(StorageError, match="in use"):
        pack(store, plan, chosen, cuts=FINE)
    pack(store, plan, chosen, cuts=FINE)
    assert bytes_of(path) == before


def test_two_packers_at_once_make_one_pack(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s", columns=WIDE)
    chosen = levels(store, plan, 5, 90)
    path = pack(store, plan, chosen, cuts=FINE).path
    before = bytes_of(path)
    shutil.rmtree(path)
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=_pack_or_wait, args=(store, plan, chosen)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    assert bytes_of(path) == before


def _pack_or_wait(store: Store, plan: Plan, chosen: Placement) -> None:
    for _ in range(2000):
        try:
            pack(store, plan, chosen, threads=1, cuts=FINE)
            return
        except StorageError as error:
            if "in use" not in str(error):
                raise
            time.sleep(0.02)


def test_wrong_combinations_cannot_be_opened(tmp_path: Path) -> None:
    store, plan = world(tmp_path / "s")
    packed = pack(store, plan, levels(store, plan, 5, 90), cuts=FINE)
    assert packed.pack_id == pack_id(store, plan, levels(store, plan, 5, 90))
    assert packed.pack_id != pack_id(store, plan, levels(store, plan, 5, 91))
    other = sample_ahead(store, (6, 4), 30, sampled_epochs=1, seed=5)
    shutil.copytree(packed.path, other.path / "packs" / packed.pack_id)
    with pytest.raises(DataError, match="was made for the plan"):
        Pack.open(store, other, packed.pack_id)
    with pytest.raises(UnknownName):
        Pack.open(store, plan, "nothing")
