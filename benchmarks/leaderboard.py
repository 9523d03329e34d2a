"""Runs a suite and prints its leaderboard; the same runner as ``graphkit bench run``.

    python benchmarks/leaderboard.py --suite debian_deps
    python benchmarks/leaderboard.py --suite planetoid --results benchmarks/results

Runs on disk are skipped, so the command can be stopped and given again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

HERE = Path(__file__).resolve().parent


def main(
    *,
    suite: str = "debian_deps",
    results: Path = Path("results"),
    data_root: Path | None = None,
    workers: int = 1,
    threads: int | None = None,
    only: str = "",
    seeds: str = "",
    show: Annotated[bool, tyro.conf.FlagConversionOff] = True,
) -> None:
    """Runs a suite, prints the board, writes Markdown and the HTML report beside the records.

    Args:
        suite: Name of a file in ``benchmarks/suites``, or a path.
        results: Folder for the records.
        data_root: Folder of raw files, looked in first.
        workers: Processes that share the runs.
        threads: Threads of each; by default the machine's, shared evenly.
        only: Names of experiments, of problems, or ``experiment@problem``, with commas between;
            all if not given.
        seeds: How many of the seeds, such as 3, or which, such as 0,5; all if not given.
        show: Print the board.
    """
    from rich.console import Console

    from graphkit.bench.asked import parse_seeds
    from graphkit.bench.leaderboard import load
    from graphkit.bench.report import write
    from graphkit.bench.store import Store
    from graphkit.bench.suites import load_suite, select
    from graphkit.bench.sweep import pending, sweep
    from graphkit.cli.progress import Watching

    named = HERE / "suites" / f"{suite}.py"
    path, experiments = load_suite(str(named) if named.is_file() else suite)
    chosen = select(experiments, only, parse_seeds(seeds) if seeds else ())
    store = Store(results)
    left = pending(chosen, store, path.stem)
    total = sum(len(experiment.seeds) for experiment in chosen)
    with Watching(total, total - len(left), quiet=False, as_json=False) as watch:
        sweep(
            chosen,
            store,
            suite=path.stem,
            root=data_root,
            workers=max(1, min(workers, len(left))),
            threads=threads,
            watch=watch,
        )
    board = load(results / path.stem)
    if show:
        board.table(Console())
    command = f"python benchmarks/leaderboard.py --suite {path.stem}"
    page = write(board, results / f"{path.stem}.html", command=command)
    table = results / f"{path.stem}.md"
    table.write_text(board.markdown(tests=True) + f"\nMade by `{command}`.\n")
    print(f"records {results / path.stem}, table {table}")
    print(f"report  {page.resolve()}")


if __name__ == "__main__":
    tyro.cli(main)
