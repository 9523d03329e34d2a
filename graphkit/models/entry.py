"""One line of the list of models: where the class is, and what it stands for. Loads no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from graphkit.errors import unknown_name

__all__ = ["ModelEntry", "model_factory"]


@dataclass(frozen=True)
class ModelEntry:
    """A model by name.

    Args:
        place: ``module:Class`` in ``graphkit.models``.
        summary: One line for a person.
        settings: Hyper-parameters that differ from the class's defaults.
    """

    place: str
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Callable[..., Any]:
        """Returns the class, with the entry's settings filled in."""
        module, name = self.place.split(":")
        home = importlib.import_module(f"graphkit.models.{module}")
        cls: Callable[..., Any] = getattr(home, name)
        return partial(cls, **self.settings) if self.settings else cls


def model_factory(name: str, models: Mapping[str, ModelEntry]) -> Callable[..., Any]:
    """Returns the class behind a name of one of the lists.

    Raises:
        UnknownName: The list has no such model; the message holds the nearest name.
    """
    if name not in models:
        raise unknown_name("model", name, models, "graphkit models list")
    return models[name].load()
