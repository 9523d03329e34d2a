"""Drawings of the report, as SVG to be set into the page.

Colours are drawn as stand-ins and named afterwards, so that the page's style decides them for
light and for dark screens.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from graphkit.bench.markup import Markup
from graphkit.bench.statistics import CriticalDifference
from graphkit.bench.wording import amount, plain
from graphkit.errors import MissingExtra

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
except ImportError as error:
    raise MissingExtra(
        'the leaderboard plots need matplotlib: pip install "graphkit[bench]"'
    ) from error

from graphkit.bench.labels import FONT, name_lines, place_labels, short

__all__ = [
    "COLOURS",
    "MARKERS",
    "Curve",
    "Point",
    "cost_plot",
    "curve_plot",
    "rank_plot",
    "stragglers",
]

COLOURS = 8  # the page's style defines --series-0 to --series-7
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # as the page's swatches draw them

_INK, _FAINT, _PAPER = "#010203", "#010204", "#010205"  # text; grid; what a label stands on
_STYLE: Any = {
    "svg.hashsalt": "graphkit",  # the same drawing from the same records
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with two $ is no formula
    "font.size": FONT,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}


@dataclass(frozen=True)
class Point:
    """One model in the drawing of score against cost.

    Args:
        label: Name.
        series: Number of the model on the page, which decides colour and marker.
        seconds: Mean time of a run.
        score: Mean test score.
        std: Its deviation over seeds, half the length of the error bar.
        reported: The published mean.
    """

    label: str
    series: int
    seconds: float
    score: float
    std: float | None
    reported: float | None


@dataclass(frozen=True)
class Curve:
    """One model in the drawing of training curves: mean, lowest and highest score by epoch."""

    label: str
    series: int
    epochs: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def cost_plot(points: Sequence[Point], metric: str, higher_is_better: bool, name: str) -> Markup:
    """Draws score against seconds per run.

    A model far off the others is set on the border with its value, so that the others can be
    told apart.

    Args:
        points: At least one.
        metric: Label of the vertical axis.
        higher_is_better: Whether the far-off models to look for are low.
        name: Unique on the page; letters, digits and dashes.
    """
    with _figure(6.0, 3.9, name) as (figure, axes, drawing):
        off = stragglers(points, higher_is_better)
        inside = [one for one in points if one.label not in off]
        values = [edge for one in inside for edge in _reach(one)]
        low, high = min(values), max(values)
        pad = 0.09 * (high - low) or 0.05 * abs(high) or 1.0
        axes.set_ylim(low - pad, high + pad)
        axes.set_xscale("log")
        times = [one.seconds for one in points]
        axes.set_xlim(min(times) / 1.8, max(times) * 2.6)  # room for labels on the right
        _time_axis(axes)
        axes.set_xlabel("time of one run")
        axes.set_ylabel(plain(metric))
        border = low - 0.6 * pad if higher_is_better else high + 0.6 * pad
        for one in points:
            colour, marker = _colour(one.series), MARKERS[one.series % len(MARKERS)]
            height = one.score if one.label not in off else border
            if one.label not in off and one.std is not None:
                axes.errorbar(
                    one.seconds, height, one.std, color=colour, elinewidth=1.1, capsize=2.5
                )
            if one.label not in off and one.reported is not None:
                axes.plot(
                    [one.seconds] * 2, [height, one.reported], color=colour, lw=0.8, ls=(0, (1, 2))
                )
                axes.plot(one.seconds, one.reported, "_", color=colour, ms=11, mew=1.6)
            axes.plot(one.seconds, height, marker, color=colour, ms=7.5, mec=_PAPER, mew=0.7)
        digits = _tick_digits(axes)
        figure.canvas.draw()
        place_labels(
            axes,
            [(one.seconds, one.score if one.label not in off else border) for one in points],
            [
                one.label
                if one in inside
                else f"{one.label} {amount(one.score, digits)} {'↓' if higher_is_better else '↑'}"
                for one in points
            ],
            [_reach(one) if one.label not in off else (border, border) for one in points],
            _FAINT,
        )
    return Markup(drawing.getvalue())


def curve_plot(curves: Sequence[Curve], metric: str, higher_is_better: bool, name: str) -> Markup:
    """Draws validation score by epoch: the mean over seeds as a line, their range as a band.

    The axis shows what the models come to, not where they start; a model that ends far off the
    others may lie outside and is named at the border.

    Args:
        curves: At least one, each with at least one epoch.
        metric: Label of the vertical axis.
        higher_is_better: Whether the far-off models to look for are low.
        name: Unique on the page; letters, digits and dashes.
    """
    with _figure(6.0, 3.9, name) as (figure, axes, drawing):
        for one in curves:
            colour = _colour(one.series)
            # never rasterised, never thinned by matplotlib: the page thins the curves itself
            axes.fill_between(one.epochs, one.low, one.high, color=colour, alpha=0.16, lw=0)
            axes.plot(one.epochs, one.mean, color=colour, lw=1.4)
        last = max(one.epochs[-1] for one in curves)
        ends = [Point(one.label, one.series, 1.0, one.mean[-1], None, None) for one in curves]
        off = stragglers(ends, higher_is_better)
        settled = [
            value
            for one in curves
            if one.label not in off
            for epoch, value in zip(one.epochs, one.mean, strict=True)
            if epoch - one.epochs[0] >= 0.12 * (one.epochs[-1] - one.epochs[0])
        ]
        low, high = min(settled), max(settled)
        pad = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        axes.set_ylim(low - pad, high + pad)
        axes.set_xlim(0, max(last, 1))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"validation {plain(metric)}")
        figure.subplots_adjust(right=0.76)
        figure.canvas.draw()
        name_lines(
            axes, [(one.label, one.epochs[-1], one.mean[-1], _colour(one.series)) for one in curves]
        )
    return Markup(drawing.getvalue())


def rank_plot(ranking: CriticalDifference, series: Mapping[str, int], name: str) -> Markup:
    """Draws average ranks on a line; bars join models that the test does not tell apart.

    Args:
        ranking: What to draw.
        series: Number of each model on the page.
        name: Unique on the page; letters, digits and dashes.

    Source: Demsar, JMLR 7, 2006, figure 1.
    """
    count = len(ranking.models)
    left = (count + 1) // 2
    step, bar = 0.24, 0.13  # inches
    top = 0.75
    below = 0.3 + bar * len(ranking.groups)
    height = top + below + step * left + 0.1
    with _figure(8.4, height, name) as (_, axes, drawing):
        axes.set_position((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(0, 8.4)
        axes.set_ylim(height, 0)  # downwards, in inches
        start, end = 2.3, 6.1

        def at(rank: float) -> float:
            return start + (rank - 1) / (count - 1) * (end - start)

        axes.plot([start, end], [top, top], color=_INK, lw=1)
        for tick in range(1, count + 1):
            axes.plot([at(tick)] * 2, [top - 0.07, top], color=_INK, lw=1)
            axes.text(at(tick), top - 0.11, str(tick), ha="center", va="bottom")
        reach = min(at(1 + ranking.difference), 8.2)
        axes.plot([start, reach], [0.22, 0.22], color=_INK, lw=1.6)
        for edge in (start, reach):
            axes.plot([edge, edge], [0.16, 0.28], color=_INK, lw=1.6)
        axes.text(
            start - 0.1,
            0.22,
            f"critical difference {ranking.difference:.2f}",
            ha="right",
            va="center",
        )
        for number, (first, last) in enumerate(ranking.groups):
            y = top + 0.16 + bar * number
            ends = [at(ranking.ranks[first]) - 0.05, at(ranking.ranks[last]) + 0.05]
            axes.plot(ends, [y, y], color=_INK, lw=3.2, solid_capstyle="round")
        for place, (model, rank) in enumerate(zip(ranking.models, ranking.ranks, strict=True)):
            on_left = place < left
            line = place if on_left else count - 1 - place
            y = top + below + step * line
            side = start - 0.25 if on_left else end + 0.25
            colour = _colour(series[model])
            axes.plot([at(rank), at(rank), side], [top, y, y], color=_INK, lw=0.8)
            axes.plot(
                at(rank),
                top,
                MARKERS[series[model] % len(MARKERS)],
                color=colour,
                ms=7.5,
                mec=_PAPER,
                mew=0.7,
                zorder=5,
            )
            axes.text(
                side + (-0.06 if on_left else 0.06),
                y,
                short(f"{plain(model)}  {rank:.2f}" if on_left else f"{rank:.2f}  {plain(model)}"),
                ha="right" if on_left else "left",
                va="center",
            )
    return Markup(drawing.getvalue())


@contextmanager
def _figure(width: float, height: float, name: str) -> Iterator[tuple[Figure, Axes, io.StringIO]]:
    """A figure to draw on; its SVG is in the text buffer afterwards."""
    drawing = io.StringIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # the browser draws the text, with fonts that have what matplotlib's own lacks
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(width, height), dpi=72)
        FigureCanvasAgg(figure)  # measures texts
        axes = figure.add_subplot()
        figure.subplots_adjust(left=0.125, right=0.985, bottom=0.125, top=0.975)
        axes.set_axisbelow(True)
        yield figure, axes, drawing
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
        drawing.write(_for_page(out.getvalue(), name))


def _for_page(svg: str, name: str) -> str:
    """Names colours, makes ids unique, and cuts what a page does not need."""
    svg = svg[svg.index("<svg") :]
    # a style element inside a drawing would hold for the whole page: it is in the page's own
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"<svg\b", f'<svg aria-hidden="true" class="{name.split("-")[0]}"', svg, count=1)

    def inside_tag(match: re.Match[str]) -> str:
        tag = match.group()
        for stand_in, colour in ((_INK, "ink"), (_FAINT, "faint"), (_PAPER, "paper")):
            tag = tag.replace(stand_in, f"var(--{colour})")
        tag = re.sub(r"#0f000(\d)", r"var(--series-\1)", tag)
        tag = re.sub(r'\bid="', f'id="{name}-', tag)
        tag = re.sub(r'href="#', f'href="#{name}-', tag)
        tag = re.sub(r"url\(#", f"url(#{name}-", tag)
        return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number.group()):.2f}", tag)

    # matplotlib escapes texts, so that every < starts a tag
    return re.sub(r"<[^>]*>", inside_tag, svg)


def _colour(series: int) -> str:
    return f"#0f000{series % COLOURS}"


def _reach(point: Point) -> tuple[float, float]:
    """Lowest and highest value drawn for a point."""
    std = point.std or 0.0
    values = [point.score - std, point.score + std]
    if point.reported is not None:
        values.append(point.reported)
    return min(values), max(values)


def stragglers(points: Sequence[Point], higher_is_better: bool) -> set[str]:
    """Labels of the worst, while one takes up most of the axis and three others remain."""
    inside = sorted(points, key=lambda one: one.score, reverse=higher_is_better)
    off: set[str] = set()
    while len(inside) > 3:
        rest = [edge for one in inside[:-1] for edge in _reach(one)]
        everything = [*rest, *_reach(inside[-1])]
        if max(everything) - min(everything) < 3 * (max(rest) - min(rest)):
            break
        off.add(inside.pop().label)
    return off


def _time_axis(axes: Axes) -> None:
    """Ticks at times that people say."""
    ticks = {
        0.001: "1 ms",
        0.01: "10 ms",
        0.1: "0.1 s",
        1.0: "1 s",
        3.0: "3 s",
        10.0: "10 s",
        30.0: "30 s",
        60.0: "1 min",
        180.0: "3 min",
        600.0: "10 min",
        1800.0: "30 min",
        3600.0: "1 h",
        10800.0: "3 h",
        36000.0: "10 h",
        86400.0: "1 d",
        864000.0: "10 d",
    }
    low, high = axes.get_xlim()
    shown = [tick for tick in ticks if low <= tick <= high]
    if len(shown) >= 2:
        axes.set_xticks(shown, [ticks[tick] for tick in shown])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.minorticks_off()
    else:  # all within one step: let matplotlib choose, in seconds
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _tick_digits(axes: Axes) -> int:
    """Decimals that tell the ticks of the vertical axis apart, and one more."""
    low, high = axes.get_ylim()
    return next((d for d in range(6) if abs(high - low) > 10.0**-d), 6) + 2
