"""Trains from a store in a process of its own; prints what it held at most, as JSON.

``python -m tests.ooc.within STORE MEGABYTES``: so much more memory may be held than at the start.
"""

from __future__ import annotations

import json
import resource
import sys
import threading

import torch

from graphkit.models import GraphSAGE
from graphkit.models.base import as_model
from graphkit.ooc.budget import resident_bytes
from graphkit.ooc.ready import make_ready
from graphkit.ooc.store import Store
from graphkit.train import TrainConfig, fit
from tests.train.problems import sampled

CONFIG = TrainConfig(epochs=3)


class Peak:
    """Looks at the process's memory all the time."""

    def __init__(self) -> None:
        self.bytes = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Peak:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def watch(self) -> None:
        while not self.over.wait(0.002):
            self.bytes = max(self.bytes, resident_bytes() or 0)


def main(path: str, megabytes: str) -> None:
    """Gets ready and trains within the start's memory and so much more."""
    torch.set_num_threads(1)
    small = sampled()  # what any training loads is loaded before it is measured
    fit(as_model(GraphSAGE(small.dims, undirected=False)), small.blind(), TrainConfig(epochs=1))
    start = resident_bytes() or 0
    memory = start + (int(megabytes) << 20)
    store = Store.open(path)
    with Peak() as peak:
        ready = make_ready(
            store, fanouts=(5, 5), batch_size=256, memory=memory, reserve=8 << 20, threads=2
        )
        prepared = peak.bytes
        model = as_model(GraphSAGE(store.dims, hidden_channels=16, undirected=False))
        fitted = fit(model, store.problem(ready).blind(), CONFIG)
    pack = ready.parts["train"].pack
    told = {
        "start": start, "memory": memory, "prepared": prepared, "peak": peak.bytes,
        "seen": ready.meter.peak_bytes, "cached_rows": pack.cached_rows,
        "needed": ready.budget.needed if ready.budget else 0,
        "maxrss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "losses": [row["loss"] for row in fitted.history],
        "budget": str(ready.budget),
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
