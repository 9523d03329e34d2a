"""Training out of core measured on the disk at hand: every way in a process of its own.

The jobs of a measurement run one after the other and are kept one by one, so that a measurement
that was interrupted goes on. What they come to is held against the goals in ``ooc_bars``.

A way that is cut off has the time of its epoch reckoned from the later half of the batches it came
to. A page cache is full by then; an LRU cache may still fill, and looks slower than it would be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from graphkit.bench.confined import run_within
from graphkit.bench.host import describe_host
from graphkit.bench.ooc_bars import bars
from graphkit.bench.ooc_job import Job
from graphkit.bench.ooc_page import page, picture
from graphkit.bench.ooc_ways import WAYS, Way
from graphkit.errors import SettingError, unknown_name
from graphkit.files import write_whole
from graphkit.ooc.sizes import show_bytes
from graphkit.ooc.store import Store

__all__ = ["Asked", "Found", "jobs", "measure", "measured"]

Found: TypeAlias = dict[str, dict[str, Any]]
Watch: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Asked:
    """What is measured; equal words find what was measured before.

    Args:
        memory: Bytes that training may hold, interpreter and model included: for each way but
            those in memory. A control group enforces it where the system has them.
        fanouts: Neighbours drawn per hop, nearest hop first.
        batch_size: Seeds a batch.
        sampled_epochs: Epochs drawn ahead.
        seed: Seed of order, draws and weights.
        threads: Threads of torch.
        light: Hidden width of a network that computes little, for the epochs of all ways.
        heavy: Hidden width of one that computes longer than the disk reads.
        rounds: Rounds in which two things are measured in turn.
        some: Batches of an epoch in such rounds with a network.
        seconds: When an epoch of a way is cut off.
        ways: Which ways; ``packed`` is always measured.
        shares: Other budgets, as shares of ``memory``, under which the peak is measured.
        cached_rows: Rows kept in memory, by the ways that keep some; ``None`` is as many as fit.

    Raises:
        SettingError: Fewer than five rounds, or a share outside of 0 to 1.
        UnknownName: There is no such way.
    """

    memory: int
    fanouts: tuple[int, ...] = (10, 10)
    batch_size: int = 1024
    sampled_epochs: int = 2
    seed: int = 0
    threads: int = 2
    light: int = 16
    heavy: int = 256
    rounds: int = 5
    some: int = 6
    seconds: float = 60.0
    ways: tuple[Way, ...] = WAYS
    shares: tuple[float, ...] = (0.9, 0.8)
    cached_rows: int | None = None

    def __post_init__(self) -> None:
        if self.rounds < 5:
            raise SettingError(f"rounds = {self.rounds}; a median needs at least 5")
        if any(not 0 < share < 1 for share in self.shares):
            raise SettingError(f"shares = {self.shares}; expected numbers between 0 and 1")
        for way in self.ways:
            if way not in WAYS:
                raise unknown_name("way", way, WAYS)


def jobs(store: Path, asked: Asked, packs: tuple[str, str] | None) -> Iterator[tuple[str, Job]]:
    """Yields name and job of each measurement, in the order they are carried out.

    Args:
        store: The store's folder.
        asked: What is measured.
        packs: Names of plan and pack, which the first job makes.
    """
    base = Job(
        kind="ready", store=str(store), memory=asked.memory, fanouts=asked.fanouts,
        batch_size=asked.batch_size, sampled_epochs=asked.sampled_epochs, seed=asked.seed,
        threads=asked.threads, hidden=asked.light, cached_rows=asked.cached_rows,
    )  # fmt: skip
    yield "ready", base
    made = replace(base, packs=packs)
    yield "rates", replace(made, kind="rates", memory=None, epochs=asked.rounds)
    packed = replace(base, kind="way", epochs=asked.sampled_epochs + 1)
    yield "packed", packed
    for way in asked.ways:
        limit = None if way == "memory" else asked.memory
        if way != "packed":
            yield way, replace(made, kind="way", way=way, memory=limit, seconds=asked.seconds)
    beside = replace(made, kind="beside", memory=None, batches=asked.some, epochs=asked.rounds)
    yield "beside-light", beside
    yield "beside-heavy", replace(beside, hidden=asked.heavy)
    for share in asked.shares:
        memory = int(share * asked.memory)
        yield f"ready-{share:g}", replace(base, memory=memory)
        yield f"packed-{share:g}", replace(packed, memory=memory, epochs=1)


def measure(
    store: Path,
    asked: Asked,
    *,
    found: Mapping[str, dict[str, Any]] | None = None,
    keep: Callable[[Found], None] = lambda found: None,
    watch: Watch = lambda stage, done, total: None,
) -> Found:
    """Carries out what is missing; what fails or is killed says so in place of its result.

    Args:
        store: The store's folder; plans and packs are added to it.
        asked: What is measured.
        found: What was measured before with the same words.
        keep: Called with all that is there after each job.
        watch: Told stage, jobs done and jobs in all.

    Raises:
        DataNotFound: There is no store.
        SettingError: The first job, drawing and packing, is not possible within the memory.
    """
    Store.open(store)  # refused here and not in a job
    done: Found = dict(found or {})
    total = sum(1 for _ in jobs(store, asked, None))
    for number in range(total):
        ready = done.get("ready", {})
        packs = (ready["plan"], ready["pack"]) if ready else None
        name, job = list(jobs(store, asked, packs))[number]
        if "error" in done.get(name, {"error": ""}):
            watch(f"bench {name}", 0, 1)
            if name == "ready":
                _carried_out(replace(job, kind="warm"))  # else the compiler would be timed
            done[name] = _carried_out(job)
            if name == "ready" and "error" in done[name]:
                raise SettingError(f"drawing and packing: {done[name]['error']}")
            keep(done)
            watch(f"bench {name}", 1, 1)
    return done


def measured(
    store: Path,
    asked: Asked,
    out: Path,
    *,
    about: Mapping[str, Any] | None = None,
    before: Mapping[str, dict[str, Any]] | None = None,
    watch: Watch = lambda stage, done, total: None,
) -> Found:
    """Measures, and keeps what is there after each job: ``out``, and beside it the page (``.html``)
    and its picture (``.svg``). Given again with the same words, it goes on.

    Args:
        store: The store's folder.
        asked: What is measured.
        out: File for the result, JSON.
        about: What the store was made of, for the record.
        before: What was measured before the first job, by name.
        watch: Told stage, jobs done and jobs in all.
    """
    words = json.loads(json.dumps({"about": about or {}, "asked": asdict(asked)}))
    kept = json.loads(out.read_text()) if out.is_file() else {}
    same = all(kept.get(key) == value for key, value in words.items())

    def keep(found: Found) -> None:
        told = words | {
            "jobs": found,
            "goals": [asdict(one) | {"verdict": one.verdict} for one in bars(found)],
            "host": describe_host("cpu"),
        }
        write_whole(out, (json.dumps(told, indent=1) + "\n").encode())
        write_whole(out.with_suffix(".html"), page(found, "Training out of core").encode())
        write_whole(out.with_suffix(".svg"), picture(found).encode())

    found = {**(before or {}), **(kept["jobs"] if same else {})}
    return measure(store, asked, found=found, keep=keep, watch=watch)


def _carried_out(job: Job) -> dict[str, Any]:
    """A job's result, with what its process came to."""
    ended = run_within("graphkit.bench.ooc_job", [json.dumps(asdict(job))], job.memory)
    about = {"memory": job.memory, "confined": ended.confined, "group_peak": ended.peak_bytes}
    if job.memory is not None and not ended.confined:  # then it has to keep to it by itself
        alone = json.dumps(asdict(replace(job, confined=False)))
        ended = run_within("graphkit.bench.ooc_job", [alone], None)
    if ended.status == -9 and job.memory is not None:
        return about | {"error": f"killed: it takes more than {show_bytes(job.memory)}"}
    if ended.status != 0:
        last = ended.errors.strip().splitlines()[-1:] or ["nothing was said"]
        return about | {"error": f"ended with {ended.status}: {last[0]}"}
    told: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
    return about | told
