"""``graphkit datasets``: what problems there are, and their raw files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from graphkit.data.catalogue import PROBLEMS, Entry, entry

__all__ = ["fetch_files", "info", "list_problems", "markdown", "verify"]

AsJson = Annotated[bool, tyro.conf.arg(name="json")]
Name = Annotated[str, tyro.conf.Positional]
Names = Annotated[tuple[str, ...], tyro.conf.Positional]


def list_problems(
    *,
    kind: Literal["nodes", "graphs", "events", "hypergraph"] | None = None,
    like: str = "",
    format: Literal["table", "markdown"] = "table",
    as_json: AsJson = False,
) -> None:
    """Lists all problems of the catalogue.

    Args:
        kind: Only those whose items are of this kind.
        like: Only names that contain this.
        format: How to print them; ``markdown`` gives the page ``datasets/README.md``.
        as_json: Print JSON for a program.
    """
    if format == "markdown":
        print(markdown())
        return
    chosen = {
        name: line
        for name, line in PROBLEMS.items()
        if like in name and (kind is None or line.kind == kind)
    }
    if as_json:
        print(json.dumps({name: asdict(line) for name, line in chosen.items()}, indent=1))
        return
    table = Table(title=f"{len(chosen)} problems", title_justify="left")
    for title, justify in (
        ("problem", "left"), ("items", "right"), ("kind", "left"), ("edges", "right"),
        ("features", "right"), ("outputs", "right"), ("metric", "left"), ("about", "left"),
    ):  # fmt: skip
        fixed = title != "about"
        table.add_column(title, justify=justify, no_wrap=fixed)  # type: ignore[arg-type]
    for name, line in chosen.items():
        about = line.summary + (" [rebuilt]" if line.rebuilt else "")
        table.add_row(
            name, _number(line.items), line.kind, _number(line.edges), _number(line.features),
            _number(line.outputs), line.metric, about.replace("[", r"\["),
        )  # fmt: skip
    wide_console().print(table)


def info(name: Name, /, *, as_json: AsJson = False) -> None:
    """Shows what is known of a problem, without reading its files.

    Args:
        name: A name from ``graphkit datasets list``.
        as_json: Print JSON for a program.
    """
    line = entry(name)
    if as_json:
        print(json.dumps({"name": name} | asdict(line), indent=1))
        return
    Console().print(_card(name, line))


def fetch_files(names: Names, /, *, data_root: Path | None = None) -> None:
    """Gets the raw files of problems: found in the data root, or downloaded, and checked.

    Args:
        names: Names from ``graphkit datasets list``.
        data_root: A folder to look in before ``GRAPHKIT_DATA`` and the cache.
    """
    from graphkit.data.catalogue import raw_files
    from graphkit.data.fetch import fetch

    for name in names:
        for raw in raw_files(name):
            print(fetch(raw, data_root))


def verify(names: Names, /, *, data_root: Path | None = None, as_json: AsJson = False) -> int:
    """Checks raw files against their checksums and loads the problems; no download.

    Args:
        names: Names from ``graphkit datasets list``; all whose files are at hand if not given.
        data_root: A folder to look in before ``GRAPHKIT_DATA`` and the cache.
        as_json: Print JSON for a program.
    """
    import os

    from graphkit.data.catalogue import load_problem
    from graphkit.errors import DataNotFound, GraphkitError

    before = os.environ.get("GRAPHKIT_OFFLINE")
    os.environ["GRAPHKIT_OFFLINE"] = "1"
    rows: dict[str, dict[str, str]] = {}
    status = 0
    try:
        for name in names or tuple(PROBLEMS):
            try:
                problem = load_problem(name, data_root)
            except DataNotFound as error:
                if names:
                    rows[name] = {"state": "missing", "detail": str(error).splitlines()[0]}
                    status = max(status, error.exit_status)
            except GraphkitError as error:
                rows[name] = {"state": "wrong", "detail": str(error)}
                status = max(status, error.exit_status)
            else:
                detail = f"{problem.num_items} items, {len(problem.files)} files"
                rows[name] = {"state": "good", "detail": detail}
    finally:
        if before is None:
            del os.environ["GRAPHKIT_OFFLINE"]
        else:
            os.environ["GRAPHKIT_OFFLINE"] = before
    if as_json:
        print(json.dumps(rows, indent=1))
        return status
    table = Table("problem", "state", "detail")
    for name, row in rows.items():
        colour = {"good": "green", "missing": "yellow", "wrong": "red"}[row["state"]]
        table.add_row(name, f"[{colour}]{row['state']}[/]", row["detail"].replace("[", r"\["))
    Console().print(table)
    return status


def markdown() -> str:
    """Returns the catalogue as a page."""
    head = "| problem | items | edges | features | outputs | metric | about | licence |"
    lines = [
        "# Data sets",
        "",
        "All problems by name; made by `graphkit datasets list --format markdown`. `debian-deps`",
        "ships in this folder, synthetic ones are generated, the others are read from a data root",
        "or downloaded. Edges are stored entries of the one graph, or a mean per graph. *Rebuilt*",
        "files were computed from other public ones: not to be held against published numbers.",
    ]
    for kind in ("nodes", "graphs", "events", "hypergraph"):
        lines += ["", f"## Items are {kind}", "", head, "|---|---|---|---|---|---|---|---|"]
        for name, line in PROBLEMS.items():
            if line.kind == kind:
                about = line.summary + (" *(rebuilt)*" if line.rebuilt else "")
                cells = (
                    f"`{name}`", _number(line.items), _number(line.edges), _number(line.features),
                    _number(line.outputs), line.metric, about.replace("|", "/"), line.licence,
                )  # fmt: skip
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def wide_console() -> Console:
    """Returns a console that does not fold a table to 80 columns when nobody looks."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def _card(name: str, line: Entry) -> Table:
    table = Table(title=name, title_justify="left", show_header=False)
    for key, value in asdict(line).items():
        if value not in (None, "", ()):
            table.add_row(key, str(value).replace("[", r"\["))
    return table
