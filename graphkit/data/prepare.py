"""What a model needs besides raw data, made once and found again.

A ``pre_transform`` is handed the data without answers and without fields of earlier stages, so it
cannot read a label; a blind problem and a next stage see the same content and find its result.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
import xxhash
from torch import Tensor
from torch_geometric.data import Data, TemporalData

from graphkit.data.graphs import GraphSet
from graphkit.errors import DataError

__all__ = ["ANSWERS", "Prepared", "fingerprint"]

ANSWERS = ("y", "train_mask", "val_mask", "test_mask")
AnyData: TypeAlias = Data | GraphSet | TemporalData


def fingerprint(data: AnyData, *, without: tuple[str, ...] = ()) -> str:
    """Returns a checksum over names, types, shapes and content of all fields."""
    digest = xxhash.xxh3_128()
    if isinstance(data, GraphSet):
        fields: dict[str, Any] = data.joined.to_dict() | {"num_nodes": data.num_nodes}
        fields |= {f"{key}/slices": cut for key, cut in data.slices.items() if key not in without}
    else:
        fields = dict(data.to_dict())
    for key in sorted(fields):
        if key in without:
            continue
        value = fields[key]
        if isinstance(value, Tensor):
            value = value.detach().cpu().contiguous()
            digest.update(f"{key}:{value.dtype}:{tuple(value.shape)}".encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(f"{key}={value!r}".encode())
    return digest.hexdigest()


@dataclass
class Prepared:
    """Results of ``pre_transform``, kept by the transform's ``repr`` and the content it saw."""

    results: dict[tuple[str, str], AnyData] = field(default_factory=dict)

    def __call__(
        self,
        data: AnyData,
        transform: Callable[[Data], Data] | None,
        content: str,
        held_back: tuple[str, ...],
    ) -> AnyData:
        """Returns ``data`` with the transform's fields added.

        Args:
            data: One graph, or a set of graphs.
            transform: A PyG transform, or ``None``.
            content: Fingerprint of what the transform may see.
            held_back: Fields it may not see; they come back untouched.

        Raises:
            DataError: The transform changed the number of nodes, or the data are events.
        """
        if transform is None:
            return data
        if isinstance(data, TemporalData):
            raise DataError(f"{transform!r} is for graphs; a stream of events has no pre_transform")
        key = (repr(transform), content)
        if key not in self.results:
            self.results[key] = (
                GraphSet.of([_apply(transform, g) for g in _stripped(data, held_back)])
                if isinstance(data, GraphSet)
                else _apply(transform, _stripped(data, held_back))
            )
        return _rejoined(self.results[key], data, held_back)


def _apply(transform: Callable[[Data], Data], graph: Data) -> Data:
    before = graph.num_nodes
    after = transform(copy.copy(graph))
    if after.num_nodes != before:
        raise DataError(
            f"{transform!r} changed the number of nodes from {before} to {after.num_nodes}; "
            "a pre_transform keeps nodes and their order"
        )
    return after


def _stripped(data: Any, held_back: tuple[str, ...]) -> Any:
    if isinstance(data, GraphSet):
        fields = {k: v for k, v in data.joined.to_dict().items() if k not in held_back}
        return GraphSet(Data.from_dict(fields), data.slices, data.num_nodes)
    bare = data.__class__.from_dict({k: v for k, v in data.to_dict().items() if k not in held_back})
    bare.num_nodes = data.num_nodes
    return bare


def _rejoined(result: Any, data: Any, held_back: tuple[str, ...]) -> Any:
    if isinstance(result, GraphSet):
        back = {k: v for k, v in data.joined.to_dict().items() if k in held_back}
        cuts = {k: data.slices[k] for k in back}
        joined = Data.from_dict(result.joined.to_dict() | back)
        return GraphSet(joined, result.slices | cuts, result.num_nodes)
    whole = copy.copy(result)
    for key, value in data.to_dict().items():
        if key in held_back:
            whole[key] = value
    return whole
