"""Catalogue: streams."""

from __future__ import annotations

from graphkit.data.catalogue.entry import Entry

__all__ = ["STREAMS"]

STREAMS: dict[str, Entry] = {}
