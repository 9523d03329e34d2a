"""Our forms of PyG's convolutions give PyG's numbers and gradients, from the same parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import DirGNNConv, GATConv, GCNConv, SAGEConv
from torch_geometric.utils import softmax

from graphkit.nn import (
    Dropout,
    InputLinear,
    SparseDirSAGEConv,
    SparseGATConv,
    SparseGCNConv,
    SparseSAGEConv,
)
from graphkit.nn.convs import edge_softmax
from graphkit.sparse import SparseMatrix
from graphkit.transforms import Adjacency

NODES = 12


def edges() -> Tensor:
    """A directed graph without duplicates or loops; nodes 10 and 11 are isolated."""
    torch.manual_seed(3)
    pairs = torch.combinations(torch.arange(10))
    chosen = pairs[torch.randperm(len(pairs))[:25]].t()
    return torch.cat([chosen, chosen[:, :5].flip(0)], dim=1)


def multigraph() -> Tensor:
    """The same with two edges twice, one of them three times, and two self-loops."""
    extra = torch.tensor([[3, 3, 10], [3, 7, 10]])
    return torch.cat([edges(), edges()[:, :2], edges()[:, :1], extra, extra[:, 1:2]], dim=1)


def adj(norm: str, edge_index: Tensor | None = None, **settings: bool) -> SparseMatrix:
    data = Data(edge_index=edges() if edge_index is None else edge_index, num_nodes=NODES)
    made = Adjacency(norm, **settings)(data)  # type: ignore[arg-type]
    return made.adj_out if settings.get("reverse") else made.adj


def pairs() -> list[tuple[nn.Module, nn.Module, Callable[[nn.Module, Tensor], Tensor]]]:
    """PyG's layer, ours, and how ours is called."""
    return [
        (GCNConv(5, 4), SparseGCNConv(5, 4), lambda conv, x: conv(x, adj("sym"))),
        (SAGEConv(5, 7), SparseSAGEConv(5, 7),
         lambda conv, x: conv(x, adj("mean", self_loops=False))),
        (SAGEConv(5, 3), SparseSAGEConv(5, 3),
         lambda conv, x: conv(x, adj("mean", self_loops=False))),
        (DirGNNConv(SAGEConv(5, 4, root_weight=False), 0.3), SparseDirSAGEConv(5, 4, 0.3),
         lambda conv, x: conv(x, adj("mean", self_loops=False),
                              adj("mean", self_loops=False, reverse=True))),
        (GATConv(5, 4, heads=3), SparseGATConv(5, 4, heads=3),
         lambda conv, x: conv(x, adj("sum", unweighted=True))),
        (GATConv(5, 4, heads=2, concat=False), SparseGATConv(5, 4, heads=2, concat=False),
         lambda conv, x: conv(x, adj("sum", unweighted=True))),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("sparse", [False, True])
def test_same_numbers_and_gradients_as_pyg(number: int, sparse: bool) -> None:
    theirs, ours, call = pairs()[number]
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(NODES, 5) * (torch.rand(NODES, 5) > 0.5)
    expected = theirs(x, edges())
    found = call(ours, SparseMatrix.from_dense(x) if sparse else x)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (found * weight).sum().backward()
    for (name, one), two in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_gradient_of_the_input_equals_pygs() -> None:
    for theirs, ours, call in pairs():
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(NODES, 5, requires_grad=True)
        y = x.detach().clone().requires_grad_()
        theirs(x, edges()).square().sum().backward()
        call(ours, y).square().sum().backward()
        torch.testing.assert_close(y.grad, x.grad, atol=1e-5, rtol=1e-4)


def test_softmax_over_the_edges_into_a_node() -> None:
    matrix = adj("sum", self_loops=False)
    score = torch.randn(len(matrix.rows), 2).double() * 30
    expected = softmax(score, matrix.rows, num_nodes=NODES)
    torch.testing.assert_close(edge_softmax(score, matrix), expected)


def test_softmax_stands_scores_far_apart_between_nodes() -> None:
    """Node 1's scores are a thousand below node 0's: shares are of a node's own edges."""
    matrix = SparseMatrix.from_edges(torch.tensor([[0, 1, 0, 1], [0, 0, 1, 1]]), None, (2, 2))
    score = torch.tensor([[1000.0], [1000.0], [-1000.0], [-1000.0]])
    torch.testing.assert_close(edge_softmax(score, matrix), torch.full((4, 1), 0.5))


def test_dropout_has_the_right_share_and_scale() -> None:
    torch.manual_seed(0)
    out = Dropout(0.25)(torch.ones(400, 400))
    assert abs(float((out == 0).float().mean()) - 0.25) < 0.01
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(Dropout(0.25).eval()(torch.ones(3, 3)), torch.ones(3, 3))


def test_a_linear_map_of_sparse_rows_is_that_of_dense_ones() -> None:
    layer, x = InputLinear(6, 2, dropout=0.5).eval(), torch.eye(6)[:4]
    torch.testing.assert_close(layer(SparseMatrix.from_dense(x)), layer(x))


def test_loops_and_duplicates_count_as_in_pyg() -> None:
    """An edge given twice counts twice; a loop that is there already is not added again."""
    graph, x = multigraph(), torch.randn(NODES, 5)
    for theirs, ours, call in (
        (GCNConv(5, 4), SparseGCNConv(5, 4), lambda conv: conv(x, adj("sym", graph))),
        (SAGEConv(5, 4), SparseSAGEConv(5, 4),
         lambda conv: conv(x, adj("mean", graph, self_loops=False))),
        (GATConv(5, 4, heads=2), SparseGATConv(5, 4, heads=2),
         lambda conv: conv(x, adj("sum", graph, unweighted=True))),
    ):  # fmt: skip
        ours.load_state_dict(theirs.state_dict())
        torch.testing.assert_close(call(ours), theirs(x, graph), atol=1e-5, rtol=1e-5)


def test_edge_weights_count_as_in_pyg() -> None:
    graph, x = multigraph(), torch.randn(NODES, 5)
    weight = torch.rand(graph.shape[1]) + 0.1
    theirs, ours = GCNConv(5, 4), SparseGCNConv(5, 4)
    ours.load_state_dict(theirs.state_dict())
    made = Adjacency("sym")(Data(edge_index=graph, edge_weight=weight, num_nodes=NODES)).adj
    torch.testing.assert_close(ours(x, made), theirs(x, graph, weight), atol=1e-5, rtol=1e-5)


def test_attention_gradients_in_double_precision() -> None:
    matrix = adj("sum", unweighted=True)
    conv = SparseGATConv(3, 2, heads=2).double()
    x = torch.randn(NODES, 3).double().requires_grad_()
    doubled = matrix.with_values(matrix.values.double())
    assert torch.autograd.gradcheck(lambda v: conv(v, doubled), x)


def test_softmax_of_no_edge_is_empty_and_sums_to_one_elsewhere() -> None:
    none = SparseMatrix.from_edges(torch.empty(2, 0).long(), None, (4, 4))
    assert edge_softmax(torch.empty(0, 2), none).shape == (0, 2)
    matrix = adj("sum", unweighted=True)
    share = edge_softmax(torch.randn(len(matrix.rows), 3), matrix)
    total = torch.zeros(NODES, 3).index_add(0, matrix.rows, share)
    torch.testing.assert_close(total, torch.ones(NODES, 3))


@pytest.mark.parametrize("sparse", [False, True])
def test_dropout_of_the_input_acts_in_training_alone(sparse: bool) -> None:
    """With ones in and ones as weights, a kept share of half is doubled: sums are even."""
    layer = InputLinear(8, 1, dropout=0.5, bias=False)
    torch.nn.init.ones_(layer.weight)
    x = torch.ones(500, 8)
    given = SparseMatrix.from_dense(x) if sparse else x
    torch.manual_seed(0)
    out = layer(given).detach()
    assert set(out.unique().tolist()) <= {float(2 * kept) for kept in range(9)}
    assert len(out.unique()) > 5
    assert abs(float(out.mean()) - 8) < 0.3
    assert torch.equal(layer.eval()(given), torch.full((500, 1), 8.0))
