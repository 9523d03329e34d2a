"""The page in ``datasets/`` is the one the catalogue gives."""

from __future__ import annotations

from pathlib import Path

from graphkit.cli.datasets import markdown

ROOT = Path(__file__).resolve().parents[3]


def test_page_is_that_of_the_catalogue() -> None:
    """``graphkit datasets list --format markdown > datasets/README.md`` mends it."""
    assert (ROOT / "datasets" / "README.md").read_text() == markdown() + "\n"
