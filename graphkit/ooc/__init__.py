"""Floor 4: training from a store larger than memory. Names load when used.

``prepare``, ``sample_ahead``, ``pack`` and ``verify`` are imported from their modules, which have
the same names.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphkit.ooc.budget import Budget
    from graphkit.ooc.estimate import Estimate, read_rate
    from graphkit.ooc.feature_store import DiskFeatureStore, DiskGraphStore
    from graphkit.ooc.file_inputs import of_files, of_ogb
    from graphkit.ooc.inputs import Input, of_data, of_problem
    from graphkit.ooc.pack import Pack, repair
    from graphkit.ooc.packed_nodes import Packed, PackedNodes
    from graphkit.ooc.placement import Curve, Placement, place
    from graphkit.ooc.plan import Plan
    from graphkit.ooc.prepare import Settings, disk_bytes
    from graphkit.ooc.ready import make_ready, open_ready
    from graphkit.ooc.refresh import Refreshed, make_refreshed
    from graphkit.ooc.rows import Cached, Lru, OnDisk, Rows
    from graphkit.ooc.sizes import parse_bytes, show_bytes
    from graphkit.ooc.store import Store
    from graphkit.ooc.verify import find_damage, info

_HOMES = {
    "budget": ("Budget",),
    "estimate": ("Estimate", "read_rate"),
    "feature_store": ("DiskFeatureStore", "DiskGraphStore"),
    "file_inputs": ("of_files", "of_ogb"),
    "inputs": ("Input", "of_data", "of_problem"),
    "pack": ("Pack", "repair"),
    "packed_nodes": ("Packed", "PackedNodes"),
    "placement": ("Curve", "Placement", "place"),
    "plan": ("Plan",),
    "prepare": ("Settings", "disk_bytes"),
    "ready": ("make_ready", "open_ready"),
    "refresh": ("Refreshed", "make_refreshed"),
    "rows": ("Cached", "Lru", "OnDisk", "Rows"),
    "sizes": ("parse_bytes", "show_bytes"),
    "store": ("Store",),
    "verify": ("find_damage", "info"),
}

__all__ = [
    "Budget",
    "Cached",
    "Curve",
    "DiskFeatureStore",
    "DiskGraphStore",
    "Estimate",
    "Input",
    "Lru",
    "OnDisk",
    "Pack",
    "Packed",
    "PackedNodes",
    "Placement",
    "Plan",
    "Refreshed",
    "Rows",
    "Settings",
    "Store",
    "disk_bytes",
    "find_damage",
    "info",
    "make_ready",
    "make_refreshed",
    "of_data",
    "of_files",
    "of_ogb",
    "of_problem",
    "open_ready",
    "parse_bytes",
    "place",
    "read_rate",
    "repair",
    "show_bytes",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"graphkit.ooc.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
