"""``graphkit bench``, ``leaderboard`` and ``report``: carry out runs, and show what came out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from graphkit.errors import DataNotFound, SettingError

__all__ = ["leaderboard", "report", "resume", "run", "show"]

RESULTS = Path("results")
AsJson = Annotated[bool, tyro.conf.arg(name="json")]
Name = Annotated[str, tyro.conf.Positional]


@dataclass(frozen=True)
class Sweep:
    """What ``bench run`` was asked for, kept beside the results for ``bench resume``."""

    models: str
    problems: str
    seeds: str
    suite: str
    epochs: int | None
    lr: float | None
    hidden: int | None
    budget: int | None
    trials: int | None
    on_nan: str | None
    keep_models: bool = False
    only: str = ""


def run(
    *,
    models: str = "",
    problems: str = "",
    seeds: str = "3",
    suite: str = "",
    only: str = "",
    epochs: int | None = None,
    lr: float | None = None,
    hidden: int | None = None,
    budget: int | None = None,
    trials: int | None = None,
    on_nan: Literal["stop", "skip", "ignore"] | None = None,
    results: Path = RESULTS,
    data_root: Path | None = None,
    device: str = "cpu",
    workers: int = 1,
    threads: int | None = None,
    retry: bool = False,
    keep_models: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
    as_json: AsJson = False,
) -> int:
    """Trains models on problems and stores every run; goes on where it stopped.

    Runs on disk are skipped. Ctrl-C or a kill loses nothing: the same command, or ``bench resume``,
    goes on from the last state of the run in flight.

    Args:
        models: Names from ``graphkit models list``, with commas between.
        problems: Names from ``graphkit datasets list``, with commas between.
        seeds: How many seeds from 0 on, or seeds with commas between.
        suite: A suite file, or the name of one in ``benchmarks/suites``, in place of models and
            problems; else the name the runs are filed under.
        only: Of a suite: experiments, problems or ``experiment@problem``, with commas between.
        epochs: Most epochs, in place of the preset.
        lr: Learning rate, in place of the preset.
        hidden: Width ``hidden_channels``, in place of the preset.
        budget: Parameters each model gets: its width is found so that it comes within 5 %.
        trials: Settings tried per run on validation, the same number for every model.
        on_nan: What to do when a loss is not a number.
        results: Folder for the records.
        data_root: Folder of raw files, looked in first.
        device: Where models are trained: cpu, cuda, cuda:1, ...
        workers: Processes that share the runs.
        threads: Threads of each; by default the machine's, shared evenly.
        retry: Carry out failed runs again.
        keep_models: Write each fitted model beside its record, for ``graphkit distill``.
        dry_run: List the runs without carrying them out.
        quiet: No progress.
        as_json: Print one line of JSON per finished run, for a program.
    """
    asked = Sweep(
        models, problems, seeds, suite, epochs, lr, hidden, budget, trials, on_nan, keep_models,
        only,
    )  # fmt: skip
    return _carry_out(
        asked, results, data_root, device, workers, threads, retry, dry_run, quiet, as_json
    )


def resume(
    *,
    results: Path = RESULTS,
    suite: str = "",
    data_root: Path | None = None,
    device: str = "cpu",
    workers: int = 1,
    threads: int | None = None,
    retry: bool = False,
    quiet: bool = False,
    as_json: AsJson = False,
) -> int:
    """Goes on with what ``bench run`` was last asked for in a results folder.

    Args:
        results: Folder of the records.
        suite: The suite to go on with, where the folder holds several; else the latest.
        data_root: Folder of raw files, looked in first.
        device: Where models are trained.
        workers: Processes that share the runs.
        threads: Threads of each.
        retry: Carry out failed runs again.
        quiet: No progress.
        as_json: Print one line of JSON per finished run.
    """
    pattern = f"{Path(suite).stem or '*'}/sweep.json"
    found = sorted((results / ".running").glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise DataNotFound(f"nothing to resume in {results}; start with graphkit bench run")
    asked = Sweep(**json.loads(found[-1].read_text()))
    return _carry_out(
        asked, results, data_root, device, workers, threads, retry, False, quiet, as_json
    )


def show(run_id: Name = "", /, *, results: Path = RESULTS, as_json: AsJson = False) -> None:
    """Shows the stored runs, or one of them in full.

    Args:
        run_id: Beginning of a run's id; all runs in short if not given.
        results: Folder of the records.
        as_json: Print JSON for a program.
    """
    paths = sorted(path for path in results.glob("*/*.json") if not path.name.startswith("."))
    if not paths:
        raise DataNotFound(f"no runs in {results}; start with graphkit bench run")
    chosen = [path for path in paths if path.name.startswith(run_id)]
    if not chosen:
        from graphkit.errors import unknown_name

        known = (path.stem for path in paths)
        raise unknown_name("run", run_id, known, f"graphkit bench show --results {results}")
    records = [json.loads(path.read_text()) for path in chosen]
    if as_json:
        print(json.dumps(records if not run_id or len(records) > 1 else records[0], indent=1))
        return
    console = Console()
    if run_id and len(records) == 1:
        from rich.json import JSON

        rows = len(records[0].get("history", {}).get("epoch", []))
        short = records[0] | {"history": f"{rows} rows"}
        console.print(JSON(json.dumps(short)))
        return
    from rich.table import Table

    table = Table("run", "status", "epoch", "val", "test", "seconds")
    for path, record in zip(chosen, records, strict=True):
        metric = record.get("metric", "")
        table.add_row(
            path.stem,
            record["status"],
            str(record.get("epoch", "")),
            _score(record.get("val"), metric),
            _score(record.get("test"), metric),
            f"{record['cost']['total_seconds']:.1f}",
        )
    console.print(table)


def leaderboard(
    *,
    results: Path = RESULTS,
    suite: str = "",
    format: Literal["table", "markdown", "latex", "csv", "json"] = "table",
    out: Path | None = None,
) -> None:
    """Prints the leaderboard of the stored runs.

    Args:
        results: Folder of the records.
        suite: Only the runs of one suite.
        format: How to print it.
        out: A file to write instead; ``.parquet`` writes Parquet, ``.md``, ``.tex``, ``.csv`` and
            ``.json`` choose the format.
    """
    from graphkit.bench.leaderboard import load

    board = load(results / suite if suite else results)
    if out is not None and out.suffix == ".parquet":
        print(board.write_parquet(out))
        return
    endings = {".md": "markdown", ".tex": "latex", ".csv": "csv", ".json": "json"}
    chosen = endings.get(out.suffix, format) if out is not None else format
    if chosen == "table":
        board.table(Console(file=out.open("w") if out is not None else sys.stdout))
        return
    text = {
        "markdown": board.markdown, "latex": board.latex, "csv": board.csv, "json": board.to_json,
    }[chosen]()  # fmt: skip
    if out is None:
        print(text)
    else:
        out.write_text(text)
        print(out)


def report(*, results: Path = RESULTS, suite: str = "", out: Path | None = None) -> None:
    """Writes the report: one HTML page that opens without a network.

    Args:
        results: Folder of the records.
        suite: Only the runs of one suite.
        out: File to write; by default ``report.html`` in the results folder.
    """
    from graphkit.bench.leaderboard import load
    from graphkit.bench.report import write

    board = load(results / suite if suite else results)
    print(write(board, out or results / "report.html"))


def _carry_out(
    asked: Sweep,
    results: Path,
    data_root: Path | None,
    device: str,
    workers: int,
    threads: int | None,
    retry: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    from graphkit.bench.store import Store
    from graphkit.bench.sweep import pending, sweep
    from graphkit.cli.progress import Watching
    from graphkit.files import write_whole

    suite, experiments = _experiments(asked, data_root)
    store = Store(results)
    left = pending(experiments, store, suite, retry=retry, keep_models=asked.keep_models)
    total = sum(len(experiment.seeds) for experiment in experiments)
    if dry_run:
        for experiment, seed in left:
            print(experiment.run_id(seed))
        return 0
    note = json.dumps(asdict(asked)).encode()
    write_whole(results / ".running" / suite / "sweep.json", note)
    with Watching(total, total - len(left), quiet=quiet, as_json=as_json) as watch:
        failed = sweep(
            experiments,
            store,
            suite=suite,
            root=data_root,
            device=device,
            workers=min(workers, max(len(left), 1)),
            threads=threads,
            retry=retry,
            keep_models=asked.keep_models,
            watch=watch,
        )
    if not as_json and any((results / suite).glob("*.json")):
        from graphkit.bench.leaderboard import load

        load(results / suite).table(Console())
        print(f"records: {results / suite}   report: graphkit report --results {results}")
    if failed:
        print(f"{failed} runs failed: graphkit bench show --results {results}", file=sys.stderr)
    return watch.exit_status if failed else 0


def _experiments(asked: Sweep, data_root: Path | None) -> tuple[str, Sequence[Any]]:
    """The name the runs are filed under, and the experiments."""
    from graphkit.bench.suites import load_suite, select

    if asked.suite and not asked.models:
        path, experiments = load_suite(asked.suite)
        return path.stem, select(experiments, asked.only)
    if asked.only:
        raise SettingError(f"only = {asked.only!r} chooses from a suite: name it with --suite")
    if not asked.models or not asked.problems:
        raise SettingError(
            "say what to run: --models gcn,dagnn --problems cora/public, or --suite NAME"
        )
    from graphkit.bench.asked import build

    words = {k: v for k, v in asdict(asked).items() if k not in ("suite", "keep_models", "only")}
    return asked.suite or "mine", build(**words, root=data_root)


def _score(scores: dict[str, float] | None, metric: str) -> str:
    value = (scores or {}).get(metric)
    return "" if value is None else f"{value:.4f}"
