"""Cora as a hypergraph: papers of one author, or papers cited together.

Source:
    Yadati et al., "HyperGCN: A New Method of Training Graph Convolutional Networks on
    Hypergraphs", NeurIPS 2019.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.check import check_edges
from graphkit.data.compressed import csr
from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import dense, read_npz, reading, row_normalised
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.split import Split, hide, per_class
from graphkit.errors import DataError
from graphkit.seeds import stream

__all__ = ["Hypergraph", "cora_hypergraph", "files", "read"]

FILES = {
    "cora-coauthorship": Raw(
        "hypergraph/coauthorship_cora.npz",
        sha256="d040437bd321a7cf14801fddbb7f328a51c9f1de844abf816209e64942d6e2df",
        bytes=99_375,
    ),
    "cora-cocitation": Raw(
        "hypergraph/cocitation_cora.npz",
        sha256="a71c6f75d5d3d232be32df93a2241aa3fdb6295cc7160a6aed1bc0f9f39999e9",
        bytes=98_930,
    ),
}
KEYS = ("hyperedge_index", "x_indptr", "x_indices", "x_data", "x_shape", "y", "train_masks",
        "test_masks")  # fmt: skip
NUM_VAL = 500  # of the nodes that the published split gives to the test


class Hypergraph(Data):
    """PyG's ``Data`` with ``hyperedge_index``: row 0 the node, row 1 the hyperedge.

    Side by side, nodes and hyperedges of the second graph go on after those of the first.
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns what to add to a field where graphs are joined."""
        if key != "hyperedge_index":
            return super().__inc__(key, value, *args, **kwargs)
        hyperedges = int(value[1].max()) + 1 if value.numel() else 0
        return torch.tensor([[int(self.num_nodes or 0)], [hyperedges]])


def files(name: str, split: str = "fixed") -> tuple[Raw, ...]:
    """Returns the one raw file of a data set."""
    return (FILES[name],)


def cora_hypergraph(root: Path | None, seed: int, name: str, split: str) -> Problem:
    """Papers by topic; the rows of ``x`` sum to 1. Papers in no hyperedge are kept.

    Args:
        root: A folder to look in first.
        seed: Chooses one of ten splits and draws validation under ``fixed``, else draws all.
        name: ``cora-coauthorship`` or ``cora-cocitation``.
        split: ``fixed`` (140 for training, 500 drawn from all others for validation, the rest
            for the test), ``random`` (20 per class, 100 per class, all others), or
            ``production``: the same, a fifth of the test nodes hidden until the end.

    Raises:
        DataError: The raw file cannot be used.

    Source:
        ``random`` and ``production``: Feng et al., "LightHGNN: Distilling Hypergraph Neural
        Networks into MLPs for 100x Faster Inference", ICLR 2024. Differs: the published split
        has no validation part; ours takes it from the test part.
    """
    path = fetch(FILES[name], root)
    data, train_masks, test_masks = read(path)
    with reading(path):
        if split == "fixed":
            number = seed % len(train_masks)
            chosen = _with_validation(train_masks[number], test_masks[number], seed)
        else:
            chosen = per_class(data.y, seed, train=20, val=100, test=None, val_per_class=True)
        if split == "production":
            chosen = hide(chosen, seed)
        data.x = row_normalised(data.x)
        return node_problem(f"{name}/{split}", data, chosen, seed=seed)


def _with_validation(train: Tensor, test: Tensor, seed: int) -> Split:
    others = test.nonzero().flatten()
    order = others[torch.randperm(len(others), generator=stream(seed, "split"))]
    return Split(
        train.nonzero().flatten(), order[:NUM_VAL].sort().values, order[NUM_VAL:].sort().values
    )


def read(path: Path) -> tuple[Hypergraph, Tensor, Tensor]:
    """Reads the hypergraph, features binary, and the masks of its splits, ``(splits, nodes)``.

    Raises:
        DataError: The file cannot be used.
    """
    arrays = read_npz(path, *KEYS)
    with reading(path):
        matrix = csr(*(arrays[f"x_{part}"] for part in ("data", "indices", "indptr", "shape")))
        count = matrix.shape[0]
        members = torch.from_numpy(arrays["hyperedge_index"].astype(np.int64))
        check_edges(members, max(count, members.numel()), name="hyperedge_index")
        if members.numel() and int(members[0].max()) >= count:
            raise DataError(f"a hyperedge names node {int(members[0].max())} of {count}")
        masks = [
            torch.from_numpy(arrays[key].astype(bool)) for key in ("train_masks", "test_masks")
        ]
        if any(mask.dim() != 2 or mask.shape[1] != count for mask in masks):
            raise DataError(f"masks are not of {count} nodes")
        y = torch.from_numpy(arrays["y"].astype(np.int64))
        return Hypergraph(x=dense(matrix), hyperedge_index=members, y=y), masks[0], masks[1]
