"""A problem: data, split, task, sizes, and a way to batch. A value; every stage is another one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch_geometric.data import Data, TemporalData

from graphkit.data.check import check_data, check_labels
from graphkit.data.graphs import GraphSet
from graphkit.data.keep import keep, renumber
from graphkit.data.prepare import ANSWERS, AnyData, Prepared, fingerprint
from graphkit.data.split import Split
from graphkit.errors import DataError
from graphkit.seeds import derived_seed, seeded, stream
from graphkit.tasks import Dims, Task
from graphkit.transforms import Chain

__all__ = ["Batching", "Needs", "Problem", "Turn"]

PARTS = ("train", "val", "test", "hidden", "all")


@dataclass(frozen=True)
class Turn:
    """One pass over a part.

    Args:
        part: ``train``, ``val``, ``test``, ``hidden`` or ``all``.
        seed: The problem's seed; the source of all draws.
        epoch: Which pass, from 0.
        first: Number of the first batch to yield; a resumed epoch starts in the middle.
        rank: Which process this is.
        ranks: Number of processes that share the turn.
        device: Where batches are yielded.
    """

    part: str = "train"
    seed: int = 0
    epoch: int = 0
    first: int = 0
    rank: int = 0
    ranks: int = 1
    device: str = "cpu"

    def chunks(
        self, items: Tensor, size: int | None, *, shuffle: bool | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Yields number and items of each batch of this rank, from ``first`` on.

        Args:
            items: Items of the part.
            size: Items a batch; ``None`` takes all at once.
            shuffle: Whether to draw a new order; by default in training alone.
        """
        if shuffle if shuffle is not None else self.part == "train":
            order = torch.randperm(len(items), generator=stream(self.seed, "order", self.epoch))
            items = items[order]
        size = size or max(len(items), 1)
        count = -(-len(items) // size)
        steps = -(-count // self.ranks)  # every rank steps equally: the last ones repeat
        for step in range(self.first, steps):
            number = (step * self.ranks + self.rank) % max(count, 1)
            yield step, items[number * size : (number + 1) * size]


@runtime_checkable
class Batching(Protocol):
    """Which items next, with which extra fields, on which device."""

    def __call__(self, data: Any, items: Tensor, turn: Turn) -> Iterator[Any]:
        """Yields the batches of a turn over ``items``."""
        ...


@runtime_checkable
class Needs(Protocol):
    """What a model may ask of the data: two PyG transforms, or ``None``."""

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """Applied once to every graph, before batching."""
        ...

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """Applied to each batch."""
        ...


@dataclass(frozen=True, eq=False)
class Problem:
    """Data with a question, ready to be batched.

    Args:
        name: ``<data set>/<split>``.
        data: One graph, a set of graphs (a plain list is joined), or a stream of events.
        split: Item numbers of each part.
        task: Loss and metrics.
        dims: Sizes a model is built from.
        batching: How the problem is scored, and by default how it is trained on.
        seed: The run's seed; the source of every draw that decides on data.
        device: Where batches are yielded.
        files: Path and sha256 of the raw files behind the data.
        stage_fields: Fields left in the data by earlier stages of a method.
        allow_overlap: Let parts share items.
        allow_nonfinite: Let NaN and infinite features pass.

    Raises:
        DataError: The data or the split cannot be used; the message names the first wrong entry.
    """

    name: str
    data: Any
    split: Split
    task: Task
    dims: Dims
    batching: Batching
    seed: int = 0
    device: str = "cpu"
    files: dict[str, str] = field(default_factory=dict, repr=False)
    stage_fields: tuple[str, ...] = ()
    allow_overlap: bool = False
    allow_nonfinite: bool = False
    prepared: Prepared = field(default_factory=Prepared, repr=False)
    checked: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.data, (list, tuple)):
            object.__setattr__(self, "data", GraphSet.of(self.data))
        if not self.checked:
            self._check()
            object.__setattr__(self, "data", _sorted_by_destination(self.data))
            object.__setattr__(self, "checked", True)

    def _check(self) -> None:
        check_data(self.data, allow_nonfinite=self.allow_nonfinite)
        self.split.check(self.num_items, allow_overlap=self.allow_overlap)
        y = self.answers
        if y is None:
            return
        per_item = not hasattr(self.task, "balanced")  # answers of nodes where items are graphs
        rows = self.num_items if per_item else len(y)
        check_labels(y, rows, getattr(self.task, "num_classes", None))
        if per_item:
            for part in ("train", "val", "test"):
                if not bool(self.task.known(y[self.split.part(part)]).any()):
                    raise DataError(f"no item of the {part!r} part has a known answer")

    @property
    def answers(self) -> Tensor | None:
        """The answers ``y`` of all items, or ``None`` for a stream."""
        if isinstance(self.data, TemporalData):
            return None
        joined = self.data.joined if isinstance(self.data, GraphSet) else self.data
        y = joined.get("y")
        return y if isinstance(y, Tensor) else None

    @property
    def num_items(self) -> int:
        """Number of nodes, graphs or events."""
        if isinstance(self.data, GraphSet):
            return len(self.data)
        if isinstance(self.data, TemporalData):
            return int(self.data.num_events)
        return int(self.data.num_nodes)

    @cached_property
    def fingerprint(self) -> str:
        """Checksum over all data, the split and the name."""
        parts = [fingerprint(self.data), self.name]
        parts += [fingerprint(Data(items=self.split.part(name))) for name in PARTS[:4]]
        return fingerprint(Data(parts="/".join(parts)))

    @cached_property
    def _visible(self) -> str:
        """Checksum over what a pre_transform may see."""
        return fingerprint(self.data, without=(*ANSWERS, *self.stage_fields))

    @cached_property
    def _whole_batches(self) -> dict[tuple[str, str, str], Any]:
        return {}

    def items(self, part: str) -> Tensor:
        """Returns the items of a part; ``all`` are those of the data.

        Raises:
            DataError: There is no part of that name.
        """
        if part not in PARTS:
            raise DataError(f"there is no part {part!r}; expected one of {', '.join(PARTS)}")
        return torch.arange(self.num_items) if part == "all" else self.split.part(part)

    def batches(
        self,
        part: str,
        model: Needs | None = None,
        epoch: int = 0,
        first: int = 0,
        *,
        rank: int = 0,
        ranks: int = 1,
    ) -> Iterator[Any]:
        """Yields the batches of a part, on the device, with all that ``model`` reads.

        Args:
            part: ``train``, ``val``, ``test``, ``hidden`` or ``all``.
            model: The model that states its transforms; ``None`` for the raw fields.
            epoch: Which pass; decides order and draws.
            first: Number of the first batch.
            rank: Which process this is.
            ranks: Number of processes that share the pass.
        """
        turn = Turn(part, self.seed, epoch, first, rank, ranks, self.device)
        transform = model.transform if model is not None else None
        fixed = bool(getattr(transform, "fixed", False))
        data = self._ready(model, transform if fixed else None)
        whole = getattr(self.batching, "whole", False)
        for step, batch in enumerate(self.batching(data, self.items(part), turn), start=first):
            if transform is None or (fixed and whole):
                yield batch
            elif fixed:
                yield transform(batch)
            else:
                with seeded(self.seed, "transform", part, epoch, step, rank):
                    batch = transform(batch)
                yield batch

    def _ready(self, model: Needs | None, fixed: Callable[[Any], Any] | None) -> Any:
        """The data after ``pre_transform``; a whole graph also after a fixed transform, moved to
        its device once and not at each epoch."""
        pre = model.pre_transform if model is not None else None
        if not getattr(self.batching, "whole", False):
            return self._prepare(pre)
        key = (repr(pre), repr(fixed), self.device)
        if key not in self._whole_batches:
            parts = [part for part in (pre, fixed) if part is not None]
            data: Any = self._prepare(Chain(*parts) if parts else None)
            self._whole_batches[key] = copy.copy(data).to(self.device)
        return self._whole_batches[key]

    def _prepare(self, pre: Callable[[Data], Data] | None) -> AnyData:
        if pre is None:
            return self.data
        brought = getattr(self.batching, "brings", None)
        if brought is not None:  # data that lie elsewhere, with their pre_transforms in them
            if repr(pre) not in brought:
                raise DataError(
                    f"the model needs {pre!r} and the store of {self.name} was prepared with "
                    f"{', '.join(brought) or 'none'}: prepare it for this model"
                )
            return self.data
        return self.prepared(self.data, pre, self._visible, (*ANSWERS, *self.stage_fields))

    def observed(self) -> Problem:
        """Returns the problem without its hidden nodes, with all answers of the others: what the
        test part is scored on in the production setting."""
        if not len(self.split.hidden):
            return self
        gone = torch.zeros(self.num_items, dtype=torch.bool)
        gone[self.split.hidden] = True
        return self._kept((~gone).nonzero().flatten())

    def blind(self) -> Problem:
        """Returns the problem without what is only known afterwards: test answers masked, hidden
        nodes gone, later graphs and events gone. A recipe cannot leak what it does not have."""
        split = self.split
        if isinstance(self.data, Data):
            problem = self.observed()
            known = torch.cat([problem.split.train, problem.split.val])
            return problem._only_answers_of(known)._without_test()
        return self._kept(torch.cat([split.train, split.val]).sort().values)._without_test()

    def with_unlabelled(self) -> Problem:
        """Returns the problem whose training visits all visible items; answers outside ``train``
        are masked in its batches."""
        return replace(self, batching=_Unlabelled(self.batching, self.split.train, self.task))

    def batched(self, batching: Batching | None) -> Problem:
        """Returns the problem with another batching; ``None`` keeps it. One ``with_unlabelled``
        visits the same items under the new batching."""
        if batching is None:
            return self
        if isinstance(self.batching, _Unlabelled):
            batching = replace(self.batching, batching=batching)
        return replace(self, batching=batching)

    def halve_train(self) -> tuple[Problem, Problem]:
        """Returns two problems that share the training items, each with half of them, drawn by
        the seed; validation stays for choosing."""
        items = self.split.train
        order = items[torch.randperm(len(items), generator=stream(self.seed, "halves"))]
        half = len(order) // 2
        parts = (order[:half].sort().values, order[half:].sort().values)
        first, second = (replace(self, split=replace(self.split, train=p)) for p in parts)
        return first, second

    def with_field(self, name: str, values: Tensor) -> Problem:
        """Returns the problem with a field of one row per item, sliced along by every batching.

        Raises:
            DataError: The number of rows is not that of the items, or the name is taken.
        """
        if len(values) != self.num_items:
            raise DataError(f"{name} has {len(values)} rows; expected {self.num_items}")
        if name in ("x", "edge_index", *ANSWERS):
            raise DataError(f"a stage cannot replace the field {name!r}")
        if isinstance(self.data, GraphSet):
            data: Any = self.data.with_field(name, values)
        else:
            data = copy.copy(self.data)
            data[name] = values
        return replace(self, data=data, stage_fields=tuple({*self.stage_fields, name}))

    def to(self, device: str) -> Problem:
        """Returns the problem with its batches on another device."""
        return replace(self, device=device)

    def draw_seed(self, *names: str | int) -> int:
        """Returns the seed of a stream of this problem's own, for foreign code that takes one."""
        return derived_seed(self.seed, *names)

    def _kept(self, items: Tensor) -> Problem:
        count, split = self.num_items, self.split
        parts = {name: renumber(split.part(name), items, count) for name in PARTS[:4]}
        groups = {name: renumber(g, items, count) for name, g in split.groups.items()}
        return replace(self, data=keep(self.data, items), split=Split(**parts, groups=groups))

    def _only_answers_of(self, items: Tensor) -> Problem:
        y = self.data.get("y")
        if y is None:
            return self
        hidden = self.task.hide(y)
        hidden[items] = y[items]
        data = copy.copy(self.data)
        data.y = hidden
        for mask in ANSWERS[1:]:
            data[mask] = None
        return replace(self, data=data)

    def _without_test(self) -> Problem:
        nothing = self.split.test[:0]
        groups = {k: g for k, g in self.split.groups.items() if len(g)}
        return replace(self, split=replace(self.split, test=nothing, hidden=nothing, groups=groups))


@dataclass(frozen=True, eq=False)
class _Unlabelled:
    """Trains on every visible node, with the answers of training nodes alone."""

    batching: Batching
    labelled: Tensor
    task: Task

    @property
    def whole(self) -> bool:
        return bool(getattr(self.batching, "whole", False))

    @property
    def brings(self) -> tuple[str, ...] | None:
        return getattr(self.batching, "brings", None)

    def __call__(self, data: Any, items: Tensor, turn: Turn) -> Iterator[Any]:
        if turn.part != "train":
            yield from self.batching(data, items, turn)
            return
        shown = copy.copy(data)
        y = self.task.hide(data.y)
        y[self.labelled] = data.y[self.labelled]
        shown.y = y
        yield from self.batching(shown, torch.arange(int(data.num_nodes)), turn)


def _sorted_by_destination(data: AnyData) -> AnyData:
    """A graph whose edges are sorted by destination, then source; edge fields follow along."""
    if not isinstance(data, Data) or data.get("edge_index") is None:
        return data
    edges = data.edge_index.long()
    source, destination = edges
    key = destination * int(data.num_nodes or 0) + source
    if bool((key[1:] >= key[:-1]).all()):
        if edges is data.edge_index:
            return data
        order: Tensor | None = None
    else:
        order = key.argsort(stable=True)
        edges = edges[:, order]
    moved = copy.copy(data)
    count = edges.shape[1]
    for name, value in data.to_dict().items():
        if name == "edge_index":
            moved.edge_index = edges
        elif order is not None and isinstance(value, Tensor) and _is_edge_field(data, name, count):
            moved[name] = value[order]
    return moved


def _is_edge_field(data: Data, name: str, count: int) -> bool:
    value = data[name]
    return (name.startswith("edge_") or data.is_edge_attr(name)) and len(value) == count


def is_graph_list(data: Any) -> bool:
    """Returns whether ``data`` is several graphs."""
    return isinstance(data, Sequence) and not isinstance(data, (Data, TemporalData, str))
