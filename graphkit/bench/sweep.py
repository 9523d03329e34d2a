"""Carries out the runs of many experiments, here or in several processes, and goes on where it was.

A run whose record is on disk is skipped; one that another process holds is left to it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from graphkit.bench.experiment import Experiment
from graphkit.bench.host import check_device
from graphkit.bench.run import Loader, run
from graphkit.bench.store import Store
from graphkit.bench.suites import Sources
from graphkit.errors import DamagedFile, DataNotFound

__all__ = ["Event", "Watch", "pending", "sweep"]


@dataclass(frozen=True)
class Event:
    """Something to show: a run began, finished an epoch, or ended.

    Args:
        kind: What happened.
        run_id: Which run.
        worker: Which process.
        row: The epoch's row, or for an end the test scores.
        epochs: Most epochs of the run, if known.
        note: For a failed run, why.
        exit_status: What the command line ends with because of it.
    """

    kind: Literal["began", "epoch", "done", "failed"]
    run_id: str
    worker: int
    row: dict[str, float]
    epochs: int | None = None
    note: str = ""
    exit_status: int = 1


@runtime_checkable
class Watch(Protocol):
    """Told of every event, in the calling process."""

    def __call__(self, event: Event) -> None:
        """Takes in an event."""
        ...


def pending(
    experiments: Sequence[Experiment],
    store: Store,
    suite: str,
    *,
    retry: bool = False,
    keep_models: bool = False,
) -> list[tuple[Experiment, int]]:
    """Returns the runs whose record is not on disk, seeds of one problem together.

    Args:
        experiments: What is to be run.
        store: Where records lie.
        suite: Name they are filed under.
        retry: Carry out failed runs again.
        keep_models: Carry out runs again whose fitted model was not kept.
    """
    settled = ("done",) if retry else ("done", "failed")
    open_runs = [
        (experiment, seed)
        for experiment in experiments
        for seed in experiment.seeds
        if store.status(suite, experiment.run_id(seed), with_model=keep_models) not in settled
    ]
    place = {name: i for i, name in enumerate(dict.fromkeys(e.problem_name for e in experiments))}
    return sorted(open_runs, key=lambda pair: (place[pair[0].problem_name], pair[1]))


def sweep(
    experiments: Sequence[Experiment],
    store: Store,
    *,
    suite: str = "mine",
    root: Path | None = None,
    device: str = "cpu",
    workers: int = 1,
    threads: int | None = None,
    retry: bool = False,
    keep_models: bool = False,
    watch: Watch = lambda event: None,
) -> int:
    """Carries out all runs that are not on disk yet; returns how many failed.

    Args:
        experiments: What is to be run.
        store: Where records go.
        suite: Name they are filed under.
        root: Folder of raw files.
        device: Where models are trained.
        workers: Processes that share the runs.
        threads: Threads of each; by default the machine's, shared evenly.
        retry: Carry out failed runs again.
        keep_models: Write each fitted model beside its record.
        watch: Told of every event.

    Raises:
        SettingError: The device cannot be used.
        KeyboardInterrupt: Interrupted; the same call goes on where it was.
    """
    import torch

    check_device(device)
    threads = threads or max(1, (os.cpu_count() or 1) // max(workers, 1))
    again = _failed_before(experiments, store, suite) if retry else {}
    if workers <= 1:
        torch.set_num_threads(threads)
        return len(_work(experiments, store, suite, root, device, again, keep_models, 0, watch))
    context = multiprocessing.get_context("spawn")
    sources = Sources.of(experiments)
    arguments = (experiments, store, suite, root, device, again, keep_models, threads)
    processes, events = [], []
    for number in range(workers):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_worker, args=(sources, number, *arguments, theirs), daemon=False
        )
        process.start()
        theirs.close()  # else the end of the process would not end the pipe
        processes.append(process)
        events.append(ours)
    failed: set[str] = set()
    try:
        for event in _heard(events):
            if event.run_id in failed and event.kind in ("began", "failed"):
                continue  # another process found the same file missing
            watch(event)
            if event.kind == "failed":
                failed.add(event.run_id)
    except BaseException:
        for process in processes:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGINT)
        for process in processes:
            process.join(timeout=30)
            if process.is_alive():
                process.kill()
        raise
    for process in processes:
        process.join()
    broken = [process for process in processes if process.exitcode not in (0, None)]
    if broken:  # a process died (for want of memory, say): what it left is done here
        torch.set_num_threads(threads)
        failed |= _work(experiments, store, suite, root, device, again, keep_models, 0, watch)
    return len(failed)


def _heard(pipes: Sequence[Connection]) -> Iterator[Event]:
    """Yields what the processes tell until all have ended.

    A pipe for each and no queue for all: a process killed while it writes holds up no other.
    """
    waiting: list[Connection] = list(pipes)
    while waiting:
        for pipe in wait(waiting):
            assert isinstance(pipe, Connection)
            try:
                yield pipe.recv()
            except (EOFError, OSError):  # ended, maybe in the middle of a message
                waiting.remove(pipe)
                pipe.close()


def _worker(
    sources: Sources,
    number: int,
    experiments: Sequence[Experiment],
    store: Store,
    suite: str,
    root: Path | None,
    device: str,
    again: Mapping[str, int],
    keep_models: bool,
    threads: int,
    events: Connection,
) -> None:
    """A process of a sweep: takes runs that nobody holds until none is left."""
    import torch

    torch.set_num_threads(threads)
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the parent alone, which passes it on once
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        _work(experiments, store, suite, root, device, again, keep_models, number, events.send)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _leave_with_parent() -> None:
    """Ends this process when the one that started it is gone: the next sweep takes its runs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(
    experiments: Sequence[Experiment],
    store: Store,
    suite: str,
    root: Path | None,
    device: str,
    again: Mapping[str, int],
    keep_models: bool,
    worker: int,
    watch: Callable[[Event], None],
) -> set[str]:
    """Carries out what is open and held by nobody; returns the runs that failed."""
    loader = Loader(root, device)
    failed: set[str] = set()
    tried: set[str] = set()
    while True:
        waiting = [
            pair
            for pair in pending(
                experiments, store, suite, retry=bool(again), keep_models=keep_models
            )
            if pair[0].run_id(pair[1]) not in tried
            and _is_open(store, suite, pair[0].run_id(pair[1]), again, keep_models)
        ]
        if not waiting:
            return failed
        held_by_others = True
        for experiment, seed in waiting:
            run_id = experiment.run_id(seed)
            with store.claim(suite, run_id) as mine:
                if not mine or not _is_open(store, suite, run_id, again, keep_models):
                    continue
                held_by_others = False
                tried.add(run_id)
                if not _one(experiment, seed, suite, loader, store, keep_models, worker, watch):
                    failed.add(run_id)
        if held_by_others:
            time.sleep(0.5)  # others are at work on all that is left


def _failed_before(experiments: Sequence[Experiment], store: Store, suite: str) -> dict[str, int]:
    """Failed runs and the time of each record: what a retry is for."""
    names = [experiment.run_id(seed) for experiment in experiments for seed in experiment.seeds]
    return {
        name: store.path(suite, name).stat().st_mtime_ns
        for name in names
        if store.status(suite, name) == "failed"
    }


def _is_open(
    store: Store, suite: str, run_id: str, again: Mapping[str, int], keep_models: bool
) -> bool:
    """Whether a run is to be carried out: a retry is over once any process wrote its record."""
    status = store.status(suite, run_id, with_model=keep_models)
    if status != "failed":
        return status != "done"
    return again.get(run_id) == store.path(suite, run_id).stat().st_mtime_ns


def _one(
    experiment: Experiment,
    seed: int,
    suite: str,
    loader: Loader,
    store: Store,
    keep_models: bool,
    worker: int,
    watch: Callable[[Event], None],
) -> bool:
    """Carries out a run and stores its record; returns whether it is done."""
    run_id = experiment.run_id(seed)
    epochs = getattr(getattr(experiment.recipe, "train", None), "epochs", None)
    watch(Event("began", run_id, worker, {}, epochs))
    shown = time.monotonic()

    def on_epoch(row: dict[str, float]) -> None:
        nonlocal shown
        if time.monotonic() - shown > 0.2:  # a fast epoch must not wait for the screen
            shown = time.monotonic()
            watch(Event("epoch", run_id, worker, row, epochs))

    state = store.checkpoints(suite, run_id)
    keep = store.model_path(suite, run_id) if keep_models else None
    try:
        record = run(
            experiment, seed, suite=suite, loader=loader, state=state, keep=keep, on_epoch=on_epoch
        )
    except (
        DataNotFound,
        DamagedFile,
    ) as error:  # no record: the run is open once the file is right
        watch(Event("failed", run_id, worker, {}, epochs, str(error), error.exit_status))
        return False
    store.write(record)
    store.forget_checkpoints(suite, run_id)
    if record["status"] == "failed":
        what = record["error"]
        watch(Event("failed", run_id, worker, {}, epochs, f"{what['type']}: {what['message']}"))
    else:
        watch(Event("done", run_id, worker, record["test"], epochs))
    return record["status"] == "done"
