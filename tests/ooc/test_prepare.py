"""Preparing ends with the same bytes whatever the memory, the source and the interruptions."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import AddSelfLoops, Compose, ToUndirected, VirtualNode
from torch_geometric.utils import sort_edge_index, to_undirected

import graphkit
from graphkit.data.problem import Problem
from graphkit.errors import (
    DataError,
    GraphkitError,
    SettingError,
    StorageError,
)
from graphkit.ooc.disk import locked
from graphkit.ooc.inputs import of_data, of_problem
from graphkit.ooc.prepare import Settings, disk_bytes, id_type, prepare
from graphkit.ooc.store import Store
from graphkit.ooc.verify import verify
from tests.ooc.fault_layer import each_fault, faulty, killed_at, tree
from tests.ooc.graphs import random_problem, same, store_of
from tests.tiny import graph_problem, node_problem, node_problem_bare, node_problem_symbols


def with_edges(problem: Problem, edges: torch.Tensor) -> Problem:
    data = Data(x=problem.data.x, y=problem.data.y, edge_index=edges)
    return replace(problem, data=data, checked=False)


@pytest.mark.parametrize("num_edges", [0, 1, 20_000])
def test_equals_the_problem_in_memory(tmp_path: Path, num_edges: int) -> None:
    problem = random_problem(num_edges=num_edges)
    store = store_of(problem, tmp_path / "store")
    same(store, problem)
    assert store.dims == problem.dims
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store"]
    verify(store.path, deep=True)


@pytest.mark.data
def test_pubmed(tmp_path: Path) -> None:
    problem = graphkit.load_problem("pubmed/public", seed=0)
    store = store_of(problem, tmp_path / "store")
    same(store, problem)
    assert (store.num_nodes, store.num_edges) == (19_717, 88_648)
    verify(store.path, deep=True)


def test_memory_does_not_decide_on_bytes(tmp_path: Path) -> None:
    """1.3 million edges in both directions are more than 16 MiB hold at once."""
    problem = random_problem(5000, 1_300_000, 4)
    settings = Settings(undirected=True, dedup=True)
    trees = [
        tree(prepare(of_problem(problem), tmp_path / name, settings, memory=memory).path)
        for name, memory in (("small", 16 << 20), ("large", 1 << 30))
    ]
    assert trees[0] == trees[1]
    assert "scratch/edges.tmp" not in trees[0]
    expected = to_undirected(problem.data.edge_index, num_nodes=5000)
    same(Store.open(tmp_path / "small"), with_edges(problem, expected))


def test_edges_as_asked_for(tmp_path: Path) -> None:
    problem = node_problem()
    edges = torch.tensor([[0, 0, 1, 4, 4], [1, 1, 0, 4, 5]])
    problem = with_edges(problem, edges)
    proper = edges[:, edges[0] != edges[1]]
    own = torch.arange(6).repeat(2, 1)
    for number, (settings, expected) in enumerate(
        [
            (Settings(), edges),
            (Settings(dedup=True), torch.unique(edges, dim=1)),
            (Settings(undirected=True), torch.cat([edges, edges.flip(0)], dim=1)),
            (Settings(undirected=True, dedup=True), to_undirected(edges, num_nodes=6)),
            (Settings(loops="drop"), proper),
            (Settings(loops="add"), torch.cat([proper, own], dim=1)),
        ]
    ):
        store = store_of(problem, tmp_path / str(number), settings)
        order = sort_edge_index(expected, sort_by_row=False)
        same(store, with_edges(problem, order))


def test_half_precision(tmp_path: Path) -> None:
    problem = random_problem()
    store = store_of(problem, tmp_path / "store", Settings(dtype="float16"))
    assert store.arrays["node/x"].row_bytes == 50
    assert np.array_equal(store.decode(store.load("node/x")), problem.data.x.half().float().numpy())
    problem.data.x[17, 3] = 1e5
    with pytest.raises(DataError, match=r"node 17 hold 100000\.0 in column 3, too large"):
        store_of(problem, tmp_path / "large", Settings(dtype="float16"))


def test_steps_of_int8_are_within_half_a_step(tmp_path: Path) -> None:
    problem = random_problem()
    problem.data.x[:, 2] = 0
    problem.data.x[:, 3] *= 1000
    store = store_of(problem, tmp_path / "store", Settings(dtype="int8"))
    x = problem.data.x.numpy()
    found = store.decode(store.load("node/x"))
    scale = np.where(np.abs(x).max(axis=0) > 0, np.abs(x).max(axis=0) / 127, 1)
    assert store.scale is not None
    np.testing.assert_allclose(store.scale, scale, rtol=1e-6)
    assert (np.abs(found - x) <= scale * 0.50001).all()
    assert not found[:, 2].any()
    same_rows = store.load("node/x").view(np.uint8)
    assert np.array_equal(store.decode(same_rows), found)


def test_the_same_call_again_opens_the_store(tmp_path: Path) -> None:
    problem = node_problem()
    first = store_of(problem, tmp_path / "store")
    before = {path: path.stat().st_mtime_ns for path in first.path.rglob("*")}
    assert store_of(problem, tmp_path / "store").uuid == first.uuid
    assert {path: path.stat().st_mtime_ns for path in first.path.rglob("*")} == before
    with pytest.raises(SettingError, match="something else, or prepared otherwise"):
        store_of(problem, tmp_path / "store", Settings(dtype="int8"))
    (tmp_path / "other").mkdir()
    store_of(problem, tmp_path / "other")  # an empty folder is taken
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_bytes(b"")
    with pytest.raises(SettingError, match="no store"):
        store_of(problem, tmp_path / "full")


def test_one_writer(tmp_path: Path) -> None:
    (tmp_path / "store.draft").mkdir()
    with (
        locked(tmp_path / "store.draft" / ".lock"),
        pytest.raises(StorageError, match="in use by another process"),
    ):
        store_of(node_problem(), tmp_path / "store")
    store_of(node_problem(), tmp_path / "store")


def test_killed_at_any_call(tmp_path: Path) -> None:
    """Killed at every third open, write, flush or rename, and at the first and last of each kind,
    the same call ends with the same bytes."""
    problem = node_problem()
    with faulty() as layer:
        expected = tree(store_of(problem, tmp_path / "whole").path)
    calls = layer.calls
    assert len(calls) > 100
    ends = [calls.index(name) + 1 for name in set(calls)]
    ends += [len(calls) - calls[::-1].index(name) for name in set(calls)]
    for at in sorted({*ends, *range(1, len(calls) + 1, 3)}):
        path = tmp_path / f"store-{at}"
        assert killed_at(at, lambda path=path: store_of(problem, path))
        if path.exists():
            assert tree(path) == expected  # a store is there whole or not at all
        with faulty():
            assert tree(store_of(problem, path).path) == expected, at
        assert not path.with_name(f"{path.name}.draft").exists()


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each run comes a little further, and the last one ends."""
    problem = random_problem(500, 3000)
    expected = tree(store_of(problem, tmp_path / "whole").path)
    path = tmp_path / "store"
    kills = 0
    while killed_at(50, lambda: store_of(problem, path)):
        kills += 1
        assert kills < 30
    assert kills >= 2
    assert tree(path) == expected


@pytest.mark.parametrize("kind", ["EIO", "ENOSPC", "short"])
def test_every_fault(tmp_path: Path, kind: Any) -> None:
    problem = node_problem()
    expected = tree(store_of(problem, tmp_path / "whole").path)
    number = 0

    def run() -> dict[str, bytes]:
        nonlocal number
        number += 1
        return tree(store_of(problem, tmp_path / f"store-{number}").path)

    faults = 0
    for at, result in each_fault(run, kind):
        path = tmp_path / f"store-{number}"
        if isinstance(result, Exception):
            faults += 1
            assert isinstance(result, GraphkitError), (at, result)
        else:
            assert result == expected, at
        with faulty():
            assert tree(store_of(problem, path).path) == expected, at
    assert faults > 40 or kind == "short"


def test_a_full_disk(tmp_path: Path) -> None:
    problem = random_problem(5000, 1000, 64)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"x\.bin"):
            store_of(problem, tmp_path / "store")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "store.draft" / "node" / "x.bin").exists()
    same(store_of(problem, tmp_path / "store"), problem)


def test_no_room_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    module = sys.modules["graphkit.ooc.prepare"]
    source = of_problem(random_problem())
    assert disk_bytes(source) == 3000 * 25 * 4 + 3000 * 8 + 3001 * 8 + 20_000 * 16
    monkeypatch.setattr(module, "free_bytes", lambda path: 1000)
    with pytest.raises(StorageError, match=r"needs 652\.4 KiB of disk, 1000 B are free"):
        prepare(source, tmp_path / "store")


def test_only_finished_arrays_of_the_same_source_are_taken_over(tmp_path: Path) -> None:
    """Interrupted with one source, prepared with another: nothing is mixed."""
    first, second = random_problem(seed=1), random_problem(seed=2)
    assert killed_at(40, lambda: store_of(first, tmp_path / "store"))
    assert (tmp_path / "store.draft").exists()
    same(store_of(second, tmp_path / "store"), second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: graph_problem(), "not one graph"),
        (lambda p: node_problem_bare(), "needs x, edge_index and y"),
        (lambda p: node_problem_symbols(), "a store holds float vectors"),
        (lambda p: p.with_field("soft", torch.zeros(6, 2)), None),
    ],
)
def test_problems_a_store_cannot_hold(
    tmp_path: Path, change: Callable[[Problem], Problem], message: str | None
) -> None:
    problem = change(node_problem())
    if message is None:  # what a stage left stays out of the store
        store_of(problem, tmp_path / "store")
        return
    with pytest.raises(DataError, match=message):
        of_problem(problem)


def test_fields_are_left_out_knowingly(tmp_path: Path) -> None:
    problem = node_problem()
    problem.data.edge_weight = torch.ones(14)
    with pytest.raises(DataError, match=r"edge_weight.*Pass drop="):
        of_problem(problem)
    prepare(of_problem(problem, drop=("edge_weight",)), tmp_path / "store")


def test_features_that_are_no_numbers(tmp_path: Path) -> None:
    problem = random_problem()
    problem.data.x[2000, 7] = float("nan")
    with pytest.raises(DataError, match="node 2000 hold nan in column 7"):
        store_of(problem, tmp_path / "store")
    assert not (tmp_path / "store.draft").exists()
    allowed = store_of(replace(problem, allow_nonfinite=True), tmp_path / "store")
    assert np.isnan(allowed.load("node/x")[2000, 7])


def test_a_pre_transform_is_applied_and_named(tmp_path: Path) -> None:
    problem = random_problem()
    transform = Compose([ToUndirected(), AddSelfLoops()])
    store = prepare(of_problem(problem, transform), tmp_path / "store")
    assert store.brings == (repr(transform),)
    plain = Data(edge_index=problem.data.edge_index, num_nodes=3000)
    expected = sort_edge_index(transform(plain).edge_index, sort_by_row=False)
    same(store, with_edges(problem, expected))
    with pytest.raises(GraphkitError):
        of_problem(problem, VirtualNode())


def test_a_graph_with_masks(tmp_path: Path) -> None:
    problem = node_problem()
    data = Data.from_dict(problem.data.to_dict())
    for name in ("train", "val", "test"):
        mask = torch.zeros(6, dtype=torch.bool)
        mask[problem.split.part(name)] = True
        data[f"{name}_mask"] = mask
    same(prepare(of_data(data, "tiny/nodes"), tmp_path / "store"), problem)
    data.val_mask = None
    with pytest.raises(DataError, match="val_mask"):
        of_data(data, "tiny/nodes")


def test_bad_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="float64"):
        Settings(dtype="float64")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="loops"):
        Settings(loops="maybe")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"at least 16\.0 MiB"):
        prepare(of_problem(node_problem()), tmp_path / "store", memory=1 << 20)
    source = replace(of_problem(node_problem()), labels=torch.tensor([0, 0, 0, 1, 1, 2]))
    with pytest.raises(DataError, match=r"y\[5\] = 2"):
        prepare(source, tmp_path / "store")


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    prepare(of_problem(random_problem()), tmp_path / "store", watch=lambda *row: seen.append(row))
    ends = {stage: (done, total) for stage, done, total in seen}
    assert ends["writing features"] == (3000 * 100, 3000 * 100)
    assert ends["reading edges"] == (20_000 * 16, 20_000 * 16)
    assert ends["sorting edges"] == (20_000 * 8, 20_000 * 8)


def test_ids_are_wide_where_they_must_be() -> None:
    assert id_type(2**31 - 1) == np.int32
    assert id_type(2**31) == np.int64
