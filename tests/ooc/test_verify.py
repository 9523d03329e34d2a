"""Verifying names the first bad file and byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphkit.errors import DamagedFile, DataNotFound
from graphkit.ooc.disk import BLOCK
from graphkit.ooc.verify import find_damage, info, verify
from tests.ooc.graphs import random_problem, store_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return store_of(random_problem(10_000, 30_000, 64), tmp_path / "store").path


def test_a_whole_store(path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    assert verify(path) < 1000
    read = verify(path, deep=True, watch=lambda *row: seen.append(row))
    assert read > 10_000 * 64 * 4
    assert seen[-1][0] == "split/val"
    assert find_damage(path) == []


def test_damage_in_two_places(path: Path) -> None:
    for file, at in ((path / "node" / "x.bin", BLOCK + 5), (path / "split" / "val.bin", 3)):
        content = bytearray(file.read_bytes())
        content[at] ^= 4
        file.write_bytes(bytes(content))
    verify(path)  # lengths and tables are as written
    with pytest.raises(DamagedFile, match=f"x.bin is damaged: block 1, bytes {BLOCK} to"):
        verify(path, deep=True)
    assert [(d.path.name, d.offset) for d in find_damage(path)] == [
        ("x.bin", BLOCK),
        ("val.bin", 0),
    ]
    (path / "node" / "y.bin").unlink()
    assert ("y.bin", None) in [(d.path.name, d.offset) for d in find_damage(path)]


def test_info_can_be_written_as_json(path: Path) -> None:
    found = json.loads(json.dumps(info(path)))
    assert (found["nodes"], found["edges"], found["features"]) == (10_000, 30_000, 64)
    assert found["row_bytes"] == 256
    assert found["split"] == {"train": 6000, "val": 2000, "test": 2000, "hidden": 0}
    assert found["nodes_without_in_edges"] >= 1000
    assert sum(found["in_edges_histogram"]) == 10_000
    assert found["plans"] == []


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound):
        verify(tmp_path)
    with pytest.raises(DataNotFound):
        info(tmp_path)
