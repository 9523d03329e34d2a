"""A plan drawn by reading the graph front to back is the one drawn from memory, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.data.sampler import SeededNeighbors
from graphkit.errors import DamagedFile, SettingError, StorageError
from graphkit.ooc import sample_ahead as module
from graphkit.ooc.block_runs import BlockRuns
from graphkit.ooc.blocks import ArrayWriter
from graphkit.ooc.disk import BLOCK, aligned
from graphkit.ooc.plan import Plan
from graphkit.ooc.plan_files import Hops, encode
from graphkit.ooc.sample_ahead import Steps, plan_settings, sample_ahead
from graphkit.ooc.scan_batch import Batch
from graphkit.ooc.scan_sample import ScanSampler
from graphkit.ooc.sealed import identity
from graphkit.ooc.store import Store
from tests.ooc.fault_layer import WRITES, damaged, each_fault, killed_at
from tests.ooc.stores import bytes_of, make_store, random_edges

ROOT = Path(__file__).parents[2]
SMALL = Steps(shard_bytes=20_000, commit_bytes=9_000, group=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    train = torch.randperm(600, generator=torch.Generator().manual_seed(1))[:101]
    return make_store(tmp_path / "store", random_edges(600, 4000), 600, train=train)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three blocks of starts and six of edges; node 7 has 700,000 in-edges, more than two blocks,
    nodes before and after it have few, and the list of another begins where a block does."""
    nodes = 300_000
    draw = torch.Generator().manual_seed(0)
    into = torch.cat(
        [
            torch.randint(nodes, (900_000,), generator=draw),
            torch.full((700_000,), 7),
            torch.full((1, 5), nodes - 1).flatten(),
        ]
    )
    into = into.sort().values
    edges = torch.stack([torch.randint(nodes, (len(into),), generator=draw), into])
    train = torch.cat([torch.tensor([7, 6, 8, nodes - 1, 0]), torch.arange(1000, nodes, 997)])
    path = tmp_path_factory.mktemp("large") / "store"
    return make_store(path, edges, nodes, train=train, columns=1)


def drawn(store: Store, *words: object, **named: object) -> dict[str, str]:
    """Bytes of a plan that is drawn, and removed again."""
    plan = sample_ahead(store, *words, **named)  # type: ignore[arg-type]
    content = bytes_of(plan.path)
    shutil.rmtree(plan.path)
    return content


@pytest.mark.parametrize("fanouts", [(3, 2), (-1,), (2, 0, 3), (300, 2), (2, -1, 4), (0,)])
@pytest.mark.parametrize("part", ["train", "val", "all"])
def test_plans_are_those_of_memory(store: Store, fanouts: tuple[int, ...], part: str) -> None:
    words = (store, fanouts, 20, part, 2, 7)
    assert drawn(*words, engine="scan") == drawn(*words, engine="memory")


@pytest.mark.parametrize("fanouts", [(5, 3, 4), (-1, 2), (400_000, 2), (300, 0)])
def test_lists_longer_than_a_chunk(
    large: Store, fanouts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of one block: lists reach over one, two and three of them."""
    monkeypatch.setattr("graphkit.ooc.scan_sample._CHUNK", BLOCK)
    words = (large, fanouts, 100, "train", 1)
    assert large.arrays["graph/indices"].num_blocks > 5
    assert drawn(*words, engine="scan") == drawn(*words, engine="memory")


@pytest.mark.parametrize("group", [1, 2, 5, 100])
@pytest.mark.parametrize("threads", [1, 3])
def test_groups_and_threads_leave_no_trace(large: Store, group: int, threads: int) -> None:
    """12 batches of two epochs: groups of one, with a rest, across the epochs, and of all."""
    words = (large, (3, 2), 60)
    found = drawn(*words, engine="scan", threads=threads, steps=Steps(group=group))
    assert found == drawn(*words, engine="memory")


@pytest.mark.parametrize("fanouts", [(5, 3, 4), (-1, 2), (2, -1), (300, 0)])
@pytest.mark.parametrize("room", [1, 37])
def test_windows_leave_no_trace(
    store: Store, fanouts: tuple[int, ...], room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window of one pair, and of few; lists longer than what a window may draw, many batches."""
    real, seen = ScanSampler.__init__, []

    def narrow(self: ScanSampler, *words: object, **named: object) -> None:
        real(self, *words, **named)  # type: ignore[arg-type]
        self._pairs, self._drawn = room, aligned(4)[: 4 * room]

    def noted(self: ScanSampler, pairs: object, *words: object) -> None:
        seen.append(len(pairs.nodes))  # type: ignore[attr-defined]
        look_up(self, pairs, *words)  # type: ignore[arg-type]

    look_up = ScanSampler._look_up
    expected = drawn(store, fanouts, 20, "train", 1, engine="memory")
    monkeypatch.setattr(ScanSampler, "__init__", narrow)
    monkeypatch.setattr(ScanSampler, "_look_up", noted)
    assert drawn(store, fanouts, 20, "train", 1, engine="scan") == expected
    assert len(seen) > len(fanouts) * 6
    assert max(seen) <= room


def test_no_more_is_held_than_there_is_room_for(
    large: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that is begun much too large is cut before memory is exceeded, not after."""
    words = (large, (5, 5, 5), 60)
    begin, fold = ScanSampler._begin, ScanSampler._fold
    alive: weakref.WeakSet[Batch] = weakref.WeakSet()
    held: list[tuple[int, int]] = []

    def noted(self: ScanSampler, epoch: int, seeds: torch.Tensor) -> Batch:
        batch = begin(self, epoch, seeds)
        alive.add(batch)
        return batch

    def folded(self: ScanSampler, *words: object) -> None:
        fold(self, *words)  # type: ignore[arg-type]
        if len(alive) > 1:
            held.append((sum(batch.num_bytes for batch in alive), self.room))

    expected = drawn(*words, engine="memory")
    monkeypatch.setattr(ScanSampler, "_size", lambda self, seeds: 100)
    monkeypatch.setattr(ScanSampler, "_begin", noted)
    monkeypatch.setattr(ScanSampler, "_fold", folded)
    tables = int(8.3 * large.num_nodes) + 2 * BLOCK
    memory = tables + 60_000
    assert drawn(*words, engine="scan", threads=1, memory=memory) == expected
    assert held
    assert all(most <= room for most, room in held)


def test_a_hub_of_many_batches(large: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All batches want a list of 700,000, which is more than a window may draw once."""
    train = torch.cat([torch.full((9,), 7), torch.arange(60)])
    seeds = [train[start::9] for start in range(9)]  # one is node 7 in each
    memory = int(4.3 * large.num_nodes) + 2 * BLOCK + 8_000_000  # a window draws 1 MB
    scan = ScanSampler(large, (-1,), seed=1, memory=memory, threads=2, scratch=large.path)
    own = SeededNeighbors(large.csc(), (-1,), seed=1).at(0)
    found = scan.draw((0, each) for each in seeds)
    for expected, one in zip(own.sample_batches(seeds), found, strict=True):
        for mine, other in zip(encode(Hops.of(expected), 4), encode(one, 4), strict=True):
            assert np.array_equal(mine, other)


def test_a_disk_that_is_full_is_said_and_leaves_nothing(store: Store) -> None:
    """Wherever the disk is full, the scratch file included: given again, the plan is the same."""
    words = {"threads": 1, "engine": "scan", "steps": SMALL}
    before, failed = drawn(store, (4, 3), 20, **words), 0
    for _, result in each_fault(lambda: drawn(store, (4, 3), 20, **words), "ENOSPC", ("pwritev",)):
        assert isinstance(result, StorageError), result
        assert "No space left" in str(result)
        failed += 1
        assert not list(store.path.glob("plans/*/drawn.tmp-*"))
        assert drawn(store, (4, 3), 20, **words) == before
    assert failed > 8


def test_batches_that_do_not_fit_are_left_to_the_next_group(
    large: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every group is begun with all that are left, and drops those there is no room for."""
    words = (large, (5, 5), 60)
    monkeypatch.setattr(ScanSampler, "_size", lambda self, seeds: 100)
    groups: list[tuple[int, int]] = []
    walk = ScanSampler._walk

    def noted(self: ScanSampler, group: list, *pools: object) -> list:
        done = walk(self, group, *pools)  # type: ignore[arg-type]
        groups.append((len(group), len(done)))
        return done

    monkeypatch.setattr(ScanSampler, "_walk", noted)
    tables = int(8.3 * large.num_nodes) + 2 * BLOCK  # counts, a desk, and chunks
    found = drawn(*words, engine="scan", threads=1, memory=tables + 20_000)
    assert found == drawn(*words, engine="memory", memory=1 << 30)
    assert sum(done for _, done in groups) == 12
    assert len(groups) > 2
    assert any(done < begun for begun, done in groups)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_twins_among_seeds_and_wide_ids(store: Store, dtype: type) -> None:
    """Seeds in no order, one of them twice; ids of eight bytes as in a graph of 2**31 nodes."""
    with ArrayWriter(store.path, "graph/wide", dtype, (store.num_edges,)) as writer:
        writer.append(store.load("graph/indices").astype(dtype))
        indices = writer.finish()
    arrays = {**store.arrays, "graph/indices": indices}
    other = replace(store, manifest=replace(store.manifest, arrays=arrays))
    seeds = torch.tensor([0, 17, 3, 17, 599, 0])
    expected = next(SeededNeighbors(store.csc(), (4, 3), seed=5).at(2).sample_batches([seeds]))
    scan = ScanSampler(other, (4, 3), seed=5, memory=64 << 20, threads=1, scratch=store.path)
    record, content = encode(Hops.of(expected), 8)
    for found in scan.draw([(2, seeds), (2, seeds)]):
        assert found.nodes[0].dtype == dtype
        again, bytes_found = encode(found, 8)
        assert again == record
        assert np.array_equal(bytes_found, content)
    assert not list(store.path.glob("*.tmp-*"))


def test_a_graph_without_edges_and_one_of_one_node(tmp_path: Path) -> None:
    none = torch.empty((2, 0), dtype=torch.long)
    bare = make_store(tmp_path / "bare", none, 5, train=torch.tensor([4, 1]))
    loop = torch.zeros((2, 3), dtype=torch.long)
    one = make_store(tmp_path / "one", loop, 5, train=torch.tensor([0]))
    for each in (bare, one):
        for fanouts in ((2, 2), (-1, -1)):
            words = (each, fanouts, 1)
            assert drawn(*words, engine="scan") == drawn(*words, engine="memory")


def test_the_engine_is_chosen_by_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[int] = []
    real = ScanSampler.__init__

    def noted(self: ScanSampler, *words: object, **named: object) -> None:
        scanned.append(1)
        real(self, *words, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module.ScanSampler, "__init__", noted)
    before = drawn(store, (4, 3), 20)
    assert not scanned
    graph = sum(store.arrays[f"graph/{name}"].num_bytes for name in ("indptr", "indices"))
    tables = 9 * 600 + 3 * 320 * 36  # counts and a desk; 80 and 240 edges, three batches
    assert drawn(store, (4, 3), 20, memory=graph + tables) == before
    assert not scanned
    assert drawn(store, (4, 3), 20, memory=graph + tables - 1) == before
    assert len(scanned) == 1
    with pytest.raises(SettingError, match=r"with the graph in memory .* engine = 'scan'"):
        drawn(store, (4, 3), 20, memory=12_000, engine="memory")
    with pytest.raises(SettingError, match="engine = 'mmap'"):
        drawn(store, (4, 3), 20, engine="mmap")


def test_a_plan_may_begin_at_any_epoch(store: Store) -> None:
    """Epochs 2 and 3 alone are those of a plan of four."""
    whole = sample_ahead(store, (4, 3), 20, sampled_epochs=4)
    for engine in ("memory", "scan"):
        late = sample_ahead(store, (4, 3), 20, first_epoch=2, engine=engine)
        assert late.first_epoch == 2
        assert late.plan_id != whole.plan_id
        for number in range(late.num_batches):
            expected, found = whole.batch(number + 2 * whole.batches_per_epoch), late.batch(number)
            assert torch.equal(expected.n_id, found.n_id)
            assert torch.equal(expected.edge_index, found.edge_index)
        shutil.rmtree(late.path)
    with pytest.raises(SettingError, match="first_epoch = -1"):
        sample_ahead(store, (4, 3), 20, first_epoch=-1)


def test_names_of_plans_are_what_they_were(store: Store) -> None:
    """A plan that begins with the first epoch has the settings, and so the name, of old."""
    settings = plan_settings(store, (4, 3), 20, "train", 2, 0)
    assert "first_epoch" not in settings
    assert sample_ahead(store, (4, 3), 20).plan_id == identity(settings)


def test_killed_anywhere_and_given_again(store: Store) -> None:
    def work() -> Plan:
        return sample_ahead(store, (4, 3), 20, threads=1, steps=SMALL, engine="scan")

    plan = work()
    before, path = bytes_of(plan.path), plan.path
    for at in range(1, 200, 3):
        shutil.rmtree(path)
        reached = killed_at(at, work, WRITES)
        work()
        assert bytes_of(path) == before
        if not reached:
            break
    assert at > 20


def test_what_reached_the_disk_is_not_drawn_again_by_the_other_engine(store: Store) -> None:
    """Begun in memory, gone on with by a scan, and the other way round."""
    before = drawn(store, (4, 3), 20, steps=SMALL)
    for engines in (("memory", "scan"), ("scan", "memory")):
        done: list[int] = []

        def stop(stage: str, number: int, total: int) -> None:
            done.append(number)  # noqa: B023
            if number == 8:
                raise KeyboardInterrupt

        words = {"threads": 1, "steps": SMALL}
        with pytest.raises(KeyboardInterrupt):
            sample_ahead(store, (4, 3), 20, watch=stop, engine=engines[0], **words)
        done.clear()
        told = lambda stage, number, total: done.append(number)  # noqa: B023, E731
        plan = sample_ahead(store, (4, 3), 20, watch=told, engine=engines[1], **words)
        assert 1 < done[0] <= 9
        assert bytes_of(plan.path) == before
        shutil.rmtree(plan.path)


def test_every_failing_read_is_named(store: Store) -> None:
    before = drawn(store, (4, 3), 20)
    path = store.path / "plans"
    failed = 0
    words = {"threads": 1, "engine": "scan"}
    for _, result in each_fault(lambda: drawn(store, (4, 3), 20, **words), "EIO", ("preadv",)):
        assert isinstance(result, StorageError), result
        failed += 1
        shutil.rmtree(path)
    assert failed > 6
    for _, result in each_fault(lambda: drawn(store, (4, 3), 20, **words), "short", ("preadv",)):
        assert result == before


@pytest.mark.parametrize("name", ["indptr", "indices"])
def test_damage_is_found_when_it_is_read(large: Store, name: str) -> None:
    array = large.arrays[f"graph/{name}"]
    for _ in damaged(array.path, "flipped", BLOCK + 12):
        with pytest.raises(DamagedFile, match=rf"{name}.bin is damaged: block 1"):
            drawn(large, (3, 2), 60, engine="scan")
        shutil.rmtree(large.path / "plans")
        drawn(replace(large, verify="off"), (3, 2), 60, engine="scan")  # not looked at


def test_only_wanted_blocks_are_read(large: Store) -> None:
    array = large.arrays["graph/indices"]
    whole = large.load("graph/indices")
    runs = BlockRuns(array, check=True)
    with ThreadPoolExecutor(2) as pool:
        for blocks in ([0, 1, 2, 4, 6], [6], [], list(range(7))):
            wanted = runs.none_wanted()
            wanted[blocks] = True
            buffers = [aligned(2 * BLOCK) for _ in range(3)]
            seen = []
            for base, chunk in runs.chunks(wanted, buffers, pool):
                assert np.array_equal(chunk, whole[base : base + len(chunk)])
                first, size = base * 4 // BLOCK, -(-chunk.nbytes // BLOCK)
                assert size <= 2
                seen += range(first, first + size)
            assert seen == blocks


SCRIPT = """
import json, sys, threading
from graphkit.ooc.budget import resident_bytes
from graphkit.ooc.sample_ahead import sample_ahead
from graphkit.ooc.store import Store

warm, store, memory = Store.open(sys.argv[1]), Store.open(sys.argv[2]), int(sys.argv[3])
sample_ahead(warm, (5, 5), 20, engine="scan")
start, seen, over = resident_bytes(), [], threading.Event()

def watch():
    while not over.wait(0.002):
        seen.append(resident_bytes())

looking = threading.Thread(target=watch)
looking.start()
plan = sample_ahead(store, (10, 10), 500, "all", 1, memory=memory, threads=1)
over.set()
looking.join()
print(json.dumps({"held": max(seen) - start, "batches": plan.num_batches}))
"""


def test_memory_stays_within_what_was_given(store: Store, tmp_path: Path) -> None:
    """A graph of 19 MiB, drawn in 9 MiB; the process may hold 2 MiB more for its threads."""
    nodes, memory = 30_000, 9 << 20
    source = torch.randint(nodes, (nodes * 160,), generator=torch.Generator().manual_seed(0))
    edges = torch.stack([source, torch.arange(nodes).repeat_interleave(160)])
    graph = make_store(tmp_path / "g", edges, nodes, train=torch.arange(9), columns=1)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(store.path), str(graph.path), str(memory)],
        capture_output=True, text=True, timeout=240, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["batches"] == 60
    assert 0 < told["held"] <= memory + (2 << 20)
