"""Sizes in bytes as people write them: ``8G``, ``1.5 GiB``, ``200 MB``."""

from __future__ import annotations

import re

from graphkit.errors import SettingError

__all__ = ["parse_bytes", "show_bytes"]

_LETTERS = "KMGTPE"


def parse_bytes(text: str | int) -> int:
    """Returns a number of bytes; ``8G`` and ``8GiB`` count in 1024, ``8GB`` in 1000.

    Args:
        text: A number with or without unit; a plain number is bytes.

    Raises:
        SettingError: It is not a size, or below zero.
    """
    found = re.fullmatch(
        r"(\d+(?:\.\d+)?)\s*(?:([KMGTPE])(iB|B)?|B)?", str(text).strip(), re.IGNORECASE
    )
    if found is None or isinstance(text, bool):
        raise SettingError(f"{text!r} is no size; expected a number with K, M, G or T, e.g. 8G")
    number, letter, rest = found.groups()
    power = _LETTERS.index(letter.upper()) + 1 if letter else 0
    base = 1000 if rest and rest.upper() == "B" else 1024
    whole, _, part = number.partition(".")
    scale = base**power
    return int(whole) * scale + (int(part) * scale // 10 ** len(part) if part else 0)


def show_bytes(num_bytes: int) -> str:
    """Returns a size to read: ``1.5 GiB``; less than 1 KiB in bytes."""
    if abs(num_bytes) < 1024:
        return f"{num_bytes} B"
    size, power = num_bytes / 1024, 0
    while abs(size) >= 1023.95 and power + 1 < len(_LETTERS):
        size, power = size / 1024, power + 1
    return f"{size:.1f} {_LETTERS[power]}iB"
