"""The sets of "Benchmarking Graph Neural Networks": CSL, PATTERN, CLUSTER, MNIST and CIFAR10.

Source: Dwivedi et al., JMLR 2023; CSL from Murphy et al., "Relational Pooling", ICML 2019. The
molecules of that paper are in ``molecules.py``, generated forms in ``synthetic.py``. TSP asks for
edges of graphs, which no task here does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.data.batching import Graphs
from graphkit.data.fetch import Raw, fetch
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import reading
from graphkit.data.sources.joined import graph_set, in_order, numbered_through
from graphkit.data.sources.tensor_files import read_tensor_pickle, read_torch_file
from graphkit.data.split import folds
from graphkit.errors import DataError, unknown_name
from graphkit.tasks import Dims, GraphClassification, NodesOfGraphs, Task

__all__ = ["csl", "csl_problem", "files", "public", "read_csl"]

CSL_ADJACENCY = Raw(
    "gnn_benchmark/CSL/raw/graphs_Kary_Deterministic_Graphs.pkl",
    "356281ea02e70241ae462426025afa72d00f6645e82df836dc3f29ad69cf9461",
    url="https://www.dropbox.com/s/rnbkp5ubgk82ocu/CSL.zip?dl=1",
    bytes=523_665,
    member="graphs_Kary_Deterministic_Graphs.pkl",
)
CSL_CLASSES = Raw(
    "gnn_benchmark/CSL/raw/y_Kary_Deterministic_Graphs.pt",
    "4e64a3ee3836e56635090ebd6c39d79348243d3b957167b6193ca3b78c335eb7",
    url="https://www.dropbox.com/s/rnbkp5ubgk82ocu/CSL.zip?dl=1",
    bytes=1_524,
    member="y_Kary_Deterministic_Graphs.pt",
)
CSL_FOLDS = 5
URL = "https://data.pyg.org/datasets/benchmarking-gnns"


@dataclass(frozen=True)
class _Kind:
    """What a set asks.

    Args:
        num_classes: Classes of its nodes or graphs.
        symbols: Symbols of its nodes, stored one-hot; 0 where they carry vectors.
        nodes: Whether the nodes have the classes.
    """

    num_classes: int
    symbols: int = 0
    nodes: bool = False


SETS = {
    "PATTERN": _Kind(2, symbols=3, nodes=True),
    "CLUSTER": _Kind(6, symbols=7, nodes=True),
    "MNIST": _Kind(10),
    "CIFAR10": _Kind(10),
}


def files(name: str = "CSL") -> tuple[Raw, ...]:
    """Lists the raw files of a set."""
    if name == "CSL":
        return (CSL_ADJACENCY, CSL_CLASSES)
    if name not in SETS:
        raise unknown_name("set of Benchmarking GNNs", name, ("CSL", *SETS))
    file = f"{name}_v2"
    raw = Raw(f"gnn_benchmark/{name}/raw/{file}.pt", url=f"{URL}/{file}.zip", member=f"{file}.pt")
    return (raw,)


def read_csl(root: Path | None = None) -> GraphSet:
    """Reads the circular skip links: 150 graphs of 41 nodes of degree 4, in 10 classes.

    Raises:
        DataNotFound: A raw file is missing.
        DamagedFile: A raw file is not the one expected.
    """
    path = fetch(CSL_ADJACENCY, root)
    y = read_torch_file(fetch(CSL_CLASSES, root))
    with reading(path):
        matrices = read_tensor_pickle(path)
        sizes = torch.tensor([int(matrix["_shape"][0]) for matrix in matrices])
        ends = [torch.from_numpy(np.stack([one["row"], one["col"]])) for one in matrices]
        edges = numbered_through(ends, sizes)
        return graph_set(sizes, edges[:, edges[0] != edges[1]], graphs={"y": y.long()})


def csl_problem(name: str, graphs: GraphSet, seed: int) -> Problem:
    """Makes the problem of skip links, read or generated: five folds, stratified, 3:1:1.

    Args:
        name: ``<data set>/<split>``.
        graphs: 150 graphs.
        seed: ``seed % 5`` is the fold for the test; the next one is for validation.
    """
    y = graphs.joined.y
    return Problem(
        name=name,
        data=graphs,
        split=folds(y, seed % CSL_FOLDS, num_folds=CSL_FOLDS),
        task=GraphClassification(num_classes=int(y.max()) + 1),
        dims=Dims(in_channels=0, out_channels=int(y.max()) + 1),
        batching=Graphs(batch_size=5),
    )


def csl(root: Path | None, seed: int) -> Problem:
    """Circular skip links, which no message passing tells apart without encodings.

    Args:
        root: Folder of raw files, looked in first.
        seed: ``seed % 5`` chooses the fold.

    Source:
        Murphy et al., "Relational Pooling for Graph Representations", ICML 2019. Differs: the
        folds are drawn here once for all, not read from the benchmark's index lists.
    """
    return csl_problem("csl/5fold", read_csl(root), seed)


def public(root: Path | None, seed: int, name: str) -> Problem:
    """A set with the split it comes with; the seed changes nothing about the data.

    Args:
        root: Folder of raw files, looked in first.
        seed: Seeds the order of training alone.
        name: ``PATTERN``, ``CLUSTER``, ``MNIST`` or ``CIFAR10``.
    """
    [raw] = files(name)
    kind = SETS[name]
    path = fetch(raw, root)
    with reading(path):
        graphs, counts = _read_parts(read_torch_file(path), kind)
    joined = graphs.joined
    task: Task = (NodesOfGraphs if kind.nodes else GraphClassification)(
        num_classes=kind.num_classes
    )
    return Problem(
        name=f"{name.lower()}/public",
        data=graphs,
        split=in_order(*counts),
        task=task,
        dims=Dims(
            in_channels=0 if kind.symbols else joined.x.shape[1],
            out_channels=kind.num_classes,
            edge_channels=0 if joined.edge_attr is None else joined.edge_attr.shape[1],
            node_symbols=(kind.symbols,) if kind.symbols else (),
        ),
        batching=Graphs(batch_size=128),
    )


def _read_parts(parts: Any, kind: _Kind) -> tuple[GraphSet, list[int]]:
    """All graphs, training ones first, and the number of each part."""
    counts = [len(part) for part in parts]
    if len(counts) != 3:
        raise DataError(f"it has {len(counts)} parts; expected train, val and test")
    every = [graph for part in parts for graph in part]
    x = torch.cat([graph["x"].reshape(len(graph["x"]), -1).float() for graph in every])
    sizes = torch.tensor([len(graph["x"]) for graph in every])
    if "pos" in every[0]:
        x = torch.cat([x, torch.cat([graph["pos"].float() for graph in every])], dim=1)
    if kind.symbols:
        x = x.argmax(dim=1, keepdim=True)
    edges = {}
    if every[0].get("edge_attr") is not None:
        attr = [graph["edge_attr"].reshape(graph["edge_index"].shape[1], -1) for graph in every]
        edges = {"edge_attr": torch.cat(attr).float()}
    y = torch.cat([torch.as_tensor(graph["y"]).reshape(-1).long() for graph in every])
    graphs = graph_set(
        sizes,
        numbered_through([graph["edge_index"] for graph in every], sizes),
        nodes={"x": x, "y": y} if kind.nodes else {"x": x},
        edges=edges,
        graphs={} if kind.nodes else {"y": y},
    )
    return graphs, counts
