from __future__ import annotations

import pytest

from graphkit.bench.wording import (
    amount,
    count,
    decimals,
    memory,
    p_value,
    plain,
    seconds,
    seed_list,
    signed,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0 µs"),
        (2.5e-5, "25.0 µs"),
        (0.0123, "12.3 ms"),
        (0.5, "500 ms"),
        (1.0, "1.00 s"),
        (59.94, "59.9 s"),
        (90.0, "1.50 min"),
        (5400.0, "1.50 h"),
        (3.6e6, "1,000 h"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert seconds(value) == text


def test_memory() -> None:
    assert [memory(size) for size in (512, 1536, 300 * 2**20, 12 * 2**30)] == [
        "512 B",
        "1.50 KiB",
        "300 MiB",
        "12.0 GiB",
    ]


def test_signs() -> None:
    minus = "\N{MINUS SIGN}"
    assert [amount(value, 2) for value in (0.5, -0.5, -0.001)] == ["0.50", f"{minus}0.50", "0.00"]
    assert [signed(value, 2) for value in (0.5, -0.5, 0.001)] == ["+0.50", f"{minus}0.50", "0.00"]
    assert count(92231) == "92,231"


@pytest.mark.parametrize(
    ("spreads", "values", "digits"),
    [
        ([0.0052, None], [0.8], 4),  # 0.0052: two digits of the deviation
        ([0.12], [50.0], 2),
        ([15.0], [300.0], 0),
        ([0.0, None], [0.8123], 4),  # no deviation: four figures of the largest value
        ([], [80.0], 2),
        ([], [], 3),
        ([1e-12], [1.0], 6),
    ],
)
def test_decimals(spreads: list[float | None], values: list[float], digits: int) -> None:
    assert decimals(spreads, values) == digits


def test_p_values() -> None:
    assert [p_value(p) for p in (1.0, 0.125, 0.0312, 0.00195, 1e-9, None)] == [
        "1.00",
        "0.12",
        "0.031",
        "0.0019",
        "< 0.0001",
        "\N{EN DASH}",
    ]


def test_seed_list() -> None:
    assert seed_list([3, 0, 1, 2, 7, 9, 10]) == "0-3, 7, 9, 10"
    assert seed_list([]) == ""


def test_plain_is_one_line_that_no_terminal_obeys() -> None:
    assert plain("a\n b\tc") == "a b c"
    assert plain("\x1b[2J\u202eé日") == "\ufffd[2J\ufffdé日"
