"""Reads run records: one JSON file per run, projected by DuckDB, checked one by one.

A file that cannot be used is handed back with the reason and never dropped silently.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graphkit.bench.query import Unreadable, select
from graphkit.errors import DataNotFound

__all__ = [
    "SCHEMA",
    "Details",
    "Failure",
    "Record",
    "Reported",
    "read_details",
    "read_records",
]

SCHEMA = 1  # of the records this version reads

# read for every record; history, settings and notes are left in the files until asked for
_COLUMNS = (
    *("schema", "suite", "experiment", "problem", "seed", "fingerprint", "status", "error"),
    *("num_parameters", "metric", "higher_is_better", "epochs", "reported", "cost", "host"),
    *("val", "test", "last", "hidden", "production", "measures", "started", "finished"),
)
_LARGEST = 1e150  # of a number: its square and sums of a few are finite
_DETAILS = ("settings", "history")


@dataclass(frozen=True)
class Failure:
    """What ended a run that failed."""

    type: str
    message: str
    traceback: str


@dataclass(frozen=True)
class Reported:
    """The number a paper reports for an experiment.

    Args:
        value: Mean, in the unit of the metric.
        std: Deviation over its seeds, where the source gives it.
        column: The score of the record it speaks of: ``"test"``, ``"hidden"``, ...
        source: Paper, table and setting.
        seeds: Number of runs behind it, where the source gives it.
    """

    value: float
    std: float | None
    column: str
    source: str
    seeds: int | None


@dataclass(frozen=True)
class Record:
    """One run as the leaderboard needs it; scores that are not numbers are ``None``.

    Args:
        path: File, relative to the folder that was read.
        error: What happened, for a run that failed.
        finished: When the run ended (when it began, if that is all there is).
        scores: ``{"test": {"accuracy": 0.8}, "val": ..., "measures": {"latency": 0.1}, ...}``
        cost: Seconds and bytes by name.
        host: Versions and machine by name.
    """

    path: str
    suite: str
    experiment: str
    problem: str
    seed: int
    fingerprint: str
    error: Failure | None
    num_parameters: int | None
    metric: str | None
    higher_is_better: bool
    epochs: int | None
    scores: Mapping[str, Mapping[str, float | None]]
    reported: Reported | None
    cost: Mapping[str, float]
    host: Mapping[str, str]
    finished: datetime


@dataclass(frozen=True)
class Details:
    """The long parts of a record: its settings as given, its history as columns."""

    settings: Mapping[str, Any]
    history: Mapping[str, Sequence[float | None]]


class _SchemaError(ValueError):
    """A record that breaks the schema; the message is the reason shown to the user."""


def read_records(folder: Path) -> tuple[list[Record], list[Unreadable]]:
    """Reads every ``*.json`` below a folder, but for folders whose name begins with a dot:
    there the runs in flight keep their state.

    Args:
        folder: Where the suites' folders lie.

    Raises:
        DataNotFound: The folder does not exist.
        MissingExtra: DuckDB is not installed.
    """
    if not folder.is_dir():
        raise DataNotFound(
            f"no folder of results at {folder}. Runs write their records there: "
            "run a suite first (graphkit bench), or name the folder that holds them."
        )
    names: dict[str, Path] = {}
    unreadable: list[Unreadable] = []
    for path in sorted(folder.rglob("*.json")):
        place = path.relative_to(folder)
        if any(part.startswith(".") for part in place.parts):
            continue
        if path.is_file():
            names[str(place)] = path
        elif not path.is_dir():  # a pipe would block, a dangling link has no content
            unreadable.append(Unreadable(str(place), "not a regular file"))
    rows, broken = select(names, _COLUMNS)
    unreadable += broken
    records = []
    for name, row in rows.items():
        try:
            records.append(_record(name, row))
        except _SchemaError as error:
            unreadable.append(Unreadable(name, str(error)))
    return records, sorted(unreadable, key=lambda one: one.path)


def read_details(folder: Path, names: Sequence[str]) -> dict[str, Details]:
    """Reads settings and histories of some records.

    Args:
        folder: The folder that was read.
        names: ``Record.path`` of each; files gone since are left out.
    """
    rows, _ = select({name: folder / name for name in names}, _DETAILS)
    return {
        name: Details(
            settings=row["settings"] if isinstance(row["settings"], dict) else {},
            history=_history(row["history"]),
        )
        for name, row in rows.items()
    }


def _history(columns: Any) -> dict[str, list[float | None]]:
    """Columns of equal length that hold numbers; anything else is no history."""
    if not isinstance(columns, dict) or not isinstance(columns.get("epoch"), list):
        return {}
    length = len(columns["epoch"])
    return {
        name: [_number(value) for value in column]
        for name, column in columns.items()
        if isinstance(column, list) and len(column) == length
    }


def _number(value: Any) -> float | None:
    """A number, or ``None``; true and false are none, nor is what a deviation could not hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _LARGEST else None


def _record(path: str, row: Mapping[str, Any]) -> Record:
    """Checks one row and gives it types.

    Raises:
        _SchemaError: The row breaks the schema.
    """
    if row["schema"] != SCHEMA:
        raise _SchemaError(f"schema is {reprlib.repr(row['schema'])}, expected {SCHEMA}")
    status = row["status"]
    if status not in ("done", "failed"):
        raise _SchemaError(f"status is {reprlib.repr(status)}, expected 'done' or 'failed'")
    done = status == "done"
    metric = row["metric"]
    if done or metric is not None:  # a run that failed early may not know its metric
        metric = _text(row, "metric")
    if done and not isinstance(row["test"], dict):
        raise _SchemaError(
            f"test is {reprlib.repr(row['test'])} in a finished run, expected scores by name"
        )
    if done and metric not in row["test"]:
        raise _SchemaError(f"test has no {reprlib.repr(metric)}, the metric the task is judged by")
    higher = row["higher_is_better"]
    if metric is not None and not isinstance(higher, bool):
        raise _SchemaError(f"higher_is_better is {reprlib.repr(higher)}, expected true or false")
    return Record(
        path=path,
        suite=_text(row, "suite"),
        experiment=_text(row, "experiment"),
        problem=_text(row, "problem"),
        seed=_whole(row, "seed"),
        fingerprint=_text(row, "fingerprint"),
        error=None if done else _failure(row["error"]),
        num_parameters=None if row["num_parameters"] is None else _whole(row, "num_parameters"),
        metric=metric,
        higher_is_better=bool(higher),
        epochs=None if row["epochs"] is None else _whole(row, "epochs"),
        scores=_scores(row),
        reported=_reported(row["reported"]),
        cost=_numbers(row["cost"]),
        host={key: str(value) for key, value in _object(row, "host").items()},
        finished=_time(row),
    )


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row[key]
    if not isinstance(value, str) or not value:
        raise _SchemaError(f"{key} is {reprlib.repr(value)}, expected a text")
    return value


def _whole(row: Mapping[str, Any], key: str) -> int:
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise _SchemaError(f"{key} is {reprlib.repr(value)}, expected a whole number from 0 on")
    return value


def _object(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = row[key]
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _SchemaError(f"{key} is {reprlib.repr(value)}, expected an object")
    return value


def _numbers(value: Any) -> dict[str, float]:
    """The finite numbers of an object."""
    if not isinstance(value, dict):
        return {}
    numbers = {key: _number(entry) for key, entry in value.items()}
    return {key: number for key, number in numbers.items() if number is not None}


def _scores(row: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """All scores under one roof; those of the last model as ``last.val`` and ``last.test``."""
    tables = {key: _object(row, key) for key in ("val", "test", "hidden", "production", "measures")}
    for part, table in _object(row, "last").items():
        if isinstance(table, dict):
            tables[f"last.{part}"] = table
    return {
        part: {name: _number(value) for name, value in table.items()}
        for part, table in tables.items()
        if table
    }


def _failure(error: Any) -> Failure:
    given = error if isinstance(error, dict) else {}
    kind, message, trace = (given.get(key) for key in ("type", "message", "traceback"))
    return Failure(
        type="unknown error" if kind is None else str(kind),
        message="" if message is None else str(message),
        traceback="" if trace is None else str(trace),
    )


def _reported(given: Any) -> Reported | None:
    if given is None:
        return None
    value = _number(given.get("value")) if isinstance(given, dict) else None
    if value is None:
        raise _SchemaError(
            f"reported is {reprlib.repr(given)}, expected an object with a finite value"
        )
    seeds = _number(given.get("seeds"))
    return Reported(
        value=value,
        std=_number(given.get("std")),
        column=str(given.get("column") or "test"),
        source=str(given.get("source") or ""),
        seeds=None if seeds is None else int(seeds),
    )


def _time(row: Mapping[str, Any]) -> datetime:
    """When the run ended; in UTC if the record names no zone."""
    for key in ("finished", "started"):
        value = row[key]
        if value is None:
            continue
        try:
            moment = datetime.fromisoformat(value)
            # UTC throughout, so that the page is the same wherever it is made
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            shown = reprlib.repr(value)
            raise _SchemaError(f"{key} is {shown}, expected a time as in ISO 8601") from None
    raise _SchemaError("neither finished nor started is given")
