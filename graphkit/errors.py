"""Everything graphkit raises on purpose: what was found, what was expected, what to do.

Each class also derives from the built-in type a caller would catch; the command line turns the
class into its exit status.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "DamagedFile",
    "DataError",
    "DataNotFound",
    "GraphkitError",
    "MissingExtra",
    "SettingError",
    "StorageError",
    "TrainingError",
    "UnknownName",
    "unknown_name",
]


class GraphkitError(Exception):
    """Base of all errors of this library; ``exit_status`` is what the command line ends with."""

    exit_status: ClassVar[int] = 1


class SettingError(GraphkitError, ValueError):
    """A setting or an argument cannot be used."""

    exit_status = 2


class UnknownName(SettingError, LookupError):
    """A model, problem, metric or suite of that name does not exist."""


class MissingExtra(GraphkitError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""

    exit_status = 2


class DataError(GraphkitError, ValueError):
    """Data cannot be used as they are: the message names the first offending place and value."""

    exit_status = 3


class DataNotFound(DataError, FileNotFoundError):
    """Raw files are missing; the message lists where they were looked for and how to get them."""


class DamagedFile(DataError, OSError):
    """A file is not what its checksum, its length or its format says."""

    exit_status = 4


class StorageError(GraphkitError, OSError):
    """A file could not be read or written; what was there before is intact."""

    exit_status = 5


class TrainingError(GraphkitError, ArithmeticError):
    """Training cannot go on, for instance because the loss is not a number."""

    exit_status = 1


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownName:
    """Builds the error for a name that is not in a list, with the nearest one that is.

    Args:
        kind: What was asked for: ``"model"``, ``"problem"``, ``"metric"``, ...
        name: The name as it was given.
        known: All names that exist.
        hint: Where to see them all, e.g. ``"graphkit models list"``.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    short = f" (known: {', '.join(names)})" if len(names) <= 12 else ""
    where = f" (see {hint})" if hint else short
    return UnknownName(f"unknown {kind} {name!r}{guess}{where}")
