"""GCNII against its equation, written out node by node."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import GCN2Conv

from graphkit.augment.branches import Branched
from graphkit.bench.budget import count_parameters
from graphkit.data.catalogue import load_problem
from graphkit.data.problem import Problem
from graphkit.models import GCNII
from graphkit.models.gcnii import SparseGCN2Conv
from graphkit.tasks import Dims
from graphkit.train import Supervised, TrainConfig, evaluate
from graphkit.transforms import Adjacency, SparseFeatures
from tests import tiny

SMALL = partial(GCNII, hidden_channels=4, num_layers=3, alpha=0.2, theta=0.7)


def one_batch(net: Any, problem: Problem) -> Any:
    [batch] = problem.batches("all", net)
    return batch


def with_edges(edges: Tensor, nodes: int = 6) -> Problem:
    """The tiny problem with other edges."""
    data = tiny.node_problem().data.clone()
    data.edge_index = edges
    return replace(tiny.node_problem(), data=data, checked=False)


def average(rows: list[Tensor], edges: Tensor) -> list[Tensor]:
    """One step with symmetric normalisation, a sum per node over its list of neighbours."""
    near: dict[int, set[int]] = {i: {i} for i in range(len(rows))}
    for source, destination in edges.t().tolist():
        near[destination].add(source)
    return [
        torch.stack([rows[j] / math.sqrt(len(near[i]) * len(near[j])) for j in near[i]]).sum(0)
        for i in range(len(rows))
    ]


def reference(net: GCNII, first: list[Tensor], edges: Tensor) -> Tensor:
    """What follows the first map, after the paper; ``first`` are the rows H_0."""
    rows = first
    for number, layer in enumerate(list(net.convs)[1:-1], start=1):
        beta = math.log(0.7 / number + 1)
        new = []
        for own, spread in zip(first, average(rows, edges), strict=True):
            mixed = 0.8 * spread + 0.2 * own
            new.append(((1 - beta) * mixed + beta * (mixed @ layer.weight1)).clamp(min=0))
        rows = new
    return torch.stack([net.convs[-1].weight @ row + net.convs[-1].bias for row in rows])


class TestLayer:
    def parts(self) -> tuple[SparseGCN2Conv, GCN2Conv, Any]:
        torch.manual_seed(0)
        mine, theirs = SparseGCN2Conv(4, 0.1, 0.5, 3), GCN2Conv(4, 0.1, 0.5, 3)
        theirs.load_state_dict(mine.state_dict())
        return mine, theirs, Adjacency("sym")(tiny.node_problem().data.clone())

    def test_it_is_pygs_layer_in_value_and_gradient(self) -> None:
        mine, theirs, data = self.parts()
        inputs = [torch.randn(6, 4, requires_grad=True) for _ in range(2)]
        found = mine(*inputs, data.adj)
        expected = theirs(*inputs, data.edge_index)
        torch.testing.assert_close(found, expected)
        weight = torch.randn(6, 4)
        gradients = [
            torch.autograd.grad((out * weight).sum(), [*inputs, layer.weight1])
            for out, layer in ((found, mine), (expected, theirs))
        ]
        torch.testing.assert_close(*gradients)

    def test_its_gradient_is_that_of_differences(self) -> None:
        mine, _, data = self.parts()
        mine.double()
        adj = data.adj.with_values(data.adj.values.double())
        adj = replace(
            adj, forward_csr=adj.forward_csr.double(), backward_csr=adj.backward_csr.double()
        )
        inputs = [torch.randn(6, 4, dtype=torch.double, requires_grad=True) for _ in range(2)]
        assert torch.autograd.gradcheck(lambda x, first: mine(x, first, adj), inputs)


class TestEquation:
    def test_the_answer_is_that_of_the_paper(self) -> None:
        torch.manual_seed(0)
        problem, net = tiny.node_problem(), SMALL(Dims(3, 2)).eval()
        with torch.no_grad():
            net.convs[0].bias.add_(0.3)  # few are cut off
        x, stem = problem.data.x, net.convs[0]
        first = [(stem.weight @ row + stem.bias).clamp(min=0) for row in x]
        expected = reference(net, first, problem.data.edge_index)
        found = net(one_batch(net, problem))
        torch.testing.assert_close(found, expected)
        assert found.std(dim=0).min() > 1e-3  # rows differ: the test can fail

    def test_sparse_features_give_the_same(self) -> None:
        problem, net = tiny.node_problem(), SMALL(Dims(3, 2)).eval()
        batch = one_batch(net, problem)
        assert batch.get("sparse_x") is None
        expected = net(batch)
        torch.testing.assert_close(net(SparseFeatures(1.0)(copy.copy(batch))), expected)

    def test_first_features_alone_with_alpha_one(self) -> None:
        net = SMALL(Dims(3, 2), alpha=1.0).eval()
        expected = net(one_batch(net, tiny.node_problem()))
        found = net(one_batch(net, with_edges(tiny.both_ways((0, 5)))))
        torch.testing.assert_close(found, expected)

    def test_no_map_is_learned_with_theta_zero(self) -> None:
        net = SMALL(Dims(3, 2), theta=0.0).eval()
        batch = one_batch(net, tiny.node_problem())
        expected = net(batch)
        with torch.no_grad():
            for layer in list(net.convs)[1:-1]:
                layer.weight1.fill_(9.0)
        torch.testing.assert_close(net(batch), expected)

    @pytest.mark.parametrize("layers", [1, 3])
    def test_it_looks_as_many_edges_far_as_it_has_layers(self, layers: int) -> None:
        """On a path, the last node hears of node 0 when it is ``layers`` edges away."""
        torch.manual_seed(2)
        net = SMALL(Dims(3, 2), num_layers=layers).eval()
        with torch.no_grad():
            net.convs[0].bias.fill_(1.0)
        problem = with_edges(tiny.both_ways(*((i, i + 1) for i in range(5))))
        data = problem.data.clone()
        data.x[0] += 1.0
        before, after = (
            net(one_batch(net, replace(problem, data=each, checked=False)))
            for each in (problem.data, data)
        )
        moved = (before - after).abs().amax(dim=1) > 1e-6
        assert moved.tolist() == [node <= layers for node in range(6)]

    def test_total_for_cora(self) -> None:
        """Two linear maps with biases, 64 square ones without."""
        with torch.device("meta"):
            net = GCNII(Dims(1433, 7))
        assert count_parameters(net) == (1433 * 64 + 64) + 64 * 64 * 64 + (64 * 7 + 7)


class TestEdges:
    def test_without_edges_each_node_is_alone(self) -> None:
        torch.manual_seed(0)
        net, empty = SMALL(Dims(3, 2)).eval(), torch.empty(2, 0, dtype=torch.long)
        x = tiny.node_problem().data.x
        found = net(one_batch(net, with_edges(empty)))
        for row, node in zip(found, x, strict=True):
            alone = Data(x=node[None], edge_index=empty, y=torch.zeros(1), seeds=torch.arange(1))
            torch.testing.assert_close(net(net.transform(alone))[0], row)

    def test_an_isolated_node_keeps_its_own_view(self) -> None:
        torch.manual_seed(0)
        net = SMALL(Dims(3, 2)).eval()
        path = tiny.both_ways((0, 1), (1, 2), (3, 4))
        data = with_edges(path).data
        data.x = data.x.clone()
        before = net(one_batch(net, with_edges(path)))
        data.x[:5] += 1.0
        after = net(one_batch(net, replace(with_edges(path), data=data)))
        torch.testing.assert_close(after[5], before[5])
        assert not torch.allclose(after[:5], before[:5])


class TestTraining:
    def test_dropout_is_for_training_alone(self) -> None:
        net, batch = SMALL(Dims(3, 2)), one_batch(SMALL(Dims(3, 2)), tiny.node_problem())
        net.train()
        assert not torch.equal(net(batch), net(batch))
        net.eval()
        assert torch.equal(net(batch), net(batch))

    def test_sixty_four_layers_hand_a_gradient_to_the_first_map(self) -> None:
        torch.manual_seed(0)
        net, problem = GCNII(Dims(3, 2), dropout=0.0).train(), tiny.node_problem()
        problem.task.loss(net(one_batch(net, problem)), one_batch(net, problem)).backward()
        norms = [float(layer.weight1.grad.norm()) for layer in list(net.convs)[1:-1]]
        assert min(norms) > 1e-6
        assert float(net.convs[0].weight.grad.norm()) > 1e-3

    def test_it_learns_classes_that_edges_tell(self) -> None:
        problem = load_problem("sbm/small")
        torch.manual_seed(0)
        recipe = Supervised(
            partial(GCNII, hidden_channels=16, num_layers=8), TrainConfig(epochs=30)
        )
        fitted = recipe(problem.blind())
        assert evaluate(fitted.model, problem, "test")["accuracy"] > 0.9


class TestBranches:
    """LAGCNII: a linear map and ReLU for each row, side by side, then layers of that width."""

    def test_the_answer_is_that_of_the_paper(self) -> None:
        torch.manual_seed(0)
        problem = tiny.node_problem()
        net = Branched(SMALL, problem.dims, branches=2).eval()
        with torch.no_grad():
            for stem in net.first:
                stem.bias.add_(0.3)
        generated = [torch.rand(6, 3) for _ in range(2)]
        rows = [problem.data.x, *generated]
        first = [
            torch.cat(
                [
                    (stem.weight @ x[i] + stem.bias).clamp(min=0)
                    for stem, x in zip(net.first, rows, strict=True)
                ]
            )
            for i in range(6)
        ]
        assert len(first[0]) == 12
        expected = reference(net.net, first, problem.data.edge_index)
        batch = one_batch(net, problem)
        torch.testing.assert_close(net.answer(batch, generated), expected)
        sparse = SparseFeatures(1.0)(copy.copy(batch))
        torch.testing.assert_close(net.answer(sparse, generated), expected)
        assert batch.x is problem.data.x  # the batch is as it was

    def test_every_parameter_gets_a_gradient(self) -> None:
        torch.manual_seed(0)
        net, problem = Branched(SMALL, Dims(3, 2), branches=1).train(), tiny.node_problem()
        out = net.answer(one_batch(net, problem), [torch.rand(6, 3)])
        (out * torch.randn_like(out)).sum().backward()
        assert all(p.grad is not None for p in net.parameters())
        assert {tuple(layer.weight1.shape) for layer in list(net.net.convs)[1:-1]} == {(8, 8)}
