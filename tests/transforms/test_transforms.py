"""Operators against dense matrices; encodings against the eigenvalue equation."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from graphkit.transforms import (
    Adjacency,
    Chain,
    LaplacianPE,
    PropagatedFeatures,
    SignFlip,
    SparseFeatures,
    Undirected,
)


def path(nodes: int, **fields: torch.Tensor) -> Data:
    ends = torch.arange(nodes - 1)
    edges = torch.stack([ends, ends + 1])
    return Data(edge_index=torch.cat([edges, edges.flip(0)], 1), num_nodes=nodes, **fields)


def directed() -> Data:
    return Data(
        x=torch.tensor([[0.0, 1.0], [0.0, 0.0], [2.0, 0.0]]),
        edge_index=torch.tensor([[0, 0, 1], [1, 2, 2]]),
        edge_weight=torch.tensor([1.0, 2.0, 4.0]),
        num_nodes=3,
    )


def dense(data: Data, name: str = "adj") -> torch.Tensor:
    return data[name].forward_csr.to_dense()


def test_norms_by_hand() -> None:
    """Edges 0->1 (1), 0->2 (2), 1->2 (4): row is the destination."""
    total = dense(Adjacency("sum", self_loops=False)(directed()))
    assert total.tolist() == [[0, 0, 0], [1, 0, 0], [2, 4, 0]]
    mean = dense(Adjacency("mean", self_loops=False)(directed()))
    torch.testing.assert_close(mean, torch.tensor([[0.0, 0, 0], [1, 0, 0], [1 / 3, 2 / 3, 0]]))
    loops = torch.tensor([[1.0, 0, 0], [1, 1, 0], [2, 4, 1]])
    root = loops.sum(1).rsqrt()
    torch.testing.assert_close(dense(Adjacency("sym")(directed())), root[:, None] * loops * root)
    places = dense(Adjacency("sum", unweighted=True)(directed()))
    assert places.tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_reverse_steps_against_the_edges() -> None:
    back = Adjacency("sum", self_loops=False, reverse=True, unweighted=True)(directed())
    assert dense(back, "adj_out").tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]


def test_undirected_takes_edge_fields_along() -> None:
    both = Undirected()(directed())
    weights = {tuple(e): w for e, w in zip(both.edge_index.t().tolist(), both.edge_weight.tolist(),
                                           strict=True)}  # fmt: skip
    assert weights == {(0, 1): 1, (1, 0): 1, (0, 2): 2, (2, 0): 2, (1, 2): 4, (2, 1): 4}


def test_sparse_features_only_where_they_save_work() -> None:
    sparse = SparseFeatures(0.5)(directed())
    torch.testing.assert_close(sparse.sparse_x @ torch.eye(2), directed().x)
    assert "sparse_x" not in SparseFeatures(0.1)(directed())
    assert "sparse_x" not in SparseFeatures(0.5)(Data(x=torch.zeros(3, 2, dtype=torch.long)))


def test_features_averaged_beforehand() -> None:
    data = Data(x=torch.tensor([[1.0], [3.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    torch.testing.assert_close(PropagatedFeatures(1)(data).x, torch.tensor([[2.0], [2.0]]))


@pytest.mark.parametrize("nodes", [5, 8, 13])
def test_encoding_solves_the_eigenvalue_equation(nodes: int) -> None:
    pe = LaplacianPE(3)(path(nodes)).pe.double()
    adjacency = torch.zeros(nodes, nodes).double()
    edges = path(nodes).edge_index
    adjacency[edges[0], edges[1]] = 1
    root = adjacency.sum(1).rsqrt()
    laplacian = torch.eye(nodes).double() - root[:, None] * adjacency * root
    values = torch.linalg.eigvalsh(laplacian)[1:4]
    torch.testing.assert_close(laplacian @ pe, pe * values, atol=1e-5, rtol=0)
    torch.testing.assert_close(pe.t() @ pe, torch.eye(3).double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("nodes", [1, 2, 4, 5])
def test_small_graphs_are_padded_with_zeros(nodes: int) -> None:
    data = path(nodes) if nodes > 1 else Data(edge_index=torch.empty(2, 0).long(), num_nodes=1)
    pe = LaplacianPE(4)(data).pe
    assert pe.shape == (nodes, 4)
    assert bool(torch.isfinite(pe).all())
    assert not bool(pe[:, nodes - 1 :].any())


def test_two_components_and_no_edges_stay_finite() -> None:
    apart = Data(edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]), num_nodes=5)
    assert bool(torch.isfinite(LaplacianPE(3)(apart).pe).all())
    bare = Data(edge_index=torch.empty(2, 0).long(), num_nodes=4)
    assert LaplacianPE(2)(bare).pe.shape == (4, 2)


def test_encoding_does_not_depend_on_the_solvers_sign() -> None:
    pe = LaplacianPE(3)(path(7)).pe
    largest = pe.gather(0, pe.abs().argmax(dim=0, keepdim=True))
    assert bool((largest > 0).all())


def test_signs_are_one_per_column_and_even() -> None:
    counts = torch.zeros(8)
    torch.manual_seed(0)
    for _ in range(800):
        flipped = SignFlip()(Data(pe=torch.ones(5, 3))).pe
        assert bool((flipped == flipped[0]).all())
        counts[int(((flipped[0] > 0) * torch.tensor([1, 2, 4])).sum())] += 1
    chi_square = float(((counts - 100) ** 2 / 100).sum())
    assert chi_square < 29.9  # p > 1e-4 at 7 degrees of freedom


def test_a_chain_is_fixed_if_all_parts_are() -> None:
    assert Chain(Adjacency(), SparseFeatures()).fixed
    assert not Chain(Adjacency(), SignFlip()).fixed
    assert "Adjacency" in repr(Chain(Adjacency()))
