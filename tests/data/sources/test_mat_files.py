"""MATLAB files: what SciPy writes comes back, what is damaged is refused and kills nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.io import savemat

from graphkit.data.sources.mat_files import read_mat
from graphkit.errors import DataError

MATRIX = sp.csc_matrix(np.array([[0, 1.5, 0], [0, 0, 0], [2, 0, -1], [0, 0, 4]]))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_variables_come_back(tmp_path: Path, compressed: bool, dtype: str) -> None:
    path = tmp_path / "a.mat"
    array = np.arange(6).reshape(2, 3).astype(dtype)
    variables = {"A": MATRIX, "other": "text", "long_name": array, "one": array[:1, :1]}
    savemat(path, variables, do_compression=compressed)
    one, made, matrix = read_mat(path, "one", "long_name", "A")
    np.testing.assert_array_equal(made, array)
    np.testing.assert_array_equal(matrix.toarray(), MATRIX.toarray())
    assert one.tolist() == [[0]]
    assert made.dtype == array.dtype


def test_texts_cells_and_complex_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    cell = np.array([[1, "a"]], dtype=object)
    savemat(path, {"t": "text", "c": cell, "z": np.array([1j]), "n": 1.0, "s": {"field": 1}})
    assert read_mat(path, "n")[0].tolist() == [[1.0]]
    for name in ("t", "c", "z", "s"):
        with pytest.raises(DataError, match=f"{path}: variable '{name}' is not one of real"):
            read_mat(path, name)
    with pytest.raises(DataError, match=f"{path}: it holds no variable 'q'"):
        read_mat(path, "q")


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"n": np.ones((2, 2))}, format="4")
    with pytest.raises(DataError, match=f"{path}: it is no MATLAB file of version 5"):
        read_mat(path, "n")


def test_what_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphkit.data.sources.mat_files.MAX_BYTES", 1000)
    path = tmp_path / "a.mat"
    savemat(path, {"n": np.zeros(1000)}, do_compression=True)
    with pytest.raises(DataError, match="unpacks to more than 1000 bytes"):
        read_mat(path, "n")


@pytest.mark.parametrize("compressed", [False, True])
def test_changed_and_cut_files_raise_our_error_alone(tmp_path: Path, compressed: bool) -> None:
    """600 times up to three random bytes differ, or the end is missing."""
    path = tmp_path / "a.mat"
    savemat(path, {"A": MATRIX, "n": np.arange(12.0)}, do_compression=compressed)
    content, draw = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    for number in range(600):
        changed = bytearray(content)
        for at in draw.integers(124, len(content), size=number % 4):
            changed[at] = draw.integers(256)
        path.write_bytes(changed if number % 4 else changed[: draw.integers(len(content))])
        refused += 1
        with contextlib.suppress(DataError):
            matrix, _ = read_mat(path, "A", "n")
            if max(matrix.shape) < 10_000:
                assert matrix.toarray().shape == matrix.shape
            refused -= 1
    assert refused > 150
