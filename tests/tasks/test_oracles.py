"""Scores against the Evaluator of OGB and scikit-learn, on drawn cases with ties and gaps."""

from __future__ import annotations

import importlib
import math
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import Tensor

from graphkit.tasks import METRICS, MultilabelGraphs

CASES = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 10**6)


def _evaluator(family: str, name: str) -> Any:
    """OGB's own; its look for a newer version in the network is switched off while importing."""
    pytest.importorskip("pandas")
    before = sys.modules.get("outdated")
    sys.modules["outdated"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(f"ogb.{family}")
    except ImportError:
        pytest.skip('needs the extra: pip install "graphkit[ogb]"')
    finally:
        if before is None:
            del sys.modules["outdated"]
        else:
            sys.modules["outdated"] = before
    return module.Evaluator(name=name)


@pytest.fixture(scope="module")
def mrr() -> Any:
    return _evaluator("linkproppred", "ogbl-citation2")


@pytest.fixture(scope="module")
def tox21() -> Any:
    return _evaluator("graphproppred", "ogbg-moltox21")  # ROC AUC over 12 columns


@pytest.fixture(scope="module")
def pcba() -> Any:
    return _evaluator("graphproppred", "ogbg-molpcba")  # average precision over 128 columns


@pytest.fixture(scope="module")
def esol() -> Any:
    return _evaluator("graphproppred", "ogbg-molesol")  # root of the mean squared error


@pytest.fixture(scope="module")
def arxiv() -> Any:
    return _evaluator("nodeproppred", "ogbn-arxiv")  # accuracy


def drawn_labels(rows: int, columns: int, seed: int, gaps: float) -> tuple[Tensor, Tensor]:
    """Scores on a grid (so that they tie) and labels, a share of them not known."""
    draw = torch.Generator().manual_seed(seed)
    answers = torch.randint(-3, 4, (rows, columns), generator=draw).float() / 2
    target = torch.randint(0, 2, (rows, columns), generator=draw).float()
    target[torch.rand(rows, columns, generator=draw) < gaps] = float("nan")
    return answers, target


def has_both(target: Tensor) -> bool:
    """Whether a column holds both classes, without which OGB raises."""
    return bool(((target == 0).any(dim=0) & (target == 1).any(dim=0)).any())


@CASES
@given(st.integers(1, 40), SEEDS, st.sampled_from([0.0, 0.3, 0.9]))
def test_area_over_columns_is_ogbs(tox21: Any, rows: int, seed: int, gaps: float) -> None:
    answers, target = drawn_labels(rows, 12, seed, gaps)
    found = METRICS["roc_auc"](answers, target)
    if has_both(target):
        expected = tox21.eval({"y_true": target.numpy(), "y_pred": answers.numpy()})["rocauc"]
        assert found == pytest.approx(expected)
    else:
        assert math.isnan(found)


@CASES
@given(st.integers(1, 40), SEEDS, st.sampled_from([0.0, 0.3, 0.9]))
def test_precision_over_columns_is_ogbs(pcba: Any, rows: int, seed: int, gaps: float) -> None:
    answers, target = drawn_labels(rows, 128, seed, gaps)
    target[:, 6:] = float("nan")  # OGB insists on 128 columns; most of them empty is quicker
    found = METRICS["average_precision"](answers, target)
    if has_both(target):
        expected = pcba.eval({"y_true": target.numpy(), "y_pred": answers.numpy()})["ap"]
        assert found == pytest.approx(expected)
    else:
        assert math.isnan(found)


@CASES
@given(st.integers(1, 20), st.integers(1, 30), SEEDS)
def test_reciprocal_rank_is_ogbs(mrr: Any, events: int, draws: int, seed: int) -> None:
    """OGB 1.3.6 takes the middle of the best and the worst rank, so ties count half as here."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 5, (events, 1 + draws), generator=draw).float()
    expected = mrr.eval({"y_pred_pos": scores[:, 0], "y_pred_neg": scores[:, 1:]})["mrr_list"]
    nothing = torch.zeros(events, dtype=torch.long)
    assert METRICS["mrr"](scores, nothing) == pytest.approx(expected.double().mean().item())


@CASES
@given(st.integers(1, 30), SEEDS)
def test_errors_are_those_of_ogb_and_scikit_learn(esol: Any, rows: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    answers, target = (torch.randn(rows, 1, generator=draw) for _ in range(2))
    expected = esol.eval({"y_true": target.numpy(), "y_pred": answers.numpy()})["rmse"]
    assert METRICS["rmse"](answers, target) == pytest.approx(expected, rel=1e-5)
    assert METRICS["mae"](answers, target) == pytest.approx(
        sk.mean_absolute_error(target, answers), rel=1e-5
    )
    many = torch.randn(rows, 3, generator=draw)
    other = torch.randn(rows, 3, generator=draw)
    assert METRICS["mae"](many, other) == pytest.approx(
        sk.mean_absolute_error(other, many), rel=1e-5
    )


@CASES
@given(st.integers(1, 40), SEEDS)
def test_accuracy_is_ogbs(arxiv: Any, rows: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    answers = torch.randn(rows, 7, generator=draw)
    target = torch.randint(7, (rows,), generator=draw)
    said = answers.argmax(dim=1, keepdim=True)
    expected = arxiv.eval({"y_true": target[:, None], "y_pred": said})["acc"]
    assert METRICS["accuracy"](answers, target) == pytest.approx(expected)


@CASES
@given(st.integers(1, 30), st.integers(1, 5), SEEDS, st.sampled_from([0.0, 0.4]))
def test_f1_over_all_labels_is_scikit_learns(
    rows: int, columns: int, seed: int, gaps: float
) -> None:
    answers, target = drawn_labels(rows, columns, seed, gaps)
    known = ~torch.isnan(target)
    expected = sk.f1_score(
        target[known].numpy(), (answers > 0)[known].numpy(), average="binary", zero_division=0
    ) if bool(known.any()) else None  # fmt: skip
    if expected is not None:
        assert METRICS["micro_f1"](answers, target) == pytest.approx(expected)


@CASES
@given(st.integers(1, 40), SEEDS, st.booleans())
def test_f1_of_one_class_is_scikit_learns(rows: int, seed: int, one_column: bool) -> None:
    """One column is a logit for class 1; a zero says class 0."""
    draw = torch.Generator().manual_seed(seed)
    answers = torch.randint(-2, 3, (rows, 1 if one_column else 2), generator=draw).float()
    target = torch.randint(0, 2, (rows,), generator=draw)
    said = (answers[:, 0] > 0) if one_column else (answers[:, 1] > answers[:, 0])
    expected = sk.f1_score(target.numpy(), said.numpy(), zero_division=0)
    assert METRICS["f1"](answers, target) == pytest.approx(expected)
    assert METRICS["accuracy"](answers, target) == pytest.approx(
        sk.accuracy_score(target.numpy(), said.numpy())
    )


@CASES
@given(st.integers(1, 40), st.integers(2, 6), SEEDS)
def test_balanced_accuracy_of_a_batch_is_the_published_codes(
    rows: int, classes: int, seed: int
) -> None:
    """The rule of the benchmark's own code: over the classes of the confusion matrix."""
    draw = torch.Generator().manual_seed(seed)
    answers = torch.randn(rows, classes, generator=draw)
    target = torch.randint(classes, (rows,), generator=draw)
    true, said = target.numpy(), answers.argmax(dim=1).numpy()
    labels = np.union1d(true, said)
    matrix = np.array([[((true == a) & (said == b)).sum() for b in labels] for a in labels])
    size = matrix.sum(axis=1)
    recall = np.divide(matrix.diagonal(), size, out=np.zeros(len(labels)), where=size > 0)
    metric = METRICS["balanced_accuracy"]
    assert metric.of_batch(answers, target) == pytest.approx(recall.mean())
    assert metric(answers, target) == pytest.approx(recall[size > 0].mean())


def test_a_column_without_any_known_label_is_left_out() -> None:
    answers, target = drawn_labels(8, 3, 0, 0.0)
    target[:, 1] = float("nan")
    task = MultilabelGraphs(measures=("roc_auc", "average_precision"))
    kept = [0, 2]
    assert task.metrics(answers, target) == task.metrics(answers[:, kept], target[:, kept])
