"""Hypergraphs made, mended and cut, against sets."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import k_hop_subgraph

import graphkit.transforms.hypergraph as module
from graphkit.data.sources.hypergraphs import Hypergraph
from graphkit.errors import DataError, SettingError
from graphkit.transforms import Chain
from graphkit.transforms.hypergraph import (
    CliqueExpansion,
    Incidence,
    NearestNeighborHyperedges,
    NeighborhoodHyperedges,
    SingletonHyperedges,
    UniqueHyperedges,
    check_hyperedges,
    induce,
    members,
    num_hyperedges,
)
from tests import tiny

NOTHING = torch.empty(2, 0, dtype=torch.long)


def hypergraph(*hyperedges: tuple[int, ...], nodes: int, **fields: Tensor) -> Hypergraph:
    pairs = [(v, e) for e, own in enumerate(hyperedges) for v in own]
    index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t()
    return Hypergraph(hyperedge_index=index, num_nodes=nodes, **fields)


def sets(data: Any) -> list[set[int]]:
    """The vertices of each hyperedge, in order."""
    node, hyperedge = data.hyperedge_index
    return [set(node[hyperedge == e].tolist()) for e in range(num_hyperedges(data))]


def drawn(nodes: int, hyperedges: int, count: int, draw: int) -> Hypergraph:
    """Any hypergraph: empty, equal and single-vertex hyperedges and isolated vertices occur."""
    source = torch.Generator().manual_seed(draw)
    if nodes == 0 or hyperedges == 0:
        return Hypergraph(hyperedge_index=NOTHING, num_nodes=nodes)
    index = torch.stack([torch.randint(nodes, (count,), generator=source),
                         torch.randint(hyperedges, (count,), generator=source)])  # fmt: skip
    return Hypergraph(
        hyperedge_index=index, num_nodes=nodes, hyperedge_weight=torch.ones(hyperedges)
    )


HYPERGRAPHS = given(
    nodes=st.integers(0, 12),
    hyperedges=st.integers(0, 30),
    count=st.integers(0, 40),
    draw=st.integers(0, 2**20),
)


def test_isolated_vertices_get_a_hyperedge_of_their_own() -> None:
    data = hypergraph((0, 2), (2,), nodes=4, hyperedge_attr=torch.ones(2, 3))
    data.hyperedge_weight = torch.tensor([2.0, 3.0])
    made = SingletonHyperedges()(data)
    assert sets(made) == [{0, 2}, {2}, {1}, {3}]
    assert made.hyperedge_weight.tolist() == [2, 3, 1, 1]
    assert made.hyperedge_attr.sum(1).tolist() == [3, 3, 0, 0]
    assert sets(data) == [{0, 2}, {2}]  # what was handed over stays
    assert isinstance(made, Hypergraph)


def test_equal_hyperedges_are_merged_in_place() -> None:
    data = hypergraph((0, 1), (2,), (1, 0, 1), (), (0, 1, 2), (2,), nodes=3)
    data.hyperedge_weight = torch.tensor([1.0, 4.0, 3.0, 9.0, 5.0, 4.0])
    data.hyperedge_kind = torch.tensor([7, 8, 9, 9, 6, 5])
    made = UniqueHyperedges()(data)
    assert sets(made) == [{0, 1}, {2}, {0, 1, 2}]
    assert made.hyperedge_index.shape[1] == 6  # the second 1 of (1, 0, 1) is gone
    assert made.hyperedge_weight.tolist() == [2, 4, 5]  # the mean of equals
    assert made.hyperedge_kind.tolist() == [7, 8, 6]


@settings(deadline=None, derandomize=True)
@HYPERGRAPHS
def test_unique_and_singletons_on_any_hypergraph(
    nodes: int, hyperedges: int, count: int, draw: int
) -> None:
    data = drawn(nodes, hyperedges, count, draw)
    expected = list(dict.fromkeys(frozenset(s) for s in sets(data) if s))
    made = UniqueHyperedges()(copy.copy(data))
    assert [frozenset(s) for s in sets(made)] == expected
    assert made.get("hyperedge_weight", torch.ones(0)).tolist() == [1] * len(expected)
    whole = SingletonHyperedges()(made)
    alone = sorted(set(range(nodes)).difference(*expected))
    assert sets(whole) == [*map(set, expected), *({v} for v in alone)]
    again = Chain(UniqueHyperedges(), SingletonHyperedges())(whole)
    assert sets(again) == sets(whole)


@settings(deadline=None, derandomize=True)
@HYPERGRAPHS
def test_induced_on_any_vertices(nodes: int, hyperedges: int, count: int, draw: int) -> None:
    data = drawn(nodes, hyperedges, count, draw)
    order = torch.randperm(nodes, generator=torch.Generator().manual_seed(draw))
    kept = order[: nodes // 2]
    index, left = induce(data.hyperedge_index, kept)
    place = {int(v): number for number, v in enumerate(kept)}
    expected = [{place[v] for v in s if v in place} for s in sets(data)]
    assert left.tolist() == [e for e, s in enumerate(expected) if s]
    assert sets(Data(hyperedge_index=index)) == [s for s in expected if s]


@settings(deadline=None, derandomize=True)
@HYPERGRAPHS
def test_clique_expansion_on_any_hypergraph(
    nodes: int, hyperedges: int, count: int, draw: int
) -> None:
    data = drawn(nodes, hyperedges, count, draw)
    pairs = {(b, a) for s in sets(data) for a in s for b in s if a != b}
    edges = CliqueExpansion()(data).edge_index
    assert edges.t().tolist() == [[b, a] for b, a in sorted(pairs, key=lambda p: (p[1], p[0]))]


def test_clique_expansion_replaces_edges_and_refuses_what_is_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = hypergraph((0, 1, 2), nodes=3)
    data.edge_index, data.edge_attr = torch.tensor([[0], [1]]), torch.ones(1, 2)
    made = CliqueExpansion()(data)
    assert made.edge_index.shape == (2, 6)
    assert "edge_attr" not in made
    monkeypatch.setattr(module, "MAX_PAIRS", 8)
    with pytest.raises(DataError, match=r"up to 9 edges \(the largest has 3 vertices"):
        CliqueExpansion()(data)


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_neighbourhoods_are_pygs(hops: int) -> None:
    """Of a path of five, its edges given in one direction, and a node alone with a loop."""
    edges = torch.tensor([[0, 2, 2, 3, 5], [1, 1, 3, 4, 5]])
    graph = Data(edge_index=edges, num_nodes=6)
    both = torch.cat([edges, edges.flip(0)], dim=1)
    made = NeighborhoodHyperedges(hops)(graph)
    near = [set(k_hop_subgraph(v, hops, both, num_nodes=6)[0].tolist()) for v in range(6)]
    assert sets(made) == [*near, {0, 1}, {1, 2}, {2, 3}, {3, 4}]
    assert sets(NeighborhoodHyperedges(hops, pairs=False)(graph)) == near
    assert torch.equal(made.edge_index, edges)
    assert "hyperedge_index" not in graph


def test_made_hyperedges_follow_those_that_are_there() -> None:
    data = hypergraph((0, 1), nodes=2, hyperedge_weight=torch.tensor([5.0]))
    data.edge_index = torch.tensor([[0], [1]])
    made = NeighborhoodHyperedges(pairs=False)(data)
    assert sets(made) == [{0, 1}, {0, 1}, {0, 1}]
    assert made.hyperedge_weight.tolist() == [5, 1, 1]


@pytest.mark.parametrize("block", [1, 40, 2**24])
def test_nearest_neighbours_against_all_distances(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    near = torch.cdist(x, x).argsort(dim=1)[:, :4]
    assert near[:, 0].tolist() == list(range(20))
    assert sets(NearestNeighborHyperedges(3)(Data(x=x))) == [set(row) for row in near.tolist()]


def test_nearest_neighbours_of_few_and_of_equal_nodes() -> None:
    """A node is in its own hyperedge, also where all are equally near."""
    made = sets(NearestNeighborHyperedges(1)(Data(x=torch.ones(5, 2))))
    assert all(v in s and len(s) == 2 for v, s in enumerate(made))
    assert sets(NearestNeighborHyperedges(9)(Data(x=torch.eye(3)))) == [{0, 1, 2}] * 3
    assert sets(NearestNeighborHyperedges(2)(Data(x=torch.ones(1, 2)))) == [{0}]
    assert sets(NearestNeighborHyperedges(2)(Data(x=torch.ones(0, 2)))) == []


def test_incidence_of_a_vertex_named_twice_counts_twice() -> None:
    data = hypergraph((0, 0, 1), nodes=2)
    there = Incidence("mean")(data).to_hyperedges.forward_csr.to_dense()
    torch.testing.assert_close(there, torch.tensor([[2 / 3, 1 / 3]]))


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (torch.tensor([[0, 3], [0, 0]]), r"hyperedge_index\[0, 1\] = 3 is out of range for 3 vert"),
        (torch.tensor([[0, -1], [0, 0]]), r"hyperedge_index\[0, 1\] = -1"),
        (torch.tensor([[0, 1], [0, -2]]), r"hyperedge_index\[1, 1\] = -2"),
        (torch.tensor([[0, 1], [0, 2**40]]), "ids have gaps"),
        (torch.tensor([[0, 1], [0, 1], [1, 2]]), "transposed"),
        (torch.tensor([0, 1]), "shape"),
        (torch.tensor([[0.0], [1.0]]), "float32"),
    ],
)
def test_memberships_that_cannot_be_are_refused(index: Tensor, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_hyperedges(index, 3)
    data = Hypergraph(hyperedge_index=index, num_nodes=3)
    for change in (SingletonHyperedges(), UniqueHyperedges(), CliqueExpansion(), Incidence()):
        with pytest.raises(DataError, match=said):
            change(data)


def test_a_graph_is_told_how_to_become_a_hypergraph() -> None:
    with pytest.raises(DataError, match=r"edge_index but no.*NeighborhoodHyperedges.*NearestNei"):
        members(tiny.node_problem().data)
    with pytest.raises(DataError, match="no hyperedge_index"):
        members(Data(x=torch.ones(2, 1)))
    with pytest.raises(DataError, match="reads edge_index"):
        NeighborhoodHyperedges()(Data(x=torch.ones(2, 1)))
    for x in (None, torch.ones(3, 2, dtype=torch.long), torch.ones(3)):
        with pytest.raises(DataError, match="reads vectors x"):
            NearestNeighborHyperedges()(Data(x=x))


@pytest.mark.parametrize(
    "weight", [torch.tensor([1.0]), torch.tensor([1.0, -1.0]), torch.tensor([1.0, float("nan")])]
)
def test_weights_that_cannot_be_are_refused(weight: Tensor) -> None:
    with pytest.raises(DataError, match="hyperedge_weight"):
        Incidence()(hypergraph((0, 1), (1,), nodes=2, hyperedge_weight=weight))


def test_settings_out_of_range_are_refused() -> None:
    for make in (
        lambda: NeighborhoodHyperedges(0),
        lambda: NearestNeighborHyperedges(0),
        lambda: Incidence("half"),  # type: ignore[arg-type]
    ):
        with pytest.raises(SettingError, match="expected"):
            make()


def test_named_by_their_settings() -> None:
    """The name is what prepared data are kept under."""
    assert repr(NeighborhoodHyperedges(2)) == "NeighborhoodHyperedges(hops=2, pairs=True)"
    assert repr(NearestNeighborHyperedges(4)) == "NearestNeighborHyperedges(k=4)"
    assert repr(Incidence("mean")) == "Incidence(norm='mean')"
    assert Chain(UniqueHyperedges(), SingletonHyperedges(), Incidence()).fixed
