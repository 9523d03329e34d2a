"""What ``graphkit ooc`` prints: plans, what training would take, what a run came to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from graphkit.ooc.plan import Plan
    from graphkit.ooc.store import Store

__all__ = ["names_below", "plan_told", "show_estimate", "show_plan", "show_record"]


def names_below(folder: Path, mark: str) -> list[str]:
    return sorted(entry.parent.name for entry in folder.glob(f"*/{mark}"))


def plan_told(store: Store, plan: Plan) -> dict[str, Any]:
    from graphkit.ooc import Curve, Pack

    curve = Curve.of(plan.counts())
    row_bytes = store.arrays["node/x"].row_bytes
    shares = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
    packs = []
    for name in names_below(plan.path / "packs", "pack.json"):
        packed = Pack.open(store, plan, name)
        packs.append(
            {"pack": name, "cached_rows": packed.cached_rows,
             "disk_bytes": int(packed.totals["disk_bytes"])}
        )  # fmt: skip
    kept = ("part", "fanouts", "batch_size", "sampled_epochs", "seed")
    return {
        "plan": plan.plan_id,
        **{key: plan.settings[key] for key in kept},
        "first_epoch": plan.settings.get("first_epoch"),
        "batches": plan.num_batches,
        "rows_per_batch": curve.accesses / max(plan.num_batches, 1),
        "edges_per_batch": int(plan.records["edges"].sum()) / max(plan.num_batches, 1),
        "distinct_share": curve.distinct / max(store.num_nodes, 1),
        "unpacked_bytes": curve.accesses * row_bytes,
        "hits": {
            str(share): curve.served(int(share * store.num_nodes)) / max(curve.accesses, 1)
            for share in shares
        },
        "packs": packs,
    }


def show_plan(told: dict[str, Any], *, curve: bool = True) -> None:
    from graphkit.ooc import show_bytes

    drawn = ",".join(map(str, told["fanouts"]))
    first = told["first_epoch"]
    since = "" if first is None else f" from {first} on"
    print(
        f"plan {told['plan']}: {told['part']}, {told['batches']:,} batches of {told['batch_size']} "
        f"({told['sampled_epochs']} epochs{since}, {drawn} neighbours)\n"
        f"  {told['rows_per_batch']:,.0f} rows and {told['edges_per_batch']:,.0f} edges a batch; "
        f"all rows {show_bytes(told['unpacked_bytes'])}"
    )
    if curve:
        hits = "  ".join(f"{float(k):.0%}: {v:.0%}" for k, v in told["hits"].items())
        print(f"  a cache of this share of nodes serves so many accesses: {hits}")
    for each in told["packs"]:
        print(f"  pack {each['pack']}: {each['cached_rows']:,} cached rows, "
              f"{show_bytes(each['disk_bytes'])}")  # fmt: skip


def show_estimate(
    store: Store,
    fanouts: tuple[int, ...],
    batch_size: int,
    sampled_epochs: int,
    seed: int,
    refresh: int = 0,
) -> None:
    from graphkit.ooc import show_bytes
    from graphkit.ooc.estimate import estimate

    on_disk = 2 * sampled_epochs if refresh else sampled_epochs
    found = estimate(
        store, fanouts=fanouts, batch_size=batch_size, sampled_epochs=on_disk, seed=seed
    )
    table = Table(title="what it would take", title_justify="left", show_header=False)
    batch = f"{found.batch_nodes:,} nodes and {found.batch_edges:,} edges each"
    table.add_row("batches", f"{found.batches:,}, {batch}")
    table.add_row("least memory", show_bytes(found.memory_bytes))
    table.add_row("memory to keep every row", f"{show_bytes(found.cache_bytes)} more")
    table.add_row("disk", show_bytes(found.disk_bytes))
    table.add_row("the disk reads", f"{show_bytes(int(found.read_rate))} a second")
    for name, seconds in (
        ("drawing", found.sample_seconds), ("packing", found.pack_seconds),
        ("reading an epoch", found.epoch_seconds),
    ):  # fmt: skip
        table.add_row(name, f"about {seconds:.1f} s")
    if refresh:
        kept = f"each drawn epoch is used {refresh} times, the plans of two are on disk"
        table.add_row("fresh samples", f"{kept}; a quarter more memory for the work behind")
    Console().print(table)


def show_record(record: dict[str, Any], as_json: bool) -> int:
    from graphkit.ooc import show_bytes

    if record["status"] != "done":
        print(json.dumps({"status": "failed", "error": record["error"]["message"]}))
        return 1
    told = {
        "run": record["id"], "status": "done", "epoch": record["epoch"], "val": record["val"],
        "test": record["test"], "seconds_per_epoch": record["cost"]["seconds_per_epoch"],
        "reading": record["measures"],
    }  # fmt: skip
    if as_json:
        print(json.dumps(told))
        return 0
    reading, metric = record["measures"], record["metric"]
    table = Table(title=record["id"], title_justify="left", show_header=False)
    table.add_row(f"test {metric}", f"{record['test'][metric]:.4f}")
    table.add_row(f"validation {metric}", f"{record['val'][metric]:.4f}, epoch {record['epoch']}")
    table.add_row("time of an epoch", f"{told['seconds_per_epoch']:.2f} s")
    table.add_row("read", f"{show_bytes(int(reading['read_bytes']))}, "
                  f"{show_bytes(int(reading['read_bytes_per_second']))} a second")  # fmt: skip
    table.add_row("waiting for the disk", f"{reading['stall_share']:.1%} of the time")
    table.add_row("most memory", show_bytes(int(reading["peak_memory_bytes"])))
    Console().print(table)
    return 0
