"""A store out of a graph of any size, in bounded memory; interrupted, it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xxhash

from graphkit.data.check import check_labels
from graphkit.errors import DataError, SettingError, StorageError
from graphkit.ooc.blocks import load, scan
from graphkit.ooc.disk import free_bytes
from graphkit.ooc.draft import Draft, create
from graphkit.ooc.edge_sort import EdgeSort, Loops, Watch
from graphkit.ooc.inputs import Input
from graphkit.ooc.manifest import Manifest
from graphkit.ooc.sizes import show_bytes
from graphkit.ooc.store import Store
from graphkit.transforms import Undirected

__all__ = ["LEAST_MEMORY", "RowType", "Settings", "disk_bytes", "id_type", "prepare"]

RowType = Literal["float32", "float16", "int8"]
Array: TypeAlias = npt.NDArray[Any]

LEAST_MEMORY = 16 << 20


@dataclass(frozen=True)
class Settings:
    """How a store is prepared; all of it decides on the store's bytes.

    Args:
        undirected: Add the opposite of each edge; with ``dedup`` this is PyG's ``ToUndirected``.
        dedup: Keep one of several equal edges.
        loops: ``add`` gives every node exactly one edge to itself, ``drop`` none.
        dtype: Type of the features on disk. ``float16`` rounds to 11 bits; ``int8`` to 127 steps
            of the largest size in a column, so by at most half a step.

    Raises:
        SettingError: A value is not one of these.
    """

    undirected: bool = False
    dedup: bool = False
    loops: Loops = "keep"
    dtype: RowType = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "float16", "int8"):
            raise SettingError(f"dtype = {self.dtype!r}; expected float32, float16 or int8")
        if self.loops not in ("keep", "add", "drop"):
            raise SettingError(f"loops = {self.loops!r}; expected keep, add or drop")


def disk_bytes(source: Input, settings: Settings | None = None) -> int:
    """Returns the bytes a store takes while it is prepared, temporary files included; with edges
    whose number is not known before they are read, without these."""
    settings = settings or Settings()
    nodes, width = source.num_nodes, np.dtype(settings.dtype).itemsize
    edges = (source.num_edges or 0) * (2 if settings.undirected or source.both_ways else 1)
    edges += nodes if settings.loops == "add" else 0
    labels = source.labels.numel() * source.labels.element_size()
    return nodes * source.num_features * width + labels + (nodes + 1) * 8 + edges * (8 + 8)


def id_type(num_nodes: int) -> np.dtype[Any]:
    """Returns the smallest type that holds the numbers of that many nodes."""
    return np.dtype(np.int32 if num_nodes < 2**31 else np.int64)


def prepare(
    source: Input,
    path: Path | str,
    settings: Settings | None = None,
    *,
    memory: int = 1 << 30,
    watch: Watch | None = None,
) -> Store:
    """Writes a store and opens it; one that the same call has written before is opened at once.

    Killed at any moment, the same call goes on and ends with the same bytes. They do not depend on
    ``memory``.

    Args:
        source: What to put into it.
        path: The store's folder: not there yet, or empty.
        settings: How; by default edges and features as they are, in float32.
        memory: Bytes to work in, besides labels and split.
        watch: Told the stage, and bytes done and in all (0: not known).

    Raises:
        DataError: The source cannot be used; the message names the first wrong entry.
        SettingError: Memory is too small, or something else is at ``path``.
        StorageError: The disk is full or fails, or another process prepares the same store.
    """
    settings = settings or Settings()
    told: Watch = watch or (lambda stage, done, total: None)
    most_rows = memory // 8 // max(source.num_features * 16, 1)
    if memory < LEAST_MEMORY or most_rows < 1:
        least = max(LEAST_MEMORY, source.num_features * 16 * 8)
        raise SettingError(f"memory = {show_bytes(memory)}; expected at least {show_bytes(least)}")
    if source.num_nodes == 0 or source.num_features == 0:
        raise DataError(
            f"{source.name} has {source.num_nodes} nodes with {source.num_features} features; "
            "a store holds at least one of each"
        )
    source.split.check(source.num_nodes, allow_overlap=source.allow_overlap)
    check_labels(source.labels, source.num_nodes, getattr(source.task, "num_classes", None))
    about = {**source.key, "settings": asdict(settings)}
    key = xxhash.xxh3_128_hexdigest(json.dumps(about, sort_keys=True).encode())
    with create(path, key, source.state) as draft:
        if isinstance(draft, Store):
            return draft
        needed = disk_bytes(source, settings)
        held = sum(file.stat().st_size for file in draft.folder.rglob("*.bin"))
        if needed - held > (free := free_bytes(draft.folder)):
            raise StorageError(
                f"preparing {draft.path} needs {show_bytes(needed - held)} of disk, "
                f"{show_bytes(free)} are free"
            )
        draft.put("node/y", source.labels.numpy())
        for name, values in _parts(source).items():
            draft.put(name, values)
        _features(draft, source, settings, most_rows, told)
        report = _graph(draft, source, settings, memory, told)
        return draft.finish(
            Manifest(
                name=source.name,
                num_nodes=source.num_nodes,
                num_edges=draft.array("graph/indices").shape[0],
                task=source.task,
                dims=source.dims,
                arrays={},
                brings=_brings(source, settings),
                source={"key": key, **about},
                report=report,
                files=source.files,
                allow_overlap=source.allow_overlap,
            )
        )


def _brings(source: Input, settings: Settings) -> tuple[str, ...]:
    """What the store holds already of what models ask for."""
    both_ways = (settings.undirected or source.both_ways) and settings.dedup
    made = (repr(Undirected()),) if both_ways else ()
    return tuple(dict.fromkeys((*source.brings, *made)))


def _parts(source: Input) -> dict[str, Array]:
    split = source.split
    parts = {f"split/{name}": split.part(name) for name in ("train", "val", "test", "hidden")}
    parts |= {f"split/groups/{name}": nodes for name, nodes in split.groups.items()}
    return {name: nodes.long().numpy() for name, nodes in parts.items()}


def _features(draft: Draft, source: Input, settings: Settings, limit: int, watch: Watch) -> None:
    if draft.done("node/x"):
        return
    shape = (source.num_nodes, source.num_features)
    dtype = np.dtype(settings.dtype)
    scale: Array | None = None
    if settings.dtype == "int8":
        if not draft.done("node/x_scale"):
            highest = np.zeros(shape[1], dtype=np.float32)
            for _, rows in _checked(source, limit):
                np.maximum(highest, np.abs(rows).max(axis=0), out=highest)
                watch("measuring features", 0, 0)
            draft.put(
                "node/x_scale", np.where(highest > 0, highest / np.float32(127), 1.0).astype("f4")
            )
        scale = load(draft.array("node/x_scale"))
    with draft.write("node/x", dtype, shape) as writer:
        for first, rows in _checked(source, limit):
            writer.append(_encoded(rows, dtype, scale, first))
            row_bytes = shape[1] * dtype.itemsize
            watch("writing features", (first + len(rows)) * row_bytes, shape[0] * row_bytes)
        draft.keep(writer.finish())


def _checked(source: Input, limit: int) -> Iterator[tuple[int, Array]]:
    """Rows of features as float32, with the number of the first."""
    first = 0
    for rows in source.features(limit):
        if rows.shape[1:] != (source.num_features,) or rows.dtype.kind not in "biuf":
            raise DataError(
                f"features from row {first} on are {rows.dtype} of shape {rows.shape}; expected "
                f"numbers of shape (*, {source.num_features})"
            )
        if first + len(rows) > source.num_nodes:
            first += len(rows)
            break
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32, copy=False)
        if not source.allow_nonfinite and not np.isfinite(rows).all():
            row, column = (int(v[0]) for v in np.nonzero(~np.isfinite(rows)))
            raise DataError(
                f"the features of node {first + row} hold {rows[row, column]} in column {column}; "
                "expected finite numbers of float32. Mend the data, or allow them in the input"
            )
        yield first, rows
        first += len(rows)
    if first != source.num_nodes:
        raise DataError(
            f"there are features of {'at least ' * (first > source.num_nodes)}{first} nodes, but "
            f"labels of {source.num_nodes}"
        )


def _encoded(rows: Array, dtype: np.dtype[Any], scale: Array | None, first: int) -> Array:
    if scale is not None:
        return np.rint(rows / scale).clip(-127, 127).astype(np.int8)
    if dtype == rows.dtype:
        return rows
    with np.errstate(over="ignore"):
        encoded = rows.astype(dtype)
    lost = np.isinf(encoded) & ~np.isinf(rows)
    if lost.any():
        row, column = (int(v[0]) for v in np.nonzero(lost))
        raise DataError(
            f"the features of node {first + row} hold {rows[row, column]} in column {column}, too "
            f"large for {dtype}; scale them, or prepare with float32"
        )
    return encoded


def _graph(
    draft: Draft, source: Input, settings: Settings, memory: int, watch: Watch
) -> dict[str, Any]:
    """Writes the in-edges of every node; returns counts of the graph."""
    if not draft.done("graph/indptr", "graph/indices"):
        sort = EdgeSort(
            source.edges,
            source.num_nodes,
            memory,
            draft.scratch,
            undirected=settings.undirected or source.both_ways,
            dedup=settings.dedup,
            loops=settings.loops,
            watch=watch,
        )
        count = sort.count()
        ids = id_type(source.num_nodes)
        rows = None if settings.dedup else count
        with (
            draft.write("graph/indptr", np.int64, (source.num_nodes + 1,)) as starts,
            draft.write("graph/indices", ids, (rows,)) as columns,
        ):
            total = np.zeros(1, dtype=np.int64)
            starts.append(total)
            for degree, sources in sort.columns():
                for part in sources:
                    columns.append(part.astype(ids))
                np.cumsum(degree, out=degree)
                degree += total
                starts.append(degree)
                total = degree[-1:].copy()
            draft.keep(starts.finish(), columns.finish())
    return _counted(draft)


def _counted(draft: Draft) -> dict[str, Any]:
    """How many nodes have how many in-edges: none, 1, 2 to 3, 4 to 7, ..."""
    bounds = 1 << np.arange(62, dtype=np.int64)
    histogram = np.zeros(len(bounds) + 1, dtype=np.int64)
    last, most = np.zeros(0, dtype=np.int64), 0
    for _, block in scan(draft.array("graph/indptr")):
        starts = np.concatenate([last, block.view(np.int64)])
        degree = np.diff(starts)
        histogram += np.bincount(
            np.searchsorted(bounds, degree, side="right"), minlength=len(histogram)
        )
        most, last = max(most, int(degree.max(initial=0))), starts[-1:]
    return {
        "nodes_without_in_edges": int(histogram[0]),
        "most_in_edges": most,
        "in_edges_histogram": np.trim_zeros(histogram, "b").tolist(),
    }
