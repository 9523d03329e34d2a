"""Large graphs where neighbours differ: students of five universities, and the site Genius.

Source:
    Lim et al., "Large Scale Learning on Non-Homophilous Graphs: New Benchmarks and Strong Simple
    Methods", NeurIPS 2021; Traud et al., "Social Structure of Facebook Networks", 2012.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import MAX_BYTES, as_edges, reading
from graphkit.data.sources.mat_files import read_mat
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.split import share
from graphkit.errors import DataError

__all__ = ["files", "linkx", "read_facebook", "read_genius"]

URL = "https://github.com/CUAI/Non-Homophily-Large-Scale/raw/master/data"
FILES = {
    "penn94": "facebook100/Penn94.mat",
    "reed98": "facebook100/Reed98.mat",
    "amherst41": "facebook100/Amherst41.mat",
    "cornell5": "facebook100/Cornell5.mat",
    "johnshopkins55": "facebook100/Johns%20Hopkins55.mat",
    "genius": "genius.mat",
}
GENDER = 1  # the column of the answers: 1 or 2, 0 where not told
_SHA256 = {
    "reed98": "d12ec74dc8c6e237385975b976c3709555a83629a1260be693fb688e3446070e",
    "amherst41": "3108e4b2edb01be05c5a61147583a40e61012820fff7eebe621dd26018caaf00",
    "cornell5": "d9ff76ae34e855cb77b0779a3a320f7f73f848901cb13352e2734c17804c4aec",
    "johnshopkins55": "fc7243bf257155df03afbc397ab34b5f8eb8e75f40cd1603398e207a033ef50f",
}


def files(name: str) -> tuple[Raw, ...]:
    """Returns the one raw file of a data set."""
    return (Raw(f"linkx/{name}/raw/data.mat", _SHA256.get(name), f"{URL}/{FILES[name]}"),)


def linkx(root: Path | None, seed: int, name: str) -> Problem:
    """Friends, by gender; or users of Genius, by whether they were marked (area under ROC).

    Args:
        root: A folder to look in first.
        seed: Draws the split: 50/25/25 of the nodes whose class is known; the others, -1, are in
            no part.
        name: ``penn94``, ``reed98``, ``amherst41``, ``cornell5``, ``johnshopkins55``, ``genius``.

    Raises:
        DataError: The raw file cannot be used.

    Differs:
        Penn94's five published splits are a pickle and are not read; its split is drawn as well.
    """
    path = fetch(files(name)[0], root)
    data = read_genius(path) if name == "genius" else read_facebook(path)
    with reading(path):
        known = (data.y >= 0).nonzero().flatten()
        split = share(len(data.y), seed, train=0.5, val=0.25, among=known)
        metric = "roc_auc" if name == "genius" else "accuracy"
        return node_problem(f"{name}/random", data, split, seed=seed, metric=metric)


def read_facebook(path: Path) -> Data:
    """Reads a network of Facebook100: every column but the gender becomes one-hot features.

    Raises:
        DataError: The file cannot be used.
    """
    with reading(path):
        network, people = read_mat(path, "A", "local_info")
        if not sp.issparse(network) or sp.issparse(people):
            raise DataError("A has to be a sparse matrix and local_info a full one")
        links, told = network.tocoo(), people.astype(np.int64)
        if told.ndim != 2 or told.shape[1] <= GENDER or len(told) != links.shape[0]:
            raise DataError(f"local_info has shape {told.shape}, A {links.shape}")
        pairs = np.stack([links.row, links.col], axis=1)
        return Data(
            x=_one_hot(np.delete(told, GENDER, axis=1)),
            edge_index=as_edges(pairs, len(told)),
            y=torch.from_numpy(told[:, GENDER] - 1),
        )


def read_genius(path: Path) -> Data:
    """Reads the network of Genius: 12 numbers about each user.

    Raises:
        DataError: The file cannot be used.
    """
    with reading(path):
        edges, features, label = read_mat(path, "edge_index", "node_feat", "label")
        x = torch.from_numpy(features.astype(np.float32))
        y = torch.from_numpy(label.astype(np.int64).reshape(-1))
        return Data(x=x, edge_index=as_edges(edges.astype(np.int64).T, len(x)), y=y)


def _one_hot(columns: np.ndarray) -> Tensor:
    """Columns of numbers side by side, a place for each number that occurs in a column."""
    pairs = [np.unique(column, return_inverse=True) for column in columns.T]
    sizes = [len(values) for values, _ in pairs]
    if len(columns) * sum(sizes) * 4 > MAX_BYTES:
        raise DataError(f"{len(columns)} x {sum(sizes)} features do not fit into {MAX_BYTES} bytes")
    x = torch.zeros(len(columns), sum(sizes))
    rows = torch.arange(len(columns))
    for start, (_, place) in zip(np.cumsum([0, *sizes[:-1]]), pairs, strict=True):
        x[rows, torch.from_numpy(place) + int(start)] = 1.0
    return x
