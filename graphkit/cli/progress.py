"""What a person sees while runs go on: bars with ETA on a terminal, a line per run elsewhere."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from graphkit.bench.sweep import Event

__all__ = ["Stages", "Watching"]


class _Bars:
    """Bars on a terminal, nothing elsewhere."""

    def __init__(self, *columns: ProgressColumn, quiet: bool) -> None:
        self.console = Console(stderr=True)
        self.quiet = quiet
        self.bars: Progress | None = None
        if self.console.is_terminal and not quiet:
            self.bars = Progress(*columns, console=self.console)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bars is not None:
            self.bars.stop()


class Watching(_Bars):
    """Shows the events of a sweep.

    Args:
        total: Number of runs in all.
        settled: How many of them were on disk already.
        quiet: Show nothing but failures.
        as_json: Print a line of JSON per finished run.
    """

    def __init__(self, total: int, settled: int, *, quiet: bool, as_json: bool) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            quiet=quiet or as_json,
        )
        self.total, self.settled, self.as_json = total, settled, as_json
        self.rows: dict[int, TaskID] = {}
        self.began: dict[str, float] = {}
        self.start = time.monotonic()
        self.done = 0
        self.exit_status = 0

    def __enter__(self) -> Watching:
        if self.bars is not None:
            self.bars.start()
            self.whole = self.bars.add_task(
                "all runs", total=self.total, completed=self.settled, note=""
            )
        elif not self.quiet:
            stored = f", {self.settled} on disk already" if self.settled else ""
            print(f"{self.total} runs{stored}", file=sys.stderr, flush=True)
        return self

    def __call__(self, event: Event) -> None:
        """Takes in an event."""
        if event.kind == "began":
            self.began[event.run_id] = time.monotonic()
        if event.kind in ("done", "failed"):
            self.done += 1
            if event.kind == "failed":
                self.exit_status = max(self.exit_status, event.exit_status)
            self._ended(event)
        if self.bars is not None:
            self._draw(event, self.bars)

    def _draw(self, event: Event, bars: Progress) -> None:
        if event.worker not in self.rows:
            self.rows[event.worker] = bars.add_task("", total=event.epochs, note="")
        row = self.rows[event.worker]
        name = event.run_id.rsplit("@", 1)[0].replace("@", " ")
        if event.kind == "began":
            bars.reset(row, total=event.epochs, description=f"  {name}", note="")
        elif event.kind == "epoch":
            shown = {k: v for k, v in event.row.items() if k.startswith("val_")}
            note = "  ".join(f"{k} {v:.4f}" for k, v in list(shown.items())[:2])
            bars.update(row, completed=event.row["epoch"] + 1, note=note)
        else:
            bars.update(self.whole, completed=self.settled + self.done)

    def _ended(self, event: Event) -> None:
        seconds = time.monotonic() - self.began.get(event.run_id, self.start)
        if self.as_json:
            line = {"run": event.run_id, "status": event.kind, "test": event.row}
            print(json.dumps(line | ({"error": event.note} if event.note else {})), flush=True)
            return
        scores = "  ".join(f"{name} {value:.4f}" for name, value in event.row.items())
        text = event.note if event.kind == "failed" else f"test {scores}"
        left = self.total - self.settled - self.done
        spent = time.monotonic() - self.start
        eta = f", about {spent / self.done * left / 60:.1f} min left" if left else ""
        line_text = (
            f"[{self.settled + self.done}/{self.total}] {event.run_id.rsplit('@', 1)[0]}: {text} "
            f"({seconds:.1f} s{eta})"
        )
        if self.quiet and event.kind == "done":
            return
        if self.bars is not None:
            self.bars.console.print(line_text, highlight=False, markup=False)
        else:
            print(line_text, file=sys.stderr, flush=True)


class Stages(_Bars):
    """Shows stages of one long piece of work: a bar with rate and ETA each, or a line at its end.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            quiet=quiet,
        )
        self.rows: dict[str, TaskID] = {}
        self.began: dict[str, float] = {}
        self.ended: set[str] = set()

    def __enter__(self) -> Stages:
        if self.bars is not None:
            self.bars.start()
        return self

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Takes in how far a stage is; a total of 0 is not known."""
        if self.quiet:
            return
        self.began.setdefault(stage, time.monotonic())
        if self.bars is not None:
            if stage not in self.rows:
                self.rows[stage] = self.bars.add_task(stage, total=total or None)
            self.bars.update(self.rows[stage], completed=done, total=total or None)
        elif total and done >= total and stage not in self.ended:
            self.ended.add(stage)
            seconds = time.monotonic() - self.began[stage]
            print(f"{stage}: done in {seconds:.1f} s", file=sys.stderr, flush=True)
