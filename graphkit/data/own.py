"""A user's own data as a problem, in one call."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.data import Data, TemporalData

from graphkit.data.batching import Events, FullGraph, Graphs
from graphkit.data.graphs import GraphSet
from graphkit.data.negatives import RandomNegatives
from graphkit.data.problem import Batching, Problem
from graphkit.data.split import Split, by_masks, by_time, folds, per_class, share
from graphkit.errors import DataError, unknown_name
from graphkit.tasks import (
    Dims,
    GraphClassification,
    GraphRegression,
    MultilabelGraphs,
    MultilabelNodes,
    NodeClassification,
    Task,
    TemporalLinkPrediction,
)

__all__ = ["make_problem"]

SplitRule = Literal["random", "per-class", "folds", "time"]
RULES = ("random", "per-class", "folds", "time")


def make_problem(
    data: Any,
    *,
    name: str = "mine/given",
    split: Split | SplitRule | None = None,
    task: Task | None = None,
    batching: Batching | None = None,
    metrics: Sequence[str] = (),
    seed: int = 0,
    sort: bool = False,
    to_undirected: bool = False,
    allow_overlap: bool = False,
    allow_nonfinite: bool = False,
) -> Problem:
    """Returns a problem of PyG data: one graph, several graphs, a data set, or a stream.

    Args:
        data: A ``Data``, a list of them, a PyG data set of one or many graphs, or a
            ``TemporalData``.
        name: ``<data set>/<split>`` for the record.
        split: A split; the name of a rule (``random`` 60/20/20, ``per-class`` 20 each then 500 and
            1000, ``folds`` ten, ``time`` 70/15/15); or ``None`` for the masks the graph carries,
            else ``random``, or ``time`` for a stream.
        task: What is asked; by default read off the answers ``y``: whole numbers are classes,
            a row of them per item are labels, others are numbers to predict.
        batching: How to batch; by default the whole graph, 128 graphs, or 200 events.
        metrics: Scores to report, the one that counts first; by default the task's own.
        seed: Chooses a drawn split and seeds all later draws.
        sort: Put the events of a stream in order of time instead of refusing them.
        to_undirected: Take every edge in both directions.
        allow_overlap: Let parts share items.
        allow_nonfinite: Let NaN and infinite features pass.

    Raises:
        DataError: The data cannot be used; the message names the first wrong entry.
        UnknownName: There is no split rule or metric of that name.
    """
    if isinstance(split, str) and split not in RULES:
        raise unknown_name("split rule", split, RULES)
    held: Data | GraphSet | TemporalData
    if isinstance(data, TemporalData):
        held = data[data.t.argsort(stable=True)] if sort else data
    elif isinstance(data, Data):
        held = copy.copy(data)
    else:
        held = _from_sequence(data)
    if isinstance(held, TemporalData):
        return _stream(held, name, split, task, batching, seed, allow_nonfinite)
    if to_undirected:
        from torch_geometric.transforms import ToUndirected

        turn = ToUndirected()
        held = (
            turn(held) if isinstance(held, Data) else GraphSet.of([turn(graph) for graph in held])
        )
    several = isinstance(held, GraphSet)
    joined = held.joined if isinstance(held, GraphSet) else held
    y = joined.get("y")
    if y is None:
        raise DataError("the data carry no answers: expected a field 'y'")
    question = task or _guess_task(y, len(held) if isinstance(held, GraphSet) else None)
    if metrics:
        question = _with_metrics(question, tuple(metrics))
    joined = _tidy(joined, question)
    held = GraphSet(joined, held.slices, held.num_nodes) if isinstance(held, GraphSet) else joined
    count = len(held) if isinstance(held, GraphSet) else int(held.num_nodes or 0)
    return Problem(
        name=name,
        data=held,
        split=_split(held, joined, count, split, seed),
        task=question,
        dims=_dims(joined, question, None if several else count),
        batching=batching or (Graphs() if several else FullGraph()),
        seed=seed,
        allow_overlap=allow_overlap,
        allow_nonfinite=allow_nonfinite,
    )


def _from_sequence(data: Any) -> Data | GraphSet:
    try:
        graphs = [data[number] for number in range(len(data))]
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"a {type(data).__name__} is no graph data; expected Data, a list of Data, a PyG data "
            "set or TemporalData"
        ) from error
    if not graphs or not all(isinstance(graph, Data) for graph in graphs):
        kind = type(graphs[0]).__name__ if graphs else "nothing"
        raise DataError(f"expected a list of Data, found {kind} in it")
    return copy.copy(graphs[0]) if len(graphs) == 1 else GraphSet.of(graphs)


def _stream(
    events: TemporalData,
    name: str,
    split: Split | str | None,
    task: Task | None,
    batching: Batching | None,
    seed: int,
    allow_nonfinite: bool,
) -> Problem:
    if split in ("per-class", "folds"):
        raise DataError(f"a stream cannot be split by {split!r}; expected 'time' or a Split")
    parts = split if isinstance(split, Split) else None
    if parts is None and split == "random":
        raise DataError("a random split of a stream leaks the future; use split='time'")
    low, high = int(events.dst.min()), int(events.dst.max()) + 1
    msg = events.to_dict().get("msg")
    problem = Problem(
        name=name,
        data=events,
        split=parts or by_time(events.t),
        task=task or TemporalLinkPrediction(),
        dims=Dims(
            0, 1, edge_channels=0 if msg is None else msg.shape[1], num_nodes=events.num_nodes
        ),
        batching=batching or Events(RandomNegatives(low, high)),
        seed=seed,
        allow_nonfinite=allow_nonfinite,
    )
    return problem


def _guess_task(y: Tensor, num_graphs: int | None) -> Task:
    wide = y.dim() == 2 and y.shape[1] > 1
    if y.is_floating_point():
        binary = bool(((y == 0) | (y == 1) | torch.isnan(y)).all())
        if wide and binary:
            return MultilabelNodes() if num_graphs is None else MultilabelGraphs()
        if num_graphs is None:
            raise DataError(
                "y holds numbers for nodes; say what is asked: task=... (classes are whole numbers)"
            )
        return GraphRegression()
    if wide:
        return MultilabelNodes() if num_graphs is None else MultilabelGraphs()
    classes = max(int(y.max()) + 1, 2) if y.numel() else 2
    if num_graphs is not None and len(y.reshape(-1)) != num_graphs:
        raise DataError(
            f"y has {y.numel()} rows for {num_graphs} graphs; for answers per node say so: "
            "task=NodesOfGraphs(num_classes=...)"
        )
    kind = NodeClassification if num_graphs is None else GraphClassification
    return kind(num_classes=classes)


def _with_metrics(task: Task, metrics: tuple[str, ...]) -> Task:
    from dataclasses import replace

    return replace(task, measures=metrics)


def _tidy(joined: Data, task: Task) -> Data:
    """Whole-number vectors become float32, answers get the type and shape the task reads."""
    tidy = copy.copy(joined)
    x = joined.get("x")
    if x is not None:
        if x.dtype == torch.float64:
            raise DataError(
                "x is torch.float64 and models are torch.float32: pass data.x = data.x.float()"
            )
        tidy.x = x if x.is_floating_point() else x.float()
    y = joined.y
    if isinstance(task, NodeClassification):
        tidy.y = y.reshape(-1).long()
    else:
        tidy.y = y.float().reshape(len(y), -1)
    return tidy


def _dims(joined: Data, task: Task, num_nodes: int | None) -> Dims:
    x, edge_attr = joined.get("x"), joined.get("edge_attr")
    outputs = task.num_classes if isinstance(task, NodeClassification) else joined.y.shape[1]
    return Dims(
        in_channels=0 if x is None else int(x.shape[1]),
        out_channels=int(outputs),
        edge_channels=0 if edge_attr is None else edge_attr.reshape(len(edge_attr), -1).shape[1],
        num_nodes=num_nodes,
    )


def _split(
    held: Data | GraphSet, joined: Data, count: int, split: Split | str | None, seed: int
) -> Split:
    if isinstance(split, Split):
        return split
    masks = [joined.get(name) for name in ("train_mask", "val_mask", "test_mask")]
    if split is None and isinstance(held, Data) and all(mask is not None for mask in masks):
        columns = [m[:, seed % m.shape[1]] if m.dim() == 2 else m for m in masks if m is not None]
        return by_masks(*columns)
    y = joined.y.reshape(count, -1)
    rules: dict[str, Callable[[], Split]] = {
        "random": lambda: share(count, seed, among=_answered(y)),
        "per-class": lambda: per_class(y[:, 0], seed),
        "folds": lambda: folds(y[:, 0], seed),
    }
    if split == "time":
        raise DataError("only a stream of events can be split by time")
    return rules[split or "random"]()


def _answered(y: Tensor) -> Tensor:
    known = ~torch.isnan(y).all(dim=1) if y.is_floating_point() else (y >= 0).any(dim=1)
    return known.nonzero().flatten()
