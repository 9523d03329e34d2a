"""Graph learning on PyG: papers as modules, one loop, one benchmark runner.

The short way in: ``load_problem``, ``make_problem``, ``Supervised``, ``TrainConfig``, ``fit``,
``evaluate``, ``run``. Names load when used: importing graphkit loads neither torch nor PyG.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphkit.bench.experiment import Experiment, Reported
    from graphkit.bench.run import run
    from graphkit.data.catalogue import load_problem
    from graphkit.data.own import make_problem
    from graphkit.data.problem import Problem
    from graphkit.train import Fitted, Supervised, TrainConfig, evaluate, fit, predict

_HOMES = {
    "bench.experiment": ("Experiment", "Reported"),
    "bench.run": ("run",),
    "data.catalogue": ("load_problem",),
    "data.own": ("make_problem",),
    "data.problem": ("Problem",),
    "train": ("Fitted", "Supervised", "TrainConfig", "evaluate", "fit", "predict"),
}

__version__ = "0.1.0"

__all__ = [
    "Experiment",
    "Fitted",
    "Problem",
    "Reported",
    "Supervised",
    "TrainConfig",
    "__version__",
    "evaluate",
    "fit",
    "load_problem",
    "make_problem",
    "predict",
    "run",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"graphkit.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
