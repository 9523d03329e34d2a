"""Training from a store as one run of the benchmark runner: what is missing is drawn and packed."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from graphkit.bench.experiment import Experiment
from graphkit.bench.presets import NODES
from graphkit.bench.run import RunRecord, run
from graphkit.bench.store import Store as Records
from graphkit.bench.stored import OnDisk, Reading
from graphkit.bench.sweep import Watch, sweep
from graphkit.errors import DataError
from graphkit.models import NODE_MODELS, model_factory
from graphkit.ooc.plan import Watch as StageWatch
from graphkit.ooc.ready import make_ready
from graphkit.ooc.store import Store
from graphkit.train import Supervised
from graphkit.train.ranks import rank, ranks

__all__ = ["SUITE", "trained"]

SUITE = "ooc"


def trained(
    store: Store,
    model: str,
    *,
    fanouts: tuple[int, ...],
    batch_size: int,
    sampled_epochs: int,
    memory: int,
    disk: int | None,
    epochs: int,
    lr: float | None,
    hidden: int | None,
    seed: int,
    results: Path,
    keep_models: bool,
    device: str,
    threads: int | None,
    stages: StageWatch,
    watch: Watch,
) -> RunRecord | None:
    """Returns the record of a run on a store, carried out now if it is not on disk.

    Args:
        store: The graph.
        model: Name of a model.
        fanouts: Neighbours drawn per hop.
        batch_size: Seeds a batch.
        sampled_epochs: Epochs drawn ahead.
        memory: Bytes the process may hold.
        disk: Bytes the packs may take; ``None`` is what is free.
        epochs: Passes over the training part.
        lr: Learning rate; ``None`` is the preset's.
        hidden: Width; ``None`` is the model's own.
        seed: Seed of order, draws and weights.
        results: Folder for the record.
        keep_models: Write the fitted model beside its record.
        device: Where the model is trained.
        threads: Threads; ``None`` leaves torch's number.
        stages: Told how far drawing and packing are.
        watch: Told of the run.

    Raises:
        UnknownName: There is no such model.
        DataError: The model needs what the store was not prepared with.
        SettingError: Memory or disk is too small; the message says what would fit.
    """
    factory = model_factory(model, NODE_MODELS)
    if hidden is not None:
        factory = partial(factory, hidden_channels=hidden)
    needed = factory(store.dims).pre_transform
    if needed is not None and repr(needed) not in store.brings:
        raise DataError(
            f"{model} needs {needed!r}; {store.path} was prepared with "
            f"{', '.join(store.brings) or 'nothing'}: prepare it with --model {model}"
        )
    if threads:
        torch.set_num_threads(threads)
    ready = partial(
        make_ready, store, fanouts=fanouts, batch_size=batch_size, memory=memory, disk=disk,
        sampled_epochs=sampled_epochs, seed=seed, threads=threads, watch=stages,
    )  # fmt: skip
    if ranks() > 1:  # one process draws and packs, the others find it done
        if rank() == 0:
            ready()
        torch.distributed.barrier()
    batching = ready()
    train = replace(NODES, epochs=epochs, stop=None, lr=NODES.lr if lr is None else lr)
    experiment = Experiment(
        f"{model}-ooc", OnDisk(batching), Supervised(factory, train), (seed,),
        measure=Reading(batching),
    )  # fmt: skip
    records = Records(results)
    run_id = experiment.run_id(seed)
    if ranks() > 1:
        return _shared(experiment, seed, records, device)
    failed = sweep(
        [experiment], records, suite=SUITE, device=device, threads=threads, retry=True,
        keep_models=keep_models, watch=watch,
    )  # fmt: skip
    path = records.path(SUITE, run_id)
    if failed and not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _shared(experiment: Experiment, seed: int, records: Records, device: str) -> RunRecord:
    """A run that several processes carry out together; the first writes its record."""
    from graphkit.bench.run import Loader

    state = records.checkpoints(SUITE, experiment.run_id(seed)) / f"rank{rank()}"
    record = run(experiment, seed, suite=SUITE, loader=Loader(device=device), state=state)
    if rank() == 0:
        records.write(record)
        records.forget_checkpoints(SUITE, experiment.run_id(seed))
    torch.distributed.barrier()
    return record
