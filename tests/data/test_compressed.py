"""A sparse matrix is made only of pointers that stay inside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.data.compressed import csr
from graphkit.errors import DataError


def test_three_rows_one_of_them_empty() -> None:
    """The fourth entry lies behind the last pointer."""
    data, indices, indptr = np.array([5, 7, 9, 1]), np.array([1, 0, 1, 99]), np.array([0, 1, 1, 3])
    made = csr(data, indices, indptr, np.array([3, 2]))
    assert made.toarray().tolist() == [[0, 5], [0, 0], [7, 9]]


def test_foreign_byte_order_and_unsigned_places_are_taken() -> None:
    made = csr(np.array([2.5], ">f4"), np.array([0], "u1"), np.array([0, 1], ">u8"), (1, 1))
    assert made.toarray().tolist() == [[2.5]]


@pytest.mark.parametrize(
    ("data", "indices", "indptr", "shape"),
    [
        ([1, 1], [1, 9], [0, 1, 2], (2, 2)),
        ([1, 1], [1, -1], [0, 1, 2], (2, 2)),
        ([1, 1], [1, 0], [0, 2, 1], (2, 2)),
        ([1, 1], [1, 0], [0, 9, 0], (2, 2)),  # SciPy's own check lets this pass
        ([1, 1], [1, 0], [1, 1, 2], (2, 2)),
        ([1, 1], [1, 0], [0, 1, 3], (2, 2)),
        ([1], [1, 0], [0, 1, 2], (2, 2)),
        ([1, 1], [1, 0], [0, 1, 2], (3, 2)),
        ([1, 1], [1, 0], [0, 1, 2], (-1, 2)),
        ([1, 1], [1, 0], [0, 1, 2], (2, 2**40)),
        ([1, 1], [1, 0], [0, 1, 2], (2,)),
        ([1, 1], [1, 0], [0, 1, 2], (2, 2, 2)),
        ([1, 1], [[1, 0]], [0, 1, 2], (2, 2)),
        ([1, 1], [1.0, 0.0], [0, 1, 2], (2, 2)),
        (["a", "b"], [1, 0], [0, 1, 2], (2, 2)),
        ([], [], [], (0, 2)),
    ],
)
def test_pointers_that_leave_the_matrix_are_refused(
    data: list, indices: list, indptr: list, shape: tuple[int, ...]
) -> None:
    with pytest.raises(DataError):
        csr(np.array(data), np.array(indices), np.array(indptr), shape)


def test_an_unsigned_pointer_that_falls_is_refused() -> None:
    """As unsigned numbers, 1 - 2 is large and not negative."""
    with pytest.raises(DataError, match="does not rise"):
        csr(np.ones(2), np.array([1, 0]), np.array([0, 2, 1], "u8"), (2, 2))


PLACES = st.lists(st.integers(-1, 4), max_size=5)


@settings(max_examples=300, deadline=None)
@given(PLACES, PLACES, st.tuples(st.integers(-1, 4), st.integers(-1, 4)))
def test_what_is_let_through_can_be_written_out(
    indices: list[int], indptr: list[int], shape: tuple[int, int]
) -> None:
    arrays = (np.ones(len(indices)), np.array(indices, int), np.array(indptr, int))
    try:
        made = csr(*arrays, shape)
    except DataError:
        return
    assert made.toarray().shape == shape
    assert made.toarray().sum() == indptr[-1]
