"""A process of its own that may hold so much memory and no more, page cache included."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "Group", "memory_group", "run_within"]

_ROOT = Path("/sys/fs/cgroup")
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Args:
        status: Its exit status; below zero is the signal that ended it.
        output: What it printed.
        errors: The end of what it printed as errors.
        confined: Whether a control group held it to its memory.
        peak_bytes: Most memory of the group, the page cache that it used included.
    """

    status: int
    output: str
    errors: str
    confined: bool
    peak_bytes: int | None


@dataclass(frozen=True)
class Group:
    """A control group for memory: its folder, and the file that knows its peak."""

    path: Path
    peak: str

    def peak_bytes(self) -> int | None:
        """Returns the most it held so far, where the system counts that."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.path / self.peak).read_text())
        return None


@contextmanager
def memory_group(memory: int) -> Iterator[Group | None]:
    """Gives a control group below this process's own for as long as the block runs, or ``None``
    where the system allows none.

    Args:
        memory: Bytes that the processes in it may hold together.
    """
    group = _made(memory)
    try:
        yield group
    finally:
        if group is not None:
            for _ in range(50):  # its last process may still be on its way out
                with contextlib.suppress(OSError):
                    group.path.rmdir()
                    break
                time.sleep(0.02)


def run_within(module: str, words: Sequence[str], memory: int | None) -> Ended:
    """Runs ``python -m MODULE WORDS`` and waits for it.

    Threads of OpenMP that wait for work sleep in it, unless ``OMP_WAIT_POLICY`` is set: spinning,
    they would take the processor from threads that read.

    Args:
        module: What is run.
        words: Its arguments.
        memory: Bytes it may hold, page cache included; ``None`` sets no limit.
    """
    command = [sys.executable, "-m", module, *words]
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    with contextlib.ExitStack() as stack:
        group = None if memory is None else stack.enter_context(memory_group(memory))
        if group is not None:  # joined before anything is loaded, so that all of it counts
            join = 'echo $$ > "$0" && exec "$@"'
            command = ["sh", "-c", join, str(group.path / "cgroup.procs"), *command]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        try:
            output, errors = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
        peak = None if group is None else group.peak_bytes()
        return Ended(process.returncode, output, errors[-4000:], group is not None, peak)


def _made(memory: int) -> Group | None:
    for base, limit, peak in _places():
        path = base / f"graphkit-{os.getpid()}-{next(_NUMBERS)}"
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            if (path / limit).exists():  # else it is a plain folder, or memory is not counted here
                (path / limit).write_text(str(memory))
                return Group(path, peak)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            path.rmdir()
    return None


def _places() -> Iterator[tuple[Path, str, str]]:
    """Where a group may be made, and its files for limit and peak: in either version of groups."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            base = _ROOT / "memory" / path.lstrip("/")
            yield base, "memory.limit_in_bytes", "memory.max_usage_in_bytes"
        elif not controllers:
            yield _ROOT / path.lstrip("/"), "memory.max", "memory.peak"
