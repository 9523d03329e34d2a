"""What a process is told of the machine, and what it is asked of it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from graphkit.bench.host import keep_freed_memory

def faults() -> int:
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start

before, kept = faults(), keep_freed_memory()
faults()  # fills what is kept
print(before, kept, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_kept_for_the_next_tensors() -> None:
    """Ten tensors of 64 MiB: without it each one's pages are made anew."""
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    before, kept, after = done.stdout.split()
    assert kept == "True"
    assert int(after) < int(before) / 5
