"""All problems by name: ``load_problem("cora/public")``. Loads torch only to make a problem."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from graphkit.data.catalogue.entry import Entry
from graphkit.data.catalogue.graphs import GRAPHS
from graphkit.data.catalogue.nodes import NODES
from graphkit.data.catalogue.streams import STREAMS
from graphkit.data.catalogue.synthetic import SYNTHETIC
from graphkit.errors import unknown_name

if TYPE_CHECKING:
    from graphkit.data.fetch import Raw
    from graphkit.data.problem import Problem

__all__ = ["PROBLEMS", "Entry", "entry", "load_problem", "raw_files"]

PROBLEMS: dict[str, Entry] = NODES | GRAPHS | STREAMS | SYNTHETIC


def entry(name: str) -> Entry:
    """Returns the catalogue's line for a problem.

    Raises:
        UnknownName: There is no problem of that name; the message holds the nearest one.
    """
    if name not in PROBLEMS:
        raise unknown_name("problem", name, PROBLEMS, "graphkit datasets list")
    return PROBLEMS[name]


def load_problem(
    name: str, root: str | Path | None = None, *, seed: int = 0, device: str = "cpu"
) -> Problem:
    """Returns a problem of the catalogue.

    Args:
        name: ``<data set>/<split>``, e.g. ``"cora/public"``.
        root: Folder of raw files, looked in before ``GRAPHKIT_DATA``, the cache and the network.
        seed: Chooses the split where it is drawn or one of several, and seeds every later draw.
        device: Where batches are yielded.

    Raises:
        UnknownName: There is no problem of that name.
        DataNotFound: A raw file is missing and cannot be downloaded.
        DamagedFile: A raw file is not the one expected.
    """
    from graphkit.data.fetch import files_read

    line = entry(name)
    module, function = line.source.split(":")
    make = getattr(importlib.import_module(f"graphkit.data.sources.{module}"), function)
    with files_read() as files:
        problem = make(Path(root) if root is not None else None, seed, *line.arguments)
    return replace(problem, name=name, seed=seed, device=device, files=dict(files))


def raw_files(name: str) -> tuple[Raw, ...]:
    """Returns the raw files behind a problem; none for generated ones."""
    line = entry(name)
    module, _ = line.source.split(":")
    files = importlib.import_module(f"graphkit.data.sources.{module}").files
    return tuple(files(*line.arguments))
