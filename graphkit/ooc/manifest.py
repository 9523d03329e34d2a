"""The one small file that says what a store holds; it is written last, so no store without it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from graphkit.errors import DamagedFile, DataError, DataNotFound, StorageError
from graphkit.ooc.disk import BLOCK
from graphkit.tasks import Dims, MultilabelNodes, NodeClassification, Task

__all__ = ["MANIFEST", "ArrayFile", "Manifest", "parse_array", "read_manifest"]

MANIFEST = "manifest.json"
FORMAT = "graphkit-store"
SCHEMA = (1, 0)  # a reader refuses a newer first number, and may ignore what the second one adds

_TASKS: dict[str, type[Task]] = {
    "NodeClassification": NodeClassification,
    "MultilabelNodes": MultilabelNodes,
}
_DTYPES = ("int8", "int32", "int64", "float16", "float32", "float64")
_NAME = re.compile(r"(graph|node|split)(/[A-Za-z0-9_][A-Za-z0-9._-]{0,79}){1,2}")


@dataclass(frozen=True)
class ArrayFile:
    """One array of a store: rows side by side in a file of its own.

    Args:
        name: Such as ``node/x``.
        path: Its file.
        dtype: Type of its entries, little-endian.
        shape: Its shape; the first is the number of rows.
        offset: Where the first row starts in the file, in bytes.
        num_bytes: Bytes of all rows.
        sums: File of the xxh3_64 of each ``BLOCK`` bytes, uint64.
        digest: xxh3_128 of that file, in hexadecimal: stands for the whole content.
    """

    name: str
    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    num_bytes: int
    sums: Path
    digest: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))

    @property
    def num_blocks(self) -> int:
        """Number of blocks that have a checksum."""
        return -(-self.num_bytes // BLOCK)

    def entry(self, root: Path) -> dict[str, Any]:
        """Returns what the manifest says of it."""
        return {
            "file": self.path.relative_to(root).as_posix(),
            "dtype": self.dtype.name,
            "shape": list(self.shape),
            "offset": self.offset,
            "bytes": self.num_bytes,
            "sums": self.sums.relative_to(root).as_posix(),
            "digest": self.digest,
        }


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Args:
        name: The problem's name, ``<data set>/<split>``.
        num_nodes: Nodes of the graph.
        num_edges: Edges of the graph.
        task: What is asked of the nodes.
        dims: Sizes a model is built from.
        brings: ``repr`` of each pre_transform that is already applied.
        arrays: All arrays by name.
        source: What it was prepared from, and how; no size of memory, no time.
        report: Counts made on the way: isolated nodes, self-loops, the degree histogram.
        files: Path and sha256 of the raw files behind the data.
        allow_overlap: Whether parts of the split share nodes.
    """

    name: str
    num_nodes: int
    num_edges: int
    task: Task
    dims: Dims
    arrays: Mapping[str, ArrayFile]
    brings: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    allow_overlap: bool = False

    def content(self, root: Path) -> bytes:
        """Returns the file's bytes: a function of the content alone."""
        if type(self.task).__name__ not in _TASKS:
            raise DataError(
                f"a store cannot hold a {type(self.task).__name__} task; expected one of "
                f"{', '.join(_TASKS)}"
            )
        body: dict[str, Any] = {
            "name": self.name,
            "num_nodes": self.num_nodes,
            "num_edges": self.num_edges,
            "task": {"kind": type(self.task).__name__, **asdict(self.task)},
            "dims": asdict(self.dims),
            "brings": list(self.brings),
            "arrays": {name: array.entry(root) for name, array in sorted(self.arrays.items())},
            "source": dict(self.source),
            "report": dict(self.report),
            "files": dict(sorted(self.files.items())),
            "allow_overlap": self.allow_overlap,
        }
        # The same content has the same name everywhere: a plan made for it fits every copy.
        identity = uuid.UUID(bytes=xxhash.xxh3_128_digest(_canonical(body)), version=5)
        whole = {"format": FORMAT, "schema": list(SCHEMA), "uuid": str(identity), **body}
        whole["checksum"] = xxhash.xxh3_128_hexdigest(_canonical(whole))
        return (json.dumps(whole, indent=1) + "\n").encode()


def read_manifest(root: Path) -> tuple[Manifest, str]:
    """Reads and checks the manifest of a store; returns it with the store's uuid.

    Raises:
        DataNotFound: There is no store.
        DamagedFile: The manifest is not what was written.
        DataError: It was written by a newer version.
        StorageError: It cannot be read.
    """
    path = root / MANIFEST
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if not root.is_dir():
            raise DataNotFound(f"there is no store at {root}: no such folder") from None
        raise DataNotFound(
            f"{root} is no store: it has no {MANIFEST}, which is written last. If its preparation "
            "was interrupted, give the same command again"
        ) from None
    except NotADirectoryError:
        raise DataNotFound(f"{root} is no store: it is no folder") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        whole = json.loads(raw)
        if whole["format"] != FORMAT:
            raise ValueError(f"its format is {str(whole['format'])[:40]!r}, not {FORMAT!r}")
        major, minor = (int(number) for number in whole["schema"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedFile(f"{path} is no manifest of a store: {error!r:.200}") from None
    if major > SCHEMA[0]:
        raise DataError(
            f"{path} has schema {major}.{minor}; this version of graphkit reads up to "
            f"{SCHEMA[0]}.x. Install a newer graphkit, or prepare the store again"
        )
    try:
        kept = whole.pop("checksum")
        if kept != xxhash.xxh3_128_hexdigest(_canonical(whole)):
            raise ValueError("its checksum differs: it was changed after it was written")
        return _parsed(whole, root), str(whole["uuid"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DamagedFile(f"{path} is damaged: {error!r:.300}") from None


def _parsed(whole: dict[str, Any], root: Path) -> Manifest:
    task = dict(whole["task"])
    kind = _TASKS[task.pop("kind")]
    return Manifest(
        name=str(whole["name"]),
        num_nodes=int(whole["num_nodes"]),
        num_edges=int(whole["num_edges"]),
        task=kind(**{key: _tuples(value) for key, value in task.items()}),
        dims=Dims(**{f.name: _tuples(whole["dims"][f.name]) for f in fields(Dims)}),
        arrays={name: parse_array(name, entry, root) for name, entry in whole["arrays"].items()},
        brings=tuple(whole["brings"]),
        source=whole["source"],
        report=whole["report"],
        files=whole["files"],
        allow_overlap=bool(whole["allow_overlap"]),
    )


def parse_array(name: str, entry: dict[str, Any], root: Path) -> ArrayFile:
    """Reads what the manifest says of an array; ValueError, KeyError or TypeError if it is odd."""
    for place in (name, entry["file"].removesuffix(".bin"), entry["sums"].removesuffix(".sum")):
        if not _NAME.fullmatch(place):
            raise ValueError(f"{place!r:.100} is no place inside a store")
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{name} is of type {entry['dtype']!r:.40}")
    shape = tuple(int(size) for size in entry["shape"])
    array = ArrayFile(
        name=name,
        path=root / entry["file"],
        dtype=np.dtype(entry["dtype"]),
        shape=shape,
        offset=int(entry["offset"]),
        num_bytes=int(entry["bytes"]),
        sums=root / entry["sums"],
        digest=str(entry["digest"]),
    )
    if not shape or min(shape) < 0 or array.offset < 0:
        raise ValueError(f"{name} has shape {shape} at byte {array.offset}")
    if shape[0] * array.row_bytes != array.num_bytes:
        raise ValueError(f"{name} has {array.num_bytes} bytes; its shape {shape} needs others")
    return array


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
