"""Orders of nodes: by hand, by chance, and what must not decide them."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn

from graphkit.errors import DataError, SettingError, UnknownName
from graphkit.nn.node_order import NodeKeys, NodeRows, node_order, node_scores
from graphkit.seeds import stream
from tests import tiny

# A path 0-1-2-3, a star around 5 with leaves 4, 6, 7, and a node alone.
EDGES = tiny.both_ways((0, 1), (1, 2), (2, 3), (5, 4), (5, 6), (5, 7))
BATCH = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2])
RENAMED = torch.tensor([2, 3, 0, 1, 7, 6, 5, 4, 8])  # old node i is called RENAMED[i]


def test_degree_by_hand() -> None:
    assert node_scores(EDGES, BATCH).tolist() == [2, 4, 4, 2, 2, 6, 2, 2, 0]  # both directions
    order = node_order(EDGES, BATCH, ties="index")
    assert order.tolist() == [0, 3, 1, 2, 4, 6, 7, 5, 8]


def test_own_numbers_and_functions_decide() -> None:
    numbers = torch.tensor([3.0, -1.0, 2.5, 0.0, 1.0, 1.0, 0.5, 2.0, 7.0])
    expected = [1, 3, 2, 0, 6, 4, 5, 7, 8]
    assert node_order(EDGES, BATCH, numbers, "index").tolist() == expected
    assert node_order(EDGES, BATCH, lambda *_: numbers, "index").tolist() == expected


@pytest.mark.parametrize("by", ["pagerank", "ppr"])
def test_pagerank_equals_networkx_in_each_graph(by: str) -> None:
    """Directed, with nodes that lead nowhere."""
    source = torch.Generator().manual_seed(0)
    parts = [nx.gnp_random_graph(n, 0.15, seed=n, directed=True) for n in (12, 1, 30)]
    whole = nx.disjoint_union_all(parts)
    edge_index = torch.tensor(list(whole.edges)).t()
    edge_index = edge_index[:, torch.randperm(edge_index.shape[1], generator=source)]
    batch = torch.tensor([0] * 12 + [1] + [2] * 30)
    found = node_scores(edge_index, batch, by)
    expected = []
    for part in parts:
        top = max(degree for _, degree in part.degree)
        hubs = {v: float(degree == top) for v, degree in part.degree}
        weights = hubs if by == "ppr" else None
        rank = nx.pagerank(part, alpha=0.85, personalization=weights, dangling=weights, tol=1e-12)
        expected += [rank[v] * len(part) * 1e6 for v in part]
    torch.testing.assert_close(found.double(), torch.tensor(expected).double(), rtol=2e-3, atol=2)


@pytest.mark.parametrize("by", ["degree", "pagerank", "ppr"])
def test_scores_follow_a_node(by: str) -> None:
    moved = node_scores(RENAMED[EDGES], BATCH, by)
    assert torch.equal(moved[RENAMED], node_scores(EDGES, BATCH, by))


def test_ties_fall_by_chance_and_each_order_is_as_likely() -> None:
    """Three leaves of a star: six orders, 1200 draws."""
    source, counts = stream(0, "test"), {}
    for _ in range(1200):
        order = node_order(EDGES, BATCH, generator=source)
        assert sorted(order[:2].tolist()) == [0, 3]
        assert sorted(order[2:4].tolist()) == [1, 2]
        assert order[7:].tolist() == [5, 8]
        leaves = tuple(order[4:7].tolist())
        counts[leaves] = counts.get(leaves, 0) + 1
    assert len(counts) == 6
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_one_seed_one_order() -> None:
    first, again, other = (node_order(EDGES, BATCH, generator=stream(s, "o")) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_ties_by_index_depend_on_names_and_chance_on_nothing_else() -> None:
    """What the docstring warns of."""
    order = node_order(EDGES, BATCH, ties="index")
    moved = node_order(RENAMED[EDGES], BATCH, ties="index")
    assert not torch.equal(RENAMED[order], moved)


def test_large_degrees_do_not_round_together() -> None:
    """2 ** 24 and one more are the same number in single precision."""
    numbers = torch.tensor([2**24 + 1, 2**24, 2**24 + 2])
    none = torch.empty(2, 0, dtype=torch.long)
    assert node_order(none, torch.zeros(3, dtype=torch.long), numbers).tolist() == [1, 0, 2]


@pytest.mark.parametrize("nodes", [0, 1])
@pytest.mark.parametrize("by", ["degree", "pagerank", "ppr", "random"])
def test_nothing_and_one_node(by: str, nodes: int) -> None:
    none, batch = torch.empty(2, 0, dtype=torch.long), torch.zeros(nodes, dtype=torch.long)
    assert node_order(none, batch, by).tolist() == list(range(nodes))


def test_wrong_orders_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'degree'"):
        node_scores.__wrapped__(EDGES, BATCH, "degre")
    with pytest.raises(UnknownName, match="rule for ties"):
        node_order.__wrapped__(EDGES, BATCH, ties="none")
    with pytest.raises(DataError, match=r"one number per node: 9, not \(3,\)"):
        node_scores(EDGES, BATCH, torch.zeros(3))
    with pytest.raises(DataError, match="node 4 has no place"):
        node_scores(EDGES, BATCH, torch.arange(9.0).where(torch.arange(9) != 4, torch.nan))
    with pytest.raises(SettingError, match="0 bins"):
        NodeRows(nn.Identity(), num_bins=0)


def settled(x: Tensor | None, edges: Tensor = EDGES, rounds: int = 3) -> NodeKeys:
    fields = () if x is None else (x,)
    return NodeKeys.settled(BATCH, node_scores(edges, BATCH), edges, fields, None, rounds)


def test_keys_follow_a_node_and_tell_apart_what_differs() -> None:
    torch.manual_seed(0)
    x = torch.randn(9, 2)
    keys = settled(x)
    assert len(keys.alike.unique()) == 9
    moved = settled(x[RENAMED.argsort()], RENAMED[EDGES])
    assert torch.equal(moved.rank[RENAMED], keys.rank)
    assert torch.equal(moved.alike[RENAMED], keys.alike)


def test_alike_nodes_share_a_number() -> None:
    """Ends of the path, its middle, the leaves, the hub, the node alone; not across graphs."""
    alike = settled(None).alike.tolist()
    groups = [{v for v in range(9) if alike[v] == number} for number in sorted(set(alike))]
    assert sorted(map(sorted, groups)) == [[0, 3], [1, 2], [4, 6, 7], [5], [8]]
    marked = settled(torch.eye(9)[:, :1]).alike
    assert marked[0] != marked[3]
    assert marked[1] != marked[2]


def test_far_differences_are_seen_after_as_many_rounds() -> None:
    """A path of nine, its score the same everywhere: an end is heard of one step a round."""
    edges = tiny.both_ways(*((v, v + 1) for v in range(8)))
    batch = torch.zeros(9, dtype=torch.long)
    for rounds in range(5):
        alike = NodeKeys.settled(batch, batch, edges, (), None, rounds).alike
        assert torch.equal(alike, alike.flip(0))
        assert len(alike.unique()) == rounds + 1
    mark = torch.eye(9, dtype=torch.long)[0]
    for rounds in (4, 5):  # node 3 and node 5, its image, differ by a mark 3 steps away
        alike = NodeKeys.settled(batch, batch, edges, (mark,), None, rounds - 2).alike
        assert bool(alike[3] != alike[5]) == (rounds == 5)


def test_edge_fields_tell_nodes_apart() -> None:
    weights = torch.ones(EDGES.shape[1], 1)
    weights[(EDGES[0] == 1) & (EDGES[1] == 0)] = 2.0
    scores = node_scores(EDGES, BATCH)
    keys = NodeKeys.settled(BATCH, scores, EDGES, (), weights, 1)
    assert keys.alike[0] != keys.alike[3]
    assert keys.alike[1] == keys.alike[2]


class Cumulated(nn.Module):
    """The sum of what came before in one's own row, and the place there."""

    def forward(self, x: Tensor, *, ptr: Tensor) -> Tensor:
        sizes = ptr.diff().tolist()
        return torch.cat([part.cumsum(0) for part in x.split(sizes)])


def test_rows_are_read_in_order_and_taken_back() -> None:
    x = torch.arange(9.0)[:, None]
    scores = torch.tensor([3, 2, 1, 0, 0, 1, 2, 3, 0])
    out = NodeRows(Cumulated())(x, NodeKeys.drawn(BATCH, scores))
    assert out.flatten().tolist() == [6, 6, 5, 3, 4, 9, 15, 22, 8]


def test_training_draws_anew_and_evaluation_does_not() -> None:
    torch.manual_seed(0)
    x, rows = torch.randn(9, 2), NodeRows(Cumulated())
    drawn = NodeKeys.drawn(BATCH, torch.zeros(9, dtype=torch.long))
    assert not torch.equal(rows(x, drawn), rows(x, drawn))
    keys = settled(x)
    assert torch.equal(rows(x, keys), rows(x, keys))
    assert not torch.equal(rows(x, keys), NodeRows(Cumulated(), number=1)(x, keys))


@pytest.mark.parametrize("bins", [1, 3])
def test_evaluation_follows_a_node(bins: int) -> None:
    """With fields that differ, and with none: then alike nodes get the same."""
    torch.manual_seed(0)
    rows = NodeRows(Cumulated(), num_bins=bins, num_eval_orders=3)
    x, back = torch.randn(9, 2), RENAMED.argsort()
    out = rows(x, settled(x))
    torch.testing.assert_close(rows(x[back], settled(x[back], RENAMED[EDGES]))[RENAMED], out)
    same = torch.tensor([1.0, 2, 2, 1, 3, 4, 3, 3, 5])[:, None]
    out = rows(same, settled(None))
    moved = rows(same[back], settled(None, RENAMED[EDGES]))
    torch.testing.assert_close(moved[RENAMED], out)
    assert len(out[[4, 6, 7]].unique()) == 1


def test_evaluation_is_the_mean_of_what_training_draws() -> None:
    """Leaves of a star hold 3, the hub 4: over all orders of the leaves each gets 6 on average."""
    same = torch.tensor([1.0, 2, 2, 1, 3, 4, 3, 3, 5])[:, None]
    out = NodeRows(Cumulated())(same, settled(None))
    assert out.flatten().tolist() == [1.5, 5, 5, 1.5, 6, 13, 6, 6, 5]
    torch.manual_seed(0)
    drawn = NodeKeys.drawn(BATCH, node_scores(EDGES, BATCH))
    draws = torch.stack([NodeRows(Cumulated())(same, drawn) for _ in range(400)])
    error = draws.std(dim=0) / 400**0.5
    assert bool(((draws.mean(dim=0) - out).abs() <= 3 * error + 1e-6).all())


def test_bins_are_read_alone_and_filled_evenly() -> None:
    nodes = 3000
    batch, ones = torch.zeros(nodes, dtype=torch.long), torch.ones(nodes, 1)
    scores = torch.arange(nodes)
    torch.manual_seed(0)
    out = NodeRows(Cumulated(), num_bins=3)(ones, NodeKeys.drawn(batch, scores)).flatten()
    assert 950 < float(out.max()) < 1060  # a running count inside a bin ends at its size
    assert int((out == 1).sum()) == 3
    none = torch.empty(2, 0, dtype=torch.long)
    keys = NodeKeys.settled(batch, scores, none, (torch.randn(nodes, 2),))
    out = NodeRows(Cumulated(), num_bins=3)(ones, keys).flatten()
    assert 950 < float(out.max()) < 1060
    single = NodeRows(Cumulated(), num_bins=3)(ones[:1], NodeKeys.drawn(batch[:1], scores[:1]))
    assert single.tolist() == [[1.0]]


def test_gradients_reach_alike_nodes_and_several_orders() -> None:
    x = torch.randn(9, 2).double().requires_grad_()
    keys = settled(None)
    rows = NodeRows(Cumulated(), num_bins=2, num_eval_orders=2)
    assert torch.autograd.gradcheck(lambda x: rows(x, keys), (x,))
