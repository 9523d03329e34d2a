"""Arrays out of raw files: right where they are right, our error with the file's name elsewhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.data.compressed import csr
from graphkit.data.sources.arrays import (
    as_edges,
    chosen_masks,
    dense,
    read_npz,
    reading,
    row_normalised,
)
from graphkit.errors import DamagedFile, DataError, SettingError


def test_rows_sum_to_one_and_zero_rows_stay() -> None:
    x = torch.tensor([[1.0, 3.0], [0.0, 0.0], [0.1, 0.1]])
    expected = torch.tensor([[0.25, 0.75], [0.0, 0.0], [0.5, 0.5]])
    torch.testing.assert_close(row_normalised(x), expected)


def test_links_lose_duplicates_and_gain_their_opposite() -> None:
    pairs = np.array([[2, 0], [0, 1], [2, 0], [1, 1]])
    assert as_edges(pairs, 3).tolist() == [[0, 1, 2], [1, 1, 0]]
    assert as_edges(pairs, 3, both_ways=True).tolist() == [[0, 0, 1, 1, 2], [1, 2, 0, 1, 0]]


@pytest.mark.parametrize("pairs", [np.zeros((2, 3), int), np.zeros(4, int), np.zeros((3, 2))])
def test_links_that_are_none_are_refused(pairs: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected"):
        as_edges(pairs, 9)


def test_a_link_to_nowhere_is_refused_before_it_is_used() -> None:
    with pytest.raises(DataError, match="out of range for 3 nodes"):
        as_edges(np.array([[0, 3]]), 3, both_ways=True)


def test_a_matrix_is_written_out() -> None:
    matrix = csr(np.array([5, 7]), np.array([1, 0]), np.array([0, 1, 1, 2]), [3, 2])
    made = dense(matrix)
    assert made.dtype == torch.float32
    assert made.tolist() == [[0, 5], [0, 0], [7, 0]]


def test_a_matrix_too_large_to_write_out_is_refused() -> None:
    matrix = csr(np.ones(0), np.zeros(0, int), np.zeros(2**17 + 1, int), (2**17, 2**17))
    with pytest.raises(DataError, match="do not fit"):
        dense(matrix)


def test_masks_are_chosen_by_their_number() -> None:
    train, val = np.array([[1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 0], [1, 0, 0]])
    test = np.array([[0, 0, 1]])
    split = chosen_masks([train, val, test], 7, 3)  # the eighth of two: the second
    assert [part.tolist() for part in (split.train, split.val, split.test)] == [[1], [0], [2]]
    with pytest.raises(DataError, match=r"val masks have shape \(2, 2\)"):
        chosen_masks([train, val[:, :2], test], 0, 3)


def test_an_error_names_the_file_once() -> None:
    path = Path("some/file")
    with (
        pytest.raises(DataError, match=r"^some/file is damaged .*ZeroDivisionError"),
        reading(path),
    ):
        _ = 1 / 0
    with pytest.raises(DataError, match=r"^some/file: too short$"), reading(path):
        raise DataError("too short")
    with pytest.raises(DamagedFile, match=r"^some/file is short$"), reading(path):
        raise DamagedFile("some/file is short")
    with pytest.raises(DataError, match=r"^some/file: no such"), reading(path):
        raise SettingError("no such")


def test_arrays_of_objects_missing_and_huge_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(3), b=np.array([{}], dtype=object))
    assert read_npz(path, "a")["a"].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=f"{path} holds no array 'c'"):
        read_npz(path, "a", "c")
    with pytest.raises(DataError, match=f"{path} is damaged"):
        read_npz(path, "b")
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", (header % 10**15).ljust(127) + b"\n")
    with pytest.raises(DataError, match=f"{path} is damaged"):
        read_npz(path, "a")


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphkit.data.sources.arrays.MAX_BYTES", 1000)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(200), other=np.zeros(9))
    assert len(read_npz(path, "other")["other"]) == 9
    with pytest.raises(DataError, match="unpacks to 1728 bytes"):
        read_npz(path, "a")


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        read_npz(path, "a")


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(DataError, match=r"a\.npy"):
        read_npz(tmp_path / "a.npy", "a")
