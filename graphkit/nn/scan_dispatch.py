"""Which algorithm runs a scan: one table, and the reasons why one cannot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch

from graphkit.errors import SettingError, unknown_name
from graphkit.nn.scan_recurrence import States, chunk_states, loop_states, scan_states

__all__ = [
    "THRESHOLDS",
    "Method",
    "Thresholds",
    "choose",
    "chunk_length",
    "states_of",
    "token_loop_wins",
]

Method = Literal["auto", "loop", "scan", "chunked", "kernel"]


@dataclass(frozen=True)
class Thresholds:
    """Where one algorithm gives way to another; ``benchmarks/scan.py`` derives them again.

    Args:
        loop_slice: Numbers of one step's state from which a loop of tensor operations beats the
            associative scan on the processor.
        loop_length: Tokens up to which it does at any size.
        chunk_numbers: Numbers of the states of one chunk, where no chunk size is asked for.
        whole_bytes: Bytes of all states up to which an accelerator keeps them, three times.
        full: Share of valid tokens from which a padded batch is run as it is.
    """

    loop_slice: int = 8_192
    loop_length: int = 64
    chunk_numbers: int = 1 << 20
    whole_bytes: int = 4 << 30
    full: float = 0.6


THRESHOLDS = Thresholds()


def token_loop_wins(slice_numbers: int, length: int) -> bool:
    """Says whether a loop over tokens beats the associative scan on the processor."""
    return slice_numbers >= THRESHOLDS.loop_slice or length <= THRESHOLDS.loop_length


def choose(method: str, shape: torch.Size, device: torch.device, reason: str) -> Method:
    """Resolves ``"auto"`` and refuses what cannot run.

    Args:
        method: One of ``Method``.
        shape: That of all states, ``(batch, length, ...)``.
        device: Where the tensors are.
        reason: Why no kernel can run there; empty if one can.

    Raises:
        UnknownName: There is no such method.
        SettingError: The kernel is asked for and cannot run; the message says why.
    """
    if method not in get_args(Method):
        raise unknown_name("scan method", method, get_args(Method))
    if method == "kernel" and reason:
        raise SettingError(f"method='kernel' cannot run: {reason}")
    if method != "auto":
        return method  # type: ignore[return-value]
    if not reason:
        return "kernel"  # faster than the others on every shape of benchmarks/scan.py
    if device.type == "cpu" and token_loop_wins(shape[0] * shape[2:].numel(), shape[1]):
        return "loop"
    return "scan" if 3 * 4 * shape.numel() <= THRESHOLDS.whole_bytes else "chunked"


def chunk_length(chunk_size: int | None, slice_numbers: int) -> int:
    """Returns the chunk size asked for, else one whose states fit ``chunk_numbers``."""
    if chunk_size is None:
        return max(1, THRESHOLDS.chunk_numbers // max(1, slice_numbers))
    if chunk_size < 1:
        raise SettingError(f"chunk_size is {chunk_size}; expected at least 1")
    return chunk_size


def states_of(method: Method, chunk: int) -> States:
    """Returns the algorithm in tensor operations behind a method."""
    if method == "chunked":
        return partial(chunk_states, size=chunk)
    return loop_states if method == "loop" else scan_states
