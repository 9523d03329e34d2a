"""The disk is measured by reading what was asked for, all of it and once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from graphkit.bench.confined import memory_group, run_within
from graphkit.bench.disk_probe import Span, best_rate, ring, sequential_rate, spans
from graphkit.errors import DataError, SettingError, StorageError
from graphkit.ooc.disk import BLOCK, PAGE, Reader
from tests.ooc.packed import packed, undirected

FILE = 2 * BLOCK + 3 * PAGE


def file_of(folder: Path, seed: int = 0) -> Path:
    path = folder / f"{seed}.bin"
    path.write_bytes(np.random.default_rng(seed).bytes(FILE))
    return path


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("request_bytes", [BLOCK, 4 * PAGE])
def test_each_byte_is_read_once_and_in_order(
    tmp_path: Path, threads: int, request_bytes: int
) -> None:
    """A ring as large as the file holds the file afterwards."""
    path = file_of(tmp_path)
    room = ring(4 * BLOCK)
    place = Span(path, 0, FILE)
    rate = sequential_rate([place], threads=threads, request_bytes=request_bytes, into=room)
    assert room[:FILE].tobytes() == path.read_bytes()
    assert not room[FILE:].any()
    assert rate.bytes_per_second > 0
    assert (rate.request_bytes, rate.threads) == (request_bytes, threads)


def test_a_small_ring_is_written_round_and_round(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    room = ring(2 * BLOCK)
    sequential_rate([Span(path, 0, FILE)], threads=1, into=room)
    content = path.read_bytes()
    assert room[: 3 * PAGE].tobytes() == content[2 * BLOCK :]  # the third request, over the first
    assert room[3 * PAGE :].tobytes() == content[3 * PAGE : 2 * BLOCK]


def test_the_rate_is_bytes_over_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of 10 ms each, one after the other: not faster than that."""
    seen: list[tuple[int, int]] = []

    def slow(self: Reader, buffer: object, offset: int, num_bytes: int) -> None:
        import time

        time.sleep(0.01)
        seen.append((offset, num_bytes))

    monkeypatch.setattr(Reader, "read_into", slow)
    places = [Span(file_of(tmp_path), PAGE, BLOCK + 2 * PAGE), Span(file_of(tmp_path, 1), 0, PAGE)]
    rate = sequential_rate(places, threads=1)
    assert seen == [(PAGE, BLOCK), (PAGE + BLOCK, PAGE), (0, PAGE)]
    assert 0 < rate.bytes_per_second <= (BLOCK + 2 * PAGE) / 0.03


def test_it_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    def slow(*_: object) -> None:
        nonlocal count
        import time

        time.sleep(0.02)
        count += 1

    monkeypatch.setattr(Reader, "read_into", slow)
    places = [Span(file_of(tmp_path), 0, FILE)]
    sequential_rate(places, threads=1, request_bytes=PAGE, seconds=0.1)
    assert 1 <= count <= 5  # of 515


def test_the_best_rate_is_the_best_of_all(tmp_path: Path) -> None:
    place = Span(file_of(tmp_path), 0, FILE)
    best = best_rate([place], sizes=(PAGE, BLOCK), threads=(1, 2), seconds=0.5)
    assert best.request_bytes in (PAGE, BLOCK)
    assert best.threads in (1, 2)
    assert best.bytes_per_second > 0


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    place = Span(file_of(tmp_path), 0, FILE)
    with pytest.raises(SettingError, match="threads = 0"):
        sequential_rate([place], threads=0)
    with pytest.raises(SettingError, match="3 requests"):
        sequential_rate([place], threads=3, into=ring(2 * BLOCK))


def test_a_fault_of_the_disk_is_not_a_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    place = Span(file_of(tmp_path), 0, FILE)
    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(StorageError, match="Input/output error"):
        sequential_rate([place], threads=2)


def test_regions_that_follow_each_other_are_one_span(tmp_path: Path) -> None:
    """All regions of a plan hold each of its cold rows, padded to pages, and lie side by side."""
    _, store = undirected(tmp_path / "s")
    made = packed(store, rows=200)
    pack, count = made.pack, made.plan.num_batches
    found = spans(pack, range(count))
    assert len(found) == 1
    lengths = [-(-pack.place(number)[2] // PAGE) * PAGE for number in range(count)]
    assert found[0].end - found[0].start == sum(lengths)
    first, third = spans(pack, [2, 0])  # in the order of the disk
    assert (first.start, first.end - first.start) == (pack.place(0)[1], lengths[0])
    assert (third.start, third.end - third.start) == (pack.place(2)[1], lengths[2])


def test_a_pack_with_all_rows_cached_has_nothing_to_read(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s")
    made = packed(store, rows=1200)
    with pytest.raises(DataError, match="all of them are cached"):
        spans(made.pack, range(made.plan.num_batches))


def test_a_process_is_held_to_its_memory() -> None:
    words = ["-n1", "-r1", "b = bytearray(b'1') * (300 << 20)"]
    free = run_within("timeit", words, None)
    assert (free.status, free.confined, free.peak_bytes) == (0, False, None)
    assert "loop" in free.output
    held = run_within("timeit", words, 100 << 20)
    if not held.confined:
        pytest.skip("this system gives no control group")
    assert held.status == -9
    assert held.peak_bytes is not None
    assert held.peak_bytes <= 100 << 20
    enough = run_within("timeit", words, 800 << 20)
    assert enough.status == 0
    assert enough.peak_bytes is not None
    assert enough.peak_bytes >= 300 << 20


def test_the_group_goes_with_its_process() -> None:
    with memory_group(100 << 20) as group:
        if group is None:
            pytest.skip("this system gives no control group")
        assert group.path.is_dir()
    assert not group.path.exists()


def test_a_failed_process_says_why() -> None:
    ended = run_within("timeit", ["-n1", "-r1", "raise ValueError('seven')"], None)
    assert ended.status == 1
    assert "seven" in ended.errors
