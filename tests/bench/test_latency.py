"""Times are of the answer asked for: few nodes, all nodes, fetched and computed apart."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor

from graphkit.bench.latency import (
    answer_of,
    full_pass,
    neighbourhood,
    of_nodes,
    of_rows,
    of_vertices,
    timed,
)
from graphkit.errors import SettingError
from graphkit.models import GCN, HGNN, MLP, HGNNPlus
from tests import tiny


class Slow(MLP):
    """Notes what it is called with, and takes its time."""

    def forward(self, batch: Any) -> Tensor:
        self.sizes.append(len(batch.seeds))
        time.sleep(0.01)
        return super().forward(batch)


def slow() -> Slow:
    model = Slow(tiny.node_problem().dims)
    model.sizes = []
    return model


def test_a_few_rows_are_fetched_and_answered() -> None:
    model = slow()
    found = of_rows(model, tiny.node_problem(), nodes=2, repeats=4)
    assert model.sizes == [2] * 7  # three to warm up
    assert found.nodes == 2
    assert found.compute_seconds >= 0.01
    assert 0 < found.fetch_seconds < found.compute_seconds
    assert found.seconds == found.fetch_seconds + found.compute_seconds
    assert "rows alone" in found.what


def test_a_full_pass_answers_for_all() -> None:
    model = slow()
    found = full_pass(model, tiny.node_problem(), repeats=2)
    assert model.sizes == [6] * 5
    assert found.nodes == 6
    assert found.fetch_seconds == 0


def test_neighbours_are_fetched_each_time() -> None:
    problem = tiny.node_problem()
    found = of_nodes(GCN(problem.dims), problem, (-1, -1), nodes=1, repeats=3)
    assert found.fetch_seconds > 0
    assert found.compute_seconds > 0
    assert "all neighbours, 2 hops" in found.what
    drawn = of_nodes(GCN(problem.dims), problem, (2, 1), nodes=20, repeats=3)
    assert "(2, 1)" in drawn.what  # more nodes than there are: they come again


def test_an_answer_for_few_vertices_is_that_of_the_whole_hypergraph() -> None:
    problem = tiny.hypergraph_problem()
    for model in (HGNN(problem.dims).eval(), HGNNPlus(problem.dims, num_layers=3).eval()):
        [whole] = problem.batches("all", model)
        chosen = torch.tensor([3, 0])
        x, steps = neighbourhood(whole, chosen, len(model.convs))
        with torch.no_grad():
            torch.testing.assert_close(answer_of(model, x, steps), model(whole)[chosen])
        found = of_vertices(model, problem, nodes=2, repeats=2)
        assert found.fetch_seconds > 0
        assert found.nodes == 2


def test_the_median_leaves_out_the_warm_up() -> None:
    pauses = iter([0.05, 0.05, 0.05, 0.0, 0.0, 0.02])
    assert timed(lambda: time.sleep(next(pauses)), 3) < 0.01


def test_no_measurement_is_refused() -> None:
    with pytest.raises(SettingError, match="repeats=0"):
        of_rows(slow(), tiny.node_problem(), repeats=0)
