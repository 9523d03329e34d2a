from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from scipy import stats

from graphkit.bench.statistics import (
    compare_all,
    critical_difference,
    holm,
    paired_test,
    summarise,
)
from graphkit.errors import DataError


def test_deviation_is_that_of_the_standard_library() -> None:
    draw = random.Random(0)
    for n in range(2, 30):
        values = [draw.gauss(0.8, 0.01) for _ in range(n)]
        assert summarise(values).std == statistics.stdev(values)


def test_interval_by_hand() -> None:
    """1, 2, 3: deviation 1, standard error 1 / sqrt 3, t with 2 degrees of freedom 4.302653."""
    found = summarise([1.0, 2.0, 3.0])
    assert (found.n, found.mean, found.std, found.min, found.max) == (3, 2.0, 1.0, 1.0, 3.0)
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)


def test_interval_is_that_of_scipy() -> None:
    values = [0.81, 0.79, 0.83, 0.80, 0.82, 0.84]
    found = summarise(values)
    low, high = stats.t.interval(0.95, 5, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_one_value_has_no_deviation() -> None:
    found = summarise([0.5])
    assert (found.n, found.mean, found.min, found.max) == (1, 0.5, 0.5, 0.5)
    assert found.std is found.standard_error is found.low is found.high is None


def test_equal_values_deviate_by_exactly_nothing() -> None:
    found = summarise([0.1] * 3)
    assert (found.mean, found.std, found.low, found.high) == (0.1, 0.0, 0.1, 0.1)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_no_number_is_an_error(values: list[float]) -> None:
    with pytest.raises(DataError, match="expected"):
        summarise(values)


def test_holm_by_hand() -> None:
    """Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04; never falling: .02 .03 .06 .06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6, 0.4]) == [1.0, 1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_holm_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    draw = random.Random(1)
    for n in range(1, 20):
        values = [draw.choice([0.001, 0.01, 0.04, draw.random()]) for _ in range(n)]
        assert holm(values) == pytest.approx(multitest.multipletests(values, method="holm")[1])


def test_five_seeds_can_never_be_significant_and_six_can() -> None:
    """All of n differences on one side: two of 2 ** n sign patterns."""
    left = {seed: 1.0 + seed / 100 for seed in range(10)}
    five = paired_test(left, dict.fromkeys(range(5), 0.5))
    assert (five.n, five.p, five.smallest_p, five.too_few) == (5, 0.0625, 0.0625, True)
    six = paired_test(left, dict.fromkeys(range(6), 0.5))
    assert (six.n, six.p, six.too_few) == (6, 0.03125, False)


def test_only_shared_seeds_are_compared() -> None:
    found = paired_test({0: 1.0, 1: 2.0, 7: 100.0}, {0: 0.5, 1: 1.0, 8: -100.0})
    assert found.n == 2
    assert found.difference is not None
    assert found.difference.mean == 0.75


def test_without_a_shared_seed_there_is_no_test() -> None:
    none = paired_test({0: 1.0}, {1: 1.0})
    assert (none.n, none.difference, none.p, none.too_few) == (0, None, None, True)
    one = paired_test({0: 1.0}, {0: 0.5})
    assert (one.n, one.p, one.too_few) == (1, None, True)


def test_effect_is_mean_over_deviation_of_the_differences() -> None:
    found = paired_test({0: 3.0, 1: 4.0, 2: 5.0}, {0: 2.0, 1: 2.0, 2: 2.0})  # 1, 2, 3
    assert found.effect == 2.0


def test_last_bit_makes_no_rank() -> None:
    """All differences are one hundredth, up to rounding: whichever is negative, the p is one."""
    scores = dict(enumerate([0.03, 0.07, 0.15, 0.29, 0.41, 0.57, 0.83]))
    assert len({score - (score - 0.01) for score in scores.values()}) > 1
    found = set()
    for negative in scores:
        other = {s: score + (0.01 if s == negative else -0.01) for s, score in scores.items()}
        found.add(paired_test(scores, other).p)
    assert len(found) == 1


def test_equal_scores() -> None:
    found = paired_test({0: 0.1, 1: 0.2, 2: 0.3}, {0: 0.1, 1: 0.2, 2: 0.3})
    assert found.equal
    assert (found.p, found.effect, found.significant) == (1.0, None, False)


def test_pairs_with_too_few_seeds_take_no_power_from_the_others() -> None:
    """a, b on six seeds: p .03125. With c on two seeds only, the family is still one test."""
    scores = {
        "a": {seed: 1.0 + seed / 10 for seed in range(6)},
        "b": dict.fromkeys(range(6), 0.5),
        "c": {0: 0.1, 1: 0.2},
    }
    found = compare_all(scores)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found["a", "b"].p_holm == 0.03125
    assert found["a", "b"].significant
    assert found["a", "c"].p_holm is None
    assert not found["a", "c"].significant


def test_family_is_corrected() -> None:
    seeds = range(6)
    scores = {
        name: {s: level + s / 100 for s in seeds}
        for name, level in zip("abc", (3, 2, 1), strict=True)
    }
    scores["a"][5] = 0.0
    found = compare_all(scores)
    plain = [test.p for test in found.values()]
    assert [test.p_holm for test in found.values()] == holm([p for p in plain if p is not None])


def test_critical_difference_of_the_paper() -> None:
    """Demsar 2006, section 3.2.2: q is 2.569 for 4 models, 14 data sets give 1.25."""
    scores = np.random.default_rng(0).random((14, 4))
    found = critical_difference("abcd", [str(i) for i in range(14)], scores)
    assert found.difference == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=1e-3)
    assert sum(found.ranks) == pytest.approx(10)


def test_ranks_by_hand() -> None:
    """Four problems in one order: Friedman 12 * 4 / 12 * (1 + 4 + 9 - 12) = 8, p is exp(-4)."""
    scores = np.array([[0.1, 0.3, 0.2]] * 4)
    found = critical_difference(["x", "y", "z"], list("1234"), scores)
    assert found.models == ("y", "z", "x")
    assert found.ranks == (1.0, 2.0, 3.0)
    assert found.statistic == pytest.approx(8.0)
    assert found.p == pytest.approx(math.exp(-4))
    # 2.3437 * sqrt(12 / 24) = 1.657: neighbours are joined, first and last are not
    assert found.difference == pytest.approx(1.657, abs=1e-3)
    assert found.groups == ((0, 1), (1, 2))


def test_ties_share_their_rank() -> None:
    found = critical_difference(list("abc"), list("12"), np.array([[1.0, 1.0, 0.0]] * 2))
    assert found.ranks == (1.5, 1.5, 3.0)


def test_all_tied_is_no_difference() -> None:
    found = critical_difference(list("abc"), list("12"), np.ones((2, 3)))
    assert (found.p, found.ranks, found.groups) == (1.0, (2.0, 2.0, 2.0), ((0, 2),))


def test_groups_agree_with_pairwise_nemenyi() -> None:
    posthocs = pytest.importorskip("scikit_posthocs")
    draw = np.random.default_rng(3)
    scores = draw.normal(size=(12, 6)) + np.linspace(0, 3, 6)
    models = list("abcdef")
    found = critical_difference(models, [str(i) for i in range(12)], scores)
    p = posthocs.posthoc_nemenyi_friedman(scores)
    told_apart = 0
    for i, first in enumerate(found.models):
        for j in range(i + 1, 6):
            apart = found.ranks[j] - found.ranks[i] >= found.difference
            assert apart == (p.iloc[models.index(first), models.index(found.models[j])] < 0.05)
            assert apart != any(low <= i and j <= high for low, high in found.groups)
            told_apart += apart
    assert 0 < told_apart < 15


@pytest.mark.parametrize(
    ("models", "problems", "shape"),
    [("ab", "12", (2, 2)), ("abc", "1", (1, 3)), ("abc", "12", (3, 2))],
)
def test_too_little_to_rank(models: str, problems: str, shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="at least 3 models, 2 problems"):
        critical_difference(list(models), list(problems), np.zeros(shape))
