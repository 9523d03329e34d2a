"""``graphkit models``: what models there are, and their settings."""

from __future__ import annotations

import json
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graphkit.errors import unknown_name
from graphkit.models import (
    GRAPH_MODELS,
    HYPERGRAPH_MODELS,
    NODE_MODELS,
    STREAM_MODELS,
    ModelEntry,
)

__all__ = ["info", "list_models"]

AsJson = Annotated[bool, tyro.conf.arg(name="json")]
Name = Annotated[str, tyro.conf.Positional]


def _lists() -> dict[str, dict[str, ModelEntry]]:
    return {
        "nodes": NODE_MODELS,
        "graphs": GRAPH_MODELS,
        "events": STREAM_MODELS,
        "hypergraph": HYPERGRAPH_MODELS,
    }


def list_models(*, as_json: AsJson = False) -> None:
    """Lists all models, by the kind of item they answer for.

    Args:
        as_json: Print JSON for a program.
    """
    if as_json:
        told = {
            kind: {name: {"place": e.place, "summary": e.summary} for name, e in models.items()}
            for kind, models in _lists().items()
        }
        print(json.dumps(told, indent=1))
        return
    table = Table("model", "answers for", "about")
    for kind, models in _lists().items():
        for name, line in models.items():
            table.add_row(name, kind, escape(line.summary))
    Console().print(table)


def info(name: Name, /, *, as_json: AsJson = False) -> None:
    """Shows a model's settings with their defaults, and its source.

    Args:
        name: A name from ``graphkit models list``.
        as_json: Print JSON for a program.
    """
    found = {kind: models[name] for kind, models in _lists().items() if name in models}
    if not found:
        known = {name for models in _lists().values() for name in models}
        raise unknown_name("model", name, known, "graphkit models list")
    from inspect import getdoc

    from graphkit.train import describe

    told: dict[str, Any] = {}
    for kind, line in found.items():
        factory = line.load()
        cls = getattr(factory, "func", factory)
        told[kind] = {"settings": describe(factory), "about": getdoc(cls)}
    if as_json:
        print(json.dumps(told, indent=1))
        return
    console = Console()
    for kind, rows in told.items():
        table = Table(title=f"{name}, for {kind}", title_justify="left", show_header=False)
        for key, value in rows["settings"].items():
            table.add_row(key, escape(str(value)))
        console.print(table)
        console.print(escape(rows["about"] or ""))
