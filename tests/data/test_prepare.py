"""Results kept on disk: found again, never wrong, and only where that saves time."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

import graphkit
from graphkit.data import Split, prepare
from graphkit.data.graphs import GraphSet
from graphkit.data.prepare import Prepared, fingerprint
from graphkit.data.problem import Problem
from graphkit.errors import SettingError
from graphkit.models import Model
from graphkit.transforms import Adjacency, Chain
from graphkit.transforms.encodings import WLPE, LaplacianPE, RandomWalkPE


class Nameless(BaseTransform):
    """Adds two fields and counts how often it is applied to a graph. States no version: its name
    may not tell its settings."""

    fixed = True
    calls = 0

    def forward(self, data: Data) -> Data:
        type(self).calls += 1
        nodes = int(data.num_nodes or 0)
        data.extra = torch.arange(3.0 * nodes).view(nodes, 3) + 0.1
        data.mark = torch.ones(nodes, dtype=torch.bool)
        data.again = data.mark  # the same memory
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Slow(Nameless):
    """The same, and states a version."""

    stored = 1


@pytest.fixture(autouse=True)
def _all_worth_keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHKIT_PREPARED_GB", raising=False)
    monkeypatch.setattr(prepare, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(prepare, "BYTES_PER_SECOND", float("inf"))
    monkeypatch.setattr(Slow, "calls", 0)
    monkeypatch.setattr(Nameless, "calls", 0)


def graph(nodes: int = 12) -> Data:
    ring = torch.arange(nodes)
    x, y = torch.arange(float(nodes))[:, None], ring % 2
    return Data(x=x, edge_index=torch.stack([ring, ring.roll(1)]), y=y)


def graphs() -> GraphSet:
    return GraphSet.of([graph(n) for n in (3, 5, 4)])


def made(data: Any, transform: BaseTransform) -> Any:
    """By a new process's eyes: nothing is in memory."""
    without = ("y",)
    return Prepared()(data, transform, fingerprint(data, without=without), without)


def stored_files() -> list[Path]:
    return sorted(prepare.folder().glob("*")) if prepare.folder().exists() else []


def same(one: Any, other: Any) -> bool:
    return fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize("data", [graph(), graphs()], ids=["graph", "graphs"])
def test_found_again_bit_by_bit(data: Any) -> None:
    first, second = made(data, Slow()), made(data, Slow())
    assert Slow.calls == (3 if isinstance(data, GraphSet) else 1)
    assert len(stored_files()) == 1
    assert same(first, second)
    if isinstance(data, GraphSet):
        assert torch.equal(second[1].extra, first[1].extra)
        assert second.batch(torch.tensor([2, 0])).extra.shape == (7, 3)


def test_encodings_are_kept_and_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    transforms = [LaplacianPE(3), LaplacianPE(3, "all"), LaplacianPE(2), RandomWalkPE(3), WLPE()]
    first = [made(graph(), transform) for transform in transforms]
    assert len(stored_files()) == 5
    monkeypatch.setattr(prepare, "_applied", None)  # so that nothing can be made anew
    for transform, expected in zip(transforms, first, strict=True):
        assert same(made(graph(), transform), expected)


def test_answers_are_neither_read_nor_written() -> None:
    one = graph()
    made(one, Slow())
    other = graph()
    other.y = 1 - other.y
    assert torch.equal(made(other, Slow()).y, other.y)
    assert Slow.calls == 1
    [path] = stored_files()
    kept = prepare.safetensors.torch.load_file(path)
    assert set(kept) == {"field/extra", "field/mark", "field/again"}


@pytest.mark.parametrize("change", ["content", "nodes", "version", "name", "threads", "packages"])
def test_what_may_change_the_numbers_is_part_of_the_name(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Data(edge_index=graph().edge_index, num_nodes=12)
    made(bare, Slow())
    if change == "content":
        bare.edge_index = bare.edge_index.flip(0)
    elif change == "nodes":
        bare.num_nodes = 13
    elif change == "version":
        monkeypatch.setattr(Slow, "stored", 2)
    elif change == "name":
        monkeypatch.setattr(Slow, "__repr__", lambda self: "Slow(2)")
    elif change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    else:
        monkeypatch.setattr(prepare, "version", lambda name: "9.9")
    made(bare, Slow())
    assert Slow.calls == 2
    assert len(stored_files()) == 2


def test_what_states_no_version_stays_in_memory() -> None:
    made(graph(), Nameless())
    made(graph(), Nameless())
    assert Nameless.calls == 2
    assert stored_files() == []


def test_the_leading_parts_of_a_chain_are_found_by_themselves() -> None:
    """A matrix is nothing a file holds; what follows a nameless part is not trusted."""
    made(graph(), Slow())
    whole = made(graph(), Chain(Slow(), Chain(Adjacency("sym"))))
    assert Slow.calls == 1
    assert whole.adj.shape == (12, 12)
    plain = Chain(Slow(), Adjacency("sym"))(graph())
    assert torch.equal(whole.extra, plain.extra)
    assert torch.equal(whole.adj.values, plain.adj.values)
    made(graph(), Chain(Nameless(), Slow()))
    assert Slow.calls == 3  # `plain` was the second
    assert len(stored_files()) == 1


def test_a_transform_that_changes_what_is_there_is_not_kept() -> None:
    class Changing(Slow):
        def forward(self, data: Data) -> Data:
            data.x = data.x + 1
            return super().forward(data)

    for _ in range(2):
        assert float(made(graph(), Changing()).x[0, 0]) == 1.0
    assert stored_files() == []


def test_cheap_or_huge_results_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "MIN_SECONDS", 60.0)
        made(graph(), Slow())
    with monkeypatch.context() as patch:  # read more slowly than made
        patch.setattr(prepare, "BYTES_PER_SECOND", 1e-3)
        made(graph(), Slow())
    with monkeypatch.context() as patch:
        patch.setenv("GRAPHKIT_PREPARED_GB", "1e-8")
        made(graph(), Slow())
    assert stored_files() == []


def test_switched_off_nothing_is_read_or_written(monkeypatch: pytest.MonkeyPatch) -> None:
    made(graph(), Slow())
    monkeypatch.setenv("GRAPHKIT_PREPARED_GB", "0")
    made(graph(), Slow())
    made(graph(7), Slow())
    assert Slow.calls == 3
    assert len(stored_files()) == 1
    monkeypatch.setenv("GRAPHKIT_PREPARED_GB", "much")
    with pytest.raises(SettingError, match="GRAPHKIT_PREPARED_GB='much'; expected a number"):
        made(graph(), Slow())


def test_the_folder_keeps_its_bound_and_what_was_used_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(graph(100), Slow())
    [first] = stored_files()
    size = first.stat().st_size
    made(graph(101), Slow())
    [second] = set(stored_files()) - {first}
    draft = first.with_name("x.safetensors.tmp-1-ab")
    draft.write_bytes(b"half")
    past = time.time() - 200_000
    for path, age in ((first, past), (second, past + 10), (draft, past)):
        os.utime(path, (age, age))
    made(graph(100), Slow())  # used: now the younger one
    monkeypatch.setenv("GRAPHKIT_PREPARED_GB", str(2.5 * size / 1e9))
    made(graph(99), Slow())
    left = stored_files()
    assert first in left
    assert second not in left
    assert draft not in left
    assert len(left) == 2


def damages(content: bytes) -> dict[str, bytes]:
    half = len(content) // 2
    flips = {
        f"bit-{at}": content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]
        for at in range(0, len(content), 13)
    }
    return flips | {
        "empty": b"", "half": content[:half], "shorter": content[:-1], "longer": content + b"\0",
        "zeros": content[:half] + bytes(len(content) - half), "other": b"\x80\x04K\x01." * 50,
        "huge header": b"\xff" * 8 + content[8:],
    }  # fmt: skip


def test_a_damaged_file_is_made_again_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Some hundred damages, every thirteenth byte among them: never another number."""
    expected = made(graph(), Slow())
    [path] = stored_files()
    whole = path.read_bytes()
    with caplog.at_level(logging.INFO, "graphkit"):
        for number, (name, content) in enumerate(damages(whole).items(), start=2):
            path.write_bytes(content)
            assert same(made(graph(), Slow()), expected), name
            assert Slow.calls == number, name
            assert same(made(graph(), Slow()), expected), name
            assert Slow.calls == number, name  # mended
    assert all(record.levelno == logging.INFO for record in caplog.records)
    assert len(caplog.records) == len(damages(whole))


def test_a_file_under_another_results_name_is_refused() -> None:
    made(graph(), Slow())
    [one] = stored_files()
    made(graph(13), Slow())
    [other] = set(stored_files()) - {one}
    other.write_bytes(one.read_bytes())
    assert made(graph(13), Slow()).extra.shape == (13, 3)
    assert Slow.calls == 3


def test_a_folder_that_cannot_be_written_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "file"))
    expected = made(graph(), Slow())
    assert same(made(graph(), Slow()), expected)
    assert Slow.calls == 2


def _work(number: int) -> None:
    """Makes ten results over and over, and throws some away."""
    for turn in range(12):
        data = graph(20 + (turn + number) % 10)
        assert torch.equal(made(data, Slow()).extra, Slow()(data.clone()).extra)
        if turn % 3 == number:
            for path in stored_files()[:2]:
                path.unlink(missing_ok=True)


def test_several_processes_at_once() -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert not [path for path in stored_files() if ".tmp-" in path.name]


def test_a_problem_finds_what_another_one_made() -> None:
    def problem() -> Problem:
        items = torch.arange(12)
        return graphkit.make_problem(graph(), split=Split(items[:4], items[4:8], items[8:]))

    class Needy(Model):
        @property
        def pre_transform(self) -> Slow:
            return Slow()

        def forward(self, batch: Data) -> torch.Tensor:
            return batch.extra

    for stage in (problem(), problem().blind(), problem().with_field("soft", torch.ones(12))):
        [batch] = stage.batches("train", Needy())
        assert batch.extra.shape == (12, 3)
    assert Slow.calls == 1
