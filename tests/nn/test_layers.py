"""Small layers against slow references and numbers by hand."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit.nn import BatchNorm, GatedGCNLayer, Head, InputEncoder, pool, smoothness


def test_gated_layer_equals_a_loop() -> None:
    """The sheet's formulas edge by edge, in evaluation mode with fresh running statistics."""
    torch.manual_seed(0)
    layer = GatedGCNLayer(4).double().eval()
    edge_index = torch.tensor([[0, 1, 2, 2, 3], [1, 0, 1, 1, 3]])
    x, e = torch.randn(5, 4).double(), torch.randn(5, 4).double()
    e_hat = torch.stack(
        [layer.C(e[k]) + layer.D(x[j]) + layer.E(x[i]) for k, (j, i) in enumerate(edge_index.t())]
    )
    gate = e_hat.sigmoid()
    expected = torch.zeros_like(x)
    for i in range(5):
        into = (edge_index[1] == i).nonzero().flatten().tolist()
        total = sum(gate[k] for k in into) + 1e-6
        near = sum(gate[k] / total * layer.B(x[edge_index[0, k]]) for k in into)
        new = layer.A(x[i]) + near
        expected[i] = x[i] + (new / math.sqrt(1 + 1e-5)).relu()
    found_x, found_e = layer(x, edge_index, e)
    torch.testing.assert_close(found_x, expected)
    torch.testing.assert_close(found_e, e + (e_hat / math.sqrt(1 + 1e-5)).relu())


def test_smoothness_equals_a_loop() -> None:
    torch.manual_seed(2)
    x = torch.randn(9, 4)
    unit = x / x.norm(dim=1, keepdim=True)
    total = sum((unit[i] - unit[j]).norm() / 2 for i in range(9) for j in range(9) if i != j)
    for rows in (1, 4, 100):
        torch.testing.assert_close(smoothness(x, rows), total / 72, atol=1e-5, rtol=1e-5)
    assert float(smoothness(torch.ones(5, 3))) == pytest.approx(0, abs=1e-3)
    assert float(smoothness(torch.tensor([[1.0, 0.0], [-2.0, 0.0]]))) == pytest.approx(1)
    assert float(smoothness(torch.ones(1, 3))) == 0


def test_encoder_reads_vectors_symbols_and_nothing() -> None:
    vectors = InputEncoder(3, (), 5)
    torch.testing.assert_close(
        vectors(torch.eye(3), 3), vectors.linear.weight.t() + vectors.linear.bias
    )
    symbols = InputEncoder(2, (4, 6), 5)
    x = torch.tensor([[3, 0], [1, 5]])
    expected = symbols.embed[0].weight[[3, 1]] + symbols.embed[1].weight[[0, 5]]
    torch.testing.assert_close(symbols(x, 2), expected)
    nothing = InputEncoder(0, (), 5)(None, 4)
    assert nothing.shape == (4, 5)
    assert bool((nothing == nothing[0]).all())


def test_head_halves_the_width_twice() -> None:
    assert [layer.weight.shape for layer in Head(70, 10) if hasattr(layer, "weight")] == [
        (35, 70), (17, 35), (10, 17),
    ]  # fmt: skip


def test_pool_keeps_a_row_for_an_empty_graph() -> None:
    x, batch = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2])
    assert pool(x, batch, 3, "mean").tolist() == [[2.0], [0.0], [5.0]]
    assert pool(x, batch, 3, "sum").tolist() == [[4.0], [0.0], [5.0]]


def test_batch_norm_of_one_row_uses_what_it_knows() -> None:
    norm = BatchNorm(3)
    many = norm(torch.randn(50, 3) * 2 + 1)
    assert abs(float(many.detach().mean())) < 1e-5
    one = norm(torch.tensor([[1.0, 2.0, 3.0]]))
    expected = (torch.tensor([[1.0, 2.0, 3.0]]) - norm.running_mean) / (
        norm.running_var + 1e-5
    ).sqrt()
    torch.testing.assert_close(one, expected)


@pytest.mark.parametrize("rows", [0, 1])
def test_batch_norm_stands_no_rows_and_leaves_its_statistics(rows: int) -> None:
    norm = BatchNorm(2)
    out = norm(torch.full((rows, 2), 3.0))
    assert out.shape == (rows, 2)
    assert bool(torch.isfinite(out).all())
    assert norm.running_mean.tolist() == [0, 0]
    out.sum().backward()
    assert bool(torch.isfinite(norm.weight.grad).all())


def test_batch_norm_of_many_rows_is_torchs() -> None:
    ours, theirs = BatchNorm(3), torch.nn.BatchNorm1d(3)
    x = torch.randn(7, 3)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_narrow_head_still_reads_its_input(width: int) -> None:
    """No map has width 0: the answer would not depend on the input."""
    head = Head(width, 2)
    assert all(layer.out_features > 0 for layer in head if isinstance(layer, torch.nn.Linear))


def test_gated_layer_gradients() -> None:
    torch.manual_seed(0)
    layer = GatedGCNLayer(3).double().eval()
    edge_index = torch.tensor([[0, 1, 2, 2], [1, 0, 1, 1]])
    inputs = (torch.randn(4, 3).double().requires_grad_(), torch.randn(4, 3).double())
    inputs[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x, e: layer(x, edge_index, e), inputs)


def test_gated_layer_normalises_over_the_batch_in_training() -> None:
    """The same residuals as in evaluation, once the running statistics are those of the batch."""
    torch.manual_seed(0)
    layer = GatedGCNLayer(3)
    edge_index = torch.randint(0, 6, (2, 20))
    x, e = torch.randn(6, 3), torch.randn(20, 3)
    layer.norm_nodes.momentum = layer.norm_edges.momentum = 1.0
    trained = layer(x, edge_index, e)
    for norm, rows in ((layer.norm_nodes, 6), (layer.norm_edges, 20)):
        norm.running_var *= (rows - 1) / rows  # torch keeps the unbiased one
    for one, two in zip(layer.eval()(x, edge_index, e), trained, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_encoder_takes_no_rows_and_one_column_without_its_dimension() -> None:
    encoder = InputEncoder(0, (4,), 5)
    assert encoder(torch.empty(0, 1).long(), 0).shape == (0, 5)
    torch.testing.assert_close(encoder(torch.tensor([3, 1]), 2), encoder.embed[0].weight[[3, 1]])


@pytest.mark.parametrize("readout", ["mean", "sum", "max"])
def test_pool_equals_a_loop(readout: str) -> None:
    x = torch.randn(9, 2)
    batch = torch.tensor([0, 0, 0, 2, 2, 3, 3, 3, 3])  # graph 1 is empty
    found = pool(x, batch, 4, readout)
    for graph in (0, 2, 3):
        rows = x[batch == graph]
        expected = {"mean": rows.mean(0), "sum": rows.sum(0), "max": rows.max(0).values}[readout]
        torch.testing.assert_close(found[graph], expected)
    assert found[1].tolist() == [0, 0]


def test_smoothness_of_opposite_and_of_no_nodes() -> None:
    """Two pairs that point apart: 8 of 12 ordered pairs at distance 1, 4 at distance 0."""
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0], [-1.0, 0.0], [-0.5, 0.0]])
    assert float(smoothness(x)) == pytest.approx(8 / 12, abs=1e-6)
    assert float(smoothness(torch.empty(0, 2))) == 0
