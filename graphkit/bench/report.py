"""The leaderboard as one HTML page that needs no network.

The page is made from the records alone: the same records give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from graphkit.bench import plots
from graphkit.bench.cells import notes
from graphkit.bench.leaderboard import Leaderboard
from graphkit.bench.markup import Markup, block, element, join
from graphkit.bench.page_style import SCRIPT, STYLE
from graphkit.bench.reading import Record, read_details
from graphkit.bench.report_figures import figure
from graphkit.bench.report_problem import problem_section
from graphkit.bench.rows import Board
from graphkit.bench.wording import p_value
from graphkit.files import write_whole

__all__ = ["page", "write"]


def write(leaderboard: Leaderboard, path: Path, *, command: str | None = None) -> Path:
    """Writes the page.

    Args:
        leaderboard: What to show.
        path: File to write; replaced as a whole if it is there.
        command: What makes the page again, shown at its end.

    Raises:
        MissingExtra: matplotlib or DuckDB is not installed.
        StorageError: The file cannot be written.
    """
    if command is None:
        command = f"graphkit report --results {_shown(leaderboard.folder)} --out {_shown(path)}"
    return write_whole(path, page(leaderboard, command=command).encode())


def _shown(path: Path) -> str:
    """A path as one would type it here; folders of one machine stay out of the page."""
    if path.is_absolute():
        near = os.path.relpath(path)
        return path.name if near.startswith(os.pardir) else near
    return str(path)


def page(leaderboard: Leaderboard, *, command: str) -> str:
    """Returns the page as text.

    Args:
        leaderboard: What to show.
        command: What makes the page again, shown at its end.
    """
    files = [file for row in leaderboard.rows for file in row.files]
    details = read_details(leaderboard.folder, files)
    series = _series(leaderboard.boards)
    shared = Counter(board.problem for board in leaderboard.boards)
    titles = [
        board.problem if shared[board.problem] == 1 else f"{board.problem} ({board.metric})"
        for board in leaderboard.boards
    ]
    ranks = _ranks(leaderboard, series)
    failures = _failures(leaderboard)
    left_out = _left_out(leaderboard)
    links = [(f"problem-{number}", title) for number, title in enumerate(titles)]
    links += [("ranks", "Average ranks")] if ranks else []
    links += [("failed", "Failed runs")] if failures else []
    links += [("left-out", "Left out")] if left_out else []
    sections = [
        problem_section(leaderboard, board, title, number, series, details)
        for number, (board, title) in enumerate(zip(leaderboard.boards, titles, strict=True))
    ]
    if not sections:
        sections = [element("section", {}, element("p", {}, "No records were found."))]
    body = join(
        element("header", {"class": "top"}, *_summary(leaderboard)),
        element(
            "div",
            {"class": "bar"},
            element("nav", {}, *(element("a", {"href": f"#{to}"}, name) for to, name in links)),
        ),
        element("main", {}, *sections, ranks, failures, left_out, _footer(command)),
        element("script", {}, Markup(SCRIPT)),
    )
    # no source is allowed, and no script but ours, whatever a record holds
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = join(
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("title", {}, "graphkit leaderboard"),
        element("style", {}, Markup(STYLE)),
    )
    whole = element("html", {"lang": "en"}, element("head", {}, head), element("body", {}, body))
    return f"<!DOCTYPE html>\n{whole}\n"


def _series(boards: Sequence[Board]) -> dict[str, int]:
    """A number for every model, one on the whole page, that decides its colour and marker.

    Models on one board get different colours as long as there are enough, and always different
    pairs of colour and marker up to 56 models.
    """
    places: defaultdict[str, set[int]] = defaultdict(set)
    for number, board in enumerate(boards):
        for row in board.rows:
            places[row.label].add(number)
    series: dict[str, int] = {}
    for label in sorted(places, key=lambda one: (-len(places[one]), one)):
        beside = [series[other] for other in series if places[other] & places[label]]
        colours = Counter(number % plots.COLOURS for number in beside)
        markers = Counter(number % len(plots.MARKERS) for number in beside)

        def clashes(number: int, c: Counter[int] = colours, m: Counter[int] = markers) -> int:
            return 3 * c[number % plots.COLOURS] + m[number % len(plots.MARKERS)]

        free = [n for n in range(plots.COLOURS * len(plots.MARKERS)) if n not in beside]
        series[label] = min(free or range(plots.COLOURS), key=clashes)
    return series


def _summary(leaderboard: Leaderboard) -> list[Markup]:
    """What was measured, when and on what."""
    records = leaderboard.records
    runs = f"{len(records)}"
    if leaderboard.failures:
        runs += f", {len(leaderboard.failures)} failed"
    facts = [
        ("problems", str(len(leaderboard.boards)), True),
        ("models", str(len({row.label for row in leaderboard.rows})), True),
        ("runs", runs, True),
        ("measured", _dates(leaderboard), False),
    ]
    for title, keys in (
        ("processor", ("processor",)),
        ("device, threads", ("device", "threads")),
        ("system", ("platform",)),
        ("torch, PyG", ("torch", "torch_geometric")),
        ("Python, numpy", ("python", "numpy")),
        ("graphkit, commit", ("graphkit", "git_commit")),
        ("deterministic", ("deterministic",)),
    ):
        facts.append((title, _distinct(records, keys), False))
    terms = [
        element(
            "div",
            {},
            element("dt", {}, title),
            element("dd", {"class": "big"} if big else {}, value),
        )
        for title, value, big in facts
        if value
    ]
    machines = {
        tuple(record.host.get(key, "") for key in ("processor", "device", "threads"))
        for record in records
    }
    warning = []
    if len(machines) > 1:
        text = f"The runs come from {len(machines)} kinds of machine: compare times with care."
        warning = [element("p", {"class": "bad"}, text)]
    return [
        element("h1", {}, "graphkit leaderboard"),
        element(
            "p",
            {"class": "muted"},
            "Mean over seeds ± standard deviation (n - 1), below it the 95 % t interval of the "
            "mean, drawn as a bar with the published mean as a stroke. "
            "Gaps are ours minus published; ▼ marks a mean that is worse than the published one "
            "by more than two standard errors. ★ marks a model that paired tests set above all "
            "others on the problem.",
        ),
        element("dl", {"class": "facts"}, *terms),
        *warning,
    ]


def _dates(leaderboard: Leaderboard) -> str:
    days = sorted(f"{record.finished:%Y-%m-%d}" for record in leaderboard.records)
    if not days:
        return ""
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def _distinct(records: Sequence[Record], keys: Sequence[str]) -> str:
    """The different values that the records' hosts hold, most common first."""
    found: Counter[str] = Counter()
    for record in records:
        values = [record.host[key] for key in keys if record.host.get(key, "None") != "None"]
        if record.host.get("git_dirty") == "True" and "git_commit" in keys:
            values.append("with local changes")
        if values:
            found[", ".join(values)] += 1
    names = [name for name, _ in sorted(found.items(), key=lambda item: (-item[1], item[0]))]
    more = f"; and {len(names) - 4} more" if len(names) > 4 else ""
    return "; ".join(names[:4]) + more


def _ranks(leaderboard: Leaderboard, series: Mapping[str, int]) -> Markup:
    """The critical-difference picture, where enough problems share enough models."""
    ranking = leaderboard.critical_difference
    if ranking is None:
        return Markup("")
    shown = "shows that not all models are equal" if ranking.p < 0.05 else "shows no difference"
    caption = (
        f"Average rank over {len(ranking.problems)} problems ({', '.join(ranking.problems)}), "
        f"1 is best. Friedman's test {shown} (p {p_value(ranking.p)}). Bars join models whose "
        f"ranks differ by less than the critical difference {ranking.difference:.2f} "
        "(Nemenyi, 0.05): they are not told apart."
    )
    drawing = plots.rank_plot(ranking, series, "rank-0")
    return element(
        "section",
        {"id": "ranks", "class": "ranks"},
        element("h2", {}, "Average ranks over problems"),
        figure(drawing, caption, "Critical-difference diagram of average ranks"),
    )


def _failures(leaderboard: Leaderboard) -> Markup:
    if not leaderboard.failures:
        return Markup("")
    rows = []
    for run in leaderboard.failures:
        error: list[str] = [f"{run.error.type}: {run.error.message}"]
        if run.error.traceback:
            trace = element("summary", {}, "traceback")
            error.append(element("details", {}, trace, block(run.error.traceback)))
        cells = (run.problem, run.experiment, str(run.seed))
        rows.append(
            element(
                "tr", {}, *(element("td", {}, cell) for cell in cells), element("td", {}, *error)
            )
        )
    heads = (
        element("th", {"scope": "col"}, name) for name in ("problem", "model", "seed", "error")
    )
    return element(
        "section",
        {"id": "failed"},
        element(
            "h2", {}, "Failed runs", Markup(" "), element("small", {}, "no part of any mean above")
        ),
        element(
            "div",
            {"class": "scroll"},
            element(
                "table",
                {"class": "failed"},
                element("thead", {}, element("tr", {}, *heads)),
                element("tbody", {}, *rows),
            ),
        ),
    )


def _left_out(leaderboard: Leaderboard) -> Markup:
    found = notes(leaderboard)
    if not found:
        return Markup("")
    return element(
        "section",
        {"id": "left-out"},
        element("h2", {}, "Left out"),
        element("ul", {}, *(element("li", {}, note) for note in found)),
    )


def _footer(command: str) -> Markup:
    return element(
        "footer",
        {},
        element("p", {}, "Made from the records alone by"),
        element("pre", {}, re.sub(r"\s+", " ", command)),
    )
