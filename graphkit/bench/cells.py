"""The words in the cells of a leaderboard, and the remarks below it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from graphkit.bench.rows import Board, Row
from graphkit.bench.wording import (
    NOTHING,
    amount,
    count,
    decimals,
    memory,
    plain,
    seconds,
    seed_list,
    signed,
)
from graphkit.data.catalogue import PROBLEMS

if TYPE_CHECKING:
    from graphkit.bench.leaderboard import Leaderboard

__all__ = [
    "COLUMNS",
    "LEGEND",
    "board_decimals",
    "heading",
    "notes",
    "remarks",
]

# column; how soon it gives way on a narrow terminal (0: never); text of a row, given the
# decimals of its board
Cell = Callable[[Row, int], str]
COLUMNS: tuple[tuple[str, int, Cell], ...] = (
    ("seeds", 0, lambda row, digits: str(row.test.n if row.test else 0)),
    ("mean ± std", 0, lambda row, digits: _mean_and_std(row, digits)),
    ("95 % interval", 3, lambda row, digits: _interval(row, digits)),
    ("min", 8, lambda row, digits: amount(row.test.min if row.test else None, digits)),
    ("max", 8, lambda row, digits: amount(row.test.max if row.test else None, digits)),
    ("val", 6, lambda row, digits: amount(row.val_mean, digits)),
    ("published", 1, lambda row, digits: _published(row, digits)),
    ("gap", 0, lambda row, digits: _gap(row, digits)),
    ("parameters", 2, lambda row, digits: count(row.num_parameters)),
    ("s/epoch", 5, lambda row, digits: seconds(row.seconds_per_epoch)),
    ("s/run", 2, lambda row, digits: seconds(row.seconds_per_run)),
    ("total", 7, lambda row, digits: seconds(row.total_seconds)),
    ("memory", 4, lambda row, digits: memory(row.peak_memory_bytes)),
)
LEGEND = (
    "± is the standard deviation over seeds (n - 1), the interval is of the mean (t). "
    "gap: ours minus published. ▼: below the published mean by more than two standard errors."
)


def board_decimals(board: Board) -> int:
    """Digits after the point for all scores of a board."""
    found = [row.test for row in board.rows if row.test is not None]
    return decimals([one.std for one in found], [one.mean for one in found])


def heading(board: Board) -> str:
    """``accuracy, higher is better``, and what is to be known of the data."""
    known = PROBLEMS.get(board.problem)
    rebuilt = ""
    if known is not None and known.rebuilt:
        rebuilt = "; raw files rebuilt, not those of published figures"
    if board.metric is None:
        return f"no finished run{rebuilt}"
    better = "higher" if board.higher_is_better else "lower"
    return f"{board.metric}, {better} is better{rebuilt}"


def _mean_and_std(row: Row, digits: int) -> str:
    if row.test is None:
        return NOTHING
    mean = amount(row.test.mean, digits)
    return mean if row.test.std is None else f"{mean} ± {amount(row.test.std, digits)}"


def _interval(row: Row, digits: int) -> str:
    """``[0.81, 0.83]``, or a dash for a single seed."""
    if row.test is None or row.test.low is None:
        return NOTHING
    return f"[{amount(row.test.low, digits)}, {amount(row.test.high, digits)}]"


def _published(row: Row, digits: int) -> str:
    if row.reported is None:
        return NOTHING
    value = amount(row.reported.value, digits)
    std = row.reported.std
    return value if std is None else f"{value} ± {amount(std, digits)}"


def _gap(row: Row, digits: int) -> str:
    return signed(row.gap, digits) + (" ▼" if row.below else "")


def remarks(board: Board) -> list[str]:
    """What a reader has to know about the seeds of the rows, and about published numbers."""
    said: dict[str, list[str]] = {}
    for row in board.rows:
        for remark in _row_remarks(row):
            said.setdefault(remark, []).append(plain(row.label))
    return [f"{', '.join(labels)}: {remark}" for remark, labels in said.items()]


def _row_remarks(row: Row) -> list[str]:
    found = []
    for seeds, what in (
        (row.failed_seeds, "failed"),
        (row.unscored_seeds, "without a score"),
        (row.missing_seeds, "not run"),
    ):
        if seeds:
            noun = "seed" if len(seeds) == 1 else "seeds"
            found.append(f"{noun} {seed_list(seeds)} {what}")
    if row.reported is not None and row.reported.column != "test":
        column = plain(row.reported.column)
        if row.compared is None:
            found.append(f"the published number is of column {column}, which no record has")
        else:
            ours = f"where ours is {row.compared.mean:.4f}"
            found.append(f"published number and gap are of column {column}, {ours}")
    return found


def notes(leaderboard: Leaderboard) -> list[str]:
    """What was left out of the whole leaderboard and why."""
    found = []
    if leaderboard.outdated:
        number = sum(one.num_records for one in leaderboard.outdated)
        names = sorted({f"{one.experiment} on {one.problem}" for one in leaderboard.outdated})
        found.append(
            f"{_records(number)} of outdated recipes left out: {', '.join(map(plain, names))}"
        )
    if leaderboard.duplicates:
        number = len(leaderboard.duplicates)
        paths = ", ".join(plain(one.path) for one in leaderboard.duplicates)
        found.append(f"{_records(number)} left out, the seed was there already: {paths}")
    for one in leaderboard.unreadable:
        found.append(f"{plain(one.path)} is not a record: {plain(one.reason)}")
    return found


def _records(number: int) -> str:
    return "1 record" if number == 1 else f"{number} records"
