"""Encodings against their equations, PyG's own, and colours refined by hand."""

from __future__ import annotations

import resource
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import AddRandomWalkPE
from torch_geometric.utils import to_undirected

from graphkit.errors import DataError, SettingError
from graphkit.transforms import encodings, laplacian
from graphkit.transforms.encodings import WLPE, LaplacianPE, RandomWalkPE, SignFlip
from graphkit.transforms.laplacian import laplacian_vectors

NONE = torch.empty(2, 0, dtype=torch.long)


def both(*pairs: tuple[int, int]) -> Tensor:
    ends = torch.tensor(pairs).t()
    return torch.cat([ends, ends.flip(0)], dim=1)


def path_edges(nodes: int, first: int = 0) -> Tensor:
    return both(*((first + i, first + i + 1) for i in range(nodes - 1))) if nodes > 1 else NONE


def random_edges(nodes: int, edges: int, seed: int = 0) -> Tensor:
    return torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(seed))


def dense_laplacian(edge_index: Tensor, nodes: int) -> Tensor:
    adjacency = torch.zeros(nodes, nodes, dtype=torch.float64)
    for source, destination in edge_index.t().tolist():
        if source != destination:
            adjacency[source, destination] = adjacency[destination, source] = 1
    root = adjacency.sum(1).clamp(min=1).rsqrt()
    return torch.eye(nodes, dtype=torch.float64) - root[:, None] * adjacency * root


def check_vectors(vectors: Tensor, edge_index: Tensor, values: Tensor, atol: float = 1e-7) -> None:
    """Orthonormal eigenvectors of exactly these eigenvalues."""
    matrix = dense_laplacian(edge_index, len(vectors))
    torch.testing.assert_close(matrix @ vectors, vectors * values, atol=atol, rtol=0)
    eye = torch.eye(vectors.shape[1], dtype=torch.float64)
    torch.testing.assert_close(vectors.t() @ vectors, eye, atol=atol, rtol=0)


@pytest.fixture
def all_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of over 12 nodes count as large."""
    monkeypatch.setattr(laplacian, "DENSE_NODES", 12)


GRAPHS = {
    "path": (path_edges(40), 40),
    "ring": (torch.cat([path_edges(30), both((29, 0))], dim=1), 30),
    "random": (random_edges(60, 150), 60),
    "components": (
        torch.cat([random_edges(30, 70), 30 + random_edges(20, 50), path_edges(5, 52)], dim=1), 60,
    ),
    "twins": (torch.cat([path_edges(20), path_edges(20, 20), path_edges(3, 40)], dim=1), 45),
    "isolated": (path_edges(3), 20),
    "bare": (NONE, 15),
}  # fmt: skip


@pytest.mark.usefixtures("all_sparse")
@pytest.mark.parametrize("drop", ["first", "all"])
@pytest.mark.parametrize("name", GRAPHS)
def test_lanczos_finds_the_eigenvalues_of_the_dense_solver(name: str, drop: str) -> None:
    """Also those that two components share."""
    edges, nodes = GRAPHS[name]
    k = 4
    values = torch.linalg.eigvalsh(dense_laplacian(edges, nodes))
    trivial = int((values < 1e-9).sum()) if drop == "all" else 1
    vectors = laplacian_vectors(edges, nodes, k, drop)  # type: ignore[arg-type]
    if name == "bare":  # all eigenvalues are 1: which one is the first does not matter
        trivial = 1
    check_vectors(vectors, edges, values[trivial : trivial + k])
    again = laplacian_vectors(edges, nodes, k, drop)  # type: ignore[arg-type]
    assert torch.equal(vectors, again)


def test_both_solvers_agree_where_the_eigenvalues_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = random_edges(80, 320, seed=3)
    dense = laplacian_vectors(edges, 80, 6, "first")
    monkeypatch.setattr(laplacian, "DENSE_NODES", 12)
    torch.testing.assert_close(laplacian_vectors(edges, 80, 6, "first"), dense, atol=1e-8, rtol=0)
    monkeypatch.setattr(laplacian, "RESTARTS", 1)  # so that the matrix is factorised
    monkeypatch.setattr(laplacian, "TOLERANCE", 0.0)
    torch.testing.assert_close(laplacian_vectors(edges, 80, 6, "first"), dense, atol=1e-8, rtol=0)


@pytest.mark.parametrize("shape", ["random", "grid"])
def test_twenty_thousand_nodes_without_a_dense_matrix(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dense one takes 3.2 GB and an hour."""
    nodes = 20_000
    if shape == "random":
        edges = random_edges(nodes, 6 * nodes)
    else:  # 100 x 200: low eigenvalues crowd
        place = torch.arange(nodes).view(100, 200)
        edges = torch.cat(
            [torch.stack([place[:-1].flatten(), place[1:].flatten()]),
             torch.stack([place[:, :-1].flatten(), place[:, 1:].flatten()])], dim=1)  # fmt: skip
    monkeypatch.setattr(laplacian, "_dense", None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pe = LaplacianPE(4)(Data(edge_index=edges, num_nodes=nodes)).pe.double()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes
    torch.testing.assert_close(pe.t() @ pe, torch.eye(4).double(), atol=1e-5, rtol=0)
    links = to_undirected(edges[:, edges[0] != edges[1]], num_nodes=nodes)
    root = torch.bincount(links[0], minlength=nodes).clamp(min=1).double().rsqrt()[:, None]
    moved = torch.zeros_like(pe).index_add_(0, links[1], (root * pe)[links[0]])
    residual = pe - root * moved
    residual = residual - pe * (pe * residual).sum(0)
    assert float(residual.norm(dim=0).max()) < 1e-5


@pytest.mark.parametrize("nodes", [1, 2, 4, 5])
@pytest.mark.parametrize("drop", ["first", "all"])
def test_small_graphs_and_two_components_have_k_columns(nodes: int, drop: str) -> None:
    for edges, count in (
        (path_edges(nodes), nodes),
        (torch.cat([path_edges(nodes), path_edges(nodes, nodes)], dim=1), 2 * nodes),
    ):
        pe = LaplacianPE(4, drop)(Data(edge_index=edges, num_nodes=count)).pe  # type: ignore[arg-type]
        assert pe.shape == (count, 4)
        assert bool(torch.isfinite(pe).all())
        length = pe.norm(dim=0)
        torch.testing.assert_close(length[length > 0], torch.ones(int((length > 0).sum())))


def test_trivial_columns_are_dropped_once_or_all() -> None:
    """Two paths: constant on each up to the root of the degrees."""
    edges = torch.cat([path_edges(4), path_edges(5, 4)], dim=1)
    data = Data(edge_index=edges, num_nodes=9)
    first, every = LaplacianPE(3)(data.clone()).pe, LaplacianPE(3, "all")(data.clone()).pe
    root = torch.bincount(edges[0]).float().sqrt()
    on_each = (first[:, 0] / root).split([4, 5])
    for part in on_each:
        torch.testing.assert_close(part, part[:1].expand_as(part), atol=1e-5, rtol=0)
    assert not torch.allclose(on_each[0][0], on_each[1][0], atol=0.1)
    torch.testing.assert_close(every[:, :2].abs(), first[:, 1:].abs(), atol=1e-5, rtol=0)


def test_large_disconnected_graphs_set_the_largest_component_against_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(laplacian, "DENSE_NODES", 5)
    edges = torch.cat([path_edges(4), path_edges(6, 4), path_edges(3, 10)], dim=1)
    vectors = laplacian_vectors(edges, 14, 3, "first")
    root = torch.bincount(edges[0], minlength=14).double().sqrt()
    check_vectors(vectors[:, :2], edges, torch.zeros(2, dtype=torch.float64))
    assert bool((vectors.t() @ root).abs().max() < 1e-12)  # the trivial one is what was dropped
    assert float(vectors[13].abs().max()) == 0  # the isolated node


def test_settings_and_names() -> None:
    assert repr(LaplacianPE(3)) == "LaplacianPE(3)"
    assert repr(LaplacianPE(3, "all")) == "LaplacianPE(3, drop_trivial='all')"
    assert repr(SignFlip("pe")) == "SignFlip('pe')"
    assert repr(SignFlip("pe", "batch")) == "SignFlip('pe', per='batch')"
    assert [repr(WLPE()), repr(WLPE(3, 37))] == ["WLPE(2)", "WLPE(3, num_colors=37)"]
    for make in (lambda: LaplacianPE(0), lambda: LaplacianPE(2, "none"), lambda: RandomWalkPE(0),  # type: ignore[arg-type]
                 lambda: WLPE(-1), lambda: SignFlip(per="node")):  # type: ignore[arg-type]  # fmt: skip
        with pytest.raises(SettingError, match="expected"):
            make()
    for transform in (LaplacianPE(2), RandomWalkPE(2), WLPE()):
        with pytest.raises(DataError, match="reads edge_index"):
            transform(Data(x=torch.ones(3, 1)))


def batch_of(*sizes: int, columns: int = 3) -> Batch:
    return Batch.from_data_list(
        [Data(pe=torch.ones(n, columns), edge_index=NONE, num_nodes=n) for n in sizes]
    )


def test_each_graph_has_signs_of_its_own_unless_asked() -> None:
    torch.manual_seed(0)
    differ = 0
    for _ in range(50):
        first, second = SignFlip()(batch_of(2, 3)).pe.split([2, 3])
        assert torch.equal(first, first[:1].expand(2, -1))
        assert torch.equal(second, second[:1].expand(3, -1))
        differ += not torch.equal(first[0], second[0])
        whole = SignFlip(per="batch")(batch_of(2, 3)).pe
        assert torch.equal(whole, whole[:1].expand(5, -1))
    assert 30 < differ < 50  # seven in eight


def test_signs_of_many_graphs_are_even() -> None:
    """8 outcomes of 3 columns, for each of two graphs and together: chi-square, p > 1e-4."""
    flip = SignFlip(generator=torch.Generator().manual_seed(5))
    batch, place = batch_of(*[1] * 200), torch.tensor([1, 2, 4])
    out = torch.cat([((flip(batch.clone()).pe > 0) * place).sum(1) for _ in range(32)]).view(-1, 2)
    pairs = torch.bincount(out[:, 0] * 8 + out[:, 1], minlength=64)
    for found, limit in (
        (torch.bincount(out[:, 0], minlength=8), 29.9),
        (torch.bincount(out[:, 1], minlength=8), 29.9),
        (pairs, 113.5),
    ):
        expected = 3200 / len(found)
        assert float(((found - expected) ** 2 / expected).sum()) < limit


def test_signs_come_from_the_generator_if_there_is_one() -> None:
    def drawn() -> Tensor:
        return SignFlip(generator=torch.Generator().manual_seed(3))(batch_of(4, 4, 4)).pe

    state = torch.get_rng_state()
    assert torch.equal(drawn(), drawn())
    assert torch.equal(torch.get_rng_state(), state)


def test_returns_of_a_walk_by_hand() -> None:
    """On a triangle: 0, 1/2, 1/4; an isolated node never comes back."""
    data = Data(edge_index=both((0, 1), (1, 2), (2, 0)), num_nodes=4)
    pe = RandomWalkPE(3)(data).pe
    expected = torch.tensor([[0.0, 0.5, 0.25]] * 3 + [[0.0, 0.0, 0.0]])
    torch.testing.assert_close(pe, expected)


@pytest.mark.parametrize("directed", [False, True])
def test_blocks_of_walkers_equal_pygs_powers(
    directed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges = torch.unique(random_edges(70, 200), dim=1)
    edges = edges if directed else to_undirected(edges, num_nodes=70)
    expected = AddRandomWalkPE(6, "pe")(Data(edge_index=edges, num_nodes=70)).pe
    torch.testing.assert_close(
        RandomWalkPE(6)(Data(edge_index=edges, num_nodes=70)).pe, expected, rtol=1e-5, atol=1e-6
    )
    monkeypatch.setattr(encodings, "PYG_NODES", 0)
    monkeypatch.setattr(encodings, "WALKERS", 70 * 16)  # five blocks, the last one smaller
    twice = torch.cat([edges, edges[:, :9]], dim=1)
    found = RandomWalkPE(6)(Data(edge_index=twice, num_nodes=70)).pe
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_walks_tell_all_classes_of_csl_apart() -> None:
    """As the benchmark's sheet says: ten classes by 8 steps, three by 4."""
    from graphkit.data.sources.synthetic import csl_graphs

    graphs = csl_graphs()
    for steps, classes in ((8, 10), (7, 9), (4, 3)):
        rows = torch.stack([RandomWalkPE(steps)(graphs[15 * kind]).pe[0] for kind in range(10)])
        assert len(torch.unique((rows * 1e6).round(), dim=0)) == classes


def test_walks_on_a_large_graph_stay_within_memory() -> None:
    """PyG's powers fill up: 6,000 squared entries of 12 bytes after a few steps, 430 MB each."""
    nodes = 6_000
    edges = to_undirected(random_edges(nodes, 4 * nodes), num_nodes=nodes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pe = RandomWalkPE(3)(Data(edge_index=edges, num_nodes=nodes)).pe
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
    degree = torch.bincount(edges[0], minlength=nodes).clamp(min=1).float()
    source, target = edges
    plain = source != target
    loops = (~plain).nonzero().flatten()
    expected = torch.zeros(nodes).index_add_(
        0, source, 1 / (degree[source] * degree[target])
    )  # there and back, a loop among them
    assert len(loops) < nodes
    torch.testing.assert_close(pe[:, 1], expected, rtol=1e-5, atol=1e-6)


def refined(edges: Tensor, nodes: int, rounds: int) -> list[object]:
    """Colours as nested tuples: nothing is hashed."""
    linked: list[set[int]] = [set() for _ in range(nodes)]
    for source, destination in edges.t().tolist():
        if source != destination:
            linked[source].add(destination)
            linked[destination].add(source)
    color: list[object] = [()] * nodes
    for _ in range(rounds):
        color = [(color[i], tuple(sorted(repr(color[j]) for j in linked[i]))) for i in range(nodes)]
    return color


@pytest.mark.parametrize("rounds", [0, 1, 2, 4])
@pytest.mark.parametrize("name", [*GRAPHS, "tree"])
def test_colours_are_those_of_refinement_without_hashes(name: str, rounds: int) -> None:
    edges, nodes = GRAPHS.get(name, (both((0, 1), (1, 2), (1, 3), (3, 4), (4, 5)), 6))
    found = WLPE(rounds)(Data(edge_index=edges, num_nodes=nodes)).wl
    expected = refined(edges, nodes, rounds)
    assert found.dtype == torch.long
    assert len({*zip(found.tolist(), map(repr, expected), strict=True)}) == len(
        set(map(repr, expected))
    )
    assert len(set(found.tolist())) == len(set(map(repr, expected)))
    assert sorted(set(found.tolist())) == list(range(len(set(found.tolist()))))


def test_colours_move_with_the_nodes() -> None:
    edges, nodes = GRAPHS["random"]
    new = torch.randperm(nodes, generator=torch.Generator().manual_seed(1))
    first = WLPE()(Data(edge_index=edges, num_nodes=nodes)).wl
    second = WLPE()(Data(edge_index=new[edges], num_nodes=nodes)).wl[new]
    assert torch.equal(first, second)


def test_colours_ignore_direction_loops_and_duplicates() -> None:
    edges, nodes = GRAPHS["random"]
    more = torch.cat([edges, edges[:, :7], torch.tensor([[4], [4]])], dim=1)
    first = WLPE()(Data(edge_index=edges, num_nodes=nodes)).wl
    second = WLPE()(Data(edge_index=more.flip(0), num_nodes=nodes)).wl
    assert torch.equal(first, second)


def test_more_colours_than_room_are_refused() -> None:
    """A path of 5 has 3 colours after two rounds."""
    data = Data(edge_index=path_edges(5), num_nodes=5)
    assert Counter(WLPE(2, 3)(data).wl.tolist()).most_common(1)[0][1] == 2
    with pytest.raises(DataError, match="5 nodes has 3 colours after 2 rounds and there is room f"):
        WLPE(2, 2)(data)
    assert WLPE()(Data(edge_index=NONE, num_nodes=0)).wl.shape == (0,)


def test_hashes_of_many_colours_do_not_meet() -> None:
    """A million small numbers, whose low bits alone differ, and sums of two of them."""
    bits = encodings._mixed(torch.arange(1_000_000))
    assert len(bits.unique()) == 1_000_000
    sums = bits[:1000, None] + bits[None, :1000]
    assert len(sums.flatten().unique()) == 1000 * 1001 // 2
    ones = np.unpackbits(bits.numpy().view(np.uint8)).mean()
    assert abs(ones - 0.5) < 1e-3
