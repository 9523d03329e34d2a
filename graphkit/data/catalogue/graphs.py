"""Catalogue: graphs."""

from __future__ import annotations

from graphkit.data.catalogue.entry import Entry

__all__ = ["GRAPHS"]

GRAPHS: dict[str, Entry] = {}
