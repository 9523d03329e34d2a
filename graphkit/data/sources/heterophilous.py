"""Graphs whose neighbours differ, with ten fixed splits: Roman-empire, Amazon-ratings,
Minesweeper, Tolokers, Questions; and the Wikipedia networks without duplicates.

Source:
    Platonov et al., "A Critical Look at the Evaluation of GNNs under Heterophily: Are We Really
    Making Progress?", ICLR 2023.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import as_edges, chosen_masks, read_npz, reading
from graphkit.data.sources.node_problem import node_problem

__all__ = ["files", "heterophilous"]

URL = "https://github.com/yandex-research/heterophilous-graphs/raw/main/data"
BINARY = ("minesweeper", "tolokers", "questions")
KEYS = ("node_features", "node_labels", "edges", "train_masks", "val_masks", "test_masks")
_SHA256 = {
    "minesweeper": "e664c8dacf1e8ac466c2c09ed4b237bd2c5541f47a6eae9c6092cb87f16412b3",
    "tolokers": "dacf3ac94cec53d03cd2adb5255c08b33dee1656c33ca8164a464bd9450a1667",
    "chameleon-filtered": "bf46f07e1fb5249280447e5fe3100f3e82fc4b93ad1e13ffcfdec924b6ac0bb5",
}


def files(name: str) -> tuple[Raw, ...]:
    """Returns the one raw file of a data set."""
    stem = name.replace("-", "_")
    filtered = name.endswith("-filtered")
    folder = "heterophilous_filtered" if filtered else f"heterophilous/{stem}/raw"
    return (Raw(f"{folder}/{stem}.npz", _SHA256.get(name), f"{URL}/{stem}.npz"),)


def heterophilous(root: Path | None, seed: int, name: str) -> Problem:
    """Both ways, features as given; two classes are judged by the area under the ROC curve.

    Args:
        root: A folder to look in first.
        seed: Chooses one of ten splits (50/25/25; 48/32/20 in the filtered networks).
        name: ``roman-empire``, ``amazon-ratings``, ``minesweeper``, ``tolokers``, ``questions``,
            ``chameleon-filtered`` or ``squirrel-filtered``.

    Raises:
        DataError: The raw file cannot be used.
    """
    path = fetch(files(name)[0], root)
    arrays = read_npz(path, *KEYS)
    with reading(path):
        x = torch.from_numpy(arrays["node_features"].astype(np.float32))
        data = Data(
            x=x,
            edge_index=as_edges(arrays["edges"], len(x), both_ways=True),
            y=torch.from_numpy(arrays["node_labels"].astype(np.int64)),
        )
        split = chosen_masks([arrays[key] for key in KEYS[3:]], seed, len(x))
        metric = "roc_auc" if name in BINARY else "accuracy"
        return node_problem(f"{name}/fixed", data, split, seed=seed, metric=metric)
