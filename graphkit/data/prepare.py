"""What a model needs besides raw data, made once and found again.

A ``pre_transform`` is handed the data without answers and without fields of earlier stages, so it
cannot read a label; a blind problem and a next stage see the same content and find its result.
Results stay in memory with the problem, and on disk where that saves time: a file for each, below
``prepared`` in the cache folder, found by what was done to which content, in which versions. It is
written whole or not at all, so several processes may work on the same one; what is damaged counts
as absent. Together they take at most ``GRAPHKIT_PREPARED_GB`` (4 if not set; 0 switches them off),
those unused for longest go first, and the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import safetensors
import safetensors.torch
import torch
import xxhash
from torch import Tensor
from torch_geometric.data import Data, TemporalData

from graphkit.data.fetch import cache_folder
from graphkit.data.graphs import GraphSet
from graphkit.errors import DataError, SettingError, StorageError
from graphkit.files import write_whole
from graphkit.transforms import Chain

__all__ = ["ANSWERS", "Prepared", "fingerprint"]

ANSWERS = ("y", "train_mask", "val_mask", "test_mask")
AnyData: TypeAlias = Data | GraphSet | TemporalData

FORMAT = 1
KEY, CHECKSUM = "graphkit-prepared", "checksum"
LIMIT_GB = 4.0
MIN_SECONDS = 1.0  # what takes less is noticed by nobody, and would fill the folder with files
BYTES_PER_SECOND = 1e8  # read from a slow disk and checked: what is made faster is made again
STALE_SECONDS = 86_400.0  # a draft this old is of a process that was killed

log = logging.getLogger("graphkit")


def fingerprint(data: AnyData, *, without: tuple[str, ...] = ()) -> str:
    """Returns a checksum over names, types, shapes and content of all fields."""
    digest = xxhash.xxh3_128()
    if isinstance(data, GraphSet):
        fields: dict[str, Any] = data.joined.to_dict() | {"num_nodes": data.num_nodes}
        fields |= {f"{key}/slices": cut for key, cut in data.slices.items() if key not in without}
    else:
        fields = dict(data.to_dict())
    for key in sorted(fields):
        if key in without:
            continue
        value = fields[key]
        if isinstance(value, Tensor):
            value = value.detach().cpu().contiguous()
            digest.update(f"{key}:{value.dtype}:{tuple(value.shape)}".encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(f"{key}={value!r}".encode())
    return digest.hexdigest()


@dataclass
class Prepared:
    """Results of ``pre_transform``, kept by the transform's ``repr`` and the content it saw."""

    results: dict[tuple[str, str], AnyData] = field(default_factory=dict)

    def __call__(
        self,
        data: AnyData,
        transform: Callable[[Data], Data] | None,
        content: str,
        held_back: tuple[str, ...],
    ) -> AnyData:
        """Returns ``data`` with the transform's fields added.

        Args:
            data: One graph, or a set of graphs.
            transform: A PyG transform, or ``None``.
            content: Fingerprint of what the transform may see.
            held_back: Fields it may not see; they come back untouched.

        Raises:
            DataError: The transform changed the number of nodes, or the data are events.
        """
        if transform is None:
            return data
        if isinstance(data, TemporalData):
            raise DataError(f"{transform!r} is for graphs; a stream of events has no pre_transform")
        key = (repr(transform), content)
        if key not in self.results:
            self.results[key] = _made(transform, _stripped(data, held_back), content)
        return _rejoined(self.results[key], data, held_back)


def _made(transform: Callable[[Data], Data], data: Any, content: str) -> Any:
    """The data after a transform. The first parts of a chain are looked for on disk one by one:
    what follows a costly one may be nothing a file holds, or draw."""
    parts = _parts(transform)
    while parts and hasattr(parts[0], "stored"):
        content = f"{parts[0]!r} of {content}"
        data = _stored(parts.pop(0), data, content)
    if not parts:
        return data
    return _applied(Chain(*parts) if len(parts) > 1 else parts[0], data)


def _parts(transform: Callable[[Data], Data]) -> list[Any]:
    if not isinstance(transform, Chain):
        return [transform]
    return [part for inner in transform.parts for part in _parts(inner)]


def _stored(transform: Any, data: Any, said: str) -> Any:
    """The data after a transform that states by ``stored`` the version of its numbers, and so that
    its ``repr`` holds all its settings."""
    said = f"version {transform.stored}, {_sizes(data)}, {said}"
    added = find(said)
    if added is not None:
        return _with(data, added)
    start = time.perf_counter()
    result = _applied(transform, data)
    seconds = time.perf_counter() - start
    added = _difference(data, result)
    if added is not None:
        keep(said, added, seconds)
    return result


def _applied(transform: Callable[[Data], Data], data: Any) -> Any:
    if isinstance(data, GraphSet):
        return GraphSet.of([_apply(transform, graph) for graph in data])
    return _apply(transform, data)


def _sizes(data: Any) -> str:
    """Numbers of nodes, which the content does not always tell."""
    if isinstance(data, GraphSet):
        return f"{len(data)} graphs"
    return f"{data.num_nodes} nodes"


def _difference(before: Any, after: Any) -> Added | None:
    """What a transform added, if it did nothing else."""
    several = isinstance(before, GraphSet)
    old, new = ((d.joined if several else d).to_dict() for d in (before, after))
    added = {key: value for key, value in new.items() if key not in old}
    kept = all(key in new and _same(value, new[key]) for key, value in old.items())
    if not kept or not all(isinstance(value, Tensor) for value in added.values()):
        return None
    return Added(added, {key: after.slices[key] for key in added} if several else {})


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return same and torch.equal(one, other)
    return bool(one is other or (not isinstance(one, Tensor) and one == other))


def _with(data: Any, added: Added) -> Any:
    if isinstance(data, GraphSet):
        joined = Data.from_dict(data.joined.to_dict() | added.fields)
        return GraphSet(joined, data.slices | added.slices, data.num_nodes)
    data = copy.copy(data)
    for key, value in added.fields.items():
        data[key] = value
    return data


def _apply(transform: Callable[[Data], Data], graph: Data) -> Data:
    before = graph.num_nodes
    after = transform(copy.copy(graph))
    if after.num_nodes != before:
        raise DataError(
            f"{transform!r} changed the number of nodes from {before} to {after.num_nodes}; "
            "a pre_transform keeps nodes and their order"
        )
    return after


def _stripped(data: Any, held_back: tuple[str, ...]) -> Any:
    if isinstance(data, GraphSet):
        fields = {k: v for k, v in data.joined.to_dict().items() if k not in held_back}
        return GraphSet(Data.from_dict(fields), data.slices, data.num_nodes)
    bare = data.__class__.from_dict({k: v for k, v in data.to_dict().items() if k not in held_back})
    bare.num_nodes = data.num_nodes
    return bare


def _rejoined(result: Any, data: Any, held_back: tuple[str, ...]) -> Any:
    if isinstance(result, GraphSet):
        back = {k: v for k, v in data.joined.to_dict().items() if k in held_back}
        cuts = {k: data.slices[k] for k in back}
        joined = Data.from_dict(result.joined.to_dict() | back)
        return GraphSet(joined, result.slices | cuts, result.num_nodes)
    whole = copy.copy(result)
    for key, value in data.to_dict().items():
        if key in held_back:
            whole[key] = value
    return whole


@dataclass(frozen=True, eq=False)
class Added:
    """Fields that a transform added to a graph, or to a set of graphs.

    Args:
        fields: The fields by name.
        slices: For a set, where each graph begins in each of them.
    """

    fields: dict[str, Tensor]
    slices: dict[str, Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """Returns all tensors under names of their own."""
        named = {f"field/{key}": value for key, value in self.fields.items()}
        named |= {f"slices/{key}": value for key, value in self.slices.items()}
        return {key: value.detach().cpu().contiguous() for key, value in named.items()}


def folder() -> Path:
    """Returns where the files are."""
    return cache_folder() / "prepared"


def limit_bytes() -> float:
    """Returns what all files together may take.

    Raises:
        SettingError: ``GRAPHKIT_PREPARED_GB`` is no number.
    """
    told = os.environ.get("GRAPHKIT_PREPARED_GB", "")
    try:
        return float(told or LIMIT_GB) * 1e9
    except ValueError:
        raise SettingError(
            f"GRAPHKIT_PREPARED_GB={told!r}; expected a number of gigabytes, 0 to keep none"
        ) from None


def find(said: str) -> Added | None:
    """Returns a stored result, or ``None`` where there is none that is whole.

    Args:
        said: What was done to which content.
    """
    text = _text(said)
    path = _path(text)
    if limit_bytes() <= 0:
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            named = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError:
        return None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        log.info("%s is made again: its file is damaged (%s)", said, error)
        return None
    if metadata.get(KEY) != text or metadata.get(CHECKSUM) != _checksum(named, text):
        log.info("%s is made again: its file is not as it was written", said)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used now: goes last
    parts: dict[str, dict[str, Tensor]] = {"field": {}, "slices": {}}
    for name, value in named.items():
        kind, key = name.split("/", 1)
        parts[kind][key] = value
    return Added(parts["field"], parts["slices"])


def keep(said: str, added: Added, seconds: float) -> Path | None:
    """Writes a result where that saves time and there is room; a disk that refuses is no error.

    Args:
        said: What was done to which content.
        added: The result.
        seconds: What it took to make.

    Returns:
        The file, or ``None`` if there is none.
    """
    named = added.tensors()
    size = sum(value.nbytes for value in named.values())
    limit = limit_bytes()
    if seconds < max(MIN_SECONDS, size / BYTES_PER_SECOND) or size > limit or limit <= 0:
        return None
    text = _text(said)
    metadata = {KEY: text, CHECKSUM: _checksum(named, text)}
    try:
        # copies: what shares memory is refused
        content = safetensors.torch.save({k: v.clone() for k, v in named.items()}, metadata)
        path = write_whole(_path(text), content)
    except StorageError as error:
        log.info("%s is not kept: %s", said, error)
        return None
    _trim(limit, path)
    return path


def _text(said: str) -> str:
    """The result's name in full: numbers differ by the versions and threads that made them."""
    made_by = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "scipy"))
    return f"format {FORMAT}, {made_by}, {torch.get_num_threads()} threads: {said}"


def _path(text: str) -> Path:
    return folder() / f"{xxhash.xxh3_128(text.encode()).hexdigest()}.safetensors"


def _trim(limit: float, newest: Path) -> None:
    """Deletes old drafts, and files unused for longest until the others fit."""
    files = []
    with contextlib.suppress(OSError):  # another process may delete as well
        for path in newest.parent.iterdir():
            told = path.stat()
            if ".tmp-" not in path.name:
                files.append((path == newest, told.st_mtime, told.st_size, path))
            elif time.time() - told.st_mtime > STALE_SECONDS:
                path.unlink()
    total = 0
    for _, _, size, path in sorted(files, reverse=True):
        total += size
        if total > limit and path != newest:
            with contextlib.suppress(OSError):
                path.unlink()


def _checksum(named: Mapping[str, Tensor], text: str) -> str:
    digest = xxhash.xxh3_128(text.encode())
    for name in sorted(named):
        value = named[name]
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
