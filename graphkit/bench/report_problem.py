"""The section of the report on one problem: its scores, drawings, paired tests and settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphkit.bench.cells import board_decimals, heading, remarks
from graphkit.bench.leaderboard import Comparison, Leaderboard
from graphkit.bench.markup import Markup, element, join
from graphkit.bench.reading import Details
from graphkit.bench.report_figures import cost_figure, curve_figure, strip, strip_span, swatch
from graphkit.bench.rows import Board, Row
from graphkit.bench.wording import (
    NOTHING,
    amount,
    count,
    memory,
    p_value,
    plain,
    seconds,
    seed_list,
    signed,
)

__all__ = ["problem_section"]


def problem_section(
    leaderboard: Leaderboard,
    board: Board,
    title: str,
    number: int,
    series: Mapping[str, int],
    details: Mapping[str, Details],
) -> Markup:
    """The section of one problem."""
    digits = board_decimals(board)
    said = remarks(board)
    parts: list[str] = [
        element("h2", {}, title, Markup(" "), element("small", {}, heading(board))),
        element(
            "div", {"class": "scroll"}, _scores(board, leaderboard.best(board), digits, series)
        ),
    ]
    if said:
        items = (element("li", {}, remark) for remark in said)
        parts.append(element("ul", {"class": "remarks"}, *items))
    figures = [cost_figure(board, number, series), curve_figure(board, number, series, details)]
    if any(figures):
        parts.append(element("div", {"class": "plots"}, *figures))
    pairs = [
        pair
        for pair in leaderboard.comparisons
        if (pair.problem, pair.metric) == (board.problem, board.metric)
    ]
    if pairs:
        parts.append(_pairs(board, pairs, digits, series))
    parts.append(_settings(board, details, series))
    return element("section", {"id": f"problem-{number}"}, *parts)


def _scores(board: Board, best: str | None, digits: int, series: Mapping[str, int]) -> Markup:
    """The table of a board; every cell carries the value it is sorted by."""
    extras = sorted({name for row in board.rows for name in row.extras if name != "last"})
    span = strip_span(board)
    heads = [
        ("model", "text", ""),
        ("seeds", "number", "n"),
        (f"{board.metric or 'score'}", "number", "n"),
        ("", "", ""),
        ("min, max", "number", "n"),
        ("val", "number", "n"),
        ("published", "number", "n"),
        ("gap", "number", "n"),
        ("parameters", "number", "n"),
        ("per epoch", "number", "n"),
        ("per run", "number", "n"),
        ("memory", "number", "n"),
        *((name, "number", "n") for name in extras),
    ]
    head = [
        element(
            "th",
            {"scope": "col", "data-kind": kind, "class": style},
            element("button", {"type": "button"}, name) if name else "",
        )
        for name, kind, style in heads
    ]
    rows = []
    for row in board.rows:
        test = row.test
        failed = []
        if row.failed_seeds:
            title = {"class": "extra bad", "title": f"seeds {seed_list(row.failed_seeds)}"}
            failed = [element("span", title, f"{len(row.failed_seeds)} failed")]
        name = element(
            "th",
            {
                "scope": "row",
                "class": "model first" if row.label == best else "model",
                "data-v": plain(row.label),
            },
            swatch(series[row.label]),
            _breakable(row.label),
        )
        mean = NOTHING
        if test is not None:
            spread = "" if test.std is None else f" ± {amount(test.std, digits)}"
            mean = f"{amount(test.mean, digits)}{spread}"
        low_high = []
        if test is not None and test.low is not None:
            text = f"{amount(test.low, digits)} to {amount(test.high, digits)}"
            low_high = [element("span", {"class": "extra", "title": "95 % interval"}, text)]
        time = {"title": f"{seconds(row.total_seconds)} in total"} if row.total_seconds else {}
        cells = [
            _cell(test.n if test else 0, str(test.n if test else 0), *failed),
            _cell(test.mean if test else None, mean, *low_high),
            element("td", {"data-v": ""}, strip(row, span, digits)),
            _range(row, digits),
            _cell(row.val_mean, amount(row.val_mean, digits)),
            _published(row, digits),
            _gap(row, digits),
            _cell(row.num_parameters, count(row.num_parameters)),
            _cell(row.seconds_per_epoch, seconds(row.seconds_per_epoch)),
            _cell(row.seconds_per_run, element("span", time, seconds(row.seconds_per_run))),
            _cell(row.peak_memory_bytes, memory(row.peak_memory_bytes)),
            *(_cell(row.extras.get(name), _figures(row.extras.get(name))) for name in extras),
        ]
        rows.append(element("tr", {}, name, *cells))
    return element(
        "table",
        {"class": "scores"},
        element("thead", {}, element("tr", {}, *head)),
        element("tbody", {}, *rows),
    )


def _cell(value: float | None, *content: str) -> Markup:
    return element("td", {"class": "n", "data-v": "" if value is None else repr(value)}, *content)


def _figures(value: float | None) -> str:
    """A number of unknown kind with four figures."""
    return NOTHING if value is None else f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _range(row: Row, digits: int) -> Markup:
    if row.test is None:
        return _cell(None, NOTHING)
    low, high = amount(row.test.min, digits), amount(row.test.max, digits)
    return _cell(row.test.min, low, *([] if low == high else [Markup("<br>"), high]))


def _published(row: Row, digits: int) -> Markup:
    if row.reported is None:
        return _cell(None, NOTHING)
    std = row.reported.std
    text = amount(row.reported.value, digits)
    text += "" if std is None else f" ± {amount(std, digits)}"
    return _cell(
        row.reported.value, text, element("span", {"class": "source"}, row.reported.source)
    )


def _gap(row: Row, digits: int) -> Markup:
    text = signed(row.gap, digits)
    if row.below:
        title = "worse than published by more than two standard errors"
        return _cell(row.gap, element("span", {"class": "below", "title": title}, f"{text} ▼"))
    return _cell(row.gap, text)


def _pairs(
    board: Board, pairs: Sequence[Comparison], digits: int, series: Mapping[str, int]
) -> Markup:
    """Every model against every other: difference, corrected p, and whether it counts."""
    labels = [row.label for row in board.rows if row.scores]
    found = {(pair.left, pair.right): pair for pair in pairs}
    head = [
        element("th", {}, ""),
        *(element("th", {"scope": "col"}, _breakable(name)) for name in labels),
    ]
    rows = []
    for mine in labels:
        cells = [element("th", {"scope": "row"}, swatch(series[mine]), mine)]
        for other in labels:
            if mine == other:
                cells.append(element("td", {"class": "self"}, ""))
            elif (mine, other) in found:
                cells.append(_pair(found[mine, other], mine, 1, digits))
            else:
                cells.append(_pair(found[other, mine], mine, -1, digits))
        rows.append(element("tr", {}, *cells))
    few = sum(pair.test.too_few and not pair.test.equal for pair in pairs)
    caption = (
        "Row minus column, mean over shared seeds, with the p-value of Wilcoxon's signed-rank "
        "test after Holm's correction over this problem. ▲ the row is better, ▼ it is worse "
        "(p below 0.05)."
    )
    if few:
        caption += (
            f" {few} of {len(pairs)} pairs share too few seeds for any outcome to be significant "
            "(n is given); they are no part of the correction."
        )
    return join(
        element("h3", {}, "Paired tests"),
        element("p", {"class": "muted"}, caption),
        element(
            "div",
            {"class": "scroll"},
            element(
                "table",
                {"class": "pairs"},
                element("thead", {}, element("tr", {}, *head)),
                element("tbody", {}, *rows),
            ),
        ),
    )


def _breakable(name: str) -> Markup:
    """A name that may be broken after its dashes and strokes."""
    parts = re.split(r"(?<=[_/-])", name)
    return join(*(part for word in parts for part in (word, Markup("<wbr>"))))


def _pair(pair: Comparison, mine: str, sign: int, digits: int) -> Markup:
    test = pair.test
    if test.difference is None:
        return element("td", {"class": "open"}, "no shared seed")
    text = signed(sign * test.difference.mean, digits)
    title = f"{pair.left} minus {pair.right}, {test.n} shared seeds"
    if test.difference.low is not None:
        low, high = (amount(edge, digits) for edge in (test.difference.low, test.difference.high))
        title += f", 95 % interval {low} to {high}"
    if test.effect is not None:
        title += f", effect size {amount(test.effect, 2)}"
    if test.equal:
        style, note = "open", "equal"
    elif test.too_few:
        style, note = "open", f"n = {test.n}"
    else:
        style, note = "open", f"p {p_value(test.p_holm)}"
    if pair.winner is not None:
        better = pair.winner == mine
        style, text = ("better", f"▲ {text}") if better else ("worse", f"▼ {text}")
    return element("td", {"class": style, "title": title}, text, element("small", {}, note))


def _settings(board: Board, details: Mapping[str, Details], series: Mapping[str, int]) -> Markup:
    """All settings of every experiment, folded away."""
    blocks = []
    for row in board.rows:
        settings = details[row.newest].settings if row.newest in details else {}
        entries = [("suite", ", ".join(row.suites)), ("fingerprint", row.fingerprint)]
        if row.epochs:
            low, high = row.epochs
            entries.append(("epochs run", str(low) if low == high else f"{low} to {high}"))
        if "last" in row.extras:
            entries.append(
                (f"test {row.metric} after the last epoch", _figures(row.extras["last"]))
            )
        entries += list(_flat(settings))
        lines = (
            element("tr", {}, element("th", {"scope": "row"}, key), element("td", {}, value))
            for key, value in entries
        )
        table = element("table", {"class": "settings"}, element("tbody", {}, *lines))
        name = element("summary", {}, swatch(series[row.label]), row.label)
        blocks.append(element("details", {}, name, table))
    return element("details", {}, element("summary", {}, "Settings"), *blocks)


def _flat(settings: Any, prefix: str = "", depth: int = 0) -> Iterable[tuple[str, str]]:
    """Nested settings as ``train.lr`` and a value."""
    if isinstance(settings, dict) and settings and depth < 8:
        for key, value in settings.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key), depth + 1)
    else:
        text = settings if isinstance(settings, str) else json.dumps(settings, ensure_ascii=False)
        yield prefix, text if len(text) <= 400 else f"{text[:400]}… ({len(text):,} characters)"
