"""What a run was carried out on: versions, device, threads, commit, peak memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from graphkit.errors import SettingError

__all__ = [
    "check_device",
    "describe_host",
    "keep_freed_memory",
    "peak_memory_bytes",
    "reset_peak_memory",
]

_TRIM, _MMAP = -1, -3  # names of settings in glibc's malloc.h


def describe_host(device: str) -> dict[str, Any]:
    """Returns versions, processor, device, threads and git commit."""
    packages = ("graphkit", "torch", "torch_geometric", "numpy")
    commit, dirty = _git()
    return {name: _version(name) for name in packages} | {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "git_commit": commit,
        "git_dirty": dirty,
        "deterministic": device == "cpu" or torch.are_deterministic_algorithms_enabled(),
    }


def check_device(device: str) -> None:
    """Refuses a device that torch does not reach.

    Raises:
        SettingError: It is unknown, or there is none here.
    """
    try:
        torch.empty(1, device=device)
    except (AssertionError, RuntimeError) as error:  # the first where torch was built without it
        reason = str(error).partition("\n")[0]
        raise SettingError(f"device = {device!r} cannot be used: {reason}") from error


def keep_freed_memory() -> bool:
    """Lets this process keep memory that tensors leave behind for the next ones; says whether.

    By default glibc gives large pieces back at once, and each step of a network on a large graph
    has the system clear the same pages again. No number depends on it; what the process seems to
    hold stays at its peak. Only where the C library is glibc, for pieces below 2 GiB.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return False
    most = 2**31 - 1
    return bool(mallopt(_MMAP, most)) and bool(mallopt(_TRIM, most))


def reset_peak_memory(device: str) -> None:
    """Starts the count of peak memory anew, where the system allows it."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forgets the high-water mark


def peak_memory_bytes(device: str) -> int:
    """Returns the most memory held since the reset: of the accelerator, else of the process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@functools.cache
def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).split(":")[1].strip()
    return platform.processor()


@functools.cache
def _git() -> tuple[str | None, bool | None]:
    """Commit of the checkout this package runs from, and whether it has changes."""
    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return None, None
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(top), *command],
                capture_output=True, text=True, check=True, timeout=10, env=environment,
            ).stdout.strip()
            for command in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--", "graphkit"],
            )
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, bool(changes)
