"""The Long Range Graph Benchmark: peptides, and superpixels of PascalVOC and COCO.

Source: Dwivedi et al., "Long Range Graph Benchmark", NeurIPS 2022. Peptides come as tensors,
superpixels as pickles with tensors inside; both are read without running anything of theirs.
PCQM-Contact asks for links within graphs, which no task here does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphkit.data.batching import Graphs
from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import reading
from graphkit.data.sources.joined import check_symbols, graph_set, in_order, numbered_through
from graphkit.data.sources.ogb_graphs import ATOM_SYMBOLS, BOND_SYMBOLS
from graphkit.data.sources.tensor_files import (
    PickledTensor,
    read_tensor_pickle,
    read_torch_file,
)
from graphkit.errors import unknown_name
from graphkit.tasks import Dims, GraphRegression, MultilabelGraphs, NodesOfGraphs, Task

__all__ = ["files", "long_range"]

PARTS = ("train", "val", "test")
# COCO's classes have gaps in their numbers.
COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


@dataclass(frozen=True)
class _Set:
    """What is known of a set.

    Args:
        url: Of its archive.
        archive: Name of the folder inside.
        outputs: Labels, numbers or classes.
        superpixels: Whether nodes have classes; else graphs are peptides.
    """

    url: str
    archive: str
    outputs: int
    superpixels: bool = False


_DROPBOX = "https://www.dropbox.com/s/"
_VOC, _COCO = (f"{which}_superpixels_edge_wt_region_boundary" for which in ("voc", "coco"))
SETS = {
    "peptides-func": _Set(f"{_DROPBOX}ycsq37q8sxs1ou8/peptidesfunc.zip?dl=1", "peptidesfunc", 10),
    "peptides-struct": _Set(
        f"{_DROPBOX}zgv4z8fcpmknhs8/peptidesstruct.zip?dl=1", "peptidesstruct", 11
    ),
    "pascalvoc-sp": _Set(f"{_DROPBOX}8x722ai272wqwl4/pascalvocsp.zip?dl=1", _VOC, 21, True),
    "coco-sp": _Set(f"{_DROPBOX}r6ihg1f4pmyjjy0/cocosp.zip?dl=1", _COCO, 81, True),
}


def files(name: str) -> tuple[Raw, ...]:
    """Lists the raw files of a set."""
    if name not in SETS:
        raise unknown_name("long-range set", name, SETS)
    known = SETS[name]
    ending = "pickle" if known.superpixels else "pt"
    return tuple(
        Raw(
            f"lrgb/{name}/raw/{part}.{ending}",
            url=known.url,
            member=f"{known.archive}/{part}.{ending}",
        )
        for part in PARTS
    )


def long_range(root: Path | None, seed: int, name: str) -> Problem:
    """A set with its own split and the score its leaderboard ranks by.

    Args:
        root: Folder of raw files, looked in first.
        seed: Seeds the order of training alone.
        name: ``peptides-func`` (average precision over 10 labels), ``peptides-struct`` (mean
            absolute error over 11 numbers), ``pascalvoc-sp`` or ``coco-sp`` (macro F1 of nodes).

    Raises:
        DataNotFound: A raw file is missing.
        DataError: A raw file is not the one expected.
    """
    known, counts = SETS.get(name), []
    every: list[tuple[Tensor, ...]] = []
    for raw in files(name):
        path = fetch(raw, root)
        content = read_tensor_pickle(path) if path.suffix == ".pickle" else read_torch_file(path)
        with reading(path):
            graphs = [_tensors(graph) for graph in content]
        counts.append(len(graphs))
        every += graphs
    assert known is not None  # files(name) has refused other names
    with reading(path.parent):
        return _problem(name, known, every, counts)


def _tensors(graph: Any) -> tuple[Tensor, ...]:
    """``x``, ``edge_attr``, ``edge_index`` and ``y`` of a graph."""
    x, edge_attr, edge_index, y = (
        part.tensor() if isinstance(part, PickledTensor) else torch.as_tensor(part)
        for part in graph
    )
    return x, edge_attr, edge_index, y


def _problem(name: str, known: _Set, every: list[tuple[Tensor, ...]], counts: list[int]) -> Problem:
    sizes = torch.tensor([len(graph[0]) for graph in every])
    edges = numbered_through([graph[2] for graph in every], sizes)
    x, edge_attr = (torch.cat([graph[place] for graph in every]) for place in (0, 1))
    y = torch.cat([graph[3] for graph in every])
    task: Task
    if known.superpixels:
        x, edge_attr, y = x.float(), edge_attr.float(), y.long()
        if name == "coco-sp":
            y = y - torch.searchsorted(torch.tensor(COCO_GAPS), y)
        task = NodesOfGraphs(
            measures=("macro_f1",), batch_means=(), num_classes=known.outputs, balanced=True
        )
        dims = Dims(x.shape[1], known.outputs, edge_channels=edge_attr.shape[1])
    else:
        check_symbols(x, ATOM_SYMBOLS, "x (all graphs joined)")
        check_symbols(edge_attr, BOND_SYMBOLS, "edge_attr (all graphs joined)")
        y = y.float().reshape(len(every), known.outputs)
        if name == "peptides-func":
            task = MultilabelGraphs(measures=("average_precision",))
        else:
            task = GraphRegression()
        dims = Dims(0, known.outputs, node_symbols=ATOM_SYMBOLS, edge_symbols=BOND_SYMBOLS)
    return Problem(
        name=f"{name}/public",
        data=graph_set(
            sizes,
            edges,
            nodes={"x": x, "y": y} if known.superpixels else {"x": x},
            edges={"edge_attr": edge_attr},
            graphs={} if known.superpixels else {"y": y},
        ),
        split=in_order(*counts),
        task=task,
        dims=dims,
        batching=Graphs(batch_size=32 if known.superpixels else 128),
    )
