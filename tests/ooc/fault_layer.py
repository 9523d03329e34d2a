"""A file layer that goes wrong at its n-th call: all disk code of ``graphkit.ooc`` uses it."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from graphkit import files
from graphkit.ooc import disk, folders

Kind = Literal["EIO", "ENOSPC", "short", "kill"]

COUNTED = (
    "open",
    "preadv",
    "pwritev",
    "fdatasync",
    "fsync",
    "replace",
    "posix_fallocate",
    "ftruncate",
    "makedirs",
    "unlink",
    "rmdir",
)
WRITES = ("pwritev", "fdatasync", "fsync", "replace", "posix_fallocate", "ftruncate")


class FaultyOs:
    """Stands for the module ``os``; call number ``at`` (from 1) of those counted goes wrong."""

    def __init__(self, at: int = 0, kind: Kind = "EIO", only: tuple[str, ...] = COUNTED) -> None:
        self.at, self.kind, self.only = at, kind, only
        self.calls: list[str] = []

    @property
    def struck(self) -> bool:
        """Whether the call that goes wrong has been reached."""
        return 0 < self.at <= len(self.calls)

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.only:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self.at:
                return self._go_wrong(name, real, args)
            if name in ("fsync", "fdatasync"):
                return None  # the machine stays on: a killed process loses nothing it has written
            return real(*args, **kwargs)

        return call

    def _go_wrong(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "short":
            if name not in ("preadv", "pwritev"):
                return real(*args)
            handle, (buffer,), offset = args
            return real(handle, [buffer[: max(len(buffer) // 2, 1)]], offset)
        code = getattr(errno, self.kind)
        raise OSError(code, os.strerror(code))


@contextmanager
def faulty(at: int = 0, kind: Kind = "EIO", only: tuple[str, ...] = COUNTED) -> Iterator[FaultyOs]:
    """Lets the n-th call of the file layer go wrong inside ``with``; 0 lets none."""
    layer = FaultyOs(at, kind, only)
    with (
        mock.patch.object(disk, "os", layer),
        mock.patch.object(folders, "os", layer),
        mock.patch.object(files, "os", layer),
    ):
        yield layer


def each_fault(
    run: Callable[[], Any], kind: Kind, only: tuple[str, ...] = COUNTED
) -> Iterator[tuple[int, Any]]:
    """Runs something again and again, with a fault one call later each time, until one run ends
    without; yields the number of the call, and what the run returned or the error it raised."""
    at = 0
    while True:
        at += 1
        with faulty(at, kind, only) as layer:
            try:
                result: Any = run()
            except Exception as error:
                result = error
        if not layer.struck:
            return
        yield at, result


def killed_at(at: int, run: Callable[[], Any], only: tuple[str, ...] = COUNTED) -> bool:
    """Runs something in a child that is killed at its n-th call; says whether it got there."""

    def dying() -> None:
        with faulty(at, "kill", only):
            run()

    ended = forked(dying)
    assert ended in (0, signal.SIGKILL), "the child failed by itself"
    return ended == signal.SIGKILL


def forked(work: Callable[[], object]) -> int:
    """Runs something in a fork; returns the signal that ended it, or minus its exit status."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
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


def tree(folder: Path) -> dict[str, bytes]:
    """The content of all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
