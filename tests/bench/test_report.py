from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from graphkit.bench.leaderboard import load
from graphkit.errors import StorageError
from tests.bench.records import HOSTILE, failed, record, whole_suite, write

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from graphkit.bench import plots, report
from graphkit.bench.labels import name_lines, place_labels
from graphkit.bench.markup import block, element, join
from graphkit.bench.report_figures import curve_of, thinned

_VOID = {"meta", "br", "hr", "col"}
_KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "nav"),
    *("footer", "h1", "h2", "h3", "p", "a", "div", "span", "small", "ul", "li", "dl", "dt", "dd"),
    *("table", "thead", "tbody", "tr", "th", "td", "button", "details", "summary", "pre", "br"),
    *("figure", "figcaption", "script", "wbr"),
    *("svg", "g", "path", "use", "text", "tspan", "defs", "clippath", "rect", "circle", "line"),
}


class Page(HTMLParser):
    """Reads a page as a browser would and notes what it would do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID | {"wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def page_of(folder: Path, records: list[dict[str, Any]]) -> str:
    return report.page(load(write(folder, records)), command="make page")


def check(text: str) -> Page:
    """Well formed, nothing but our elements and script, nothing from outside."""
    page = Page(text)
    assert page.open == []
    assert set(page.tags) <= _KNOWN
    assert page.tags.count("script") == page.tags.count("style") == 1
    [script] = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = [v for t, n, v in page.attributes if t == "meta" and v.startswith("default-src")]
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name, value)
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#"), (tag, name, value)
            assert value[1:] in ids, (tag, name, value)
        if "url(" in value:
            assert re.fullmatch(r"url\(#([\w-]+)\)", value), value
            assert value[5:-1] in ids
    assert "@import" not in text
    assert "\x00" not in text
    return page


def test_whole_page(tmp_path: Path) -> None:
    page = check(page_of(tmp_path, whole_suite(range(6))))
    for words in (
        "cora/public accuracy, higher is better",
        "zinc/subset mae, lower is better",
        "Liu et al. 2020, fixed split",
        "graph_transformer: seeds 3-5 not run",
        "cannot allocate 12.4 GiB for attention over 19,717 nodes",
        "Average ranks over problems",
        "1 record of outdated recipes left out: gcn on cora/public",
        "train.weight_decay",
        "Example CPU 3000",
        "2026-01-02",
        "make page",
    ):
        assert words in page.words, words
    # one cost and one curve drawing for each of four problems, and the ranks
    drawings = [v for t, n, v in page.attributes if t == "svg" and n == "class"]
    assert [drawings.count(kind) for kind in ("cost", "curve", "rank")] == [4, 4, 1]


def test_same_records_same_bytes(tmp_path: Path) -> None:
    """Whatever the hash seed, the time zone and the locale."""
    write(tmp_path, whole_suite(range(3)))
    code = (
        "import sys; from pathlib import Path\n"
        "from graphkit.bench.leaderboard import load\n"
        "from graphkit.bench import report\n"
        "report.write(load(Path(sys.argv[1])), Path(sys.argv[2]), command='x')\n"
    )
    for number in range(2):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), str(tmp_path / f"{number}.html")],
            check=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONHASHSEED": str(number), "TZ": f"UTC{number * 5}"},
        )
    first, second = ((tmp_path / f"{number}.html").read_bytes() for number in range(2))
    assert first == second


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(tmp_path: Path, text: str) -> None:
    settings = {text: text, "nested": {text: [text]}}
    host = record()["host"] | {"processor": text, "platform": text, "git_commit": text}
    runs = [
        record(
            name,
            problem,
            seed,
            0.8 + seed / 100,
            suite=text,
            fingerprint=text,
            metric=metric,
            settings=settings,
            host=host,
            measures={text: 1.0},
            reported={"value": 0.9, "std": None, "column": "test", "source": text, "seeds": 1},
        )
        for problem, metric in ((text, text), (f"{text}2", "accuracy"))
        for name in (text, f"{text} b", "c")
        for seed in range(2)
    ]
    crash = {"type": text, "message": text, "traceback": f"{text}\n  {text}"}
    runs.append(failed(text, text, 9, error=crash, fingerprint=text, metric=text))
    runs.append(record(text, text, 0, suite=text, fingerprint=f"{text} old", finished="2020-01-01"))
    folder = write(tmp_path, runs)
    (folder / "suite" / "<b>&'\".json").write_text(json.dumps({"schema": text}))
    page = check(report.page(load(folder), command=text))
    shown = " ".join(text.split()).replace("\x1b", "\ufffd").replace("\u202e", "\ufffd")
    assert shown.replace("\x00", "\ufffd") in page.words


def test_any_value_in_any_field_makes_a_page(tmp_path: Path) -> None:
    values = (
        None,
        True,
        -1,
        1.5,
        1e308,
        math.nan,
        "",
        "x",
        [1],
        {"a": {"b": None}},
        {"epoch": [1]},
    )
    runs = []
    for key in record():
        for number, value in enumerate(values):
            runs.append(record(f"gcn-{number}", f"{key}/any") | {key: value})
    for history in (
        {"epoch": [0, 1], "val_accuracy": [None, None]},
        {"epoch": [], "val_accuracy": []},
        {"epoch": [0, "x", 2], "val_accuracy": [0.1, 0.2, 0.3]},
        {"epoch": [0, 1], "val_accuracy": [0.1]},
        {"epoch": [3, 3], "val_accuracy": [0.1, 0.2]},
        {"epoch": [-5, 7], "val_accuracy": [1e140, -1e140]},
    ):
        runs.append(record("gcn", f"history/{len(runs)}", history=history))
    for seconds in (0, -1, 1e-9, 1e12):
        runs.append(record("gcn", f"cost/{seconds}", cost={"total_seconds": seconds}))
    runs.append(record("gcn", "score/huge", score=1e140))
    check(page_of(tmp_path, runs))


def test_names_without_glyphs_or_of_any_length(tmp_path: Path) -> None:
    names = ["日本語", "🙂" * 40, "_hidden", "x" * 300, " ", "$", "\\"]
    check(page_of(tmp_path, [record(name, seed=seed) for name in names for seed in range(2)]))


def test_empty_leaderboard_is_a_page(tmp_path: Path) -> None:
    assert "No records were found." in check(page_of(tmp_path, [])).words


def test_only_crashes_make_a_page(tmp_path: Path) -> None:
    page = check(page_of(tmp_path, [failed(seed=0, metric=None), failed(seed=1, metric=None)]))
    assert "seeds 0, 1 failed" in page.words


def test_below_and_best_are_marked(tmp_path: Path) -> None:
    paper = {"value": 0.95, "std": None, "column": "test", "source": "s", "seeds": None}
    runs = [
        record(name, seed=seed, score=level + seed / 1000, reported=paper)
        for name, level in (("first", 0.9), ("second", 0.5))
        for seed in range(6)
    ]
    text = page_of(tmp_path, runs)
    assert text.count('class="below"') == 2
    assert re.findall(r'class="model first" data-v="([^"]+)"', text) == ["first"]
    assert "▲ +0.4" in text
    assert "▼ \N{MINUS SIGN}0.4" in text


def test_different_machines_are_pointed_out(tmp_path: Path) -> None:
    other = record()["host"] | {"processor": "Another CPU"}
    text = page_of(tmp_path, [record(seed=0), record(seed=1, host=other)])
    assert "2 kinds of machine" in text
    assert "kinds of machine" not in page_of(tmp_path / "one", [record(seed=0), record(seed=1)])


def test_page_is_written_whole(tmp_path: Path) -> None:
    found = load(write(tmp_path / "results", [record()]))
    path = report.write(found, tmp_path / "out" / "page.html")
    assert [one.name for one in path.parent.iterdir()] == ["page.html"]
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "graphkit report --results results --out page.html" in text
    assert str(tmp_path) not in text
    with pytest.raises(StorageError, match="cannot write"):
        report.write(found, tmp_path / "results")


def test_curve_is_the_mean_while_half_of_the_runs_last() -> None:
    """Epoch 2 is reached by two of three runs, epoch 3 by one."""
    runs = [{0: 0.0, 1: 0.3}, {0: 0.2, 1: 0.5, 2: 0.6}, {0: 0.4, 1: 0.7, 2: 0.8, 3: 0.9}]
    curve = curve_of("x", 0, runs)
    assert curve is not None
    assert curve.epochs == [0, 1, 2]
    assert curve.mean == pytest.approx([0.2, 0.5, 0.7])
    assert (curve.low, curve.high) == ([0.0, 0.3, 0.6], [0.4, 0.7, 0.8])
    assert curve_of("x", 0, []) is None


def test_long_curves_are_thinned_and_keep_both_ends() -> None:
    column = [float(epoch) for epoch in range(5000)]
    short = thinned(plots.Curve("x", 0, column, column, column, column))
    assert len(short.epochs) <= 160
    assert (short.epochs[0], short.epochs[-1]) == (0.0, 4999.0)


def test_straggler_leaves_the_scale_to_the_others() -> None:
    points = [
        plots.Point(name, i, 1.0, score, 0.01, None)
        for i, (name, score) in enumerate({"a": 0.84, "b": 0.83, "c": 0.81, "d": 0.5}.items())
    ]
    assert plots.stragglers(points, higher_is_better=True) == {"d"}
    assert plots.stragglers(points[:3], higher_is_better=True) == set()
    # where lower is better, 0.5 is the best of them and stays
    assert "d" not in plots.stragglers(points, higher_is_better=False)


def test_dollars_in_a_name_make_no_formula() -> None:
    name = "$a_1$ & <b>"
    points = [plots.Point(name, 0, 1.0, 0.8, 0.01, None)]
    assert ">$a_1$ &amp; &lt;b&gt;<" in plots.cost_plot(points, "accuracy", True, "cost-0")
    curve = plots.Curve(name, 0, [0.0, 1.0], [0.1, 0.2], [0.1, 0.2], [0.1, 0.2])
    assert ">$a_1$ &amp; &lt;b&gt;<" in plots.curve_plot([curve], "accuracy", True, "curve-0")


def overlaps(boxes: list[Any]) -> int:
    return sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_names_of_points_do_not_overlap() -> None:
    """Thirty models in a heap: what is named is apart, and what stands free is named."""
    figure = Figure(figsize=(6, 4), dpi=72)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlim=(0, 10), ylim=(0, 10))
    figure.canvas.draw()
    places = [(4 + (i % 6) / 3, 5 + (i // 6) / 5) for i in range(30)] + [(1, 1), (9, 9)]
    names = [f"model_{i}" for i in range(30)] + ["alone", "at_the_border_of_the_axes"]
    place_labels(axes, places, names, [(y - 0.1, y + 0.1) for _, y in places], "black")
    boxes = [text.get_window_extent() for text in axes.texts]
    assert overlaps(boxes) == 0
    assert {"alone", "at_the_border_of_the_axes"} <= {text.get_text() for text in axes.texts}
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


@pytest.mark.parametrize("count", [1, 5, 60])
def test_names_of_lines_do_not_overlap(count: int) -> None:
    figure = Figure(figsize=(6, 4), dpi=72)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlim=(0, 10), ylim=(0, 1))
    figure.subplots_adjust(right=0.76)
    figure.canvas.draw()
    name_lines(axes, [("a_rather_long_name", 10.0, 0.5 + i / 1000, "red") for i in range(count)])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == min(count, len(boxes)) > 0
    assert overlaps(boxes) == 0
    assert all(box.y0 >= 0 and box.y1 <= 288 and box.x1 <= 432 for box in boxes)


def test_elements_escape_texts_and_attributes() -> None:
    assert element("a", {"title": '"<'}, "<b>", element("br")) == (
        '<a title="&quot;&lt;">&lt;b&gt;<br></a>'
    )
    assert join("<", element("p", {}, ">")) == "&lt;<p>&gt;</p>"
    assert block("a\n  <b>") == "<pre>a\n  &lt;b&gt;</pre>"
