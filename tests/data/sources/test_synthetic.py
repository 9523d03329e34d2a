"""Generators: expected sizes, symbols and labels by rule, the same seed for the same graphs."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.transforms import AddRandomWalkPE

from graphkit.data.graphs import GraphSet
from graphkit.data.prepare import fingerprint
from graphkit.data.sources import gnn_benchmark, synthetic
from graphkit.errors import UnknownName

COUNT = 2_000


@pytest.fixture(scope="module")
def patterns() -> GraphSet:
    return synthetic.pattern_graphs(COUNT)


@pytest.fixture(scope="module")
def clusters() -> GraphSet:
    return synthetic.cluster_graphs(COUNT)


def _density(graphs: GraphSet, chosen: torch.Tensor) -> float:
    """Share of the pairs of different nodes within ``chosen`` nodes that are linked, over all
    graphs; ``chosen`` holds a group number per node, -1 for those left out."""
    start = graphs.slices["x"][:-1]
    owner = torch.arange(len(graphs)).repeat_interleave(graphs.slices["edge_index"].diff())
    ends = graphs.joined.edge_index + start[owner]
    inside = (chosen[ends[0]] == chosen[ends[1]]) & (chosen[ends[0]] >= 0)
    graph = torch.arange(len(graphs)).repeat_interleave(graphs.num_nodes)
    size = torch.bincount((graph * 16 + chosen)[chosen >= 0]).double()
    return float(inside.sum() / (size * (size - 1)).sum())


@pytest.mark.parametrize(("kind", "nodes", "edges"), [("p", 117.0, 5_870), ("c", 117.0, 4_290)])
def test_means_are_those_of_the_paper(
    kind: str, nodes: float, edges: float, patterns: GraphSet, clusters: GraphSet
) -> None:
    graphs = patterns if kind == "p" else clusters
    assert len(graphs) == COUNT
    assert graphs.num_nodes.double().mean().item() == pytest.approx(nodes, rel=0.03)
    assert graphs.joined.num_edges / COUNT == pytest.approx(edges, rel=0.03)
    assert int(graphs.num_nodes.min()) >= 30
    assert int(graphs.num_nodes.max()) <= 204


@pytest.mark.parametrize("kind", ["p", "c"])
def test_graphs_are_simple_and_sorted(kind: str, patterns: GraphSet, clusters: GraphSet) -> None:
    for graph in (patterns if kind == "p" else clusters)[:20]:
        assert graph.is_undirected()
        assert not graph.has_self_loops()
        key = graph.edge_index[1] * graph.num_nodes + graph.edge_index[0]
        assert bool((key.diff() > 0).all())
        assert int(graph.edge_index.max()) < graph.num_nodes


def test_a_pattern_is_the_same_in_every_graph(patterns: GraphSet) -> None:
    """Graphs 100 apart hold one pattern: as many marked nodes, with the same symbols and links."""
    assert patterns.joined.y.unique().tolist() == [0, 1]
    for number in range(0, 100, 7):
        seen = set()
        for graph in (patterns[number], patterns[number + 100], patterns[number + 1_900]):
            marked = graph.y == 1
            inner = graph.subgraph(marked)
            degree = torch.bincount(inner.edge_index[0], minlength=inner.num_nodes)
            both = torch.stack([inner.x[:, 0], degree], dim=1).tolist()
            seen.add(tuple(sorted(map(tuple, both))))
            assert 5 <= int(marked.sum()) <= 34
        assert len(seen) == 1


def test_symbols_outside_a_pattern_and_links_to_it_are_even_chances(patterns: GraphSet) -> None:
    x, y = patterns.joined.x[:, 0], patterns.joined.y
    share = x[y == 0].bincount(minlength=3).double() / int((y == 0).sum())
    assert share.tolist() == pytest.approx([1 / 3] * 3, abs=0.005)
    start = patterns.slices["x"][:-1]
    owner = torch.arange(COUNT).repeat_interleave(patterns.slices["edge_index"].diff())
    source, destination = patterns.joined.edge_index + start[owner]
    across = (y[source] != y[destination]).sum().item()
    graph = torch.arange(COUNT).repeat_interleave(patterns.num_nodes)
    marked = torch.bincount(graph, weights=y.double(), minlength=COUNT)
    pairs = 2 * (marked * (patterns.num_nodes - marked)).sum().item()
    assert across / pairs == pytest.approx(0.5, abs=0.005)
    # five communities of sizes s: expected share of pairs inside is what the 0.35 is raised by
    assert 0.35 < _density(patterns, torch.where(y == 0, 0, -1)) < 0.40


def test_every_community_has_one_named_node_of_its_own(clusters: GraphSet) -> None:
    x, y = clusters.joined.x[:, 0], clusters.joined.y
    assert x.bincount().tolist()[1:] == [COUNT] * 6
    assert torch.equal(x[x > 0] - 1, y[x > 0])
    for graph in clusters[:50]:
        assert graph.x[graph.x > 0].sort().values.tolist() == [1, 2, 3, 4, 5, 6]
        assert int(graph.y.bincount().min()) >= 5
        assert int(graph.y.bincount().max()) <= 34


def test_communities_are_linked_with_their_chances(clusters: GraphSet) -> None:
    inside = _density(clusters, clusters.joined.y)
    assert inside == pytest.approx(0.55, abs=0.005)
    everywhere = _density(clusters, torch.zeros_like(clusters.joined.y))
    graph = torch.arange(COUNT).repeat_interleave(clusters.num_nodes)
    size = torch.bincount(graph * 6 + clusters.joined.y, minlength=6 * COUNT).double()
    total = clusters.num_nodes.double()
    share = (size * (size - 1)).sum() / (total * (total - 1)).sum()
    across = (everywhere - share * inside) / (1 - share)
    assert across.item() == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize("draw", [synthetic.pattern_graphs, synthetic.cluster_graphs])
def test_a_seed_stands_for_its_graphs(draw: object) -> None:
    """The global generators have no part in it; parts of one seed differ, and so do seeds."""
    assert callable(draw)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fingerprint(draw(130))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert fingerprint(draw(130)) == first
    assert fingerprint(draw(130, "test")) != first
    assert fingerprint(draw(130, seed=7)) != first


def test_parts_share_their_patterns_alone() -> None:
    train, test = synthetic.pattern_graphs(100), synthetic.pattern_graphs(100, "test")
    marked = [
        [int(graph.y.sum()) for graph in graphs] for graphs in (train, test)
    ]  # fmt: skip
    assert marked[0] == marked[1]
    assert not torch.equal(train.num_nodes, test.num_nodes)


def test_the_runs_seed_leaves_the_graphs_alone() -> None:
    first, second = (synthetic.cluster(None, seed, "mini") for seed in (0, 1))
    assert first.split.sizes() == {"train": 1_000, "val": 200, "test": 200, "hidden": 0}
    assert first.fingerprint == second.fingerprint
    assert first.dims.node_symbols == (7,)
    batch = next(first.batches("test"))
    assert batch.num_graphs == 128
    assert len(batch.y) == batch.num_nodes


def _distinct(graphs: GraphSet, steps: int) -> int:
    """How many classes the closed-walk probabilities of length 1 to ``steps`` tell apart."""
    walks = AddRandomWalkPE(steps)
    first = [int((graphs.joined.y == kind).nonzero()[0]) for kind in range(10)]
    seen = set()
    for number in first:
        chance = walks(graphs[number]).random_walk_pe
        # every node of such a graph sees the same
        torch.testing.assert_close(chance, chance[:1].expand_as(chance), atol=1e-6, rtol=0)
        seen.add(tuple((chance[0] * 1e5).round().tolist()))
    return len(seen)


@pytest.mark.parametrize(("steps", "classes"), [(8, 10), (7, 9), (4, 3)])
def test_walks_tell_skip_links_apart(steps: int, classes: int) -> None:
    assert _distinct(synthetic.csl_graphs(), steps) == classes


@pytest.mark.data
@pytest.mark.parametrize(("steps", "classes"), [(8, 10), (7, 9), (4, 3)])
def test_walks_tell_published_skip_links_apart(steps: int, classes: int) -> None:
    assert _distinct(gnn_benchmark.read_csl(), steps) == classes


def test_skip_links_are_rings_with_chords() -> None:
    graphs = synthetic.csl_graphs()
    assert graphs.joined.y.bincount().tolist() == [15] * 10
    assert graphs.num_nodes.unique().tolist() == [41]
    for graph in graphs[::15]:
        assert torch.bincount(graph.edge_index[0]).tolist() == [4] * 41
        assert graph.is_undirected()
        assert not graph.has_self_loops()
    assert not torch.equal(graphs[0].edge_index, graphs[1].edge_index)
    problem = synthetic.csl(None, 3)
    assert problem.split.sizes() == {"train": 90, "val": 30, "test": 30, "hidden": 0}
    assert fingerprint(synthetic.csl_graphs()) == fingerprint(graphs)


def test_unknown_sizes_are_told() -> None:
    for make in (synthetic.pattern, synthetic.cluster):
        with pytest.raises(UnknownName, match="unknown size"):
            make(None, 0, "tiny")
