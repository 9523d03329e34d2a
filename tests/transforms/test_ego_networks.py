"""Ego networks of all nodes at once, against PyG's one at a time and against Python sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import k_hop_subgraph, to_undirected

from graphkit.data.batching import SampledNodes
from graphkit.data.graphs import GraphSet
from graphkit.errors import DataError, SettingError
from graphkit.transforms.ego_networks import EgoNetworks, EgoSets
from tests import tiny

NO_EDGES = torch.empty(2, 0, dtype=torch.long)


def any_graph(nodes: int, edges: int, draw: int) -> Data:
    """A directed graph: loops, duplicates and isolated nodes occur."""
    source = torch.Generator().manual_seed(draw)
    return Data(edge_index=torch.randint(nodes, (2, edges), generator=source), num_nodes=nodes)


def star(leaves: int) -> Data:
    outer = torch.arange(1, leaves + 1)
    return Data(edge_index=torch.stack([torch.zeros_like(outer), outer]), num_nodes=leaves + 1)


def sets(egos: EgoSets) -> dict[int, set[int]]:
    """The members of each ego network, by its centre."""
    members = egos.member.split(egos.size.tolist())
    return {int(c): set(m.tolist()) for c, m in zip(egos.root, members, strict=True)}


def dense(matrix: Any) -> Tensor:
    out: Tensor = matrix.forward_csr.to_dense()
    return out


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("include_root", [True, False])
def test_every_node_within_reach_is_in(hops: int, include_root: bool) -> None:
    for draw in range(6):
        graph = any_graph(15, (0, 8, 15, 20, 30, 60)[draw], draw)
        egos = EgoNetworks(hops, include_root=include_root)(graph).egos
        both = to_undirected(graph.edge_index, num_nodes=15)
        for root, found in sets(egos).items():
            near = set(k_hop_subgraph(root, hops, both, num_nodes=15)[0].tolist())
            assert found == (near if include_root else near - {root})
        assert len(sets(egos)) == 15


@pytest.mark.parametrize("include_root", [True, False])
def test_pairs_rows_and_parts_are_what_they_say(include_root: bool) -> None:
    graph = any_graph(12, 20, 3)
    egos = EgoNetworks(1, include_root=include_root)(graph).egos
    held = [(u, v) for own in sets(egos).values() for u in own for v in own]
    pairs = [tuple(p) for p in egos.pair_index.t().tolist()]
    assert pairs == sorted(set(held))
    assert [pairs[i] for i in egos.reverse] == [(v, u) for u, v in pairs]
    assert [pairs[i] for i in egos.diagonal] == [(m, m) for m in egos.member.tolist()]
    assert egos.size.tolist() == sorted(egos.size.tolist())
    assert torch.equal(egos.ego.bincount(minlength=12), egos.size)
    expected = torch.zeros(len(egos.ego), len(pairs))
    for row, (ego, node) in enumerate(zip(egos.ego, egos.member, strict=True)):
        for other in sets(egos)[int(egos.root[ego])]:
            expected[row, pairs.index((int(node), other))] = 1
    torch.testing.assert_close(dense(egos.row_sum), expected)
    count = torch.tensor([float(held.count(p)) for p in pairs])
    torch.testing.assert_close(dense(egos.spread), expected.t() / count[:, None])
    share = torch.tensor([1 / held.count((m, m)) for m in egos.member.tolist()])
    torch.testing.assert_close(egos.row_share, share)
    parts: dict[tuple[int, tuple[int, int]], int] = {}
    for own in sets(egos).values():
        for u in own:
            for v in own:
                parts[len(own), (u, v)] = parts.get((len(own), (u, v)), 0) + 1
    found = [(s, pairs[p]) for s, p in zip(egos.part_size.tolist(), egos.part_pair, strict=True)]
    assert found == sorted(parts)
    shares = torch.tensor([parts[key] / held.count(key[1]) for key in found])
    torch.testing.assert_close(egos.part_share, shares)


def test_a_path_checked_by_hand() -> None:
    """0 - 1 - 2: networks {0, 1}, {0, 1, 2}, {1, 2}; every pair is in one, degrees 1, 2, 1."""
    data = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
    egos = EgoNetworks()(data).egos
    assert egos.root.tolist() == [0, 2, 1]
    assert egos.member.tolist() == [0, 1, 1, 2, 0, 1, 2]
    assert egos.pair_index.shape == (2, 9)
    half = 2**-0.5
    expected = torch.tensor([0, half, 0, half, 0, half, 0, half, 0])
    torch.testing.assert_close(egos.adjacency, expected)


def test_edges_count_once_and_both_ways_and_loops_stay() -> None:
    odd = Data(edge_index=torch.tensor([[0, 0, 1, 2], [1, 1, 0, 2]]), num_nodes=3)
    egos = EgoNetworks()(odd).egos
    assert sets(egos) == {0: {0, 1}, 1: {0, 1}, 2: {2}}
    assert egos.adjacency.tolist() == [0, 1, 1, 0, 1]  # (0,0) (0,1) (1,0) (1,1) (2,2)


def test_an_edge_outside_every_network_is_left_out() -> None:
    """Without the centres, two linked nodes are never together."""
    egos = EgoNetworks(include_root=False)(
        Data(edge_index=tiny.both_ways((0, 1)), num_nodes=2)
    ).egos
    assert sets(egos) == {0: {1}, 1: {0}}
    assert egos.adjacency.tolist() == [0, 0]


def test_graphs_of_a_batch_do_not_meet() -> None:
    graphs = [any_graph(7, 10, 1), any_graph(1, 0, 2), any_graph(9, 4, 3)]
    together = sets(EgoNetworks(2)(GraphSet.of(graphs).batch(torch.tensor([2, 0, 1]))).egos)
    for first, number in ((0, 2), (9, 0), (16, 1)):
        for root, own in sets(EgoNetworks(2)(graphs[number]).egos).items():
            assert together[first + root] == {first + node for node in own}


def test_made_once_for_a_whole_graph_and_anew_for_parts() -> None:
    class Asks:
        pre_transform = None
        transform = EgoNetworks()

    [batch] = tiny.graph_problem().batches("train", Asks())
    assert len(batch.egos.size) == batch.num_nodes
    whole = tiny.node_problem()
    [first], [again] = ([*whole.batches("train", Asks(), epoch)] for epoch in (0, 1))
    assert first.egos is again.egos
    drawn = replace(whole, batching=SampledNodes((1,), 2))
    parts = [*drawn.batches("all", Asks())]
    assert [len(part.egos.size) for part in parts] == [part.num_nodes for part in parts]


@pytest.mark.parametrize("nodes", [0, 1, 4])
def test_without_edges(nodes: int) -> None:
    egos = EgoNetworks(3)(Data(edge_index=NO_EDGES, num_nodes=nodes)).egos
    assert sets(egos) == {node: {node} for node in range(nodes)}
    assert egos.adjacency.tolist() == [0.0] * nodes
    alone = EgoNetworks(include_root=False)(Data(edge_index=NO_EDGES, num_nodes=nodes)).egos
    assert alone.size.tolist() == [0] * nodes
    assert alone.pair_index.shape == (2, 0)


def test_too_many_pairs_are_refused_before_they_are_made() -> None:
    """501 networks of all 501 nodes: 125,751,501 pairs."""
    egos = EgoNetworks()(star(500)).egos
    assert len(egos.row_sum.order) == 501**2 + 500 * 2**2
    with pytest.raises(DataError, match=r"125,751,501 pairs, 5,030,060,040 bytes"):
        EgoNetworks(2)(star(500))
    with pytest.raises(DataError, match=r"at least 1,000 pairs, .*max_pairs=900 .* fewer hops"):
        EgoNetworks(1, max_pairs=900)(star(500))


def test_pairs_of_exactly_the_bound_pass() -> None:
    """A centre with three leaves: 16 + 3 * 4 pairs."""
    assert len(EgoNetworks(max_pairs=28)(star(3)).egos.row_sum.order) == 28
    with pytest.raises(DataError, match="need 28 pairs"):
        EgoNetworks(max_pairs=27)(star(3))


def test_weights_take_the_type_of_the_features_and_move() -> None:
    graph = any_graph(6, 8, 0)
    graph.x = torch.ones(6, 1, dtype=torch.float64)
    egos = EgoNetworks()(graph).egos.to("cpu")
    kinds = {egos.adjacency.dtype, egos.row_share.dtype, egos.part_share.dtype}
    assert kinds | {egos.row_sum.values.dtype, egos.spread.values.dtype} == {torch.float64}
    assert repr(egos).startswith("EgoSets(6, rows=")
    moved = egos.to("meta")
    assert moved.member.device.type == moved.row_sum.values.device.type == "meta"


def test_settings() -> None:
    with pytest.raises(SettingError, match="num_hops=0"):
        EgoNetworks(0)
    assert repr(EgoNetworks(2)) == "EgoNetworks(2, include_root=True, max_pairs=16777216)"
