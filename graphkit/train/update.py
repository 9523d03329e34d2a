"""What one step does to which parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from graphkit.errors import TrainingError
from graphkit.models.base import Model
from graphkit.tasks import Task
from graphkit.train.config import TrainConfig
from graphkit.train.ranks import ranks

__all__ = ["Alternate", "GradientUpdate", "Update"]


@runtime_checkable
class Update(Protocol):
    """A rhythm of steps."""

    def __call__(self, batch: Any) -> dict[str, float]:
        """Takes one step and returns named numbers for the history."""
        ...

    def after_epoch(self, scores: dict[str, float]) -> dict[str, float]:
        """Moves the schedule by the validation scores, none in an epoch that is not validated;
        returns what else belongs in the row."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns all that a resumed fit needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to a saved state."""
        ...


class _Losses(nn.Module):
    """The model's losses as a ``forward``: DDP reduces gradients only after its own."""

    def __init__(self, model: Model, task: Task) -> None:
        super().__init__()
        self.model, self.task = model, task

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return self.model.losses(batch, self.task)


class GradientUpdate:
    """Sums the model's losses and follows their gradient.

    Args:
        model: The model.
        task: The task handed to ``model.losses``.
        config: Optimiser, rate, schedule, clipping, precision.
        params: Parameters that are stepped, or torch's groups with rates of their own; all of the
            model's if not given. None at all is fine: then nothing is stepped.
    """

    def __init__(
        self,
        model: Model,
        task: Task,
        config: TrainConfig,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]] | None = None,
    ) -> None:
        self.config = config
        chosen: list[Any] = list(
            params if params is not None else (p for p in model.parameters() if p.requires_grad)
        )
        self.optimizer = _optimizer(chosen, config) if chosen else None
        self.schedule = (
            config.schedule.build(self.optimizer, config.epochs)
            if config.schedule is not None and self.optimizer is not None
            else None
        )
        losses: nn.Module = _Losses(model, task)
        if ranks() > 1 and self.optimizer is not None:
            losses = nn.parallel.DistributedDataParallel(losses)
        self.losses = losses
        self.autocast = config.precision == "bfloat16"
        self.steps = 0

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that are stepped."""
        groups = self.optimizer.param_groups if self.optimizer is not None else []
        return (parameter for group in groups for parameter in group["params"])

    def __call__(self, batch: Any) -> dict[str, float]:
        """Takes one step.

        Raises:
            TrainingError: The loss is not a number and the settings say to stop.
        """
        with torch.autocast(_kind(batch), torch.bfloat16, enabled=self.autocast):
            terms = self.losses(batch)
        values = {name: term.item() for name, term in terms.items()}
        self.steps += 1
        if not math.isfinite(sum(values.values())):
            if self.config.on_nan == "stop":
                raise TrainingError(
                    f"the loss is not a finite number at step {self.steps}: {values}. Lower lr "
                    f"(now {self.config.lr}), set clip_norm, or on_nan='skip' to leave such steps."
                )
            if self.config.on_nan == "skip":
                return values
        if self.optimizer is None:
            return values
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(terms.values())).sum() if len(terms) > 1 else _only(terms)
        if total.requires_grad:
            total.backward()
            if self.config.clip_norm is not None:
                nn.utils.clip_grad_norm_(list(self.parameters()), self.config.clip_norm)
            self.optimizer.step()
        return values

    def after_epoch(self, scores: dict[str, float]) -> dict[str, float]:
        """Moves the schedule; a plateau watches the validation loss. Returns the rate."""
        if self.optimizer is None:
            return {}
        if isinstance(self.schedule, ReduceLROnPlateau):
            if scores:
                self.schedule.step(scores["loss"])
        elif self.schedule is not None:
            self.schedule.step()
        return {"lr": float(self.optimizer.param_groups[0]["lr"])}

    def state_dict(self) -> dict[str, Any]:
        """Returns optimiser and schedule."""
        return {
            "optimizer": self.optimizer.state_dict() if self.optimizer is not None else {},
            "schedule": self.schedule.state_dict() if self.schedule is not None else {},
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to a saved state."""
        self.steps = int(state["steps"])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])


class Alternate:
    """Bilevel steps: after each inner step, an outer one on a batch held out from it.

    Args:
        inner: Steps the weights on the batch the loop hands over.
        outer: Steps the choices.
        held_out: Called with epoch and first batch, yields the outer batches; a pass that ends is
            followed by the next.
    """

    def __init__(
        self,
        inner: GradientUpdate,
        outer: GradientUpdate,
        held_out: Callable[[int, int], Iterator[Any]],
    ) -> None:
        self.inner, self.outer, self.held_out = inner, outer, held_out
        self.epoch, self.step = 0, 0
        self._batches: Iterator[Any] | None = None

    def __call__(self, batch: Any) -> dict[str, float]:
        """Takes an inner and an outer step."""
        terms = self.inner(batch)
        terms |= {f"outer_{name}": value for name, value in self.outer(self._next()).items()}
        return terms

    def _next(self) -> Any:
        if self._batches is None:
            self._batches = self.held_out(self.epoch, self.step)
        found = next(self._batches, None)
        if found is None:
            self.epoch, self.step = self.epoch + 1, 0
            self._batches = self.held_out(self.epoch, 0)
            found = next(self._batches)
        self.step += 1
        return found

    def after_epoch(self, scores: dict[str, float]) -> dict[str, float]:
        """Moves both schedules."""
        outer = {f"outer_{name}": value for name, value in self.outer.after_epoch(scores).items()}
        return self.inner.after_epoch(scores) | outer

    def state_dict(self) -> dict[str, Any]:
        """Returns both updates and the place in the held-out batches."""
        return {
            "inner": self.inner.state_dict(),
            "outer": self.outer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to a saved state."""
        self.inner.load_state_dict(state["inner"])
        self.outer.load_state_dict(state["outer"])
        self.epoch, self.step = int(state["epoch"]), int(state["step"])
        self._batches = None


def _optimizer(params: list[Any], config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(params, config.lr, weight_decay=config.weight_decay)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(params, config.lr, weight_decay=config.weight_decay)


def _only(terms: dict[str, Tensor]) -> Tensor:
    [term] = terms.values()
    return term


def _kind(batch: Any) -> str:
    seeds = getattr(batch, "seeds", None)
    return seeds.device.type if isinstance(seeds, Tensor) else "cpu"
