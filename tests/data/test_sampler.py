"""The sampler against brute force: what it draws, in which order, and that nothing else matters."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from types import FunctionType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import (
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)

from graphkit.data import sampler as module
from graphkit.data.sampler import Csc, SeededNeighbors
from graphkit.data.sampler_kernels import below
from graphkit.errors import DataError, SettingError
from graphkit.kernels import compiled
from graphkit.seeds import derived_seed

FIELDS = ("node", "row", "col", "edge", "num_sampled_nodes", "num_sampled_edges")


def random_edges(num_nodes: int, num_edges: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(num_nodes, (2, num_edges), generator=generator)


def star(num_leaves: int) -> Tensor:
    """Edges from nodes 1, 2, ... to node 0."""
    return torch.stack([torch.arange(1, num_leaves + 1), torch.zeros(num_leaves).long()])


def sample(sampler: SeededNeighbors, seeds: list[int] | Tensor) -> SamplerOutput:
    return sampler.sample_from_nodes(NodeSamplerInput(None, torch.as_tensor(seeds).long()))


def listed(out: SamplerOutput) -> list[list[int]]:
    return [
        value.tolist() if isinstance(value, Tensor) else value
        for value in (getattr(out, name) for name in FIELDS)
    ]


def check_against_brute_force(
    edge_index: Tensor, out: SamplerOutput, seeds: list[int], fanouts: list[int], replace: bool
) -> None:
    """Follows a sample hop by hop and holds everything in it against the edge list."""
    source, destination = edge_index.tolist()
    degree = Counter(destination)
    node, row, col, edge, num_nodes, num_edges = listed(out)
    assert [node[r] for r in row] == [source[e] for e in edge]
    assert [node[c] for c in col] == [destination[e] for e in edge]
    assert col == sorted(col)
    expected, frontier, at = list(seeds), list(range(len(seeds))), 0
    counts_of_nodes, counts_of_edges = [len(seeds)], []
    for fanout in fanouts:
        begin = at
        for local in frontier:
            has = degree[node[local]]
            takes_all = fanout == -1 or (has < fanout and not replace) or has == 0
            count = has if takes_all else fanout
            drawn = edge[at : at + count]
            assert col[at : at + count] == [local] * count
            assert replace or len(set(drawn)) == count
            at += count
        reached = {source[e] for e in edge[begin:at]} - set(expected)
        frontier = list(range(len(expected), len(expected) + len(reached)))
        expected += sorted(reached)
        counts_of_nodes.append(len(reached))
        counts_of_edges.append(at - begin)
    assert node == expected
    assert len(row) == at
    assert num_nodes == counts_of_nodes
    assert num_edges == counts_of_edges


def mix(word: int) -> int:
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    return word ^ word >> 31


def reference_draw(
    seed: int, epoch: int, seeds: list[int], hop: int, v: int, of: int, k: int
) -> list[int]:
    """Positions drawn for a node, in plain Python, with Floyd's algorithm and 128 bits of room."""
    step = 0x9E3779B97F4A7C15
    key = derived_seed(seed, "neighbours", epoch)
    key = mix((key + sum(mix((mix(key ^ s) + step) % 2**64) for s in seeds)) % 2**64)
    state = mix(mix((key + (hop + 1) * step) % 2**64) ^ mix((v + step) % 2**64))
    drawn: list[int] = []
    for newest in range(of - k, of):
        state = (state + step) % 2**64
        position = (mix(state) >> 32) * (newest + 1) >> 32
        drawn.append(newest if position in drawn else position)
    return drawn


def test_a_path_by_hand() -> None:
    """3 -> 2 -> 1 -> 0: two hops from node 0 reach 1, then 2."""
    out = sample(
        SeededNeighbors(Csc.of(torch.tensor([[3, 2, 1], [2, 1, 0]]), 4), [5, 5], seed=0), [0]
    )
    assert listed(out) == [[0, 1, 2], [1, 2], [0, 1], [2, 1], [1, 1, 1], [1, 1]]


def test_draws_are_those_of_the_written_algorithm() -> None:
    """So a sample stays the same from version to version and machine to machine."""
    graph = Csc.of(star(50), 51)
    for epoch in range(3):
        out = sample(SeededNeighbors(graph, [10], seed=7, epoch=epoch), [0, 5])
        assert out.edge.tolist() == reference_draw(7, epoch, [0, 5], 0, 0, of=50, k=10)


def test_splitmix_is_the_published_one() -> None:
    """The first output for seed 1234567, as printed with the authors' code."""
    assert mix((1234567 + 0x9E3779B97F4A7C15) % 2**64) == 6457827717110365317


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fanouts", [[3], [-1, 2], [2, 0, 4], [4, 3, 2], [300, 1]])
def test_samples_agree_with_brute_force(fanouts: list[int], replace: bool) -> None:
    for graph_seed in range(20):
        edge_index = random_edges(40, 200, graph_seed)
        seeds = torch.randperm(40, generator=torch.Generator().manual_seed(graph_seed))[:5]
        sampler = SeededNeighbors(Csc.of(edge_index, 40), fanouts, seed=graph_seed, replace=replace)
        check_against_brute_force(
            edge_index, sample(sampler, seeds), seeds.tolist(), fanouts, replace
        )


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_graph_agrees_with_brute_force(data: st.DataObject) -> None:
    """Loops, duplicates, isolated nodes, no edges at all, seeds given twice."""
    num_nodes = data.draw(st.integers(1, 50))
    ids = st.integers(0, num_nodes - 1)
    pairs = data.draw(st.lists(st.tuples(ids, ids), max_size=120))
    seeds = data.draw(st.lists(ids, max_size=8))
    fanouts = data.draw(st.lists(st.integers(-1, 6), min_size=1, max_size=4))
    replace = data.draw(st.booleans())
    edge_index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t()
    sampler = SeededNeighbors(Csc.of(edge_index, num_nodes), fanouts, seed=0, replace=replace)
    for _ in range(2):  # the second one meets the tables the first one left
        out = sample(sampler, seeds)
        check_against_brute_force(edge_index, out, seeds, fanouts, replace)


def test_isolated_node_is_its_own_batch() -> None:
    out = sample(SeededNeighbors(Csc.of(torch.tensor([[0], [1]]), 3), [2, 2], seed=0), [2])
    assert listed(out) == [[2], [], [], [], [1, 0, 0], [0, 0]]


def test_no_seeds_and_no_edges_give_an_empty_sample() -> None:
    graph = Csc.of(torch.empty(2, 0, dtype=torch.long), 3)
    assert listed(sample(SeededNeighbors(graph, [2], seed=0), [])) == [[], [], [], [], [0, 0], [0]]


def test_self_loop_and_parallel_edges_are_edges_of_their_own() -> None:
    """Node 0 has a loop (edge 1) and two edges from node 1 (edges 0 and 2)."""
    edge_index = torch.tensor([[1, 0, 1], [0, 0, 0]])
    out = sample(SeededNeighbors(Csc.of(edge_index, 2), [-1, -1], seed=0), [0])
    assert listed(out) == [[0, 1], [1, 0, 1], [0, 0, 0], [0, 1, 2], [1, 1, 0], [3, 0]]


def test_fanout_at_or_above_the_degree_takes_every_edge_once() -> None:
    graph = Csc.of(star(4), 5)
    for fanout in (-1, 4, 5, 2**40):
        assert sample(SeededNeighbors(graph, [fanout], seed=0), [0]).edge.tolist() == [0, 1, 2, 3]


def test_fanout_0_draws_nothing_from_then_on() -> None:
    out = sample(SeededNeighbors(Csc.of(star(4), 5), [0, 3], seed=0), [0])
    assert listed(out) == [[0], [], [], [], [1, 0, 0], [0, 0]]


def test_a_seed_given_twice_has_two_rows_with_the_same_edges() -> None:
    out = sample(SeededNeighbors(Csc.of(star(30), 31), [3], seed=0), [0, 7, 0])
    assert out.node[:3].tolist() == [0, 7, 0]
    assert out.col.tolist() == [0, 0, 0, 2, 2, 2]
    assert out.edge[:3].tolist() == out.edge[3:].tolist()
    again = sample(SeededNeighbors(Csc.of(star(3).flip(0), 4), [1], seed=0), [0, 1, 0])
    assert again.row.tolist() == [0]  # the edge 0 -> 1 starts at the first of the two rows


@pytest.mark.parametrize("fanout", [10, 256, 257, 70_000, 70_001])
def test_degree_above_2_to_the_16(fanout: int) -> None:
    """Few draws are compared with one another, many go through a hash set."""
    edge_index = star(70_001)
    out = sample(SeededNeighbors(Csc.of(edge_index, 70_002), [fanout], seed=1), [0])
    check_against_brute_force(edge_index, out, [0], [fanout], replace=False)
    assert int(out.edge.max()) >= 2**16 or fanout == 10


def p_value(counts: np.ndarray, share: float, draws: int) -> float:
    """Chi-square of how often each item was in a draw of a fixed number of items."""
    kinds = len(counts)
    spread = draws * share * (1 - share) * kinds / (kinds - 1)
    return float(chi2.sf(((counts - draws * share) ** 2).sum() / spread, kinds - 1))


def test_every_set_of_neighbours_is_equally_likely_across_nodes() -> None:
    """6000 nodes of one batch draw 2 of 4 in-edges each: six pairs, 1000 times each or so."""
    nodes = torch.arange(6000)
    edge_index = torch.stack([torch.full((24_000,), 6000), nodes.repeat_interleave(4)])
    out = sample(SeededNeighbors(Csc.of(edge_index, 6001), [2], seed=3), nodes)
    pairs = Counter(tuple(sorted(pair)) for pair in (out.edge.reshape(-1, 2) % 4).tolist())
    counts = np.array([pairs[pair] for pair in combinations(range(4), 2)])
    assert counts.sum() == 6000
    assert p_value(counts, 1 / 6, 6000) > 1e-4


@pytest.mark.parametrize("fanout", [5, 300])
def test_every_neighbour_is_equally_likely_across_epochs(fanout: int) -> None:
    degree, epochs = 4 * fanout, 400
    sampler = SeededNeighbors(Csc.of(star(degree), degree + 1), [fanout], seed=5)
    counts = np.zeros(degree)
    for epoch in range(epochs):
        counts[sample(sampler.at(epoch), [0]).edge.numpy()] += 1
    assert counts.sum() == fanout * epochs
    assert p_value(counts, 1 / 4, epochs) > 1e-4


def test_with_replacement_every_draw_is_uniform() -> None:
    """Three draws from three in-edges: 6 of 27 outcomes have each edge once."""
    nodes = torch.arange(5000)
    edge_index = torch.stack([torch.full((15_000,), 5000), nodes.repeat_interleave(3)])
    out = sample(SeededNeighbors(Csc.of(edge_index, 5001), [3], seed=3, replace=True), nodes)
    drawn = out.edge.numpy().reshape(-1, 3) % 3
    assert p_value(np.bincount(drawn.ravel(), minlength=3), 1 / 3, 15_000) > 1e-4
    distinct = int((np.diff(np.sort(drawn, axis=1), axis=1) > 0).all(axis=1).sum())
    assert binomtest(distinct, 5000, 6 / 27).pvalue > 1e-4


def test_bounded_numbers_are_without_bias_where_it_would_show() -> None:
    """Below 3 * 2**30, a plain multiply would hit every third number twice as often."""
    bound, state = np.uint64(3 << 30), np.uint64(9)
    counts = np.zeros(3)
    for _ in range(3000):
        number, state = below(np.uint64(state), bound)
        assert 0 <= number < 3 << 30
        counts[number % 3] += 1
    assert p_value(counts, 1 / 3, 3000) > 1e-4


def test_seed_epoch_and_batch_change_the_draw_but_not_the_order_of_seeds() -> None:
    graph = Csc.of(star(1000), 1001)
    first = SeededNeighbors(graph, [10], seed=0)
    edges = {
        "same": sample(SeededNeighbors(graph, [10], seed=0), [0, 1]).edge.tolist(),
        "order": sample(first, [1, 0]).edge.tolist(),
        "seed": sample(SeededNeighbors(graph, [10], seed=1), [0, 1]).edge.tolist(),
        "epoch": sample(first.at(1), [0, 1]).edge.tolist(),
        "batch": sample(first, [0, 2]).edge.tolist(),
    }
    base = sample(first, [0, 1]).edge.tolist()
    assert [name for name, value in edges.items() if value == base] == ["same", "order"]


def test_a_hop_has_draws_of_its_own() -> None:
    """1001 -> 0 would repeat the draw of hop 0 if the hop were not in the key."""
    edge_index = torch.cat([star(1000), torch.tensor([[0], [1001]])], dim=1)
    out = sample(SeededNeighbors(Csc.of(edge_index, 1002), [10, 10], seed=0), [1001])
    draws = [reference_draw(0, 0, [1001], hop, 0, of=1000, k=10) for hop in (0, 1)]
    assert out.edge[1:].tolist() == draws[1] != draws[0]


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORTH_THREADS", 1)  # share even the smallest hop
    graph = Csc.of(random_edges(500, 6000), 500)
    alone = SeededNeighbors(graph, [5, -1, 3], seed=0, threads=1)
    shared = SeededNeighbors(graph, [5, -1, 3], seed=0, threads=threads)
    batches = list(torch.randperm(500, generator=torch.Generator().manual_seed(1)).split(7))
    expected = [listed(sample(alone, seeds)) for seeds in batches]
    assert [listed(sample(shared, seeds)) for seeds in batches] == expected
    assert [listed(out) for out in shared.sample_batches(batches)] == expected


def test_threads_of_torch_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Csc.of(random_edges(300, 80_000), 300)  # large enough to be shared for real
    before, outs = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            outs.append(listed(sample(SeededNeighbors(graph, [-1], seed=0), torch.arange(300))))
    finally:
        torch.set_num_threads(before)
    assert outs[0] == outs[1]
    assert outs[0][5] == [80_000]


def test_batches_are_read_a_few_ahead_and_can_be_left_early() -> None:
    read: list[int] = []

    def batches() -> Iterator[Tensor]:
        for number in range(100):
            read.append(number)
            yield torch.tensor([number])

    sampler = SeededNeighbors(Csc.of(random_edges(100, 900), 100), [3], seed=0, threads=2)
    outs = sampler.sample_batches(batches())
    assert listed(next(outs)) == listed(sample(sampler, [0]))
    outs.close()
    assert len(read) == 5
    assert listed(sample(sampler, [7])) == listed(sample(copy.deepcopy(sampler), [7]))


def batch_fields(batch: Data) -> list[list[int]]:
    names = ("n_id", "e_id", "input_id", "x", "edge_attr", "y")
    return [batch[name].tolist() for name in names] + [batch.edge_index.tolist()]


def loader_data() -> Data:
    """Fields that spell the number of their node or edge."""
    edge_index = random_edges(100, 900)
    return Data(
        x=torch.arange(100).float().unsqueeze(1),
        y=torch.arange(100),
        edge_index=edge_index,
        edge_attr=torch.arange(900).float(),
    )


def test_node_loader_gives_the_same_batches_called_iterated_and_in_workers() -> None:
    data = loader_data()
    sampler = SeededNeighbors(Csc.of(data.edge_index, 100), [4, 3], seed=2)
    items = torch.arange(0, 100, 2)
    batches = {}
    for workers in (0, 2):
        loader = NodeLoader(data, sampler, input_nodes=items, batch_size=8, num_workers=workers)
        batches[workers] = [batch_fields(batch) for batch in loader]
    called = [batch_fields(loader(chunk)) for chunk in torch.arange(50).split(8)]
    assert batches[0] == batches[2] == called
    assert len(called) == 7


def test_node_loader_slices_fields_of_nodes_and_edges() -> None:
    data = loader_data()
    sampler = SeededNeighbors(Csc.of(data.edge_index, 100), [4, 3], seed=2)
    batch = NodeLoader(data, sampler, input_nodes=torch.arange(50))(torch.tensor([7, 3, 9]))
    assert batch.batch_size == 3
    assert batch.y[:3].tolist() == [7, 3, 9]
    assert batch.x.squeeze(1).tolist() == batch.n_id.tolist()
    assert batch.edge_attr.tolist() == batch.e_id.tolist()
    assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
    assert sum(batch.num_sampled_nodes) == batch.num_nodes
    assert sum(batch.num_sampled_edges) == batch.edge_index.shape[1]


@pytest.mark.parametrize("mode", [None, "binary", "triplet"])
def test_link_loader_points_at_the_ends(mode: str | None) -> None:
    data = loader_data()
    sampler = SeededNeighbors(Csc.of(data.edge_index, 100), [3], seed=2)
    loader = LinkLoader(
        data,
        sampler,
        edge_label_index=data.edge_index[:, :20],
        neg_sampling=None if mode is None else NegativeSampling(mode, 2),
    )
    batch, again = loader(list(range(20))), loader(list(range(20)))
    if mode == "triplet":
        ends = torch.stack([batch.n_id[batch.src_index], batch.n_id[batch.dst_pos_index]])
        assert batch.dst_neg_index.shape == (20, 2)
        assert torch.equal(batch.dst_neg_index, again.dst_neg_index)
    else:
        ends = batch.n_id[batch.edge_label_index]
        assert ends.shape[1] == (20 if mode is None else 60)
        assert torch.equal(batch.edge_label_index, again.edge_label_index)
    assert torch.equal(ends[:, :20], data.edge_index[:, :20])
    assert torch.equal(batch.n_id, again.n_id)
    assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])


def test_negatives_leave_the_global_generator_alone() -> None:
    sampler = SeededNeighbors(Csc.of(random_edges(50, 200), 50), [2], seed=0)
    index = EdgeSamplerInput(None, torch.tensor([1, 2]), torch.tensor([3, 4]))
    before = torch.get_rng_state()
    sampler.sample_from_edges(index, NegativeSampling("binary", 1))
    assert torch.equal(before, torch.get_rng_state())


def test_csc_of_sorted_edges_keeps_them_and_of_others_is_stable() -> None:
    edge_index = torch.tensor([[5, 4, 3, 2], [1, 0, 1, 0]])
    graph = Csc.of(edge_index, 6)
    assert graph.colptr.tolist() == [0, 2, 4, 4, 4, 4, 4]
    assert graph.row.tolist() == [4, 2, 5, 3]
    assert graph.edge is not None
    assert graph.edge.tolist() == [1, 3, 0, 2]
    in_order = Csc.of(edge_index[:, [1, 3, 0, 2]], 6)
    assert in_order.edge is None
    assert torch.equal(in_order.row, graph.row)
    assert torch.equal(in_order.colptr, graph.colptr)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_forms_of_the_same_graph_give_the_same_sample(dtype: torch.dtype) -> None:
    edge_index = random_edges(60, 400)
    order = edge_index[1].argsort(stable=True)
    plain = Csc.of(edge_index, 60)
    expected = listed(sample(SeededNeighbors(plain, [3, 2], seed=0), [1, 2]))
    assert plain.edge is not None
    forms = [
        Csc.of(edge_index.to(dtype), 60),
        Csc.of(EdgeIndex(edge_index.to(dtype), sparse_size=(60, 60)), 60),
        Csc(plain.colptr, plain.row.to(dtype), plain.edge.to(dtype)),
    ]
    for graph in forms:
        assert listed(sample(SeededNeighbors(graph, [3, 2], seed=0), [1, 2])) == expected
    in_order = sample(SeededNeighbors(Csc.of(edge_index[:, order], 60), [3, 2], seed=0), [1, 2])
    assert order[in_order.edge].tolist() == expected[3]
    assert in_order.node.tolist() == expected[0]


def test_a_copy_samples_the_same_and_shares_no_tables() -> None:
    sampler = SeededNeighbors(Csc.of(random_edges(60, 400), 60), [3, 2], seed=0)
    expected = listed(sample(sampler, [1, 2]))
    other = copy.deepcopy(sampler)
    assert other._desks == []
    assert len(sampler._desks) == 1
    assert listed(sample(other, [1, 2])) == expected


def test_kernels_work_where_machine_code_cannot_be_kept() -> None:
    def twice(x: int) -> int:
        return 2 * x

    homeless = FunctionType(twice.__code__.replace(co_filename="<nowhere>"), {})
    assert compiled(homeless)(21) == 42


@pytest.mark.parametrize("fanouts", [[], [-2], [3, 2.0], [True]])
def test_bad_fanouts_are_refused(fanouts: list[int]) -> None:
    with pytest.raises(SettingError, match="fanouts"):
        SeededNeighbors(Csc.of(star(3), 4), fanouts, seed=0)


def test_no_thread_is_refused() -> None:
    with pytest.raises(SettingError, match="threads = 0"):
        SeededNeighbors(Csc.of(star(3), 4), [1], seed=0, threads=0)


@pytest.mark.parametrize("bad", [-1, 4])
def test_a_node_out_of_range_is_named_with_its_place(bad: int) -> None:
    sampler = SeededNeighbors(Csc.of(star(3), 4), [1], seed=0)
    with pytest.raises(DataError, match=rf"node\[2\] = {bad} is out of range for 4 nodes"):
        sample(sampler, [0, 1, bad])
    with pytest.raises(DataError, match=rf"batches\[1\]\[0\] = {bad}"):
        list(sampler.sample_batches([torch.tensor([0]), torch.tensor([bad])]))
    with pytest.raises(DataError, match=rf"col\[1\] = {bad}"):
        sampler.sample_from_edges(
            EdgeSamplerInput(None, torch.tensor([0, 1]), torch.tensor([0, bad]))
        )
    with pytest.raises(DataError, match=rf"edge_index\[0, 1\] = {bad}"):
        Csc.of(torch.tensor([[0, bad], [0, 0]]), 4)


@pytest.mark.parametrize(
    "index",
    [
        NodeSamplerInput(None, torch.tensor([True, False])),
        NodeSamplerInput(None, torch.tensor([[0]])),
        NodeSamplerInput(None, torch.tensor([0]), time=torch.tensor([1])),
        NodeSamplerInput(None, torch.tensor([0]), input_type="paper"),
    ],
)
def test_input_of_another_kind_is_refused(index: NodeSamplerInput) -> None:
    with pytest.raises(DataError):
        SeededNeighbors(Csc.of(star(3), 4), [1], seed=0).sample_from_nodes(index)


@pytest.mark.parametrize(
    ("colptr", "row", "edge", "message"),
    [
        ([0, 1], [1], None, r"row\[0\] = 1"),
        ([0, 2], [0], None, "rise from 0"),
        ([1, 1], [0], None, "rise from 0"),
        ([0, 2, 1, 2], [0, 0], None, "rise from 0"),
        ([0, 1], [0], [1], r"edge\[0\] = 1"),
        ([0, 1], [0], [0, 0], "shape"),
        ([], [], None, "shape"),
    ],
)
def test_damaged_csc_is_refused(
    colptr: list[int], row: list[int], edge: list[int] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Csc(
            torch.tensor(colptr, dtype=torch.long),
            torch.tensor(row, dtype=torch.long),
            None if edge is None else torch.tensor(edge),
        )
