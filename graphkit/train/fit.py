"""The one loop over epochs, for every kind of problem and model."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from graphkit.data.problem import Problem
from graphkit.errors import DataError, unknown_name
from graphkit.models.base import Model, as_model
from graphkit.train.checkpoint import Checkpoint, between_steps
from graphkit.train.config import TrainConfig
from graphkit.train.evaluate import evaluate
from graphkit.train.ranks import agreed, rank, ranks
from graphkit.train.update import GradientUpdate, Update

__all__ = ["Fitted", "fit"]

Row = dict[str, float]


@dataclass(frozen=True)
class Fitted:
    """What a fit, or a recipe of several, comes to.

    Args:
        model: The model as it stood at the epoch that counts.
        val: The row of that epoch: its number, loss terms and validation scores.
        history: One row per epoch.
        last: The model after the last epoch.
        seconds: Time of each epoch, in seconds, validation included.
        notes: What a recipe reports besides.
    """

    model: Model
    val: Row
    history: list[Row]
    last: Model
    seconds: list[float] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


def fit(
    net: nn.Module,
    problem: Problem,
    config: TrainConfig | None = None,
    *,
    update: Update | None = None,
    on_epoch: Callable[[Row], Any] = lambda row: False,
) -> Fitted:
    """Trains a model and keeps the epoch that is best on validation.

    The test part is never looked at. Inside ``checkpoints(folder)`` the fit saves its state and
    goes on from it, bit by bit the same on a CPU.

    Args:
        net: A model, or any network with PyG's call ``(x, edge_index, ...)``.
        problem: Data, split, task and batching.
        config: How to train.
        update: What a step does; by default it follows the gradient of all losses.
        on_epoch: Told each epoch's row; answering true ends the fit.

    Raises:
        DataError: The problem has no training or validation items.
        UnknownName: ``config.monitor`` is no score of the task.
        TrainingError: The loss is not a number.
    """
    config = config or TrainConfig()
    model = as_model(net).to(problem.device)
    for part in ("train", "val"):
        if len(problem.items(part)) == 0:
            raise DataError(f"the {part!r} part of {problem.name} is empty: nothing to fit on")
    monitor = config.monitor or problem.task.monitor
    better = problem.task.higher_is_better
    if monitor not in better:
        raise unknown_name("score", monitor, better)
    sign = 1 if better[monitor] else -1
    update = update or GradientUpdate(model, problem.task, config)
    training = problem.batched(config.batching)
    checkpoint = Checkpoint(model, update)
    at = checkpoint.resume()
    for earlier in at.history:
        on_epoch(earlier)
    with between_steps(checkpoint) as check:
        while not at.done:
            start = time.perf_counter()
            if not model.training:
                model.train()
            if at.step == 0:
                model.reset_state()
            for batch in training.batches(
                "train", model, at.epoch, at.step, rank=rank(), ranks=ranks()
            ):
                at.terms.append(update(batch))
                model.observe(batch)
                at.step += 1
                checkpoint.save(at)
                check(at)
            row: Row = {"epoch": at.epoch} | _mean_terms(at.terms)
            if at.epoch + 1 >= config.epochs or (at.epoch + 1) % config.evaluate_every == 0:
                scores = agreed(evaluate(model, problem, "val"))
                row |= {f"val_{name}": value for name, value in scores.items()}
                row |= update.after_epoch(scores)
                at.scores.append(sign * scores[monitor])
                if config.is_kept(at.scores):
                    at.keep(row, model)
            else:
                row |= update.after_epoch({})
            at.close_epoch(row, time.perf_counter() - start)
            at.done = bool(on_epoch(row)) or config.ends(at.scores, row)
            checkpoint.save(at, now=at.done)
    kept = copy.deepcopy(model)
    kept.load_state_dict(at.kept["weights"])
    kept.eval()
    return Fitted(kept, at.kept["row"], at.history, last=model, seconds=at.seconds)


def _mean_terms(terms: list[Row]) -> Row:
    """Mean of each loss term over the steps of an epoch."""
    names = terms[0] if terms else {}
    return {name: statistics.fmean(term[name] for term in terms) for name in names}
