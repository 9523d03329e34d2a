"""Random graphs to put into stores: isolated nodes, self-loops and duplicate edges included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit.data.batching import FullGraph
from graphkit.data.problem import Problem
from graphkit.data.sampler import Csc
from graphkit.data.split import share
from graphkit.ooc.inputs import of_problem
from graphkit.ooc.prepare import Settings, prepare
from graphkit.ooc.store import Store
from graphkit.tasks import Dims, NodeClassification


def random_problem(
    num_nodes: int = 3000, num_edges: int = 20_000, columns: int = 25, seed: int = 0
) -> Problem:
    """Nodes of which the last tenth has no edge; some edges stand twice, some are loops."""
    draw = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes * 9 // 10, (2, num_edges), generator=draw)
    tenth = num_edges // 10
    edges[:, :tenth] = edges[:, tenth : 2 * tenth]
    edges[1, :tenth:2] = edges[0, :tenth:2]
    return Problem(
        name="random/share",
        data=Data(
            x=torch.randn(num_nodes, columns, generator=draw),
            edge_index=edges,
            y=torch.randint(-1, 4, (num_nodes,), generator=draw),
        ),
        split=share(num_nodes, seed),
        task=NodeClassification(num_classes=4),
        dims=Dims(columns, 4, num_nodes=num_nodes),
        batching=FullGraph(),
    )


def store_of(problem: Problem, path: Path, settings: Settings | None = None) -> Store:
    """A store of a problem, prepared in little memory."""
    return prepare(of_problem(problem), path, settings, memory=16 << 20)


def same(store: Store, problem: Problem) -> None:
    """The store holds the problem's data, entry by entry."""
    expected = Csc.of(problem.data.edge_index, int(problem.data.num_nodes))
    csc = store.csc()
    assert torch.equal(csc.colptr, expected.colptr)
    assert torch.equal(csc.row, expected.row)
    assert np.array_equal(store.decode(store.load("node/x")), problem.data.x.numpy())
    assert torch.equal(store.labels(), problem.data.y)
    for part in ("train", "val", "test", "hidden"):
        assert torch.equal(store.split.part(part), problem.split.part(part))
    assert store.task == problem.task
