"""``graphkit ooc``: train on graphs larger than memory, from a store on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from graphkit.cli.ooc_kept import clean, info, verify
from graphkit.cli.ooc_shown import plan_told, show_plan
from graphkit.cli.ooc_source import (
    DType,
    Engine,
    Loops,
    default_place,
    hops_of,
    one_plan,
    prepared,
    source_of,
)
from graphkit.cli.ooc_train import train

__all__ = ["clean", "info", "pack", "prepare", "sample", "train", "verify"]

AsJson = Annotated[bool, tyro.conf.arg(name="json")]
Word = Annotated[str, tyro.conf.Positional]
Folder = Annotated[Path, tyro.conf.Positional]


def prepare(
    source: Word,
    /,
    *,
    out: Path | None = None,
    features: Path | None = None,
    labels: Path | None = None,
    train: Path | None = None,
    val: Path | None = None,
    test: Path | None = None,
    indptr: Path | None = None,
    num_classes: int | None = None,
    model: str = "graphsage",
    undirected: bool = False,
    dedup: bool = False,
    loops: Loops = "keep",
    dtype: DType = "float32",
    memory: str = "1G",
    data_root: Path | None = None,
    dry_run: bool = False,
    quiet: bool = False,
    as_json: AsJson = False,
) -> None:
    """Writes a graph into a store on disk, in bounded memory.

    Killed at any moment, the same command goes on and ends with the same bytes.

    Args:
        source: A problem of the catalogue, a folder in OGB's layout, or a file of edges (``.npy``
            or Parquet).
        out: The store's folder; by default the source's name with ``.store``.
        features: With a file of edges: a row per node.
        labels: With a file of edges: an answer per node.
        train: With a file of edges: nodes of the part, or a mask.
        val: The same for validation.
        test: The same for the test.
        indptr: With a file of edges that holds sources alone: where those of each node begin.
        num_classes: Number of classes, where not all occur.
        model: The model that will be trained: what it needs of the graph (edges in both
            directions, say) is done now.
        undirected: Add the opposite of each edge.
        dedup: Keep one of several equal edges.
        loops: Edges from a node to itself: ``keep``, ``add`` where missing, or ``drop``.
        dtype: Type of the features on disk.
        memory: Memory to work in, such as 8G.
        data_root: Folder of raw files, looked in first.
        dry_run: Say how much disk it takes and write nothing.
        quiet: No progress.
        as_json: Print JSON for a program.
    """
    parts = {"train": train, "val": val, "test": test}
    found = source_of(source, features, labels, parts, indptr, num_classes, model, data_root)
    path = out or default_place(source, found.name)
    if dry_run:
        from graphkit.ooc import Settings, disk_bytes, show_bytes
        from graphkit.ooc.folders import free_bytes

        needed = disk_bytes(found, Settings(undirected, dedup, loops, dtype))
        free = free_bytes(path.parent if path.parent.is_dir() else Path())
        told = {"path": str(path), "disk_bytes": needed, "free_bytes": free}
        text = f"{path}: {show_bytes(needed)} of disk, {show_bytes(free)} free"
        print(json.dumps(told) if as_json else text)
        return
    store = prepared(found, path, undirected, dedup, loops, dtype, memory, model, quiet)
    info(store.path, as_json=as_json)


def sample(
    store: Folder,
    /,
    *,
    fanouts: str = "10,10",
    batch_size: int = 1024,
    part: str = "train",
    sampled_epochs: int = 2,
    seed: int = 0,
    engine: Engine = "auto",
    memory: str | None = None,
    threads: int | None = None,
    quiet: bool = False,
    as_json: AsJson = False,
) -> None:
    """Draws all mini-batches of some epochs ahead, and shows what each cache would serve.

    Args:
        store: Folder of the store.
        fanouts: Neighbours drawn per hop, nearest hop first; -1 takes all.
        batch_size: Seeds a batch.
        part: ``train``, ``val``, ``test`` or ``all``.
        sampled_epochs: Epochs to draw, each with other neighbours.
        seed: Seed of order and draws.
        engine: ``memory`` draws from the graph in memory, ``scan`` reads it front to back for many
            batches at a time, ``auto`` scans where it does not fit. The batches are the same.
        memory: Memory to work in, such as 8G; half of the machine's by default.
        threads: Batches drawn at a time.
        quiet: No progress.
        as_json: Print JSON for a program.
    """
    from graphkit.cli.progress import Stages
    from graphkit.ooc import Store, parse_bytes
    from graphkit.ooc.sample_ahead import sample_ahead

    opened = Store.open(store)
    with Stages(quiet=quiet or as_json) as watch:
        plan = sample_ahead(
            opened, hops_of(fanouts), batch_size, part, sampled_epochs, seed, threads,
            parse_bytes(memory) if memory else None, watch, engine=engine,
        )  # fmt: skip
    told = plan_told(opened, plan)
    if as_json:
        print(json.dumps(told))
        return
    show_plan(told)


def pack(
    store: Folder,
    /,
    *,
    plan: str = "",
    memory: str = "2G",
    disk: str | None = None,
    cached_rows: int | None = None,
    threads: int | None = None,
    dry_run: bool = False,
    quiet: bool = False,
    as_json: AsJson = False,
) -> None:
    """Lays features out on disk in the order the batches read them.

    Args:
        store: Folder of the store.
        plan: Beginning of a plan's name; not needed where there is one alone.
        memory: Memory that training may take, interpreter and model included: what it leaves
            caches the hottest rows.
        disk: Disk the pack may take, such as 100G; by default what is free.
        cached_rows: Rows kept in memory, in place of as many as fit.
        threads: Threads that copy and write.
        dry_run: Show the placement and write nothing.
        quiet: No progress.
        as_json: Print JSON for a program.
    """
    from graphkit.cli.progress import Stages
    from graphkit.ooc import Plan, Store, parse_bytes, place, show_bytes
    from graphkit.ooc.budget import reckon
    from graphkit.ooc.pack import pack as write

    opened = Store.open(store)
    chosen = Plan.open(opened, one_plan(opened, plan))
    limit = parse_bytes(memory)
    placement = place(
        opened, chosen, memory=limit, depth=0,
        reserve=reckon(opened, [chosen], memory=limit).needed,
        disk=parse_bytes(disk) if disk else None, cached_rows=cached_rows,
    )  # fmt: skip
    told: dict[str, Any] = {
        "plan": chosen.plan_id, "cached_rows": placement.cached_rows,
        "hit_rate": placement.hit_rate, "cold_rows": placement.cold_rows,
        "stored_rows": placement.stored_rows, "memory_bytes": placement.memory_bytes,
        "disk_bytes": placement.disk_bytes,
    }  # fmt: skip
    if not as_json:
        shared = f", shared between {placement.span} batches" if placement.span else ""
        print(
            f"cache {placement.cached_rows:,} rows ({placement.hit_rate:.1%} of accesses), "
            f"{placement.cold_rows:,} from disk{shared}; memory "
            f"{show_bytes(placement.memory_bytes)}, disk {show_bytes(placement.disk_bytes)}"
        )
    if not dry_run:
        with Stages(quiet=quiet or as_json) as watch:
            made = write(opened, chosen, placement, threads=threads, watch=watch)
        told["pack"] = made.pack_id
        if not as_json:
            print(f"packed: {made.path}")
    if as_json:
        print(json.dumps(told))
