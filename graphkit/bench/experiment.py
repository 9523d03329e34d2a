"""A named problem, recipe and seeds, with the number the paper reports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphkit.data.problem import Problem
from graphkit.errors import SettingError
from graphkit.models.base import Model
from graphkit.train import Recipe, describe

__all__ = ["Experiment", "Reported"]

Measure = Callable[[Model, Problem], Mapping[str, float]]


@dataclass(frozen=True)
class Reported:
    """The number a paper reports.

    Args:
        value: Its mean, in the unit of the metric (a share, not a percentage).
        source: Paper and setting.
        std: Its standard deviation over runs.
        seeds: Number of runs behind it.
        column: The column of the record it speaks of.
    """

    value: float
    source: str
    std: float | None = None
    seeds: int | None = None
    column: str = "test"


@dataclass(frozen=True)
class Experiment:
    """What is run, and what it is held against.

    Args:
        name: The method, with the variant after a dash.
        problem: A name of the catalogue, or a function of the seed that makes a problem.
        recipe: Fits on the blind problem.
        seeds: One run for each.
        reported: The published number, where there is one.
        measure: A function of model and original problem that adds columns to the record.

    Raises:
        SettingError: The name cannot be a file name, or there is no seed.
    """

    name: str
    problem: str | Callable[[int], Problem]
    recipe: Recipe
    seeds: Sequence[int] = range(3)
    reported: Reported | None = None
    measure: Measure | None = None

    def __post_init__(self) -> None:
        allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+")
        if not self.name or len(self.name) > 80 or set(self.name) - allowed:
            raise SettingError(
                f"experiment name {self.name!r}: expected 1 to 80 letters, digits, '.', '_', "
                "'-', '+', because it becomes part of a file name"
            )
        if len(self.seeds) == 0:
            raise SettingError(f"experiment {self.name!r} has no seed; expected at least one")

    @property
    def problem_name(self) -> str:
        """The problem's name, also where it is made by a function."""
        if isinstance(self.problem, str):
            return self.problem
        return getattr(self.problem, "__name__", "mine/given").replace("__", "/")

    def settings(self) -> dict[str, Any]:
        """Returns all settings of the recipe, defaults included."""
        told = {"recipe": describe(self.recipe)}
        if self.measure is not None:
            told["measure"] = describe(self.measure)
        return told

    @property
    def fingerprint(self) -> str:
        """Checksum over problem and settings: runs of an outdated recipe are told apart by it."""
        text = json.dumps([self.problem_name, self.settings()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def run_id(self, seed: int) -> str:
        """Returns the name of a run, which is that of its file."""
        problem = self.problem_name.replace("/", "-")
        return f"{self.name}@{problem}@seed{seed}@{self.fingerprint[:8]}"
