"""Rows read one tier behind another are the rows of the file, bit by bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graphkit.errors import DamagedFile, DataError, SettingError, StorageError
from graphkit.ooc.blocks import ArrayWriter
from graphkit.ooc.disk import BLOCK, PAGE
from graphkit.ooc.manifest import ArrayFile
from graphkit.ooc.prepare import Settings
from graphkit.ooc.rows import Cached, Lru, OnDisk, Rows
from graphkit.ooc.store import Store
from graphkit.tasks import Dims
from tests.ooc.fault_layer import faulty
from tests.ooc.graphs import random_problem, store_of

ASKED = (
    [],
    [0],
    [2999],
    [5, 5, 2, 5],
    list(range(2999, -1, -1)),
    list(range(0, 3000, 7)),
)


@pytest.fixture(scope="module")
def x() -> Tensor:
    return random_problem().data.x


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_of(random_problem(), tmp_path_factory.mktemp("rows") / "store")


@pytest.mark.parametrize("gap_bytes", [0, PAGE, 1 << 20])
@pytest.mark.parametrize("buffer_bytes", [3 * PAGE, 1 << 20])
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_those_of_the_file(
    store: Store, x: Tensor, gap_bytes: int, buffer_bytes: int, threads: int
) -> None:
    with OnDisk(store, threads=threads, gap_bytes=gap_bytes, buffer_bytes=buffer_bytes) as rows:
        assert isinstance(rows, Rows)
        assert rows.shape == (3000, 25)
        for asked in ASKED:
            ids = torch.tensor(asked, dtype=torch.long)
            assert torch.equal(rows.read(ids), x[ids])
            assert len(rows._buffer) <= max(buffer_bytes, PAGE)


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [(100, "float16"), (768, "float16"), (1, "float32"), (1, "int8"), (1433, "float32")],
)
def test_rows_that_do_not_divide_a_page(tmp_path: Path, columns: int, dtype: str) -> None:
    problem = random_problem(700, 100, columns)
    store = store_of(problem, tmp_path / "store", Settings(dtype=dtype))
    ids = torch.randperm(700, generator=torch.Generator().manual_seed(0))[:300]
    expected = torch.from_numpy(store.decode(store.load("node/x")))[ids]
    with OnDisk(store, buffer_bytes=4 * PAGE) as rows:
        found = rows.read(ids)
    assert torch.equal(found, expected)
    assert found.dtype == torch.float32


def test_rows_longer_than_a_block(tmp_path: Path) -> None:
    problem = random_problem(5, 0, BLOCK // 4 + 77)
    store = store_of_wide(problem, tmp_path)
    with OnDisk(store) as rows:
        assert torch.equal(rows.read(torch.tensor([3, 1])), problem.data.x[[3, 1]])


def store_of_wide(problem: object, tmp_path: Path) -> Store:
    from graphkit.ooc.inputs import of_problem
    from graphkit.ooc.prepare import prepare

    return prepare(of_problem(problem), tmp_path / "store", memory=64 << 20)  # type: ignore[arg-type]


def test_rows_near_each_other_share_a_request(store: Store) -> None:
    """100 bytes a row: 41 rows touch the first page, and 0 and 2900 are 70 pages apart."""
    with OnDisk(store, gap_bytes=0) as rows:
        rows.read(torch.arange(41))
        assert (rows.num_requests, rows.num_pages) == (1, 2)  # the last one goes over the edge
        rows.read(torch.tensor([0, 2900]))
        assert (rows.num_requests, rows.num_pages) == (3, 4)
    with OnDisk(store, gap_bytes=1 << 20) as rows:
        rows.read(torch.tensor([0, 2900]))
        assert (rows.num_requests, rows.num_pages) == (1, 71)


def test_bad_ids_are_named(store: Store) -> None:
    with OnDisk(store) as rows:
        with pytest.raises(DataError, match=r"ids\[1\] = 3000 is out of range for 3000 nodes"):
            rows.read(torch.tensor([0, 3000]))
        with pytest.raises(DataError, match="expected"):
            rows.read(torch.tensor([0.5]))
    with pytest.raises(SettingError):
        OnDisk(store, threads=0)
    with pytest.raises(SettingError):
        OnDisk(store, buffer_bytes=PAGE)


def test_a_damaged_block_gives_no_rows(tmp_path: Path) -> None:
    problem = random_problem(20_000, 10, 32)
    path = store_of(problem, tmp_path / "store").path
    file = path / "node" / "x.bin"
    content = bytearray(file.read_bytes())
    content[BLOCK + 100] ^= 1  # in row 8192
    file.write_bytes(bytes(content))
    with OnDisk(Store.open(path)) as rows:
        assert torch.equal(rows.read(torch.tensor([5])), problem.data.x[[5]])
        for _ in range(2):
            with pytest.raises(DamagedFile, match=f"block 1, bytes {BLOCK} to"):
                rows.read(torch.tensor([5, 9000]))
    with OnDisk(Store.open(path, verify="off")) as rows:
        rows.read(torch.tensor([9000]))


def test_failing_reads_are_answered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the compiled reads fail, the careful ones are asked, and say what is wrong."""
    from graphkit.ooc import rows as module

    with OnDisk(Store.open(store.path, verify="off")) as rows:
        monkeypatch.setattr(module, "reads", lambda: lambda *arguments: None)  # read nothing
        ids = torch.tensor([1, 2000])
        assert torch.equal(rows.read(ids), random_problem().data.x[ids])
        with faulty(1, "EIO", ("preadv",)), pytest.raises(StorageError, match="Input/output"):
            rows.read(ids)


def test_a_truncated_file(tmp_path: Path) -> None:
    store = store_of(random_problem(), tmp_path / "store")
    with OnDisk(Store.open(store.path, verify="off")) as rows:
        with store.arrays["node/x"].path.open("r+b") as file:
            file.truncate(PAGE)
        with pytest.raises(DamagedFile, match=r"x\.bin ended at byte"):
            rows.read(torch.tensor([2500]))


def test_more_nodes_than_32_bits_hold(tmp_path: Path) -> None:
    """A file with holes: one byte a row, all zero but for the last rows."""
    count = 2**31 + 5
    small = store_of(random_problem(40, 40, 1), tmp_path / "store", Settings(dtype="int8"))
    file = tmp_path / "holes.bin"
    with file.open("wb") as stream:
        stream.truncate(count)
        stream.seek(count - 4)
        stream.write(bytes([1, 2, 3, 4]))
    array = replace(small.arrays["node/x"], path=file, shape=(count, 1), num_bytes=count)
    manifest = replace(
        small.manifest,
        num_nodes=count,
        dims=Dims(1, 4, num_nodes=count),
        arrays={**small.arrays, "node/x": array},
    )
    store = replace(small, manifest=manifest, verify="off")
    assert store.scale is not None
    with OnDisk(store) as rows:
        found = rows.read(torch.tensor([count - 1, 0, count - 4, 2**31 - 1]))
    steps = np.rint(found.numpy()[:, 0] / store.scale[0]).tolist()
    assert steps == [4, 0, 1, 0]


def test_a_static_cache(store: Store, x: Tensor) -> None:
    with OnDisk(store) as below:
        rows = Cached(below, torch.tensor([7, 3, 7, 2999]))
        asked = below.num_pages
        assert torch.equal(rows.read(torch.tensor([2999, 7, 7])), x[[2999, 7, 7]])
        assert below.num_pages == asked  # the disk was not touched
        assert torch.equal(rows.read(torch.tensor([0, 3, 1])), x[[0, 3, 1]])
        assert (rows.num_reads, rows.num_hits) == (6, 4)
        nothing = Cached(below, torch.empty(0, dtype=torch.long))
        assert torch.equal(nothing.read(torch.tensor([4])), x[[4]])


def test_the_rows_used_last_are_kept(store: Store, x: Tensor) -> None:
    with OnDisk(store) as below:
        rows = Lru(below, 3)
        rows.read(torch.tensor([1, 2, 3]))
        rows.read(torch.tensor([2, 1]))  # 3 is now the oldest
        rows.read(torch.tensor([4]))
        before = rows.num_hits
        assert torch.equal(rows.read(torch.tensor([4, 1, 2])), x[[4, 1, 2]])
        assert rows.num_hits - before == 3
        rows.read(torch.tensor([3]))
        assert rows.num_hits - before == 3
        with pytest.raises(SettingError):
            Lru(below, 0)


@pytest.mark.parametrize("size", [1, 50, 5000])
def test_a_cache_changes_no_row(store: Store, x: Tensor, size: int) -> None:
    draw = torch.Generator().manual_seed(size)
    with OnDisk(store) as below:
        rows = Lru(below, size)
        for _ in range(30):
            ids = torch.randint(3000, (100,), generator=draw)
            assert torch.equal(rows.read(ids), x[ids])
        kept = rows._node[rows._node >= 0]
        assert len(np.unique(kept)) == len(kept)
        assert torch.equal(rows._rows[torch.from_numpy(rows._slot[kept]).long()], x[kept])


def test_rows_written_by_pieces(tmp_path: Path) -> None:
    """Blocks of the file do not follow how rows are handed over."""
    rows = np.arange(500_000, dtype=np.float32).reshape(-1, 5)
    made: list[ArrayFile] = []
    for number, step in enumerate((1 << 30, 999, 70_000)):
        (tmp_path / str(number) / "node").mkdir(parents=True)
        with ArrayWriter(tmp_path / str(number), "node/x", np.float32, (None, 5)) as writer:
            for first in range(0, len(rows), step):
                writer.append(rows[first : first + step])
            made.append(writer.finish())
    assert len({array.digest for array in made}) == 1
    assert made[0].num_blocks == 2
    assert made[1].path.read_bytes() == rows.tobytes()
