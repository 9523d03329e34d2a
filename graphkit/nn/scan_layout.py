"""Ragged batches of the scans: many sequences in one row of tokens, and where each begins."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch_geometric.utils import cumsum

from graphkit.errors import DataError

__all__ = ["checked_ptr", "even_ptr", "flipped_ptr", "mask_to_ptr", "starts"]


def checked_ptr(ptr: Int[Tensor, "..."], num_tokens: int) -> Int[Tensor, " pointers"]:
    """Returns the pointers as int64 once they are known to cut ``num_tokens`` tokens.

    Raises:
        DataError: They do not rise from 0 to the number of tokens.
    """
    if ptr.dim() != 1 or len(ptr) == 0:
        raise DataError(f"ptr has shape {tuple(ptr.shape)}; expected (sequences + 1,)")
    ptr = ptr.long()
    falls = (ptr.diff() < 0).nonzero()
    if len(falls):
        at = int(falls[0])
        raise DataError(
            f"ptr[{at + 1}] = {int(ptr[at + 1])} is below ptr[{at}] = {int(ptr[at])}; "
            "expected pointers that never fall"
        )
    if int(ptr[0]) != 0 or int(ptr[-1]) != num_tokens:
        raise DataError(
            f"ptr runs from {int(ptr[0])} to {int(ptr[-1])}; expected 0 to {num_tokens}, "
            "the number of tokens"
        )
    return ptr


def even_ptr(batch: Tensor) -> Int[Tensor, " pointers"]:
    """Returns the pointers of a batch ``(batch, length, ...)`` laid out as one row of tokens."""
    return torch.arange(len(batch) + 1, device=batch.device) * batch.shape[1]


def flipped_ptr(ptr: Int[Tensor, " pointers"]) -> Int[Tensor, " pointers"]:
    """Returns the pointers of the same tokens read backwards: the last sequence comes first."""
    return ptr[-1] - ptr.flip(0)


def starts(ptr: Int[Tensor, " pointers"]) -> Bool[Tensor, " tokens"]:
    """Marks the first token of each sequence; an empty sequence has none."""
    marks = torch.zeros(int(ptr[-1]), dtype=torch.bool, device=ptr.device)
    marks[ptr[:-1][ptr.diff() > 0]] = True
    return marks


def mask_to_ptr(
    mask: Bool[Tensor, "batch length"],
) -> tuple[Int[Tensor, " tokens"], Int[Tensor, " pointers"]]:
    """Returns the places of the tokens in the flattened batch, and the pointers of its rows."""
    return mask.flatten().nonzero().flatten(), cumsum(mask.sum(dim=1))
