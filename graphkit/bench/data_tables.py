"""A leaderboard as CSV, JSON and Parquet."""

from __future__ import annotations

import csv as csv_format
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit.bench.rows import Row
from graphkit.bench.wording import plain
from graphkit.errors import MissingExtra
from graphkit.files import write_whole

if TYPE_CHECKING:
    from graphkit.bench.leaderboard import Leaderboard

__all__ = ["csv", "to_json", "write_parquet"]

# name and Parquet type of every column, and where its value comes from
_FIELDS: tuple[tuple[str, str, Callable[[Row], Any]], ...] = (
    ("problem", "string", lambda row: row.problem),
    ("experiment", "string", lambda row: row.experiment),
    ("suites", "string", lambda row: " ".join(row.suites)),
    ("fingerprint", "string", lambda row: row.fingerprint),
    ("metric", "string", lambda row: row.metric),
    ("higher_is_better", "bool_", lambda row: row.higher_is_better),
    ("n", "int64", lambda row: row.test.n if row.test else 0),
    ("mean", "float64", lambda row: row.test and row.test.mean),
    ("std", "float64", lambda row: row.test and row.test.std),
    ("standard_error", "float64", lambda row: row.test and row.test.standard_error),
    ("low", "float64", lambda row: row.test and row.test.low),
    ("high", "float64", lambda row: row.test and row.test.high),
    ("min", "float64", lambda row: row.test and row.test.min),
    ("max", "float64", lambda row: row.test and row.test.max),
    ("val_mean", "float64", lambda row: row.val_mean),
    ("seeds", "string", lambda row: _joined(row.scores)),
    ("failed_seeds", "string", lambda row: _joined(row.failed_seeds)),
    ("unscored_seeds", "string", lambda row: _joined(row.unscored_seeds)),
    ("missing_seeds", "string", lambda row: _joined(row.missing_seeds)),
    ("epochs_min", "int64", lambda row: row.epochs and row.epochs[0]),
    ("epochs_max", "int64", lambda row: row.epochs and row.epochs[1]),
    ("num_parameters", "int64", lambda row: row.num_parameters),
    ("seconds_per_epoch", "float64", lambda row: row.seconds_per_epoch),
    ("seconds_per_run", "float64", lambda row: row.seconds_per_run),
    ("total_seconds", "float64", lambda row: row.total_seconds),
    ("peak_memory_bytes", "int64", lambda row: row.peak_memory_bytes),
    ("reported", "float64", lambda row: row.reported and row.reported.value),
    ("reported_std", "float64", lambda row: row.reported and row.reported.std),
    ("reported_seeds", "int64", lambda row: row.reported and row.reported.seeds),
    ("reported_column", "string", lambda row: row.reported and row.reported.column),
    ("source", "string", lambda row: row.reported and row.reported.source),
    ("compared_mean", "float64", lambda row: row.compared and row.compared.mean),
    ("gap", "float64", lambda row: row.gap),
    ("gap_error", "float64", lambda row: row.gap_error),
    ("below", "bool_", lambda row: row.below),
)


def _joined(seeds: Iterable[int]) -> str:
    return " ".join(str(seed) for seed in seeds)


def _flat(row: Row) -> dict[str, Any]:
    """One row as numbers and texts, the same columns for every row."""
    return {name: value(row) for name, _, value in _FIELDS}


def csv(leaderboard: Leaderboard) -> str:
    """Returns all rows as CSV with a header."""
    out = io.StringIO()
    writer = csv_format.writer(out, lineterminator="\n")
    writer.writerow(name for name, _, _ in _FIELDS)
    for row in leaderboard.rows:
        writer.writerow(_csv(value) for value in _flat(row).values())
    return out.getvalue()


def _csv(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets a quote in front."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def to_json(leaderboard: Leaderboard, *, tests: bool) -> str:
    """Returns rows, failures and what was left out as one JSON object."""
    content: dict[str, Any] = {
        "schema": 1,
        "rows": [
            _flat(row)
            | {
                "label": row.label,
                "suites": row.suites,
                "scores": {str(seed): score for seed, score in row.scores.items()},
                "seeds": list(row.scores),
                "failed_seeds": row.failed_seeds,
                "unscored_seeds": row.unscored_seeds,
                "missing_seeds": row.missing_seeds,
                "extras": dict(row.extras),
                "records": row.files,
            }
            for row in leaderboard.rows
        ],
        "failures": [asdict(run) for run in leaderboard.failures],
        "unreadable": [asdict(one) for one in leaderboard.unreadable],
        "duplicates": [asdict(one) for one in leaderboard.duplicates],
        "outdated": [asdict(one) for one in leaderboard.outdated],
    }
    if tests:
        content["comparisons"] = [
            asdict(pair) | {"winner": pair.winner} for pair in leaderboard.comparisons
        ]
        ranking = leaderboard.critical_difference
        content["critical_difference"] = None if ranking is None else asdict(ranking)
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_parquet(leaderboard: Leaderboard, path: Path) -> Path:
    """Writes all rows as a Parquet file.

    Raises:
        MissingExtra: pyarrow is not installed.
        StorageError: The file cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra('Parquet files need pyarrow: pip install "graphkit[bench]"') from error
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind, _ in _FIELDS])
    table = pyarrow.Table.from_pylist([_flat(row) for row in leaderboard.rows], schema=schema)
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    return write_whole(path, out.getvalue())
