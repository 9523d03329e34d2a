"""The gated sum over distances: numbers by hand, and against a dense matrix power."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from graphkit.nn import AdaptiveHops
from graphkit.transforms import Adjacency


def example(nodes: int = 9) -> tuple[torch.Tensor, torch.Tensor, Data]:
    """Random undirected graph; the last node is isolated. Dense operator, features, data."""
    torch.manual_seed(1)
    pairs = torch.combinations(torch.arange(nodes - 1))
    chosen = pairs[torch.rand(len(pairs)) < 0.4].t()
    edge_index = torch.cat([chosen, chosen.flip(0)], dim=1)
    dense = torch.eye(nodes)
    dense[edge_index[1], edge_index[0]] = 1
    root = dense.sum(1).rsqrt()
    data = Adjacency("sym")(Data(edge_index=edge_index, num_nodes=nodes))
    return root[:, None] * dense * root, torch.randn(nodes, 3), data


def test_open_gate_sums_all_views() -> None:
    """Two linked nodes average to 2 after one step: 1 + 2 and 3 + 2."""
    layer = AdaptiveHops(channels=1, hops=1)
    torch.nn.init.zeros_(layer.gate.weight)
    torch.nn.init.constant_(layer.gate.bias, 100.0)  # sigmoid is 1
    x, edge_index = torch.tensor([[1.0], [3.0]]), torch.tensor([[0, 1], [1, 0]])
    torch.testing.assert_close(layer(x, edge_index), torch.tensor([[3.0], [5.0]]))


@pytest.mark.parametrize("hops", [0, 1, 4])
def test_constant_gate_is_a_sum_of_matrix_powers(hops: int) -> None:
    dense, z, data = example()
    layer = AdaptiveHops(3, hops)
    torch.nn.init.zeros_(layer.gate.weight)
    torch.nn.init.constant_(layer.gate.bias, 0.7)
    powers = sum(torch.linalg.matrix_power(dense, k) @ z for k in range(hops + 1))
    expected = torch.sigmoid(torch.tensor(0.7)) * powers
    torch.testing.assert_close(layer(z, data.edge_index), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer(z, data.adj), expected, atol=1e-5, rtol=1e-5)


def test_streaming_and_stacked_forms_agree() -> None:
    dense, z, data = example()
    layer = AdaptiveHops(3, 6)
    views = torch.stack([torch.linalg.matrix_power(dense, k) @ z for k in range(7)], dim=1)
    stacked = (layer.gate(views).sigmoid() * views).sum(dim=1)
    torch.testing.assert_close(layer(z, data.adj), stacked, atol=1e-6, rtol=1e-5)
    gates = layer.gates(z, data.edge_index)
    assert gates.shape == (9, 7)
    torch.testing.assert_close(gates, layer.gate(views).sigmoid()[:, :, 0], atol=1e-6, rtol=1e-5)


def test_an_isolated_node_sees_itself_at_every_distance() -> None:
    _, z, data = example()
    layer = AdaptiveHops(3, 5)
    own = layer.gate(z[-1]).sigmoid() * z[-1] * 6
    torch.testing.assert_close(layer(z, data.adj)[-1], own)


def test_no_hops_is_a_gate_alone_and_one_node_one_class_works() -> None:
    layer = AdaptiveHops(1, 0, bias=False)
    z = torch.tensor([[2.0]])
    none = torch.empty(2, 0, dtype=torch.long)
    torch.testing.assert_close(layer(z, none), layer.gate(z).sigmoid() * z)
    assert layer.gate.bias is None


def test_renaming_nodes_renames_outputs() -> None:
    _, z, data = example()
    layer, order = AdaptiveHops(3, 4), torch.randperm(9)
    renamed = order.argsort()[data.edge_index]
    torch.testing.assert_close(layer(z[order], renamed), layer(z, data.edge_index)[order])


def test_both_forms_give_the_same_gradients() -> None:
    _, z, data = example()
    layer, weight = AdaptiveHops(3, 4), torch.randn(9, 3)
    found = []
    for form in (data.edge_index, data.adj):
        x = z.clone().requires_grad_()
        layer.zero_grad()
        (layer(x, form) * weight).sum().backward()
        found.append([x.grad, layer.gate.weight.grad.clone(), layer.gate.bias.grad.clone()])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_edge_weights_are_those_of_the_operator() -> None:
    """Edges 0-1 of weight 3 and loops of 1: each row of the operator is 3 and 1 over 4."""
    layer = AdaptiveHops(1, 1)
    torch.nn.init.zeros_(layer.gate.weight)
    torch.nn.init.constant_(layer.gate.bias, 100.0)
    z, edges = torch.tensor([[0.0], [4.0]]), torch.tensor([[0, 1], [1, 0]])
    out = layer(z, edges, torch.tensor([3.0, 3.0]))
    torch.testing.assert_close(out, torch.tensor([[3.0], [5.0]]))  # 0 + 3 and 4 + 1


def test_the_gate_is_not_shared_out_over_distances() -> None:
    """Sigmoids, not a softmax: open gates of three views weigh 3 in all."""
    layer = AdaptiveHops(2, 2)
    torch.nn.init.zeros_(layer.gate.weight)
    torch.nn.init.constant_(layer.gate.bias, 100.0)
    gates = layer.gates(torch.randn(4, 2), torch.tensor([[0, 1], [1, 0]]))
    torch.testing.assert_close(gates, torch.ones(4, 3))
