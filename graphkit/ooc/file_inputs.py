"""Inputs of a store that are files: a folder of the Open Graph Benchmark, or files of one's own.

Labels and split are held in memory; edges and features are read in chunks, as often as needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphkit.data.sources.ogbn import SETS
from graphkit.data.split import Split
from graphkit.errors import DataError, DataNotFound
from graphkit.ooc.inputs import Input
from graphkit.ooc.tables import NpzMember, Table, open_table, pairs, whole
from graphkit.tasks import MultilabelNodes, NodeClassification, Task

__all__ = ["of_files", "of_ogb"]

Array: TypeAlias = npt.NDArray[Any]


def of_ogb(folder: Path, name: str | None = None) -> Input:
    """A folder of the Open Graph Benchmark with ``raw`` and ``split``, as it is unpacked.

    Args:
        folder: Such as ``ogbn_papers100M``; tables in text or two NumPy archives.
        name: The set's name; by default that of the folder.

    Raises:
        DataNotFound: A file is missing.
        DataError: A table does not fit the others.

    Source:
        Hu et al., "Open Graph Benchmark", NeurIPS 2020.
    """
    name = name or folder.name.replace("_", "-")
    raw = folder / "raw"
    edges: Table
    features: Table
    if (raw / "data.npz").exists():
        edges = NpzMember(raw / "data.npz", "edge_index")
        features = NpzMember(raw / "data.npz", "node_feat")
        answers = whole(NpzMember(raw / "node-label.npz", "node_label"))
    else:
        edges = open_table(raw / "edge.csv.gz", np.int64)
        features = open_table(raw / "node-feat.csv.gz", np.float32)
        answers = whole(open_table(raw / "node-label.csv.gz"))
    kinds = sorted(path.name for path in (folder / "split").glob("*") if path.is_dir())
    if len(kinds) != 1:
        raise DataNotFound(f"{folder / 'split'} has {len(kinds)} folders; expected one split")
    lists = [folder / "split" / kinds[0] / f"{part}.csv.gz" for part in ("train", "valid", "test")]
    train, val, test = (_nodes(open_table(path, np.int64)) for path in lists)
    known = SETS.get(name)
    classes = known.num_classes if known and known.num_classes else None
    return _of_tables(
        f"{name}/{kinds[0].split('_')[0]}",
        edges,
        features,
        torch.from_numpy(answers),
        Split(train, val, test),
        num_classes=classes,
        both_ways=bool(known and known.both_ways),
        paths=(edges.path, features.path, *lists),
    )


def of_files(
    name: str,
    edges: Path,
    features: Path,
    labels: Path,
    split: Mapping[str, Path],
    *,
    indptr: Path | None = None,
    num_classes: int | None = None,
) -> Input:
    """Files of one's own: ``.npy``, ``.csv`` with or without ``.gz``, ``.parquet``.

    Args:
        name: ``<data set>/<split>``.
        edges: Sources and destinations, ``(2, edges)`` or ``(edges, 2)``; with ``indptr`` the
            sources alone, in order of destination.
        features: A row per node.
        labels: A class per node, -1 where not known; or several columns of labels.
        split: Files of node numbers by part: ``train``, ``val``, ``test``, ``hidden``.
        indptr: Where each node's edges start, if they are given as CSC.
        num_classes: Number of classes; by default the highest class and one.

    Raises:
        DataNotFound: A file is missing.
        DataError: A file does not fit the others.
    """
    missing = [part for part in ("train", "val", "test") if part not in split]
    if missing or set(split) - {"train", "val", "test", "hidden"}:
        raise DataError(f"split names {sorted(split)}; expected train, val, test and maybe hidden")
    parts = {part: _nodes(open_table(path, np.int64)) for part, path in split.items()}
    starts = None if indptr is None else whole(open_table(indptr, np.int64))[:, 0]
    paths = (edges, features, labels, *split.values(), *([indptr] if indptr else []))
    return _of_tables(
        name,
        open_table(edges, np.int64),
        open_table(features, np.float32),
        torch.from_numpy(whole(open_table(labels))),
        Split(
            parts["train"], parts["val"], parts["test"], parts.get("hidden", torch.empty(0).long())
        ),
        num_classes=num_classes,
        starts=starts,
        paths=paths,
    )


def _of_tables(
    name: str,
    edges: Table,
    features: Table,
    answers: Tensor,
    split: Split,
    *,
    num_classes: int | None,
    paths: tuple[Path, ...],
    both_ways: bool = False,
    starts: Array | None = None,
) -> Input:
    labels = answers.reshape(len(answers), -1)
    if labels.shape[1] == 1 and (num_classes is not None or bool(_are_classes(labels))):
        y = labels[:, 0]
        y = (y.nan_to_num(nan=-1.0) if y.is_floating_point() else y).long()
        task: Task = NodeClassification(num_classes=num_classes or max(int(y.max()) + 1, 2))
    else:
        y = labels.float()
        task = MultilabelNodes()

    if starts is not None and len(starts) != len(y) + 1:
        raise DataError(
            f"indptr has {len(starts)} entries; expected {len(y) + 1} for {len(y)} nodes"
        )

    def chunks(limit: int) -> Iterator[tuple[Array, Array]]:
        return pairs(edges, limit) if starts is None else _columns(edges, starts, limit)

    shape = getattr(edges, "shape", None)
    return Input(
        name=name,
        labels=y,
        split=split,
        task=task,
        num_features=features.width,
        edges=chunks,
        features=features.rows,
        num_edges=None if shape is None else int(np.prod(shape)) // (2 if starts is None else 1),
        key={
            "files": [[path.name, path.stat().st_size] for path in paths],
            "csc": starts is not None,
        },
        state=repr([(str(path.absolute()), path.stat().st_mtime_ns) for path in paths]),
        both_ways=both_ways,
    )


def _columns(table: Table, starts: Array, limit: int) -> Iterator[tuple[Array, Array]]:
    """Sources and destinations of a graph given as CSC."""
    if table.width != 1:
        raise DataError(
            f"{table.path} has {table.width} columns; with indptr it holds sources alone"
        )
    if len(starts) == 0 or starts[0] != 0 or bool((np.diff(starts) < 0).any()):
        raise DataError("indptr must rise from 0 to the number of edges")
    first = 0
    for rows in table.rows(limit):
        last = first + len(rows)
        if last > starts[-1]:
            break
        low = int(np.searchsorted(starts, first, side="right")) - 1
        high = int(np.searchsorted(starts, last, side="left"))
        bounds = np.clip(starts[low : high + 1], first, last)
        into = np.repeat(np.arange(low, high, dtype=np.int64), np.diff(bounds))
        yield rows[:, 0].astype(np.int64), into
        first = last
    if first != starts[-1]:
        raise DataError(f"indptr ends at {int(starts[-1])}, but {table.path} has other edges")


def _are_classes(labels: Tensor) -> Tensor:
    known = labels[~labels.isnan()] if labels.is_floating_point() else labels
    return (known == known.round()).all() if known.is_floating_point() else torch.tensor(True)


def _nodes(table: Table) -> Tensor:
    values = whole(table).reshape(-1)
    if values.dtype.kind == "b":
        return torch.from_numpy(np.flatnonzero(values))
    if values.dtype.kind not in "iu":
        raise DataError(f"{table.path} holds {values.dtype} where node numbers were expected")
    return torch.from_numpy(values.astype(np.int64))
