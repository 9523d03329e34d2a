"""A measurement of training out of core to look at: tables, a picture, a page without a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from rich.console import Console
from rich.table import Table

from graphkit.bench.markup import Markup, element
from graphkit.bench.ooc_bars import Found, bars, later, steady
from graphkit.bench.ooc_ways import WAYS
from graphkit.bench.page_style import STYLE
from graphkit.bench.wording import NOTHING, count
from graphkit.bench.wording import memory as size
from graphkit.bench.wording import seconds as time

__all__ = ["WHAT", "page", "picture", "show"]

WHAT = {
    "packed": "this store: drawn ahead, packed",
    "memory": "all in memory",
    "mapped": "mapped, PyG's loader",
    "mapped-random": "mapped, told not to read ahead",
    "static": "on demand, hottest rows cached",
    "lru": "on demand, LRU cache",
    "pages": "on demand, merged into pages",
    "row-by-row": "on demand, row by row",
}
_WAY_HEADS = (
    "way", "epoch", "over packed", "wanted", "asked of the disk", "read", "read / asked",
    "read / wanted", "peak memory", "measured on",
)  # fmt: skip
_BAR_HEADS = ("of", "goal", "bar", "value", "", "how")


def ways_table(found: Found) -> list[tuple[str, ...]]:
    """Cells of the table of ways, one row each."""
    mine = steady(found.get("packed", {}))
    rows = []
    for way in WAYS:
        told = found.get(way)
        if told is None:
            continue
        if "error" in told:
            rows.append((WHAT[way], str(told["error"]), *[NOTHING] * 8))
            continue
        epochs, seconds = later(told), steady(told)
        sums = {
            k: fmean(e[k] for e in epochs) for k in ("wanted_bytes", "asked_bytes", "disk_bytes")
        }
        done = f"{epochs[0]['batches']} of {epochs[0]['of']} batches"
        done += f", {len(epochs)} epochs" if len(epochs) > 1 else ""
        rows.append(
            (
                WHAT[way], ("" if epochs[0]["whole"] else "about ") + time(seconds),
                _ratio(seconds, mine), size(sums["wanted_bytes"]), size(sums["asked_bytes"]),
                size(sums["disk_bytes"]), _ratio(sums["disk_bytes"], sums["asked_bytes"]),
                _ratio(sums["disk_bytes"], sums["wanted_bytes"]),
                size(told["peak"]["anonymous"]), done,
            )
        )  # fmt: skip
    return rows


def bars_table(found: Found) -> list[tuple[str, ...]]:
    """Cells of the table of goals, one row each."""
    return [
        (
            one.source, one.what, NOTHING if one.goal is None else f"{one.sign} {one.goal:g}",
            NOTHING if one.value is None else f"{one.value:.3g}", one.verdict, one.note,
        )
        for one in bars(found)
    ]  # fmt: skip


def facts(found: Found) -> dict[str, str]:
    """What was measured, in words."""
    ready = found.get("ready", {})
    if "nodes" not in ready:
        return {}
    losses = [found[way]["epochs"][0]["losses"] for way in WAYS if found.get(way, {}).get("epochs")]
    shortest = min((len(each) for each in losses), default=0)
    same = all(each[:shortest] == losses[0][:shortest] for each in losses)
    cached, budget = ready["cached_rows"] / ready["nodes"], ready["memory"]
    held = "held by a control group" if ready["confined"] else "pages dropped by hand"
    return {
        "graph": f"{count(ready['nodes'])} nodes, {count(ready['edges'])} edges",
        "features": f"{size(ready['feature_bytes'])}, rows of {ready['row_bytes']} B",
        "memory": f"{size(budget)}, {held}",
        "features over memory": f"{ready['feature_bytes'] / budget:.2f}",
        "batches": f"{ready['batches']} an epoch, {count(int(ready['rows_per_batch']))} rows each",
        "rows wanted at all": f"{ready['distinct_rows'] / ready['nodes']:.0%} of the nodes",
        "cached": f"{cached:.1%} of the nodes, {1 - ready['cold_rows'] / ready['accesses']:.0%} "
        "of accesses",
        "pack": size(ready["pack_bytes"]),
        "all ways train alike": f"{'yes' if same else 'NO'}, first {shortest} losses to the bit",
    }


def show(found: Found, console: Console) -> None:
    """Prints the tables."""
    for key, value in facts(found).items():
        console.print(f"{key}: {value}", highlight=False, markup=False)
    for heads, rows in ((_WAY_HEADS, ways_table(found)), (_BAR_HEADS, bars_table(found))):
        table = Table(*heads)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def page(found: Found, title: str) -> str:
    """Returns an HTML page that opens without a network."""
    told = [
        element("div", {}, element("dt", {}, k), element("dd", {}, v))
        for k, v in facts(found).items()
    ]
    body = element(
        "main",
        {},
        element("h1", {}, title),
        element("section", {}, element("dl", {"class": "facts"}, *told)),
        element("section", {}, element("h2", {}, "Goals"), _table(_BAR_HEADS, bars_table(found))),
        element("section", {}, element("h2", {}, "Ways"), _table(_WAY_HEADS, ways_table(found))),
        element("section", {}, element("h2", {}, "Where the time goes"), _drawn(found)),
    )
    head = element("head", {}, element("meta", {"charset": "utf-8"}), element("title", {}, title),
                   element("style", {}, Markup(STYLE)))  # fmt: skip
    return f"<!doctype html>{element('html', {'lang': 'en'}, head, element('body', {}, body))}"


def picture(found: Found) -> str:
    """Returns the drawing by itself, as an SVG file."""
    style = STYLE[: STYLE.index("* {")].replace(":root", "svg")
    svg = _drawn(found).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return svg.replace(">", f"><style>{style}text {{ font-family: sans-serif; }}</style>", 1)


def _ratio(value: float | None, base: float | None) -> str:
    return f"{value / base:.3g}" if value is not None and base else NOTHING


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    top = element("tr", {}, *(element("th", {}, head) for head in heads))
    lines = (element("tr", {}, *(element("td", {}, cell) for cell in row)) for row in rows)
    table = element("table", {}, element("thead", {}, top), element("tbody", {}, *lines))
    return element("div", {"class": "scroll"}, table)


@dataclass(frozen=True)
class _Line:
    """One bar of a drawing: its share of the width, and what stands beside it."""

    label: str
    share: float
    text: str
    series: int


def _drawn(found: Found) -> Markup:
    """Three drawings below each other: epochs of all ways, stages, rates."""
    groups = {
        "Time of an epoch with a small network (logarithmic)": _epochs(found),
        "The store's epoch by stage, in seconds of a thread; they run side by side": _stages(found),
        "Rate of reading without a network": _rates(found),
    }
    parts, y = [], 0
    for title, lines in groups.items():
        if not lines:
            continue
        y += 22
        parts.append(_text(8, y, title, "ink", "bold"))
        for line in lines:
            y += 20
            width = max(360 * min(line.share, 1.0), 1.0)
            fill = f"var(--series-{line.series})"
            parts += [
                _text(8, y, line.label, "ink"),
                element("rect", {"x": "250", "y": str(y - 11), "width": f"{width:.1f}",
                                 "height": "14", "fill": fill}),
                _text(256 + width, y, line.text, "ink"),
            ]  # fmt: skip
        y += 16
    frame = {"viewBox": f"0 0 760 {y + 8}", "role": "img", "font-size": "12",
             "style": "max-width: 760px"}  # fmt: skip
    return element("svg", frame, *parts)


def _text(x: float, y: float, text: str, colour: str, weight: str = "normal") -> Markup:
    at = {"x": f"{x:.1f}", "y": str(y), "fill": f"var(--{colour})", "font-weight": weight}
    return element("text", at, text)


def _epochs(found: Found) -> list[_Line]:
    times = {way: steady(found[way]) for way in WAYS if found.get(way, {}).get("epochs")}
    known = {way: seconds for way, seconds in times.items() if seconds}
    if not known:
        return []
    low, high = min(known.values()) / 2, max(known.values())
    return [
        _Line(WHAT[way], math.log(s / low) / math.log(high / low), time(s), int(way != "packed"))
        for way, s in known.items()
    ]


def _stages(found: Found) -> list[_Line]:
    epochs = later(found.get("packed", {}))
    if not epochs:
        return []
    names = {"topology": "ids and edges", "rows": "rows", "assembly": "putting rows in order"}
    values = {
        label: median(e["stages"][key] for e in epochs)
        for key, label in names.items()
        if key in epochs[0]["stages"]
    }
    values["computing"] = median(e["compute_seconds"] for e in epochs)
    values["waiting for a batch"] = median(e["wait_seconds"] for e in epochs)
    values["the whole epoch"] = median(e["seconds"] for e in epochs)
    most = max(values.values()) or 1.0
    return [_Line(k, v / most, time(v), n % 8) for n, (k, v) in enumerate(values.items())]


def _rates(found: Found) -> list[_Line]:
    rates: Mapping[str, Any] = found.get("rates", {})
    rounds = rates.get("rounds", [])
    if not rounds:
        return []
    best = rates["strictest"]
    values = {
        "features": median(e["asked_bytes"] / e["seconds"] for e in rounds),
        "all that is read": median(e["disk_bytes"] / e["seconds"] for e in rounds),
        "the disk front to back": median(e["disk"] for e in rounds),
        f"strictest ({best['request_bytes'] >> 20} MiB, {best['threads']} threads)": best[
            "bytes_per_second"
        ],
    }
    most = max(values.values())
    return [_Line(k, v / most, f"{size(v)}/s", n) for n, (k, v) in enumerate(values.items())]
