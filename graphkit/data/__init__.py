"""Floor 2: from file to batch. Names load when used, so the catalogue answers without torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphkit.data.batching import Events, FullGraph, Graphs, NodeRows, SampledNodes
    from graphkit.data.catalogue import PROBLEMS, load_problem
    from graphkit.data.graphs import GraphSet
    from graphkit.data.own import make_problem
    from graphkit.data.problem import Batching, Problem, Turn
    from graphkit.data.split import Split, by_masks, by_time, folds, hide, per_class, share

_HOMES = {
    "batching": ("Events", "FullGraph", "Graphs", "NodeRows", "SampledNodes"),
    "catalogue": ("PROBLEMS", "load_problem"),
    "graphs": ("GraphSet",),
    "own": ("make_problem",),
    "problem": ("Batching", "Problem", "Turn"),
    "split": ("Split", "by_masks", "by_time", "folds", "hide", "per_class", "share"),
}

__all__ = [
    "PROBLEMS",
    "Batching",
    "Events",
    "FullGraph",
    "GraphSet",
    "Graphs",
    "NodeRows",
    "Problem",
    "SampledNodes",
    "Split",
    "Turn",
    "by_masks",
    "by_time",
    "folds",
    "hide",
    "load_problem",
    "make_problem",
    "per_class",
    "share",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"graphkit.data.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
