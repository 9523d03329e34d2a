"""Commands of the command line in processes of their own, which tests may kill."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from graphkit.cli import main

__all__ = ["ended", "started", "until"]


def _main(arguments: list[str], log: Path, before: Callable[[], None] | None) -> None:
    with log.open("a") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    if before is not None:
        before()
    try:
        main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def started(
    arguments: Sequence[object], log: Path, before: Callable[[], None] | None = None
) -> BaseProcess:
    """Starts ``graphkit ARGUMENTS`` in a fork, which has torch loaded already.

    Args:
        arguments: Words of the command line.
        log: Where both outputs are added.
        before: Called in the new process first.
    """
    words = [str(word) for word in arguments]
    process = multiprocessing.get_context("fork").Process(target=_main, args=(words, log, before))
    process.start()
    return process


def until(holds: Callable[[], bool], seconds: float = 240.0) -> None:
    """Waits for something to hold; fails the test when it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "what the test waits for never came"
        time.sleep(0.002)


def ended(process: BaseProcess, seconds: float = 300.0) -> int | None:
    """Waits for the end of a process and returns its exit status; a test fails that waits too long.

    Args:
        process: Started before.
        seconds: How long it may take.
    """
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"{process.name} did not end within {seconds:.0f} seconds")
    return process.exitcode
