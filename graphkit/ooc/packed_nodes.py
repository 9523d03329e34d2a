"""The batching that reads what was drawn and packed ahead; any node model trains on it."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.problem import Turn
from graphkit.errors import DataError, GraphkitError, SettingError
from graphkit.kernels import Array
from graphkit.ooc.budget import Budget, Watchdog, reckon
from graphkit.ooc.buffers import Buffers
from graphkit.ooc.device_rows import DeviceRows
from graphkit.ooc.disk import READERS, Bytes, private
from graphkit.ooc.pack import Pack
from graphkit.ooc.pipeline import Meter, Pipeline, Ready
from graphkit.ooc.plan import Plan
from graphkit.ooc.plan_files import padded
from graphkit.ooc.sealed import digest_of
from graphkit.ooc.sizes import show_bytes
from graphkit.ooc.source import Check, Source
from graphkit.ooc.store import Store
from graphkit.seeds import stream

__all__ = ["Packed", "PackedNodes"]


@dataclass(frozen=True)
class Packed:
    """The batches of a part and their rows; equal to another of the same names."""

    plan: Plan = field(compare=False, repr=False)
    pack: Pack = field(compare=False, repr=False)
    plan_id: str = field(init=False)
    pack_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan_id", self.plan.plan_id)
        object.__setattr__(self, "pack_id", self.pack.pack_id)

    @classmethod
    def open(cls, store: Store, plan_id: str, pack_id: str) -> Packed:
        """Opens a finished plan and its pack.

        Raises:
            UnknownName: There is none of that name.
            DamagedFile: A file is not what was written.
        """
        plan = Plan.open(store, plan_id)
        return cls(plan, Pack.open(store, plan, pack_id))


class _Memory:
    """What outlives a turn: cached rows, and buffers that no turn uses at the moment."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.devices: dict[str, DeviceRows] = {}
        self.spare: list[tuple[Buffers, Bytes]] = []
        self.grown = 0  # bytes beyond the budget's plan
        self.meter = Meter()

    def __reduce__(self) -> tuple[type[_Memory], tuple[()]]:
        return _Memory, ()  # another process reads for itself


@dataclass(frozen=True)
class PackedNodes:
    """Nodes with a neighbourhood that was drawn and packed ahead: what ``SampledNodes`` yields.

    Epoch ``e`` of training is sampled epoch ``e``, batch by batch, as long as there is one and the
    turn has the plan's seed; afterwards sampled epochs come again in turn, their batches in an
    order drawn anew. Other parts keep their order. A batch keeps its memory while anything refers
    to it. Rows that a pack has for the device are brought there when a turn first asks for it, and
    features of batches are put together there.

    Args:
        store: Where all of it is.
        parts: Plan and pack of each part that is read.
        budget: What memory is for; ``None`` sets no limit.
        threads: Reads under way at once.
        check: Hold rows against their checksums when they are read for the ``first`` time,
            ``always``, or ``never``.

    Raises:
        DataError: The store has hidden nodes, which no plan leaves out.

    Source:
        Liu et al., "DiskGNN: Bridging I/O Efficiency and Model Accuracy for Out-of-Core GNN
        Training", SIGMOD 2025.
        Differs: several sampled epochs are replayed in turn, not one.
    """

    store: Store = field(compare=False, repr=False)
    parts: Mapping[str, Packed]
    budget: Budget | None = field(default=None, compare=False, repr=False)
    threads: int = field(default=READERS, compare=False)
    check: Check = field(default="first", compare=False)
    _memory: _Memory = field(default_factory=_Memory, compare=False, repr=False)

    whole = False

    def __post_init__(self) -> None:
        refuse_hidden(self.store)
        if self.budget is None:
            plans = [each.plan for each in self.parts.values()]
            object.__setattr__(self, "budget", reckon(self.store, plans, memory=None))

    @property
    def brings(self) -> tuple[str, ...]:
        """``repr`` of each pre_transform that is in the store."""
        return self.store.brings

    @property
    def meter(self) -> Meter:
        """What has been read so far, and how long was waited for it."""
        return self._memory.meter

    def __call__(self, data: Data, items: Tensor, turn: Turn) -> Iterator[Data]:
        """Yields the batches of a turn; the first rows of each are its seeds.

        Raises:
            DataError: The part has no plan, or one for other items.
            DamagedFile: A batch is not what was written.
            StorageError: The disk fails.
            TrainingError: The process takes more memory than was given.
            SettingError: Rows for a device do not fit into the memory, where that is the device.
        """
        packed = self._packed(turn.part, items)
        numbers = _order(packed.plan, turn)
        rows = self._device_rows(turn.part, turn.device)
        with closing(self._read(turn.part, numbers)) as batches:
            # No name is given to a batch here: one would keep its memory while the next is read.
            yield from map(partial(_batch, data, turn.device, rows), batches)

    def _packed(self, part: str, items: Tensor) -> Packed:
        if part not in self.parts:
            raise DataError(
                f"the {part!r} part of {self.store.path} has no plan; sample and pack it first "
                f"(there are: {', '.join(self.parts) or 'none'})"
            )
        packed = self.parts[part]
        if digest_of(items.contiguous().numpy().data) != packed.plan.settings["items"]:
            raise DataError(
                f"plan {packed.plan_id} was drawn for the {part!r} part of {self.store.path}, and "
                f"{len(items)} other items were asked for"
            )
        return packed

    def _read(self, part: str, numbers: list[int]) -> Generator[Ready, None, None]:
        memory, budget = self._memory, self._reckoned()
        source = self._source(part)
        buffers, raw = memory.spare.pop() if memory.spare else self._room()
        rooms = _cut(raw, source, buffers.count)
        pipeline = Pipeline(source, buffers, rooms, self.threads, memory.meter, self._may_grow)

        def lower() -> None:
            # One is in use, and one may linger in its user's hands.
            buffers.count = min(buffers.count, 3)

        def abort(error: GraphkitError) -> None:
            pipeline.failed = error

        try:
            with Watchdog(budget.memory, lower, abort) as watchdog:
                try:
                    yield from pipeline.run(numbers)
                finally:
                    memory.meter.peak_bytes = max(memory.meter.peak_bytes, watchdog.peak)
        finally:
            memory.spare.append((buffers, raw))

    def _reckoned(self) -> Budget:
        assert self.budget is not None  # set when it was made
        return self.budget

    def _source(self, part: str) -> Source:
        if part not in self._memory.sources:
            packed = self.parts[part]
            source = Source(self.store, packed.plan, packed.pack, self.check)
            self._memory.sources[part] = source
        return self._memory.sources[part]

    def _device_rows(self, part: str, device: str) -> DeviceRows | None:
        """What is kept on a device; ``None`` where features stay in the memory they are read to."""
        pack, on_cpu = self.parts[part].pack, torch.device(device).type == "cpu"
        if on_cpu and pack.device_rows == 0:
            return None
        kept = self._memory.devices.get(part)
        if kept is None or kept.device != torch.device(device):
            num_bytes = pack.device_rows * pack.row_bytes
            # Features that are put together anew lie in no buffer: two batches may be in use.
            if on_cpu and not self._may_grow(num_bytes + 2 * self._reckoned().buffer):
                raise SettingError(
                    f"the pack of {part!r} has {show_bytes(num_bytes)} of rows for a device, and "
                    "the turn is on the CPU, whose memory has no room for them: train on the "
                    "device, give more memory, or pack without device_memory"
                )
            self._memory.devices.pop(part, None)  # those on another device make room
            kept = self._memory.devices[part] = self._source(part).device_rows(device)
        return kept

    def _room(self) -> tuple[Buffers, Bytes]:
        budget = self._reckoned()
        raw = private(budget.under_way * padded(budget.raw), huge=True)
        return Buffers(budget.buffer, budget.buffers), np.frombuffer(raw, np.uint8)

    def _may_grow(self, num_bytes: int) -> bool:
        if self._memory.grown + num_bytes > self._reckoned().room:
            return False
        self._memory.grown += num_bytes
        return True


def refuse_hidden(store: Store) -> None:
    """Refuses a store from which no plan may be drawn.

    Raises:
        DataError: Some nodes must not be seen in training, and plans are drawn from all.
    """
    if len(store.split.hidden):
        raise DataError(
            f"{store.path} has {len(store.split.hidden)} hidden nodes, and plans are drawn from "
            "its whole graph: training would see them. Use SampledNodes, or prepare the graph "
            "without them"
        )


def _order(plan: Plan, turn: Turn) -> list[int]:
    """Numbers of the batches of a turn, in order."""
    count, epochs = plan.batches_per_epoch, plan.sampled_epochs
    order: Array = np.arange(count)
    epoch = turn.epoch % epochs if turn.part == "train" else 0
    again = turn.epoch >= epochs or turn.seed != plan.settings["seed"]
    if turn.part == "train" and again:
        drawn = torch.randperm(count, generator=stream(turn.seed, "replay", turn.epoch))
        order = drawn.numpy()
    steps = -(-count // turn.ranks)  # every rank steps equally: the last ones repeat
    places = (np.arange(turn.first, max(steps, turn.first)) * turn.ranks + turn.rank) % count
    return [epoch * count + int(number) for number in order[places]]


def _cut(raw: Bytes, source: Source, most: int) -> list[Bytes]:
    """Cuts raw bytes into room for as many batches as fit; cached rows take none of it."""
    size = padded(source.most_read())
    count = min(len(raw) // size, most)
    return [raw[number * size : (number + 1) * size] for number in range(count)]


def _batch(data: Data, device: str, rows: DeviceRows | None, ready: Ready) -> Data:
    """A batch as ``SampledNodes`` makes it; fields per node are cut to its nodes."""
    batch = copy.copy(data)
    for name, value in data.to_dict().items():
        if isinstance(value, Tensor) and data.is_node_attr(name):
            batch[name] = value[ready.n_id]
    seeds = ready.nodes[0]
    batch.x = ready.x if rows is None else rows.join(ready.x, ready.split)
    batch.edge_index, batch.n_id = ready.edge_index, ready.n_id
    batch.num_nodes = len(ready.n_id)
    batch.num_sampled_nodes, batch.num_sampled_edges = ready.nodes, ready.edges
    batch.input_id, batch.batch_size = ready.n_id[:seeds], seeds
    batch.seeds = torch.arange(seeds)
    return batch if device == "cpu" else batch.to(device)
