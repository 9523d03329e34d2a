"""A leaderboard as terminal tables, Markdown and LaTeX; names are escaped for each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graphkit.bench.cells import COLUMNS, LEGEND, board_decimals, heading, notes, remarks
from graphkit.bench.rows import Board
from graphkit.bench.wording import NOTHING, amount, p_value, plain, signed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from graphkit.bench.leaderboard import Leaderboard

__all__ = ["latex", "markdown", "print_tables"]


def print_tables(leaderboard: Leaderboard, console: Console) -> None:
    """Prints one table per problem, as many columns as fit, and what was left out."""
    from rich.text import Text

    endless = console.options.update(max_width=10_000)  # a table's width before it is squeezed
    # Text takes names as they are; a str would be read as rich's markup
    if not leaderboard.boards:
        console.print(Text("no records found", style="yellow"))
    for board in leaderboard.boards:
        for last in range(max(order for _, order, _ in COLUMNS), -1, -1):
            table = _table(board, last)
            if console.measure(table, options=endless).maximum <= console.width:
                break
        console.print(table)
        for remark in remarks(board):
            console.print(Text(f"  {remark}", style="yellow"))
        for run in leaderboard.failures:
            if run.problem == board.problem:
                message = plain(f"{run.error.type}: {run.error.message}")
                where = f"  {plain(run.experiment)} seed {run.seed}: "
                console.print(Text(where + message, style="red"), no_wrap=True, overflow="ellipsis")
        console.print()
    for note in notes(leaderboard):
        console.print(Text(note, style="yellow"))
    if leaderboard.boards:
        console.print(Text(LEGEND, style="dim"))


def _table(board: Board, last: int) -> Table:
    """The table of a board with the columns that give way after ``last``."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = [(name, cell) for name, order, cell in COLUMNS if order <= last]
    digits = board_decimals(board)
    title = Text(f"{plain(board.problem)}  ", style="bold not italic")
    title.append(plain(heading(board)), style="not bold dim")
    table = Table(
        title=title,
        title_justify="left",
        title_style="",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("model", no_wrap=True)
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in board.rows:
        cells = [Text(cell(row, digits)) for _, cell in columns]
        table.add_row(Text(plain(row.label)), *cells, style="red" if row.test is None else "")
    return table


def markdown(leaderboard: Leaderboard, *, tests: bool) -> str:
    """Returns one Markdown table per problem, and the tests if asked for."""
    names = ["model", *(name for name, _, _ in COLUMNS), "source"]
    lines = ["# Leaderboard", "", LEGEND, ""]
    for board in leaderboard.boards:
        digits = board_decimals(board)
        best = leaderboard.best(board) if tests else None
        lines += [f"## {_markdown(board.problem)}", "", _markdown(heading(board)), ""]
        lines.append(f"| {' | '.join(names)} |")
        lines.append("| --- |" + " ---: |" * len(COLUMNS) + " --- |")
        for row in board.rows:
            cells = [_markdown(row.label), *(cell(row, digits) for _, _, cell in COLUMNS)]
            if row.label == best:
                cells[0] = f"**{cells[0]}**"
            cells.append(_markdown(row.reported.source) if row.reported else "")
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        said = [f"- {_markdown(remark)}" for remark in remarks(board)]
        lines += [*said, ""] if said else []
        if tests:
            lines += _markdown_tests(leaderboard, board, digits)
    if tests:
        lines += _markdown_ranks(leaderboard)
    if leaderboard.failures:
        lines += ["## Failed runs", ""]
        for run in leaderboard.failures:
            error = _markdown(f"{run.error.type}: {run.error.message}")
            who = f"{_markdown(run.problem)}, {_markdown(run.experiment)}, seed {run.seed}"
            lines.append(f"- {who}: {error}")
        lines.append("")
    left_out = notes(leaderboard)
    if left_out:
        lines += ["## Left out", "", *(f"- {_markdown(note)}" for note in left_out), ""]
    return "\n".join(lines)


def _markdown_tests(leaderboard: Leaderboard, board: Board, digits: int) -> list[str]:
    pairs = [
        pair
        for pair in leaderboard.comparisons
        if (pair.problem, pair.metric) == (board.problem, board.metric)
    ]
    if not pairs:
        return []
    lines = [
        "Paired tests on shared seeds (Wilcoxon, p after Holm's correction):",
        "",
        "| left | right | seeds | left - right | 95 % interval | p | |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for pair in pairs:
        test, gap = pair.test, pair.test.difference
        between = (
            NOTHING
            if gap is None or gap.low is None
            else f"[{amount(gap.low, digits)}, {amount(gap.high, digits)}]"
        )
        verdict = ""
        if pair.winner is not None:
            verdict = f"{_markdown(pair.winner)} is better"
        elif test.equal:
            verdict = "the same on every seed"
        elif test.too_few:
            verdict = "too few seeds to tell"
        cells = [
            _markdown(pair.left),
            _markdown(pair.right),
            str(test.n),
            signed(None if gap is None else gap.mean, digits),
            between,
            p_value(test.p_holm).replace("<", "&lt;"),
            verdict,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _markdown_ranks(leaderboard: Leaderboard) -> list[str]:
    ranking = leaderboard.critical_difference
    if ranking is None:
        return []
    problems = ", ".join(_markdown(name) for name in ranking.problems)
    lines = [
        "## Average ranks",
        "",
        f"Over {problems}. Friedman p {p_value(ranking.p)}; ranks that differ by "
        f"{ranking.difference:.2f} (Nemenyi, 0.05) tell two models apart.",
        "",
        "| model | rank |",
        "| --- | ---: |",
    ]
    for model, rank in zip(ranking.models, ranking.ranks, strict=True):
        lines.append(f"| {_markdown(model)} | {rank:.2f} |")
    return [*lines, ""]


def _markdown(text: str) -> str:
    """A name with everything that Markdown or HTML would read as markup taken literally."""
    line = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~!$])", r"\\\1", line)


def latex(leaderboard: Leaderboard) -> str:
    """Returns one LaTeX table per problem, for the package booktabs."""
    skipped = ("min", "max", "val", "total", "memory")
    columns = [column for column in COLUMNS if column[0] not in skipped]
    head = " & ".join(["Model", *(_latex(name) for name, _, _ in columns)])
    blocks = ["% needs \\usepackage{booktabs}"]
    for board in leaderboard.boards:
        digits = board_decimals(board)
        lines = [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{_latex(board.problem)}: {_latex(heading(board))}.}}",
            f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
            "\\toprule",
            f"{head} \\\\",
            "\\midrule",
        ]
        for row in board.rows:
            cells = [_latex(row.label), *(_latex(cell(row, digits)) for _, _, cell in columns)]
            lines.append(f"{' & '.join(cells)} \\\\")
        lines += ["\\bottomrule", "\\end{tabular}", "\\end{table}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    NOTHING: "--",
    "▼": r"$\downarrow$",
    "µ": r"$\mu$",
    "[": "{[}",  # else the optional argument of a preceding \\
    "]": "{]}",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in plain(text))
