"""Far answers: where the answer lies, by rule, and that nothing nearer tells it."""

from __future__ import annotations

import pytest
import torch

from graphkit.data.catalogue import PROBLEMS, load_problem
from graphkit.data.prepare import fingerprint
from graphkit.data.sources.far_answers import chain_graphs, tree_graphs
from graphkit.errors import SettingError

NAMES = [name for name in PROBLEMS if name.startswith(("chain-copy", "tree-neighbours"))]


def test_the_end_of_a_chain_is_asked_for_its_beginning() -> None:
    for graph in chain_graphs(50, 7):
        x, y = graph.x[:, 0], graph.y
        assert x.tolist() == [int(x[0]), 0, 0, 0, 0, 0, 5]
        assert 1 <= int(x[0]) <= 4
        assert y.tolist() == [-1] * 6 + [int(x[0]) - 1]
        ends = {(a, b) for a, b in graph.edge_index.t().tolist()}
        assert ends == {(a, b) for a in range(7) for b in range(7) if abs(a - b) == 1}


def test_all_symbols_are_about_as_frequent() -> None:
    graphs = chain_graphs(2_000, 3)
    counts = torch.bincount(graphs.joined.y[graphs.joined.y >= 0])
    assert counts.tolist() == pytest.approx([500] * 4, abs=80)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_root_is_asked_for_the_value_of_the_leaf_with_its_key(depth: int) -> None:
    leaves = 2**depth
    for graph in tree_graphs(30, depth):
        key, value = graph.x.t()
        assert graph.num_nodes == 2 * leaves - 1
        ends = set(map(tuple, graph.edge_index.t().tolist()))
        down = {((child - 1) // 2, child) for child in range(1, graph.num_nodes)}
        assert ends == down | {(b, a) for a, b in down}
        assert bool((graph.x[1 : leaves - 1] == 0).all())
        assert int(value[0]) == 0
        for column in (key, value):
            assert sorted(column[leaves - 1 :].tolist()) == list(range(1, leaves + 1))
        [found] = (key[leaves - 1 :] == key[0]).nonzero().flatten().tolist()
        assert graph.y.tolist() == [int(value[leaves - 1 + found]) - 1] + [-1] * (2 * leaves - 2)


@pytest.mark.parametrize("draw", [chain_graphs, tree_graphs])
def test_a_seed_and_a_part_decide_on_everything(draw: object) -> None:
    assert callable(draw)
    again = fingerprint(draw(20, 3))
    assert fingerprint(draw(20, 3)) == again
    assert fingerprint(draw(20, 3, "val")) != again
    assert fingerprint(draw(20, 3, "train", 1)) != again


@pytest.mark.parametrize("name", NAMES)
def test_a_problem_is_what_its_line_says(name: str) -> None:
    line, problem = PROBLEMS[name], load_problem(name)
    assert problem.name == name
    assert problem.num_items == line.items
    assert problem.data.joined.num_edges / problem.num_items == line.edges
    assert problem.dims.out_channels == line.outputs
    assert len(problem.dims.node_symbols) == line.features
    assert problem.task.monitor == line.metric
    seen = problem.data.joined.x.amax(dim=0)
    assert bool((seen < torch.tensor(problem.dims.node_symbols)).all())


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_chain_without_two_ends_is_refused(wrong: int) -> None:
    with pytest.raises(SettingError, match=f"chain of {wrong} nodes"):
        chain_graphs(1, wrong)


@pytest.mark.parametrize("wrong", [0, 9])
def test_a_depth_out_of_range_is_refused(wrong: int) -> None:
    with pytest.raises(SettingError, match=f"depth {wrong}; expected 1 to 8"):
        tree_graphs(1, wrong)
