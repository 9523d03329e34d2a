"""The state of a running fit on disk, so that a killed run goes on bit by bit.

Tensors in safetensors, the rest in JSON inside its header: one file, written whole or not at all.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from graphkit.errors import DamagedFile, SettingError, StorageError
from graphkit.files import write_whole
from graphkit.models.base import Model
from graphkit.train.ranks import any_rank, newest_of_all, rank, ranks

__all__ = ["Checkpoint", "Progress", "between_steps", "checkpoints"]

FORMAT = 1


@dataclass
class Progress:
    """Where a fit stands.

    Args:
        epoch: The epoch under way, from 0.
        step: Batches of it that are done.
        terms: Loss terms of each of these batches.
        history: One row per finished epoch.
        scores: The monitored score of each validated epoch, larger is better.
        kept: Row and weights of the epoch that counts so far.
        seconds: Time of each finished epoch, in seconds.
        done: Whether the fit is over.
    """

    epoch: int = 0
    step: int = 0
    terms: list[dict[str, float]] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    done: bool = False

    def keep(self, row: dict[str, float], model: Model) -> None:
        """Notes the row and a copy of the weights, into the memory of the last copy if it fits."""
        state = model.state_dict()
        old = self.kept.get("weights")
        if old is None or any(old[k].shape != v.shape for k, v in state.items() if k in old):
            self.kept = {"row": row, "weights": copy.deepcopy(state)}
            return
        for name, value in state.items():
            old[name].copy_(value)
        self.kept = {"row": row, "weights": old}

    def close_epoch(self, row: dict[str, float], seconds: float) -> None:
        """Ends an epoch."""
        self.history.append(row)
        self.seconds.append(seconds)
        self.epoch, self.step, self.terms = self.epoch + 1, 0, []


@dataclass
class _Folder:
    path: Path
    identity: str
    every_seconds: float
    fits: int = 0


_folder: ContextVar[_Folder | None] = ContextVar("checkpoints", default=None)


@contextlib.contextmanager
def checkpoints(path: Path, identity: str = "", *, every_seconds: float = 20.0) -> Iterator[None]:
    """Lets every ``fit`` inside save its state under its number in order, and go on from it.

    Args:
        path: Folder for the states; made if it is not there.
        identity: Settings, data and versions: a state of another identity is refused.
        every_seconds: Least time between two saves of a running fit.
    """
    token = _folder.set(_Folder(Path(path), identity, every_seconds))
    try:
        yield
    finally:
        _folder.reset(token)


class Checkpoint:
    """Saves and restores one fit; does nothing outside of ``checkpoints``.

    Args:
        model: The model under training.
        update: Its update, with ``state_dict`` and ``load_state_dict``.
    """

    def __init__(self, model: Model, update: Any) -> None:
        self.model, self.update = model, update
        self.folder = _folder.get()
        self.path: Path | None = None
        self.last = time.monotonic()
        if self.folder is not None:
            mark = f"-rank{rank()}" if rank() else ""
            self.path = self.folder.path / f"fit-{self.folder.fits}{mark}.safetensors"
            self.folder.fits += 1

    def resume(self) -> Progress:
        """Returns where the fit was left, with model, update and generators put back; else a
        fresh start.

        Raises:
            SettingError: The state was saved with other settings, data or versions.
            DamagedFile: The file is not whole.
        """
        found = [self._read(path) for path in self._paths() if path.exists()]
        place = newest_of_all([_place(told) for _, told in found])
        if place is None:
            return Progress()
        tensors, told = next(each for each in found if _place(each[1]) == place)
        weights = _unpacked(told["model"], tensors)
        self.model.load_state_dict(weights)
        self.update.load_state_dict(_unpacked(told["update"], tensors))
        progress = Progress(**_unpacked(told["progress"], tensors))
        _set_generators(_unpacked(told["generators"], tensors))
        return progress

    def _paths(self) -> list[Path]:
        """Files of the state: among several processes also of the one before it, since one may
        be killed when another has saved already."""
        if self.path is None:
            return []
        return [self.path, self.path.with_suffix(".before")] if ranks() > 1 else [self.path]

    def _read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, told = _read(path)
        if self.folder is not None and told["identity"] != self.folder.identity:
            raise SettingError(
                f"{path} was saved with other settings, data or versions; delete it to start "
                "over, or go back to the settings it was made with"
            )
        return tensors, told

    def due(self) -> bool:
        """Returns whether it is time for the next save, for all processes that train together."""
        if self.folder is None:
            return False
        return any_rank(time.monotonic() - self.last >= self.folder.every_seconds)

    def save(self, progress: Progress, *, now: bool = False) -> None:
        """Writes the state if it is time, or at once."""
        if self.path is None or self.folder is None or not (now or self.due()):
            return
        tensors: dict[str, Tensor] = {}
        told = {
            "identity": self.folder.identity,
            "model": _packed(self.model.state_dict(), "model", tensors),
            "update": _packed(self.update.state_dict(), "update", tensors),
            "progress": _packed(vars(progress), "progress", tensors),
            "generators": _packed(_generators(), "generators", tensors),
        }
        for latest, before in pairwise(self._paths()):
            if latest.exists():
                latest.replace(before)
        _write(self.path, tensors, told)
        self.last = time.monotonic()


@contextlib.contextmanager
def between_steps(checkpoint: Checkpoint) -> Iterator[Callable[[Progress], None]]:
    """Turns Ctrl-C into a save between two steps: yields the function to call there.

    Without a folder for checkpoints, or outside the main thread, Ctrl-C does what it always does.
    """
    asked = False

    def note(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait
        asked = True

    def check(progress: Progress) -> None:
        if asked if checkpoint.folder is None else any_rank(asked):
            checkpoint.save(progress, now=True)
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    if checkpoint.folder is None or not main:
        yield check
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _place(told: dict[str, Any]) -> tuple[int, int]:
    """Epoch and step at which a state was saved."""
    progress = dict(zip(told["progress"]["keys"], told["progress"]["values"], strict=True))
    return progress["epoch"], progress["step"]


def _write(path: Path, tensors: dict[str, Tensor], told: dict[str, Any]) -> None:
    from safetensors.torch import save

    text = json.dumps(told)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(plain, metadata={"format": str(FORMAT), "told": text})
    digest = xxhash.xxh3_128(content).digest()  # safetensors alone does not notice a flipped bit
    write_whole(path, digest + content)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if xxhash.xxh3_128(content[16:]).digest() != content[:16]:
        raise DamagedFile(f"{path} is damaged: its checksum does not fit. Delete it to start over.")
    body = content[16:]
    try:
        head = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])["__metadata__"]
        if head["format"] != str(FORMAT):
            raise DamagedFile(f"{path} has format {head['format']}; this version reads {FORMAT}")
        return load(body), json.loads(head["told"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{path} is no checkpoint: {error}") from error


def _packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """JSON of a nested value, its tensors laid aside under a name."""
    if isinstance(value, Tensor):
        tensors[name] = value.clone()
        return {"tensor": name}
    if isinstance(value, dict):
        keys = [k if isinstance(k, str) else ["int", k] for k in value]
        rows = [_packed(v, f"{name}.{k}", tensors) for k, v in value.items()]
        return {"keys": keys, "values": rows}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_packed(v, f"{name}.{i}", tensors) for i, v in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name} holds a {type(value).__name__}, which a checkpoint cannot keep")


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "list" in value:
        return [_unpacked(v, tensors) for v in value["list"]]
    if "tuple" in value:
        return tuple(_unpacked(v, tensors) for v in value["tuple"])
    keys = [k if isinstance(k, str) else k[1] for k in value["keys"]]
    return dict(zip(keys, (_unpacked(v, tensors) for v in value["values"]), strict=True))


def _generators() -> dict[str, Any]:
    kind, keys, place, has_normal, normal = np.random.get_state(legacy=True)
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": devices,
        "numpy": (
            kind,
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            place,
            has_normal,
            normal,
        ),
        "python": random.getstate(),
    }


def _set_generators(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, place, has_normal, normal = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), place, has_normal, normal))
    random.setstate(state["python"])
