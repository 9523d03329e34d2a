"""Graph property sets of the Open Graph Benchmark, read from their own tables.

Source: Hu et al., "Open Graph Benchmark", NeurIPS 2020. The package ``ogb`` is not needed to read
them: it goes to the network when imported and loads its own files in a way newer torch refuses.
Graphs and scores equal those of its readers and its ``Evaluator`` (see the tests). ``ogbg-code2``
asks for words, which no task here does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkit.data.batching import Graphs
from graphkit.data.fetch import Raw, fetch
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources.joined import check_symbols, graph_set
from graphkit.data.sources.ogb_checksums import SHA256
from graphkit.data.sources.tables import read_numbers, read_table
from graphkit.data.split import Split
from graphkit.errors import DataError, unknown_name
from graphkit.tasks import Dims, GraphClassification, GraphRegression, MultilabelGraphs, Task

__all__ = ["files", "property_prediction", "read", "read_split"]

# Symbols in each column of an atom (element, chirality, degree, charge, hydrogens, radical
# electrons, hybridisation, aromatic, in a ring) and of a bond (type, stereo, conjugated).
ATOM_SYMBOLS = (119, 5, 12, 12, 10, 6, 6, 2, 2)
BOND_SYMBOLS = (5, 6, 2)
SPLIT_FILES = ("train", "valid", "test")
URL = "http://snap.stanford.edu/ogb/data/graphproppred"


@dataclass(frozen=True)
class _Set:
    """What is known of a set.

    Args:
        archive: Name of its download.
        measure: The score it is judged by.
        split: Name of its split.
        num_classes: Classes of a graph, 0 where it has labels or numbers instead.
        molecules: Whether nodes are atoms; else they carry nothing.
    """

    archive: str
    measure: str
    split: str = "scaffold"
    num_classes: int = 0
    molecules: bool = True


SETS = {
    "ogbg-molbace": _Set("bace", "roc_auc"),
    "ogbg-molbbbp": _Set("bbbp", "roc_auc"),
    "ogbg-molchembl": _Set("chembl", "roc_auc"),
    "ogbg-molclintox": _Set("clintox", "roc_auc"),
    "ogbg-molesol": _Set("esol", "rmse"),
    "ogbg-molfreesolv": _Set("freesolv", "rmse"),
    "ogbg-molhiv": _Set("hiv", "roc_auc"),
    "ogbg-mollipo": _Set("lipophilicity", "rmse"),
    "ogbg-molmuv": _Set("muv", "average_precision"),
    "ogbg-molpcba": _Set("pcba", "average_precision"),
    "ogbg-molsider": _Set("sider", "roc_auc"),
    "ogbg-moltox21": _Set("tox21", "roc_auc"),
    "ogbg-moltoxcast": _Set("toxcast", "roc_auc"),
    "ogbg-ppa": _Set("ogbg_ppi_medium", "accuracy", "species", num_classes=37, molecules=False),
}


def table(name: str, part: str, folder: str, url: str, archive: str) -> Raw:
    """Returns one table of a set of OGB.

    Args:
        name: Of the set, e.g. ``ogbg-molhiv``.
        part: Place of the table in the set's folder, without ``.csv.gz``.
        folder: ``ogb``, or ``ogb_rebuilt`` for files that were computed anew.
        url: Of the archive.
        archive: Name of the folder inside the archive.
    """
    place = f"{folder}/{name.replace('-', '_')}/{part}"
    return Raw(
        f"{place}.csv.gz",
        SHA256.get(place),
        url=None if folder != "ogb" else url,
        member=None if folder != "ogb" else f"{archive}/{part}.csv.gz",
    )


def _tables(name: str, folder: str) -> dict[str, Raw]:
    if name not in SETS:
        raise unknown_name("OGB graph set", name, SETS)
    known = SETS[name]
    kind = "csv_mol_download/" if known.molecules else ""
    parts = [f"raw/{part}" for part in ("edge", "num-node-list", "num-edge-list", "edge-feat")]
    parts += ["raw/node-feat"] if known.molecules else []
    parts += ["raw/graph-label", *(f"split/{known.split}/{part}" for part in SPLIT_FILES)]
    url = f"{URL}/{kind}{known.archive}.zip"
    return {part: table(name, part, folder, url, known.archive) for part in parts}


def files(name: str, folder: str = "ogb") -> tuple[Raw, ...]:
    """Lists the raw files of a set."""
    return tuple(_tables(name, folder).values())


def read_split(tables: dict[str, Raw], split: str, root: Path | None) -> Split:
    """Reads the three lists of item numbers of a split."""
    train, val, test = (
        torch.from_numpy(read_table(fetch(tables[f"split/{split}/{part}"], root), np.int64)[:, 0])
        for part in SPLIT_FILES
    )
    return Split(train, val, test)


def joined_edges(edges: Tensor, edge_counts: Tensor, sizes: Tensor) -> Tensor:
    """Returns edges numbered within each graph as ``(2, edges)`` numbered through.

    Args:
        edges: Of all graphs, ``(edges, 2)``.
        edge_counts: Edges of each graph.
        sizes: Nodes of each graph.

    Raises:
        DataError: The counts are not those of the edges, or not as many as the sizes.
    """
    listed = int(edge_counts.sum())
    if len(edge_counts) != len(sizes) or listed != len(edges) or int(edge_counts.min()) < 0:
        raise DataError(
            f"num-edge-list counts {listed} edges of {len(edge_counts)} graphs; expected the "
            f"{len(edges)} edges of {len(sizes)} graphs"
        )
    shift = (sizes.cumsum(0) - sizes).repeat_interleave(edge_counts)
    return edges.t() + shift


def read(name: str, root: Path | None = None, folder: str = "ogb") -> GraphSet:
    """Reads a set; each edge is stored once in the file and stands here in both directions.

    Args:
        name: ``ogbg-…``.
        root: Folder of raw files, looked in first.
        folder: ``ogb``, or ``ogb_rebuilt`` for files that were computed anew.

    Returns:
        Atoms and bonds as symbols; ``y`` ``(graphs, tasks)`` with NaN where an answer is not
        known, or a class per graph.

    Raises:
        DataNotFound: A raw file is missing.
        DamagedFile: A raw file is not the one expected, or no such table.
        DataError: The tables do not fit together.
    """
    tables, known = _tables(name, folder), SETS[name]
    paths = {part: fetch(raw, root) for part, raw in tables.items() if part.startswith("raw/")}
    sizes = torch.from_numpy(read_table(paths["raw/num-node-list"], np.int64)[:, 0])
    edge_counts = torch.from_numpy(read_table(paths["raw/num-edge-list"], np.int64)[:, 0])
    edges = torch.from_numpy(read_table(paths["raw/edge"], np.int64))
    forth = joined_edges(edges, edge_counts, sizes)
    edge_attr = read_numbers(paths["raw/edge-feat"])
    nodes = {"x": read_numbers(paths["raw/node-feat"])} if known.molecules else {}
    y = torch.from_numpy(read_table(paths["raw/graph-label"], np.float64, missing=True)).float()
    return graph_set(
        sizes,
        torch.cat([forth, forth.flip(0)], dim=1),
        nodes=nodes,
        edges={"edge_attr": edge_attr.repeat(2, 1)},
        graphs={"y": y[:, 0].long() if known.num_classes else y},
    )


def property_prediction(root: Path | None, seed: int, name: str, folder: str = "ogb") -> Problem:
    """A set with its own split and the score its leaderboard ranks by.

    Args:
        root: Folder of raw files, looked in first.
        seed: Seeds the order of training alone.
        name: ``ogbg-…``.
        folder: ``ogb``, or ``ogb_rebuilt`` for files that were computed anew: their results are
            not to be compared with published ones.
    """
    graphs, known = read(name, root, folder), SETS[name]
    joined = graphs.joined
    if known.num_classes:
        task: Task = GraphClassification(num_classes=known.num_classes)
    elif known.measure == "rmse":
        task = GraphRegression(measures=("rmse",), square=True)
    else:
        task = MultilabelGraphs(measures=(known.measure,))
    if known.molecules:
        check_symbols(joined.x, ATOM_SYMBOLS, "x (all graphs joined)")
        check_symbols(joined.edge_attr, BOND_SYMBOLS, "edge_attr (all graphs joined)")
    rebuilt = "" if folder == "ogb" else "-rebuilt"
    return Problem(
        name=f"{name}/{known.split}{rebuilt}",
        data=graphs,
        split=read_split(_tables(name, folder), known.split, root),
        task=task,
        dims=Dims(
            in_channels=0,
            out_channels=known.num_classes or joined.y.shape[1],
            edge_channels=0 if known.molecules else joined.edge_attr.shape[1],
            node_symbols=ATOM_SYMBOLS if known.molecules else (),
            edge_symbols=BOND_SYMBOLS if known.molecules else (),
        ),
        batching=Graphs(batch_size=32),
    )
