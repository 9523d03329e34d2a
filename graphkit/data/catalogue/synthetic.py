"""Catalogue: synthetic."""

from __future__ import annotations

from graphkit.data.catalogue.entry import Entry

__all__ = ["SYNTHETIC"]

SYNTHETIC: dict[str, Entry] = {}
