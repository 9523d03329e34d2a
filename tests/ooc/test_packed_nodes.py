"""Batches from disk are those drawn in memory, to the bit, and so is what is trained on them."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphkit.data.problem import Problem
from graphkit.data.split import Split
from graphkit.errors import DamagedFile, DataError
from graphkit.models.base import as_model
from graphkit.ooc.inputs import of_problem
from graphkit.ooc.packed_nodes import Packed, PackedNodes
from graphkit.ooc.prepare import RowType, prepare
from graphkit.ooc.store import Store
from graphkit.train import describe
from tests.ooc.graphs import random_problem
from tests.ooc.packed import NETS, SIZE, Asks, fitted, packed, same, undirected, world

ROOT = Path(__file__).parents[2]


def pairs(
    memory: Problem, disk: Problem, part: str, epoch: int = 0, first: int = 0
) -> list[tuple[object, object]]:
    both = (p.batches(part, Asks(), epoch, first) for p in (memory, disk))
    return list(zip(*both, strict=True))


def seeds(problem: Problem, epoch: int, **words: int) -> list[list[int]]:
    return [batch.input_id.tolist() for batch in problem.batches("train", None, epoch, **words)]


@pytest.mark.parametrize("words", [{}, {"rows": 200}, {"rows": 200, "span": 4}])
def test_batches_are_those_drawn_in_memory(tmp_path: Path, words: dict[str, int]) -> None:
    memory, disk = world(tmp_path / "s", **words)
    for part, epochs in (("train", 2), ("val", 1), ("test", 1)):
        for epoch in range(epochs):
            found = pairs(memory, disk, part, epoch)
            assert len(found) == -(-len(memory.items(part)) // SIZE) > 1
            for expected, batch in found:
                same(expected, batch)


@pytest.mark.parametrize(
    ("dtype", "columns"), [("float32", 3), ("float16", 25), ("float16", 1), ("int8", 7)]
)
def test_every_type_of_row(tmp_path: Path, dtype: RowType, columns: int) -> None:
    """What is yielded is what the store decodes, for rows of 12, 50, 2 and 7 bytes."""
    _, store = undirected(tmp_path / "s", dtype, columns)
    x = torch.from_numpy(store.decode(store.load("node/x")))
    for rows, span in ((0, 0), (100, 3)):
        parts = {"train": packed(store, rows=rows, span=span)}
        for batch in store.problem(PackedNodes(store, parts)).batches("train"):
            assert batch.x.dtype == torch.float32
            assert torch.equal(batch.x, x[batch.n_id])


@pytest.mark.parametrize("net", ["sage", "gcn"])
def test_fit_is_the_fit_in_memory(tmp_path: Path, net: str) -> None:
    memory, disk = world(tmp_path / "s", rows=150)
    expected, found = fitted(memory, net), fitted(disk, net)
    assert found.history == expected.history
    assert len(found.history) == 2
    for name, value in expected.last.state_dict().items():
        assert torch.equal(value, found.last.state_dict()[name]), name


def test_later_epochs_replay_in_another_order(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    drawn = [seeds(disk, epoch) for epoch in range(6)]
    for epoch in (2, 4):
        assert sorted(drawn[epoch]) == sorted(drawn[0])
    for epoch in (3, 5):
        assert sorted(drawn[epoch]) == sorted(drawn[1])
    assert len({str(order) for order in drawn}) == 6
    assert seeds(disk, 3) == drawn[3]


def test_another_seed_replays_in_its_own_order(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    other = replace(disk, seed=1)
    assert sorted(seeds(other, 0)) == sorted(seeds(disk, 0))
    assert seeds(other, 0) != seeds(disk, 0)


def test_scoring_keeps_the_order_of_items(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    for epoch in (0, 3):
        found = [batch.input_id for batch in disk.batches("val", epoch=epoch)]
        assert torch.equal(torch.cat(found), disk.split.val)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_turn_starts_in_the_middle(tmp_path: Path, epoch: int) -> None:
    _, disk = world(tmp_path / "s")
    whole = seeds(disk, epoch)
    assert seeds(disk, epoch, first=3) == whole[3:]
    assert seeds(disk, epoch, first=len(whole)) == []
    assert seeds(disk, epoch, first=len(whole) + 5) == []


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_ranks_share_all_batches_and_step_equally(tmp_path: Path, ranks: int, epoch: int) -> None:
    memory, disk = world(tmp_path / "s")
    whole = seeds(disk, epoch)
    each = [seeds(disk, epoch, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert {len(mine) for mine in each} == {-(-len(whole) // ranks)}
    in_turn = [batch for step in zip(*each, strict=True) for batch in step]
    assert in_turn[: len(whole)] == whole
    assert in_turn[len(whole) :] == whole[: len(in_turn) - len(whole)]
    if epoch == 1:
        expected = (
            b.input_id.tolist() for b in memory.batches("train", None, 1, 0, rank=1, ranks=ranks)
        )
        assert each[1] == list(expected)


def test_fields_of_a_stage_follow_their_nodes(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    soft = torch.rand(disk.num_items, 4)
    for batch in disk.with_field("soft", soft).batches("val"):
        assert torch.equal(batch.soft, soft[batch.n_id])


def test_parts_and_items_without_a_plan_are_refused(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    with pytest.raises(DataError, match=r"'all' part .* has no plan"):
        next(disk.batches("all"))
    half, _ = disk.halve_train()
    with pytest.raises(DataError, match=r"drawn for the 'train' part .* other items"):
        next(half.batches("train"))


def test_hidden_nodes_are_refused(tmp_path: Path) -> None:
    problem = random_problem(300, 900)
    split = problem.split
    hidden = Split(split.train, split.val, split.test[5:], split.test[:5])
    store = prepare(of_problem(replace(problem, split=hidden)), tmp_path / "s", memory=16 << 20)
    with pytest.raises(DataError, match="5 hidden nodes"):
        PackedNodes(store, {})


def test_a_model_that_needs_other_data_is_refused(tmp_path: Path) -> None:
    problem = random_problem(300, 900)
    store = prepare(of_problem(problem), tmp_path / "s", memory=16 << 20)
    disk = store.problem(PackedNodes(store, {"train": packed(store)}))
    with pytest.raises(DataError, match=r"needs Undirected\(\)"):
        next(disk.batches("train", Asks()))


def test_it_is_a_setting_and_can_be_sent(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    batching = disk.batching
    assert isinstance(batching, PackedNodes)
    names = batching.parts["train"]
    assert describe(batching)["parts"]["train"] == {
        "name": "Packed",
        "plan_id": names.plan_id,
        "pack_id": names.pack_id,
    }
    first = seeds(disk, 0)
    for other in (pickle.loads(pickle.dumps(batching)), copy.deepcopy(batching)):
        assert other == batching
        assert seeds(disk.batched(other), 0) == first
    opened = Packed.open(batching.store, names.plan_id, names.pack_id)
    assert opened == names


def test_trains_from_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    expected = fitted(disk)
    for path in (tmp_path / "s").rglob("*"):
        if path.name == ".lock":
            path.unlink()
        else:
            path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(path for path in (tmp_path / "s").rglob("*"))
    store = Store.open(tmp_path / "s")
    names = disk.batching.parts.items()  # type: ignore[attr-defined]
    parts = {part: Packed.open(store, each.plan_id, each.pack_id) for part, each in names}
    assert fitted(store.problem(PackedNodes(store, parts))).history == expected.history
    assert sorted(path for path in (tmp_path / "s").rglob("*")) == before
    for path in (tmp_path / "s").rglob("*"):
        path.chmod(0o755)


def test_a_flipped_bit_is_found_when_it_is_read(tmp_path: Path) -> None:
    """In rows, in topology and in places; the message names file and batch."""
    _, disk = world(tmp_path / "s", rows=100)
    made = disk.batching.parts["train"]  # type: ignore[attr-defined]
    places = {
        "region": made.pack.place(5),
        "topo": made.plan.place(5),
        "where": made.pack.where_place(5),
    }
    for kind, (path, offset, length) in places.items():
        content = bytearray(path.read_bytes())
        content[offset + length // 2] ^= 4
        broken = tmp_path / kind
        shutil.copytree(tmp_path / "s", broken)
        (broken / path.relative_to(tmp_path / "s")).write_bytes(content)
        store = Store.open(broken)
        parts = {"train": Packed.open(store, made.plan_id, made.pack_id)}
        turn = store.problem(PackedNodes(store, parts)).batches("train")
        for _ in range(5):
            next(turn)
        with pytest.raises(DamagedFile, match=rf"{path.name}.*batch 5"):
            next(turn)


def test_rows_are_checked_once_or_always_or_never(tmp_path: Path) -> None:
    _, disk = world(tmp_path / "s")
    batching = disk.batching
    assert isinstance(batching, PackedNodes)
    path, offset, _ = batching.parts["train"].pack.place(5)
    again = {check: replace(batching, check=check, _memory=type(batching._memory)())
             for check in ("first", "always", "never")}  # fmt: skip
    for other in again.values():
        assert len(seeds(disk.batched(other), 0)) > 5
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))
    seeds(disk.batched(again["first"]), 0)
    seeds(disk.batched(again["never"]), 0)
    with pytest.raises(DamagedFile, match="batch 5"):
        seeds(disk.batched(again["always"]), 0)


SCRIPT = """
import sys, torch, torch.distributed as dist
from pathlib import Path
from graphkit.ooc.store import Store
from graphkit.ooc.packed_nodes import Packed, PackedNodes
from tests.ooc.packed import fitted
import json

torch.set_num_threads(1)
dist.init_process_group("gloo")
store = Store.open(sys.argv[1])
parts = {k: Packed.open(store, *v) for k, v in json.loads(sys.argv[2]).items()}
fit = fitted(store.problem(PackedNodes(store, parts)), "plain", 1, optimizer="sgd")
torch.save({"last": fit.last.state_dict()}, f"{sys.argv[3]}/rank{dist.get_rank()}.pt")
dist.destroy_process_group()
"""


def test_two_processes_are_one_with_the_combined_batch(tmp_path: Path) -> None:
    """Plain gradient steps on two batches at once, against two processes with one each."""
    _, disk = world(tmp_path / "s")
    made = disk.batching.parts  # type: ignore[attr-defined]
    names = json.dumps({part: (each.plan_id, each.pack_id) for part, each in made.items()})
    script = tmp_path / "both.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path / "s"), names, str(tmp_path)],
        capture_output=True, text=True, timeout=240, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (
        torch.load(tmp_path / f"rank{number}.pt", weights_only=True)["last"] for number in (0, 1)
    )
    expected = combined(disk)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, expected[name])


def combined(disk: Problem) -> dict[str, Tensor]:
    """Weights after an epoch of steps along the mean gradient of two batches each."""
    torch.manual_seed(3)
    model = as_model(NETS["plain"](disk.dims)).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    each = [list(disk.blind().batches("train", model, rank=rank, ranks=2)) for rank in (0, 1)]
    for step in zip(*each, strict=True):
        optimizer.zero_grad()
        for batch in step:
            (sum(model.losses(batch, disk.task).values()) / 2).backward()
        optimizer.step()
    return dict(model.state_dict())
