"""The width that meets a parameter budget, so that models are compared at equal size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from graphkit.errors import SettingError
from graphkit.tasks import Dims

__all__ = ["Fit", "count_parameters", "fit_width"]


@dataclass(frozen=True)
class Fit:
    """A width and what it comes to.

    Args:
        width: ``hidden_channels``.
        num_parameters: Trainable numbers of the model of that width.
        deviation: How far that is from the budget, as a share of it.
    """

    width: int
    num_parameters: int
    deviation: float


def count_parameters(model: nn.Module) -> int:
    """Returns the number of entries of all parameters; buffers are not counted.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023.
    """
    return sum(parameter.numel() for parameter in model.parameters())


def fit_width(
    factory: Callable[..., nn.Module],
    dims: Dims,
    budget: int,
    *,
    multiple_of: int = 1,
    tolerance: float = 0.05,
) -> Fit:
    """Finds the ``hidden_channels`` whose model is closest to a budget, for the real sizes.

    Args:
        factory: Makes a model from sizes and the keyword ``hidden_channels``.
        dims: Sizes of the data set.
        budget: Number of parameters asked for.
        multiple_of: What the width must be divisible by (attention heads).
        tolerance: Largest deviation, as a share of the budget.

    Raises:
        SettingError: The model has no width, or no width is close enough.
    """

    def size(steps: int) -> int:
        try:
            with torch.device("meta"):  # counts without drawing weights
                return count_parameters(factory(dims, hidden_channels=steps * multiple_of))
        except TypeError as error:
            raise SettingError(
                f"the model has no hidden_channels to fit to a budget of {budget}: {error}"
            ) from error

    low, high = 1, 2
    while size(high) < budget:
        low, high = high, high * 2
        if high > 2**20:
            raise SettingError(f"no width meets a budget of {budget} parameters")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < budget else (low, middle)
    best = min((low, high), key=lambda steps: (abs(size(steps) - budget), steps))
    deviation = size(best) / budget - 1
    if abs(deviation) > tolerance:
        raise SettingError(
            f"no width fits {budget} parameters within {tolerance:.0%}: the closest, "
            f"{best * multiple_of}, has {size(best)} ({deviation:+.1%})"
        )
    return Fit(best * multiple_of, size(best), deviation)
