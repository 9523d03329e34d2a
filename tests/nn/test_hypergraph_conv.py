"""Two sparse products against the dense formulas, and against PyG."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import HypergraphConv

from graphkit.nn.hypergraph_conv import HGNNConv, HGNNPlusConv
from graphkit.sparse import SparseMatrix
from graphkit.transforms.hypergraph import Incidence

NODES, HYPEREDGES = 9, 6  # vertices 7 and 8 are isolated, hyperedges 2 and 5 empty, 4 has one
MEMBERS = torch.tensor(
    [[0, 1, 2, 3, 3, 4, 5, 6, 0, 6, 2], [0, 0, 0, 0, 1, 1, 3, 3, 3, 1, 4]],
)
WEIGHT = torch.tensor([1.0, 0.5, 2.0, 3.0, 0.0, 1.0])
KINDS = [(HGNNConv, "sym"), (HGNNPlusConv, "mean")]


def operators(norm: Any, weight: Tensor | None = None, index: Tensor = MEMBERS) -> Any:
    data = Data(hyperedge_index=index, num_nodes=NODES)
    data.hyperedge_weight = torch.ones(HYPEREDGES) if weight is None else weight
    made = Incidence(norm)(data)
    return made.to_hyperedges, made.to_nodes


def dense(norm: str, weight: Tensor) -> Tensor:
    """The (N, N) matrix, in double precision; a division by 0 is 0."""
    h = torch.zeros(NODES, HYPEREDGES, dtype=torch.float64)
    h[MEMBERS[0], MEMBERS[1]] = 1
    w = weight.double()
    power = lambda d, p: torch.where(d > 0, d.clamp(min=1e-300) ** p, 0.0)  # noqa: E731
    degree, size = h @ w, h.sum(0)
    if norm == "sym":
        root = power(degree, -0.5).diag()
        return root @ h @ w.diag() @ power(size, -1.0).diag() @ h.t() @ root
    return power(degree, -1.0).diag() @ h @ w.diag() @ power(size, -1.0).diag() @ h.t()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("cls", "norm"), KINDS)
def test_equals_the_dense_formula(cls: Any, norm: str, weighted: bool) -> None:
    torch.manual_seed(0)
    conv, x = cls(5, 4), torch.randn(NODES, 5)
    weight = WEIGHT if weighted else torch.ones(HYPEREDGES)
    step = dense(norm, weight)
    mapped = x.double() @ conv.lin.weight.double().t() + conv.lin.bias.double()
    out = conv(x, *operators(norm, weight))
    torch.testing.assert_close(out.double(), step @ mapped, rtol=0, atol=1e-6)
    assert bool((out[7:] == 0).all())  # isolated: nothing reaches them


def test_mean_by_hand() -> None:
    """Hyperedge 0 1 2 3 has the mean 1.5, 3 4 6 has 13/3: vertex 3 takes the mean of the two."""
    conv = HGNNPlusConv(1, 1, bias=False)
    torch.nn.init.ones_(conv.lin.weight)
    out = conv(torch.arange(9.0)[:, None], *operators("mean"))
    assert out[1].item() == pytest.approx(1.5)
    assert out[3].item() == pytest.approx((1.5 + 13 / 3) / 2)


def test_mean_equals_pygs_layer() -> None:
    torch.manual_seed(1)
    theirs, ours = HypergraphConv(5, 4, bias=False), HGNNPlusConv(5, 4, bias=False)
    ours.lin.weight.data = theirs.lin.weight.data
    x = torch.randn(NODES, 5)
    torch.testing.assert_close(
        ours(x, *operators("mean")), theirs(x, MEMBERS, num_edges=HYPEREDGES), rtol=0, atol=1e-6
    )
    sym = HGNNConv(5, 4, bias=False)
    sym.lin.weight.data = theirs.lin.weight.data
    assert not torch.allclose(sym(x, *operators("sym")), theirs(x, MEMBERS, num_edges=HYPEREDGES))


@pytest.mark.parametrize(("cls", "norm"), KINDS)
def test_gradients_are_those_of_the_dense_formula(cls: Any, norm: str) -> None:
    torch.manual_seed(2)
    conv, x = cls(3, 2), torch.randn(NODES, 3, requires_grad=True)
    towards = torch.randn(NODES, 2)
    (conv(x, *operators(norm, WEIGHT)) * towards).sum().backward()
    found = [x.grad, conv.lin.weight.grad, conv.lin.bias.grad]
    x.grad, conv.lin.weight.grad, conv.lin.bias.grad = None, None, None
    (dense(norm, WEIGHT).float() @ conv.lin(x) * towards).sum().backward()
    expected = [x.grad, conv.lin.weight.grad, conv.lin.bias.grad]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("cls", "norm"), KINDS)
def test_renaming_vertices_and_hyperedges(cls: Any, norm: str) -> None:
    torch.manual_seed(3)
    conv, x = cls(3, 2), torch.randn(NODES, 3)
    node, hyperedge = torch.randperm(NODES), torch.randperm(HYPEREDGES)
    renamed = torch.stack([node[MEMBERS[0]], hyperedge[MEMBERS[1]]])[:, torch.randperm(11)]
    moved = conv(x[node.argsort()], *operators(norm, WEIGHT[hyperedge.argsort()], renamed))
    torch.testing.assert_close(moved[node], conv(x, *operators(norm, WEIGHT)))


@pytest.mark.parametrize(("cls", "norm"), KINDS)
def test_sparse_features_and_no_hyperedge_at_all(cls: Any, norm: Any) -> None:
    conv, x = cls(3, 2), torch.eye(NODES)[:, :3]
    torch.testing.assert_close(
        conv(SparseMatrix.from_dense(x), *operators(norm)), conv(x, *operators(norm))
    )
    data = Data(hyperedge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=NODES)
    nothing = Incidence(norm)(data)
    assert bool((conv(x, nothing.to_hyperedges, nothing.to_nodes) == 0).all())
