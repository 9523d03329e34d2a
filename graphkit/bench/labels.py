"""Names beside points and lines, so that none lies over another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from graphkit.bench.wording import plain

__all__ = ["FONT", "name_lines", "place_labels", "short"]

FONT = 9.0  # points
_SIDES: tuple[tuple[float, float, Literal["left", "center", "right"]], ...] = (
    (1, 0, "left"),
    (-1, 0, "right"),
    (1, 0.8, "left"),
    (1, -0.8, "left"),
    (-1, 0.8, "right"),
    (-1, -0.8, "right"),
    (0, 1, "center"),
    (0, -1, "center"),
)


def short(label: str, limit: int = 30) -> str:
    """Cuts a name that would not fit into a drawing."""
    return label if len(label) <= limit else f"{label[: limit - 1]}…"


def place_labels(
    axes: Axes,
    anchors: Sequence[tuple[float, float]],
    labels: Sequence[str],
    reaches: Sequence[tuple[float, float]],
    line_colour: str,
) -> None:
    """Writes each name beside its point, where it hits no other name, point or error bar.

    A name for which there is no room is left out.

    Args:
        axes: Drawn once already, with its final limits.
        anchors: Where the points are, in the units of the axes.
        labels: Their names.
        reaches: Lower and upper end of each error bar.
        line_colour: Of the lines to names that stand far off.
    """
    to_screen = axes.transData.transform
    back = axes.transData.inverted().transform
    frame = axes.get_window_extent()
    marks = []
    for (x, y), (low, high) in zip(anchors, reaches, strict=True):
        centre, bottom, top = to_screen((x, y)), to_screen((x, low)), to_screen((x, high))
        marks.append(Bbox.from_extents(centre[0] - 5, centre[1] - 5, centre[0] + 5, centre[1] + 5))
        marks.append(Bbox.from_extents(centre[0] - 3, bottom[1], centre[0] + 3, top[1]))
    taken: list[Bbox] = []
    for i in sorted(range(len(labels)), key=lambda i: -anchors[i][1]):
        text = axes.annotate(
            short(plain(labels[i])),
            anchors[i],
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
        )
        distance = _settle(text, frame, [*marks, *taken])
        if distance is None:
            text.remove()
            continue
        box = text.get_window_extent()
        taken.append(box.padded(1))
        if distance > 14:
            x, y = to_screen(anchors[i])
            near = (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))
            ends = back([(x, y), near])
            axes.plot(ends[:, 0], ends[:, 1], color=line_colour, lw=0.7, zorder=1)


def _settle(text: Annotation, frame: Bbox, others: Sequence[Bbox]) -> float | None:
    """Moves a label to the nearest free place around its point; how far away that is."""
    for distance in (8, 14, 22, 32, 44, 58):
        for across, up, alignment in _SIDES:
            text.set_position((across * distance, up * distance))
            text.set_horizontalalignment(alignment)
            box = text.get_window_extent()
            inside = (
                box.x0 >= frame.x0 + 2
                and box.x1 <= frame.x1 - 1
                and box.y0 >= frame.y0 + 1
                and box.y1 <= frame.y1 - 1
            )
            if inside and not any(box.overlaps(other) for other in others):
                return distance
    return None


def name_lines(axes: Axes, ends: Sequence[tuple[str, float, float, str]]) -> None:
    """Writes the names of lines at the right of the axes, in the order of their last values.

    Args:
        axes: Drawn once already, with its final limits and room at its right.
        ends: Name, last point (two numbers) and colour of each line.
    """
    frame = axes.get_window_extent()
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    spacing = FONT * 1.25
    held = [(name, x, min(max(y, low), high), colour) for name, x, y, colour in ends]
    held.sort(key=lambda end: end[2])
    lines = 1 + int(frame.height / spacing)
    held = held[-lines:]  # more names than lines: the table has them all
    places: list[float] = []
    for _, x, y, _ in held:
        height = float(axes.transData.transform((x, y))[1])
        places.append(max(height, places[-1] + spacing if places else frame.y0))
    ceiling = max(frame.y1, frame.y0 + spacing * (len(places) - 1))
    for k in range(len(places) - 1, -1, -1):  # pushed beyond the top: back down
        places[k] = min(places[k], ceiling)
        ceiling = places[k] - spacing
    back = axes.transData.inverted().transform
    for (name, x, y, colour), place in zip(held, places, strict=True):
        edge, beside = (back((frame.x1 + offset, place)) for offset in (12, 15))
        axes.plot(
            [x, right, edge[0]],
            [y, y, edge[1]],
            color=colour,
            lw=0.8,
            ls=(0, (2, 1.5)),
            clip_on=False,
        )
        text = axes.text(beside[0], beside[1], plain(name), va="center", clip_on=False)
        room = axes.figure.bbox.width - frame.x1 - 18
        for limit in range(40, 3, -1):
            text.set_text(short(plain(name), limit))
            if text.get_window_extent().width <= room:
                break
