"""The hottest rows on a device: batches are the same, whichever rows are there.

The CPU stands for a device with memory of its own; ``meta`` for one whose numbers cannot be read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.data.problem import Problem
from graphkit.errors import SettingError
from graphkit.ooc.device_rows import DeviceRows, Split
from graphkit.ooc.pack import pack
from graphkit.ooc.packed_nodes import Packed, PackedNodes
from graphkit.ooc.placement import place
from graphkit.ooc.prepare import RowType
from graphkit.ooc.ready import make_ready, open_ready
from graphkit.ooc.sample_ahead import sample_ahead
from graphkit.ooc.store import Store
from tests.ooc.packed import FANOUTS, SIZE, Asks, fitted, same, undirected

NONE = np.empty(0, np.float32)


def tiered(store: Store, device: int, host: int = 0, span: int = 0) -> Packed:
    """Training drawn and packed, with so many rows on the device and in memory."""
    plan = sample_ahead(store, FANOUTS, SIZE, "train", 2, 0)
    width = store.arrays["node/x"].row_bytes
    chosen = place(store, plan, memory=1 << 40, device_memory=device * width, cached_rows=host)
    return Packed(plan, pack(store, plan, replace(chosen, span=span)))


def trained_on(store: Store, packed: Packed, device: str = "cpu") -> Problem:
    return replace(store.problem(PackedNodes(store, {"train": packed})), device=device)


def rows_of(values: np.ndarray, device: str = "cpu", scale: np.ndarray = NONE) -> DeviceRows:
    raw = values.view(np.uint8).reshape(len(values), -1)
    parts = (part for part in np.split(raw, [1]))
    return DeviceRows(parts, len(values), values.shape[1], values.dtype, scale, device)


def test_rows_from_both_places_by_hand() -> None:
    kept = rows_of(np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32))
    split = Split(torch.tensor([1, 3]), torch.tensor([2, 0]), torch.tensor([0, 2]))
    rest = torch.tensor([[7.0, 8.0], [9.0, 0.0]])
    assert kept.join(rest, split).tolist() == [[7, 8], [5, 6], [9, 0], [1, 2]]
    assert kept.join(rest, None).tolist() == rest.tolist()
    assert kept.num_bytes == 24


def test_steps_and_halves_by_hand() -> None:
    split = Split(torch.tensor([0]), torch.tensor([1]), torch.tensor([1]))
    rest = torch.tensor([[7.0, 8.0]])
    steps = rows_of(np.array([[1, 2], [3, -4]], np.int8), scale=np.array([0.5, 2], np.float32))
    assert steps.join(rest, split).tolist() == [[1.5, -8], [7, 8]]
    halves = rows_of(np.array([[1, 2], [0.5, -65504]], np.float16))
    assert halves.join(rest, split).tolist() == [[0.5, -65504], [7, 8]]
    assert halves.num_bytes == 8


@pytest.mark.parametrize(("host", "span"), [(0, 0), (150, 0), (150, 4)])
def test_batches_are_those_drawn_in_memory(tmp_path: Path, host: int, span: int) -> None:
    memory, store = undirected(tmp_path / "s")
    packed = tiered(store, 200, host, span)
    assert packed.pack.device_rows == 200
    assert packed.pack.cached_rows == 200 + host
    disk = trained_on(store, packed)
    for epoch in range(2):
        both = zip(memory.batches("train", Asks(), epoch), disk.batches("train", epoch=epoch),
                   strict=True)  # fmt: skip
        for expected, batch in both:
            same(expected, batch)


@pytest.mark.parametrize(("dtype", "columns"), [("float16", 25), ("int8", 7)])
def test_every_type_of_row(tmp_path: Path, dtype: RowType, columns: int) -> None:
    _, store = undirected(tmp_path / "s", dtype, columns)
    x = torch.from_numpy(store.decode(store.load("node/x")))
    for batch in trained_on(store, tiered(store, 300, 100)).batches("train"):
        assert batch.x.dtype == torch.float32
        assert torch.equal(batch.x, x[batch.n_id])


def test_all_rows_on_the_device(tmp_path: Path) -> None:
    """Nothing is left to bring, and little to read."""
    memory, store = undirected(tmp_path / "s")
    disk = trained_on(store, tiered(store, 1200))
    for expected, batch in zip(memory.batches("train", Asks()), disk.batches("train"), strict=True):
        same(expected, batch)


def test_memory_holds_no_row_of_the_device(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    disk = trained_on(store, tiered(store, 200, 150))
    batching = disk.batching
    assert isinstance(batching, PackedNodes)
    for _ in range(2):
        list(disk.batches("train"))
    [kept] = batching._memory.devices.values()
    assert kept.num_bytes == 200 * 100
    assert len(batching._source("train").cache) == 150
    list(disk.batches("train"))
    assert [kept] == list(batching._memory.devices.values())  # brought once


@pytest.mark.parametrize("rows", [0, 200])
def test_on_another_device(tmp_path: Path, rows: int) -> None:
    """Without rows of its own too: features go there by the same way."""
    memory, store = undirected(tmp_path / "s")
    disk = trained_on(store, tiered(store, rows), "meta")
    pairs = zip(memory.batches("train", Asks()), disk.batches("train"), strict=True)
    for expected, batch in pairs:
        assert batch.x.device.type == batch.edge_index.device.type == "meta"
        assert batch.x.shape == expected.x.shape


def test_batches_kept_stay_what_they_were(tmp_path: Path) -> None:
    memory, store = undirected(tmp_path / "s")
    kept = list(trained_on(store, tiered(store, 200, 50)).batches("train"))
    assert len(kept) > 6
    for expected, batch in zip(memory.batches("train", Asks()), kept, strict=True):
        same(expected, batch)


def test_the_processor_has_no_room_for_rows_of_a_device(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    batching = PackedNodes(store, {"train": tiered(store, 200)})
    assert batching.budget is not None
    full = replace(batching.budget, memory=int(batching.budget.needed / 0.95) + 1)
    problem = store.problem(replace(batching, budget=full, _memory=type(batching._memory)()))
    with pytest.raises(SettingError, match="without device_memory"):
        next(problem.batches("train"))


def test_one_call_keeps_rows_on_the_device(tmp_path: Path) -> None:
    memory, store = undirected(tmp_path / "s")
    ready = make_ready(
        store, fanouts=FANOUTS, batch_size=SIZE, memory=8 << 30, device_memory=300 * 100 + 99,
        cached_rows=50,
    )  # fmt: skip
    packs = {part: each.pack for part, each in ready.parts.items()}
    assert {part: each.device_rows for part, each in packs.items()} == {
        "train": 300, "val": 0, "test": 0,
    }  # fmt: skip
    assert packs["train"].cached_rows == 350
    assert ready.budget is not None
    assert (ready.budget.cache, ready.budget.device) == (50 * 100, 300 * 100)
    assert "on the device 29.3 KiB" in str(ready.budget)
    names = {part: (each.plan_id, each.pack_id) for part, each in ready.parts.items()}
    opened = open_ready(store, names, memory=8 << 30)
    assert opened.budget is not None
    assert opened.budget.device == ready.budget.device
    assert opened.budget.tables == ready.budget.tables
    assert fitted(store.problem(opened)).history == fitted(memory).history
