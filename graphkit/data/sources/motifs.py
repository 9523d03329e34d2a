"""Graphs with planted motifs, whose links explain the class of a node.

Source:
    Ying et al., "GNNExplainer: Generating Explanations for Graph Neural Networks", NeurIPS 2019;
    files: Luo et al., "Parameterized Explainer for Graph Neural Network", NeurIPS 2020.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.check import check_edges
from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import chosen_masks, read_npz, reading
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.split import Split
from graphkit.errors import DataError

__all__ = ["files", "motifs", "read"]

FILES = {
    "ba-shapes": Raw(
        "explainability/ba_shapes.npz",
        sha256="30d63577a3c19e6588360c34e5923c3265023bca230a95a6d40180897db55c4e",
        bytes=10_523,
    ),
    "ba-community": Raw(
        "explainability/ba_community.npz",
        sha256="767dcbb9d7d9e2b89f559fa7f6406e2ce34728d12f5aa05e2217ca18f9ead535",
        bytes=73_512,
    ),
    "tree-cycles": Raw(
        "explainability/tree_cycles.npz",
        sha256="98d3c8231441cbb33419a3852f560e4e792aeb3964395e31a8e74143ab918823",
        bytes=6_596,
    ),
    "tree-grid": Raw(
        "explainability/tree_grid.npz",
        sha256="ab244b857c7f7cdf7e9e5fde0ed5215a58b4fffc385e1945e46c2d49eeb83647",
        bytes=9_173,
    ),
}
KEYS = ("edge_index", "edge_gt", "x", "y", "train_mask", "val_mask", "test_mask")


def files(name: str) -> tuple[Raw, ...]:
    """Returns the one raw file of a data set."""
    return (FILES[name],)


def motifs(root: Path | None, seed: int, name: str) -> Problem:
    """A base graph with motifs attached; the class of a node is its place in a motif.

    ``edge_gt`` is 1 where an edge is one of a motif, in both directions: the explanation that is
    sought. No model may read it.

    Args:
        root: A folder to look in first.
        seed: Changes nothing: the split is fixed (80/10/10).
        name: ``ba-shapes``, ``ba-community``, ``tree-cycles`` or ``tree-grid``.

    Raises:
        DataError: The raw file cannot be used.
    """
    path = fetch(FILES[name], root)
    data, split = read(path)
    with reading(path):
        return node_problem(f"{name}/fixed", data, split, seed=seed)


def read(path: Path) -> tuple[Data, Split]:
    """Reads one graph and its split; both directions of every edge are stored.

    Raises:
        DataError: The file cannot be used.

    Differs:
        The file marks a motif's link in one of its two directions alone; here both are marked.
    """
    arrays = read_npz(path, *KEYS)
    with reading(path):
        x = torch.from_numpy(arrays["x"].astype(np.float32))
        edges = torch.from_numpy(arrays["edge_index"].astype(np.int64))
        truth = torch.from_numpy(arrays["edge_gt"].astype(np.int64))
        check_edges(edges, len(x))
        if truth.shape != edges.shape[1:]:
            raise DataError(f"edge_gt has shape {tuple(truth.shape)}; expected one per edge")
        data = Data(
            x=x,
            edge_index=edges,
            y=torch.from_numpy(arrays["y"].astype(np.int64)),
            edge_gt=_both_ways(edges, truth, len(x)),
        )
        masks = [arrays[key][None] for key in KEYS[4:]]
        return data, chosen_masks(masks, 0, len(data.x))


def _both_ways(edges: Tensor, truth: Tensor, num_nodes: int) -> Tensor:
    """1 where an edge or its opposite is marked."""
    link = edges.amin(dim=0) * num_nodes + edges.amax(dim=0)
    _, number = link.unique(return_inverse=True)
    marked = torch.zeros_like(truth).scatter_reduce_(0, number, truth, "amax")
    return marked[number]
