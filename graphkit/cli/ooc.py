"""``graphkit ooc``: train on graphs larger than memory, from a store on disk."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from graphkit.cli.ooc_shown import names_below, plan_told, show_estimate, show_plan, show_record
from graphkit.cli.ooc_source import DType, Loops, default_place, is_store, prepared, source_of
from graphkit.errors import DataNotFound, SettingError, unknown_name

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

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
            opened, _fanouts(fanouts), batch_size, part, sampled_epochs, seed, threads,
            parse_bytes(memory) if memory else None, watch,
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
    chosen = Plan.open(opened, _one_plan(opened, plan))
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


def train(
    source: Word,
    /,
    *,
    store: Path | None = None,
    model: str = "graphsage",
    hidden: int | None = None,
    epochs: int = 20,
    lr: float | None = None,
    fanouts: str = "10,10",
    batch_size: int = 1024,
    sampled_epochs: int = 2,
    memory: str = "4G",
    disk: str | None = None,
    dtype: DType = "float32",
    seed: int = 0,
    results: Path = Path("results"),
    keep_models: bool = False,
    data_root: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    dry_run: bool = False,
    quiet: bool = False,
    as_json: AsJson = False,
) -> int:
    """Trains a model from disk within a memory budget; does first whatever is missing.

    Prepares the store, draws the batches, packs their rows, trains, scores. Each stage goes on
    where it was interrupted, and what is there already is used. Under ``torchrun`` the processes
    share the batches of the same plan.

    Args:
        source: A store, a problem of the catalogue, or a folder in OGB's layout.
        store: Where the store is, or will be; by default the source's name with ``.store``.
        model: Name of a model.
        hidden: Its width ``hidden_channels``.
        epochs: Passes over the training part.
        lr: Learning rate, in place of the preset's.
        fanouts: Neighbours drawn per hop, nearest hop first; -1 takes all.
        batch_size: Seeds a batch.
        sampled_epochs: Epochs to draw ahead; more of them take disk and resemble fresh samples.
        memory: Memory the process may hold, such as 8G; interpreter and model included.
        disk: Disk the packs may take; by default what is free.
        dtype: Type of the features on disk, where the store is made now.
        seed: Seed of order, draws and weights.
        results: Folder for the record.
        keep_models: Write the fitted model beside its record.
        data_root: Folder of raw files, looked in first.
        device: Where the model is trained.
        threads: Threads of torch, of drawing and of packing.
        dry_run: Say what is there and what is missing, and do nothing.
        quiet: No progress.
        as_json: Print the record's main numbers as JSON.
    """
    # Threads of OpenMP that wait by spinning take the processor from those that read.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    from graphkit.bench.ooc_run import one_then_all, prepared_for, trained
    from graphkit.cli.progress import Stages, Watching
    from graphkit.ooc import Store, make_ready, parse_bytes

    alone = _joined(device)
    quiet = quiet or as_json or not alone
    path = store or (Path(source) if is_store(Path(source)) else default_place(source, source))
    if dry_run:
        print(f"store {path}: {'there' if is_store(path) else 'to be prepared first'}")
        if is_store(path):
            show_estimate(Store.open(path), _fanouts(fanouts), batch_size, sampled_epochs, seed)
        return 0
    if not is_store(path) and alone:
        found = source_of(source, None, None, {}, None, None, model, data_root)
        prepared(found, path, False, False, "keep", dtype, memory, model, quiet)
    _wait_for_all()
    opened = Store.open(path)
    factory = prepared_for(opened, model, hidden)
    if threads:
        torch.set_num_threads(threads)
    with Stages(quiet=quiet) as stages:
        batching = one_then_all(
            partial(
                make_ready, opened, fanouts=_fanouts(fanouts), batch_size=batch_size,
                memory=parse_bytes(memory), disk=parse_bytes(disk) if disk else None,
                sampled_epochs=sampled_epochs, seed=seed, threads=threads, watch=stages,
            )
        )  # fmt: skip
    with Watching(1, 0, quiet=quiet, as_json=False) as watch:
        record = trained(
            batching, f"{model}-ooc", factory, epochs=epochs, lr=lr, seed=seed, results=results,
            keep_models=keep_models, device=device, threads=threads, watch=watch,
        )  # fmt: skip
    if record is None:
        return watch.exit_status or 1
    return show_record(record, as_json) if alone else 0


def info(store: Folder, /, *, curve: bool = False, as_json: AsJson = False) -> None:
    """Shows what a store holds, its plans and packs, and what each takes.

    Args:
        store: Folder of the store.
        curve: Show for each plan which share of accesses a cache of each size serves.
        as_json: Print JSON for a program.
    """
    from graphkit.ooc import Plan, Store, show_bytes
    from graphkit.ooc.verify import info as told_of

    told = told_of(store)
    opened = Store.open(store)
    told["plans"] = [plan_told(opened, Plan.open(opened, name)) for name in told["plans"]]
    if as_json:
        print(json.dumps(told))
        return
    table = Table(
        title=f"{told['name']} in {told['path']}", title_justify="left", show_header=False
    )
    for key in ("nodes", "edges", "features", "out_channels"):
        table.add_row(key, f"{told[key]:,}")
    table.add_row("type", f"{told['dtype']}, {told['row_bytes']} bytes a row")
    table.add_row("split", ", ".join(f"{k} {v:,}" for k, v in told["split"].items()))
    table.add_row("prepared with", ", ".join(told["brings"]) or "nothing")
    table.add_row("disk", show_bytes(told["total_bytes"]))
    table.add_row("nodes without in-edges", f"{told['nodes_without_in_edges']:,}")
    table.add_row("most in-edges of a node", f"{told['most_in_edges']:,}")
    Console().print(table)
    for plan in told["plans"]:
        show_plan(plan, curve=curve)


def verify(
    store: Folder,
    /,
    *,
    deep: bool = False,
    repair: bool = False,
    quiet: bool = False,
    as_json: AsJson = False,
) -> int:
    """Checks a store, its plans and packs; ends with 4 where something is not what was written.

    Args:
        store: Folder of the store.
        deep: Read every byte; else manifests, lengths and tables of checksums alone.
        repair: Pack damaged regions again from the features.
        quiet: No progress.
        as_json: Print JSON for a program.
    """
    from graphkit.cli.progress import Stages
    from graphkit.ooc import Pack, Plan, Store
    from graphkit.ooc import repair as mend
    from graphkit.ooc.verify import verify as check

    with Stages(quiet=quiet or as_json) as watch:
        read = check(store, deep=deep, watch=watch)
        opened = Store.open(store)
        mended: dict[str, list[int]] = {}
        for name in names_below(opened.path / "plans", "plan.json"):
            plan = Plan.open(opened, name)
            if deep:
                plan.check(watch)
            for each in names_below(plan.path / "packs", "pack.json"):
                packed = Pack.open(opened, plan, each)
                if repair:
                    mended[each] = mend(opened, plan, packed, watch=watch)
                elif deep:
                    packed.check(watch)
    if as_json:
        print(json.dumps({"path": str(store), "read_bytes": read, "repaired": mended}))
    else:
        fixed = sum(map(len, mended.values()))
        print(f"{store}: sound" + (f", {fixed} regions packed again" if fixed else ""))
    return 0


def clean(store: Folder, /, *, plan: str = "", drafts: bool = False, dry_run: bool = False) -> None:
    """Removes plans with their packs, or what interrupted runs left, and says what that frees.

    Args:
        store: Folder of the store.
        plan: Beginning of a plan's name.
        drafts: Remove unfinished plans and packs.
        dry_run: Say what would be removed.
    """
    from graphkit.ooc import Store, show_bytes
    from graphkit.ooc.folders import locked

    opened = Store.open(store)
    if not plan and not drafts:
        raise SettingError("say what to remove: --plan NAME, or --drafts")
    chosen = [opened.path / "plans" / _one_plan(opened, plan)] if plan else []
    if drafts:
        chosen += [p for p in opened.path.glob("plans/*") if not (p / "plan.json").exists()]
        packs = opened.path.glob("plans/*/packs/*")
        chosen += [p for p in packs if p.is_dir() and not (p / "pack.json").exists()]
    freed = 0
    for path in chosen:
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        freed += size
        print(f"{'would remove' if dry_run else 'removing'} {path}: {show_bytes(size)}")
        if not dry_run:
            with locked(path / ".lock"):
                shutil.rmtree(path)
    print(f"{show_bytes(freed)} {'would be freed' if dry_run else 'freed'}")


def _joined(device: str) -> bool:
    """Joins the processes that ``torchrun`` started; whether this one does what one alone does."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch.distributed as dist

        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return dist.get_rank() == 0
    return True


def _wait_for_all() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch.distributed as dist

        dist.barrier()


def _fanouts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(
            f"fanouts {text!r}: expected a number per hop with commas between, such as 10,10"
        ) from None


def _one_plan(store: Store, beginning: str) -> str:
    names = names_below(store.path / "plans", "plan.json")
    chosen = [name for name in names if name.startswith(beginning)]
    if not names:
        raise DataNotFound(f"{store.path} has no plan; start with graphkit ooc sample")
    if not chosen:
        raise unknown_name("plan", beginning, names, f"graphkit ooc info {store.path}")
    if len(chosen) > 1:
        raise SettingError(
            f"{store.path} has {len(chosen)} such plans: {', '.join(chosen)}; say --plan"
        )
    return chosen[0]
