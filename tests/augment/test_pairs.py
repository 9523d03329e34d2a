"""Edges as items."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.augment.pairs import Pairs, pairs_problem
from graphkit.data.problem import Problem, Turn
from graphkit.errors import DataError, SettingError
from tests import tiny


def with_edges(edges: Tensor) -> Problem:
    problem = tiny.node_problem()
    data = Data(x=problem.data.x, y=problem.data.y, edge_index=edges)
    return replace(problem, data=data, checked=False)


def everything(batching: Pairs, problem: Problem, **turn: Any) -> list[Data]:
    items = torch.arange(problem.data.edge_index.shape[1])
    return list(batching(problem.data, items, Turn(**turn)))


class TestPairs:
    def test_they_are_those_of_a_slow_loop(self) -> None:
        problem = pairs_problem(with_edges(torch.tensor([[0, 1, 2, 2, 4], [1, 0, 2, 3, 1]])))
        x = problem.data.x
        neighbours: dict[int, list[int]] = {0: [1], 1: [0, 4], 2: [3], 3: [2], 4: [1], 5: []}
        slow = [(x[j].tolist(), x[i].tolist()) for i, near in neighbours.items() for j in near]
        batches = everything(Pairs(4), problem)
        assert [len(batch.seeds) for batch in batches] == [4, 2]
        found = [
            (neighbor.tolist(), center.tolist())
            for batch in batches
            for neighbor, center in zip(batch.x_neighbor, batch.x_center, strict=True)
        ]
        assert sorted(found) == sorted(slow)

    def test_each_epoch_has_an_order_of_its_own(self) -> None:
        problem = pairs_problem(tiny.node_problem())
        orders = [
            torch.cat([b.pair for b in everything(Pairs(4), problem, epoch=epoch)])
            for epoch in (0, 0, 1)
        ]
        assert torch.equal(orders[0], orders[1])
        assert not torch.equal(orders[0], orders[2])
        assert torch.equal(orders[2].sort().values, torch.arange(14))

    def test_a_resumed_epoch_starts_in_the_middle(self) -> None:
        problem = pairs_problem(tiny.node_problem())
        whole, rest = (everything(Pairs(4), problem, first=first) for first in (0, 2))
        assert len(rest) == len(whole) - 2
        for one, other in zip(whole[2:], rest, strict=True):
            assert torch.equal(one.pair, other.pair)
            assert torch.equal(one.x_neighbor, other.x_neighbor)

    def test_a_batch_needs_a_pair(self) -> None:
        with pytest.raises(SettingError, match="batch_size=0"):
            Pairs(0)


class TestPairsProblem:
    def test_both_directions_once_and_no_loops(self) -> None:
        problem = pairs_problem(with_edges(torch.tensor([[0, 0, 1, 2, 3], [1, 1, 1, 3, 2]])))
        assert sorted(problem.data.edge_index.t().tolist()) == [[0, 1], [1, 0], [2, 3], [3, 2]]

    def test_both_directions_of_an_edge_are_in_one_part(self) -> None:
        problem = pairs_problem(tiny.node_problem(), val_share=0.4)
        assert problem.split.sizes() == {"train": 8, "val": 6, "test": 0, "hidden": 0}
        parts = [
            {frozenset(pair) for pair in problem.data.edge_index[:, items].t().tolist()}
            for items in (problem.split.train, problem.split.val)
        ]
        assert len(parts[0]) + len(parts[1]) == 7
        assert not parts[0] & parts[1]

    def test_no_label_is_in_it(self) -> None:
        assert set(pairs_problem(tiny.node_problem()).data.to_dict()) == {"x", "edge_index"}

    def test_the_seed_chooses_what_is_held_out(self) -> None:
        held_out = [
            pairs_problem(replace(tiny.node_problem(), seed=seed)).split.val.tolist()
            for seed in (0, 0, 1, 2, 3)
        ]
        assert held_out[0] == held_out[1]
        assert len({str(items) for items in held_out}) > 1

    @pytest.mark.parametrize(
        ("edges", "count"), [([[], []], 0), ([[0, 1], [0, 1]], 0), ([[0, 1], [1, 0]], 1)]
    )
    def test_too_few_edges_are_refused(self, edges: list[list[int]], count: int) -> None:
        with pytest.raises(DataError, match=f"tiny/nodes has {count} edges.*at least 2"):
            pairs_problem(with_edges(torch.tensor(edges, dtype=torch.long)))

    @pytest.mark.parametrize(
        "make", [tiny.node_problem_bare, tiny.node_problem_symbols, tiny.graph_problem]
    )
    def test_vectors_are_needed(self, make: Any) -> None:
        with pytest.raises(DataError, match="no vectors on its nodes"):
            pairs_problem(make())
