"""Floor 4: networks taught by others. Names load when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphkit.distill.glnn import GLNN
    from graphkit.distill.light_hgnn import LightHGNN, LightHGNNPlus, hyperedge_reliability
    from graphkit.distill.teaching import Given, Student, TaughtBatch
    from graphkit.distill.vqgraph import VQGraph

_HOMES = {
    "glnn": ("GLNN",),
    "light_hgnn": ("LightHGNN", "LightHGNNPlus", "hyperedge_reliability"),
    "teaching": ("Given", "Student", "TaughtBatch"),
    "vqgraph": ("VQGraph",),
}

__all__ = [
    "GLNN",
    "Given",
    "LightHGNN",
    "LightHGNNPlus",
    "Student",
    "TaughtBatch",
    "VQGraph",
    "hyperedge_reliability",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"graphkit.distill.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
