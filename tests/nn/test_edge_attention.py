"""The attention layer against a dense loop, its gradient against autograd's."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphkit.errors import SettingError
from graphkit.nn import EdgeAttention, GraphTransformerLayer, edge_attention


def dense_attention(layer: EdgeAttention, x: Tensor, edge_index: Tensor, e: Tensor | None):
    """The sheet's formulas, one edge at a time."""
    nodes, channels = x.shape
    width = channels // layer.heads
    q, k, v = layer.query(x), layer.key(x), layer.value(x)
    out = torch.zeros_like(x)
    for i in range(nodes):
        incoming = (edge_index[1] == i).nonzero().flatten().tolist()
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            weights = []
            for number in incoming:
                j = int(edge_index[0, number])
                score = q[i, part] * k[j, part] / math.sqrt(width)
                if e is not None:
                    score = score * layer.edge(e[number])[part]
                weights.append(score.sum().clamp(-layer.clamp, layer.clamp).exp())
            for number, weight in zip(incoming, weights, strict=True):
                out[i, part] += weight / sum(weights) * v[int(edge_index[0, number]), part]
    return out


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("scale", [1.0, 20.0])  # the second makes the clamp bite
def test_equals_a_dense_loop(edges: bool, scale: float) -> None:
    """12 nodes, directed, node 0 isolated, a self-loop on node 3."""
    torch.manual_seed(0)
    layer = EdgeAttention(8, 2, edges=edges).double()
    with torch.no_grad():
        layer.query.weight.mul_(scale)
    edge_index = torch.cat([torch.randint(1, 12, (2, 40)), torch.tensor([[3], [3]])], dim=1)
    x, e = torch.randn(12, 8).double(), torch.randn(41, 8).double() if edges else None
    found, score = layer(x, edge_index, e)
    torch.testing.assert_close(found, dense_attention(layer, x, edge_index, e), atol=1e-10, rtol=0)
    assert torch.equal(found[0], torch.zeros(8).double())
    assert (score is not None) == edges


def test_gradients_are_right() -> None:
    torch.manual_seed(1)
    layer = GraphTransformerLayer(4, 2, edges=True, norm="layer").double()
    edge_index = torch.randint(0, 5, (2, 9))
    inputs = (torch.randn(5, 4).double().requires_grad_(), torch.randn(9, 4).double())
    inputs[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x, e: layer(x, edge_index, e), inputs)


def test_heads_divide_the_width() -> None:
    with pytest.raises(SettingError, match="3 heads do not divide a width of 8"):
        EdgeAttention(8, 3, edges=False)


def random_input(edges: bool, dtype: torch.dtype, heads: int = 2, width: int = 8) -> tuple:
    """12 nodes, directed, node 0 isolated, a self-loop, an edge that is there twice."""
    torch.manual_seed(0)
    layer = EdgeAttention(width, heads, edges=edges).to(dtype)
    drawn = torch.randint(1, 12, (2, 40))
    edge_index = torch.cat([drawn, torch.tensor([[3], [3]]), drawn[:, :1]], dim=1)
    x = torch.randn(12, width, dtype=dtype, requires_grad=True)
    e = torch.randn(42, width, dtype=dtype, requires_grad=True) if edges else None
    return layer, x, edge_index, e


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("block", [8, 80, 2**18])  # 1, 10 and all edges at a time
def test_gradient_is_that_of_the_dense_loop(
    edges: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of nodes, edges and weights, with part of the scores beyond the clamp."""
    monkeypatch.setattr(edge_attention, "BLOCK", block)
    layer, x, edge_index, e = random_input(edges, torch.float64)
    with torch.no_grad():
        layer.query.weight.mul_(40)
    found, score = layer(x, edge_index, e)
    weight = torch.randn_like(found)
    inputs = [x, *layer.parameters()] + ([e] if e is not None else [])
    gradients = torch.autograd.grad((found * weight).sum(), inputs)
    expected = dense_attention(layer, x, edge_index, e)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    dense = torch.autograd.grad((expected * weight).sum(), inputs)
    for one, other in zip(gradients, dense, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)
    source, destination = edge_index
    q, k = layer.query(x)[destination], layer.key(x)[source]
    product = q * k / 2  # the root of 8 / 2
    if e is not None and score is not None:
        product = product * layer.edge(e)
        torch.testing.assert_close(score, product)
    logit = product.view(42, 2, 4).sum(-1)
    assert 0.1 < float((logit.abs() > 5).double().mean()) < 0.9  # the clamp bites and does not


@pytest.mark.parametrize("edges", [False, True])
def test_single_precision_is_close_to_double(edges: bool) -> None:
    layer, x, edge_index, e = random_input(edges, torch.float32)
    found, _ = layer(x, edge_index, e)
    double = layer.double()
    wide = None if e is None else e.double()
    expected = dense_attention(double, x.double(), edge_index, wide)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("edges", [False, True])
def test_both_results_have_right_gradients(edges: bool) -> None:
    layer, x, edge_index, e = random_input(edges, torch.float64, width=4)

    def out(x: Tensor, *e: Tensor) -> tuple[Tensor, ...]:
        shared, score = layer(x, edge_index, *e)
        return (shared,) if score is None else (shared, score)

    assert torch.autograd.gradcheck(out, (x,) if e is None else (x, e))
    if e is not None:  # the scores alone, as when the nodes' answer is not used
        assert torch.autograd.gradcheck(lambda x, e: layer(x, edge_index, e)[1], (x, e))


@pytest.mark.parametrize("norm", ["batch", "layer", None])
@pytest.mark.parametrize("edges", [False, True])
def test_renamed_nodes_and_shuffled_edges(edges: bool, norm: Any) -> None:
    torch.manual_seed(2)
    layer = GraphTransformerLayer(8, 2, edges=edges, norm=norm).eval()
    edge_index = torch.randint(0, 9, (2, 30))
    x, e = torch.randn(9, 8), torch.randn(30, 8) if edges else None
    nodes, order = torch.randperm(9), torch.randperm(30)
    expected_x, expected_e = layer(x, edge_index, e)
    moved = nodes[edge_index][:, order]  # old node i is called nodes[i]
    found_x, found_e = layer(x[nodes.argsort()], moved, None if e is None else e[order])
    torch.testing.assert_close(found_x[nodes], expected_x, atol=1e-5, rtol=0)
    if found_e is not None and expected_e is not None:
        torch.testing.assert_close(found_e, expected_e[order], atol=1e-5, rtol=0)
    assert (found_e is None) == (not edges)


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("nodes", [0, 1, 4])
def test_no_edges_give_zeros_and_finite_gradients(edges: bool, nodes: int) -> None:
    layer = GraphTransformerLayer(8, 2, edges=edges)
    x = torch.randn(nodes, 8, requires_grad=True)
    none = torch.empty(2, 0, dtype=torch.long)
    e = torch.empty(0, 8) if edges else None
    shared, _ = layer.attention(x, none, e)
    assert torch.equal(shared, torch.zeros(nodes, 8))
    out, _ = layer(x, none, e)
    assert out.shape == (nodes, 8)
    out.sum().backward()
    assert bool(torch.isfinite(x.grad).all())


def test_a_frozen_part_gets_no_gradient() -> None:
    layer, x, edge_index, e = random_input(True, torch.float32)
    layer.edge.requires_grad_(False)
    shared, score = layer(x, edge_index, e.detach())
    (shared.sum() + score.sum()).backward()
    assert layer.edge.weight.grad is None
    assert bool(layer.key.weight.grad.any())


def test_kept_for_the_gradient_is_a_number_per_edge_and_head() -> None:
    """Without edge features: nothing of 64 numbers per edge."""
    layer = EdgeAttention(64, 4, edges=False)
    edge_index = torch.randint(50, (2, 3000))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        layer(torch.randn(50, 64, requires_grad=True), edge_index)
    assert (3000, 64) not in kept
    assert (3000, 4) in kept
