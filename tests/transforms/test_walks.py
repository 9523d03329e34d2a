"""Walks against the graph and the uniform law, bits and sub-graphs against slow loops."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import subgraph

from graphkit.data.batching import SampledNodes
from graphkit.data.graphs import GraphSet
from graphkit.errors import SettingError
from graphkit.models import Model
from graphkit.transforms.walk_tokens import (
    InducedTokens,
    by_search,
    induced_edges,
    token_members,
)
from graphkit.transforms.walks import InEdges, RandomWalkTokens, random_walks, walk_bits
from tests import tiny


def random_edges(nodes: int, count: int, draw: int) -> Tensor:
    """Directed, unsorted, with self-loops and duplicates; the last node has no edge."""
    return torch.randint(0, nodes - 1, (2, count), generator=torch.Generator().manual_seed(draw))


def hundred_nodes() -> Tensor:
    """Both ways, simple, mean degree 8."""
    pairs = torch.randint(0, 100, (400, 2), generator=torch.Generator().manual_seed(0))
    return tiny.both_ways(*((a, b) for a, b in pairs.tolist() if a != b))


ODD = {
    "no-nodes": Data(edge_index=torch.empty(2, 0).long(), num_nodes=0),
    "one-node": Data(edge_index=torch.empty(2, 0).long(), num_nodes=1),
    "no-edges": Data(edge_index=torch.empty(2, 0).long(), num_nodes=3),
    "self-loop": Data(edge_index=torch.tensor([[0], [0]]), num_nodes=2),
    "last-isolated": Data(edge_index=torch.tensor([[0, 1, 1], [1, 0, 0]]), num_nodes=3),
}


@pytest.mark.parametrize("non_backtracking", [False, True])
def test_every_step_is_an_edge_or_a_stay_on_a_node_without_any(non_backtracking: bool) -> None:
    edge_index = random_edges(30, 70, 1)
    edges = InEdges.of(edge_index, 30)
    walk, used = random_walks(edges, 5, 20, seed=0, non_backtracking=non_backtracking)
    assert torch.equal(walk[:, 0], torch.arange(30).expand(20, 30))
    stays = used == -1
    lonely = torch.bincount(edge_index[1], minlength=30) == 0
    assert 2 <= int(lonely.sum()) < 15
    assert torch.equal(stays, lonely[walk[:, :-1]])
    assert torch.equal(walk[:, 1:][stays], walk[:, :-1][stays])
    source, destination = edge_index[:, used[~stays]]
    assert torch.equal(source, walk[:, 1:][~stays])
    assert torch.equal(destination, walk[:, :-1][~stays])


def deviation(cells: dict[Any, dict[int, int]], choices: dict[Any, list[int]]) -> float:
    """P-value of the counts seen under equally likely choices, over all cells."""
    total, freedom = 0.0, 0
    for cell, counts in cells.items():
        assert set(counts) <= set(choices[cell])
        expected = sum(counts.values()) / len(choices[cell])
        total += sum((counts.get(c, 0) - expected) ** 2 / expected for c in choices[cell])
        freedom += len(choices[cell]) - 1
    return float(chi2.sf(total, freedom))


@pytest.mark.parametrize("non_backtracking", [False, True])
def test_all_neighbours_are_as_likely(non_backtracking: bool) -> None:
    """Given where the walk came from, over every step of 1,000 walks from each of 100 nodes."""
    edge_index = hundred_nodes()
    walk, _ = random_walks(
        InEdges.of(edge_index, 100), 3, 1000, seed=4, non_backtracking=non_backtracking
    )
    near: dict[int, list[int]] = {v: [] for v in range(100)}
    for source, destination in edge_index.t().tolist():
        near[destination].append(source)
    for step in range(3):
        came = walk[:, step - 1] if step else torch.full_like(walk[:, 0], -1)
        triple = torch.stack([came, walk[:, step], walk[:, step + 1]]).flatten(1)
        rows, counts = torch.unique(triple, dim=1, return_counts=True)
        cells: dict[Any, dict[int, int]] = {}
        choices: dict[Any, list[int]] = {}
        for (before, at, after), count in zip(rows.t().tolist(), counts.tolist(), strict=True):
            cells.setdefault((before, at), {})[after] = count
            others = [u for u in near[at] if not (non_backtracking and u == before)]
            choices[before, at] = others or near[at]
        assert deviation(cells, choices) > 1e-3


def test_walks_of_one_node_do_not_repeat_each_other() -> None:
    """Pairs of first steps of two walks, of all steps of neighbouring nodes: even as pairs."""
    ring = tiny.both_ways(*((v, (v + 1) % 4) for v in range(4)))
    walk, _ = random_walks(InEdges.of(ring, 4), 2, 4000, seed=0)
    right = (walk.diff(dim=1) % 4 == 1).long()  # (walks, steps, nodes)
    for first, second in [
        (right[::2, 0], right[1::2, 0]),
        (right[:, 0], right[:, 1]),
        (right[..., 0], right[..., 1]),
    ]:
        counts = torch.bincount((2 * first + second).flatten(), minlength=4).double()
        expected = counts.sum() / 4
        assert chi2.sf(float(((counts - expected) ** 2 / expected).sum()), 3) > 1e-3


def test_duplicate_edges_count_twice() -> None:
    edges = InEdges.of(torch.tensor([[1, 2, 1], [0, 0, 0]]), 3)
    walk, used = random_walks(edges, 1, 30_000, seed=0)
    assert abs(float((walk[:, 1, 0] == 1).double().mean()) - 2 / 3) < 0.012  # 4 deviations
    assert torch.bincount(used[:, 0, 0]).min() > 9_500


def test_turns_back_at_a_dead_end_alone() -> None:
    """0 - 1 - 2: from 1 out and back, the only way; from an end to the other, then back."""
    path = tiny.both_ways((0, 1), (1, 2))
    walk, _ = random_walks(InEdges.of(path, 3), 4, 50, seed=0, non_backtracking=True)
    assert bool((walk[:, :, 0] == torch.tensor([0, 1, 2, 1, 0])).all())
    assert set(map(tuple, walk[:, :, 1].tolist())) == {(1, 0, 1, 2, 1), (1, 2, 1, 0, 1)}


def test_a_seed_fixes_the_walks_and_leaves_the_global_generator_alone() -> None:
    data = Data(edge_index=hundred_nodes(), num_nodes=100)
    before = torch.get_rng_state()
    first, again = (RandomWalkTokens(3, seed=7)(data).walk_index for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, RandomWalkTokens(3, seed=8)(data).walk_index)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(RandomWalkTokens(3)(data).walk_index)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("independent", [False, True])
def test_fields_have_the_shapes_that_are_said(independent: bool) -> None:
    data = Data(edge_index=hundred_nodes(), num_nodes=100)
    out = RandomWalkTokens(3, 4, 2, independent_lengths=independent, edges=True)(data)
    sets = 3 if independent else 1
    assert out.walk_index.shape == (sets, 2, 4, 4, 100)
    assert out.walk_bits.shape == (100, sets, 2, 4, 4)
    assert out.walk_edge.shape == (sets, 2, 4, 3, 100)
    walks = out.walk_index.reshape(-1, 4, 100)
    assert len(torch.unique(walks[..., 0], dim=0)) > 1
    assert "walk_index" not in data


class _Walker(Model):
    """A model that states nothing but its walks."""

    def __init__(self, walks: RandomWalkTokens, before: bool) -> None:
        super().__init__()
        self.walks, self.before = walks, before

    @property
    def pre_transform(self) -> RandomWalkTokens | None:
        return self.walks if self.before else None

    @property
    def transform(self) -> RandomWalkTokens | None:
        return None if self.before else self.walks


@pytest.mark.parametrize("independent", [False, True])
def test_a_graph_has_the_same_walks_alone_and_in_any_batch(independent: bool) -> None:
    """Drawn in the batch, drawn before and shifted by our and by PyG's collation, drawn alone."""
    problem = tiny.graph_problem()
    walks = RandomWalkTokens(3, 2, 2, independent_lengths=independent, seed=5)
    [inside] = problem.batches("all", _Walker(walks, before=False))
    [shifted] = problem.batches("all", _Walker(walks, before=True))
    joined = Batch.from_data_list([walks(graph) for graph in problem.data])
    for batch in (shifted, joined):
        assert torch.equal(batch.walk_index, inside.walk_index)
        assert torch.equal(batch.walk_bits, inside.walk_bits)
    begin = 0
    for graph in problem.data:
        alone, end = walks(graph), begin + graph.num_nodes
        assert torch.equal(alone.walk_index + begin, inside.walk_index[..., begin:end])
        assert torch.equal(alone.walk_bits, inside.walk_bits[begin:end])
        begin = end
    assert begin == inside.num_nodes


def test_evaluation_draws_the_same_walks_each_time_and_training_others() -> None:
    problem, model = tiny.node_problem(), _Walker(RandomWalkTokens(4), before=False)
    drawn = [next(iter(problem.batches("val", model))).walk_index for _ in range(2)]
    assert torch.equal(*drawn)
    trained = [next(iter(problem.batches("train", model, epoch))).walk_index for epoch in (0, 1)]
    assert not torch.equal(*trained)
    other = next(iter(replace(problem, seed=1).batches("val", model))).walk_index
    assert not torch.equal(drawn[0], other)


def test_walks_stay_in_a_sampled_batch() -> None:
    """All neighbours of a seed are drawn: its first steps are its neighbours in the whole graph."""
    problem = tiny.node_problem()
    sampled = replace(problem, batching=SampledNodes((-1, 2), 2))
    model = _Walker(RandomWalkTokens(3, 40, 1, seed=3), before=False)
    for batch in sampled.batches("all", model):
        assert int(batch.walk_index.max()) < batch.num_nodes
        first = batch.n_id[batch.walk_index[0, 0, :, 1]]
        for place, seed in zip(batch.seeds.tolist(), batch.n_id[batch.seeds].tolist(), strict=True):
            near = problem.data.edge_index[0, problem.data.edge_index[1] == seed]
            assert set(first[:, place].tolist()) == set(near.tolist())


def test_bits_equal_a_loop() -> None:
    edge_index = random_edges(8, 20, 3)
    present = set(map(tuple, edge_index.t().tolist()))
    edges = InEdges.of(edge_index, 8)
    walk, _ = random_walks(edges, 6, 10, seed=0)
    bits = walk_bits(edges, walk, 4)
    assert bits.shape == (8, 10, 7)
    seen = 0
    for v, number, i in torch.cartesian_prod(*map(torch.arange, bits.shape)).tolist():
        w = walk[number, :, v].tolist()
        expected = 0
        for back in range(1, min(i, 4) + 1):
            expected |= (w[i] == w[i - back]) << max(2 * back - 3, 0)
            if back > 1:
                expected |= ((w[i], w[i - back]) in present) << (2 * back - 2)
        assert int(bits[v, number, i]) == expected
        seen |= expected
    assert seen == 0b1111111
    assert torch.equal(walk_bits(edges, walk, 2), bits & 0b111)
    assert int(walk_bits(edges, walk, 8).max()) < 1 << 15


@pytest.mark.parametrize("independent", [False, True])
def test_a_token_is_the_union_of_its_walks(independent: bool) -> None:
    walks = RandomWalkTokens(3, 2, 2, independent_lengths=independent, seed=0)
    index = walks(Data(edge_index=random_edges(12, 40, 5), num_nodes=12)).walk_index
    node, token = token_members(index)
    for v in range(12):
        for place, length in enumerate((3, 2, 1)):
            for repeat in range(2):
                of = index[length - 1 if independent else 0, repeat, :, : length + 1, v]
                number = v * 6 + place * 2 + repeat
                assert node[token == number].tolist() == sorted(set(of.flatten().tolist()))


def test_induced_edges_equal_pygs_subgraph() -> None:
    """On 240 tokens of a directed graph with self-loops and duplicate edges."""
    edge_index = random_edges(40, 200, 6)
    data = RandomWalkTokens(3, 3, 2, seed=1)(Data(edge_index=edge_index, num_nodes=40))
    data = InducedTokens()(data)
    assert int(data.token_of[-1]) + 1 == 240
    ends = data.token_of[data.token_edges]
    assert torch.equal(ends[0], ends[1])
    for token in range(240):
        members = data.token_node[data.token_of == token]
        mine = ends[1] == token
        expected, numbers = subgraph(members, edge_index, torch.arange(200), num_nodes=40)
        order = data.token_edge[mine].argsort()
        assert torch.equal(data.token_edge[mine][order], numbers.sort().values)
        found = data.token_node[data.token_edges[:, mine]][:, order]
        assert torch.equal(found, expected[:, numbers.argsort()])


@pytest.mark.parametrize("at_once", [1 << 22, 50, 7])
def test_compiled_look_ups_equal_those_of_other_devices(at_once: int) -> None:
    edges = InEdges.of(random_edges(40, 200, 6), 40)
    walk = random_walks(edges, 3, 6, seed=1)[0].unflatten(0, (1, 2, 3))
    members = token_members(walk)
    compiled, searched = induced_edges(edges, *members), by_search(edges, *members, at_once)
    assert compiled[0].shape[1] > 500
    assert all(torch.equal(a, b) for a, b in zip(compiled, searched, strict=True))
    source, destination = torch.cartesian_prod(torch.arange(40), torch.arange(40)).t()
    _, count = edges.find(source, destination)
    assert torch.equal(edges.has(source, destination), count > 0)
    assert int(count.sum()) == 200


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("name", ODD)
def test_odd_graphs(name: str, independent: bool) -> None:
    graph = ODD[name]
    walks = RandomWalkTokens(
        2, 3, 2, independent_lengths=independent, non_backtracking=True, edges=True
    )
    out = InducedTokens()(walks(graph))
    nodes = graph.num_nodes
    assert out.walk_index.shape == (2 if independent else 1, 2, 3, 3, nodes)
    assert out.walk_edge.shape == (2 if independent else 1, 2, 3, 2, nodes)
    assert torch.unique(out.token_of).tolist() == list(range(nodes * 4))
    if name == "no-edges":
        assert bool((out.walk_edge == -1).all())
        assert torch.equal(out.token_node, torch.arange(3).repeat_interleave(4))
        assert out.token_edges.shape == (2, 0)
        assert bool((out.walk_bits[..., 1] == 1).all())  # stays: the row before is the same node
    if name == "last-isolated":
        assert bool((out.walk_index[..., 2] == 2).all())
        assert bool((out.walk_index[..., 1, 0] == 1).all())


@pytest.mark.parametrize(("length", "repeats"), [(0, 2), (2, 0)])
def test_no_tokens_where_none_are_asked_for(length: int, repeats: int) -> None:
    walks = RandomWalkTokens(length, 3, repeats, edges=True, independent_lengths=True)
    out = InducedTokens()(walks(Data(edge_index=hundred_nodes(), num_nodes=100)))
    assert walks.num_tokens == 0
    assert out.walk_index.shape == (max(length, 1), repeats, 3, length + 1, 100)
    assert len(out.token_node) == 0
    assert out.token_edges.shape == (2, 0)


def test_sorted_edges_are_not_sorted_again() -> None:
    edge_index = hundred_nodes()
    shuffled = torch.randperm(edge_index.shape[1], generator=torch.Generator().manual_seed(0))
    mixed, plain = InEdges.of(edge_index[:, shuffled].int(), 100), InEdges.of(edge_index, 100)
    assert torch.equal(plain.order, torch.arange(edge_index.shape[1]))
    assert torch.equal(mixed.order, shuffled.argsort())
    for name in ("start", "source", "key"):
        assert torch.equal(getattr(mixed, name), getattr(plain, name))
    for low, high in pairwise(plain.start.tolist()):
        assert bool((plain.source[low:high].diff() > 0).all())


def test_settings_out_of_range() -> None:
    for wrong in ({"walk_length": -1}, {"num_walks": 0}, {"num_repeats": -1}, {"window": 9}):
        name, value = next(iter(wrong.items()))
        with pytest.raises(SettingError, match=f"{name}={value}"):
            RandomWalkTokens(**wrong)
    with pytest.raises(SettingError, match="edges=True comes with a seed"):
        RandomWalkTokens(edges=True, seed=0)


def test_named_by_settings() -> None:
    varied = [RandomWalkTokens(), RandomWalkTokens(3), RandomWalkTokens(num_walks=3)]
    varied += [RandomWalkTokens(num_repeats=3), RandomWalkTokens(window=3)]
    varied += [RandomWalkTokens(independent_lengths=True), RandomWalkTokens(edges=True)]
    varied += [RandomWalkTokens(non_backtracking=True), RandomWalkTokens(seed=0)]
    assert len({repr(walks) for walks in varied}) == len(varied)
    assert [walks.fixed for walks in varied] == [False] * 8 + [True]


def test_induced_edges_of_no_member() -> None:
    nothing = torch.empty(0, dtype=torch.long)
    edges, numbers = induced_edges(InEdges.of(hundred_nodes(), 100), nothing, nothing)
    assert edges.shape == (2, 0)
    assert numbers.shape == (0,)


def test_graphs_keep_their_walks_when_cut_and_chosen() -> None:
    """The fields through a set of graphs: cut by index, in another order."""
    graphs = [RandomWalkTokens(2, seed=0)(graph) for graph in tiny.graph_problem().data]
    chosen = GraphSet.of(graphs).keep(torch.tensor([4, 1]))
    assert torch.equal(chosen[0].walk_index, graphs[4].walk_index)
    assert torch.equal(chosen[1].walk_bits, graphs[1].walk_bits)
