"""Rules for stopping, on scores made by hand."""

from __future__ import annotations

import pytest

from graphkit.errors import SettingError
from graphkit.train import Patience, PatienceWithTies, Stop, WindowMean


@pytest.mark.parametrize(
    ("scores", "stops"),
    [
        ([1.0], False),
        ([1.0, 0.5], False),
        ([1.0, 0.5, 0.5], True),  # the best is two epochs old
        ([1.0, 0.5, 1.1], False),
        ([0.1, 0.2, 0.3, 0.2], False),
        ([0.1, 0.2, 0.3, 0.2, 0.3], True),  # an equal score is not a better one
        ([-3.0, -2.0, -2.5, -2.4], True),  # losses with their sign turned
    ],
)
def test_patience_counts_epochs_since_the_best(scores: list[float], stops: bool) -> None:
    assert Patience(2)(scores) is stops


def test_patience_waits_for_its_first_look() -> None:
    worse = [1.0, 0.9, 0.8, 0.7, 0.6]
    assert Patience(2, after=3)(worse[:3]) is False
    assert Patience(2, after=3)(worse[:4]) is True


@pytest.mark.parametrize(
    ("scores", "stops"),
    [
        ([1.0, 2.0], False),  # no full window yet
        ([1.0, 2.0, 1.4], True),  # mean 1.5
        ([1.0, 2.0, 1.5], False),
        ([9.0, 1.0, 2.0, 1.6], False),  # the window holds the two before it alone
    ],
)
def test_window_mean_compares_with_the_scores_before(scores: list[float], stops: bool) -> None:
    assert WindowMean(2)(scores) is stops


def test_window_mean_waits_for_its_first_look() -> None:
    assert WindowMean(1, after=3)([3.0, 2.0, 1.0]) is False
    assert WindowMean(1, after=3)([3.0, 2.0, 1.0, 0.0]) is True


def test_both_are_rules() -> None:
    assert isinstance(Patience(1), Stop)
    assert isinstance(WindowMean(1), Stop)


def test_a_score_that_is_no_number_does_not_keep_a_fit_alive() -> None:
    nan = float("nan")
    assert Patience(2)([nan, 0.5, 0.4, 0.3])
    assert not Patience(2)([0.1, nan, nan, 0.2])
    assert Patience(2)([0.1, 0.2, nan, nan])


@pytest.mark.parametrize(
    "make", [lambda: Patience(0), lambda: WindowMean(0), lambda: Patience(3, -1)]
)
def test_a_rule_without_a_window_is_refused(make) -> None:
    with pytest.raises(SettingError, match="expected"):
        make()


def test_a_tie_with_the_best_renews_patience() -> None:
    """Two epochs of patience: the best was reached again one epoch ago."""
    assert Patience(2)([0.5, 0.4, 0.5])
    assert not PatienceWithTies(2)([0.5, 0.4, 0.5])
    assert not PatienceWithTies(2)([0.5, 0.4, 0.5, 0.4])
    assert PatienceWithTies(2)([0.5, 0.4, 0.5, 0.4, 0.4])
    assert not PatienceWithTies(2, after=5)([0.5, 0.4, 0.5, 0.4, 0.4])
