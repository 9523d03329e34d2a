"""LAGRAND: what is a view of what, what is fixed, and what is scored."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.augment.lagrand import LAGRAND, GeneratedViews, InPlace
from graphkit.augment.neighbor_vae import BernoulliNeighborVAE, GaussianNeighborVAE
from graphkit.augment.pairs import Pairs
from graphkit.data.batching import SampledNodes
from graphkit.data.catalogue import load_problem
from graphkit.data.problem import Problem
from graphkit.errors import DataError, SettingError
from graphkit.models import GCN, GRAND, SGC
from graphkit.tasks import Dims, MultilabelNodes
from graphkit.train import Fitted, Recipe, TrainConfig, checkpoints, describe, evaluate, predict
from graphkit.transforms import SparseFeatures
from tests import tiny
from tests.augment.test_branches import Mine
from tests.augment.test_lagnn import digest

NET = partial(GRAND, hidden_channels=4, hops=2)
VAE = partial(BernoulliNeighborVAE, latent_channels=2, hidden_channels=8)


def recipe(net: Callable[..., nn.Module] = NET, **changed: Any) -> LAGRAND:
    """Three epochs of each stage."""
    settings: dict[str, Any] = {
        "generator": VAE,
        "draws": 2,
        "pretrain": TrainConfig(epochs=3, lr=1e-2, monitor="loss", batching=Pairs(4)),
        "train": TrainConfig(epochs=3, monitor="loss"),
    }
    return LAGRAND(net, **(settings | changed))


def fitted(problem: Problem, of: LAGRAND | None = None, seed: int = 0) -> Fitted:
    torch.manual_seed(seed)
    return (of or recipe())(problem)


def model(net: Callable[..., nn.Module] = NET, **changed: Any) -> GeneratedViews:
    """Not trained, for ``tiny.node_problem()``; two views of each kind."""
    torch.manual_seed(0)
    settings = {"draws": 4, "seed": 3} | changed
    vae = VAE(Dims(3, 2))  # first: the same for every network
    return GeneratedViews(InPlace(net, Dims(3, 2)), vae, **settings)


def batch_of(net: nn.Module, problem: Problem, part: str = "train") -> Any:
    [batch] = problem.batches(part, net)
    return batch


class TestViews:
    def test_half_of_them_see_one_matrix_that_stays(self) -> None:
        problem, net = tiny.node_problem(), model().train()
        views = net.picked(batch_of(net, problem), 4)
        assert [len(view) for view in views] == [0, 1, 0, 1]
        [rows], [again] = views[1], views[3]
        assert rows is again
        assert rows.shape == (6, 3)
        torch.testing.assert_close(rows.sum(dim=1), torch.ones(6))
        later = net.picked(batch_of(net, problem), 4)[1][0]
        assert later is rows
        copied = copy.deepcopy(net)
        assert torch.equal(copied.picked(batch_of(net, problem), 2)[1][0], rows)
        other = model(seed=4)
        assert not torch.equal(other.picked(batch_of(other, problem), 2)[1][0], rows)

    def test_the_terms_are_those_of_the_formula(self) -> None:
        """All views in the order they are drawn, each by the same network."""
        problem, net = tiny.node_problem(), model(consistency_weight=1.2, temperature=0.2).train()
        batch = batch_of(net, problem.with_unlabelled())
        drawn = copy.copy(batch)
        [drawn.x] = net.scored(batch)
        torch.manual_seed(7)
        views = torch.stack([net.net.net(seen) for seen in (batch, drawn, batch, drawn)])
        torch.manual_seed(7)
        terms = net.losses(batch, problem.task)
        train = problem.split.train
        entropy = -views.log_softmax(-1)[:, train, problem.data.y[train]].mean()
        torch.testing.assert_close(terms["supervised"], entropy)
        p = views.softmax(-1)
        sharp = p.mean(0) ** 5 / (p.mean(0) ** 5).sum(-1, keepdim=True)
        expected = 1.2 * (p - sharp).square().sum() / 4 / 6
        torch.testing.assert_close(terms["consistency"], expected)

    def test_no_gradient_reaches_the_generator(self) -> None:
        problem, net = tiny.node_problem(), model().train()
        terms = net.losses(batch_of(net, problem), problem.task)
        torch.stack(list(terms.values())).sum().backward()
        assert all(p.grad is None for p in net.generator.parameters())
        assert all(p.grad is not None for p in net.net.parameters())

    def test_consistency_is_asked_of_all_visible_nodes_and_of_two_views(self) -> None:
        seen: list[int] = []

        class Watched(GRAND):
            def forward(self, batch: Any) -> Tensor:
                if self.training:
                    seen.append(len(batch.seeds))
                return super().forward(batch)

        done = fitted(tiny.node_problem(), recipe(lambda dims: Watched(dims), draws=1))
        assert seen == [6] * 6  # two views of six nodes, three epochs
        assert done.history[0]["consistency"] > 0
        seen.clear()
        without = recipe(lambda dims: Watched(dims), consistency_weight=0.0)
        assert "consistency" not in fitted(tiny.node_problem(), without).history[0]
        assert seen == [2] * 12

    def test_a_node_of_a_sampled_batch_has_its_row_of_the_graph(self) -> None:
        problem, net = tiny.node_problem(), model().train()
        [whole] = net.scored(batch_of(net, problem, "all"))
        sampled = replace(problem, batching=SampledNodes((2, 2), 2))
        for batch in sampled.batches("all", net):
            torch.testing.assert_close(net.picked(batch, 2)[1][0], whole[batch.n_id])


class TestScored:
    def test_own_rows_alone_are_scored(self) -> None:
        problem = tiny.node_problem()
        done = fitted(problem)
        expected = predict(done.model, problem)
        with torch.no_grad():
            for value in done.model.generator.parameters():
                value.add_(1.0)
        assert torch.equal(predict(done.model, problem), expected)
        plain = NET(problem.dims)
        plain.load_state_dict(done.model.net.net.state_dict())
        assert torch.equal(predict(plain, problem), expected)

    def test_a_call_in_training_is_a_view_of_own_rows(self) -> None:
        problem, net = tiny.node_problem(), model().train()
        batch = batch_of(net, problem)
        torch.manual_seed(1)
        expected = net.net.net(batch)
        torch.manual_seed(1)
        assert torch.equal(net(batch), expected)


class TestInPlace:
    @pytest.mark.parametrize("backbone", [GRAND, GCN, Mine])
    def test_the_network_reads_the_generated_row_for_the_own(self, backbone: Any) -> None:
        problem, rows = tiny.node_problem(), torch.rand(6, 3)
        net = InPlace(backbone, problem.dims).eval()
        batch = batch_of(net, problem, "all")
        data = problem.data.clone()
        data.x = rows
        shown = batch_of(net, replace(problem, data=data), "all")
        expected = net.net(shown)
        assert not torch.allclose(net.answer(batch, ()), expected)
        torch.testing.assert_close(net.answer(batch, [rows]), expected)
        sparse = SparseFeatures(1.0)(copy.copy(batch))
        torch.testing.assert_close(net.answer(sparse, [rows]), expected)
        assert batch.x is problem.data.x  # the batch is as it was

    def test_a_network_that_averages_features_beforehand_averages_generated_ones(self) -> None:
        problem, net = tiny.node_problem(), model(partial(SGC, hops=1))
        [found] = net.scored(batch_of(net, problem))
        [plain] = model().scored(batch_of(model(), problem))
        adj = batch_of(NET(problem.dims), problem).adj
        torch.testing.assert_close(found, adj @ plain)


class TestRecipe:
    def test_it_is_one_and_its_settings_say_what_it_does(self) -> None:
        assert isinstance(recipe(), Recipe)
        told = describe(recipe(draws=3))
        assert (told["name"], told["draws"]) == ("LAGRAND", 3)
        assert (told["branches"], told["pool"]) == (1, 0)  # one matrix
        with pytest.raises(TypeError, match="branches"):
            recipe(branches=2)

    @pytest.mark.parametrize(("name", "value"), [("draws", 0), ("temperature", 0.0)])
    def test_out_of_range_is_refused_when_made(self, name: str, value: float) -> None:
        with pytest.raises(SettingError, match=f"{name}={value}; expected"):
            recipe(**{name: value})

    def test_several_labels_are_no_distribution_to_hold_together(self) -> None:
        problem = tiny.node_problem()
        data = problem.data.clone()
        data.y = torch.eye(2)[problem.data.y]
        labels = replace(problem, data=data, task=MultilabelNodes(), checked=False)
        with pytest.raises(SettingError, match="consistency_weight=0"):
            fitted(labels, recipe(draws=1))
        done = fitted(labels, recipe(draws=1, consistency_weight=0.0))
        assert predict(done.model, labels).shape == (6, 2)

    def test_a_graph_without_edges_is_refused(self) -> None:
        problem = tiny.node_problem()
        data = Data(x=problem.data.x, y=problem.data.y, edge_index=torch.empty(2, 0).long())
        with pytest.raises(DataError, match="no neighbour to learn from"):
            fitted(replace(problem, data=data, checked=False))

    def test_an_isolated_node_gets_a_row(self) -> None:
        problem = tiny.node_problem()
        data = problem.data.clone()
        data.edge_index = tiny.both_ways((0, 1), (1, 2), (3, 4))
        alone = replace(problem, data=data, checked=False)
        done = fitted(alone)
        [rows] = done.model.scored(batch_of(done.model, alone, "all"))
        torch.testing.assert_close(rows[5].sum(), torch.tensor(1.0))
        assert bool(torch.isfinite(predict(done.model, alone)).all())

    @pytest.mark.parametrize("sampled", [False, True])
    @pytest.mark.parametrize("backbone", [NET, partial(GCN, hidden_channels=4), Mine])
    def test_networks_train_and_predict(self, backbone: Any, sampled: bool) -> None:
        problem = tiny.node_problem()
        if sampled:
            problem = replace(problem, batching=SampledNodes((2, 2), 2))
        done = fitted(problem.blind(), recipe(backbone))
        assert predict(done.model, problem).shape == (6, 2)
        assert bool(torch.isfinite(predict(done.last, problem)).all())
        assert done.notes["form"] == "InPlace"
        assert {"reconstruction", "divergence", "val_loss"} <= set(done.notes["generator"])

    def test_answers_of_validation_and_test_move_no_weight(self) -> None:
        problem = tiny.node_problem()
        data = problem.data.clone()
        others = torch.cat([problem.split.val, problem.split.test])
        data.y[others] = 1 - data.y[others]
        before = digest(fitted(problem.blind()).last)
        assert digest(fitted(replace(problem, data=data).blind()).last) == before
        data.y[problem.split.train] = 1 - data.y[problem.split.train]
        assert digest(fitted(replace(problem, data=data).blind()).last) != before

    def test_hidden_nodes_are_seen_by_no_stage(self) -> None:
        problem = tiny.production_problem()
        data = problem.data.clone()
        data.x[problem.split.hidden] = torch.rand(2, 3)
        done = fitted(problem.blind())
        assert digest(fitted(replace(problem, data=data).blind()).last) == digest(done.last)
        assert predict(done.model, problem, "hidden").shape == (2, 2)

    @pytest.mark.parametrize("last", [1, 4])
    def test_an_interrupted_run_goes_on_bit_for_bit(self, last: int, tmp_path: Path) -> None:
        def run(folder: Path, end: int | None = None) -> Fitted:
            rows: Iterator[int] = iter(range(100))

            def watch(row: dict[str, float]) -> None:
                if next(rows) == end:
                    raise RuntimeError("given up")

            with checkpoints(folder, "same", every_seconds=0):
                return fitted(tiny.node_problem().blind(), recipe(on_epoch=watch))

        unbroken = run(tmp_path / "unbroken")
        with pytest.raises(RuntimeError, match="given up"):
            run(tmp_path / "broken", last)
        torch.manual_seed(99)
        resumed = run(tmp_path / "broken")
        assert resumed.history == unbroken.history
        assert digest(resumed.model) == digest(unbroken.model)
        assert digest(fitted(tiny.node_problem().blind(), seed=1).model) != digest(unbroken.model)

    def test_it_learns_classes_that_edges_tell(self) -> None:
        problem = load_problem("sbm/small")
        of = LAGRAND(
            GRAND,
            partial(GaussianNeighborVAE, hidden_channels=16),
            pretrain=TrainConfig(epochs=2, lr=1e-3, monitor="loss", batching=Pairs(1024)),
            train=TrainConfig(epochs=30),
        )
        torch.manual_seed(0)
        assert evaluate(of(problem.blind()).model, problem, "test")["accuracy"] > 0.9
