"""Batches drawn ahead are those drawn on the way, to the bit, whatever happens meanwhile."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphkit.data.batching import SampledNodes
from graphkit.data.problem import Turn
from graphkit.errors import DamagedFile, DataError, SettingError, StorageError, UnknownName
from graphkit.ooc import plan_files
from graphkit.ooc.disk import locked
from graphkit.ooc.plan import Plan
from graphkit.ooc.sample_ahead import Steps, sample_ahead
from graphkit.ooc.store import Store
from tests.ooc.fault_layer import WRITES, Kind, damaged, faulty, killed_at
from tests.ooc.stores import bytes_of, edges_of, make_store, random_edges

SMALL = Steps(shard_bytes=20_000, commit_bytes=9_000)  # several shards, many commits


@pytest.fixture
def store(tmp_path: Path) -> Store:
    train = torch.randperm(600, generator=torch.Generator().manual_seed(1))[:101]
    return make_store(tmp_path / "store", random_edges(600, 4000), 600, train=train)


@pytest.mark.parametrize("fanouts", [(3, 2), (-1,), (2, 0, 3), (300, 2), (2, -1, 4), (0,)])
@pytest.mark.parametrize("part", ["train", "val", "all"])
def test_the_batches_are_those_of_sampled_nodes(
    store: Store, fanouts: tuple[int, ...], part: str
) -> None:
    """101 seeds, 20 a batch: the last batch has one seed; node 0 has 500 in-edges."""
    plan = sample_ahead(store, fanouts, 20, part, sampled_epochs=2, seed=7)
    data = Data(edge_index=edges_of(store), num_nodes=600, x=torch.arange(600)[:, None])
    items = torch.arange(600) if part == "all" else store.split.part(part)
    number = 0
    for epoch in range(2):
        for batch in SampledNodes(fanouts, 20)(data, items, Turn(part, 7, epoch)):
            drawn = plan.batch(number)
            assert torch.equal(drawn.n_id, batch.n_id)
            assert torch.equal(drawn.edge_index, batch.edge_index)
            assert drawn.edge_index.dtype == batch.edge_index.dtype
            assert drawn.num_seeds == len(batch.seeds)
            assert drawn.nodes == batch.num_sampled_nodes
            assert drawn.edges == batch.num_sampled_edges
            assert np.array_equal(plan.ids(number), batch.n_id)
            number += 1
    assert plan.num_batches == number == 2 * plan.batches_per_epoch
    assert plan.sampled_epochs == 2


def test_counts_are_exact(store: Store) -> None:
    plan = sample_ahead(store, (4, 3), 20)
    wanted = Counter(int(v) for b in range(plan.num_batches) for v in plan.batch(b).n_id)
    assert plan.counts().tolist() == [wanted[v] for v in range(600)]
    assert plan.totals["nodes"] == sum(wanted.values()) == int(plan.num_ids().sum())
    assert plan.totals["most_nodes"] == max(len(plan.ids(b)) for b in range(plan.num_batches))


def test_widths_follow_the_largest_count(tmp_path: Path) -> None:
    """A star of 70,000 leaves: one count that needs four bytes; others fit in one."""
    leaves = torch.arange(1, 70_001)
    star = torch.stack([leaves, torch.zeros_like(leaves)])
    store = make_store(tmp_path / "store", star, 70_001, train=torch.tensor([5, 0]), columns=1)
    plan = sample_ahead(store, (-1,), 1, sampled_epochs=1)
    widths = {int(plan.ids(b)[0]): int(plan.records[b]["count_bytes"]) for b in range(2)}
    assert widths == {0: 4, 5: 1}
    hub = next(b for b in range(2) if plan.ids(b)[0] == 0)
    assert torch.equal(plan.batch(hub).n_id, torch.arange(70_001))


def test_ids_of_eight_bytes_come_back(store: Store) -> None:
    """Where the graph has 2**31 nodes and more; the width is in the record."""
    plan = sample_ahead(store, (4, 3), 20)
    drawn = plan.batch(0)
    from torch_geometric.sampler import SamplerOutput

    out = SamplerOutput(
        node=drawn.n_id + (1 << 33),
        row=drawn.edge_index[0],
        col=drawn.edge_index[1],
        edge=None,
        num_sampled_nodes=drawn.nodes,
        num_sampled_edges=drawn.edges,
    )
    again = plan_files.decode(*plan_files.encode(plan_files.Hops.of(out), 8))
    assert torch.equal(again.n_id, drawn.n_id + (1 << 33))
    assert torch.equal(again.edge_index, drawn.edge_index)


@pytest.mark.parametrize("how", [{"threads": 3}, {"memory": 12_000}])
def test_threads_and_memory_leave_no_trace(store: Store, how: dict[str, int]) -> None:
    plan = sample_ahead(store, (4, 3), 20, threads=1, steps=SMALL)
    before = bytes_of(plan.path)
    assert len([name for name in before if name.startswith("topo")]) > 2
    shutil.rmtree(plan.path)
    sample_ahead(store, (4, 3), 20, steps=SMALL, **how)  # type: ignore[arg-type]
    assert bytes_of(plan.path) == before


def test_other_settings_are_another_plan(store: Store) -> None:
    ids = {
        sample_ahead(store, *words, sampled_epochs=1).plan_id
        for words in [((4, 3), 20), ((4,), 20), ((4, 3), 21), ((4, 3), 20, "val")]
    }
    assert len(ids) == 4
    first = sample_ahead(store, (4, 3), 20, sampled_epochs=1)
    assert bytes_of(Plan.open(store, first.plan_id).path)
    assert first.plan_id in ids


def test_bad_settings_are_named(store: Store) -> None:
    with pytest.raises(SettingError, match="7 hops"):
        sample_ahead(store, (1,) * 7, 20)
    with pytest.raises(SettingError, match="batch_size = 0"):
        sample_ahead(store, (1,), 0)
    with pytest.raises(SettingError, match=r"at least 5\.3 KiB"):
        sample_ahead(store, (1,), 20, memory=1000)
    with pytest.raises(DataError, match=r"'hidden' part of .* is empty"):
        sample_ahead(store, (1,), 20, "hidden")
    with pytest.raises(DataError, match="no part 'valid'"):
        sample_ahead(store, (1,), 20, "valid")
    with pytest.raises(UnknownName, match="unknown plan 'x'"):
        Plan.open(store, "x")


def test_killed_anywhere_and_given_again(store: Store, tmp_path: Path) -> None:
    def work() -> Plan:
        return sample_ahead(store, (4, 3), 20, threads=1, steps=SMALL)

    with faulty(only=WRITES) as layer:
        plan = work()
    before, path = bytes_of(plan.path), plan.path
    calls = layer.calls
    assert len(calls) > 20
    for at in range(1, len(calls) + 1):
        shutil.rmtree(path)
        assert killed_at(at, work, WRITES)
        work()
        assert bytes_of(path) == before, calls[at - 1]


def test_batches_that_reached_the_disk_are_not_drawn_again(store: Store) -> None:
    stages: list[int] = []

    def stop(stage: str, done: int, total: int) -> None:
        stages.append(done)
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_ahead(store, (4, 3), 20, threads=1, steps=SMALL, watch=stop)
    sample_ahead(store, (4, 3), 20, threads=1, steps=SMALL, watch=lambda *w: stages.append(w[1]))
    assert stages[:8] == list(range(1, 9))
    assert 1 < stages[8] <= 9
    assert stages[-1] == 12


@pytest.mark.parametrize("kind", ["ENOSPC", "EIO"])
def test_every_failing_write_is_named_and_mended_by_giving_it_again(
    store: Store, kind: Kind
) -> None:
    plan = sample_ahead(store, (4, 3), 20, threads=1, steps=SMALL)
    before, path = bytes_of(plan.path), plan.path
    failed = 0
    for at in range(1, 200):
        shutil.rmtree(path)
        with faulty(at, kind, WRITES):
            try:
                sample_ahead(store, (4, 3), 20, threads=1, steps=SMALL)
            except StorageError as error:
                message = str(error)
            else:
                break
        failed += 1
        assert path.name in message
        assert not list(path.rglob("*.tmp*"))
        sample_ahead(store, (4, 3), 20, threads=1, steps=SMALL)
        assert bytes_of(path) == before
    assert failed > 20


@pytest.mark.parametrize("how", ["flipped", "shorter", "longer", "empty"])
@pytest.mark.parametrize("name", ["plan.json", "batches.idx", "counts.bin", "topo-001.bin"])
def test_damage_is_named(store: Store, name: str, how: str) -> None:
    plan = sample_ahead(store, (4, 3), 20, steps=SMALL)
    for _ in damaged(plan.path / name, how, 100):
        with pytest.raises(DamagedFile, match=name.split(".")[0]):
            Plan.open(store, plan.plan_id).check()
    Plan.open(store, plan.plan_id).check()
    (plan.path / name).unlink()
    with pytest.raises(DamagedFile, match=name):
        Plan.open(store, plan.plan_id)


def test_a_second_one_that_draws_the_same_plan_is_refused(store: Store, tmp_path: Path) -> None:
    path = sample_ahead(store, (4, 3), 20, steps=SMALL).path
    before = bytes_of(path)
    (path / "plan.json").unlink()
    with locked(path / ".lock"), pytest.raises(StorageError, match="in use"):
        sample_ahead(store, (4, 3), 20, steps=SMALL)
    sample_ahead(store, (4, 3), 20, steps=SMALL)
    assert bytes_of(path) == before


def test_a_plan_of_another_graph_is_refused(store: Store, tmp_path: Path) -> None:
    plan = sample_ahead(store, (4, 3), 20)
    other = make_store(tmp_path / "o", random_edges(600, 4000, 9), 600, train=torch.arange(9))
    shutil.copytree(plan.path, other.path / "plans" / plan.plan_id)
    with pytest.raises(DataError, match="another graph"):
        Plan.open(other, plan.plan_id)
