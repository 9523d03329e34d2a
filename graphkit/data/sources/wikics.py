"""Wiki-CS: articles on computer science that link to each other, by branch.

Source:
    Mernyei and Cangea, "Wiki-CS: A Wikipedia-Based Benchmark for Graph Neural Networks", 2020.
"""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import as_edges, chosen_masks, reading
from graphkit.data.sources.node_problem import node_problem
from graphkit.errors import DataError

__all__ = ["files", "wikics"]

GRAPH = Raw(
    "wikics/raw/data.json",
    url="https://github.com/pmernyei/wiki-cs-dataset/raw/master/dataset/data.json",
)


def files() -> tuple[Raw, ...]:
    """Returns the one raw file."""
    return (GRAPH,)


def wikics(root: Path | None, seed: int) -> Problem:
    """Ten classes, means of word vectors as features, both ways as PyG gives it by default.

    Args:
        root: A folder to look in first.
        seed: Chooses one of 20 splits of the training half; the test part is the same in all.

    Raises:
        DataError: The raw file cannot be used.

    Differs:
        The data set tells nodes for stopping from those for validation; they are one part here.
    """
    path = fetch(GRAPH, root)
    with reading(path):
        content = json.loads(path.read_bytes())
        x = torch.from_numpy(np.array(content["features"], dtype=np.float32))
        y = torch.from_numpy(np.array(content["labels"], dtype=np.int64))
        if x.dim() != 2 or len(content["links"]) != len(x):
            raise DataError(f"features have shape {tuple(x.shape)}; links of as many were expected")
        sizes = np.fromiter(map(len, content["links"]), np.int64, len(x))
        ends = np.array(list(chain.from_iterable(content["links"])), dtype=np.int64)
        pairs = np.stack([np.arange(len(x)).repeat(sizes), ends], axis=1)
        data = Data(x=x, edge_index=as_edges(pairs, len(x), both_ways=True), y=y)
        train, val, stopping, test = (
            np.atleast_2d(np.array(content[key], dtype=bool))
            for key in ("train_masks", "val_masks", "stopping_masks", "test_mask")
        )
        split = chosen_masks([train, val | stopping, test], seed, len(x))
        return node_problem("wikics/fixed", data, split, seed=seed)
