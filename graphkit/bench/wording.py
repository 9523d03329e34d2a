"""How numbers, times, sizes and lists of seeds are written in tables and on the page."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from statistics import median

__all__ = [
    "NOTHING",
    "amount",
    "count",
    "decimals",
    "memory",
    "p_value",
    "plain",
    "seconds",
    "seed_list",
    "signed",
]

NOTHING = "\N{EN DASH}"  # what stands where there is no number


def plain(text: str) -> str:
    """One line without control characters: names come from files, and a terminal obeys escapes."""
    line = " ".join(text.split())
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if _is_control(letter) else letter for letter in line
    )


def _is_control(letter: str) -> bool:
    # Cc: escapes; Cf: also the marks that reverse the direction of writing; Cs: half a letter
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def decimals(spreads: Iterable[float | None], values: Iterable[float]) -> int:
    """Digits after the point that give a typical deviation two digits.

    Args:
        spreads: Standard deviations, ``None`` where unknown.
        values: The means, which decide when there is no deviation.
    """
    known = [spread for spread in spreads if spread]
    if known:
        digits = 1 - math.floor(math.log10(median(known)))
    else:
        largest = max((abs(value) for value in values), default=1.0) or 1.0
        digits = 3 - math.floor(math.log10(largest))
    return min(max(digits, 0), 6)


def amount(value: float | None, digits: int) -> str:
    """A number with fixed decimals and a true minus sign."""
    if value is None:
        return NOTHING
    text = f"{value:.{digits}f}"
    if text.startswith("-") and not text.strip("-0."):
        text = text[1:]  # no minus zero
    return text.replace("-", "\N{MINUS SIGN}")


def signed(value: float | None, digits: int) -> str:
    """As ``amount``, with a plus sign where it is positive."""
    text = amount(value, digits)
    return f"+{text}" if value is not None and value > 0 and text.strip("0.") else text


def count(value: int | None) -> str:
    """A whole number with separators at the thousands."""
    return NOTHING if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """A time with three digits, in the unit that suits it."""
    if value is None:
        return NOTHING
    for limit, unit, size in ((1e-3, "µs", 1e-6), (1.0, "ms", 1e-3), (90.0, "s", 1.0)):
        if abs(value) < limit:
            return f"{_three(value / size)} {unit}"
    if abs(value) < 5400:
        return f"{_three(value / 60)} min"
    return f"{_three(value / 3600)} h"


def memory(value: float | None) -> str:
    """A size in binary units."""
    if value is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{_three(value)} {unit}"
        value /= 1024
    return f"{_three(value)} GiB"


def _three(value: float) -> str:
    """Three significant digits, never with an exponent."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def p_value(value: float | None) -> str:
    """A p-value with two digits; tiny ones as a bound."""
    if value is None:
        return NOTHING
    if value < 0.0001:
        return "< 0.0001"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.{1 - math.floor(math.log10(value))}f}"


def seed_list(seeds: Sequence[int]) -> str:
    """Seeds in order, runs of three or more as a range: ``0-4, 7, 9``."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    parts = []
    for run in runs:
        parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(seed) for seed in run]
    return ", ".join(parts)
