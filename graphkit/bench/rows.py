"""Rows and boards: what the records of one recipe, and of one problem, come to."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean, median

from graphkit.bench.reading import Record, Reported
from graphkit.bench.statistics import Summary, summarise

__all__ = ["Board", "Row", "age", "boards"]


@dataclass(frozen=True)
class Row:
    """One experiment on one problem over its seeds.

    Args:
        label: The experiment's name, with its suite where two suites use the name differently.
        suites: Where its records lie.
        scores: Test score by seed, the runs that ``test`` summarises.
        test: Mean, deviation, interval; ``None`` when no seed has a score.
        val_mean: Mean validation score of the kept epochs.
        epochs: Fewest and most epochs that its runs took.
        num_parameters: Mean over seeds, rounded (a search may end in networks of many sizes).
        seconds_per_epoch: Median over seeds.
        seconds_per_run: Mean over seeds of the whole run.
        total_seconds: Sum over seeds.
        peak_memory_bytes: Largest over seeds.
        reported: What the paper says.
        compared: Our score in the column that ``reported`` speaks of.
        gap: ``compared.mean - reported.value``.
        gap_error: Standard error of the gap; includes the paper's where its deviation and
            number of seeds are known. ``None`` with a single seed.
        below: The gap is to our disadvantage by more than two of these errors; ``None`` where
            that cannot be said.
        extras: Means of other columns: ``hidden``, ``production``, ``last``, measures.
        newest: File of the newest record, for the settings.
    """

    problem: str
    experiment: str
    label: str
    suites: tuple[str, ...]
    fingerprint: str
    metric: str | None
    higher_is_better: bool
    scores: Mapping[int, float]
    test: Summary | None
    val_mean: float | None
    failed_seeds: tuple[int, ...]
    unscored_seeds: tuple[int, ...]
    missing_seeds: tuple[int, ...]
    epochs: tuple[int, int] | None
    num_parameters: int | None
    seconds_per_epoch: float | None
    seconds_per_run: float | None
    total_seconds: float | None
    peak_memory_bytes: int | None
    reported: Reported | None
    compared: Summary | None
    gap: float | None
    gap_error: float | None
    below: bool | None
    extras: Mapping[str, float]
    newest: str
    files: tuple[str, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that were run, with or without success."""
        return tuple(sorted({*self.scores, *self.failed_seeds, *self.unscored_seeds}))


@dataclass(frozen=True)
class Board:
    """All experiments on one problem under one metric, best mean first."""

    problem: str
    metric: str | None
    higher_is_better: bool
    rows: tuple[Row, ...]


def age(record: Record) -> tuple[datetime, str]:
    """Orders records from the first to finish to the last."""
    return record.finished, record.path  # the path makes ties the same everywhere


def boards(records: Iterable[Record]) -> tuple[Board, ...]:
    """One board per problem and metric; recipes that only crashed join their problem's first."""
    recipes: defaultdict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        recipes[record.problem, record.experiment, record.fingerprint].append(record)
    rows = [_row(sorted(group, key=lambda one: one.seed)) for group in recipes.values()]
    metrics: defaultdict[str, set[tuple[str, bool]]] = defaultdict(set)
    for row in rows:
        if row.metric is not None:
            metrics[row.problem].add((row.metric, row.higher_is_better))
    grouped: defaultdict[tuple[str, str | None, bool], list[Row]] = defaultdict(list)
    for row in rows:
        if row.metric is not None:
            metric: str | None = row.metric
            higher = row.higher_is_better
        else:
            metric, higher = min(metrics[row.problem], default=(None, True))
        grouped[row.problem, metric, higher].append(row)
    return tuple(
        Board(problem, metric, higher, _finish(grouped[problem, metric, higher], higher))
        for problem, metric, higher in sorted(
            grouped, key=lambda key: (key[0], key[1] or "", key[2])
        )
    )


def _finish(rows: list[Row], higher_is_better: bool) -> tuple[Row, ...]:
    """Adds what a row can only say beside the others (label, missing seeds), and sorts."""
    all_seeds = {seed for row in rows for seed in row.seeds}
    names = Counter(row.experiment for row in rows)
    places = Counter((row.experiment, row.suites) for row in rows)
    finished = []
    for row in rows:
        label = row.experiment
        if names[row.experiment] > 1:
            unique = places[row.experiment, row.suites] == 1
            label += f" ({', '.join(row.suites) if unique else row.fingerprint[:8]})"
        missing = tuple(sorted(all_seeds.difference(row.seeds)))
        finished.append(replace(row, label=label, missing_seeds=missing))
    sign = -1 if higher_is_better else 1

    def order(row: Row) -> tuple[float, str]:
        return (math.inf if row.test is None else sign * row.test.mean, row.label)

    return tuple(sorted(finished, key=order))


def _row(records: Sequence[Record]) -> Row:
    """Aggregates the records of one recipe on one problem."""
    newest = max(records, key=age)
    metric, higher = _metric(records)
    done = [record for record in records if record.error is None]
    scores = {record.seed: _column(record, "test", metric) for record in done}
    known = {seed: score for seed, score in scores.items() if score is not None}
    reported = next(
        (one.reported for one in sorted(records, key=age, reverse=True) if one.reported), None
    )
    compared = None
    if reported is not None:
        values = [_column(record, reported.column, metric) for record in done]
        numbers = [value for value in values if value is not None]
        compared = summarise(numbers) if numbers else None
    gap, gap_error, below = _gap(compared, reported, higher)
    epochs = [record.epochs for record in done if record.epochs is not None]
    parameters = [one.num_parameters for one in done if one.num_parameters is not None]
    per_epoch, total, memory = (
        [record.cost[key] for record in done if key in record.cost]
        for key in ("seconds_per_epoch", "total_seconds", "peak_memory_bytes")
    )
    return Row(
        problem=newest.problem,
        experiment=newest.experiment,
        label=newest.experiment,
        suites=tuple(sorted({record.suite for record in records})),
        fingerprint=newest.fingerprint,
        metric=metric,
        higher_is_better=higher,
        scores=known,
        test=summarise(known.values()) if known else None,
        val_mean=_mean(_column(record, "val", metric) for record in done),
        failed_seeds=tuple(record.seed for record in records if record.error is not None),
        unscored_seeds=tuple(seed for seed, score in scores.items() if score is None),
        missing_seeds=(),
        epochs=(min(epochs), max(epochs)) if epochs else None,
        num_parameters=round(fmean(parameters)) if parameters else None,
        seconds_per_epoch=median(per_epoch) if per_epoch else None,
        seconds_per_run=fmean(total) if total else None,
        total_seconds=math.fsum(total) if total else None,
        peak_memory_bytes=round(max(memory)) if memory else None,
        reported=reported,
        compared=compared,
        gap=gap,
        gap_error=gap_error,
        below=below,
        extras=_extras(done, metric),
        newest=newest.path,
        files=tuple(record.path for record in records),
    )


def _metric(records: Sequence[Record]) -> tuple[str | None, bool]:
    """The metric of a recipe: that of its newest record that names one."""
    for record in sorted(records, key=age, reverse=True):
        if record.metric is not None:
            return record.metric, record.higher_is_better
    return None, True


def _column(record: Record, column: str, metric: str | None) -> float | None:
    """One score of a record: ``"test"``, ``"last"``, ``"hidden"``, ``"test.f1"``, a measure."""
    tables = record.scores
    measures = tables.get("measures", {})
    if column == "last":
        column = "last.test"
    if column != "measures" and column in tables:
        return None if metric is None else tables[column].get(metric)
    if column in measures:
        return measures[column]
    part, _, name = column.rpartition(".")
    return tables.get(part, {}).get(name)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _extras(done: Sequence[Record], metric: str | None) -> dict[str, float]:
    """Means of the columns beside test and validation, in a fixed order."""
    columns = ["hidden", "production", "last"]
    measures = sorted({name for record in done for name in record.scores.get("measures", {})})
    found = {column: _mean(_column(one, column, metric) for one in done) for column in columns}
    found |= {
        name: _mean(record.scores.get("measures", {}).get(name) for record in done)
        for name in measures
    }
    return {name: value for name, value in found.items() if value is not None}


def _gap(
    compared: Summary | None, reported: Reported | None, higher_is_better: bool
) -> tuple[float | None, float | None, bool | None]:
    """Ours minus the paper's, its standard error, and whether we fall clearly short."""
    if compared is None or reported is None:
        return None, None, None
    gap = compared.mean - reported.value
    if compared.standard_error is None:
        return gap, None, None
    theirs = 0.0
    if reported.std is not None and reported.seeds:
        theirs = reported.std / math.sqrt(reported.seeds)
    error = math.hypot(compared.standard_error, theirs)
    shortfall = -gap if higher_is_better else gap
    rounding = 1e-12 * max(abs(compared.mean), abs(reported.value))
    return gap, error, shortfall > 2 * error + rounding
