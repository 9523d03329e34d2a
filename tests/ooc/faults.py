"""Faults at the n-th write of the package: killed, disk full, disk broken."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from graphkit.ooc import disk

__all__ = ["broken", "damaged", "die", "forked", "full", "nth"]

CALLS = ("pwritev", "fdatasync", "fsync", "replace", "posix_fallocate", "ftruncate")


def nth(
    patch: pytest.MonkeyPatch,
    at: int,
    fault: Callable[[], None],
    names: tuple[str, ...] = CALLS,
) -> list[str]:
    """Lets the n-th call that changes the disk run into a fault; returns the names of calls."""
    calls: list[str] = []
    for name in names:
        real = getattr(os, name)

        def call(*words: object, name: str = name, real: Callable[..., object] = real) -> object:
            calls.append(name)
            if len(calls) == at:
                fault()
            return real(*words)

        patch.setattr(disk.os, name, call)
    return calls


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def full() -> NoReturn:
    raise OSError(28, "No space left on device")


def broken() -> NoReturn:
    raise OSError(5, "Input/output error")


def forked(work: Callable[[], object]) -> int:
    """Runs something in a fork; returns the signal that ended it, or minus its exit status."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def damaged(path: Path, how: str, at: int | None = None) -> Iterator[None]:
    """Damages a file while the loop body runs: one bit, a byte less, a byte more, nothing left."""
    sound = path.read_bytes()
    at = len(sound) // 2 if at is None else at
    path.write_bytes(
        {
            "flipped": sound[:at] + bytes([sound[at] ^ 16]) + sound[at + 1 :],
            "shorter": sound[:-1],
            "longer": sound + b"\0",
            "empty": b"",
        }[how]
    )
    yield
    path.write_bytes(sound)
