"""VQGraph: the code loss by other means, rows that stay with their nodes, and nothing leaked."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.data import Data

import graphkit
from graphkit.bench import Experiment
from graphkit.bench.run import run
from graphkit.data.batching import NodeRows, SampledNodes
from graphkit.data.problem import Problem
from graphkit.distill.glnn import GLNN, STUDENT
from graphkit.distill.teaching import Given, soft_labels
from graphkit.distill.vqgraph import CodeStudent, VQGraph, code_loss
from graphkit.errors import DataError, SettingError
from graphkit.models import GCN, MLP
from graphkit.models.base import Model
from graphkit.models.tokenized_gnn import TokenizedGNN
from graphkit.nn import codebook as codebook_module
from graphkit.train import Fitted, Patience, Supervised, TrainConfig, predict
from tests import tiny

TEACHER = Supervised(
    partial(TokenizedGNN, hidden_channels=8, code_channels=4, codes=5), TrainConfig(epochs=4)
)
STUDENT_NET = partial(MLP, hidden_channels=8)
ROWS = TrainConfig(epochs=4, batching=NodeRows(2))
METHOD = VQGraph(TEACHER, STUDENT_NET, train=ROWS)


def rows(count: int, channels: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))


def codes(count: int = 7, channels: int = 4) -> Tensor:
    return F.normalize(rows(count, channels, seed=9), dim=-1)


def fitted(problem: Problem, recipe: Any = METHOD) -> Fitted:
    torch.manual_seed(3)
    result: Fitted = recipe(problem.blind())
    return result


def weights(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.state_dict())


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class TestCodeLoss:
    @pytest.mark.parametrize("temperature", [0.1, 1.0, 4.0])
    def test_is_the_divergence_of_two_categoricals(self, temperature: float) -> None:
        student, teacher = rows(6), rows(6, seed=1)
        p, q = (
            torch.distributions.Categorical(
                logits=F.cosine_similarity(h[:, None], codes()[None], dim=-1) / temperature
            )
            for h in (teacher, student)
        )
        expected = temperature**2 * torch.distributions.kl_divergence(p, q).mean()
        assert expected.item() > 1e-3
        loss = code_loss(student, teacher, codes(), temperature)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)

    def test_by_hand(self) -> None:
        """On two codes along the axes: the teacher on the first, the student half way."""
        teacher, student = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 3.0]])
        p = 1 / (1 + math.exp(-1))
        expected = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
        assert code_loss(student, teacher, torch.eye(2), 1.0).item() == pytest.approx(expected)

    def test_is_nothing_for_the_teachers_own_embeddings(self) -> None:
        """Of any length: both sides compare by cosine."""
        teacher = rows(6)
        assert code_loss(teacher, teacher, codes()).item() == 0
        assert code_loss(3 * teacher, teacher, codes()).item() == pytest.approx(0, abs=1e-7)

    def test_gradient_reaches_the_student_alone(self) -> None:
        student, teacher, book = (x.requires_grad_() for x in (rows(6), rows(6, seed=1), codes()))
        code_loss(student, teacher, book).backward()
        assert student.grad is not None
        assert float(student.grad.abs().sum()) > 0
        assert (teacher.grad, book.grad) == (None, None)

    def test_blocks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = []
        for entries in (2**22, 14):  # all rows at once, and two at a time
            monkeypatch.setattr(codebook_module, "_BLOCK_ENTRIES", entries)
            student = rows(5).requires_grad_()
            loss = code_loss(student, rows(5, seed=1), codes())
            loss.backward()
            found.append((loss.detach(), student.grad))
        torch.testing.assert_close(found[0], found[1])

    def test_no_rows(self) -> None:
        assert code_loss(rows(0), rows(0), codes()).item() == 0


class PassesOn(Model):
    """A student whose hidden row is what it is given."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, channels, bias=False)
        self.last = nn.Linear(channels, classes)
        nn.init.eye_(self.first.weight)

    def forward(self, batch: Any) -> Tensor:
        return self.last(self.first(batch.x))


class TestCodeStudent:
    def test_given_the_teachers_embeddings_the_loss_is_nothing(self) -> None:
        student = CodeStudent(PassesOn(4, 2), codes(), code_weight=2.0)
        nn.init.eye_(student.head.weight)
        nn.init.zeros_(student.head.bias)
        embedding = rows(6)
        batch = Data(x=embedding, embedding=embedding, seeds=torch.arange(6))
        batch.soft = torch.full((6, 2), 0.5).log()
        task = tiny.node_problem().task
        assert student.losses(batch, task)["code"].item() == pytest.approx(0, abs=1e-7)
        batch.embedding = embedding.roll(1, 0)  # the rows of other nodes
        far = code_loss(embedding, batch.embedding, codes())
        assert far.item() > 1e-3
        terms = student.losses(batch, task)
        assert list(terms) == ["soft", "code"]
        torch.testing.assert_close(terms["code"], 2 * far)

    def test_counts_the_seeds_alone(self) -> None:
        student = CodeStudent(PassesOn(4, 2), codes())
        batch = Data(x=rows(6), embedding=rows(6, seed=1), soft=rows(6, 2).log_softmax(-1))
        batch.seeds = torch.tensor([4, 1])
        task = tiny.node_problem().task
        before = student.losses(batch, task)["code"]
        others = torch.tensor([0, 2, 3, 5])
        batch.embedding[others], batch.x[others] = 7.0, 9.0
        torch.testing.assert_close(student.losses(batch, task)["code"], before)

    @pytest.mark.parametrize(
        "net",
        [MLP(tiny.node_problem().dims), pyg.MLP([3, 8, 2], norm=None)],
        ids=["ours", "PyG's"],
    )
    def test_reads_what_goes_into_the_last_map(self, net: nn.Module) -> None:
        student = CodeStudent(net, codes()).eval()
        [batch] = tiny.node_problem().batches("train", student)
        logits, hidden = student._with_hidden(batch)
        torch.testing.assert_close(student._last_linear()(hidden), logits)
        assert not any(m._forward_pre_hooks for m in student.modules())

    def test_the_codebook_is_not_trained(self) -> None:
        book = codes()
        student = CodeStudent(MLP(tiny.node_problem().dims), book)
        assert "codebook" not in dict(student.named_parameters())
        book[0] = 5.0  # nor does it follow what happens to the teacher's
        assert torch.equal(student.codebook, codes())

    def test_needs_a_hidden_layer(self) -> None:
        with pytest.raises(SettingError, match="has 1 linear maps; expected two"):
            CodeStudent(MLP(tiny.node_problem().dims, num_layers=1), codes())

    def test_needs_a_last_map_that_is_called(self) -> None:
        problem = tiny.node_problem()
        net = MLP(problem.dims)
        net.spare = nn.Linear(4, 4)
        student = CodeStudent(net, codes())
        [batch] = problem.batches("train", student)
        batch.soft, batch.embedding = rows(6, 2), rows(6)
        with pytest.raises(SettingError, match="does not call its last linear map once"):
            student.losses(batch, problem.task)


class TestRecipe:
    def test_leaves_a_plain_network_and_its_notes(self) -> None:
        problem = tiny.node_problem()
        result = fitted(problem)
        for model in (result.model, result.last):
            assert type(model) is MLP
        assert set(result.model.state_dict()) == set(MLP(problem.dims).state_dict())
        assert {"soft", "code"} <= set(result.history[0])
        assert set(result.notes) == {"teacher", "agreement", "codes"}
        noted = result.notes["codes"]
        assert 0 < noted["usage"] <= 1
        assert 1 <= noted["perplexity"] <= 5
        assert 0 < noted["entropy"] <= noted["flat_entropy"] == math.log(5)

    def test_a_high_temperature_is_a_flat_choice(self) -> None:
        """What the entropy in the notes is there to show."""
        teacher = Given(TEACHER(tiny.node_problem().blind()).model)
        sharp, flat = (
            fitted(tiny.node_problem(), VQGraph(teacher, STUDENT_NET, temperature=t, train=ROWS))
            for t in (0.01, 100.0)
        )
        assert flat.notes["codes"]["entropy"] == pytest.approx(math.log(5), abs=1e-3)
        assert sharp.notes["codes"]["entropy"] < 0.7 * math.log(5)

    def test_learns_the_teachers_classes_and_codes(self) -> None:
        train = TrainConfig(epochs=60, batching=NodeRows(None))
        recipe = replace(METHOD, student=partial(MLP, hidden_channels=8, dropout=0.0), train=train)
        history = fitted(tiny.node_problem(), recipe).history
        assert history[-1]["code"] < 0.3 * history[0]["code"]
        assert history[-1]["soft"] < 0.3 * history[0]["soft"]

    def test_without_weight_the_codes_teach_nothing(self) -> None:
        """Then the student is GLNN's, from the same weights on and without dropout."""
        net = partial(MLP, hidden_channels=8, dropout=0.0)
        teacher = Given(TEACHER(tiny.node_problem().blind()).model)
        ours = fitted(tiny.node_problem(), VQGraph(teacher, net, code_weight=0.0, train=ROWS))
        glnn = fitted(tiny.node_problem(), GLNN(teacher, net, train=ROWS))
        assert same(ours.model, glnn.model.net)
        taught = fitted(tiny.node_problem(), VQGraph(teacher, net, train=ROWS))
        assert not same(taught.model, glnn.model.net)

    def test_sampled_teacher(self) -> None:
        train = replace(TEACHER.train, batching=SampledNodes((2, 2), 2))
        problem = tiny.node_problem()
        result = fitted(problem, replace(METHOD, teacher=replace(TEACHER, train=train)))
        assert predict(result.model, problem).shape == (6, 2)

    def test_more_codes_than_nodes(self) -> None:
        teacher = Supervised(partial(TokenizedGNN, code_channels=4, codes=30), TEACHER.train)
        noted = fitted(tiny.node_problem(), replace(METHOD, teacher=teacher)).notes["codes"]
        assert 0 < noted["usage"] <= 6 / 30
        assert noted["flat_entropy"] == pytest.approx(math.log(30))

    def test_a_class_that_is_not_in_training(self) -> None:
        problem = tiny.node_problem()
        dims = replace(problem.dims, out_channels=4)
        wider = replace(problem, task=replace(problem.task, num_classes=4), dims=dims)
        result = fitted(wider)
        assert predict(result.model, wider).shape == (6, 4)
        assert all(math.isfinite(row["soft"] + row["code"]) for row in result.history)


class TestAlignment:
    def permuted(self, problem: Problem, order: Tensor) -> Problem:
        new = order.argsort()
        data = Data(
            x=problem.data.x[order],
            edge_index=new[problem.data.edge_index],
            y=problem.data.y[order],
        )
        parts = {name: new[problem.split.part(name)] for name in ("train", "val", "test")}
        return replace(problem, data=data, split=replace(problem.split, **parts), checked=False)

    def seen(self, problem: Problem, teacher: Model) -> tuple[Tensor, Tensor, Tensor]:
        """Features, log-probabilities and soft choice of codes of the nodes, as a student gets
        them from shuffled rows."""
        student: list[CodeStudent] = []
        batches: list[Any] = []

        class Watched(CodeStudent):
            def losses(self, batch: Any, task: Any) -> dict[str, Tensor]:
                student.append(self)
                batches.append(copy.copy(batch))
                return super().losses(batch, task)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("graphkit.distill.vqgraph.CodeStudent", Watched)
            one = replace(ROWS, epochs=1)
            VQGraph(Given(teacher), STUDENT_NET, train=one)(problem)
        x, soft, h = (torch.cat([b[k] for b in batches]) for k in ("x", "soft", "embedding"))
        assert len(x) == 6
        choice = (F.normalize(h, dim=-1) @ student[0].codebook.t() / 0.1).softmax(-1)
        return x, soft, choice

    def test_rows_of_shuffled_batches_are_those_of_their_nodes(self) -> None:
        problem = tiny.node_problem()
        teacher = TEACHER(problem.blind()).model.eval()
        x, soft, choice = self.seen(problem.blind(), teacher)
        node = (x[:, None] == problem.data.x).all(-1).long().argmax(dim=1)
        assert sorted(node.tolist()) == list(range(6))
        assert node.tolist() != list(range(6))
        torch.testing.assert_close(soft, soft_labels(teacher, problem)[node])
        [batch] = problem.batches("all", teacher)
        similar = teacher.quantizer.similarity(teacher.embed(batch)).detach()
        expected = (similar / 0.1).softmax(-1)
        assert float((expected[0] - expected[5]).abs().max()) > 1e-3
        torch.testing.assert_close(choice, expected[node])

    def test_renaming_the_nodes_renames_the_soft_choice(self) -> None:
        problem, order = tiny.node_problem(), torch.tensor([3, 0, 5, 1, 4, 2])
        teacher = TEACHER(problem.blind()).model
        by_node = []
        for given in (problem, self.permuted(problem, order)):
            x, soft, choice = self.seen(given.blind(), teacher)
            place = (given.data.x[:, None] == x).all(-1).long().argmax(dim=1)
            by_node.append((soft[place], choice[place]))
        for before, after in zip(*by_node, strict=True):
            torch.testing.assert_close(after, before[order])


class TestNothingLeaks:
    def with_noise(self, problem: Problem) -> Problem:
        """Hidden nodes with other features, and other edges to and among them."""
        data, hidden = copy.copy(problem.data), problem.split.hidden
        data.x = data.x.clone()
        data.x[hidden] = rows(len(hidden), data.x.shape[1], seed=5) * 100
        edges = data.edge_index
        seen = ~torch.isin(edges, hidden).any(dim=0)
        extra = tiny.both_ways((2, 6), (2, 0), (6, 4), (6, 5))
        data.edge_index = torch.cat([edges[:, seen], extra], dim=1)
        assert seen.any()
        assert not seen.all()
        return replace(problem, data=data, checked=False)

    def test_noise_in_hidden_nodes(self) -> None:
        problem = tiny.production_problem()
        noisy = self.with_noise(problem)
        teachers = [fitted(given, TEACHER) for given in (problem, noisy)]
        assert same(teachers[0].model, teachers[1].model)
        assert torch.equal(*(t.model.quantizer.codebook for t in teachers))
        students = [fitted(given) for given in (problem, noisy)]
        assert same(students[0].model, students[1].model)
        assert same(students[0].last, students[1].last)
        assert students[0].notes == students[1].notes

    def test_noise_in_visible_nodes_is_seen(self) -> None:
        """Else the test above could not fail."""
        problem = tiny.production_problem()
        data = copy.copy(problem.data)
        data.x = data.x.clone()
        data.x[5] += 1  # of the test part
        other = replace(problem, data=data, checked=False)
        assert not same(fitted(problem, TEACHER).model, fitted(other, TEACHER).model)
        assert not same(fitted(problem).last, fitted(other).last)

    @pytest.mark.parametrize("part", ["test", "hidden", "val"])
    def test_answers_outside_training(self, part: str) -> None:
        """Those of ``val`` choose the epoch and nothing else, so the last one is looked at."""
        problem = tiny.production_problem()
        data, items = copy.copy(problem.data), problem.split.part(part)
        data.y = data.y.clone()
        data.y[items] = 1 - data.y[items]
        other = replace(problem, data=data, checked=False)
        recipe = replace(
            METHOD,
            teacher=replace(TEACHER, train=replace(TEACHER.train, keep="last")),
            train=replace(ROWS, keep="last"),
        )
        assert same(fitted(problem, recipe).model, fitted(other, recipe).model)

    def test_answers_of_training_are_seen(self) -> None:
        problem = tiny.production_problem()
        data = copy.copy(problem.data)
        data.y = data.y.clone()
        data.y[0] = 1
        other = replace(problem, data=data, checked=False)
        assert not same(fitted(problem).last, fitted(other).last)


class TestRefuses:
    def test_a_teacher_of_other_classes(self) -> None:
        problem = tiny.node_problem()
        other = TokenizedGNN(replace(problem.dims, out_channels=3), codes=4)
        with pytest.raises(DataError, match="made for other classes"):
            replace(METHOD, teacher=Given(other))(problem.blind())

    def test_a_teacher_without_codes(self) -> None:
        with pytest.raises(SettingError, match="the teacher GCN chooses no codes"):
            replace(METHOD, teacher=Given(GCN(tiny.node_problem().dims)))(tiny.node_problem())

    @pytest.mark.parametrize("problem", [tiny.graph_problem, tiny.nodes_of_graphs_problem])
    def test_a_problem_without_one_class_a_node(self, problem: Any) -> None:
        teacher = TokenizedGNN(problem().dims, codes=4)
        with pytest.raises(SettingError, match="distillation needs one class per node"):
            VQGraph(lambda given: Fitted(teacher, {}, [], teacher), STUDENT_NET)(problem())

    @pytest.mark.parametrize(
        "changed",
        [
            {"code_weight": -1.0},
            {"code_weight": math.inf},
            {"temperature": 0.0},
            {"temperature": math.nan},
            {"hard_weight": 1.5},
        ],
        ids=lambda changed: "-".join(f"{k}-{v}" for k, v in changed.items()),
    )
    def test_settings_out_of_range(self, changed: dict[str, float]) -> None:
        [name] = changed
        with pytest.raises(SettingError, match=name):
            VQGraph(TEACHER, STUDENT_NET, **changed)


def test_a_run_tells_all_settings() -> None:
    record = run(Experiment("vqgraph", lambda seed: tiny.production_problem(), METHOD), 0)
    assert record["status"] == "done", record["error"]
    settings = record["settings"]["recipe"]
    assert (settings["temperature"], settings["code_weight"]) == (0.1, 1.0)
    assert settings["teacher"]["model"]["codes"] == 5
    assert record["notes"]["codes"]["usage"] > 0
    assert record["production"] is not None
    assert record["num_parameters"] == sum(
        p.numel() for p in MLP(tiny.production_problem().dims, hidden_channels=8).parameters()
    )


@pytest.mark.data
def test_cora_in_half_a_minute() -> None:
    """One split, a point below what three splits come to on average."""
    problem = graphkit.load_problem("cora-cpf/random", seed=0)
    teacher = Supervised(
        partial(TokenizedGNN, codes=512),
        TrainConfig(weight_decay=1e-3, stop=Patience(50), keep="latest_best"),
    )
    train = replace(STUDENT, weight_decay=5e-3)
    student = partial(MLP, hidden_channels=128, dropout=0.6)
    told = Given(fitted(problem, teacher).model)
    accuracy = {}
    accuracy["teacher"] = graphkit.evaluate(told.net, problem, "test")["accuracy"]
    classes = fitted(problem, GLNN(told, student, train=train))
    both = fitted(problem, VQGraph(told, student, train=train))
    for name, result in (("classes", classes), ("both", both)):
        accuracy[name] = graphkit.evaluate(result.model, problem, "test")["accuracy"]
    assert accuracy["teacher"] >= 0.74
    assert accuracy["classes"] >= 0.755
    assert abs(accuracy["both"] - accuracy["classes"]) <= 0.03
    assert both.notes["codes"]["usage"] >= 0.15
    assert both.notes["codes"]["entropy"] < 0.95 * both.notes["codes"]["flat_entropy"]
