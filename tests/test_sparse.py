"""Sparse products equal dense ones, forward and backward."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.sparse import SparseMatrix


def example() -> tuple[SparseMatrix, torch.Tensor]:
    """Five destinations, four sources; one edge twice, row 3 empty."""
    edge_index = torch.tensor([[0, 3, 1, 1, 2, 0], [4, 0, 1, 1, 2, 0]])
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    dense = torch.zeros(5, 4)
    for source, destination, value in zip(*edge_index.tolist(), weight.tolist(), strict=True):
        dense[destination, source] += value
    return SparseMatrix.from_edges(edge_index, weight, (5, 4)), dense


def test_product_and_gradient_equal_the_dense_ones() -> None:
    matrix, dense = example()
    x = torch.randn(4, 3, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    out, expected = matrix @ x, dense @ y
    torch.testing.assert_close(out, expected)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_gradcheck() -> None:
    edge_index = torch.randint(0, 6, (2, 15))
    matrix = SparseMatrix.from_edges(edge_index, torch.rand(15).double(), (6, 6))
    x = torch.randn(6, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: matrix @ v, x)


def test_entries_know_their_row_and_column() -> None:
    matrix, dense = example()
    rebuilt = torch.zeros(5, 4)
    rebuilt.index_put_((matrix.rows, matrix.columns), matrix.values, accumulate=True)
    torch.testing.assert_close(rebuilt, dense)
    assert bool((matrix.rows[1:] >= matrix.rows[:-1]).all())
    assert matrix.shape == (5, 4)
    assert len(matrix) == 5


def test_from_dense_and_other_values() -> None:
    dense = torch.tensor([[0.0, 2.0], [3.0, 0.0], [0.0, 0.0]])
    matrix = SparseMatrix.from_dense(dense)
    torch.testing.assert_close(matrix @ torch.eye(2), dense)
    torch.testing.assert_close(
        matrix.with_values(torch.tensor([5.0, 7.0])) @ torch.eye(2),
        torch.tensor([[0.0, 5.0], [7.0, 0.0], [0.0, 0.0]]),
    )


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_dropout_keeps_the_mean_and_both_forms_agree(p: float) -> None:
    matrix = SparseMatrix.from_dense(torch.ones(200, 300))
    torch.manual_seed(0)
    dropped = matrix.dropout(p, training=True)
    dense = dropped @ torch.eye(300)
    assert abs(float((dense == 0).float().mean()) - p) < 0.01
    torch.testing.assert_close(dense[dense > 0], torch.full_like(dense[dense > 0], 1 / (1 - p)))
    torch.testing.assert_close(dropped.backward_csr.to_dense(), dense.t())
    torch.manual_seed(0)
    assert torch.equal(matrix.dropout(p, training=True).values, dropped.values)
    assert matrix.dropout(p, training=False) is matrix
    assert float(matrix.dropout(1.0, training=True).values.abs().sum()) == 0


def test_a_matrix_without_entries() -> None:
    matrix = SparseMatrix.from_edges(torch.empty(2, 0).long(), None, (3, 3))
    x = torch.ones(3, 2, requires_grad=True)
    (matrix @ x).sum().backward()
    assert torch.equal(x.grad, torch.zeros(3, 2))


def test_weights_of_one_where_none_are_given() -> None:
    matrix = SparseMatrix.from_edges(torch.tensor([[0, 0], [1, 1]]), None, (2, 2))
    assert (matrix @ torch.tensor([[3.0], [5.0]])).tolist() == [[0.0], [6.0]]  # the edge is double


def test_narrow_ids_do_not_overflow() -> None:
    """40,000 times 70,000 is beyond 31 bits: as 32-bit numbers the last row would come first."""
    nodes = 70_000
    edges = torch.tensor([[9, 8, 7], [0, 40_000, 5]], dtype=torch.int32)
    matrix = SparseMatrix.from_edges(edges, None, (nodes, nodes))
    assert matrix.rows.tolist() == [0, 5, 40_000]
    assert matrix.columns.tolist() == [9, 7, 8]


def test_places_of_the_transpose_are_those_of_the_matrix() -> None:
    """``order`` leads from the transpose's entries to the matrix's own."""
    matrix, dense = example()
    torch.testing.assert_close(matrix.backward_csr.values(), matrix.values[matrix.order])
    torch.testing.assert_close(matrix.backward_csr.to_dense(), dense.t())
    moved = matrix.to("cpu")
    torch.testing.assert_close(moved @ torch.eye(4), dense)


def test_dropout_gradient_goes_through_what_was_kept() -> None:
    matrix = SparseMatrix.from_dense(torch.rand(20, 30) + 0.5)
    torch.manual_seed(0)
    dropped = matrix.dropout(0.5, training=True)
    x = torch.randn(30, 2, requires_grad=True)
    (dropped @ x).sum().backward()
    expected = (dropped @ torch.eye(30)).t().sum(dim=1, keepdim=True).expand(30, 2)
    torch.testing.assert_close(x.grad, expected)


def test_a_gradient_that_is_not_contiguous_and_the_name() -> None:
    matrix, dense = example()
    x, up = torch.randn(4, 3, requires_grad=True), torch.randn(3, 5)
    (matrix @ x).backward(up.t())
    torch.testing.assert_close(x.grad, dense.t() @ up.t())
    assert "SparseMatrix(5, 4, entries=6)" in repr(matrix)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    entries=st.integers(0, 30),
    seed=st.integers(0, 10**6),
)
def test_any_matrix_multiplies_like_the_dense_one(
    rows: int, columns: int, entries: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    source = torch.randint(columns, (entries,), generator=draw)
    destination = torch.randint(rows, (entries,), generator=draw)
    weight = torch.randn(entries, generator=draw).double()
    dense = torch.zeros(rows, columns).double()
    dense.index_put_((destination, source), weight, accumulate=True)
    matrix = SparseMatrix.from_edges(torch.stack([source, destination]), weight, (rows, columns))
    x = torch.randn(columns, 2, generator=draw).double().requires_grad_()
    up = torch.randn(rows, 2, generator=draw).double()
    out = matrix @ x
    torch.testing.assert_close(out, dense @ x)
    (out * up).sum().backward()
    torch.testing.assert_close(x.grad, dense.t() @ up)
