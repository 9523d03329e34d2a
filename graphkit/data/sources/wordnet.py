"""WordNet 3.0: synsets, their typed relations, and the lexicographer file each belongs to.

Source:
    Fellbaum (ed.), "WordNet: An Electronic Lexical Database", 1998; graph built from the database
    files of version 3.0 (larger than the graphs of that name used for link prediction).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit.data.compressed import csr
from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import dense, read_npz, reading
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.split import share
from graphkit.errors import DataError

__all__ = ["files", "read", "wordnet"]

GRAPH = Raw(
    "wordnet/wordnet30.npz",
    sha256="c393cb88ce833db176cb46832184fdbec6635e0d36d71376c380c4d689c2506c",
    bytes=2_174_694,
)
KEYS = ("edge_index", "edge_type", "y", "x_indptr", "x_indices", "x_shape")


def files() -> tuple[Raw, ...]:
    """Returns the one raw file."""
    return (GRAPH,)


def wordnet(root: Path | None, seed: int) -> Problem:
    """45 classes, among them the part of speech; a link is directed and of one of 26 types.

    The features are binary: the row sum is the number of a gloss's words that are in the
    vocabulary, 0 for 8,770 synsets. Only 0.3 % of them are not zero, but they are written out,
    because the networks multiply dense rows: ``x`` takes 471 MB of memory.

    Args:
        root: A folder to look in first.
        seed: Draws the split (60/20/20); none is published.

    Raises:
        DataError: The raw file cannot be used.
    """
    path = fetch(GRAPH, root)
    data = read(path)
    with reading(path):
        return node_problem("wordnet/random", data, share(len(data.y), seed), seed=seed)


def read(path: Path) -> Data:
    """Reads the graph.

    Returns:
        ``x`` float32, ``edge_index`` (a pair once per type), ``edge_type`` 0 to 25, ``y``.

    Raises:
        DataError: The file cannot be used.
    """
    arrays = read_npz(path, *KEYS)
    with reading(path):
        columns = arrays["x_indices"].astype(np.int32)
        ones = np.ones(len(columns), dtype=np.float32)
        x = dense(csr(ones, columns, arrays["x_indptr"], arrays["x_shape"]))
        edges = torch.from_numpy(arrays["edge_index"].astype(np.int64))
        kinds = torch.from_numpy(arrays["edge_type"].astype(np.int64))
        if edges.dim() != 2 or len(kinds) != edges.shape[1]:
            raise DataError(f"{len(kinds)} types for links of shape {tuple(edges.shape)}")
        y = torch.from_numpy(arrays["y"].astype(np.int64))
        return Data(x=x, edge_index=edges, edge_type=kinds, y=y)
