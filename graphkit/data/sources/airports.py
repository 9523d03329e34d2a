"""Airports linked by flights, by how busy they are: structural roles, not neighbourhoods.

Source:
    Ribeiro et al., "struc2vec: Learning Node Representations from Structural Identity",
    KDD 2017.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import as_edges, reading
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.sources.tables import read_table
from graphkit.data.split import share
from graphkit.errors import DataError

__all__ = ["airports", "files", "read"]

URL = "https://github.com/leoribeiro/struc2vec/raw/master/graph"
_SHA256 = {
    "usa": (
        "c73fec3eef27ed6d6ef4d8dfa7fd1604b959601a38d399eeaa1f87e8d8d58fc0",
        "d4062ff3b3a67c3ae72b581bb68228433223e35d6f0b2d41844d197ad3772195",
    ),
    "brazil": (
        "896b7bd460ad2da9160888d99bc9099ffe8ed7de3e410833889ea393831bcaa7",
        "8f9d19f10192fbaeb91dfb46dd7eae0fef28bfe1272d41ab96a4494a0d06785f",
    ),
    "europe": (
        "bd202178d0d1253c15bd3c9a22cc2a25f630244bbef9060bc30adbf0a5e130f6",
        "92bace031cc02937ac9629d6c69387458e5d5016a7dab98490fbf33e392cec4e",
    ),
}


def files(name: str) -> tuple[Raw, ...]:
    """Returns the raw files of a country: links, then classes."""
    stems = (f"{name}-airports.edgelist", f"labels-{name}-airports.txt")
    return tuple(
        Raw(f"airports/{name}/raw/{stem}", checksum, f"{URL}/{stem}")
        for stem, checksum in zip(stems, _SHA256[name], strict=True)
    )


def airports(root: Path | None, seed: int, name: str) -> Problem:
    """Four classes of activity; the features are a node's own number, one-hot, as PyG gives them.

    Each flight is stored once, in the direction of the file: add the other for a network that
    passes messages both ways.

    Args:
        root: A folder to look in first.
        seed: Draws the split (60/20/20).
        name: ``usa``, ``brazil`` or ``europe``.

    Raises:
        DataError: A raw file cannot be used.
    """
    links, classes = (fetch(raw, root) for raw in files(name))
    data = read(links, classes)
    split = share(len(data.y), seed)
    return node_problem(f"airports-{name}/random", data, split, seed=seed)


def read(links: Path, classes: Path) -> Data:
    """Reads one country; nodes are numbered in the order of the file of classes.

    Args:
        links: Lines of two airports.
        classes: A heading, then lines of airport and class.

    Raises:
        DataError: A file cannot be used.
    """
    labels = read_table(classes, np.int64, delimiter=None, skip=1)
    flights = read_table(links, np.int64, delimiter=None)
    with reading(classes):
        names = labels[:, 0]
        order = names.argsort()
        if labels.shape[1] != 2 or len(np.unique(names)) < len(names) or len(names) > 2**15:
            raise DataError("expected lines of an airport and its class, each airport once")
    with reading(links):
        place = np.searchsorted(names[order], flights).clip(max=len(names) - 1)
        strange = names[order][place] != flights
        if strange.any():
            raise DataError(f"airport {flights[strange][0]} has no class")
        edges = as_edges(order[place], len(names))
    return Data(x=torch.eye(len(names)), edge_index=edges, y=torch.from_numpy(labels[:, 1].copy()))
