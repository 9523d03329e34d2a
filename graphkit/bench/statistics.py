"""Intervals, paired tests and average ranks for scores measured over seeds.

Test statistics and p-values are scipy's. ``scipy.stats`` costs a second to import, so it is
reached inside the functions that test: a leaderboard without tests does not pay for it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev

import numpy as np
from scipy.special import stdtrit

from graphkit.errors import DataError

__all__ = [
    "ALPHA",
    "CriticalDifference",
    "PairedTest",
    "Summary",
    "compare_all",
    "critical_difference",
    "holm",
    "paired_test",
    "summarise",
]

ALPHA = 0.05  # level of all tests; intervals cover 1 - ALPHA


@dataclass(frozen=True)
class Summary:
    """A sample in numbers; what one value alone cannot tell is ``None``.

    Args:
        n: Number of values.
        mean: Arithmetic mean.
        std: Standard deviation of the sample, with n - 1.
        min: Smallest value.
        max: Largest value.
        standard_error: ``std / sqrt(n)``.
        low: Lower end of the 95 % t interval of the mean.
        high: Upper end of it.
    """

    n: int
    mean: float
    std: float | None
    min: float
    max: float
    standard_error: float | None
    low: float | None
    high: float | None


def summarise(values: Iterable[float]) -> Summary:
    """Returns mean, deviation (n - 1), range and 95 % t interval of a sample.

    Args:
        values: Finite numbers, at least one.

    Raises:
        DataError: There is no value, or one is not finite.
    """
    sample = [float(value) for value in values]
    if not sample:
        raise DataError("nothing to summarise: the sample has no values, expected at least one.")
    for position, value in enumerate(sample):
        if not math.isfinite(value):
            raise DataError(f"value {position} of the sample is {value}, expected a finite number.")
    n, centre = len(sample), mean(sample)
    if n == 1:
        return Summary(1, centre, None, centre, centre, None, None, None)
    std = stdev(sample)  # exact fractions: equal values give 0, not 1e-17
    error = std / math.sqrt(n)
    reach = float(stdtrit(n - 1, 1 - ALPHA / 2)) * error
    return Summary(n, centre, std, min(sample), max(sample), error, centre - reach, centre + reach)


@dataclass(frozen=True)
class PairedTest:
    """Two models on the seeds that both have.

    Args:
        n: Number of shared seeds.
        difference: Summary of left minus right over them; ``None`` without a shared seed.
        effect: Mean of the differences over their deviation (Cohen's d for pairs); ``None``
            where that is not defined.
        p: Two-sided p-value of Wilcoxon's signed-rank test; ``None`` below two seeds.
        smallest_p: What ``p`` would be if every seed that differs spoke for one side: no
            result with this many seeds can be smaller.
        p_holm: ``p`` after Holm's correction over the family; ``None`` before it, and where
            there are too few seeds to be in the family.
    """

    n: int
    difference: Summary | None
    effect: float | None
    p: float | None
    smallest_p: float | None
    p_holm: float | None = None

    @property
    def too_few(self) -> bool:
        """No outcome with this many seeds could be significant, not even before Holm."""
        return self.smallest_p is None or self.smallest_p > ALPHA

    @property
    def equal(self) -> bool:
        """All shared seeds have the same score on both sides."""
        return self.p == 1.0 and self.smallest_p == 1.0

    @property
    def significant(self) -> bool:
        """The corrected p-value is below 0.05."""
        return self.p_holm is not None and self.p_holm < ALPHA


def paired_test(left: Mapping[int, float], right: Mapping[int, float]) -> PairedTest:
    """Compares two models over the seeds they share.

    Args:
        left: Score by seed of one model.
        right: Score by seed of the other.

    Source: Wilcoxon, "Individual Comparisons by Ranking Methods", 1945, by
        ``scipy.stats.wilcoxon``: exact for up to 13 seeds, and up to 50 without ties. Seeds
        without a difference are left out of the ranks.
    """
    shared = sorted(left.keys() & right.keys())
    if not shared:
        return PairedTest(0, None, None, None, None)
    difference = summarise([left[seed] - right[seed] for seed in shared])
    if difference.std is None:
        return PairedTest(1, difference, None, None, None)
    from scipy.stats import wilcoxon

    gaps = np.array([left[seed] - right[seed] for seed in shared])
    size = max(abs(model[seed]) for model in (left, right) for seed in shared)
    # 0.83 - 0.82 and 0.84 - 0.83 differ in the last bit, yet they are a tie
    gaps = np.round(gaps / (size or 1.0), 12)
    gaps = gaps[gaps != 0]
    if len(gaps) == 0:
        return PairedTest(len(shared), difference, None, 1.0, 1.0)
    return PairedTest(
        n=len(shared),
        difference=difference,
        effect=difference.mean / difference.std if difference.std > 0 else None,
        p=float(wilcoxon(gaps).pvalue),
        smallest_p=float(wilcoxon(np.arange(1.0, len(gaps) + 1)).pvalue),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p-values adjusted so that a family of tests errs at most as often as one.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979. scipy has
        no Holm; the tests hold this against statsmodels.
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")
    weights = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(weights * values[order]), 1.0)
    return [float(value) for value in adjusted]


def compare_all(
    scores: Mapping[str, Mapping[int, float]],
) -> dict[tuple[str, str], PairedTest]:
    """Tests every two models against each other, corrected over the family of these tests.

    A pair that no outcome could tell apart (``too_few``) is listed, but is no member of the
    family: it can never be rejected, and would only take power from the others.

    Args:
        scores: For each model its score by seed.

    Source: for leaving out such pairs, Tarone, "A Modified Bonferroni Method for Discrete
        Data", Biometrics 46, 1990.
    """
    tests = {
        (left, right): paired_test(scores[left], scores[right])
        for left, right in itertools.combinations(scores, 2)
    }
    family = [
        (pair, test.p) for pair, test in tests.items() if test.p is not None and not test.too_few
    ]
    for (pair, _), p in zip(family, holm([p for _, p in family]), strict=True):
        tests[pair] = replace(tests[pair], p_holm=p)
    return tests


@dataclass(frozen=True)
class CriticalDifference:
    """Average ranks of models over problems, and the distance that separates two of them.

    Args:
        models: Names, best average rank first.
        problems: Names of the problems ranked over.
        ranks: Average rank of each model, 1 is best, ties share their mean.
        difference: Two models whose ranks differ by at least this are told apart at 0.05.
        statistic: Friedman's statistic.
        p: Its p-value; above 0.05 no difference between the models has been shown at all.
        groups: First and last position of each longest run of models not told apart.
    """

    models: tuple[str, ...]
    problems: tuple[str, ...]
    ranks: tuple[float, ...]
    difference: float
    statistic: float
    p: float
    groups: tuple[tuple[int, int], ...]


def critical_difference(
    models: Sequence[str], problems: Sequence[str], scores: np.ndarray
) -> CriticalDifference:
    """Ranks models over problems: Friedman's test and Nemenyi's critical difference.

    Args:
        models: At least three names.
        problems: At least two names.
        scores: One mean score each, higher is better.

    Shape:
        scores ``(problems, models)``.

    Raises:
        DataError: Too few of either, or a shape that does not fit.

    Source: Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7,
        2006, section 3.2.2.
    """
    count, blocks = len(models), len(problems)
    if count < 3 or blocks < 2 or scores.shape != (blocks, count):
        raise DataError(
            f"cannot rank {count} models over {blocks} problems with scores of shape "
            f"{scores.shape}: expected at least 3 models, 2 problems, and (problems, models)."
        )
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    ranks = rankdata(-scores, axis=1).mean(axis=0)
    if (scores == scores[:, :1]).all():
        statistic, p = 0.0, 1.0  # every problem is one big tie: the statistic is 0 / 0
    else:
        statistic, p = friedmanchisquare(*scores.T)
    quantile = studentized_range.ppf(1 - ALPHA, count, np.inf) / math.sqrt(2)
    difference = float(quantile * math.sqrt(count * (count + 1) / (6 * blocks)))
    order = np.argsort(ranks, kind="stable")
    sorted_ranks = [float(ranks[i]) for i in order]
    return CriticalDifference(
        models=tuple(models[i] for i in order),
        problems=tuple(problems),
        ranks=tuple(sorted_ranks),
        difference=difference,
        statistic=float(statistic),
        p=float(p),
        groups=_groups(sorted_ranks, difference),
    )


def _groups(ranks: Sequence[float], difference: float) -> tuple[tuple[int, int], ...]:
    """First and last position of each longest run of ranks closer than ``difference``."""
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(i for i, other in enumerate(ranks) if other - rank < difference)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return tuple(groups)
