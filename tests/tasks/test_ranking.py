"""Ranks: ties count half, absent candidates do not count, what is no number is refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.errors import DataError
from graphkit.tasks import METRICS, TemporalLinkPrediction
from graphkit.tasks.ranking import hits_at, mean_reciprocal_rank, ranks

NOTHING = -math.inf
CASES = settings(max_examples=60, deadline=None)


def slow_rank(row: list[float]) -> float:
    """One candidate at a time."""
    rank = 1.0
    for score in row[1:]:
        if score == NOTHING:
            continue
        rank += 1.0 if score > row[0] else 0.5 if score == row[0] else 0.0
    return rank


@CASES
@given(
    st.lists(
        st.lists(st.sampled_from([NOTHING, -1.0, 0.0, 0.5, 2.0]), min_size=6, max_size=6),
        min_size=1,
        max_size=8,
    )
)
def test_ranks_with_absent_candidates_equal_a_slow_loop(rows: list[list[float]]) -> None:
    expected = [slow_rank(row) for row in rows]
    scores = torch.tensor(rows)
    assert ranks(scores).tolist() == expected
    assert mean_reciprocal_rank(scores) == pytest.approx(sum(1 / r for r in expected) / len(rows))
    for k in (1, 3):
        assert hits_at(scores, k) == pytest.approx(sum(r <= k for r in expected) / len(rows))


def test_by_hand() -> None:
    """Two above: rank 3. One above, one level: rank 2.5. A constant row of 4: rank 2.5."""
    scores = torch.tensor([[1.0, 2.0, 3.0, 0.0], [1.0, 2.0, 1.0, 0.0], [7.0, 7.0, 7.0, 7.0]])
    assert ranks(scores).tolist() == [3.0, 2.5, 2.5]
    assert mean_reciprocal_rank(scores) == pytest.approx((1 / 3 + 2 / 2.5) / 3)
    assert hits_at(scores, 2) == 0
    assert hits_at(scores, 3) == 1


@pytest.mark.parametrize("place", [(0, 0), (1, 2)])
def test_a_score_that_is_no_number_is_an_error_everywhere(place: tuple[int, int]) -> None:
    """A comparison with NaN is false, so that a NaN would rank first."""
    scores = torch.zeros(2, 4)
    scores[place] = float("nan")
    for function in (ranks, mean_reciprocal_rank, lambda s: hits_at(s, 1)):
        with pytest.raises(DataError, match=f"row {place[0]}"):
            function(scores)
    with pytest.raises(DataError, match=f"row {place[0]}"):
        METRICS["mrr"](scores, torch.zeros(2).long())


def test_an_infinite_score_is_an_error_and_an_absent_candidate_is_not() -> None:
    scores, nothing = torch.tensor([[1.0, math.inf]]), torch.zeros(1).long()
    with pytest.raises(DataError, match="row 0"):
        METRICS["mrr"](scores, nothing)
    assert METRICS["mrr"](torch.tensor([[1.0, NOTHING, 2.0]]), nothing) == 0.5


def test_every_measure_of_a_stream_stands_absent_candidates() -> None:
    """Pairs: 3 and 1 against 2, for event 1 has no drawn candidate: one of two pairs is right."""
    scores = torch.tensor([[3.0, 2.0, 1.0], [1.0, NOTHING, 0.0]])
    found = TemporalLinkPrediction().metrics(scores, torch.zeros(2).long())
    assert found["mrr"] == 1
    assert found["pair_roc_auc"] == pytest.approx(0.5)
    assert all(math.isfinite(value) for value in found.values())


def test_pairs_are_not_defined_where_nothing_was_drawn() -> None:
    found = TemporalLinkPrediction().metrics(torch.ones(3, 1), torch.zeros(3).long())
    assert found["mrr"] == 1
    assert math.isnan(found["pair_roc_auc"])
    assert math.isnan(found["pair_average_precision"])
