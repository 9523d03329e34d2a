"""A store holds what was put into it, or says which byte it does not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.data.batching import FullGraph
from graphkit.data.sampler import Csc
from graphkit.data.split import Split
from graphkit.errors import DamagedFile, DataError, DataNotFound, GraphkitError, SettingError
from graphkit.ooc.disk import BLOCK
from graphkit.ooc.manifest import MANIFEST, read_manifest
from graphkit.ooc.prepare import Settings
from graphkit.ooc.store import Store
from graphkit.tasks import MultilabelNodes, NodeClassification
from tests.ooc.fault_layer import each_fault, tree
from tests.ooc.graphs import random_problem, store_of
from tests.tiny import node_problem, production_problem


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose features fill three blocks."""
    path = tmp_path_factory.mktemp("large") / "store"
    store_of(random_problem(20_000, 50_000, 32), path)
    return path


def copied(path: Path, to: Path) -> Path:
    return Path(shutil.copytree(path, to / "copy"))


def test_equals_the_problem_in_memory(tmp_path: Path) -> None:
    problem = node_problem()
    store = store_of(problem, tmp_path / "store")
    assert (store.num_nodes, store.num_edges, store.name) == (6, 14, "tiny/nodes")
    assert store.dims == problem.dims
    assert store.task == problem.task
    assert store.brings == ()
    assert store.arrays["node/x"].row_bytes == 12
    expected = Csc.of(problem.data.edge_index, 6)
    for csc in (store.csc(), store.csc(in_memory=False)):
        assert torch.equal(csc.colptr, expected.colptr)
        assert torch.equal(csc.row, expected.row)
        assert csc.edge is None
    assert np.array_equal(store.decode(store.load("node/x")), problem.data.x.numpy())
    assert torch.equal(store.labels(), problem.data.y)
    for part in ("train", "val", "test", "hidden"):
        assert torch.equal(store.split.part(part), problem.split.part(part))


def test_as_a_problem(tmp_path: Path) -> None:
    problem = store_of(node_problem(), tmp_path / "store").problem(FullGraph())
    assert set(problem.data.to_dict()) == {"y", "num_nodes"}
    assert problem.blind().data.y.tolist() == [0, 0, -1, 1, 1, -1]


def test_groups_hidden_nodes_and_labels_stay(tmp_path: Path) -> None:
    problem = production_problem()
    split = replace(problem.split, groups={"old": torch.tensor([3, 5])})
    assert isinstance(split, Split)
    problem = replace(problem, split=split)
    problem.data.y = torch.tensor([[0.0, 1.0]] * 7 + [[float("nan"), 1.0]])
    problem = replace(problem, task=MultilabelNodes(measures=("roc_auc",)), checked=False)
    store = store_of(problem, tmp_path / "store")
    assert store.split.hidden.tolist() == [2, 6]
    assert store.split.groups["old"].tolist() == [3, 5]
    assert torch.equal(store.labels().nan_to_num(7), problem.data.y.nan_to_num(7))
    assert store.task == problem.task


def test_opened_elsewhere_and_read_only(tmp_path: Path) -> None:
    store = store_of(node_problem(), tmp_path / "store")
    moved = copied(store.path, tmp_path)
    for path in [*moved.rglob("*"), moved]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        before = tree(moved)
        opened = Store.open(str(moved), verify="full")
        assert opened.uuid == store.uuid
        assert opened.graph_digest == store.graph_digest
        assert opened.features_digest == store.features_digest
        assert opened.csc(in_memory=False).num_nodes == 6
        assert tree(moved) == before
    finally:
        for path in [moved, *moved.rglob("*")]:
            path.chmod(0o755)


def test_names_of_content_follow_the_content(tmp_path: Path) -> None:
    first = store_of(node_problem(), tmp_path / "1")
    half = store_of(node_problem(), tmp_path / "2", Settings(dtype="float16"))
    problem = node_problem()
    problem.data.x = problem.data.x + 1
    other = store_of(problem, tmp_path / "3")
    assert first.graph_digest == half.graph_digest == other.graph_digest
    assert len({s.features_digest for s in (first, half, other)}) == 3
    assert len({s.uuid for s in (first, half, other)}) == 3


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="no such folder"):
        Store.open(tmp_path / "absent")
    with pytest.raises(DataNotFound, match="written last"):
        Store.open(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataNotFound):
        Store.open(tmp_path / "file")
    with pytest.raises(SettingError, match="'lazy', 'full' or 'off'"):
        Store.open(tmp_path, verify="maybe")


def test_newer_and_older_schemas(tmp_path: Path) -> None:
    path = store_of(node_problem(), tmp_path / "store").path / MANIFEST
    whole = json.loads(path.read_bytes())
    path.write_text(json.dumps(whole | {"schema": [2, 0]}))
    with pytest.raises(DataError, match=r"schema 2\.0.*Install a newer graphkit"):
        Store.open(path.parent)
    path.write_text(json.dumps(whole | {"schema": [1, 7]}))
    with pytest.raises(DamagedFile, match="checksum"):  # changed by hand
        Store.open(path.parent)
    path.write_text(json.dumps(whole | {"format": "another"}))
    with pytest.raises(DamagedFile, match="another"):
        Store.open(path.parent)


def test_places_outside_the_store_are_refused(tmp_path: Path) -> None:
    """Also where somebody made the checksum fit."""
    import xxhash

    path = store_of(node_problem(), tmp_path / "store").path / MANIFEST
    whole = json.loads(path.read_bytes())
    for place in ("../secret.bin", "/etc/passwd", "node/../../x.bin", "node/..bin"):
        whole["arrays"]["node/x"]["file"] = place
        whole.pop("checksum", None)
        text = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
        whole["checksum"] = xxhash.xxh3_128_hexdigest(text)
        path.write_text(json.dumps(whole))
        with pytest.raises(DamagedFile, match="no place inside a store"):
            Store.open(path.parent)


def test_every_flipped_bit_of_the_manifest_is_seen(tmp_path: Path) -> None:
    path = store_of(node_problem(), tmp_path / "store").path / MANIFEST
    good = path.read_bytes()
    reference = read_manifest(path.parent)
    draw = np.random.default_rng(0)
    for at in draw.integers(0, len(good), 300).tolist():
        bad = bytearray(good)
        bad[at] ^= 1 << int(draw.integers(8))
        path.write_bytes(bytes(bad))
        try:
            found = read_manifest(path.parent)
        except GraphkitError:
            continue
        assert found == reference  # white space alone


@pytest.mark.parametrize("garbage", [b"", b"{}", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_garbage_for_a_manifest(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(garbage)
    with pytest.raises(DamagedFile):
        Store.open(tmp_path)


@pytest.mark.parametrize("name", ["graph/indptr", "graph/indices", "node/x", "node/y"])
@pytest.mark.parametrize("suffix", [".bin", ".sum"])
def test_lengths_are_always_checked(large: Path, tmp_path: Path, name: str, suffix: str) -> None:
    path = copied(large, tmp_path)
    file = path / f"{name}{suffix}"
    good = file.read_bytes()
    for bad, message in ((good[:-1], "shorter"), (good + b"1", "longer")):
        file.write_bytes(bad)
        with pytest.raises(DamagedFile, match=message):
            Store.open(path, verify="off")
    file.unlink()
    with pytest.raises(DamagedFile, match="missing"):
        Store.open(path)


def test_flipped_bits_are_found_when_read(large: Path, tmp_path: Path) -> None:
    path = copied(large, tmp_path)
    draw = np.random.default_rng(1)
    for name, array in Store.open(path).arrays.items():
        for file in (array.path, array.sums):
            good = file.read_bytes()
            for at in draw.integers(0, max(len(good), 1), 3 if good else 0).tolist():
                bad = bytearray(good)
                bad[at] ^= 1 << int(draw.integers(8))
                file.write_bytes(bytes(bad))
                with pytest.raises(DamagedFile, match=file.name):
                    Store.open(path).load(name)
                with pytest.raises(DamagedFile, match=file.name):
                    Store.open(path, verify="full")
            file.write_bytes(good)
    Store.open(path, verify="full")


def test_swapped_zeroed_and_mixed_blocks_are_found(large: Path, tmp_path: Path) -> None:
    path = copied(large, tmp_path)
    file = path / "node" / "x.bin"
    good = file.read_bytes()
    swapped = good[BLOCK : 2 * BLOCK] + good[:BLOCK] + good[2 * BLOCK :]
    zeroed = good[:BLOCK] + bytes(BLOCK) + good[2 * BLOCK :]
    for bad, number in ((swapped, 0), (zeroed, 1)):
        file.write_bytes(bad)
        message = f"block {number}, bytes {number * BLOCK} to"
        with pytest.raises(DamagedFile, match=message):
            Store.open(path).load("node/x")
    other = store_of(random_problem(20_000, 50_000, 32, seed=1), tmp_path / "other").path
    for suffix in (".bin", ".sum"):  # a file of another store, with its own checksums
        shutil.copy(other / "node" / f"x{suffix}", path / "node" / f"x{suffix}")
    with pytest.raises(DamagedFile, match="not the table the manifest names"):
        Store.open(path).load("node/x")


def test_a_damaged_graph_is_found_before_it_is_mapped(large: Path, tmp_path: Path) -> None:
    path = copied(large, tmp_path)
    file = path / "graph" / "indices.bin"
    bad = bytearray(file.read_bytes())
    bad[4000] ^= 1
    file.write_bytes(bytes(bad))
    with pytest.raises(DamagedFile, match="block 0"):
        Store.open(path).csc(in_memory=False)


@pytest.mark.parametrize("kind", ["EIO", "short"])
def test_every_fault_while_reading(large: Path, kind: str) -> None:
    expected = Store.open(large).load("node/x")

    def run() -> bool:
        store = Store.open(large, verify="full")
        return bool(np.array_equal(store.load("node/x"), expected))

    for _, result in each_fault(run, kind, ("open", "preadv")):
        assert result is True or isinstance(result, GraphkitError)


def test_tasks_a_store_cannot_hold(tmp_path: Path) -> None:
    from graphkit.tasks import NodesOfGraphs

    problem = replace(node_problem(), task=NodesOfGraphs(num_classes=2), checked=True)
    assert isinstance(problem.task, NodeClassification)
    with pytest.raises(DataError, match="NodesOfGraphs"):
        store_of(problem, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "store.draft").exists()
