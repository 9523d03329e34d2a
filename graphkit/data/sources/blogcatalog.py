"""BlogCatalog: bloggers who know each other, and the groups each has joined.

Source:
    Tang and Liu, "Relational Learning via Latent Social Dimensions", KDD 2009.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit.data.batching import FullGraph
from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import as_edges, reading
from graphkit.data.sources.tables import read_table
from graphkit.data.split import share
from graphkit.errors import DataError
from graphkit.tasks import Dims, MultilabelNodes

__all__ = ["blogcatalog", "files", "read"]

EDGES = Raw(
    "blogcatalog/edges.csv",
    sha256="85941eb8e48830f3b8fbc948ea1023b902e92d048d1ce71acd07069776a2f59b",
    bytes=3_263_176,
)
GROUPS = Raw(
    "blogcatalog/group-edges.csv",
    sha256="6356302d43807876c7743f83b53e2a6c3cd9589350e4129a1d89e1df0e3efacd",
    bytes=108_317,
)
MAX_CELLS = 2**26  # nodes times groups


def files() -> tuple[Raw, ...]:
    """Returns the raw files: links, then memberships."""
    return EDGES, GROUPS


def blogcatalog(root: Path | None, seed: int) -> Problem:
    """39 groups, a blogger in one or more of them; nodes carry no features.

    Args:
        root: A folder to look in first.
        seed: Draws the split (60/20/20).

    Raises:
        DataError: A raw file cannot be used.

    Differs:
        The published figures give a classifier the number of labels of each test node and take
        that many; here a label is said where its logit is above 0.
    """
    links, groups = (fetch(raw, root) for raw in files())
    data = read(links, groups)
    count, num_groups = data.y.shape
    return Problem(
        name="blogcatalog/random",
        data=data,
        split=share(count, seed),
        task=MultilabelNodes(measures=("micro_f1",)),
        dims=Dims(0, num_groups, num_nodes=count),
        batching=FullGraph(),
        seed=seed,
    )


def read(links: Path, groups: Path) -> Data:
    """Reads the graph, both ways; numbers in the files start at 1.

    Args:
        links: Lines of two nodes, each link once.
        groups: Lines of a node and a group.

    Returns:
        ``edge_index``, and ``y`` float32 ``(nodes, groups)``, 1 where a node is in a group.

    Raises:
        DataError: A file cannot be used.
    """
    pairs = read_table(links, np.int64) - 1
    members = read_table(groups, np.int64) - 1
    with reading(groups):
        if members.shape[1] != 2 or members.min() < 0:
            raise DataError("expected lines of a node and a group, numbered from 1")
        count = int(max(pairs.max(), members[:, 0].max())) + 1
        num_groups = int(members[:, 1].max()) + 1
        if count * num_groups > MAX_CELLS:
            raise DataError(f"{count} nodes in {num_groups} groups are more than can be read")
        y = torch.zeros(count, num_groups)
        y[torch.from_numpy(members[:, 0]), torch.from_numpy(members[:, 1])] = 1.0
    with reading(links):
        edges = as_edges(pairs, count, both_ways=True)
    return Data(edge_index=edges, y=y, num_nodes=count)
