"""Small packed stores, and batches held against those drawn in memory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphkit.data.batching import SampledNodes
from graphkit.data.problem import Problem
from graphkit.models import GCN, GraphSAGE
from graphkit.models.base import as_model
from graphkit.ooc.inputs import of_problem
from graphkit.ooc.pack import pack
from graphkit.ooc.packed_nodes import Packed, PackedNodes
from graphkit.ooc.placement import place
from graphkit.ooc.prepare import RowType, Settings, prepare
from graphkit.ooc.sample_ahead import sample_ahead
from graphkit.ooc.store import Store
from graphkit.train import Fitted, TrainConfig, fit
from graphkit.transforms import Undirected
from tests.ooc.graphs import random_problem

__all__ = ["FANOUTS", "NETS", "SIZE", "Asks", "fitted", "packed", "same", "undirected", "world"]

FANOUTS, SIZE = (4, 3), 70
NETS: dict[str, Any] = {
    "sage": GraphSAGE,
    "gcn": GCN,
    "plain": partial(GraphSAGE, dropout=0.0),  # no draw in a step
}


class Asks:
    """Stands for a model that takes edges in both directions."""

    pre_transform, transform = Undirected(), None


def undirected(path: Path, dtype: RowType = "float32", columns: int = 25) -> tuple[Problem, Store]:
    """A problem that samples in memory, and a store of it with edges in both directions."""
    problem = random_problem(1200, 6000, columns)
    store = prepare(of_problem(problem, Undirected()), path, Settings(dtype=dtype), memory=16 << 20)
    return replace(problem, batching=SampledNodes(FANOUTS, SIZE)), store


def packed(
    store: Store,
    part: str = "train",
    *,
    rows: int = 0,
    span: int = 0,
    epochs: int = 2,
    seed: int = 0,
) -> Packed:
    """A part drawn and packed, with some rows in memory and some shared between batches."""
    plan = sample_ahead(store, FANOUTS, SIZE, part, epochs if part == "train" else 1, seed)
    placement = replace(place(store, plan, memory=1 << 40, cached_rows=rows), span=span)
    return Packed(plan, pack(store, plan, placement))


def world(path: Path, **words: Any) -> tuple[Problem, Problem]:
    """The same problem twice: sampled in memory, and read from disk."""
    problem, store = undirected(path)
    parts = {part: packed(store, part, **words) for part in ("train", "val", "test")}
    return problem, store.problem(PackedNodes(store, parts))


def same(expected: Any, found: Any) -> None:
    """A batch has all fields that sampling in memory gives, to the bit, but for ``e_id``."""
    assert expected.num_nodes == found.num_nodes
    names = set(found.keys()) - {"num_nodes"}
    assert set(expected.keys()) - {"num_nodes", "e_id"} == names
    for name in names:
        a, b = expected[name], found[name]
        if isinstance(a, Tensor):
            assert a.dtype == b.dtype, name
            assert torch.equal(a, b), name
        else:
            assert a == b, name


def fitted(problem: Problem, net: str = "sage", epochs: int = 2, **words: Any) -> Fitted:
    """A fit from a fixed start."""
    torch.manual_seed(3)
    config = TrainConfig(epochs=epochs, lr=0.05, **words)
    return fit(as_model(NETS[net](problem.dims)), problem.blind(), config)
