"""The hottest rows on the device that trains, where the features of a batch are put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from graphkit.kernels import Array

__all__ = ["DeviceRows", "Split"]


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows of a batch are on the device, and which are brought there.

    Args:
        at: Places in the batch of the rows on the device.
        slots: Where on the device each of these is.
        rest: Places of all other rows, in the order in which they are brought.
    """

    at: Int[Tensor, " hot"]
    slots: Int[Tensor, " hot"]
    rest: Int[Tensor, " cold"]


class DeviceRows:
    """Keeps rows on a device as they are stored, and puts features of batches together there.

    Any device of torch does. On CUDA rows travel through pinned memory, which torch keeps and uses
    again, and on a stream of their own, so that they arrive while the step before computes. That
    branch has never been run: no machine of the tests has such a device.

    Args:
        parts: Rows as bytes, one run after another.
        count: How many rows these are.
        columns: Numbers in a row.
        dtype: What they are stored as: float32, float16 or int8.
        scale: What a step of each column is worth, for int8.
        device: Where rows are kept.

    Source:
        Liu et al., "DiskGNN", SIGMOD 2025, GPU cache.
        Differs: rows are gathered by torch, and not read over the bus by a kernel.
    """

    def __init__(
        self,
        parts: Iterable[Array],
        count: int,
        columns: int,
        dtype: np.dtype[Any],
        scale: Array,
        device: str,
    ) -> None:
        self.device = torch.device(device)
        self._rows = torch.empty(
            (count, columns), dtype=getattr(torch, dtype.name), device=self.device
        )
        self._scale = torch.from_numpy(scale).to(self.device) if dtype == np.int8 else None
        start = 0
        for part in parts:
            self._rows[start : start + len(part)] = torch.from_numpy(part.view(dtype))
            start += len(part)
        self._stream: torch.cuda.Stream | None = None
        if self.device.type == "cuda":
            self._stream = torch.cuda.Stream(self.device)
            self._stream.wait_stream(torch.cuda.current_stream(self.device))  # rows are on the way

    @property
    def num_bytes(self) -> int:
        """Bytes that the rows take on the device."""
        return self._rows.nbytes

    def join(
        self, rest: Float[Tensor, "cold columns"], split: Split | None
    ) -> Float[Tensor, "nodes columns"]:
        """Returns features of a batch on the device, in memory of their own.

        Args:
            rest: Rows that are not on the device.
            split: Which these are; ``None`` where all are.
        """
        if self._stream is None:
            return self._joined(rest, split)
        with torch.cuda.stream(self._stream):
            x = self._joined(rest, split)
        now = torch.cuda.current_stream(self.device)
        now.wait_stream(self._stream)
        x.record_stream(now)  # its memory is not given to others before this stream has used it
        return x

    def _joined(self, rest: Tensor, split: Split | None) -> Tensor:
        if split is None:
            return self._brought(rest)
        size = (len(split.at) + len(split.rest), rest.shape[1])
        x = torch.empty(size, dtype=rest.dtype, device=self.device)
        hot = self._rows[self._brought(split.slots)].float()  # float16 loses nothing
        x[self._brought(split.at)] = hot if self._scale is None else hot * self._scale
        x[self._brought(split.rest)] = self._brought(rest)
        return x

    def _brought(self, values: Tensor) -> Tensor:
        if self._stream is None:
            return values.to(self.device)
        return values.pin_memory().to(self.device, non_blocking=True)
