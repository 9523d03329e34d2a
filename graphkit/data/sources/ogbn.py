"""Node property sets of the Open Graph Benchmark, read from their own tables and archives.

Source: Hu et al., "Open Graph Benchmark", NeurIPS 2020. ``ogbn-mag`` has nodes of several kinds,
and the sets ``ogbl-…`` ask for links, which no task here does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.batching import FullGraph
from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import reading
from graphkit.data.sources.ogb_graphs import SPLIT_FILES, read_split, table
from graphkit.data.sources.tables import read_numbers, read_table
from graphkit.errors import unknown_name
from graphkit.tasks import Dims, MultilabelNodes, NodeClassification, Task

__all__ = ["files", "property_prediction", "read"]

URL = "http://snap.stanford.edu/ogb/data/nodeproppred"


@dataclass(frozen=True)
class _Set:
    """What is known of a set.

    Args:
        archive: Name of its download.
        split: Folder of its split.
        num_classes: Classes of a node; 0 where it has labels instead.
        both_ways: Whether each edge is stored once and stands for both directions.
        parts: Tables besides edges, labels and counts.
        binary: Whether it comes as two NumPy archives.
    """

    archive: str
    split: str
    num_classes: int
    both_ways: bool = False
    parts: tuple[str, ...] = ("node-feat",)
    binary: bool = False


SETS = {
    "ogbn-arxiv": _Set("arxiv", "time", 40),
    "ogbn-products": _Set("products", "sales_ranking", 47, both_ways=True),
    "ogbn-proteins": _Set("proteins", "species", 0, both_ways=True, parts=("edge-feat",)),
    "ogbn-papers100M": _Set("papers100M-bin", "time", 172, binary=True),
}


def _raws(name: str) -> dict[str, Raw]:
    if name not in SETS:
        raise unknown_name("OGB node set", name, SETS)
    known = SETS[name]
    url = f"{URL}/{known.archive}.zip"
    place = f"ogb/{name.replace('-', '_')}"
    if known.binary:
        raws = {
            f"raw/{part}": Raw(
                f"{place}/raw/{part}.npz", url=url, member=f"{known.archive}/raw/{part}.npz"
            )
            for part in ("data", "node-label")
        }
    else:
        parts = ("edge", "num-node-list", "node-label", *known.parts)
        raws = {f"raw/{p}": table(name, f"raw/{p}", "ogb", url, known.archive) for p in parts}
    lists = [f"split/{known.split}/{part}" for part in SPLIT_FILES]
    return raws | {part: table(name, part, "ogb", url, known.archive) for part in lists}


def files(name: str) -> tuple[Raw, ...]:
    """Lists the raw files of a set."""
    return tuple(_raws(name).values())


def read(name: str, root: Path | None = None) -> Data:
    """Reads a set into memory whole; that of ``ogbn-papers100M`` takes 60 GB.

    Args:
        name: ``ogbn-arxiv``, ``ogbn-products``, ``ogbn-proteins`` or ``ogbn-papers100M``.
        root: Folder of raw files, looked in first.

    Returns:
        ``y`` holds a class per node, -1 where it is not known, or the labels of each as floats.

    Raises:
        DataNotFound: A raw file is missing.
        DamagedFile: A raw file is not the one expected, or no such table.
    """
    raws, known = _raws(name), SETS[name]
    paths = {part: fetch(raw, root) for part, raw in raws.items() if part.startswith("raw/")}
    if known.binary:
        return _read_archives(paths)
    edges = torch.from_numpy(read_table(paths["raw/edge"], np.int64)).t()
    data = Data(num_nodes=int(read_table(paths["raw/num-node-list"], np.int64)[0, 0]))
    if "raw/node-feat" in paths:
        data.x = read_numbers(paths["raw/node-feat"]).float()
    if "raw/edge-feat" in paths:
        attr = read_numbers(paths["raw/edge-feat"]).float()
        data.edge_attr = attr.repeat(2, 1) if known.both_ways else attr
    data.edge_index = torch.cat([edges, edges.flip(0)], dim=1) if known.both_ways else edges
    labels = torch.from_numpy(read_table(paths["raw/node-label"], np.float64, missing=True))
    data.y = _classes(labels) if known.num_classes else labels.float()
    return data


def _classes(labels: Tensor) -> Tensor:
    return labels.reshape(len(labels), -1)[:, 0].nan_to_num(nan=-1).long()


def _read_archives(paths: dict[str, Path]) -> Data:
    with reading(paths["raw/data"]), np.load(paths["raw/data"], allow_pickle=False) as arrays:
        data = Data(
            edge_index=torch.from_numpy(arrays["edge_index"]).long(),
            x=torch.from_numpy(arrays["node_feat"]).float(),
        )
    path = paths["raw/node-label"]
    with reading(path), np.load(path, allow_pickle=False) as arrays:
        data.y = _classes(torch.from_numpy(arrays["node_label"]).double())
    return data


def property_prediction(root: Path | None, seed: int, name: str) -> Problem:
    """A set with its own split and the score its leaderboard ranks by.

    Edges are those of the file: the citations of ``ogbn-arxiv`` and ``ogbn-papers100M`` lead one
    way. No node of ``ogbn-proteins`` carries anything, its edges do.

    Args:
        root: Folder of raw files, looked in first.
        seed: Seeds the draws of training alone.
        name: ``ogbn-arxiv``, ``ogbn-products``, ``ogbn-proteins`` or ``ogbn-papers100M``.
    """
    data, known = read(name, root), SETS[name]
    task: Task = (
        NodeClassification(num_classes=known.num_classes)
        if known.num_classes
        else MultilabelNodes(measures=("roc_auc",))
    )
    return Problem(
        name=f"{name}/{known.split.split('_')[0]}",
        data=data,
        split=read_split(_raws(name), known.split, root),
        task=task,
        dims=Dims(
            in_channels=0 if data.x is None else data.x.shape[1],
            out_channels=known.num_classes or data.y.shape[1],
            edge_channels=0 if data.edge_attr is None else data.edge_attr.shape[1],
            num_nodes=int(data.num_nodes or 0),
        ),
        batching=FullGraph(),
    )
