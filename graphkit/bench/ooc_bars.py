"""What training out of core is held against, and what a measurement came to.

All values are ratios within one measurement. Two of the goals compare reading with the disk: that
of the issue counts features alone, that of the sheet (B) all that training reads, ids and places of
rows too; the yardstick is that of ``disk_probe``. The mapped baseline is the faster of two, as PyG
leaves it and told that pages are wanted in no order; the baseline on demand (C, D) is the fastest
of those that read pages past the cache of the system.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, TypeAlias

from graphkit.bench.wording import memory as size
from graphkit.bench.wording import seconds as time

__all__ = ["Bar", "bars", "later", "steady"]

Found: TypeAlias = Mapping[str, Mapping[str, Any]]
Epoch: TypeAlias = Mapping[str, Any]

MAPPED = ("mapped", "mapped-random")
DEMAND = ("static", "lru", "pages")


@dataclass(frozen=True)
class Bar:
    """A goal and what was reached.

    Args:
        source: ``issue``, or a letter of the sheet.
        what: What is measured.
        sign: Whether more or less is better; empty where nothing is asked.
        goal: The bar.
        value: What was measured; ``None`` if it was not, or does not apply.
        note: How, or why not.
    """

    source: str
    what: str
    sign: Literal[">=", "<=", ""]
    goal: float | None
    value: float | None
    note: str

    @property
    def verdict(self) -> str:
        """``reached``, ``missed``, or nothing where that cannot be said."""
        if self.value is None or self.goal is None:
            return ""
        met = self.value >= self.goal if self.sign == ">=" else self.value <= self.goal
        return "reached" if met else "missed"


def later(way: Mapping[str, Any]) -> list[Epoch]:
    """Epochs of a way but for the first, in which caches are filled and rows are checked."""
    epochs: list[Epoch] = list(way.get("epochs", []))
    return epochs[1:] or epochs


def steady(way: Mapping[str, Any]) -> float | None:
    """Seconds of an epoch once caches are filled, the median."""
    times = [epoch["epoch_seconds"] for epoch in later(way)]
    return median(times) if times else None


def bars(found: Found) -> list[Bar]:
    """Returns all goals with what a measurement came to."""
    return [one(found) for one in (*_ISSUE, *_SHEET)]


def _best(found: Found, ways: tuple[str, ...]) -> tuple[str, Epoch] | None:
    """The fastest of some ways, by what it takes to train an epoch from the start."""
    known = [(way, found[way]["epochs"][0]) for way in ways if found.get(way, {}).get("epochs")]
    return min(known, key=lambda pair: pair[1]["epoch_seconds"]) if known else None


def _rounds(found: Found, job: str) -> list[Mapping[str, Any]]:
    return list(found.get(job, {}).get("rounds", []))


def _some(values: list[float]) -> float | None:
    return median(values) if values else None


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _how(way: str, epoch: Epoch) -> str:
    if epoch["whole"]:
        return f"{way}: {time(epoch['epoch_seconds'])} an epoch"
    cut = f"reckoned from the later half of {epoch['batches']} of {epoch['of']} batches"
    return f"{way}: {time(epoch['epoch_seconds'])} an epoch, {cut}"


def _faster(found: Found) -> Bar:
    best, mine = _best(found, MAPPED), steady(found.get("packed", {}))
    value = _over(best[1]["epoch_seconds"], mine) if best and mine else None
    note = f"{_how(*best)}; packed {time(mine)}" if best else "no mapped way was measured"
    return Bar("issue", "mapped features, cold cache / packed, time", ">=", 8, value, note)


def _amplified(found: Found) -> Bar:
    epochs = later(found.get("packed", {}))
    read, asked = (sum(e[key] for e in epochs) for key in ("disk_bytes", "asked_bytes"))
    note = "all that an epoch reads over the rows of it that are not cached"
    return Bar("issue", "bytes read / bytes of features", "<=", 1.1, _over(read, asked), note)


def _against_disk(found: Found, source: str, what: str, goal: float, key: str) -> Bar:
    rounds = _rounds(found, "rates")
    share = _some([one[key] / one["seconds"] / one["disk"] for one in rounds])
    note = "not measured: " + str(found.get("rates", {}).get("error", ""))
    if rounds:
        rate = median(one[key] / one["seconds"] for one in rounds)
        disk = median(one["disk"] for one in rounds)
        best = found["rates"]["strictest"]["bytes_per_second"]
        note = f"{size(rate)}/s, disk {size(disk)}/s; of the strictest rate ({size(best)}/s) "
        note += f"{rate / best:.2f}; {len(rounds)} rounds"
    return Bar(source, what, ">=", goal, share, note)


def _features_rate(found: Found) -> Bar:
    what = "features read / the disk's sequential limit, no network"
    return _against_disk(found, "issue", what, 0.85, "asked_bytes")


def _computing(found: Found) -> Bar:
    rounds = _rounds(found, "beside-heavy")
    value = _some([one["packed"]["seconds"] / one["memory"]["seconds"] for one in rounds])
    light = _some(
        [r["packed"]["seconds"] / r["memory"]["seconds"] for r in _rounds(found, "beside-light")]
    )
    note = f"{len(rounds)} rounds in turn" + (f"; little computed: {light:.2f}" if light else "")
    return Bar("issue", "packed / in memory, much computed, time", "<=", 1.25, value, note)


def _peak(found: Found, source: str) -> Bar:
    trained = {name: job for name, job in found.items() if name.split("-")[0] == "packed"}
    shares = {
        name: job["peak"]["anonymous"] / job["memory"]
        for name, job in trained.items()
        if "peak" in job and job["memory"]
    }
    failed = [f"{name}: {job['error']}" for name, job in trained.items() if "error" in job]
    value = max(shares.values(), default=None)
    held = "held to it by a control group" if _confined(trained) else "no control group"
    listed = ", ".join(f"{s:.2f} of {size(trained[n]['memory'])}" for n, s in shares.items())
    note = "; ".join([listed, held, *failed])
    return Bar(source, "peak memory / memory given", "<=", 1, None if failed else value, note)


def _confined(jobs: Found) -> bool:
    return all(job.get("confined") for job in jobs.values())


def _beforehand(found: Found) -> Bar:
    ready, mine = found.get("ready", {}), steady(found.get("packed", {}))
    fresh = bool(ready.get("fresh"))
    spent = ready["sample_seconds"] + ready["pack_seconds"] if fresh else None
    note = "drawn and packed before" if ready and not fresh else ""
    if fresh:
        note = f"drawing {time(ready['sample_seconds'])}, packing {time(ready['pack_seconds'])}"
        if "prepare" in found:
            note += f"; preparing the store {time(found['prepare']['seconds'])}"
    value = _over(spent, 10 * mine if mine else None)
    return Bar("issue", "drawing and packing / ten epochs, time", "", None, value, note)


def _exact(found: Found) -> Bar:
    ready = found.get("ready", {})
    cold = ready.get("cold_rows", 0) * ready.get("row_bytes", 0)
    value = _over(ready.get("region_bytes"), cold)
    return Bar("A", "packed bytes / bytes of rows not cached", "<=", 1.01, value, "counted")


def _all_rate(found: Found) -> Bar:
    what = "all bytes read / the disk's sequential limit, no network"
    return _against_disk(found, "B", what, 0.9, "disk_bytes")


def _batch_by_pages(found: Found) -> Bar:
    known = {way: found[way]["epochs"][0] for way in DEMAND if found.get(way, {}).get("epochs")}
    mine = _some([one["seconds"] / one["batches"] for one in _rounds(found, "rates")])
    per_batch = {way: e["wait_seconds"] / e["batches"] for way, e in known.items()}
    way = min(per_batch, key=lambda name: per_batch[name], default="")
    value = _over(per_batch.get(way), mine)
    ready = found.get("ready", {})
    share = ready.get("rows_per_batch", 0) / ready.get("nodes", 1)
    note = f"{way}; rows of {ready.get('row_bytes')} B, {share:.1%} of the nodes a batch"
    applies = ready.get("row_bytes") == 512 and share <= 0.03
    note += "" if applies else ": the bar is for 512 B and at most 3%"
    goal = 25 if applies else None
    return Bar("C", "pages on demand / packed, time of reading a batch", ">=", goal, value, note)


def _first_epoch(found: Found) -> Bar:
    best, ready = _best(found, DEMAND), found.get("ready", {})
    mine = None
    if found.get("packed", {}).get("epochs") and ready.get("fresh"):
        first = found["packed"]["epochs"][0]["epoch_seconds"]
        mine = ready["sample_seconds"] + ready["pack_seconds"] + first
    value = _over(best[1]["epoch_seconds"] if best else None, mine)
    note = f"{_how(*best)}; first epoch with all before it {time(mine)}" if best else ""
    return Bar("D", "pages on demand / first epoch with drawing and packing", ">=", 5, value, note)


def _packing(found: Found) -> Bar:
    ready, rounds = found.get("ready", {}), _rounds(found, "rates")
    rate = None
    if ready.get("fresh") and ready["pack_seconds"]:
        rate = (ready["feature_bytes"] + ready["pack_bytes"]) / ready["pack_seconds"]
    disk = _some([one["disk"] for one in rounds])
    note = f"{size(rate)}/s read and written" if rate else ""
    return Bar("H", "packing / the disk's sequential limit", ">=", 0.5, _over(rate, disk), note)


def _stalled(found: Found) -> Bar:
    rounds = [one["packed"] for one in _rounds(found, "beside-heavy")]
    value = _some([one["wait_seconds"] / one["seconds"] for one in rounds])
    reading = _some([one["seconds"] / one["batches"] for one in _rounds(found, "rates")])
    computing = _some([one["compute_seconds"] / one["batches"] for one in rounds])
    note = f"a batch: computing {time(computing)}, reading {time(reading)}"
    applies = reading is not None and computing is not None and computing > reading
    goal = 0.05 if applies else None
    return Bar("I", "share of a step spent waiting, much computed", "<=", goal, value, note)


_ISSUE: tuple[Callable[[Found], Bar], ...] = (
    _faster, _amplified, _features_rate, _computing, lambda found: _peak(found, "issue"),
    _beforehand,
)  # fmt: skip
_SHEET: tuple[Callable[[Found], Bar], ...] = (
    _exact, _all_rate, _batch_by_pages, _first_epoch, lambda found: _peak(found, "E"), _packing,
    _stalled,
)  # fmt: skip
