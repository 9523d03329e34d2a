"""Ranks of a true candidate among drawn ones; ties count half: equal scores rank mid-way."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from graphkit.errors import DataError

__all__ = ["hits_at", "mean_reciprocal_rank", "ranks"]


def ranks(scores: Float[Tensor, "events candidates"]) -> Float[Tensor, " events"]:
    """Returns the rank of column 0 in each row, from 1; candidates at minus infinity are absent.

    A candidate above the true one counts 1, one that ties counts 1/2 (the "realistic" rank), so a
    model that scores all alike gets the rank of chance.

    Raises:
        DataError: A score is not a number: comparing with it is always false, a rank too good.
    """
    undefined = torch.isnan(scores).any(dim=1)
    if bool(undefined.any()):
        row = int(undefined.nonzero()[0])
        raise DataError(f"a score in row {row} is not a number; a rank needs finite ones")
    true, drawn = scores[:, :1], scores[:, 1:]
    above = (drawn > true).double().sum(dim=1)
    level = ((drawn == true) & ~torch.isneginf(drawn)).double().sum(dim=1)
    return 1 + above + level / 2


def mean_reciprocal_rank(scores: Float[Tensor, "events candidates"]) -> float:
    """Returns the mean over events of one over the rank."""
    return (1 / ranks(scores)).mean().item()


def hits_at(scores: Float[Tensor, "events candidates"], k: int) -> float:
    """Returns the share of events whose true candidate is among the first ``k``."""
    return (ranks(scores) <= k).double().mean().item()
