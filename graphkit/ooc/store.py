"""A graph with features and labels on disk, opened without reading more than its manifest."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import xxhash
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.problem import Batching, Problem
from graphkit.data.sampler import Csc
from graphkit.data.split import Split
from graphkit.errors import DataError, SettingError, StorageError
from graphkit.ooc.blocks import check_size, load, scan
from graphkit.ooc.manifest import ArrayFile, Manifest, read_manifest
from graphkit.tasks import Dims, Task

__all__ = ["LOCK", "ArrayFile", "Store", "Verify"]

Verify = Literal["lazy", "full", "off"]

LOCK = ".lock"


@dataclass(frozen=True, eq=False)
class Store:
    """An opened store; open one with ``Store.open``.

    Args:
        path: Its folder.
        manifest: What it holds.
        uuid: Name of its content: two copies share it.
        verify: When blocks are held against their checksums: when first read, on opening, never.
    """

    path: Path
    manifest: Manifest
    uuid: str
    verify: Verify = "lazy"

    @classmethod
    def open(cls, path: Path | str, verify: Verify = "lazy") -> Store:
        """Opens a store for reading; manifest and lengths of all files are always checked.

        Args:
            path: Its folder, which may be read-only.
            verify: ``lazy`` checks a block when it is first read, ``full`` all of them now,
                ``off`` none.

        Raises:
            DataNotFound: There is no store, or one whose preparation did not end.
            DamagedFile: A file is not what was written.
            DataError: It was written by a newer version.
        """
        if verify not in ("lazy", "full", "off"):
            raise SettingError(f"verify = {verify!r}; expected 'lazy', 'full' or 'off'")
        root = Path(path)
        manifest, identity = read_manifest(root)
        store = cls(root, manifest, identity, verify)
        for array in manifest.arrays.values():
            check_size(array)
        if verify == "full":
            for array in manifest.arrays.values():
                for _ in scan(array):
                    pass
        return store

    @property
    def name(self) -> str:
        """The problem's name, ``<data set>/<split>``."""
        return self.manifest.name

    @property
    def num_nodes(self) -> int:
        """Nodes of the graph."""
        return self.manifest.num_nodes

    @property
    def num_edges(self) -> int:
        """Edges of the graph."""
        return self.manifest.num_edges

    @property
    def task(self) -> Task:
        """What is asked of the nodes."""
        return self.manifest.task

    @property
    def dims(self) -> Dims:
        """Sizes a model is built from."""
        return self.manifest.dims

    @property
    def brings(self) -> tuple[str, ...]:
        """``repr`` of each pre_transform that is already applied."""
        return self.manifest.brings

    @property
    def arrays(self) -> Mapping[str, ArrayFile]:
        """All arrays by name: ``graph/indptr``, ``graph/indices``, ``node/x``, ``node/y``,
        ``node/x_scale`` (int8 alone), ``split/train`` and so on."""
        return self.manifest.arrays

    @property
    def checks(self) -> bool:
        """Whether what is read is held against its checksum."""
        return self.verify != "off"

    @property
    def lock_path(self) -> Path:
        """The lock file that whoever writes into the store holds."""
        return self.path / LOCK

    @cached_property
    def graph_digest(self) -> str:
        """Stands for the graph's content, whatever the features."""
        both = self.arrays["graph/indptr"].digest + self.arrays["graph/indices"].digest
        return xxhash.xxh3_128_hexdigest(both.encode())

    @cached_property
    def features_digest(self) -> str:
        """Stands for the features' content, type and scale."""
        parts = [self.arrays["node/x"].dtype.name, self.arrays["node/x"].digest]
        if "node/x_scale" in self.arrays:
            parts.append(self.arrays["node/x_scale"].digest)
        return xxhash.xxh3_128_hexdigest(":".join(parts).encode())

    @cached_property
    def split(self) -> Split:
        """Nodes of each part."""
        parts: dict[str, Tensor] = {}
        groups: dict[str, Tensor] = {}
        for name in self.arrays:
            kind, _, rest = name.partition("/")
            if kind == "split":
                target, key = (groups, rest[7:]) if rest.startswith("groups/") else (parts, rest)
                target[key] = torch.from_numpy(self.load(name))
        return Split(**parts, groups=groups)

    @cached_property
    def scale(self) -> npt.NDArray[np.float32] | None:
        """What one step of an int8 feature is worth, per column."""
        return self.load("node/x_scale") if "node/x_scale" in self.arrays else None

    def load(self, name: str) -> npt.NDArray[Any]:
        """Returns a whole array in memory.

        Raises:
            DataError: There is no array of that name.
            DamagedFile: It is not what was written.
        """
        if name not in self.arrays:
            raise DataError(f"{self.path} has no array {name!r}, only {', '.join(self.arrays)}")
        return load(self.arrays[name], check=self.checks)

    def labels(self) -> Tensor:
        """Returns the answers ``y`` of all nodes, in memory."""
        return torch.from_numpy(self.load("node/y"))

    def csc(self, in_memory: bool = True) -> Csc:
        """Returns the in-edges of every node, sorted by source.

        Args:
            in_memory: Read them now; else they are mapped, and read page by page when sampled
                (after one pass that checks them, unless the store was opened with ``off``).

        Raises:
            DamagedFile: They are not what was written.
        """
        parts = [self.arrays["graph/indptr"], self.arrays["graph/indices"]]
        if in_memory:
            indptr, indices = (load(part, check=self.checks) for part in parts)
            return Csc(torch.from_numpy(indptr), torch.from_numpy(indices))
        for part in parts if self.checks else []:
            for _ in scan(part):
                pass
        views = [_mapped(part) for part in parts]
        csc = Csc(*(torch.from_numpy(array) for array, _ in views))
        for _, view in views:
            if view is not None:
                view.madvise(mmap.MADV_RANDOM)  # only now: making a Csc reads it all in order
        return csc

    def decode(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns features as float32.

        Args:
            rows: As they lie in the file, in the array's type or as bytes.

        Shape:
            rows ``(rows, columns)``, or ``(rows, row_bytes)`` of uint8 -> ``(rows, columns)``.
        """
        x = self.arrays["node/x"]
        if rows.dtype == np.uint8:
            rows = np.ascontiguousarray(rows).view(x.dtype)
        rows = rows.reshape(len(rows), *x.shape[1:])
        decoded = rows.astype(np.float32)
        return decoded if self.scale is None else np.multiply(decoded, self.scale, out=decoded)

    def problem(self, batching: Batching, seed: int = 0) -> Problem:
        """Returns the store as a problem: its data hold the answers alone, ``batching`` brings
        features and edges.

        Args:
            batching: How it is read.
            seed: The run's seed.
        """
        return Problem(
            name=self.name,
            data=Data(y=self.labels(), num_nodes=self.num_nodes),
            split=self.split,
            task=self.task,
            dims=self.dims,
            batching=batching,
            seed=seed,
            files=dict(self.manifest.files),
            allow_overlap=self.manifest.allow_overlap,
        )


def _mapped(array: ArrayFile) -> tuple[npt.NDArray[Any], mmap.mmap | None]:
    """An array in the address space and its mapping; changes are kept to this process."""
    if array.num_bytes == 0:
        return np.empty(array.shape, dtype=array.dtype), None
    try:
        with array.path.open("rb") as file:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise StorageError(f"cannot map {array.path}: {error.strerror or error}") from error
    count = array.num_bytes // array.dtype.itemsize
    return np.frombuffer(view, array.dtype, count, array.offset).reshape(array.shape), view
