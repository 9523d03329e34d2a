"""Whether a store is what was written, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.errors import DamagedFile
from graphkit.ooc.blocks import check_block, check_size, read_sums, scan
from graphkit.ooc.disk import BLOCK, Reader, aligned
from graphkit.ooc.edge_sort import Watch
from graphkit.ooc.manifest import ArrayFile, read_manifest
from graphkit.ooc.store import Store

__all__ = ["Damage", "find_damage", "info", "verify"]


@dataclass(frozen=True)
class Damage:
    """A place where a store is not what was written.

    Args:
        path: The file.
        offset: First byte of the block that differs; ``None`` where the file as a whole does.
        message: What was found and expected.
    """

    path: Path
    offset: int | None
    message: str


def verify(path: Path | str, *, deep: bool = False, watch: Watch | None = None) -> int:
    """Checks a store; returns the bytes that were read.

    Args:
        path: Its folder.
        deep: Read every block; else manifest, lengths and tables of checksums alone.
        watch: Told the array, and bytes done and in all.

    Raises:
        DataNotFound: There is no store.
        DamagedFile: It names the first wrong file and byte.
        DataError: It was written by a newer version.
        StorageError: The disk fails.
    """
    root = Path(path)
    manifest, _ = read_manifest(root)
    arrays = sorted(manifest.arrays.values(), key=lambda array: array.name)
    done = 0
    for array in arrays:
        check_size(array)
        read_sums(array)
        done += array.num_blocks * 8
    if deep:
        for array in arrays:
            for _, block in scan(array):
                done += len(block)
                if watch is not None:
                    watch(array.name, done, sum(array.num_bytes for array in arrays))
        _check_graph(Store.open(root, verify="off"))
    return done


def find_damage(path: Path | str) -> list[Damage]:
    """Returns every damaged file or block of a store whose manifest is whole.

    Raises:
        DataNotFound: There is no store.
        DamagedFile: The manifest itself is damaged: the store cannot be read at all.
    """
    found: list[Damage] = []
    manifest, _ = read_manifest(Path(path))
    for array in sorted(manifest.arrays.values(), key=lambda array: array.name):
        try:
            check_size(array)
            sums = read_sums(array)
        except DamagedFile as error:
            found.append(Damage(array.path, None, str(error)))
            continue
        found += _damaged_blocks(array, sums)
    return found


def info(path: Path | str) -> dict[str, Any]:
    """Returns what a store holds, as JSON can write it; reads the manifest alone.

    Raises:
        DataNotFound: There is no store.
        DamagedFile: Its manifest is damaged.
    """
    store = Store.open(path)
    manifest, x = store.manifest, store.arrays["node/x"]
    return {
        "path": str(store.path),
        "uuid": store.uuid,
        "name": store.name,
        "nodes": store.num_nodes,
        "edges": store.num_edges,
        "features": store.dims.in_channels,
        "dtype": x.dtype.name,
        "row_bytes": x.row_bytes,
        "task": type(store.task).__name__,
        "out_channels": store.dims.out_channels,
        "brings": list(store.brings),
        "split": {
            name.removeprefix("split/"): array.shape[0]
            for name, array in store.arrays.items()
            if name.startswith("split/")
        },
        "bytes": {name: array.num_bytes for name, array in store.arrays.items()},
        "total_bytes": sum(array.num_bytes for array in store.arrays.values()),
        "source": dict(manifest.source),
        **manifest.report,
        "plans": sorted(entry.parent.name for entry in store.path.glob("plans/*/plan.json")),
    }


def _damaged_blocks(array: ArrayFile, sums: Any) -> list[Damage]:
    found: list[Damage] = []
    block = aligned(BLOCK)
    with Reader(array.path) as file:
        for number in range(array.num_blocks):
            first = array.offset + number * BLOCK
            length = min(BLOCK, array.num_bytes - number * BLOCK)
            file.read_into(block, first, length)
            try:
                check_block(array, number, block[:length], int(sums[number]))
            except DamagedFile as error:
                found.append(Damage(array.path, first, str(error)))
    return found


def _check_graph(store: Store) -> None:
    """Refuses a graph whose files are whole but do not fit together."""
    indptr = store.arrays["graph/indptr"]
    last = np.zeros(1, dtype=np.int64)
    for number, block in scan(indptr, check=False):
        starts = np.concatenate([last, block.view(np.int64)])
        fall = np.flatnonzero(np.diff(starts) < 0)
        if len(fall) or (number == 0 and starts[1] != 0):
            raise DamagedFile(f"{indptr.path} falls, in bytes {number * BLOCK} and on")
        last = starts[-1:]
    if int(last[0]) != store.num_edges:
        raise DamagedFile(f"{indptr.path} ends at {int(last[0])}, not {store.num_edges}")
    indices = store.arrays["graph/indices"]
    for number, block in scan(indices, check=False):
        ids = block.view(indices.dtype)
        if not 0 <= int(ids.min()) <= int(ids.max()) < store.num_nodes:
            raise DamagedFile(f"{indices.path} names no node, in bytes {number * BLOCK} and on")
