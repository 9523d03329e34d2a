"""The leaderboard: a query over run records, grouped by problem and experiment.

What happens to records that do not fit together:

- **A file that is no record** is listed in ``unreadable`` with the reason.
- **A crashed seed** is listed in ``Row.failed_seeds`` and ``failures``, and no part of the mean.
- **A score that is not a number** puts its seed into ``Row.unscored_seeds``.
- **A missing seed**, one that another model on the problem has, is listed in
  ``Row.missing_seeds``; paired tests use the seeds that both models have.
- **Unequal numbers of epochs** are allowed: each run is scored at the epoch it kept itself.
- **A seed twice under one fingerprint** counts once: a finished run goes before a crashed one,
  then the first to finish is kept. The others are listed in ``duplicates``.
- **An outdated recipe**: of the fingerprints that a suite holds for one experiment on one
  problem, only that of the newest record is shown (or those named in ``current``). The others
  are counted in ``outdated``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from graphkit.bench import cells, data_tables, text_tables
from graphkit.bench.query import Unreadable
from graphkit.bench.reading import Failure, Record, read_records
from graphkit.bench.rows import Board, Row, age, boards
from graphkit.bench.statistics import (
    CriticalDifference,
    PairedTest,
    compare_all,
    critical_difference,
)
from graphkit.errors import unknown_name

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Board",
    "Comparison",
    "Duplicate",
    "FailedRun",
    "Leaderboard",
    "Outdated",
    "Row",
    "load",
]


@dataclass(frozen=True)
class Comparison:
    """A paired test of two rows of a board, named by their labels; left minus right."""

    problem: str
    metric: str
    higher_is_better: bool
    left: str
    right: str
    test: PairedTest

    @property
    def winner(self) -> str | None:
        """The better of the two, if the corrected test tells them apart."""
        if not self.test.significant or self.test.difference is None:
            return None
        left_is_better = (self.test.difference.mean > 0) == self.higher_is_better
        return self.left if left_is_better else self.right


@dataclass(frozen=True)
class FailedRun:
    """A run that ended in an error."""

    problem: str
    experiment: str
    seed: int
    error: Failure
    path: str


@dataclass(frozen=True)
class Duplicate:
    """A record left out because the same seed of the same recipe is there already."""

    problem: str
    experiment: str
    seed: int
    path: str
    kept: str


@dataclass(frozen=True)
class Outdated:
    """Records left out because a suite holds newer ones of the experiment."""

    problem: str
    experiment: str
    fingerprint: str
    num_records: int


@dataclass(frozen=True)
class Leaderboard:
    """What a folder of records says.

    Args:
        folder: The folder, as it was given.
        boards: One per problem and metric, in the order of their names.
        records: The records that the boards rest on, crashed ones included.
        failures: Crashed runs.
        unreadable: Files that are no records.
        duplicates: Records left out because their seed was there already.
        outdated: Records left out because their recipe has changed since.
    """

    folder: Path
    boards: tuple[Board, ...]
    records: tuple[Record, ...]
    failures: tuple[FailedRun, ...]
    unreadable: tuple[Unreadable, ...]
    duplicates: tuple[Duplicate, ...]
    outdated: tuple[Outdated, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, board by board."""
        return tuple(row for board in self.boards for row in board.rows)

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every two models of a problem, tested on their shared seeds (loads scipy.stats)."""
        found = []
        for board in self.boards:
            if board.metric is None:
                continue
            scores = {row.label: row.scores for row in board.rows if row.scores}
            for (left, right), test in compare_all(scores).items():
                found.append(
                    Comparison(
                        board.problem, board.metric, board.higher_is_better, left, right, test
                    )
                )
        return tuple(found)

    @cached_property
    def critical_difference(self) -> CriticalDifference | None:
        """Average ranks, where at least two problems share three models (loads scipy.stats).

        Of all sets of models that some problems share, the one with the most scores (models
        times problems) is taken.
        """
        boards = Counter(board.problem for board in self.boards)
        means = {
            (board.problem if boards[board.problem] == 1 else f"{board.problem} {board.metric}"): {
                row.label: (1 if board.higher_is_better else -1) * row.test.mean
                for row in board.rows
                if row.test is not None
            }
            for board in self.boards
        }
        shared = _largest_block({name: frozenset(models) for name, models in means.items()})
        if shared is None:
            return None
        import numpy as np

        problems, models = shared
        scores = np.array([[means[problem][model] for model in models] for problem in problems])
        return critical_difference(models, problems, scores)

    def best(self, board: Board) -> str | None:
        """The label of the model that the corrected tests set above all others of its board."""
        pairs = [
            pair
            for pair in self.comparisons
            if (pair.problem, pair.metric) == (board.problem, board.metric)
        ]
        wins = Counter(pair.winner for pair in pairs if pair.winner is not None)
        rivals = sum(1 for row in board.rows if row.scores) - 1
        return next((label for label, won in wins.items() if won == rivals), None)

    def notes(self) -> list[str]:
        """What was left out and why, one sentence each."""
        return cells.notes(self)

    def table(self, console: Console) -> None:
        """Prints one table per problem and what was left out."""
        text_tables.print_tables(self, console)

    def markdown(self, *, tests: bool = False) -> str:
        """Returns one Markdown table per problem.

        Args:
            tests: Also list the paired tests and average ranks, and print in bold what they
                set above all others.
        """
        return text_tables.markdown(self, tests=tests)

    def latex(self) -> str:
        """Returns one LaTeX table per problem, for the package booktabs."""
        return text_tables.latex(self)

    def csv(self) -> str:
        """Returns all rows as CSV; a text that a spreadsheet would run starts with ``'``."""
        return data_tables.csv(self)

    def to_json(self, *, tests: bool = False) -> str:
        """Returns everything as one JSON object.

        Args:
            tests: Also the paired tests and average ranks.
        """
        return data_tables.to_json(self, tests=tests)

    def write_parquet(self, path: Path) -> Path:
        """Writes all rows as a Parquet file.

        Raises:
            MissingExtra: pyarrow is not installed.
            StorageError: The file cannot be written.
        """
        return data_tables.write_parquet(self, path)


def load(
    folder: Path,
    *,
    suites: Collection[str] = (),
    problems: Collection[str] = (),
    experiments: Collection[str] = (),
    current: Collection[str] | None = None,
) -> Leaderboard:
    """Reads all records below a folder and groups them.

    Args:
        folder: Where the suites' folders lie.
        suites: Only these; all if empty.
        problems: Only these; all if empty.
        experiments: Only these; all if empty.
        current: Fingerprints that count. If not given, the newest of each suite, problem and
            experiment counts.

    Raises:
        DataNotFound: The folder does not exist.
        MissingExtra: DuckDB is not installed.
        UnknownName: A name that no record has.
    """
    records, unreadable = read_records(folder)
    for kind, wanted, known in (
        ("suite", suites, {record.suite for record in records}),
        ("problem", problems, {record.problem for record in records}),
        ("experiment", experiments, {record.experiment for record in records}),
    ):
        for name in wanted:
            if name not in known:
                raise unknown_name(kind, name, known)
    wanted_records = [
        record
        for record in records
        if (not suites or record.suite in suites)
        and (not problems or record.problem in problems)
        and (not experiments or record.experiment in experiments)
    ]
    kept, outdated = _only_current(wanted_records, current)
    kept, duplicates = _one_per_seed(kept)
    failures = sorted(
        (
            FailedRun(one.problem, one.experiment, one.seed, one.error, one.path)
            for one in kept
            if one.error is not None
        ),
        key=lambda run: (run.problem, run.experiment, run.seed, run.path),
    )
    return Leaderboard(
        folder=folder,
        boards=boards(kept),
        records=tuple(kept),
        failures=tuple(failures),
        unreadable=tuple(unreadable),
        duplicates=tuple(duplicates),
        outdated=tuple(outdated),
    )


def _only_current(
    records: Sequence[Record], current: Collection[str] | None
) -> tuple[list[Record], list[Outdated]]:
    """Leaves out the records of recipes that have changed since."""
    newest: dict[tuple[str, str, str], Record] = {}
    for record in records:
        key = (record.suite, record.problem, record.experiment)
        if key not in newest or age(record) > age(newest[key]):
            newest[key] = record
    shown = {(one.problem, one.experiment, one.fingerprint) for one in newest.values()}
    kept: list[Record] = []
    left_out: Counter[tuple[str, str, str]] = Counter()
    for record in records:
        recipe = (record.problem, record.experiment, record.fingerprint)
        if recipe in shown if current is None else record.fingerprint in current:
            kept.append(record)
        else:
            left_out[recipe] += 1
    return kept, [Outdated(*recipe, number) for recipe, number in sorted(left_out.items())]


def _one_per_seed(records: Sequence[Record]) -> tuple[list[Record], list[Duplicate]]:
    """Keeps one record for each seed of a recipe: finished before crashed, then the earliest."""
    kept: dict[tuple[str, str, str, int], Record] = {}
    duplicates = []
    for record in sorted(records, key=lambda one: (one.error is not None, *age(one))):
        key = (record.problem, record.experiment, record.fingerprint, record.seed)
        if key in kept:
            duplicates.append(
                Duplicate(
                    record.problem, record.experiment, record.seed, record.path, kept[key].path
                )
            )
        else:
            kept[key] = record
    return list(kept.values()), sorted(duplicates, key=lambda one: one.path)


def _largest_block(
    models: Mapping[str, frozenset[str]],
) -> tuple[list[str], list[str]] | None:
    """Problems and the models that all of them have, as many scores as possible."""
    shared: set[frozenset[str]] = set()
    for own in models.values():  # after each problem: all intersections so far, and itself
        shared |= {own & other for other in shared} | {own}
        shared = {block for block in shared if len(block) >= 3}
    best: tuple[int, int, list[str], list[str]] | None = None
    for block in shared:
        problems = sorted(name for name, own in models.items() if block <= own)
        candidate = (len(block) * len(problems), len(problems), problems, sorted(block))
        if len(problems) >= 2 and (best is None or candidate > best):
            best = candidate
    return None if best is None else (best[2], best[3])
