"""What the scans refuse before any tensor work: sizes, step sizes, layouts."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.errors import DataError

__all__ = ["check_recurrence", "check_scan", "check_ssd", "check_steps", "compute_dtype"]


def compute_dtype(*tensors: Tensor | None) -> torch.dtype:
    """Float64 where any tensor has it, else float32: half precision drifts along a sequence."""
    wide = any(t is not None and t.dtype == torch.float64 for t in tensors)
    return torch.float64 if wide else torch.float32


def check_scan(
    x: Tensor, A: Tensor, tokens: dict[str, Tensor | None], channels: dict[str, Tensor | None],  # noqa: N803
    ptr: Tensor | None, mask: Tensor | None,
) -> None:  # fmt: skip
    """Holds every size of a selective scan against those of ``x`` and ``A``.

    Raises:
        DataError: A size differs; the message names it.
    """
    _check_layout(x, 2, ptr, mask)
    if A.dim() != 2 or A.shape[0] != x.shape[-1]:
        raise DataError(
            f"A has shape {tuple(A.shape)}; expected (channels, state) with the "
            f"{x.shape[-1]} channels of x"
        )
    for name, tensor in tokens.items():
        last = A.shape[1] if name in ("B", "C") else x.shape[-1]
        _check_shape(name, tensor, (*x.shape[:-1], last))
    for name, tensor in channels.items():
        _check_shape(name, tensor, (x.shape[-1],))


def check_steps(delta: Tensor) -> None:
    """Refuses step sizes below zero, and NaN; zero is a token that does nothing.

    Raises:
        DataError: The message names the first place and value.
    """
    if delta.numel() and not bool((delta >= 0).all()):
        at = (~(delta >= 0)).nonzero()[0].tolist()
        raise DataError(
            f"delta{at} = {delta[tuple(at)].item():g}; expected a positive step size. "
            "Pass delta_softplus=True for raw values"
        )


def check_recurrence(a: Tensor, b: Tensor, h0: Tensor | None, ptr: Tensor | None) -> None:
    """Holds the sizes of a linear recurrence against each other.

    Raises:
        DataError: A size differs; the message names it.
    """
    lead = 1 if ptr is not None else 2
    if b.dim() < lead:
        raise DataError(f"b has shape {tuple(b.shape)}; expected (batch, length, ...)")
    _check_shape("a", a, tuple(b.shape))
    sequences = len(b) if ptr is None else len(ptr) - 1
    _check_shape("h0", h0, (sequences, *b.shape[lead:]))


def check_ssd(
    x: Tensor, log_decay: Tensor, B: Tensor, C: Tensor, D: Tensor | None,  # noqa: N803
    ptr: Tensor | None, initial: Tensor | None,
) -> None:  # fmt: skip
    """Holds the sizes of a block scan against those of ``x`` and ``B``.

    Raises:
        DataError: A size differs; the message names it.
    """
    _check_layout(x, 3, ptr, None)
    tokens, (heads, width) = x.shape[:-2], x.shape[-2:]
    _check_shape("log_decay", log_decay, (*tokens, heads))
    if B.dim() != x.dim() or B.shape[:-2] != tokens or B.shape[-2] < 1 or heads % B.shape[-2]:
        raise DataError(
            f"B has shape {tuple(B.shape)}; expected {tokens} and (groups, state) with groups that "
            f"divide {heads} heads"
        )
    _check_shape("C", C, tuple(B.shape))
    _check_shape("D", D, (heads,))
    sequences = len(x) if ptr is None else len(ptr) - 1
    _check_shape("initial_state", initial, (sequences, heads, width, B.shape[-1]))


def _check_shape(name: str, tensor: Tensor | None, expected: tuple[int, ...]) -> None:
    if tensor is not None and tuple(tensor.shape) != expected:
        raise DataError(f"{name} has shape {tuple(tensor.shape)}; expected {expected}")


def _check_layout(x: Tensor, packed_dims: int, ptr: Tensor | None, mask: Tensor | None) -> None:
    if ptr is not None and mask is not None:
        raise DataError("ptr and mask are both given; expected ptr for packed, mask for padded")
    dims = packed_dims if ptr is not None else packed_dims + 1
    if x.dim() != dims:
        layout = "packed (tokens, ...) with ptr" if ptr is not None else "(batch, length, ...)"
        raise DataError(f"x has shape {tuple(x.shape)}; expected {layout}, {dims} dimensions")
    if mask is not None:
        _check_shape("mask", mask, tuple(x.shape[:2]))
