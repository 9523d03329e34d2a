"""GRAND against its equations, and as the recipe of several views."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.augment.branches import with_branches
from graphkit.augment.lagnn import LAGNN, LocalAugmented
from graphkit.data.catalogue import load_problem
from graphkit.data.problem import Problem
from graphkit.models import GRAND
from graphkit.tasks import Dims
from graphkit.train import TrainConfig, evaluate
from tests import tiny

SMALL = partial(GRAND, hidden_channels=4, hops=3)
STILL = partial(SMALL, node_dropout=0.0, dropout=0.0, input_dropout=0.0)


def one_batch(net: Any, problem: Problem) -> Any:
    [batch] = problem.batches("all", net)
    return batch


def matrix(edges: Tensor, nodes: int = 6) -> Tensor:
    """The dense adjacency with self-loops, divided by the root of both degrees."""
    full = torch.eye(nodes)
    for source, destination in edges.t().tolist():
        full[destination, source] = 1.0
    root = full.sum(dim=1).sqrt()
    return full / root[:, None] / root[None, :]


def average(hops: int, edges: Tensor, nodes: int = 6) -> Tensor:
    """The mean of the powers of the matrix, from 0 to ``hops``."""
    step = matrix(edges, nodes)
    return torch.stack([step.matrix_power(k) for k in range(hops + 1)]).mean(dim=0)


class TestSpread:
    def test_two_nodes_by_hand(self) -> None:
        """One step averages both: 0 and 4 become (0 + 2) / 2 and (4 + 2) / 2."""
        data = Data(x=torch.tensor([[0.0], [4.0]]), edge_index=tiny.both_ways((0, 1)))
        net = GRAND(Dims(1, 2), hops=1).eval()
        found = net.spread(data.x, net.transform(data).adj)
        torch.testing.assert_close(found, torch.tensor([[1.0], [3.0]]))

    @pytest.mark.parametrize(("hops", "channels"), [(0, 3), (1, 3), (5, 3), (3, 64), (3, 150)])
    def test_evaluation_is_the_mean_of_powers_of_all_nodes(self, hops: int, channels: int) -> None:
        problem, net = tiny.node_problem(), GRAND(Dims(channels, 2), hops=hops).eval()
        batch, x = one_batch(net, problem), torch.randn(6, channels)
        expected = average(hops, problem.data.edge_index) @ x
        before = x.clone()
        torch.testing.assert_close(net.spread(x, batch.adj), expected)
        assert torch.equal(x, before)

    def test_training_keeps_or_drops_whole_rows_and_scales_the_kept(self) -> None:
        """Without steps the rows show: 3,000 of 16 equal entries, a share of 0.3 dropped."""
        torch.manual_seed(0)
        net = GRAND(Dims(16, 2), hops=0, node_dropout=0.3).train()
        rows = net.spread(torch.ones(3000, 16), net.transform(_edgeless(3000)).adj)
        assert bool((rows == rows[:, :1]).all())
        assert rows.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
        share = float((rows[:, 0] == 0).double().mean())
        assert abs(share - 0.3) < 5 * (0.3 * 0.7 / 3000) ** 0.5

    def test_the_mean_of_views_is_what_evaluation_sees(self) -> None:
        torch.manual_seed(0)
        problem, net = tiny.node_problem(), SMALL(Dims(3, 2), node_dropout=0.5)
        batch = one_batch(net, problem)
        views = torch.stack([net.train().spread(batch.x, batch.adj) for _ in range(4000)])
        error = 5 * views.std(dim=0) / 4000**0.5
        gap = views.mean(dim=0) - net.eval().spread(batch.x, batch.adj)
        assert bool((gap.abs() <= error).all())
        assert bool((error < 0.05).all())

    def test_a_view_is_the_average_of_the_kept_rows(self) -> None:
        problem, net = tiny.node_problem(), SMALL(Dims(3, 2), node_dropout=0.5).train()
        batch = one_batch(net, problem)
        bare = GRAND(Dims(1, 2), hops=0, node_dropout=0.5).train()
        torch.manual_seed(1)
        kept = bare.spread(torch.ones(6, 1), batch.adj)  # the mask of the same seed
        assert 0 < int((kept == 0).sum()) < 6
        torch.manual_seed(1)
        found = net.spread(batch.x, batch.adj)
        expected = average(3, problem.data.edge_index) @ (kept * batch.x)
        torch.testing.assert_close(found, expected)


class TestNetwork:
    def test_the_answer_is_a_network_of_each_averaged_row(self) -> None:
        torch.manual_seed(0)
        problem, net = tiny.node_problem(), SMALL(Dims(3, 2)).eval()
        rows = average(3, problem.data.edge_index) @ problem.data.x
        expected = []
        for row in rows:
            hidden = (net.hide.weight @ row + net.hide.bias).clamp(min=0)
            expected.append(net.classify.weight @ hidden + net.classify.bias)
        torch.testing.assert_close(net(one_batch(net, problem)), torch.stack(expected))

    def test_norms_stand_before_both_maps(self) -> None:
        torch.manual_seed(0)
        problem, net = tiny.node_problem(), STILL(Dims(3, 2), norm="batch").train()
        out = net(one_batch(net, problem))
        rows = average(3, problem.data.edge_index) @ problem.data.x

        def normed(x: Tensor) -> Tensor:
            return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()

        hidden = (normed(rows) @ net.hide.weight.t() + net.hide.bias).clamp(min=0)
        expected = normed(hidden) @ net.classify.weight.t() + net.classify.bias
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(net.norm_input.running_mean, 0.1 * rows.mean(0))

    def test_views_differ_in_training_alone(self) -> None:
        net = SMALL(Dims(3, 2), dropout=0.0, input_dropout=0.0)
        batch = one_batch(net, tiny.node_problem())
        torch.manual_seed(0)
        views = torch.stack([net.train()(batch) for _ in range(8)])
        assert all(not torch.equal(view, views[0]) for view in views[1:])
        torch.manual_seed(0)
        assert torch.equal(net.train()(batch), views[0])
        assert torch.equal(net.eval()(batch), net.eval()(batch))
        still = STILL(Dims(3, 2)).train()
        assert torch.equal(still(batch), still(batch))

    def test_without_edges_and_isolated_a_node_is_itself(self) -> None:
        """An isolated node steps to itself with weight 1: all its views are its features."""
        problem, net = tiny.node_problem(), STILL(Dims(3, 2)).eval()
        for edges in (torch.empty(2, 0, dtype=torch.long), tiny.both_ways((0, 1), (1, 2))):
            data = problem.data.clone()
            data.edge_index = edges
            batch = one_batch(net, replace(problem, data=data, checked=False))
            torch.testing.assert_close(net.spread(batch.x, batch.adj)[3:], data.x[3:])
        assert not torch.allclose(net.spread(batch.x, batch.adj)[:3], data.x[:3])

    def test_all_nodes_may_be_dropped(self) -> None:
        net = SMALL(Dims(3, 2), node_dropout=1.0).train()
        out = net(one_batch(net, tiny.node_problem()))
        assert bool(torch.isfinite(out).all())
        assert bool(
            (net.spread(torch.ones(6, 3), one_batch(net, tiny.node_problem()).adj) == 0).all()
        )


class TestViews:
    """GRAND as it is trained: several random views, held together."""

    def model(self, **changed: Any) -> LocalAugmented:
        torch.manual_seed(0)
        settings = {"branches": 0, "draws": 3} | changed
        return LocalAugmented(with_branches(SMALL, Dims(3, 2), 0), None, **settings)

    def test_the_terms_are_those_of_the_paper(self) -> None:
        problem = tiny.node_problem()
        net = self.model(consistency_weight=1.2, temperature=0.2).train()
        [batch] = problem.with_unlabelled().batches("train", net)
        torch.manual_seed(5)
        views = torch.stack([net.net.net(batch) for _ in range(3)])
        assert not torch.allclose(views[0], views[1])
        torch.manual_seed(5)
        terms = net.losses(batch, problem.task)
        train = problem.split.train
        entropy = -views.log_softmax(-1)[:, train, problem.data.y[train]].mean()
        torch.testing.assert_close(terms["supervised"], entropy)
        p = views.softmax(-1)
        sharp = p.mean(0) ** 5 / (p.mean(0) ** 5).sum(-1, keepdim=True)
        expected = 1.2 * (p - sharp).square().sum(-1).sum(-1).sum() / 3 / 6
        torch.testing.assert_close(terms["consistency"], expected)

    def test_it_learns_classes_that_edges_tell(self) -> None:
        problem = load_problem("sbm/small")
        torch.manual_seed(0)
        recipe = LAGNN(GRAND, branches=0, train=TrainConfig(epochs=40))
        fitted = recipe(problem.blind())
        assert evaluate(fitted.model, problem, "test")["accuracy"] > 0.9
        assert {"supervised", "consistency"} <= set(fitted.history[0])


def _edgeless(nodes: int) -> Data:
    return Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=nodes)
