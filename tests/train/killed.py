"""Runs fits in processes of their own that die at a chosen step; prints what came out, as JSON.

``python -m tests.train.killed KIND FOLDER SIGNAL EVERY STEP ...``: per step one process that is
sent the signal inside that step, numbered over all steps the process takes, then one that ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import sklearn.metrics  # noqa: F401  loaded before the forks, not in each
import torch
from torch import nn

from graphkit.models.base import as_model
from graphkit.train import Cosine, Fitted, GradientUpdate, TrainConfig, checkpoints, fit
from tests.train.problems import KINDS

EPOCHS = 4


class Mortal(GradientUpdate):
    """Counts the steps of this process and sends it a signal in the middle of one."""

    taken = 0
    kill_at = -1
    signal = signal.SIGKILL

    def __call__(self, batch: Any) -> dict[str, float]:
        terms = super().__call__(batch)
        Mortal.taken += 1
        if Mortal.taken == Mortal.kill_at:
            os.kill(os.getpid(), Mortal.signal)
        return terms


def digest(net: nn.Module) -> str:
    """Checksum over every bit of a network's state."""
    found = hashlib.sha256()
    for name, value in net.state_dict().items():
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def one_fit(kind: str) -> Fitted:
    """A fit of few epochs; its parameters are drawn from torch's generator as it stands."""
    make, net = KINDS[kind]
    problem, model = make().blind(), as_model(net())
    config = TrainConfig(epochs=EPOCHS, lr=0.05, schedule=Cosine(0.1))
    return fit(model, problem, config, update=Mortal(model, problem.task, config))


def told(fits: list[Fitted]) -> dict[str, Any]:
    """All that must be equal to the last bit, and how many steps this process took."""
    after = torch.rand(3).tolist()
    return {
        "kept": [digest(f.model) for f in fits],
        "last": [digest(f.last) for f in fits],
        "history": [f.history for f in fits],
        "val": [f.val for f in fits],
        "drawn_after": after,
        "steps": Mortal.taken,
    }


def run(kind: str, folder: Path, every: float) -> dict[str, Any]:
    """Two stages under one folder."""
    torch.manual_seed(3)
    with checkpoints(folder, "same", every_seconds=every):
        return told([one_fit(kind), one_fit(kind)])


def in_child(kind: str, folder: Path, every: float) -> tuple[int, dict[str, Any] | None]:
    """Runs in a fork, which loads nothing anew; returns how it ended and what it told."""
    out = folder / "out.json"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            out.write_text(json.dumps(run(kind, folder, every)))
            status = 0
        except KeyboardInterrupt:
            status = 130
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, json.loads(out.read_text()) if code == 0 else None


def main(kind: str, folder: str, name: str, every: str, *steps: str) -> None:
    """Prints exit statuses and results of all processes."""
    torch.set_num_threads(1)
    Mortal.signal = signal.Signals[name]
    rows = []
    for step in (*map(int, steps), 0):
        place = Path(folder) / str(step)
        place.mkdir(parents=True)
        if step:
            Mortal.kill_at = step
            code, _ = in_child(kind, place, float(every))
            saved = sorted(path.name for path in place.glob("fit-*.safetensors"))
        else:
            code, saved = 0, []
        Mortal.kill_at = -1
        last, found = in_child(kind, place, float(every))
        rows.append({"step": step, "first": code, "saved": saved, "second": last, "told": found})
    print(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
