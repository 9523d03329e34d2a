"""Look-alikes: not the same, and yet of one colour after refinement."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import WLConv
from torch_geometric.utils import to_dense_adj

from graphkit.data.sources.look_alikes import look_alikes, relabelled

PAIRS = look_alikes()


def _spectrum(graph: Data, power: int = 1) -> torch.Tensor:
    return torch.linalg.eigvalsh(_dense(graph)).round(decimals=8)


def _dense(graph: Data) -> torch.Tensor:
    return to_dense_adj(graph.edge_index, max_num_nodes=graph.num_nodes)[0].double()


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_is_refined_to_the_same_colours(name: str) -> None:
    refine = WLConv()
    colours = [torch.zeros(graph.num_nodes, dtype=torch.long) for graph in PAIRS[name]]
    for _ in range(10):
        colours = [refine(c, g.edge_index) for c, g in zip(colours, PAIRS[name], strict=True)]
        first, second = (torch.sort(c).values for c in colours)
        assert first.equal(second)


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_is_two_simple_graphs_that_differ(name: str) -> None:
    left, right = PAIRS[name]
    for graph in (left, right):
        assert graph.is_undirected()
        assert not graph.has_self_loops()
        assert not graph.has_isolated_nodes()
        assert graph.is_coalesced() or graph.edge_index.unique(dim=1).shape[1] == graph.num_edges
    assert left.num_nodes == right.num_nodes
    assert left.num_edges == right.num_edges
    assert _invariant(left) != _invariant(right)


def _invariant(graph: Data) -> list[int]:
    """Closed walks of 3, 4 and 6 steps, in all and among the neighbours of each node: no numbering
    changes them."""
    a = _dense(graph)
    inner = [a, *(a[n.bool()][:, n.bool()] for n in a)]
    return sorted(round(float(m.matrix_power(k).trace())) for m in inner for k in (3, 4, 6))


def test_the_hard_pair_has_one_spectrum() -> None:
    rook, shrikhande = PAIRS["rook's graph, Shrikhande graph"]
    torch.testing.assert_close(_spectrum(rook), _spectrum(shrikhande), atol=1e-6, rtol=0)


def test_relabelling_keeps_the_graph() -> None:
    graph = PAIRS["decalin, bicyclopentyl"][0].clone()
    graph.x = torch.arange(10.0)[:, None]
    renamed = relabelled(graph, torch.Generator().manual_seed(0))
    order = renamed.x[:, 0].long()
    assert not order.equal(torch.arange(10))
    back = {tuple(order[e].tolist()) for e in renamed.edge_index.t()}
    assert back == {tuple(e.tolist()) for e in graph.edge_index.t()}
