"""A recipe: a value whose fields are its settings, and whose call makes a fitted model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature
from typing import Any, Protocol, runtime_checkable

import torch
import xxhash
from torch import Tensor, nn

from graphkit.data.problem import Problem
from graphkit.models.base import as_model
from graphkit.tasks import Dims
from graphkit.train.config import TrainConfig
from graphkit.train.fit import Fitted, fit

__all__ = ["ModelFactory", "Recipe", "Supervised", "describe"]

ModelFactory = Callable[[Dims], nn.Module]


@runtime_checkable
class Recipe(Protocol):
    """Which fits, in which order."""

    def __call__(self, problem: Problem) -> Fitted:
        """Fits on a blind problem: no test answer is in it."""
        ...


@dataclass(frozen=True)
class Supervised:
    """Builds a model from the problem's sizes and fits it.

    Args:
        model: Makes the model from the sizes, e.g. ``partial(DAGNN, hops=10)``.
        train: How to train.
        decay: Parameters (by the start of their name) that ``weight_decay`` is for; all if empty.
        on_epoch: Told each epoch's row, for progress; not a setting.
    """

    model: ModelFactory
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    decay: tuple[str, ...] = ()
    on_epoch: Callable[[dict[str, float]], Any] | None = dataclasses.field(
        default=None, compare=False, repr=False
    )

    def __call__(self, problem: Problem) -> Fitted:
        """Returns the fitted model."""
        from graphkit.train.update import GradientUpdate

        model = as_model(self.model(problem.dims)).to(problem.device)
        update = None
        if self.decay:
            named = list(model.named_parameters())
            chosen = [p for name, p in named if name.startswith(self.decay)]
            others = [p for name, p in named if not name.startswith(self.decay)]
            groups: list[dict[str, Any]] = [
                {"params": chosen},
                {"params": others, "weight_decay": 0.0},
            ]
            update = GradientUpdate(model, problem.task, self.train, groups)
        watch = self.on_epoch or (lambda row: False)
        return fit(model, problem, self.train, update=update, on_epoch=watch)


def describe(value: Any) -> Any:
    """Returns every setting of a recipe, defaults included, as nested dicts, lists and numbers.

    Raises:
        TypeError: A setting cannot be written down.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return {"tensor": list(value.shape)}
    if isinstance(value, partial):
        told = describe(value.func)
        if value.args:
            told = told | {"args": [describe(v) for v in value.args]}
        return told | {name: describe(v) for name, v in value.keywords.items()}
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return {"name": value.__qualname__} | _defaults(value)
    if dataclasses.is_dataclass(value):
        fields = [f for f in dataclasses.fields(value) if f.compare]
        told = {"name": type(value).__qualname__}
        return told | {f.name: describe(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {str(key): describe(v) for key, v in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [describe(v) for v in value]
    if isinstance(value, nn.Module):
        return {"name": type(value).__qualname__, "repr": repr(value), "weights": _digest(value)}
    raise TypeError(f"a setting of type {type(value).__name__} cannot be written down: {value!r}")


def _digest(net: nn.Module) -> str:
    """Checksum over every bit of a network's state: two trained alike are told apart by it."""
    found = xxhash.xxh3_64()
    for name, value in sorted(net.state_dict().items()):
        found.update(name.encode())
        if isinstance(value, Tensor):
            raw = value.detach().cpu().contiguous().reshape(-1)
            found.update(raw.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _defaults(function: Any) -> dict[str, Any]:
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    kept = [p for p in parameters if p.kind is Parameter.KEYWORD_ONLY and p.default is not p.empty]
    return {p.name: describe(p.default) for p in kept}
