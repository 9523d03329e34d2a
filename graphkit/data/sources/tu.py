"""Sets of small graphs in the text format of TU Dortmund.

Source: Morris et al., "TUDataset: A collection of benchmark datasets for learning with graphs",
2020. Every set of that collection is read under the name PyG's ``TUDataset`` gives it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.data.batching import Graphs
from graphkit.data.fetch import Raw, fetch, roots
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources.joined import graph_set
from graphkit.data.sources.tables import read_table
from graphkit.data.split import folds
from graphkit.errors import DamagedFile, DataError, DataNotFound
from graphkit.tasks import Dims, GraphClassification, GraphRegression, Task

__all__ = ["files", "read", "ten_fold"]

URL = "https://www.chrsmrrs.com/graphkerneldatasets"

# What each set consists of besides A and graph_indicator is known where its files were at hand.
SHA256 = {
    "AIDS_A": "9da8e3f787d1dbdc80a35f205707bd0bec0778261fb7e54355c061912f8d8380",
    "AIDS_edge_labels": "47e3eac0bf8c6196af7d5532fba3d2c9b29014740d471bd4696149a5ef2bf7d7",
    "AIDS_graph_indicator": "8a1ede4f84bcba1f5a7f49fe7e89cdc74466645b62175603710b80300fb68be4",
    "AIDS_graph_labels": "da9c413b24b0a808b497a4567f57dce975d0eb9dc69c5db82aec6a172c88e28f",
    "AIDS_node_attributes": "e47595d48fa329d84183fd68f8b4a6b327fd05690e3d335ffcdc6b7c110f081c",
    "AIDS_node_labels": "d90cda6258c58f4c3facaa2e6a71e1b589da13f0162af59881400a3c8f0c514a",
    "ENZYMES_A": "5553c84f8f562f3e199dfd27192174f485e85c44c1357661098668937a739cbf",
    "ENZYMES_graph_indicator": "95ba0fa47eba6f02e6b754a215dc66d5b49de3f45f57a128514301a8d7ed5f46",
    "ENZYMES_graph_labels": "04743e08967e61e65cdacbb90f8df6ee53742b3d2e7b84675b85ebac70506856",
    "ENZYMES_node_attributes": "305a8fc3b12f79fb844ef3374d6a3c8ceeb4887dd4f86bbfe37932c4c5434e7b",
    "ENZYMES_node_labels": "8263eb9b64efa231a5886343483ccfc0342f2407014763a8f738fd51c32ce770",
    "IMDB-MULTI_A": "fb538b23758d78df199272301e57dc74ad5754d6c3d79d5ed0a343193ddf4ec6",
    "IMDB-MULTI_graph_indicator": (
        "0274532a0e47dad9cdd21c08995c2265e43040a2c2a3b36c62fdb790994571d3"
    ),
    "IMDB-MULTI_graph_labels": "613c2357b6b996f6f04b91697a99da87774820f9d08bf22813992f4c7afda855",
    "MUTAG_A": "d9656ca7493f3445d737c711710bb36fd432dddd1c0ea32e1d4713c86ebd28e2",
    "MUTAG_edge_labels": "4669ce755075ff86c3240709345745886400908fa637a49310459b9c267b3e56",
    "MUTAG_graph_indicator": "7d520a4d6c7961c0cdeabe076d8fe27e795b6d373485c9a2b744987e560a2056",
    "MUTAG_graph_labels": "a1518ea39ba3426bd42f57396b9c4baffe68e9adc718caeeab0119c6591a5f2c",
    "MUTAG_node_labels": "678f429965490e84dd27713017538c995fc05d1621beac910848b600015ee863",
    "NCI1_A": "2c028eda59a5fe96e2265a63d9ac236901bd9a7dc658498be13cd704a703076d",
    "NCI1_graph_indicator": "ffe5acfa754b057d5ce0dc725c5aadb631628161886cc040d38c719635257dc5",
    "NCI1_graph_labels": "fae44681e70113f496256ae87eaac33b7836e3a97fe8e023933b84fde6a5c8a2",
    "NCI1_node_labels": "dc0a22b6cbff0c939de00373e823977ba32b358f560e4288d7602f7b51407ee2",
    "PROTEINS_A": "4c4b33e272fc95cac6d27ed6d5d12b9a852c8610e91fff59f8f0dbdd5a20df67",
    "PROTEINS_graph_indicator": "8d4ff1e852a5c28561e9bffb44cf9490bc552b13a3b6156dd12dc7f44e9afc4a",
    "PROTEINS_graph_labels": "c0ef9810c440775252872318d0c8adc385588e14bc4c47a2c34aa96ee3c7cdcd",
    "PROTEINS_node_attributes": "54eef829abb37e458a5fbf3a3c581e48e5810e220463c2cd951856b9ceb08f07",
    "PROTEINS_node_labels": "f758e8ad3d6e3c026b50833d75f6f90735b94eb3345e4243707f495ca8afea8d",
}
REQUIRED = ("A", "graph_indicator")
OPTIONAL = (
    "node_labels",
    "node_attributes",
    "edge_labels",
    "edge_attributes",
    "graph_labels",
    "graph_attributes",
)
NUM_FOLDS = 10


def files(name: str, attributes: str = "") -> tuple[Raw, ...]:
    """Lists the raw files of a set; of one never at hand, those that every set has."""
    known = [part for part in (*REQUIRED, *OPTIONAL) if f"{name}_{part}" in SHA256]
    return tuple(_raw(name, part) for part in known or (*REQUIRED, "graph_labels"))


def _raw(name: str, part: str) -> Raw:
    return Raw(
        f"tudataset/{name}/raw/{name}_{part}.txt",
        SHA256.get(f"{name}_{part}"),
        url=f"{URL}/{name}.zip",
        member=f"{name}/{name}_{part}.txt",
    )


def _places(name: str, root: Path | None) -> dict[str, Path]:
    """The files a set consists of. One never at hand has those that lie beside its ``A``, or, if
    that has to be downloaded, those that its archive holds."""
    listed = {raw.path for raw in files(name)}
    known = f"{name}_A" in SHA256
    local = any((place / _raw(name, "A").path).is_file() for place in roots(root))
    found = {part: fetch(_raw(name, part), root) for part in REQUIRED}
    for part in OPTIONAL:
        raw = _raw(name, part)
        if known and raw.path not in listed:
            continue
        if not known and local and not any((p / raw.path).is_file() for p in roots(root)):
            continue
        try:
            found[part] = fetch(raw, root)
        except DataNotFound:
            raise
        except DataError:
            if known or local:
                raise
    return found


def read(name: str, root: Path | None = None, *, attributes: bool = False) -> GraphSet:
    """Reads a set: ``x`` and ``edge_attr`` hold the labels one-hot, behind the attributes if asked.

    Args:
        name: As in the collection, e.g. ``"MUTAG"``.
        root: Folder of raw files, looked in first.
        attributes: Whether to read attributes of nodes and edges, where there are any.

    Returns:
        A graph has no ``x`` where its nodes carry nothing; ``y`` is a class per graph, or a row
        of numbers where the set is one of regression.

    Raises:
        DataNotFound: A raw file is missing.
        DamagedFile: A raw file is not the one expected, or no such table.

    Source:
        The same graphs as PyG's ``TUDataset``: loops removed, repeated edges summed. Differs:
        edges are sorted by destination, and a graph with an edge to another is refused.
    """
    places = _places(name, root)
    ends = _whole(places["A"]).t().contiguous() - 1
    owner = _whole(places["graph_indicator"])[:, 0] - 1
    if bool((owner[1:] < owner[:-1]).any()) or (len(owner) and int(owner[0]) < 0):
        raise DamagedFile(f"{places['graph_indicator']}: graphs are not numbered 1, 2, … in order")
    x = _features(places, "node", attributes, len(owner))
    edge_attr = _features(places, "edge", attributes, ends.shape[1])
    if ends.shape[0] != 2:
        raise DamagedFile(f"{places['A']} has {ends.shape[0]} columns; expected 2")
    ends, edge_attr = _simple(ends, edge_attr, len(owner))
    return graph_set(
        torch.bincount(owner),
        ends,
        nodes={} if x is None else {"x": x},
        edges={} if edge_attr is None else {"edge_attr": edge_attr},
        graphs={"y": _answers(places)},
    )


def _whole(path: Path) -> Tensor:
    """A table of whole numbers; some sets write them as 1.0."""
    try:
        return torch.from_numpy(read_table(path, np.int64))
    except DamagedFile:
        return torch.from_numpy(read_table(path, np.float64)).long()


def _features(places: dict[str, Path], kind: str, attributes: bool, rows: int) -> Tensor | None:
    """Attributes, then each column of labels one-hot; ``None`` where there is neither."""
    parts = []
    if attributes and f"{kind}_attributes" in places:
        parts.append(torch.from_numpy(read_table(places[f"{kind}_attributes"], np.float64)).float())
    if f"{kind}_labels" in places:
        labels = _whole(places[f"{kind}_labels"])
        labels = labels - labels.amin(dim=0)
        parts += [F.one_hot(column).float() for column in labels.t()]
    for part in parts:
        if len(part) != rows:
            raise DamagedFile(
                f"a {kind} file beside {places['A']} has {len(part)} rows; expected {rows}"
            )
    return torch.cat(parts, dim=1) if parts else None


def _simple(ends: Tensor, fields: Tensor | None, num_nodes: int) -> tuple[Tensor, Tensor | None]:
    """Edges without loops, each pair once; the fields of repeated ones are summed."""
    proper = ends[0] != ends[1]
    ends = ends[:, proper]
    key = ends[1] * num_nodes + ends[0]
    distinct, place = torch.unique(key, return_inverse=True)
    if fields is not None:
        fields = fields[proper]
        fields = fields.new_zeros(len(distinct), fields.shape[1]).index_add_(0, place, fields)
    return torch.stack([distinct % num_nodes, distinct // num_nodes]), fields


def _answers(places: dict[str, Path]) -> Tensor:
    if "graph_attributes" in places:
        return torch.from_numpy(read_table(places["graph_attributes"], np.float64)).float()
    if "graph_labels" not in places:
        raise DataNotFound(f"there is neither graph_labels nor graph_attributes by {places['A']}")
    return torch.unique(_whole(places["graph_labels"])[:, 0], return_inverse=True)[1]


def ten_fold(root: Path | None, seed: int, name: str, attributes: str = "") -> Problem:
    """A set of the collection, ten folds stratified by class; ``seed % 10`` chooses the fold.

    Args:
        root: Folder of raw files, looked in first.
        seed: Which fold is the test part; the next one is for validation (80:10:10).
        name: As in the collection.
        attributes: ``"attributes"`` reads those of nodes and edges as well; so are those of
            nodes without labels.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023: ten folds, ENZYMES and
        PROTEINS with attributes. Differs: the folds are drawn here once for all, not read from
        the authors' index lists.
    """
    graphs = read(name, root, attributes=attributes == "attributes")
    if graphs.joined.x is None:  # no labels: what the nodes carry is in their attributes, if any
        graphs = read(name, root, attributes=True)
    joined = graphs.joined
    classes = not joined.y.is_floating_point()
    count = int(joined.y.max()) + 1 if classes else joined.y.shape[1]
    task: Task = GraphClassification(num_classes=count) if classes else GraphRegression()
    strata = joined.y if classes else torch.zeros(len(graphs), dtype=torch.long)
    return Problem(
        name=f"{name.lower()}/10fold",
        data=graphs,
        split=folds(strata, seed % NUM_FOLDS, num_folds=NUM_FOLDS),
        task=task,
        dims=Dims(
            in_channels=0 if joined.x is None else joined.x.shape[1],
            out_channels=count,
            edge_channels=0 if joined.edge_attr is None else joined.edge_attr.shape[1],
        ),
        batching=Graphs(batch_size=20),
    )
