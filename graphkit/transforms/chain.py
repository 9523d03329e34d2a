"""Transforms one after the other, with what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch_geometric.transforms import BaseTransform

__all__ = ["Chain"]


class Chain(BaseTransform):
    """PyG's ``Compose`` that knows whether all of its parts are fixed (draw nothing)."""

    def __init__(self, *parts: Callable[[Any], Any]) -> None:
        self.parts = parts

    @property
    def fixed(self) -> bool:
        """Whether the same input always gives the same output."""
        return all(getattr(part, "fixed", False) for part in self.parts)

    def forward(self, data: Any) -> Any:
        """Returns the data after every part in turn."""
        for part in self.parts:
            data = part(data)
        return data

    def __repr__(self) -> str:
        return f"Chain({', '.join(repr(part) for part in self.parts)})"
