"""Scores against scikit-learn, brute force and closed forms; unknown and undefined ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from graphkit.errors import DataError, UnknownName
from graphkit.tasks import (
    METRICS,
    GraphRegression,
    MultilabelGraphs,
    MultilabelNodes,
    NodeClassification,
    NodesOfGraphs,
    TemporalLinkPrediction,
    metric,
)
from graphkit.tasks.ranking import ranks

CASES = settings(max_examples=80, deadline=None)


@CASES
@given(st.integers(2, 5), st.integers(1, 40), st.integers(0, 10**6))
def test_classes_against_scikit_learn(classes: int, rows: int, seed: int) -> None:
    torch.manual_seed(seed)
    answers, target = torch.randn(rows, classes), torch.randint(0, classes, (rows,))
    said = answers.argmax(1).numpy()
    assert METRICS["accuracy"](answers, target) == pytest.approx(sk.accuracy_score(target, said))
    expected = sk.recall_score(
        target, said, average="macro", labels=np.unique(target.numpy()), zero_division=0
    )
    assert METRICS["balanced_accuracy"](answers, target) == pytest.approx(expected)
    expected = sk.f1_score(
        target, said, average="macro", labels=np.arange(classes), zero_division=0
    )
    assert METRICS["macro_f1"](answers, target) == pytest.approx(expected)


@CASES
@given(st.integers(1, 30), st.integers(0, 10**6), st.booleans())
def test_areas_with_ties_against_scikit_learn(rows: int, seed: int, ties: bool) -> None:
    torch.manual_seed(seed)
    answers = torch.randn(rows, 2).round() if ties else torch.randn(rows, 2)
    target = torch.randint(0, 2, (rows,))
    score = (answers[:, 1] - answers[:, 0]).numpy()
    if 0 < target.sum() < rows:
        assert METRICS["roc_auc"](answers, target) == pytest.approx(sk.roc_auc_score(target, score))
        assert METRICS["average_precision"](answers, target) == pytest.approx(
            sk.average_precision_score(target, score)
        )
    else:
        assert math.isnan(METRICS["roc_auc"](answers, target))  # one class alone: not defined


@CASES
@given(st.integers(1, 12), st.integers(0, 8), st.integers(0, 10**6))
def test_ranks_against_brute_force(events: int, draws: int, seed: int) -> None:
    torch.manual_seed(seed)
    scores = torch.randint(0, 4, (events, draws + 1)).float()
    expected = [
        1 + sum(s > row[0] for s in row[1:]) + sum(s == row[0] for s in row[1:]) / 2
        for row in scores.tolist()
    ]
    assert ranks(scores).tolist() == expected
    reciprocal = sum(1 / rank for rank in expected) / events
    assert METRICS["mrr"](scores, torch.zeros(events).long()) == pytest.approx(reciprocal)
    hits = sum(rank <= 10 for rank in expected) / events
    assert METRICS["hits@10"](scores, torch.zeros(events).long()) == pytest.approx(hits)


def test_constant_scores_rank_in_the_middle_and_absent_candidates_do_not_count() -> None:
    assert ranks(torch.zeros(1, 21)).item() == 11
    assert ranks(torch.tensor([[1.0, -math.inf, 2.0]])).item() == 2
    assert ranks(torch.tensor([[-math.inf, -math.inf]])).item() == 1


def test_pairs_of_true_and_first_drawn() -> None:
    scores = torch.tensor([[3.0, 1.0, 9.0], [2.0, 2.5, 9.0]])
    target = torch.zeros(2).long()
    assert METRICS["pair_roc_auc"](scores, target) == pytest.approx(0.75)  # 3>1, 3>2.5, 2>1, 2<2.5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_prediction_that_is_no_number_is_an_error(value: float) -> None:
    answers = torch.zeros(4, 2)
    answers[2, 1] = value
    with pytest.raises(DataError, match="row 2"):
        METRICS["accuracy"](answers, torch.zeros(4).long())


def test_an_unknown_metric_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        metric("acuracy")
    with pytest.raises(UnknownName):
        NodeClassification(measures=("nothing",))


def test_mean_of_batches_and_whole_split_differ_and_both_are_exact() -> None:
    """Batch 1: class 0 right, class 1 wrong: 1/2. Batch 2: class 0 alone, wrong: 0. Mean 1/4.
    Whole split: class 0 has 1 of 4 right, class 1 none: 1/8."""
    task = NodesOfGraphs(num_classes=2)
    right, wrong = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    first = (torch.stack([right, right]), torch.tensor([0, 1]))
    second = (torch.stack([wrong, wrong, wrong]), torch.tensor([0, 0, 0]))
    scores = task.scores([first, second])
    assert scores["balanced_accuracy"] == pytest.approx(1 / 8)
    assert scores["balanced_accuracy_batch_mean"] == pytest.approx(1 / 4)


def test_unknown_answers_count_in_no_loss_and_no_metric() -> None:
    answers = torch.tensor([[2.0, 0.0], [0.0, 5.0], [9.0, 0.0]])
    task = NodeClassification(num_classes=2)
    target = torch.tensor([0, -1, 1])
    assert task.metrics(answers, target) == {"accuracy": 0.5}
    known = torch.tensor([0, 2])
    expected = torch.nn.functional.cross_entropy(answers[known], target[known])
    torch.testing.assert_close(task.compare(answers, target), expected)
    assert float(task.compare(answers, torch.full((3,), -1))) == 0
    assert math.isnan(task.metrics(answers, torch.full((3,), -1))["accuracy"])


@pytest.mark.parametrize("task", [MultilabelNodes(), MultilabelGraphs(), GraphRegression()])
def test_unknown_numbers_are_left_out(task: MultilabelNodes | MultilabelGraphs) -> None:
    answers = torch.randn(6, 3)
    target = torch.randint(0, 2, (6, 3)).float()
    holes = target.clone()
    holes[0, 1] = holes[3] = float("nan")
    changed = answers.clone()
    changed[0, 1] += 100
    changed[3] -= 100
    torch.testing.assert_close(task.compare(answers, holes), task.compare(changed, holes))
    assert task.metrics(answers, holes) == task.metrics(changed, holes)
    assert not bool(task.known(task.hide(target)).any())


def test_weights_of_classes_are_those_of_the_batch() -> None:
    """Three nodes of class 0, one of class 1, none of class 2: weights 1/4, 3/4 and 0."""
    task, target = NodesOfGraphs(num_classes=3), torch.tensor([0, 0, 0, 1])
    answers = torch.randn(4, 3)
    weight = torch.tensor([0.25, 0.75, 0.0])
    expected = torch.nn.functional.cross_entropy(answers, target, weight=weight)
    torch.testing.assert_close(task.compare(answers, target), expected)
    assert float(task.compare(answers, torch.zeros(4).long())) == 0


def test_errors_and_their_direction() -> None:
    answers, target = torch.tensor([[1.0], [4.0]]), torch.tensor([[2.0], [2.0]])
    assert METRICS["mae"](answers, target) == pytest.approx(1.5)
    assert METRICS["rmse"](answers, target) == pytest.approx(math.sqrt(2.5))
    assert GraphRegression().higher_is_better == {"loss": False, "mae": False}
    assert TemporalLinkPrediction().higher_is_better["mrr"]


def test_loss_of_a_stream_weighs_true_and_drawn_alike() -> None:
    task, scores = TemporalLinkPrediction(), torch.zeros(3, 5)
    target = torch.zeros(3).long()
    assert float(task.compare(scores, target)) == pytest.approx(math.log(2))
    assert float(task.compare(scores[:, :1], target)) == pytest.approx(math.log(2))
