"""The loop: what it keeps, what it tells, when it ends, and what it never sees."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCN

from graphkit import Problem
from graphkit.errors import DataError, TrainingError, UnknownName
from graphkit.models.base import Model, as_model
from graphkit.train import GradientUpdate, Patience, TrainConfig, evaluate, fit, predict
from tests.train.killed import digest
from tests.train.problems import KINDS, NodeNet, graph, nodes, sampled


class Scripted(Model):
    """Is right on as many of the 8 validation nodes as the script says for the epoch."""

    def __init__(self, script: list[int]) -> None:
        super().__init__()
        self.script = script
        self.epoch: Tensor
        self.register_buffer("epoch", torch.tensor(-1))
        self.answers = graph().y

    def reset_state(self) -> None:
        self.epoch += 1

    def forward(self, batch: Any) -> Tensor:
        right = self.script[int(self.epoch)]
        wrong = torch.arange(40) >= 20 + right
        return 2 * nn.functional.one_hot(self.answers ^ wrong.long(), 2).float()


@pytest.mark.parametrize(
    ("keep", "epoch", "score"), [("best", 1, 0.75), ("latest_best", 3, 0.75), ("last", 4, 0.25)]
)
def test_the_epoch_is_chosen_on_validation(keep: Any, epoch: int, score: float) -> None:
    fitted = fit(Scripted([1, 6, 5, 6, 2]), nodes(), TrainConfig(epochs=5, keep=keep))
    assert fitted.val["epoch"] == epoch
    assert fitted.val["val_accuracy"] == score
    assert int(fitted.model.epoch) == epoch  # type: ignore[arg-type]
    assert int(fitted.last.epoch) == 4  # type: ignore[arg-type]
    assert [row["val_accuracy"] * 8 for row in fitted.history] == [1, 6, 5, 6, 2]
    assert evaluate(fitted.model, nodes(), "val")["accuracy"] == score
    assert not fitted.model.training


class Trap(Scripted):
    """Sure of its one error when best in accuracy, hesitant of its two afterwards."""

    def forward(self, batch: Any) -> Tensor:
        return super().forward(batch) * (10.0 if int(self.epoch) == 0 else 0.5)


@pytest.mark.parametrize(("monitor", "epoch"), [(None, 0), ("accuracy", 0), ("loss", 1)])
def test_the_monitor_is_a_metric_or_the_loss(monitor: str | None, epoch: int) -> None:
    fitted = fit(Trap([7, 6]), nodes(), TrainConfig(epochs=2, monitor=monitor))
    assert fitted.val["epoch"] == epoch


def test_an_unknown_monitor_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        fit(NodeNet(), nodes(), TrainConfig(monitor="acuracy"))


def test_a_row_holds_terms_and_scores() -> None:
    [first, second] = fit(NodeNet(), nodes(), TrainConfig(epochs=2, lr=0.25)).history
    assert set(first) == {"epoch", "loss", "val_accuracy", "val_loss", "lr"}
    assert (first["epoch"], second["epoch"], first["lr"]) == (0, 1, 0.25)


def test_a_row_holds_the_mean_of_the_steps() -> None:
    problem, model, config = sampled(), as_model(NodeNet()), TrainConfig(epochs=1)
    losses = []

    class Noted(GradientUpdate):
        def __call__(self, batch: Any) -> dict[str, float]:
            losses.append(super().__call__(batch)["loss"])
            return {"loss": losses[-1]}

    [row] = fit(model, problem, config, update=Noted(model, problem.task, config)).history
    assert len(losses) == 4
    assert row["loss"] == pytest.approx(sum(losses) / 4, abs=1e-12)


def test_validation_may_be_rarer() -> None:
    fitted = fit(Scripted([8, 1, 8, 2, 3]), nodes(), TrainConfig(epochs=5, evaluate_every=2))
    assert ["val_accuracy" in row for row in fitted.history] == [False, True, False, True, True]
    assert fitted.val["epoch"] == 4


def test_on_epoch_ends_the_fit() -> None:
    seen: list[float] = []

    def watch(row: dict[str, float]) -> bool:
        seen.append(row["epoch"])
        return row["epoch"] == 2

    assert len(fit(NodeNet(), nodes(), TrainConfig(epochs=9), on_epoch=watch).history) == 3
    assert seen == [0, 1, 2]


def test_a_rule_ends_the_fit() -> None:
    fitted = fit(Scripted([1, 6, 5, 6, 8]), nodes(), TrainConfig(epochs=5, stop=Patience(2)))
    assert len(fitted.history) == 4
    assert fitted.val["epoch"] == 1


class Undefined(Model):
    """Its second training loss is NaN; validation is well."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 2)
        self.calls = 0

    def forward(self, batch: Any) -> Tensor:
        return self.map(batch.x)

    def losses(self, batch: Any, task: Any) -> dict[str, Tensor]:
        self.calls += 1
        return {"loss": super().losses(batch, task)["loss"] * (math.nan if self.calls == 2 else 1)}


def test_a_loss_that_is_no_number_stops_the_fit() -> None:
    with pytest.raises(TrainingError, match=r"at step 2: .*Lower lr \(now 0\.01\)"):
        fit(Undefined(), nodes(), TrainConfig(epochs=3))


def test_a_loss_that_is_no_number_is_skipped() -> None:
    torch.manual_seed(0)
    skipping = Undefined()
    torch.manual_seed(0)
    plain = Undefined()
    plain.calls = 10
    rows = fit(skipping, nodes(), TrainConfig(epochs=3, on_nan="skip")).history
    fit(plain, nodes(), TrainConfig(epochs=2))
    assert math.isnan(rows[1]["loss"])
    assert rows[0]["val_loss"] == rows[1]["val_loss"]
    assert digest(skipping) == digest(plain)  # as if the step had not been


def test_a_loss_that_is_no_number_is_followed_if_ignored() -> None:
    with pytest.raises(DataError, match="Lower the learning rate"):  # validation is NaN then
        fit(Undefined(), nodes(), TrainConfig(epochs=3, on_nan="ignore"))


@pytest.mark.parametrize(("clip_norm", "expected"), [(1e-3, 1e-3), (1e6, None)])
def test_clipping_bounds_the_gradient(clip_norm: float, expected: float | None) -> None:
    net = nn.Linear(4, 2)

    class Rows(Model):
        def __init__(self) -> None:
            super().__init__()
            self.map = net

        def forward(self, batch: Any) -> Tensor:
            return 100 * self.map(batch.x)

    before = [p.detach().clone() for p in net.parameters()]
    config = TrainConfig(epochs=1, lr=1.0, optimizer="sgd", clip_norm=clip_norm)
    fit(Rows(), nodes(), config)
    moved = torch.cat(
        [(p.detach() - b).flatten() for p, b in zip(net.parameters(), before, strict=True)]
    )
    if expected is None:
        assert float(moved.norm()) > 1.0
    else:
        assert float(moved.norm()) == pytest.approx(expected, rel=1e-3)


class ByHand(nn.Module):
    """The mean over a node's in-neighbours beside its own vector."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(8, 2)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index
        total = torch.zeros_like(x).index_add_(0, target, x[source])
        return self.map(torch.cat([x, total], dim=1))


@pytest.mark.parametrize("make", [nodes, sampled])
@pytest.mark.parametrize("net", [lambda: GCN(4, 8, 2, 2), ByHand])
def test_plain_modules_learn(make: Any, net: Any) -> None:
    torch.manual_seed(0)
    problem, module = make(), net()
    before = evaluate(module, problem.blind(), "train")["loss"]
    fitted = fit(module, problem.blind(), TrainConfig(epochs=30, lr=0.05))
    assert evaluate(module, problem, "train")["loss"] < 0.7 * before  # trained in place
    assert evaluate(fitted.model, problem, "val")["accuracy"] == fitted.val["val_accuracy"]
    assert predict(fitted.model, problem).shape == (40, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_twice_is_bit_equal(kind: str) -> None:
    make, net = KINDS[kind]
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        fitted = fit(net(), make(seed=seed).blind(), TrainConfig(epochs=3))
        found.append((digest(fitted.model), digest(fitted.last), fitted.history))
    assert found[0] == found[1]
    assert found[0][1] != found[2][1]


def test_the_kept_model_is_whole() -> None:
    """Running statistics of batch norm are those of the kept epoch, not of the last."""
    states: list[dict[str, Tensor]] = []
    net = NodeNet()
    fitted = fit(
        net,
        nodes(),
        TrainConfig(epochs=6, lr=0.5),
        on_epoch=lambda row: states.append({k: v.clone() for k, v in net.state_dict().items()}),
    )
    best = max(range(6), key=lambda n: fitted.history[n]["val_accuracy"])
    kept = fitted.model.net.state_dict()  # type: ignore[union-attr]
    assert fitted.val["epoch"] == best
    assert int(kept["norm.num_batches_tracked"]) == best + 1
    for name, value in states[best].items():
        assert torch.equal(kept[name], value), name
    assert torch.equal(net.state_dict()["first.lin.weight"], states[5]["first.lin.weight"])


class Spy(Model):
    """Notes every answer, feature and edge it is shown."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.inner = as_model(net)
        self.answers: list[Tensor] = []
        self.rows: list[Tensor] = []
        self.edges: list[int] = []

    def forward(self, batch: Any) -> Tensor:
        if "y" in batch:
            self.answers.append(batch.y.clone())
            self.rows.append(batch.x.clone())
            self.edges.append(batch.edge_index.shape[1])
        return self.inner(batch)


def shown(problem: Problem) -> tuple[set[tuple[float, ...]], set[tuple[float, ...]], Spy]:
    """Feature rows that came with an answer, all feature rows, and the spy, of a short fit."""
    spy = Spy(NodeNet())
    fit(spy, problem, TrainConfig(epochs=3))
    pairs = list(zip(spy.rows, spy.answers, strict=True))
    answered = {tuple(row) for x, y in pairs for row in x[y >= 0].tolist()}
    return answered, {tuple(row) for x, _ in pairs for row in x.tolist()}, spy


@pytest.mark.parametrize("make", [nodes, sampled])
def test_test_answers_never_reach_training(make: Any) -> None:
    problem = make()
    rows = [tuple(row) for row in problem.data.x.tolist()]
    answered, seen, _ = shown(problem.blind())
    assert answered == set(rows[:28])  # training and validation
    assert seen - answered  # nodes of the test are there, without their answers
    assert len(problem.blind().split.test) == 0
    with pytest.raises(DataError, match="empty"):
        evaluate(NodeNet(), problem.blind(), "test")
    # The spy does notice: on the problem itself it sees every answer of the whole graph.
    if make is nodes:
        assert shown(problem)[0] == set(rows)


def test_hidden_nodes_and_their_edges_are_absent() -> None:
    problem = nodes(hidden=True)
    rows = [tuple(row) for row in problem.data.x.tolist()]
    _, seen, spy = shown(problem.blind())
    assert seen == set(rows[:36])
    visible = int((problem.data.edge_index < 36).all(dim=0).sum())
    assert visible < problem.data.edge_index.shape[1]
    assert set(spy.edges) == {visible}


@pytest.mark.parametrize("kind", ["graphs", "events"])
def test_test_items_are_gone_from_a_blind_problem(kind: str) -> None:
    problem = KINDS[kind][0]()
    sizes = problem.split.sizes()
    blind = problem.blind()
    assert blind.num_items == sizes["train"] + sizes["val"]
    if kind == "events":
        assert int(blind.data.t.max()) < int(problem.data.t[problem.split.test].min())


def test_a_part_that_is_empty_is_refused() -> None:
    from dataclasses import replace

    problem = nodes().blind()
    empty = replace(problem, split=replace(problem.split, val=problem.split.val[:0]))
    with pytest.raises(DataError, match="'val' part"):
        fit(NodeNet(), empty)
