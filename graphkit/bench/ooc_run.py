"""Training from a store as one run of the benchmark runner: what is missing is drawn and packed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from graphkit.bench.experiment import Experiment
from graphkit.bench.presets import NODES
from graphkit.bench.run import Loader, RunRecord, run
from graphkit.bench.store import Store as Records
from graphkit.bench.stored import ReadAhead, StoredProblem, reading_of
from graphkit.bench.sweep import Watch, sweep
from graphkit.errors import DataError
from graphkit.models import NODE_MODELS, model_factory
from graphkit.ooc.refresh import Refreshed
from graphkit.ooc.store import Store
from graphkit.train import ModelFactory, Supervised, TrainConfig
from graphkit.train.ranks import rank, ranks

__all__ = ["SUITE", "config_of", "one_then_all", "prepared_for", "trained"]

SUITE = "ooc"

Batches = TypeVar("Batches", bound=ReadAhead)


def config_of(epochs: int, lr: float | None = None) -> TrainConfig:
    """Returns how a model is trained on a store.

    Args:
        epochs: Passes over the training part.
        lr: Learning rate; ``None`` is the preset's.

    Raises:
        SettingError: A number is out of range.
    """
    return replace(NODES, epochs=epochs, stop=None, lr=NODES.lr if lr is None else lr)


def prepared_for(store: Store, model: str, hidden: int | None = None) -> ModelFactory:
    """Returns the factory of a model, if the store was prepared for it.

    Args:
        store: The graph.
        model: Name of a model.
        hidden: Width; ``None`` is the model's own.

    Raises:
        UnknownName: There is no such model.
        DataError: The model needs what the store was not prepared with.
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
    return factory


def one_then_all(ready: Callable[[], Batches]) -> Batches:
    """Returns what ``ready`` gives: of several processes one draws and packs, the others find it
    done."""
    if ranks() > 1:
        if rank() == 0:
            ready()
        torch.distributed.barrier()
    return ready()


def trained(
    batching: ReadAhead,
    name: str,
    factory: ModelFactory,
    *,
    epochs: int,
    lr: float | None,
    seed: int,
    results: Path,
    keep_models: bool,
    device: str,
    threads: int | None,
    watch: Watch,
) -> RunRecord | None:
    """Returns the record of a run on a store, carried out now if it is not on disk.

    Work behind that draws fresh samples has ended afterwards, whatever happened.

    Args:
        batching: What reads the store.
        name: Name of the experiment.
        factory: Makes the model.
        epochs: Passes over the training part.
        lr: Learning rate; ``None`` is the preset's.
        seed: Seed of order, draws and weights.
        results: Folder for the record.
        keep_models: Write the fitted model beside its record.
        device: Where the model is trained.
        threads: Threads; ``None`` leaves torch's number.
        watch: Told of the run.
    """
    experiment = Experiment(
        name, StoredProblem(batching), Supervised(factory, config_of(epochs, lr)), (seed,),
        measure=reading_of(batching),
    )  # fmt: skip
    records = Records(results)
    try:
        if ranks() > 1:
            return _shared(experiment, seed, records, device)
        failed = sweep(
            [experiment], records, suite=SUITE, device=device, threads=threads, retry=True,
            keep_models=keep_models, watch=watch,
        )  # fmt: skip
    finally:
        if isinstance(batching, Refreshed):
            batching.close()
    path = records.path(SUITE, experiment.run_id(seed))
    if failed and not path.is_file():
        return None
    found: RunRecord = json.loads(path.read_text())
    return found


def _shared(experiment: Experiment, seed: int, records: Records, device: str) -> RunRecord:
    """A run that several processes carry out together; the first writes its record."""
    state = records.checkpoints(SUITE, experiment.run_id(seed)) / f"rank{rank()}"
    record = run(experiment, seed, suite=SUITE, loader=Loader(device=device), state=state)
    if rank() == 0:
        records.write(record)
        records.forget_checkpoints(SUITE, experiment.run_id(seed))
    torch.distributed.barrier()
    return record
