"""LA-GNN: what reaches what, what is drawn when, and what a recipe promises."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.augment.branches import Widened, with_branches
from graphkit.augment.lagnn import LAGNN, LocalAugmented
from graphkit.augment.neighbor_vae import BernoulliNeighborVAE, GaussianNeighborVAE
from graphkit.augment.pairs import Pairs
from graphkit.data.batching import NodeRows, SampledNodes
from graphkit.data.prepare import Prepared
from graphkit.data.problem import Problem
from graphkit.errors import DataError, SettingError
from graphkit.models import GCN, NODE_MODELS, SGC, FromModule
from graphkit.nn.losses import consistency
from graphkit.tasks import Dims, MultilabelNodes
from graphkit.train import Fitted, Recipe, Supervised, TrainConfig, checkpoints, describe, predict
from graphkit.transforms import Adjacency
from tests import tiny
from tests.augment.test_branches import Mine

SMALL = {"hidden_channels": 8, "num_layers": 2, "heads": 2}
BACKBONES = [name for name in NODE_MODELS if name != "label-propagation"]
GCN4 = partial(GCN, hidden_channels=4)


def backbone(name: str) -> Callable[..., nn.Module]:
    """A small network of the list."""
    factory = NODE_MODELS[name].load()
    known = inspect.signature(factory).parameters
    return partial(factory, **{key: value for key, value in SMALL.items() if key in known})


def recipe(net: Callable[..., nn.Module] = GCN4, **changed: Any) -> LAGNN:
    """Three epochs of each stage."""
    settings: dict[str, Any] = {
        "generator": partial(BernoulliNeighborVAE, latent_channels=2, hidden_channels=8),
        "pool": 6,
        "draws": 2,
        "pretrain": TrainConfig(epochs=3, lr=1e-2, monitor="loss", batching=Pairs(4)),
        "train": TrainConfig(epochs=3, monitor="loss"),
    }
    return LAGNN(net, **(settings | changed))


def fitted(problem: Problem, of: LAGNN | None = None, seed: int = 0) -> Fitted:
    torch.manual_seed(seed)
    return (of or recipe())(problem)


def digest(net: nn.Module) -> str:
    """Checksum over every bit of a network's state."""
    found = hashlib.sha256()
    for name, value in net.state_dict().items():
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def model(net: Callable[..., nn.Module] = GCN4, **changed: Any) -> LocalAugmented:
    """Not trained, for ``tiny.node_problem()``."""
    torch.manual_seed(0)
    settings = {"branches": 1, "draws": 2, "pool": 6, "seed": 3} | changed
    vae = BernoulliNeighborVAE(Dims(3, 2), latent_channels=2) if settings["branches"] else None
    return LocalAugmented(with_branches(net, Dims(3, 2), settings["branches"]), vae, **settings)


def batch_of(net: LocalAugmented, problem: Problem, part: str = "train") -> Any:
    [batch] = problem.batches(part, net)
    return batch


def flat_rows(net: LocalAugmented, batch: Any) -> list[Tensor]:
    """The rows of two draws, one after the other."""
    return [row for draw in net.picked(batch, 2) for row in draw]


class TestGradient:
    def test_none_reaches_the_generator(self) -> None:
        problem, net = tiny.node_problem(), model().train()
        terms = net.losses(batch_of(net, problem), problem.task)
        torch.stack(list(terms.values())).sum().backward()
        assert all(p.grad is None for p in net.generator.parameters())
        assert not any(p.requires_grad for p in net.generator.parameters())
        assert all(p.grad is not None for p in net.net.parameters())

    def test_training_leaves_the_generator_as_it_was_fitted(self) -> None:
        problem, of = tiny.node_problem(), recipe()
        torch.manual_seed(0)
        alone = of.fit_generator(problem).model
        assert digest(fitted(problem, of).model.generator) == digest(alone)
        assert not fitted(problem, of).last.train().generator.training

    def test_a_generator_with_batch_norm_keeps_its_statistics(self) -> None:
        of = recipe(generator=partial(GaussianNeighborVAE, hidden_channels=8))
        torch.manual_seed(0)
        alone = of.fit_generator(tiny.node_problem()).model
        assert digest(fitted(tiny.node_problem(), of).last.generator) == digest(alone)

    def test_the_sharpened_target_has_none(self) -> None:
        """d/dp of the mean of (p - t)^2 with t held is 2 (p - t) / (S N)."""
        p = torch.rand(3, 4, 5).softmax(dim=-1).requires_grad_()
        consistency(p, 0.5).backward()
        target = p.detach().mean(dim=0).square()
        target = target / target.sum(dim=-1, keepdim=True)
        torch.testing.assert_close(p.grad, 2 * (p.detach() - target) / 12)

    def test_one_draw_at_temperature_one_costs_nothing(self) -> None:
        p = torch.rand(1, 4, 5).softmax(dim=-1)
        assert float(consistency(p, 1.0)) == 0.0
        problem, net = tiny.node_problem(), model(draws=1).train()
        assert set(net.losses(batch_of(net, problem), problem.task)) == {"supervised"}


class TestLosses:
    def test_the_terms_are_those_of_the_formula(self) -> None:
        problem, net = tiny.node_problem(), model(consistency_weight=3.0, temperature=0.25)
        net.eval()  # no dropout; the draws alone differ
        batch = batch_of(net, problem.with_unlabelled())
        torch.manual_seed(1)
        draws = net.picked(batch, 2)
        torch.manual_seed(1)
        terms = net.losses(batch, problem.task)
        logits = torch.stack([net.net.answer(batch, draw) for draw in draws])
        assert not torch.allclose(logits[0], logits[1])
        train = problem.split.train
        entropy = -logits.log_softmax(-1)[:, train, problem.data.y[train]].mean()
        torch.testing.assert_close(terms["supervised"], entropy)
        p = logits.softmax(-1)
        target = p.mean(0) ** 4 / (p.mean(0) ** 4).sum(-1, keepdim=True)
        expected = 3 * (p - target).square().sum(-1).mean()
        torch.testing.assert_close(terms["consistency"], expected)

    def test_consistency_is_asked_of_all_visible_nodes(self) -> None:
        seen: list[int] = []

        class Watched(GCN):
            def forward(self, batch: Any) -> Tensor:
                if self.training:
                    seen.append(len(batch.seeds))
                return super().forward(batch)

        fitted(tiny.node_problem(), recipe(lambda dims: Watched(dims)))
        assert set(seen) == {6}
        seen.clear()
        fitted(tiny.node_problem(), recipe(lambda dims: Watched(dims), consistency_weight=0.0))
        assert set(seen) == {2}

    def test_history_names_the_terms(self) -> None:
        assert {"supervised", "consistency"} <= set(fitted(tiny.node_problem()).history[0])
        notes = fitted(tiny.node_problem()).notes
        assert notes["form"] == "Branched"
        assert {"reconstruction", "divergence", "val_loss"} <= set(notes["generator"])


class TestDraws:
    def test_a_step_picks_draws_that_differ_from_the_pool(self) -> None:
        problem, net = tiny.node_problem(), model(branches=2, draws=2)
        batch = batch_of(net, problem)
        torch.manual_seed(0)
        first = net.picked(batch, 2)
        assert [len(draw) for draw in first] == [2, 2]
        flat = [row for draw in first for row in draw]
        for i, row in enumerate(flat):
            assert row.shape == (6, 3)
            torch.testing.assert_close(row.sum(dim=1), torch.ones(6))
            assert all(not torch.equal(row, other) for other in flat[:i])
        torch.manual_seed(0)
        assert all(a is b for a, b in zip(flat, flat_rows(net, batch), strict=True))
        torch.manual_seed(1)
        assert any(a is not b for a, b in zip(flat, flat_rows(net, batch), strict=True))

    @pytest.mark.parametrize("pool", [0, 1])
    def test_a_pool_may_be_small_or_absent(self, pool: int) -> None:
        net = model(branches=2, pool=pool).train()
        problem = tiny.node_problem()
        batch = batch_of(net, problem)
        rows = flat_rows(net, batch)
        assert len(rows) == 4
        assert all(torch.equal(row, rows[0]) for row in rows) == (pool == 1)
        assert bool(torch.isfinite(net.losses(batch, problem.task)["supervised"]))

    def test_what_is_scored_is_fixed_by_the_seed(self) -> None:
        problem = tiny.node_problem()
        net = model().eval()
        first = predict(net, problem)
        net.reset_state()
        assert torch.equal(predict(net, problem), first)
        assert torch.equal(predict(copy.deepcopy(net), problem), first)
        loaded = model(seed=99).eval()
        before = predict(loaded, problem)
        loaded.load_state_dict(net.state_dict())
        assert torch.equal(predict(loaded, problem), first)
        assert not torch.equal(before, first)

    def test_the_runs_seed_chooses_what_is_scored(self) -> None:
        seeds = [
            int(fitted(replace(tiny.node_problem(), seed=seed)).model.seed) for seed in (0, 0, 1)
        ]
        assert seeds[0] == seeds[1] != seeds[2]

    def test_what_is_scored_is_not_in_the_pool(self) -> None:
        net, problem = model(), tiny.node_problem()
        batch = batch_of(net, problem)
        [scored] = net.scored(batch)
        assert all(not torch.equal(scored, draw[0]) for draw in net.picked(batch, 6))

    def test_a_node_of_a_sampled_batch_has_its_row_of_the_graph(self) -> None:
        problem, net = tiny.node_problem(), model(branches=2).eval()
        whole = net.scored(batch_of(net, problem, "all"))
        sampled = replace(problem, batching=SampledNodes((2, 2), 2))
        for batch in sampled.batches("all", net):
            for rows, branch in zip(net.scored(batch), whole, strict=True):
                torch.testing.assert_close(rows, branch[batch.n_id])

    def test_sampled_training_draws_for_the_batch_alone_and_anew(self) -> None:
        problem = replace(tiny.node_problem(), batching=SampledNodes((1,), 2))
        net = model().train()
        batch = next(iter(problem.batches("train", net)))
        first, second = net.picked(batch, 2)
        assert first[0].shape == (len(batch.n_id), 3)
        assert not torch.equal(first[0], second[0])

    def test_a_graph_is_decoded_once_and_another_one_again(self) -> None:
        problem, net = tiny.node_problem(), model()
        batch = batch_of(net, problem)
        [first], [again] = net.scored(batch), net.scored(batch_of(net, problem))
        assert first is again
        other = replace(problem, data=problem.data.clone(), prepared=Prepared())
        [moved] = net.scored(batch_of(net, other))
        assert moved is not first
        assert torch.equal(moved, first)
        batch = batch_of(net, other)
        batch.x.mul_(0.5)[0] = 1.0
        [changed] = net.scored(batch)
        assert not torch.equal(changed, first)

    def test_a_network_that_averages_features_beforehand_averages_generated_ones(self) -> None:
        problem, net = tiny.node_problem(), model(partial(SGC, hops=2))
        batch = batch_of(net, problem)
        assert torch.equal(batch.x_given, problem.data.x)
        assert not torch.equal(batch.x, problem.data.x)
        [found] = net.scored(batch)
        [plain] = model(Mine).scored(batch_of(model(Mine), problem))
        adj = Adjacency("sym")(problem.data.clone()).adj
        torch.testing.assert_close(found, adj @ (adj @ plain))

    def test_an_isolated_node_gets_a_row(self) -> None:
        problem = tiny.node_problem()
        data = problem.data.clone()
        data.edge_index = tiny.both_ways((0, 1), (1, 2), (3, 4))
        alone = replace(problem, data=data, checked=False)
        done = fitted(alone)
        [rows] = done.model.scored(batch_of(done.model, alone, "all"))
        torch.testing.assert_close(rows[5].sum(), torch.tensor(1.0))
        assert bool(torch.isfinite(predict(done.model, alone)).all())


class TestPlain:
    def test_no_branch_and_one_draw_is_the_plain_backbone(self) -> None:
        problem, of = tiny.node_problem(), recipe(branches=0, draws=1)
        plain = Supervised(GCN4, of.train)
        torch.manual_seed(0)
        expected = plain(problem)
        found = fitted(problem, of)
        assert "generator" not in found.notes
        assert found.model.generator is None
        state = {name.removeprefix("net.net."): v for name, v in found.model.state_dict().items()}
        del state["seed"]
        assert state.keys() == expected.model.state_dict().keys()
        assert all(torch.equal(v, state[k]) for k, v in expected.model.state_dict().items())
        assert torch.equal(predict(found.model, problem), predict(expected.model, problem))

    def test_no_branch_with_views_and_consistency_trains(self) -> None:
        done = fitted(tiny.node_problem(), recipe(branches=0, draws=3))
        assert done.history[0]["consistency"] > 0

    def test_a_branch_and_a_generator_belong_together(self) -> None:
        net = with_branches(GCN4, Dims(3, 2), 1)
        with pytest.raises(SettingError, match="branches=1 and no generator"):
            LocalAugmented(net, None, branches=1)
        with pytest.raises(SettingError, match="branches=0 and a generator"):
            LocalAugmented(net, BernoulliNeighborVAE(Dims(3, 2)), branches=0)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("name", [*BACKBONES, "mine", "pyg"])
def test_every_backbone_trains_and_predicts(name: str, sampled: bool) -> None:
    nets: dict[str, Callable[..., nn.Module]] = {
        "mine": Mine,
        "pyg": lambda dims: FromModule(Mine(dims), "x", "edge_index"),
    }
    problem = tiny.node_problem()
    if sampled:
        problem = replace(problem, batching=SampledNodes((2, 2), 2))
    net = nets[name] if name in nets else backbone(name)
    torch.manual_seed(0)
    before = with_branches(net, problem.dims, 2).state_dict()
    done = fitted(problem.blind(), recipe(net, branches=2))
    assert predict(done.model, problem).shape == (6, 2)
    assert bool(torch.isfinite(predict(done.last, problem)).all())
    assert done.notes["form"] == (
        "Branched"
        if name in ("gcn", "graphsage", "mean-sage", "dir-sage", "gat", "gcnii")
        else "Widened"
    )
    assert before.keys() == done.last.net.state_dict().keys()


def test_nodes_without_edges_train_on_rows_alone() -> None:
    of = recipe(backbone("mlp"), train=TrainConfig(epochs=2, batching=NodeRows(2)))
    assert predict(fitted(tiny.node_problem(), of).model, tiny.node_problem()).shape == (6, 2)


class TestLeaks:
    def states(self, problem: Problem) -> tuple[str, str]:
        done = fitted(problem.blind())
        return digest(done.last), digest(done.last.generator)

    @pytest.mark.parametrize("sampled", [False, True])
    def test_answers_of_validation_and_test_move_no_weight(self, sampled: bool) -> None:
        problem = tiny.node_problem()
        if sampled:
            problem = replace(problem, batching=SampledNodes((2, 2), 2))
        data = problem.data.clone()
        others = torch.cat([problem.split.val, problem.split.test])
        data.y[others] = 1 - data.y[others]
        assert self.states(problem) == self.states(replace(problem, data=data))
        data.y[problem.split.train] = 1 - data.y[problem.split.train]
        weights, generator = self.states(replace(problem, data=data))
        assert weights != self.states(problem)[0]  # the test can fail
        assert generator == self.states(problem)[1]  # and the generator sees no label at all

    def test_hidden_nodes_are_seen_by_no_stage(self) -> None:
        problem = tiny.production_problem()
        data = problem.data.clone()
        data.x[problem.split.hidden] = torch.rand(2, 3)
        assert self.states(problem) == self.states(replace(problem, data=data))
        data.x[problem.split.train] = torch.rand(2, 3)
        assert self.states(problem) != self.states(replace(problem, data=data))

    def test_hidden_nodes_are_answered_at_the_end(self) -> None:
        problem = tiny.production_problem()
        done = fitted(problem.blind())
        assert predict(done.model, problem, "hidden").shape == (2, 2)
        assert predict(done.model, problem).shape == (8, 2)


class TestResume:
    def run(self, folder: Path, last: int | None = None, sampled: bool = False) -> Fitted:
        """Fits, giving up at an epoch counted over both stages."""
        problem = tiny.node_problem()
        if sampled:
            problem = replace(problem, batching=SampledNodes((2, 2), 2))
        rows: Iterator[int] = iter(range(100))

        def watch(row: dict[str, float]) -> None:
            if next(rows) == last:
                raise RuntimeError("given up")

        with checkpoints(folder, "same", every_seconds=0):
            return fitted(problem.blind(), recipe(on_epoch=watch))

    @pytest.mark.parametrize("sampled", [False, True])
    @pytest.mark.parametrize("last", [1, 2, 4])
    def test_an_interrupted_run_goes_on_bit_for_bit(
        self, last: int, sampled: bool, tmp_path: Path
    ) -> None:
        unbroken = self.run(tmp_path / "unbroken", sampled=sampled)
        with pytest.raises(RuntimeError, match="given up"):
            self.run(tmp_path / "broken", last, sampled)
        torch.manual_seed(99)
        resumed = self.run(tmp_path / "broken", sampled=sampled)
        assert resumed.history == unbroken.history
        assert digest(resumed.model) == digest(unbroken.model)
        assert digest(resumed.last) == digest(unbroken.last)
        assert torch.equal(
            predict(resumed.model, tiny.node_problem()),
            predict(unbroken.model, tiny.node_problem()),
        )

    def test_same_seed_same_weights_another_seed_others(self) -> None:
        problem = tiny.node_problem()
        assert digest(fitted(problem).model) == digest(fitted(problem).model)
        assert digest(fitted(problem).model) != digest(fitted(problem, seed=1).model)


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("branches", -1),
            ("draws", 0),
            ("consistency_weight", -0.5),
            ("temperature", 0.0),
            ("pool", -1),
        ],
    )
    def test_out_of_range_is_refused_when_made(self, name: str, value: float) -> None:
        with pytest.raises(SettingError, match=f"{name}={value}; expected"):
            recipe(**{name: value})

    def test_a_graph_without_edges_is_refused(self) -> None:
        problem = tiny.node_problem()
        data = Data(x=problem.data.x, y=problem.data.y, edge_index=torch.empty(2, 0).long())
        empty = replace(problem, data=data, checked=False)
        with pytest.raises(DataError, match=r"no neighbour to learn from.*branches=0"):
            fitted(empty)
        assert predict(fitted(empty, recipe(branches=0)).model, empty).shape == (6, 2)

    @pytest.mark.parametrize(
        "make", [tiny.graph_problem, tiny.nodes_of_graphs_problem, tiny.stream_problem]
    )
    def test_other_questions_are_refused(self, make: Callable[[], Problem]) -> None:
        with pytest.raises(SettingError, match="for the nodes of one graph"):
            recipe()(make())

    @pytest.mark.parametrize("make", [tiny.node_problem_bare, tiny.node_problem_symbols])
    def test_nodes_without_vectors_are_refused(self, make: Callable[[], Problem]) -> None:
        with pytest.raises(SettingError, match="needs vectors on the nodes"):
            recipe()(make())

    def test_several_labels_train_without_consistency(self) -> None:
        problem = tiny.node_problem()
        data = problem.data.clone()
        data.y = torch.nn.functional.one_hot(data.y).float()
        several = replace(problem, data=data, task=MultilabelNodes(), checked=False)
        with pytest.raises(SettingError, match="consistency_weight=0"):
            recipe()(several)
        assert predict(fitted(several, recipe(consistency_weight=0.0)).model, several).shape == (
            6,
            2,
        )

    def test_it_is_a_recipe_that_can_be_described(self) -> None:
        told = describe(recipe())
        assert isinstance(recipe(), Recipe)
        assert told["name"] == "LAGNN"
        assert told["backbone"]["hidden_channels"] == 4
        assert told["pretrain"]["batching"] == {"name": "Pairs", "batch_size": 4}
        assert "on_epoch" not in told


def test_a_wrapped_network_is_told_of_epochs_and_batches() -> None:
    told: list[str] = []

    class Told(GCN):
        def reset_state(self) -> None:
            told.append("reset")

        def observe(self, batch: Any) -> None:
            told.append("observe")

    fitted(tiny.node_problem(), recipe(lambda dims: Told(dims)))
    assert told.count("reset") == 3
    assert told.count("observe") == 6  # a step and a validation each epoch


def test_the_widened_form_holds_the_network_itself() -> None:
    assert isinstance(with_branches(Mine, Dims(3, 2), 1), Widened)
