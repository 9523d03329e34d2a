"""Memory that training takes, reckoned before it starts and watched while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from graphkit.errors import GraphkitError, SettingError, TrainingError
from graphkit.ooc.disk import BLOCK, READERS
from graphkit.ooc.pack_layout import place_bytes
from graphkit.ooc.plan import Plan
from graphkit.ooc.sizes import show_bytes
from graphkit.ooc.source import batch_bytes, most_read
from graphkit.ooc.store import Store

__all__ = ["Budget", "Watchdog", "default_reserve", "reckon", "resident_bytes"]

_SHARE = 0.95  # of the memory is reckoned with; the rest is what no reckoning sees
_STACK = 1 << 18  # bytes a thread touches
_DEPTHS = ((4, 2), (3, 2), (3, 1))  # finished batches kept and batches under way, best first


@dataclass(frozen=True)
class Budget:
    """What memory is for; all sizes in bytes.

    Args:
        memory: What training may take; ``None`` is no limit.
        baseline: What the process held before.
        reserve: For model, optimiser and what a step computes.
        tables: Labels, parts, indexes, checksums, and stacks of threads.
        buffer: A finished batch.
        raw: What is read for a batch.
        buffers: Finished batches there is room for, the one in use included.
        under_way: Batches that are read and put together at a time, if no row is cached; else more
            may fit into the same memory.
        cache: Rows that stay in memory.
        device: Rows that stay on the device that trains; none of the memory.
    """

    memory: int | None
    baseline: int
    reserve: int
    tables: int
    buffer: int
    raw: int
    buffers: int
    under_way: int
    cache: int = 0
    device: int = 0

    @property
    def needed(self) -> int:
        """All of it together."""
        pool = self.buffers * self.buffer + self.under_way * self.raw
        return self.baseline + self.reserve + self.tables + pool + self.cache

    @property
    def room(self) -> int:
        """Bytes that are left, below zero if there are too few; very many without a limit."""
        return (1 << 62) - self.needed if self.memory is None else self.usable - self.needed

    @property
    def usable(self) -> int:
        """What is reckoned with."""
        return int(_SHARE * self.memory) if self.memory is not None else 1 << 62

    @property
    def slack(self) -> int:
        """What is left aside when reckoning."""
        return 0 if self.memory is None else self.memory - self.usable

    def __str__(self) -> str:
        parts = {
            "process": self.baseline,
            "model and its work": self.reserve,
            "tables": self.tables,
            f"{self.buffers} batches of {show_bytes(self.buffer)}": self.buffers * self.buffer,
            f"{self.under_way} under way": self.under_way * self.raw,
            "cached rows": self.cache,
        }
        listed = ", ".join(f"{name} {show_bytes(size)}" for name, size in parts.items())
        device = f"; on the device {show_bytes(self.device)}" if self.device else ""
        return f"{show_bytes(self.needed)}: {listed}{device}"


def reckon(
    store: Store,
    plans: Iterable[Plan],
    *,
    memory: int | None,
    reserve: int | None = None,
    threads: int = READERS,
) -> Budget:
    """Reckons memory without a cache, with as many batches ahead as fit.

    Args:
        store: Where features are.
        plans: Of all parts that will be read.
        memory: What training may take.
        reserve: For model, optimiser and what a step computes; ``None`` guesses.
        threads: Reads under way at once.

    Raises:
        SettingError: It does not fit; the message says what would.
    """
    known = list(plans)
    columns, row_bytes = store.dims.in_channels, store.arrays["node/x"].row_bytes
    places = place_bytes(store.num_nodes)
    buffer = max(batch_bytes(plan, columns) for plan in known)
    labels = sum(a.num_bytes for name, a in store.arrays.items() if not _large(name))
    sums = sum(plan.totals["nodes"] * row_bytes // BLOCK * 8 for plan in known)
    index = sum(plan.num_batches for plan in known) * 320
    first = Budget(
        memory=memory,
        baseline=resident_bytes() or 0,
        reserve=default_reserve(buffer) if reserve is None else reserve,
        tables=labels + sums + index + (threads + 4) * _STACK,
        buffer=buffer,
        raw=max(most_read(plan, row_bytes, places) for plan in known),
        buffers=_DEPTHS[0][0],
        under_way=_DEPTHS[0][1],
    )
    ways = [replace(first, buffers=b, under_way=u) for b, u in _DEPTHS]
    for way in ways:
        if way.room >= 0:
            return way
    least = int(ways[-1].needed / _SHARE) + 1
    raise SettingError(
        f"memory = {show_bytes(memory or 0)}; training on this plan takes at least "
        f"{show_bytes(least)} (without cached rows {ways[-1]}). Give more memory, reserve less, or "
        "sample smaller batches or fan-outs"
    )


def default_reserve(buffer: int) -> int:
    """Guesses what a model takes: its weights, and a few layers of activations of a batch."""
    return (64 << 20) + 3 * buffer


def resident_bytes() -> int | None:
    """Returns the memory of this process that no file stands behind; ``None`` if not known."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))]
    return 1024 * sum(found) if found else None


class Watchdog:
    """Looks at the memory of the process five times a second, inside ``with``.

    Args:
        memory: What the process may hold; ``None`` only looks.
        lower: Called once when it is nearly all in use.
        abort: Called with an error when there is more.
        every: Seconds between two looks.
    """

    def __init__(
        self,
        memory: int | None,
        lower: Callable[[], None],
        abort: Callable[[GraphkitError], None],
        every: float = 0.2,
    ) -> None:
        self.memory, self.lower, self.abort, self.every = memory, lower, abort, every
        self.peak = 0
        self._lowered = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="graphkit-memory", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Looks once."""
        found = resident_bytes()
        if found is None:
            return
        self.peak = max(self.peak, found)
        if self.memory is None:
            return
        if found > self.memory * (1 + _SHARE) / 2 and not self._lowered:
            self._lowered = True
            self.lower()
        if found > self.memory:
            self.abort(
                TrainingError(
                    f"the process holds {show_bytes(found)}, memory = {show_bytes(self.memory)}: "
                    "the model or what is around it takes more than was reserved. Reserve more, or "
                    "give more memory"
                )
            )

    def _watch(self) -> None:
        while True:
            self.look()
            if self._over.wait(self.every):
                self.look()
                return


def _large(name: str) -> bool:
    return name in ("node/x", "graph/indptr", "graph/indices")
