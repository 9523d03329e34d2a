"""MoleculeNet: tables of SMILES, read by rdkit.

Source: Wu et al., "MoleculeNet: a benchmark for molecular machine learning", 2018.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from graphkit.data.fetch import Raw, fetch
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import reading
from graphkit.data.sources.joined import graph_set, numbered_through
from graphkit.data.sources.molecules import symbol_problem
from graphkit.data.sources.tables import read_bytes
from graphkit.data.split import share
from graphkit.errors import DamagedFile, MissingExtra, unknown_name
from graphkit.tasks import GraphRegression, MultilabelGraphs, Task

__all__ = ["files", "molecule_net"]

URL = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/{}"


@dataclass(frozen=True)
class _Table:
    """A table of MoleculeNet, by comma-separated fields of a line.

    Args:
        file: Name of the table.
        smiles: Field with the molecule.
        labels: First and last field (not included) with the answers.
        sha256: Of the unpacked table, where it was at hand.
        gzipped: Whether the download is packed.
        regression: Whether the answers are numbers.
    """

    file: str
    smiles: int
    labels: slice
    sha256: str | None = None
    gzipped: bool = False
    regression: bool = False


TABLES = {
    "esol": _Table(
        "delaney-processed.csv",
        -1,
        slice(-2, -1),
        "8c06a76f0c6487d29ab0f903e6a7a7139f189ab3c1178f159c8be8964602f189",
        regression=True,
    ),
    "freesolv": _Table("SAMPL.csv", 1, slice(2, 3), regression=True),
    "lipo": _Table("Lipophilicity.csv", 2, slice(1, 2), regression=True),
    "bace": _Table("bace.csv", 0, slice(2, 3)),
    "bbbp": _Table(
        "BBBP.csv",
        -1,
        slice(-2, -1),
        "6aecd84110e8c0549bc4e2e486c52267d4e775178fca8999f5465029e31e75bb",
    ),
    "hiv": _Table(
        "HIV.csv",
        0,
        slice(-1, None),
        "3a3c7a4ea9626211fe959ef988394670dd76d556ca3c6173b70c88256e4c3555",
    ),
    "clintox": _Table(
        "clintox.csv",
        0,
        slice(1, 3),
        "87c9a4fb7361fe7378cafa4c882be63636b79c17ecb5e7f465617e0d701851d4",
        gzipped=True,
    ),
    "sider": _Table(
        "sider.csv",
        0,
        slice(1, 28),
        "71efc6ac4ca82d6545bc512509863281be0f17234afd7adaf71a71899988302e",
        gzipped=True,
    ),
    "tox21": _Table("tox21.csv", -1, slice(0, 12), gzipped=True),
    "toxcast": _Table("toxcast_data.csv", 0, slice(1, 618), gzipped=True),
    "muv": _Table("muv.csv", -1, slice(0, 17), gzipped=True),
    "pcba": _Table("pcba.csv", -1, slice(0, 128), gzipped=True),
}


def files(name: str) -> tuple[Raw, ...]:
    """Lists the raw file of a table."""
    return (_table_raw(name),)


def _table_raw(name: str) -> Raw:
    if name not in TABLES:
        raise unknown_name("table of MoleculeNet", name, TABLES)
    table = TABLES[name]
    url = URL.format(table.file + (".gz" if table.gzipped else ""))
    path = f"moleculenet/{name}/raw/{table.file}"
    return Raw(path, table.sha256, url=url, gzipped=table.gzipped)


def molecule_net(root: Path | None, seed: int, name: str) -> Problem:
    """A table of MoleculeNet, 80/10/10 drawn by the seed. Needs ``graphkit[chem]``.

    Args:
        root: Folder of raw files, looked in first.
        seed: Which draw.
        name: ``esol``, ``bbbp``, …, as PyG's ``MoleculeNet`` names them.

    Raises:
        MissingExtra: rdkit is not installed.

    Source:
        Wu et al., "MoleculeNet", Chemical Science 2018; the features are those of PyG's
        ``from_smiles``, a molecule that rdkit finds no atom in is left out.
    """
    path = fetch(_table_raw(name), root)
    if importlib.util.find_spec("rdkit") is None:
        raise MissingExtra(
            f'{name} is a table of SMILES, which rdkit reads: pip install "graphkit[chem]"'
        )
    table = TABLES[name]
    with reading(path):
        graphs = _from_smiles(path, table)
    symbols, bonds = _smiles_symbols()
    task: Task = (
        GraphRegression(measures=("rmse", "mae"), square=True)
        if table.regression
        else MultilabelGraphs(measures=("roc_auc", "average_precision"))
    )
    split = share(len(graphs), seed, train=0.8, val=0.1)
    return symbol_problem(f"{name}/random", graphs, split, symbols, bonds, task, batch_size=32)


def _from_smiles(path: Path, table: _Table) -> GraphSet:
    """Graphs of a table of SMILES, read as PyG reads it: quoted fields count as empty."""
    from torch_geometric.utils import from_smiles

    graphs, answers = [], []
    lines = read_bytes(path).decode("utf-8").splitlines()[1:]
    for number, line in enumerate(lines, start=2):
        fields = re.sub(r"\".*\"", "", line).split(",")
        if not line:
            continue
        try:
            smiles, labels = fields[table.smiles], fields[table.labels]
            answers.append([float(label) if label else float("nan") for label in labels])
        except (IndexError, ValueError) as error:
            raise DamagedFile(f"{path}, line {number}: {error}") from error
        graphs.append(from_smiles(smiles))
    sizes = torch.tensor([graph.num_nodes for graph in graphs])
    edges = numbered_through([graph.edge_index for graph in graphs], sizes)
    whole = graph_set(
        sizes,
        edges,
        nodes={"x": torch.cat([graph.x for graph in graphs])},
        edges={"edge_attr": torch.cat([graph.edge_attr for graph in graphs])},
        graphs={"y": torch.tensor(answers)},
    )
    return whole.keep((sizes > 0).nonzero().flatten())


def _smiles_symbols() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Number of symbols in each column of atoms and of bonds."""
    from torch_geometric.utils.smiles import e_map, x_map

    return tuple(map(len, x_map.values())), tuple(map(len, e_map.values()))
