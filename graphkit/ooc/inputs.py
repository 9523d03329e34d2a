"""What a store is prepared from, and how that is made of a problem or a graph in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy.typing as npt
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.batching import FullGraph
from graphkit.data.prepare import ANSWERS
from graphkit.data.problem import Problem
from graphkit.data.split import Split, by_masks
from graphkit.errors import DataError
from graphkit.tasks import Dims, MultilabelNodes, NodeClassification, Task

__all__ = ["Input", "of_data", "of_problem"]

Array: TypeAlias = npt.NDArray[Any]
Edges: TypeAlias = Callable[[int], Iterator[tuple[Array, Array]]]
Features: TypeAlias = Callable[[int], Iterator[Array]]


@dataclass(frozen=True, eq=False)
class Input:
    """Nodes, edges and features to prepare a store from.

    Args:
        name: The problem's name, ``<data set>/<split>``.
        labels: Answer of every node: classes, -1 where not known, or labels as floats.
        split: Nodes of each part.
        task: What is asked of the nodes.
        num_features: Width of the features.
        edges: Yields sources and destinations, at most as many edges as it is told.
        features: Yields rows of features, at most as many as it is told.
        num_edges: Edges it yields, where that is known before they are read.
        key: Says which data these are; part of the store.
        state: Says that files are unchanged since an interrupted run; no part of the store.
        brings: ``repr`` of each pre_transform that is already applied.
        both_ways: Whether an edge stands for both directions.
        files: Path and sha256 of the raw files.
        allow_overlap: Whether parts share nodes.
        allow_nonfinite: Whether features may be NaN or infinite.
    """

    name: str
    labels: Tensor
    split: Split
    task: Task
    num_features: int
    edges: Edges
    features: Features
    num_edges: int | None
    key: Mapping[str, Any]
    state: str = ""
    brings: tuple[str, ...] = ()
    both_ways: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    allow_overlap: bool = False
    allow_nonfinite: bool = False

    @property
    def num_nodes(self) -> int:
        """Nodes of the graph."""
        return len(self.labels)

    @property
    def dims(self) -> Dims:
        """Sizes a model is built from."""
        outputs = getattr(self.task, "num_classes", None) or int(self.labels.shape[1])
        return Dims(self.num_features, outputs, num_nodes=self.num_nodes)


def of_problem(
    problem: Problem,
    pre_transform: Callable[[Any], Any] | None = None,
    *,
    drop: tuple[str, ...] = (),
) -> Input:
    """A problem of one graph, as it is in memory.

    Args:
        problem: Its nodes carry vectors.
        pre_transform: Applied first, as a model states it; it may change features and edges.
        drop: Fields the store does not hold that may be left out, such as ``edge_weight``.

    Raises:
        DataError: The problem is of another kind, or has fields a store does not hold.
    """
    if not isinstance(problem.data, Data):
        raise DataError(f"{problem.name} is not one graph; a store holds one graph")
    data: Any = problem.data
    if pre_transform is not None:
        held_back = (*ANSWERS, *problem.stage_fields)
        data = problem.prepared(data, pre_transform, problem._visible, held_back)
    held = ("x", "edge_index", "num_nodes", *ANSWERS, *problem.stage_fields, *drop)
    left = [
        name for name, value in data.to_dict().items() if name not in held and value is not None
    ]
    if left:
        raise DataError(
            f"a store holds x, edge_index and y alone; {problem.name} also has "
            f"{', '.join(sorted(left))}. Pass drop={tuple(sorted(left))} to leave that out"
        )
    x, edge_index, y = data.get("x"), data.get("edge_index"), problem.answers
    if x is None or edge_index is None or y is None:
        raise DataError(f"{problem.name} needs x, edge_index and y to be put into a store")
    if x.dim() != 2 or not x.is_floating_point():
        raise DataError(f"x is {x.dtype} of shape {tuple(x.shape)}; a store holds float vectors")

    def edges(limit: int) -> Iterator[tuple[Array, Array]]:
        for part in edge_index.split(limit, dim=1):
            yield part[0].long().numpy(), part[1].long().numpy()

    def features(limit: int) -> Iterator[Array]:
        for part in x.split(limit):
            yield part.detach().cpu().numpy()

    return Input(
        name=problem.name,
        labels=y,
        split=problem.split,
        task=problem.task,
        num_features=int(x.shape[1]),
        edges=edges,
        features=features,
        num_edges=int(edge_index.shape[1]),
        key={"problem": problem.fingerprint, "pre_transform": repr(pre_transform)},
        brings=() if pre_transform is None else (repr(pre_transform),),
        files=problem.files,
        allow_overlap=problem.allow_overlap,
        allow_nonfinite=problem.allow_nonfinite,
    )


def of_data(data: Data, name: str, *, drop: tuple[str, ...] = ()) -> Input:
    """A PyG graph with ``x``, ``y`` and the masks of its parts.

    Args:
        data: The graph.
        name: ``<data set>/<split>``.
        drop: Fields the store does not hold that may be left out.

    Raises:
        DataError: A mask is missing, or the data cannot be used.
    """
    masks = [data.get(mask) for mask in ANSWERS[1:]]
    if any(mask is None or mask.dim() != 1 for mask in masks):
        raise DataError(f"{name} needs train_mask, val_mask and test_mask, one entry per node")
    task = _task(data.y)
    outputs = getattr(task, "num_classes", None) or int(data.y.shape[1])
    dims = Dims(0 if data.x is None else data.x.shape[1], outputs, num_nodes=data.num_nodes)
    problem = Problem(name, data, by_masks(*masks), task, dims, FullGraph())
    return of_problem(problem, drop=drop)


def _task(y: Tensor) -> Task:
    if y.is_floating_point():
        return MultilabelNodes()
    return NodeClassification(num_classes=max(int(y.max()) + 1, 2))
