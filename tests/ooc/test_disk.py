"""Aligned files: exact bytes at any place, and an answer to every fault."""

from __future__ import annotations

import errno
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from graphkit.errors import DamagedFile, GraphkitError, StorageError
from graphkit.ooc.disk import (
    BLOCK,
    PAGE,
    Reader,
    Writer,
    aligned,
    checksum,
    free_bytes,
    locked,
    make_folder,
    remove_tree,
    replace,
)
from tests.ooc.fault_layer import each_fault, faulty

SIZE = 3 * PAGE + 77


@pytest.fixture
def content() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path, content: np.ndarray) -> Path:
    file = tmp_path / "rows.bin"
    file.write_bytes(content.tobytes())
    return file


def test_aligned_memory() -> None:
    memory = aligned(PAGE + 1)
    assert memory.ctypes.data % PAGE == 0
    assert len(memory) == 2 * PAGE
    assert not memory.any()
    memory[:] = 1  # it can be written
    assert len(aligned(0)) == PAGE


def test_checksum_is_of_the_content() -> None:
    assert checksum(b"") == 0x2D06800538D394C2  # xxh3_64 of nothing, seed 0
    values = np.arange(10, dtype=np.int32)
    assert checksum(values) == checksum(values.tobytes())


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, PAGE), (PAGE, 2 * PAGE), (2 * PAGE, SIZE - 2 * PAGE), (5, 10), (PAGE - 1, PAGE + 9)],
)
def test_reads_at_any_place(
    path: Path, content: np.ndarray, direct: bool, offset: int, length: int
) -> None:
    with Reader(path, direct=direct) as file:
        assert file.size == SIZE
        for buffer in (aligned(length), np.zeros(length, dtype=np.uint8)):
            file.read_into(buffer, offset, length)
            assert np.array_equal(buffer[:length], content[offset : offset + length])


def test_unaligned_reads_longer_than_a_block(tmp_path: Path) -> None:
    content = np.random.default_rng(1).integers(0, 256, 2 * BLOCK + 1234, dtype=np.uint8)
    file = tmp_path / "long.bin"
    file.write_bytes(content.tobytes())
    buffer = np.zeros(len(content) - 1001, dtype=np.uint8)
    with Reader(file) as reader:
        reader.read_into(buffer, 1001, len(buffer))
    assert np.array_equal(buffer, content[1001:])


def test_short_reads_are_gone_on_with(path: Path, content: np.ndarray) -> None:
    def run() -> bool:
        buffer = aligned(SIZE)
        with Reader(path) as file:
            file.read_into(buffer, 0, SIZE)
        return bool(np.array_equal(buffer[:SIZE], content))

    results = [result for _, result in each_fault(run, "short")]
    assert results
    assert all(result is True for result in results)


def test_many_short_reads_end_as_well(path: Path, content: np.ndarray) -> None:
    with faulty(0) as layer, Reader(path) as file:
        real = os.preadv
        layer.__dict__["preadv"] = lambda f, b, o: real(f, [b[0][: min(1000, len(b[0]))]], o)
        buffer = aligned(SIZE)
        file.read_into(buffer, 0, SIZE)
        assert not file.direct  # pages cannot be had from reads of 1000 bytes
        assert np.array_equal(buffer[:SIZE], content)


def test_failing_reads_name_file_and_place(path: Path) -> None:
    with (
        Reader(path) as file,
        faulty(1, "EIO", ("preadv",)),
        pytest.raises(StorageError, match=r"rows\.bin at byte 4096: Input/output error"),
    ):
        file.read_into(aligned(PAGE), PAGE, PAGE)


def test_reading_past_the_end(path: Path) -> None:
    with Reader(path) as file:
        with pytest.raises(DamagedFile, match=f"ends at byte {SIZE}"):
            file.read_into(aligned(2 * PAGE), 3 * PAGE, PAGE)
        os.truncate(path, PAGE)
        with pytest.raises(DamagedFile, match="ended at byte 4096 while it was read"):
            file.read_into(aligned(3 * PAGE), 0, 3 * PAGE)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"absent\.bin is missing"):
        Reader(tmp_path / "absent.bin")


def test_without_direct_reads(path: Path, content: np.ndarray) -> None:
    """A file system may refuse ``O_DIRECT`` when opening, or only when reading."""
    real = os.preadv
    with faulty(0) as layer, Reader(path) as file:

        def refuse(handle: int, buffers: list[memoryview], offset: int) -> int:
            if file.direct:
                raise OSError(errno.EINVAL, "no such thing")
            return real(handle, buffers, offset)

        layer.__dict__["preadv"] = refuse
        buffer = aligned(SIZE)
        file.read_into(buffer, 0, SIZE)
        assert not file.direct
        assert np.array_equal(buffer[:SIZE], content)
    with faulty(1, "EIO", ("open",)), Reader(path) as file:
        assert not file.direct


@pytest.mark.parametrize("direct", [True, False])
def test_writes_at_any_place(tmp_path: Path, content: np.ndarray, direct: bool) -> None:
    file = tmp_path / "new.bin"
    with Writer(file, num_bytes=SIZE, direct=direct) as writer:
        assert file.stat().st_size == SIZE
        memory = aligned(SIZE)
        memory[:SIZE] = content
        writer.write_at(0, memory[: 2 * PAGE])
        writer.write_at(2 * PAGE, memory[2 * PAGE : SIZE])
        writer.write_at(10, b"ten")
        writer.flush()
    expected = content.copy()
    expected[10:13] = np.frombuffer(b"ten", np.uint8)
    assert file.read_bytes() == expected.tobytes()


def test_a_resumed_file_keeps_its_bytes(path: Path, content: np.ndarray) -> None:
    with Writer(path, num_bytes=SIZE) as writer:
        writer.write_at(0, b"\0")
    assert path.read_bytes()[1:] == content.tobytes()[1:]
    with Writer(path, num_bytes=PAGE):
        pass
    assert path.stat().st_size == PAGE
    with Writer(path, num_bytes=None):
        pass
    assert path.stat().st_size == 0


@pytest.mark.parametrize("kind", ["EIO", "ENOSPC", "short"])
def test_every_fault_while_writing(tmp_path: Path, content: np.ndarray, kind: str) -> None:
    def run() -> bytes:
        file = tmp_path / "new.bin"
        with Writer(file, num_bytes=SIZE) as writer:
            memory = aligned(SIZE)
            memory[:SIZE] = content
            writer.write_at(0, memory[:SIZE])
            writer.flush()
        replace(file, tmp_path / "final.bin")
        return (tmp_path / "final.bin").read_bytes()

    count = 0
    for _, result in each_fault(run, kind):
        count += 1
        assert isinstance(result, StorageError) or result == content.tobytes()
    assert count >= 6


def test_no_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"needs .* EiB, .* are free"):
        Writer(tmp_path / "big.bin", num_bytes=1 << 62)


def test_a_limit_on_file_sizes(tmp_path: Path) -> None:
    """The kernel's own refusal, met with and without claiming the room first."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10 * PAGE, before[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .* in full"):
            Writer(tmp_path / "claimed.bin", num_bytes=20 * PAGE)
        with (
            Writer(tmp_path / "grown.bin", num_bytes=None) as writer,
            pytest.raises(StorageError, match="are free"),
        ):
            writer.write_at(0, aligned(20 * PAGE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_one_writer(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with (
        locked(lock),
        pytest.raises(StorageError, match="in use by another process"),
        locked(lock),
    ):
        pass
    with (
        locked(lock, shared=True),
        locked(lock, shared=True),  # readers share
        pytest.raises(StorageError, match="in use"),
        locked(lock, wait=0.1),
    ):
        pass


def test_a_writer_waits(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with ThreadPoolExecutor(1) as pool:
        with locked(lock):
            waiting = pool.submit(lambda: locked(lock, wait=60).__enter__())
        waiting.result(timeout=60)


def test_a_reader_needs_no_lock_file(tmp_path: Path) -> None:
    with locked(tmp_path / ".lock", shared=True):
        pass
    assert not (tmp_path / ".lock").exists()


def test_folders(tmp_path: Path) -> None:
    deep = make_folder(tmp_path / "a" / "b")
    (deep / "file").write_bytes(b"1")
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    remove_tree(tmp_path / "a")
    remove_tree(tmp_path / "a")
    assert tmp_path.exists()
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(GraphkitError, match="cannot make the folder"):
        make_folder(tmp_path / "file" / "below")
    assert free_bytes(tmp_path / "not" / "there") > 0
