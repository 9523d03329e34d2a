"""Molecules: ZINC and AQSOL, from the pickles of "Benchmarking Graph Neural Networks".

Atoms and bonds are symbols, whole numbers in columns, which a model embeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from graphkit.data.batching import Graphs
from graphkit.data.fetch import Raw, fetch
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import reading
from graphkit.data.sources.joined import check_symbols, graph_set, in_order, numbered_through
from graphkit.data.sources.tables import read_bytes
from graphkit.data.sources.tensor_files import read_tensor_pickle
from graphkit.data.split import Split
from graphkit.errors import DataError, unknown_name
from graphkit.tasks import Dims, GraphRegression, Task

__all__ = ["aqsol", "files", "symbol_problem", "zinc"]

PARTS = ("train", "val", "test")

ZINC_URL = "https://www.dropbox.com/s/feo9qle74kg48gy/molecules.zip?dl=1"
ZINC_INDEX_URL = (
    "https://raw.githubusercontent.com/graphdeeplearning/benchmarking-gnns/master/"
    "data/molecules/{}.index"
)
ZINC_SYMBOLS = (28,)
ZINC_BONDS = (4,)  # none, single, double, triple
ZINC_REBUILT = {
    "train.pickle": "dcfa4c2f561dd68fe0a7f8c28fa871f8dc97fc8f25d2a4069797b35b067045a4",
    "val.pickle": "b04004b36b654304c76e49dbcb95f4e7d2ee5a6bcf8a390a6b0e91cf23be655a",
    "test.pickle": "0a3b32981eb364fc7a41d28970e6f4aca47dc2f734510d1ac292d1cde380b9f0",
    "train.index": "6920f15b118e4b0e333876bb8454b9a8279099d255bd4431848d8e81ee809820",
    "val.index": "0757269a5c70c053c555cfeae9d6f936da9c9e4587d985b8d3c7b5229c5d265d",
    "test.index": "0757269a5c70c053c555cfeae9d6f936da9c9e4587d985b8d3c7b5229c5d265d",
}

AQSOL_URL = "https://www.dropbox.com/s/lzu9lmukwov12kt/aqsol_graph_raw.zip?dl=1"
AQSOL_SYMBOLS = (65,)
AQSOL_BONDS = (5,)  # none, single, double, aromatic, triple
AQSOL_SHA256 = {
    "train": "0e252c3af0f14820bdc1b9864a4c8ecd679e030ef4e41f83608a82370c1d96be",
    "val": "40e43ebbb053e729ecb94b267a9287687421246d74048e75fb9f12f063ad3668",
    "test": "7da5b350e6cfba396307caedeb20c82687a99b104929aca41369027724853153",
}


def files(name: str, form: str = "") -> tuple[Raw, ...]:
    """Lists the raw files of a set.

    Args:
        name: ``zinc`` or ``aqsol``.
        form: Of ZINC ``full``, ``subset`` or ``subset-rebuilt``; of AQSOL ``original`` or nothing.
    """
    if name == "zinc":
        names = [f"{part}.{kind}" for part in PARTS for kind in ("pickle", "index")]
        return tuple(_zinc_raw(file, form) for file in names if form != "full" or "pickle" in file)
    if name == "aqsol":
        return tuple(_aqsol_raw(part, form) for part in PARTS)
    raise unknown_name("set of molecules", name, ("zinc", "aqsol"))


def _zinc_raw(file: str, form: str) -> Raw:
    if form == "subset-rebuilt":
        return Raw(f"zinc_rebuilt/raw/{file}", ZINC_REBUILT[file])
    part, kind = file.split(".")
    if kind == "index":
        return Raw(f"zinc/raw/{file}", url=ZINC_INDEX_URL.format(part))
    return Raw(f"zinc/raw/{file}", url=ZINC_URL, member=f"molecules/{file}")


def zinc(root: Path | None, seed: int, name: str, form: str) -> Problem:
    """Penalised logP of molecules from ZINC; 28 types of atom, 3 of bond.

    Args:
        root: Folder of raw files, looked in first.
        seed: Seeds the order of training alone.
        name: ``zinc``.
        form: ``full`` (220,011 / 24,445 / 5,000), ``subset`` (10,000 / 1,000 / 1,000, by the
            published lists) or ``subset-rebuilt`` (of the same size, other training molecules,
            targets computed anew: not to be compared with published numbers).

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023; Jin et al., "Junction
        Tree Variational Autoencoder", ICML 2018.
    """
    chosen: list[dict[str, Any]] = []
    counts = []
    for part in PARTS:
        path = fetch(_zinc_raw(f"{part}.pickle", form), root)
        molecules = read_tensor_pickle(path)
        if form != "full":
            listed = fetch(_zinc_raw(f"{part}.index", form), root)
            with reading(listed):
                numbers = read_bytes(listed).decode("ascii").strip(" ,\n").split(",")
                molecules = [molecules[int(number)] for number in numbers]
        counts.append(len(molecules))
        chosen += molecules
    with reading(path.parent):
        graphs = _from_matrices(chosen)
    return symbol_problem(
        f"zinc/{form}", graphs, in_order(*counts), ZINC_SYMBOLS, ZINC_BONDS, task=GraphRegression()
    )


def _from_matrices(molecules: Sequence[dict[str, Any]], at_once: int = 8192) -> GraphSet:
    """Graphs from atoms and dense matrices of bonds; some thousand matrices are read at once."""
    sizes, atoms, ends, bonds, y = [], [], [], [], []
    start = 0
    for first in range(0, len(molecules), at_once):
        part = molecules[first : first + at_once]
        types = [molecule["atom_type"].tensor().reshape(-1) for molecule in part]
        matrices = [molecule["bond_type"].tensor() for molecule in part]
        size = torch.tensor([len(one) for one in types])
        if [tuple(matrix.shape) for matrix in matrices] != [(n, n) for n in size.tolist()]:
            raise DataError("a matrix of bonds is not square with a row per atom")
        flat = torch.cat([matrix.reshape(-1) for matrix in matrices])
        place = flat.nonzero().flatten()
        # a matrix begins where the squares before it end, its nodes where the sizes before end
        squares = size.square()
        corner = squares.cumsum(0) - squares
        owner = torch.searchsorted(squares.cumsum(0), place, right=True)
        inside, side = place - corner[owner], size[owner]
        shift = (size.cumsum(0) - size)[owner] + start
        ends.append(torch.stack([inside // side + shift, inside % side + shift]))
        bonds.append(flat[place].long())
        sizes.append(size)
        atoms += types
        y += [molecule["logP_SA_cycle_normalized"].tensor().reshape(1, -1) for molecule in part]
        start += int(size.sum())
    return graph_set(
        torch.cat(sizes),
        torch.cat(ends, dim=1),
        nodes={"x": torch.cat(atoms).long()[:, None]},
        edges={"edge_attr": torch.cat(bonds)[:, None]},
        graphs={"y": torch.cat(y).float()},
    )


def symbol_problem(
    name: str,
    graphs: GraphSet,
    split: Split,
    symbols: tuple[int, ...],
    bonds: tuple[int, ...],
    task: Task,
    batch_size: int = 128,
) -> Problem:
    """Makes the problem of molecules.

    Args:
        name: ``<data set>/<split>``.
        graphs: Molecules with ``x``, ``edge_attr`` and ``y`` ``(graphs, answers)``.
        split: Molecules of each part.
        symbols: Number of symbols in each column of ``x``.
        bonds: The same for ``edge_attr``.
        task: Loss and metrics.
        batch_size: Molecules a batch.

    Raises:
        DataError: A symbol is outside the range of its column.
    """
    check_symbols(graphs.joined.x, symbols, "x (all graphs joined)")
    check_symbols(graphs.joined.edge_attr, bonds, "edge_attr (all graphs joined)")
    return Problem(
        name=name,
        data=graphs,
        split=split,
        task=task,
        dims=Dims(
            in_channels=0,
            out_channels=graphs.joined.y.shape[1],
            node_symbols=symbols,
            edge_symbols=bonds,
        ),
        batching=Graphs(batch_size),
    )


def _aqsol_raw(part: str, form: str) -> Raw:
    if form == "original":
        path, url = f"aqsol_original/raw/{part}.pickle", AQSOL_URL
        known = None if part == "train" else AQSOL_SHA256[part]
        return Raw(path, known, url=url, member=f"asqol_graph_raw/{part}.pickle")
    return Raw(f"aqsol/raw/{part}.pickle", AQSOL_SHA256[part])


def aqsol(root: Path | None, seed: int, name: str, form: str = "") -> Problem:
    """Solubility of molecules in water (logarithm), split by scaffold; 65 types of atom.

    Args:
        root: Folder of raw files, looked in first.
        seed: Seeds the order of training alone.
        name: ``aqsol``.
        form: ``original`` for the published training file, under ``aqsol_original``; by default
            one made anew from AqSolDB, whose numbers are not to be compared with published ones.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023; Sorkun et al., "AqSolDB",
        Scientific Data 2019. Molecules without a bond are left out, as in the paper and in PyG.
    """
    kept: list[tuple[Any, ...]] = []
    counts = []
    for part in PARTS:
        path = fetch(_aqsol_raw(part, form), root)
        with reading(path):
            bonded = [graph for graph in read_tensor_pickle(path) if graph[2].size]
        counts.append(len(bonded))
        kept += bonded
    with reading(path.parent):
        sizes = torch.tensor([len(graph[0]) for graph in kept])
        graphs = graph_set(
            sizes,
            numbered_through([torch.from_numpy(graph[2]) for graph in kept], sizes),
            nodes={"x": torch.cat([torch.from_numpy(g[0]) for g in kept]).long()[:, None]},
            edges={"edge_attr": torch.cat([torch.from_numpy(g[1]) for g in kept]).long()[:, None]},
            graphs={"y": torch.tensor([[float(graph[3])] for graph in kept])},
        )
    split = f"scaffold-{form}" if form else "scaffold"
    return symbol_problem(
        f"aqsol/{split}",
        graphs,
        in_order(*counts),
        AQSOL_SYMBOLS,
        AQSOL_BONDS,
        task=GraphRegression(),
    )
