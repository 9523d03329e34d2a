"""Selective scans, forward and backward: graphkit's routes beside a plain loop and mambapy.

Every number is processor time of one thread, the least of several rounds in which all sides take
turns in this process; peak memory is what a call adds to that of the process. The plain loop is
``selective_scan_reference``: unbound steps, gradients by autograd. mambapy's side is its own
``MambaBlock.selective_scan``, without the block around it.

Run: ``python benchmarks/scan.py``; needs ``pip install mambapy``. ``--help`` shows what can be
changed. The ``thresholds`` of the result are to be held against ``THRESHOLDS`` in
``graphkit/nn/scan_dispatch.py``.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
import tyro
from mambapy.pscan import pscan
from rich.console import Console
from rich.table import Table
from torch import Tensor

from graphkit.bench.host import describe_host, peak_memory_bytes, reset_peak_memory
from graphkit.nn.scan_dispatch import THRESHOLDS
from graphkit.nn.selective_scan import (
    linear_recurrence,
    selective_scan,
    selective_scan_reference,
    ssd,
)

RESULTS = Path(__file__).parent / "measured" / "scan.json"
METHODS = ("loop", "scan", "chunked", "kernel")
CHANNELS, STATE = 64, 16
SHAPES = (
    (1, 1000, 64, 16),
    (1, 1024, 64, 16),
    (1, 8000, 64, 16),
    (32, 150, 96, 16),
    (2000, 12, 64, 16),
)

Call = Callable[[], Tensor]


@dataclass(frozen=True)
class Row:
    """One shape: seconds and bytes of each side, and how often ours is faster."""

    batch: int
    length: int
    channels: int
    state: int
    seconds: dict[str, float]
    peak_bytes: dict[str, int]
    auto_over_plain_loop: float
    auto_over_mambapy: float


def inputs(batch: int, length: int, channels: int, state: int) -> list[Tensor]:
    """Draws x, delta, A, B, C as a fresh layer would see them: A is -1, ..., -state."""
    made = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=made)

    delta = 0.001 + 0.099 * torch.rand(batch, length, channels, generator=made)
    rates = -torch.arange(1.0, state + 1).repeat(channels, 1)
    drawn = [normal(batch, length, channels), delta, rates]
    drawn += [normal(batch, length, state), normal(batch, length, state)]
    return [t.requires_grad_() for t in drawn]


def mambapy_scan(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:  # noqa: N803
    """What ``mambapy.mamba.MambaBlock.selective_scan`` does, less the skip."""
    decay = torch.exp(delta.unsqueeze(-1) * A)
    states = pscan(decay, delta.unsqueeze(-1) * B.unsqueeze(2) * x.unsqueeze(-1))
    return (states @ C.unsqueeze(-1)).squeeze(3)


def train(call: Call) -> None:
    """Forward and backward."""
    call().sum().backward()


def seconds(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Returns the least processor time of each, all taking turns."""
    for call in calls.values():
        train(call)  # compiles, and touches all memory once
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            train(call)
            least[name] = min(least[name], time.process_time() - start)
    return least


def peak(call: Call) -> int:
    """Returns the bytes a call adds to the process at its peak."""
    gc.collect()  # what is free is given back first
    ctypes.CDLL(None).malloc_trim(0)
    reset_peak_memory("cpu")
    before = peak_memory_bytes("cpu")
    train(call)
    return peak_memory_bytes("cpu") - before


def sides(shape: tuple[int, int, int, int], methods: Iterable[str]) -> dict[str, Call]:
    """Returns the routes of a shape, each over inputs of its own."""
    return {m: partial(selective_scan, *inputs(*shape), method=m) for m in methods}


def beside_others(shape: tuple[int, int, int, int], rounds: int) -> Row:
    """Measures all routes, the plain loop and mambapy on one shape."""

    def plain(*values: Tensor) -> Tensor:
        return selective_scan_reference(*values)[0]

    calls: dict[str, Call] = {
        "plain loop": partial(plain, *inputs(*shape)),
        "mambapy": partial(mambapy_scan, *inputs(*shape)),
    }
    calls |= sides(shape, (*METHODS, "auto"))
    outputs = {name: call().detach() for name, call in calls.items()}
    for name, y in outputs.items():
        torch.testing.assert_close(y, outputs["plain loop"], atol=1e-4, rtol=1e-4, msg=name)
    took = seconds(calls, rounds)
    room = {name: peak(call) for name, call in calls.items()}
    return Row(
        *shape, took, room, took["plain loop"] / took["auto"], took["mambapy"] / took["auto"]
    )  # fmt: skip


def growth(rounds: int) -> dict[str, object]:
    """How the time of long sequences grows; a ratio of 2 per doubling is linear."""
    lengths = [1000 * 2**k for k in range(5)]
    took = {n: seconds(sides((1, n, CHANNELS, STATE), ("scan", "kernel")), rounds) for n in lengths}
    return {
        name: {
            "seconds": {str(n): took[n][name] for n in lengths},
            "ratio_per_doubling": [
                took[b][name] / took[a][name] for a, b in itertools.pairwise(lengths)
            ],
        }
        for name in ("scan", "kernel")
    }


def grid(rounds: int) -> list[dict[str, object]]:
    """How far ``auto`` is from the best method, over few and many, short and long sequences."""
    rows = []
    for batch, length in itertools.product((1, 32, 2000), (12, 150, 1000, 8000)):
        if batch * length <= 32_000:
            took = seconds(sides((batch, length, CHANNELS, STATE), (*METHODS, "auto")), rounds)
            best = min(METHODS, key=lambda name: took[name])
            worse = took["auto"] / took[best]
            rows.append({"batch": batch, "length": length, "best": best, "auto_over_best": worse})
    return rows


def memory(length: int) -> dict[str, object]:
    """Peak memory of training on one long sequence, beside the scan that keeps all states."""
    calls = sides((1, length, CHANNELS, STATE), ("scan", "chunked", "kernel"))
    y = {name: call().detach() for name, call in calls.items()}
    room = {name: peak(call) for name, call in calls.items()}
    return {
        "length": length,
        "peak_bytes": room,
        "of_scan": {name: size / room["scan"] for name, size in room.items()},
        "largest_difference": {n: float((v - y["scan"]).abs().max()) for n, v in y.items()},
    }


def thresholds(rounds: int) -> dict[str, object]:
    """Where the loop over tokens and the associative scan change places, for fewer operations.

    Both run as linear recurrences over ready decays; the kernel is timed beside them.
    """

    def race(batch: int, length: int, width: int) -> dict[str, float]:
        a, b = (torch.rand(batch, length, width).requires_grad_() for _ in range(2))
        ways = ("loop", "scan", "kernel")
        return seconds({m: partial(linear_recurrence, a, b, method=m) for m in ways}, rounds)

    by_slice = {2**k: race(1, 256, 2**k) for k in range(8, 18)}
    by_length = {length: race(1, length, 1024) for length in (4, 8, 16, 32, 64, 128)}
    wins = [size for size, took in by_slice.items() if took["loop"] <= took["scan"]]
    lost = [size for size, took in by_slice.items() if took["loop"] > took["scan"]]
    short = [length for length, took in by_length.items() if took["loop"] <= took["scan"]]
    both = [*by_slice.values(), *by_length.values()]
    return {
        "loop_slice": min((s for s in wins if s > max(lost, default=0)), default=None),
        "loop_length": max(short, default=None),
        "in_use": asdict(THRESHOLDS),
        "kernel_over_best_of_both": [t["kernel"] / min(t["loop"], t["scan"]) for t in both],
        "seconds_by_slice": {str(size): took for size, took in by_slice.items()},
        "seconds_by_length": {str(length): took for length, took in by_length.items()},
    }


def blocks(rounds: int) -> dict[str, float]:
    """Mamba-2's form at length 8192, one head of 64, by block size."""
    x, b, c = (torch.randn(1, 8192, 1, width).requires_grad_() for width in (64, 16, 16))
    log = (-torch.rand(1, 8192, 1)).requires_grad_()
    calls = {str(q): partial(ssd, x, log, b, c, chunk_size=q) for q in (16, 32, 64, 128)}
    return seconds(calls, rounds)


def table(rows: Iterable[Row]) -> Table:
    """Lays the comparison out, in milliseconds and MiB."""
    names = ("plain loop", "mambapy", *METHODS)
    out = Table(title="Forward and backward, one thread: ms (MiB at the peak)")
    for heading in ("batch, length, channels, state", *names, "x loop", "x mambapy"):
        out.add_column(heading, justify="right")
    for row in rows:
        cells = [f"{row.seconds[n] * 1e3:.1f} ({row.peak_bytes[n] / 2**20:.0f})" for n in names]
        ratios = [f"{ratio:.1f}" for ratio in (row.auto_over_plain_loop, row.auto_over_mambapy)]
        shape = ", ".join(map(str, (row.batch, row.length, row.channels, row.state)))
        out.add_row(shape, *cells, *ratios)
    return out


def main(rounds: int = 5, output: Path = RESULTS) -> None:
    """Measures everything and writes what came out.

    Args:
        rounds: Rounds; the least time of each side counts.
        output: File the result is written to.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = [beside_others(shape, rounds) for shape in SHAPES]
    console = Console()
    console.print(table(rows))
    record = {
        "unit": "seconds of processor time, forward and backward, one thread",
        "command": "python benchmarks/scan.py",
        "settings": {"rounds": rounds, "channels": CHANNELS, "state": STATE},
        "shapes": [asdict(row) for row in rows],
        "growth": growth(rounds),
        "grid": grid(rounds),
        "memory": memory(32_768),
        "thresholds": thresholds(rounds),
        "ssd_blocks": blocks(rounds),
        "versions": {name: version(name) for name in ("mambapy", "numba")},
        "host": describe_host("cpu"),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f"{output.name}.tmp-{os.getpid()}")
    draft.write_text(json.dumps(record, indent=1) + "\n")
    draft.replace(output)
    console.print(f"written to {output.name}")


if __name__ == "__main__":
    tyro.cli(main)
