"""Co-purchase and co-author graphs of the npz collection: Amazon Computers and Photo, Coauthor
CS and Physics; and the reader of that format.

Source:
    Shchur et al., "Pitfalls of Graph Neural Network Evaluation", 2018.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import remove_self_loops, subgraph

from graphkit.data.compressed import csr
from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import as_edges, dense, read_npz, reading
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.split import per_class
from graphkit.errors import DataError

__all__ = ["files", "largest_component", "read_graph", "shchur"]

URL = "https://github.com/shchur/gnn-benchmark/raw/master/data/npz"
PLACES = {
    "amazon-computers": "amazon/Computers/raw/amazon_electronics_computers.npz",
    "amazon-photo": "amazon/Photo/raw/amazon_electronics_photo.npz",
    "coauthor-cs": "coauthor/CS/raw/ms_academic_cs.npz",
    "coauthor-physics": "coauthor/Physics/raw/ms_academic_phy.npz",
}
KEYS = (
    *("adj_data", "adj_indices", "adj_indptr", "adj_shape"),
    *("attr_data", "attr_indices", "attr_indptr", "attr_shape", "labels"),
)


def files(name: str) -> tuple[Raw, ...]:
    """Returns the one raw file of a data set."""
    place = PLACES[name]
    return (Raw(place, url=f"{URL}/{place.rsplit('/', 1)[1]}"),)


def shchur(root: Path | None, seed: int, name: str) -> Problem:
    """Goods bought together or authors of one paper; 20 nodes per class for training, 30 per
    class for validation, all others for the test, drawn by the seed.

    Features are binary words, as PyG gives them. The Amazon graphs are reduced to their largest
    component before the split is drawn.

    Args:
        root: A folder to look in first.
        seed: Draws the split.
        name: ``amazon-computers``, ``amazon-photo``, ``coauthor-cs`` or ``coauthor-physics``.

    Raises:
        DataError: The raw file cannot be used.

    Source:
        Split and component: Liu et al., "Towards Deeper Graph Neural Networks", KDD 2020.
        Differs: its code numbers the nodes within the component but masks those of the whole
        graph.
    """
    path = fetch(files(name)[0], root)
    data = read_graph(path, binary=True)
    if name.startswith("amazon"):
        data = largest_component(data)
    with reading(path):
        split = per_class(data.y, seed, train=20, val=30, test=None, val_per_class=True)
        return node_problem(f"{name}/shchur", data, split, seed=seed)


def read_graph(path: Path, *, binary: bool) -> Data:
    """Reads one graph of the collection: unweighted, both ways, no self-loops.

    Args:
        path: The ``.npz`` file.
        binary: Set every positive feature to 1, as PyG does.

    Raises:
        DataError: The file cannot be used.
    """
    arrays = read_npz(path, *KEYS)
    with reading(path):
        words = csr(*(arrays[f"attr_{k}"] for k in ("data", "indices", "indptr", "shape")))
        if binary:
            words.sum_duplicates()
            words.data = np.where(words.data > 0, 1, words.data)
        links = csr(*(arrays[f"adj_{k}"] for k in ("data", "indices", "indptr", "shape"))).tocoo()
        y = arrays["labels"]
        if y.ndim != 1 or y.dtype.kind not in "iu" or not len(y) == words.shape[0]:
            raise DataError(f"labels have shape {y.shape}; expected one for {words.shape[0]} nodes")
        if links.shape != (len(y), len(y)):
            raise DataError(f"adjacency has shape {links.shape}; expected that of {len(y)} nodes")
        pairs = np.stack([links.row, links.col], axis=1)
        edges, _ = remove_self_loops(as_edges(pairs, len(y), both_ways=True))
        return Data(x=dense(words), edge_index=edges, y=torch.from_numpy(y.astype(np.int64)))


def largest_component(data: Data) -> Data:
    """Returns the graph of the largest connected component, nodes in their order."""
    count = int(data.num_nodes or 0)
    row, column = data.edge_index.numpy()
    adjacency = sp.coo_matrix((np.ones(len(row), dtype=np.int8), (row, column)), (count, count))
    _, owner = sp.csgraph.connected_components(adjacency, directed=False)
    kept: Tensor = torch.from_numpy(owner == np.bincount(owner).argmax())
    edges, _ = subgraph(kept, data.edge_index, relabel_nodes=True, num_nodes=count)
    return Data(x=data.x[kept], edge_index=edges, y=data.y[kept])
