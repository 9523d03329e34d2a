"""A student learns from a teacher's probabilities, from nothing it should not see."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric import seed_everything

import graphkit
from graphkit.bench import Experiment
from graphkit.bench.run import run
from graphkit.data.batching import NodeRows, SampledNodes
from graphkit.data.problem import Problem
from graphkit.distill import GLNN, Given, Student
from graphkit.distill.teaching import soft_labels
from graphkit.errors import DataError, SettingError
from graphkit.models import GCN, MLP
from graphkit.models.base import FromModule
from graphkit.tasks import Dims, GraphClassification
from graphkit.train import Fitted, Supervised, TrainConfig, checkpoints, evaluate, predict
from tests import tiny

LAST = TrainConfig(epochs=4, lr=0.05, keep="last")
TEACHER = Supervised(partial(GCN, hidden_channels=8), LAST)
SMALL = partial(MLP, hidden_channels=8)
TAUGHT = replace(LAST, batching=NodeRows(4))


def weights(fitted: Fitted) -> dict[str, Tensor]:
    return fitted.last.state_dict()


def taught(problem: Problem, recipe: GLNN | None = None) -> Fitted:
    torch.manual_seed(0)
    return (recipe or GLNN(TEACHER, SMALL, train=TAUGHT))(problem)


def equal(first: Fitted, second: Fitted) -> bool:
    pairs = zip(weights(first).items(), weights(second).items(), strict=True)
    return all(a == b and torch.equal(v, w) for (a, v), (b, w) in pairs)


def relabelled(problem: Problem, part: str) -> Problem:
    """The same problem with the classes of a part turned round."""
    data = copy.copy(problem.data)
    data.y = data.y.clone()
    items = problem.items(part)
    data.y[items] = 1 - data.y[items]
    return replace(problem, data=data)


def test_the_student_of_its_own_opinion_has_nothing_to_learn() -> None:
    problem = tiny.node_problem().blind()
    teacher = GCN(problem.dims).eval()
    told = problem.with_field("soft", soft_labels(teacher, problem)).with_unlabelled()
    student = Student(teacher)
    [batch] = told.batches("train", student)
    assert student.losses(batch, problem.task)["soft"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("batching", [None, NodeRows(4), NodeRows(None)])
def test_all_visible_nodes_teach_and_training_classes_alone_are_known(batching: Any) -> None:
    """Six nodes, two of them labelled; each is seen once an epoch."""
    seen: list[Tensor] = []
    known: list[Tensor] = []

    class Watched(Student):
        def losses(self, batch: Any, task: Any) -> dict[str, Tensor]:
            ids = batch.get("n_id")
            seen.append(batch.seeds if ids is None else ids[batch.seeds])
            known.append(batch.y[batch.seeds])
            return super().losses(batch, task)

    problem = tiny.node_problem().blind()
    told = problem.with_field("soft", torch.zeros(6, 2).log_softmax(-1)).with_unlabelled()
    config = TrainConfig(epochs=1, batching=batching)
    graphkit.fit(Watched(SMALL(problem.dims)), told, config)
    assert sorted(torch.cat(seen).tolist()) == list(range(6))
    classes = dict(zip(torch.cat(seen).tolist(), torch.cat(known).tolist(), strict=True))
    assert classes == {0: 0, 1: -1, 2: -1, 3: 1, 4: -1, 5: -1}


def test_a_hard_weight_splits_the_loss() -> None:
    problem = tiny.node_problem().blind()
    told = problem.with_field("soft", torch.zeros(6, 2).log_softmax(-1)).with_unlabelled()
    net = SMALL(problem.dims).eval()
    [batch] = told.batches("train", net)
    parts = Student(net, 0.25).losses(batch, problem.task)
    soft = Student(net, 0.0).losses(batch, problem.task)["soft"]
    hard = Student(net, 1.0).losses(batch, problem.task)["hard"]
    torch.testing.assert_close(parts["soft"], 0.75 * soft)
    torch.testing.assert_close(parts["hard"], 0.25 * hard)
    torch.testing.assert_close(hard, problem.task.loss(net(batch), batch))
    with pytest.raises(SettingError, match=r"hard_weight=1\.5"):
        Student(net, 1.5)


@pytest.mark.parametrize("make", [tiny.node_problem, tiny.production_problem])
def test_no_answer_outside_training_reaches_a_weight(make: Callable[[], Problem]) -> None:
    problem = make()
    expected = taught(problem.blind())
    for part in ("val", "test", "hidden"):
        if len(problem.items(part)):
            assert equal(taught(relabelled(problem, part).blind()), expected), part
    assert not equal(taught(relabelled(problem, "train").blind()), expected)


def test_hidden_nodes_are_seen_by_nobody() -> None:
    """Noise in their features and other edges at them change no bit."""
    problem = tiny.production_problem()
    expected = taught(problem.blind())
    data = copy.copy(problem.data)
    data.x = data.x.clone()
    data.x[problem.split.hidden] = torch.randn(2, 3) * 100
    data.edge_index = torch.cat([data.edge_index, torch.tensor([[2, 6, 2], [6, 2, 0]])], dim=1)
    assert equal(taught(replace(problem, data=data, checked=False).blind()), expected)
    data.x[problem.split.test] += 1
    assert not equal(taught(replace(problem, data=data, checked=False).blind()), expected)


def test_the_student_is_scored_without_the_graph() -> None:
    problem = tiny.production_problem()
    fitted = taught(problem.blind())
    data = copy.copy(problem.data)
    data.edge_index = torch.empty(2, 0, dtype=torch.long)
    bare = replace(problem, data=data, checked=False)
    assert torch.equal(predict(fitted.model, problem), predict(fitted.model, bare))
    assert fitted.notes["teacher"]["val_accuracy"] in (0.0, 0.5, 1.0)
    assert 0 <= fitted.notes["agreement"] <= 1


def test_test_nodes_are_scored_in_the_graph_training_saw() -> None:
    """A teacher's test score must not see hidden nodes; theirs sees the whole graph."""
    problem = tiny.production_problem()
    record = run(Experiment("gcn", lambda seed: problem, TEACHER), 0)
    observed = problem.observed()
    assert observed.num_items == 6
    assert torch.equal(observed.data.x, problem.data.x[[0, 1, 3, 4, 5, 7]])
    assert observed.data.y[observed.split.test].tolist() == [1, 1]
    seed_everything(0)
    model = TEACHER(replace(problem, seed=0).blind()).model
    assert record["test"]["loss"] == evaluate(model, observed, "test")["loss"]
    assert record["hidden"]["loss"] == evaluate(model, problem, "hidden")["loss"]
    assert record["test"]["loss"] != evaluate(model, problem, "test")["loss"]


def test_any_network_with_pygs_call_may_teach() -> None:
    problem = tiny.node_problem().blind()
    torch.manual_seed(0)
    net = pyg.GCN(3, 8, 2, 2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fitted = taught(problem, GLNN(Given(net), SMALL, train=TAUGHT))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    expected = predict(FromModule(net, "x", "edge_index").eval(), problem).log_softmax(-1)
    torch.testing.assert_close(soft_labels(net.eval(), problem), expected)
    assert len(fitted.history) == 4


def test_a_sampled_teacher() -> None:
    sampled = replace(LAST, batching=SampledNodes((2, 2), 2))
    teacher = Supervised(partial(GCN, hidden_channels=8), sampled)
    assert len(taught(tiny.node_problem().blind(), GLNN(teacher, SMALL, train=TAUGHT)).history) == 4


def test_a_class_missing_in_training_is_learned_as_far_as_the_teacher_knows_it() -> None:
    problem = tiny.node_problem()
    data = copy.copy(problem.data)
    data.y = torch.tensor([0, 0, 2, 0, 2, 2])
    task = replace(problem.task, num_classes=3)
    dims = replace(problem.dims, out_channels=3)
    missing = replace(problem, data=data, task=task, dims=dims, checked=False)
    answers = predict(taught(missing.blind()).model, missing)
    assert answers.shape == (6, 3)
    assert bool(torch.isfinite(answers).all())


def test_a_teacher_of_other_classes_is_refused() -> None:
    problem = tiny.node_problem().blind()
    wrong = Given(GCN(Dims(3, 5)))
    with pytest.raises(DataError, match="other classes"):
        taught(problem, GLNN(wrong, SMALL, train=TAUGHT))
    with pytest.raises(DataError, match=r"\(5,\) numbers a node.*2 classes.*other classes"):
        soft_labels(GCN(Dims(3, 5)), problem)
    graphs = replace(tiny.graph_problem(), task=GraphClassification(num_classes=2))
    with pytest.raises(SettingError, match="one class per node"):
        soft_labels(MLP(graphs.dims, readout="mean"), graphs)


class Broken(nn.Module):
    """Answers with no number at one node."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out = x[:, :2].clone()
        out[3] = torch.nan
        return out


def test_a_teacher_that_answers_with_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="for node 3 is not a finite number"):
        soft_labels(Broken(), tiny.node_problem().blind())


def test_interrupted_in_either_stage_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    problem = tiny.node_problem().blind()
    expected = taught(problem)
    for stop_at in (2, 6):
        told: list[float] = []

        def interrupt(row: dict[str, float], told: list[float] = told, at: int = stop_at) -> None:
            told.append(row["epoch"])
            if len(told) == at:
                raise KeyboardInterrupt

        folder = tmp_path / str(stop_at)
        with checkpoints(folder, "id", every_seconds=0), pytest.raises(KeyboardInterrupt):
            taught(problem, GLNN(TEACHER, SMALL, train=TAUGHT, on_epoch=interrupt))
        with checkpoints(folder, "id", every_seconds=0):
            assert equal(taught(problem), expected)


@pytest.mark.data
def test_on_cora_the_student_is_far_above_the_plain_network() -> None:
    """Two splits of the paper's protocol; bars of five splits with room for two."""
    rows = {}
    student = partial(MLP, hidden_channels=128, dropout=0.6)
    train = TrainConfig(epochs=100, weight_decay=5e-3, batching=NodeRows(512))
    teacher = Supervised(
        partial(GCN, dropout=0.8, input_dropout=0.0), TrainConfig(epochs=100, weight_decay=1e-3)
    )
    recipes = {
        "mlp": Supervised(student, replace(train, batching=None)),
        "glnn": GLNN(teacher, student, train=train),
    }
    for name, recipe in recipes.items():
        found = [run(Experiment(name, "cora-cpf/production", recipe), seed) for seed in (0, 1)]
        for part in ("test", "hidden"):
            rows[name, part] = sum(record[part]["accuracy"] for record in found) / 2
        for record in found:
            counts = record["data"]["split"]["test"], record["data"]["split"]["hidden"]
            parts = record["test"]["accuracy"], record["hidden"]["accuracy"]
            mean = sum(c * p for c, p in zip(counts, parts, strict=True)) / sum(counts)
            assert record["production"]["accuracy"] == pytest.approx(mean, abs=1e-12)
    assert rows["mlp", "test"] < 0.63
    assert rows["glnn", "test"] > rows["mlp", "test"] + 0.15
    assert rows["glnn", "hidden"] > rows["mlp", "hidden"] + 0.07
    assert rows["glnn", "hidden"] < rows["glnn", "test"] - 0.03  # it did not see these nodes
