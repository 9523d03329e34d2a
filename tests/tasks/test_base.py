"""What every task promises: unknown answers count nowhere, hidden ones say nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data, TemporalData

from graphkit.tasks import (
    METRICS,
    GraphClassification,
    GraphRegression,
    MultilabelGraphs,
    MultilabelNodes,
    NodeClassification,
    NodesOfGraphs,
    Task,
    TemporalLinkPrediction,
)
from tests import tiny

CLASSES = torch.tensor([0, 1, 1, 0, 2])
LABELS = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
TASKS: dict[str, tuple[Task, Tensor]] = {
    "nodes": (NodeClassification(num_classes=3), CLASSES),
    "graphs": (GraphClassification(num_classes=3), CLASSES),
    "nodes-of-graphs": (NodesOfGraphs(num_classes=3), CLASSES),
    "nodes-of-graphs-plain": (NodesOfGraphs(num_classes=3, balanced=False), CLASSES),
    "labels-of-nodes": (MultilabelNodes(), LABELS),
    "labels-of-graphs": (MultilabelGraphs(), LABELS),
    "numbers": (GraphRegression(), LABELS),
    "squared-numbers": (GraphRegression(measures=("rmse", "mae"), square=True), LABELS),
}


def example(name: str) -> tuple[Task, Tensor, Tensor]:
    """A task, predictions and answers of five items."""
    task, target = TASKS[name]
    torch.manual_seed(4)
    return task, torch.randn(5, 3 if target.dim() == 1 else 2), target


def graph_batch(y: Tensor, seeds: Tensor) -> Data:
    """Four nodes without edges, each a graph of its own."""
    place = torch.arange(4)
    batch = Data(x=torch.zeros(4, 1), edge_index=torch.empty(2, 0).long(), y=y)
    batch.seeds, batch.batch, batch.num_graphs = seeds, place, 4
    return batch


@pytest.mark.parametrize("name", TASKS)
class TestEveryTask:
    def test_hidden_answers_are_not_known(self, name: str) -> None:
        task, _, target = example(name)
        assert bool(task.known(target).all())
        hidden = task.hide(target)
        assert hidden.shape == target.shape
        assert hidden.dtype == target.dtype
        assert not bool(task.known(hidden).any())
        assert bool(task.known(target).all())  # the answers themselves are as they were

    def test_rows_that_are_not_known_count_in_no_loss_and_no_metric(self, name: str) -> None:
        task, answers, target = example(name)
        gone = torch.tensor([False, True, False, False, True])
        masked = torch.where(gone.reshape(-1, *[1] * (target.dim() - 1)), task.hide(target), target)
        torch.testing.assert_close(
            task.compare(answers, masked), task.compare(answers[~gone], target[~gone])
        )
        assert task.metrics(answers, masked) == task.metrics(answers[~gone], target[~gone])
        answers.requires_grad_()
        task.compare(answers, masked).backward()
        assert float(answers.grad[gone].abs().max()) == 0

    def test_nothing_known_is_no_loss_and_no_score(self, name: str) -> None:
        task, answers, target = example(name)
        answers.requires_grad_()
        loss = task.compare(answers, task.hide(target))
        loss.backward()
        assert float(loss.detach()) == 0
        assert float(answers.grad.abs().max()) == 0
        found = task.metrics(answers.detach(), task.hide(target))
        assert set(found) == set(task.measures)
        assert all(math.isnan(value) for value in found.values())

    def test_scores_are_over_the_part_and_not_a_mean_of_batches(self, name: str) -> None:
        task, answers, target = example(name)
        whole = task.scores([(answers, target)])
        cut = task.scores([(answers[:1], target[:1]), (answers[1:], target[1:])])
        assert set(whole) == set(task.higher_is_better)
        for measure in (*task.measures, "loss"):
            assert cut[measure] == pytest.approx(whole[measure])

    def test_no_batch_is_no_score(self, name: str) -> None:
        task, _, _ = example(name)
        assert all(math.isnan(value) for value in task.scores([]).values())


def test_losses_are_torchs() -> None:
    for name, expected in (
        ("nodes", lambda a, y: F.cross_entropy(a, y)),
        ("nodes-of-graphs-plain", lambda a, y: F.cross_entropy(a, y)),
        ("labels-of-nodes", F.binary_cross_entropy_with_logits),
        ("labels-of-graphs", F.binary_cross_entropy_with_logits),
        ("numbers", F.l1_loss),
        ("squared-numbers", F.mse_loss),
    ):
        task, answers, target = example(name)
        torch.testing.assert_close(task.compare(answers, target), expected(answers, target))


def test_what_is_asked_for_is_selected() -> None:
    """Seeds of a node batch; every graph; every node of every graph; seeds of a stream."""
    prediction, y = torch.arange(8.0).reshape(4, 2), torch.tensor([0, 1, 0, 1])
    batch = graph_batch(y, seeds=torch.tensor([2, 0]))
    rows, target = NodeClassification().select(prediction, batch)
    assert rows.tolist() == [[4, 5], [0, 1]]
    assert target.tolist() == [0, 0]
    for task in (GraphClassification(), NodesOfGraphs()):
        rows, target = task.select(prediction, batch)
        assert torch.equal(rows, prediction)
        assert torch.equal(target, y)
    place = torch.arange(4)
    events = TemporalData(src=place, dst=place, t=place)
    events.negatives, events.seeds, events.history = place[:, None], batch.seeds, events
    rows, target = TemporalLinkPrediction().select(prediction, events)
    assert rows.tolist() == [[4, 5], [0, 1]]
    assert target.tolist() == [0, 0]  # the column of the true destination


@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 4)])
def test_numbers_of_graphs_take_the_shape_of_the_prediction(shape: tuple[int, ...]) -> None:
    batch = graph_batch(torch.arange(4.0).reshape(shape), seeds=torch.arange(4))
    _, target = GraphRegression().select(torch.zeros(4, 1), batch)
    assert target.tolist() == [[0], [1], [2], [3]]


def test_one_unknown_label_leaves_the_others_of_its_row() -> None:
    task, answers, target = example("labels-of-nodes")
    holed = target.clone()
    holed[0, 1] = float("nan")
    expected = F.binary_cross_entropy_with_logits(answers, target, reduction="none")
    torch.testing.assert_close(task.compare(answers, holed), (expected.sum() - expected[0, 1]) / 9)
    assert bool(task.known(holed).all())


def test_mean_of_unequal_batches_is_the_papers_error() -> None:
    """Errors 1, 1, 1 and 5: 2 over the part, 3 as a mean over a batch of three and one of one."""
    task = replace(GraphRegression(), batch_means=("mae",))
    batches = [
        (torch.ones(3, 1), torch.zeros(3, 1)),
        (torch.full((1, 1), 5.0), torch.zeros(1, 1)),
    ]
    scores = task.scores(batches)
    assert scores["mae"] == pytest.approx(2)
    assert scores["mae_batch_mean"] == pytest.approx(3)
    assert not task.higher_is_better["mae_batch_mean"]


def test_published_balanced_accuracy_counts_a_class_that_is_said_and_absent() -> None:
    """Batch 1: both classes right: 1. Batch 2: class 0 alone, half said to be 1: (1/2 + 0) / 2.
    Mean 5/8. Over the part: class 0 has 3 of 4 right, class 1 one of one: 7/8."""
    task, right = NodesOfGraphs(num_classes=2), torch.eye(2)
    first = (right[[0, 0, 1]], torch.tensor([0, 0, 1]))
    second = (right[[0, 1]], torch.tensor([0, 0]))
    scores = task.scores([first, second])
    assert scores["balanced_accuracy"] == pytest.approx(7 / 8)
    assert scores["balanced_accuracy_batch_mean"] == pytest.approx(5 / 8)


def test_unknown_classes_count_in_no_batch_mean() -> None:
    task, right = NodesOfGraphs(num_classes=2), torch.eye(2)
    known = (right[[0, 1]], torch.tensor([0, 0]))
    holed = (right[[0, 1, 1]], torch.tensor([0, 0, -1]))
    nothing = (right[[0]], torch.tensor([-1]))
    assert task.scores([holed, nothing]) == task.scores([known])


def test_directions_and_what_is_watched() -> None:
    assert NodeClassification().monitor == "accuracy"
    assert GraphRegression().monitor == "mae"
    assert {name for name, kind in METRICS.items() if not kind.higher} == {"mae", "rmse"}
    for task, _ in TASKS.values():
        assert task.higher_is_better["loss"] is False
        assert set(task.measures) < set(task.higher_is_better)


def test_tiny_problems_are_scored_by_their_task() -> None:
    """The problems other tests start from: parts are told apart and every answer is known."""
    for make in (
        tiny.node_problem, tiny.node_problem_bare, tiny.node_problem_symbols,
        tiny.production_problem, tiny.graph_problem, tiny.graph_problem_bare,
        tiny.graph_problem_edges, tiny.graph_problem_symbols, tiny.nodes_of_graphs_problem,
        tiny.stream_problem,
    ):  # fmt: skip
        problem = make()
        parts = [problem.items(part) for part in ("train", "val", "test", "hidden")]
        assert torch.cat(parts).unique().tolist() == list(range(problem.num_items))
        if problem.answers is not None:
            assert bool(problem.task.known(problem.answers).all())
            blind = problem.blind()
            assert len(blind.split.test) == 0
            assert len(blind.split.hidden) == 0
    hidden = tiny.production_problem().blind()
    assert hidden.num_items == 6
    assert hidden.data.edge_index.shape == (2, 8)  # four of eight links end at a hidden node
