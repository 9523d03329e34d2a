"""Floor 5: experiments, runs, records, leaderboard. Names load when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphkit.bench.budget import count_parameters, fit_width
    from graphkit.bench.experiment import Experiment, Reported
    from graphkit.bench.presets import preset
    from graphkit.bench.store import Store
    from graphkit.bench.tune import Tuned

_HOMES = {
    "budget": ("count_parameters", "fit_width"),
    "experiment": ("Experiment", "Reported"),
    "presets": ("preset",),
    "store": ("Store",),
    "tune": ("Tuned",),
}

__all__ = [
    "Experiment",
    "Reported",
    "Store",
    "Tuned",
    "count_parameters",
    "fit_width",
    "preset",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"graphkit.bench.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
