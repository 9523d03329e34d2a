"""Reads chosen keys out of many JSON files by one DuckDB query.

A file that DuckDB cannot read is handed back with the reason and never dropped silently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit.errors import MissingExtra

if TYPE_CHECKING:
    import duckdb

__all__ = ["Unreadable", "select"]


@dataclass(frozen=True)
class Unreadable:
    """A JSON file under the results folder that is no record: where, and why not."""

    path: str
    reason: str


def select(
    files: Mapping[str, Path], keys: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], list[Unreadable]]:
    """Reads some top-level keys of many files.

    Args:
        files: Path by the name under which it is reported.
        keys: What to read of each object; a key that is not there is ``None``.

    Returns:
        The values of every file by its name, and the files that are no JSON objects.

    Raises:
        MissingExtra: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra('the leaderboard needs duckdb: pip install "graphkit[bench]"') from error
    # the json functions are built in: nothing is to be fetched
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "threads": "1",
    }
    rows: dict[str, dict[str, Any]] = {}
    unreadable: list[Unreadable] = []
    with duckdb.connect(":memory:", config=config) as connection:
        for name, texts in _query(connection, files, list(files), keys, unreadable):
            try:
                if texts is None:
                    raise ValueError(_reason(files[name]))
                values = [None if text is None else json.loads(text) for text in texts]
            except (ValueError, RecursionError) as error:
                unreadable.append(Unreadable(name, str(error)))
            else:
                rows[name] = dict(zip(keys, values, strict=True))
    return rows, unreadable


# A file is read whole and its keys picked out, which takes a quarter of the time of read_json
# and leaves the good files alone when one is broken. The case keeps json_extract, which fails
# on text that is no JSON, behind the check.
_QUERY = """
select filename, case when json_type(content) = 'OBJECT' then json_extract(content, $paths) end
from (select filename, case when json_valid(content) then content end as content
      from read_text($files))
"""


def _query(
    connection: duckdb.DuckDBPyConnection,
    files: Mapping[str, Path],
    names: list[str],
    keys: Sequence[str],
    unreadable: list[Unreadable],
) -> list[tuple[str, list[str | None] | None]]:
    """One query over all files; one that fails is halved until the file behind it is found."""
    import duckdb

    if not names:
        return []
    by_path = {str(files[name].absolute()): name for name in names}
    try:
        found = connection.execute(
            _QUERY,
            {"files": [_literal(path) for path in by_path], "paths": [f"$.{key}" for key in keys]},
        ).fetchall()
    except duckdb.Error:  # gone since, not to be opened, or not UTF-8
        if len(names) == 1:
            unreadable.append(Unreadable(names[0], _reason(files[names[0]])))
            return []
        half = len(names) // 2
        return _query(connection, files, names[:half], keys, unreadable) + _query(
            connection, files, names[half:], keys, unreadable
        )
    return [(by_path[path], texts) for path, texts in found]


def _literal(path: str) -> str:
    """The path as a glob pattern that matches nothing but this path."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _reason(path: Path) -> str:
    """Why a file is no record: Python's message names line and column."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if not isinstance(content, dict):
        return f"holds a {type(content).__name__}, expected one object"
    return "not JSON by the rules of DuckDB"
