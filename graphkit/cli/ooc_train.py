"""``graphkit ooc train``: a model from disk within a memory budget, whatever is missing first."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from graphkit.cli.ooc_shown import show_estimate, show_record
from graphkit.cli.ooc_source import (
    DType,
    Engine,
    default_place,
    hops_of,
    is_store,
    prepared,
    source_of,
)
from graphkit.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphkit.bench.stored import ReadAhead

__all__ = ["train"]

AsJson = Annotated[bool, tyro.conf.arg(name="json")]
Word = Annotated[str, tyro.conf.Positional]


def train(
    source: Word,
    /,
    *,
    store: Path | None = None,
    features: Path | None = None,
    labels: Path | None = None,
    train: Path | None = None,
    val: Path | None = None,
    test: Path | None = None,
    indptr: Path | None = None,
    num_classes: int | None = None,
    model: str = "graphsage",
    hidden: int | None = None,
    epochs: int = 20,
    lr: float | None = None,
    fanouts: str = "10,10",
    batch_size: int = 1024,
    sampled_epochs: int | None = None,
    refresh: int = 0,
    engine: Engine = "auto",
    memory: str = "4G",
    gpu_cache: str | None = None,
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
        source: A store, a problem of the catalogue, a folder in OGB's layout, or a file of edges
            (``.npy`` or Parquet).
        store: Where the store is, or will be; by default the source's name with ``.store``.
        features: With a file of edges: a row per node.
        labels: With a file of edges: an answer per node.
        train: With a file of edges: nodes of the part, or a mask.
        val: The same for validation.
        test: The same for the test.
        indptr: With a file of edges that holds sources alone: where those of each node begin.
        num_classes: With a file of edges: number of classes, where not all occur.
        model: Name of a model.
        hidden: Its width ``hidden_channels``.
        epochs: Passes over the training part.
        lr: Learning rate, in place of the preset's.
        fanouts: Neighbours drawn per hop, nearest hop first; -1 takes all.
        batch_size: Seeds a batch.
        sampled_epochs: Epochs to draw ahead; more of them take disk and resemble fresh samples. By
            default 2, and 1 with ``--refresh``.
        refresh: Use each drawn epoch so many times, then a fresh one, which is drawn and packed
            while the one before is trained on; two plans are on disk. 0 keeps the first draws.
        engine: ``memory`` draws from the graph in memory, ``scan`` reads it front to back for many
            batches at a time, ``auto`` scans where it does not fit. The batches are the same.
        memory: Memory the process may hold, such as 8G; interpreter and model included, and with
            ``--refresh`` a quarter of what they leave for drawing and packing.
        gpu_cache: Memory of the device for its hottest rows, such as 2G; by default none is kept
            there. Not with ``--refresh``.
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
    hops = hops_of(fanouts)
    _check(refresh, gpu_cache, device)
    if sampled_epochs is None:
        sampled_epochs = 1 if refresh else 2
    import torch

    from graphkit.bench.host import check_device
    from graphkit.bench.ooc_run import config_of, one_then_all, prepared_for, trained
    from graphkit.cli.progress import Stages, Watching
    from graphkit.ooc import Store, make_ready, make_refreshed, parse_bytes

    room, disk_room = parse_bytes(memory), parse_bytes(disk) if disk else None
    on_device = parse_bytes(gpu_cache) if gpu_cache else None
    config_of(epochs, lr)  # refused now, not when all is packed
    path = store or (Path(source) if is_store(Path(source)) else default_place(source, source))
    if dry_run:
        print(f"store {path}: {'there' if is_store(path) else 'to be prepared first'}")
        if is_store(path):
            show_estimate(Store.open(path), hops, batch_size, sampled_epochs, seed, refresh)
        return 0
    device = _own(device)
    check_device(device)
    alone = _joined(device)
    quiet = quiet or as_json or not alone
    if not is_store(path) and alone:
        parts = {"train": train, "val": val, "test": test}
        found = source_of(source, features, labels, parts, indptr, num_classes, model, data_root)
        prepared(found, path, False, False, "keep", dtype, memory, model, quiet)
    _wait_for_all()
    opened = Store.open(path)
    factory = prepared_for(opened, model, hidden)
    if threads:
        torch.set_num_threads(threads)
    with Stages(quiet=quiet) as stages:
        words: dict[str, Any] = {
            "fanouts": hops, "batch_size": batch_size, "sampled_epochs": sampled_epochs,
            "memory": room, "disk": disk_room, "seed": seed, "threads": threads, "engine": engine,
            "watch": stages,
        }  # fmt: skip
        ready: Callable[[], ReadAhead] = (
            partial(make_refreshed, opened, every=refresh, epochs=epochs, **words)
            if refresh
            else partial(make_ready, opened, device_memory=on_device, **words)
        )
        batching = one_then_all(ready)
    with Watching(1, 0, quiet=quiet, as_json=False) as watch:
        record = trained(
            batching, f"{model}-ooc", factory, epochs=epochs, lr=lr, seed=seed, results=results,
            keep_models=keep_models, device=device, threads=threads, watch=watch,
        )  # fmt: skip
    if record is None:
        return watch.exit_status or 1
    return show_record(record, as_json) if alone else 0


def _check(refresh: int, gpu_cache: str | None, device: str) -> None:
    """Refuses what does not go together, before anything is prepared."""
    if refresh < 0:
        raise SettingError(f"refresh = {refresh}; expected at least 1, or 0 to draw nothing anew")
    if gpu_cache and device.split(":")[0] == "cpu":
        raise SettingError(
            f"gpu_cache = {gpu_cache}, and the model is trained on the CPU, which has no memory of "
            "its own: give --device cuda, or leave --gpu-cache out (--memory keeps rows)"
        )
    if gpu_cache and refresh:
        raise SettingError(
            f"gpu_cache = {gpu_cache} with refresh = {refresh}: plans drawn anew keep no rows on a "
            "device; leave one of the two out"
        )


def _own(device: str) -> str:
    """Each of the processes on one machine has an accelerator of its own."""
    number = os.environ.get("LOCAL_RANK", "0")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return f"cuda:{number}" if several and device == "cuda" else device


def _joined(device: str) -> bool:
    """Joins the processes that ``torchrun`` started; whether this one does what one alone does."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch.distributed as dist

        if not dist.is_initialized():
            # Small agreements are made on the CPU in either case.
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
        return dist.get_rank() == 0
    return True


def _wait_for_all() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch.distributed as dist

        dist.barrier()
