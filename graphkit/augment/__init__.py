"""Floor 4: networks trained on more than the data hold. Names load when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphkit.augment.draws import LocalAugmentation
    from graphkit.augment.lagnn import LAGNN, LocalAugmented
    from graphkit.augment.lagrand import LAGRAND
    from graphkit.augment.neighbor_vae import (
        BernoulliNeighborVAE,
        GaussianNeighborVAE,
        NeighborVAE,
    )
    from graphkit.augment.pairs import Pairs

_HOMES = {
    "draws": ("LocalAugmentation",),
    "lagnn": ("LAGNN", "LocalAugmented"),
    "lagrand": ("LAGRAND",),
    "neighbor_vae": ("BernoulliNeighborVAE", "GaussianNeighborVAE", "NeighborVAE"),
    "pairs": ("Pairs",),
}

__all__ = [
    "LAGNN",
    "LAGRAND",
    "BernoulliNeighborVAE",
    "GaussianNeighborVAE",
    "LocalAugmentation",
    "LocalAugmented",
    "NeighborVAE",
    "Pairs",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"graphkit.augment.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
