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


def random_graph(draw: torch.Generator, nodes: int) -> Data:
    """Directed, with loops and duplicates; some nodes without an edge."""
    edges = torch.randint(nodes, (2, 2 * nodes), generator=draw)
    weight = torch.rand(2 * nodes, generator=draw) + 0.1
    return Data(edge_index=edges, edge_weight=weight, num_nodes=nodes)


@pytest.mark.parametrize("nodes", [1, 3, 17])
@pytest.mark.parametrize("self_loops", [False, True])
@pytest.mark.parametrize("norm", ["sym", "mean", "sum"])
def test_norms_against_dense_matrices(norm: str, self_loops: bool, nodes: int) -> None:
    data = random_graph(torch.Generator().manual_seed(nodes), nodes)
    expected = torch.zeros(nodes, nodes)
    source, destination = data.edge_index
    if self_loops:
        # a loop that is there keeps its weight (PyG's rule: the last one of several)
        loops = torch.ones(nodes)
        for s, d, w in zip(source.tolist(), destination.tolist(), data.edge_weight, strict=True):
            if s == d:
                loops[s] = w
        apart = source != destination
        place = (destination[apart], source[apart])
        expected.index_put_(place, data.edge_weight[apart], accumulate=True)
        expected += torch.diag(loops)
    else:
        expected.index_put_((destination, source), data.edge_weight, accumulate=True)
    degree = expected.sum(dim=1)
    if norm == "sym":
        root = torch.where(degree > 0, degree.rsqrt(), 0.0)
        expected = root[:, None] * expected * root
    elif norm == "mean":
        expected = expected / torch.where(degree > 0, degree, 1.0)[:, None]
    made = Adjacency(norm, self_loops=self_loops)(data)  # type: ignore[arg-type]
    torch.testing.assert_close(dense(made), expected)


def test_a_graph_without_edges_or_nodes_has_an_operator() -> None:
    none = Data(edge_index=torch.empty(2, 0).long(), num_nodes=2)
    assert dense(Adjacency("sym")(none)).tolist() == [[1, 0], [0, 1]]
    assert dense(Adjacency("mean", self_loops=False)(none)).tolist() == [[0, 0], [0, 0]]
    empty = Data(edge_index=torch.empty(2, 0).long(), num_nodes=0)
    assert Adjacency("sym")(empty).adj.shape == (0, 0)


@pytest.mark.parametrize("kind", [torch.int64, torch.float64])
def test_whole_and_double_weights_are_taken(kind: torch.dtype) -> None:
    data = directed()
    data.edge_weight = data.edge_weight.to(kind)
    torch.testing.assert_close(dense(Adjacency("sym")(data)), dense(Adjacency("sym")(directed())))


def test_weights_that_cancel_or_are_negative_stay_finite() -> None:
    data = directed()
    data.edge_weight = torch.tensor([-3.0, 2.0, -2.0])
    for norm in ("sym", "mean"):
        for loops in (False, True):
            made = Adjacency(norm, self_loops=loops)(data)  # type: ignore[arg-type]
            assert bool(torch.isfinite(dense(made)).all())


def test_operators_are_named_by_their_settings() -> None:
    names = {repr(Adjacency(norm, reverse=r)) for norm in ("sym", "mean") for r in (False, True)}
    names |= {repr(PropagatedFeatures(2)), repr(PropagatedFeatures(2, (4,)))}
    assert len(names) == 6


def test_undirected_edges_are_sorted_by_destination() -> None:
    data = random_graph(torch.Generator().manual_seed(0), 9)
    both = Undirected()(data)
    source, destination = both.edge_index
    key = destination * 9 + source
    assert bool((key[1:] > key[:-1]).all())  # sorted, and none twice
    pairs = map(tuple, both.edge_index.t().tolist())
    weight = dict(zip(pairs, both.edge_weight.tolist(), strict=True))
    assert all(weight[b, a] == pytest.approx(w) for (a, b), w in weight.items())


def test_undirected_twice_is_once_and_no_edge_is_none() -> None:
    once = Undirected()(directed())
    edges, weight = once.edge_index.clone(), once.edge_weight.clone()
    twice = Undirected()(once)
    assert torch.equal(twice.edge_index, edges)
    torch.testing.assert_close(twice.edge_weight, weight)
    none = Undirected()(Data(edge_index=torch.empty(2, 0).long(), num_nodes=3))
    assert none.edge_index.shape == (2, 0)


def test_averaged_symbols_are_shares_of_neighbours() -> None:
    """Two linked nodes of symbols 0 and 2 are each half of both."""
    data = Data(x=torch.tensor([[0], [2]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    out = PropagatedFeatures(1, (3,))(data).x
    torch.testing.assert_close(out, torch.tensor([[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]]))
    bare = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    torch.testing.assert_close(PropagatedFeatures(3)(bare).x, torch.ones(2, 1))


def test_encoding_of_several_components_is_orthonormal() -> None:
    """Two paths: the second eigenvalue is 0 as well, and its vector is kept, as stated."""
    apart = torch.cat([path(4).edge_index, path(5).edge_index + 4], dim=1)
    pe = LaplacianPE(6)(Data(edge_index=apart, num_nodes=9)).pe.double()
    torch.testing.assert_close(pe.t() @ pe, torch.eye(6).double(), atol=1e-5, rtol=0)


def test_encoding_ignores_direction_weights_loops_and_duplicates() -> None:
    plain = path(6)
    one_way = plain.edge_index[:, :5]
    extra = torch.tensor([[0, 0, 3], [1, 0, 3]])
    other = Data(edge_index=torch.cat([one_way, extra], dim=1), num_nodes=6)
    torch.testing.assert_close(LaplacianPE(3)(other).pe, LaplacianPE(3)(plain).pe)


def test_encoding_moves_with_the_nodes_up_to_sign() -> None:
    """A tree with legs of 1, 2 and 3 has distinct eigenvalues: only the sign is free."""
    nodes = 7
    tree = torch.tensor([[0, 1, 2, 2, 4, 5], [1, 2, 3, 4, 5, 6]])
    edges = torch.cat([tree, tree.flip(0)], dim=1)
    new = torch.tensor([4, 2, 6, 0, 1, 5, 3])
    first = LaplacianPE(4)(Data(edge_index=edges, num_nodes=nodes)).pe
    second = LaplacianPE(4)(Data(edge_index=new[edges], num_nodes=nodes)).pe[new]
    torch.testing.assert_close(second.abs(), first.abs(), atol=1e-5, rtol=0)


def test_encoding_of_no_nodes() -> None:
    assert LaplacianPE(3)(Data(edge_index=torch.empty(2, 0).long(), num_nodes=0)).pe.shape == (0, 3)


def test_signs_come_from_the_global_generator_which_the_loop_seeds() -> None:
    data = Data(pe=torch.arange(12.0).reshape(3, 4) + 1)
    out = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        out.append(SignFlip()(data.clone()).pe)
    assert torch.equal(out[0], out[1])
    assert not torch.equal(out[0], out[2])
    assert torch.equal(out[0].abs(), data.pe)


def test_a_chain_applies_its_parts_in_order() -> None:
    data = Data(x=torch.tensor([[1.0], [3.0]]), edge_index=torch.tensor([[0], [1]]))
    both = Chain(Undirected(), PropagatedFeatures(1))(data)
    torch.testing.assert_close(both.x, torch.tensor([[2.0], [2.0]]))
    assert Chain().fixed
    assert not Chain(lambda data: data).fixed  # what does not say so may draw
