"""Sizes as people write them."""

from __future__ import annotations

import pytest

from graphkit.errors import SettingError
from graphkit.ooc.sizes import parse_bytes, show_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        (4096, 4096),
        ("10B", 10),
        ("8G", 8 << 30),
        ("8GiB", 8 << 30),
        ("8 gib", 8 << 30),
        ("200MB", 200_000_000),
        ("1.5K", 1536),
        ("0.1T", (1 << 40) // 10),
        ("64m", 64 << 20),
    ],
)
def test_sizes_are_read(text: str | int, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "G", "-1", "8X", "1e9", "8 G B", "nan", True])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match="no size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (8 << 30, "8.0 GiB"),
        (3 << 60, "3.0 EiB"),
    ],
)
def test_sizes_are_shown(size: int, expected: str) -> None:
    assert show_bytes(size) == expected
