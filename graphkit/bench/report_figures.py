"""The drawings of the report: strips in tables, markers, and the plots of one problem."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from graphkit.bench import plots
from graphkit.bench.markup import Markup, element
from graphkit.bench.reading import Details
from graphkit.bench.rows import Board, Row

__all__ = [
    "cost_figure",
    "curve_figure",
    "curve_of",
    "figure",
    "strip",
    "strip_span",
    "swatch",
    "thinned",
]

_STEPS = 160  # points of a training curve; longer ones are thinned


def strip_span(board: Board) -> tuple[float, float]:
    """What the strips of a board reach over: the better half of its rows, and what is near."""
    inside = []
    for row in board.rows:
        if row.test is None:
            continue
        edges = [row.test.mean if edge is None else edge for edge in (row.test.low, row.test.high)]
        if row.reported is not None and row.reported.column == "test":
            edges.append(row.reported.value)
        inside.append((min(edges), max(edges)))
    if not inside:
        return 0.0, 1.0
    low, high = inside[0]
    for bottom, top in inside[1:]:  # best first: stop where the axis would lose its use
        wide = max(high, top) - min(low, bottom)
        if len(inside) > 3 and wide > 4 * (high - low) > 0 and (bottom, top) not in inside[:3]:
            break
        low, high = min(low, bottom), max(high, top)
    pad = 0.04 * (high - low) or 0.5 * abs(high) or 1.0
    return low - pad, high + pad


def strip(row: Row, span: tuple[float, float], digits: int) -> Markup:
    """Mean and interval on one line, the published mean as a stroke."""
    if row.test is None:
        return Markup("")
    low, high = span

    def at(value: float) -> str:
        return f"{min(max((value - low) / (high - low), 0.0), 1.0) * 86 + 4:.1f}"

    if not low <= row.test.mean <= high:  # off the scale: an arrow at the border
        left = row.test.mean < low
        shape = "M10 4 L4 9 L10 14" if left else "M84 4 L90 9 L84 14"
        drawing = f'<path d="{shape}" fill="none" stroke="var(--muted)" stroke-width="1.5"/>'
    else:
        drawing = ""
        if row.test.low is not None and row.test.high is not None:
            drawing += (
                f'<line x1="{at(row.test.low)}" x2="{at(row.test.high)}" y1="9" y2="9" '
                'stroke="var(--accent)" stroke-width="2.5" stroke-linecap="round"/>'
            )
        drawing += f'<circle cx="{at(row.test.mean)}" cy="9" r="3.6" fill="var(--accent)"/>'
    reported = row.reported
    if reported is not None and reported.column == "test" and low <= reported.value <= high:
        x = at(reported.value)
        drawing += (
            f'<line x1="{x}" x2="{x}" y1="2" y2="16" stroke="var(--warn)" stroke-width="1.8"/>'
        )
    return Markup(
        '<svg class="strip" viewBox="0 0 94 18" aria-hidden="true">'
        '<line x1="2" x2="92" y1="9" y2="9" stroke="var(--line)"/>'
        f"{drawing}</svg>"
    )


_SHAPES = (  # as plots.MARKERS
    '<circle cx="5.5" cy="5.5" r="4.6"/>',
    '<rect x="1.3" y="1.3" width="8.4" height="8.4"/>',
    '<path d="M5.5 .6 L10.6 10 L.4 10 Z"/>',
    '<path d="M5.5 .2 L10.8 5.5 L5.5 10.8 L.2 5.5 Z"/>',
    '<path d="M5.5 10.4 L10.6 1 L.4 1 Z"/>',
    '<path d="M3.8 .6h3.4v3.2h3.2v3.4h-3.2v3.2h-3.4v-3.2h-3.2v-3.4h3.2z"/>',
    '<path d="M.8 3 L3 .8 L5.5 3.3 L8 .8 L10.2 3 L7.7 5.5 L10.2 8 L8 10.2 L5.5 7.7 L3 10.2 '
    'L.8 8 L3.3 5.5 Z"/>',
)


def swatch(number: int) -> Markup:
    """The marker of a model in its colour."""
    return Markup(
        f'<svg class="swatch" viewBox="0 0 11 11" aria-hidden="true" '
        f'fill="var(--series-{number % plots.COLOURS})">{_SHAPES[number % len(_SHAPES)]}</svg>'
    )


def cost_figure(board: Board, number: int, series: Mapping[str, int]) -> Markup:
    points = [
        plots.Point(
            row.label,
            series[row.label],
            row.seconds_per_run or 0.0,
            row.test.mean,
            row.test.std,
            row.reported.value if row.reported and row.reported.column == "test" else None,
        )
        for row in board.rows
        if row.test is not None and (row.seconds_per_run or 0) > 0
    ]
    if not points or board.metric is None:
        return Markup("")
    drawing = plots.cost_plot(points, board.metric, board.higher_is_better, f"cost-{number}")
    caption = "Score against the time of one run (mean over seeds; bars: one standard deviation)."
    if any(point.reported is not None for point in points):
        caption += " Strokes: published means."
    if plots.stragglers(points, board.higher_is_better):
        caption += " With an arrow: off the scale."
    return figure(drawing, caption, f"Score against time on {board.problem}")


def curve_figure(
    board: Board, number: int, series: Mapping[str, int], details: Mapping[str, Details]
) -> Markup:
    column = f"val_{board.metric}"
    curves, cut = [], False
    for row in board.rows:
        runs = []
        for file in row.files:
            history = details[file].history if file in details else {}
            if column in history:
                pairs = zip(history["epoch"], history[column], strict=True)
                runs.append({x: y for x, y in pairs if x is not None and y is not None})
        curve = curve_of(row.label, series[row.label], [run for run in runs if run])
        if curve is not None:
            cut |= len(curve.epochs) > _STEPS
            curves.append(thinned(curve))
    if not curves or board.metric is None:
        return Markup("")
    drawing = plots.curve_plot(curves, board.metric, board.higher_is_better, f"curve-{number}")
    caption = (
        "Validation score by epoch: mean over seeds, band from the lowest to the highest; "
        "a line ends where half of its runs have ended."
    )
    if cut:
        caption += f" Long curves are thinned to {_STEPS} points."
    return figure(drawing, caption, f"Training curves on {board.problem}")


def curve_of(label: str, series: int, runs: Sequence[Mapping[float, float]]) -> plots.Curve | None:
    """Mean and range over the runs that reached an epoch, while at least half of them did."""
    values: defaultdict[float, list[float]] = defaultdict(list)
    for run in runs:
        for epoch, score in run.items():
            values[epoch].append(score)
    epochs = [epoch for epoch in sorted(values) if 2 * len(values[epoch]) >= len(runs)]
    if not epochs:
        return None
    return plots.Curve(
        label,
        series,
        epochs,
        [fmean(values[epoch]) for epoch in epochs],
        [min(values[epoch]) for epoch in epochs],
        [max(values[epoch]) for epoch in epochs],
    )


def thinned(curve: plots.Curve) -> plots.Curve:
    """At most so many points as the drawing can show, the last among them."""
    length = len(curve.epochs)
    if length <= _STEPS:
        return curve
    keep = sorted({round(k * (length - 1) / (_STEPS - 1)) for k in range(_STEPS)})
    epochs, mean, low, high = (
        [column[k] for k in keep] for column in (curve.epochs, curve.mean, curve.low, curve.high)
    )
    return plots.Curve(curve.label, curve.series, epochs, mean, low, high)


def figure(drawing: Markup, caption: str, label: str) -> Markup:
    return element(
        "figure",
        {},
        element("div", {"role": "img", "aria-label": label}, drawing),
        element("figcaption", {}, caption),
    )
