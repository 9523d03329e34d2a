"""Scores of a part, and predictions for every item."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.data.problem import Problem
from graphkit.errors import DataError
from graphkit.models.base import Model, as_model

__all__ = ["evaluate", "predict"]


@torch.no_grad()
def evaluate(net: nn.Module, problem: Problem, part: str) -> dict[str, float]:
    """Returns every metric of the task and the mean loss, over all rows of a part at once.

    ``Split.groups`` that meet the part get each metric again, as ``<group>_<metric>``, from the
    same pass. A model with memory takes the part's batches in.

    Args:
        net: The model, or any PyG network.
        problem: Data, split, task and batching.
        part: ``train``, ``val``, ``test`` or ``hidden``.

    Raises:
        DataError: The part is empty, or a prediction is not a number.
    """
    items = problem.items(part)
    if len(items) == 0:
        raise DataError(f"the {part!r} part of {problem.name} is empty: there is nothing to score")
    model, was_training = _ready(net, problem)
    rows: list[tuple[Tensor, Tensor]] = []
    for batch in problem.batches(part, model):
        answers, target = problem.task.select(model(batch), batch)
        rows.append((answers.detach().cpu(), target.cpu()))
        model.observe(batch)
    if was_training:
        model.train()
    scores = problem.task.scores(rows)
    for name, group in problem.split.groups.items():
        chosen = torch.isin(items, group)
        if bool(chosen.any()):
            answers, target = (torch.cat([pair[i] for pair in rows])[chosen] for i in (0, 1))
            found = problem.task.metrics(answers, target)
            scores |= {f"{name}_{metric}": value for metric, value in found.items()}
    return scores


@torch.no_grad()
def predict(net: nn.Module, problem: Problem, part: str = "all") -> Tensor:
    """Returns a prediction for every item of a part, in item order.

    Args:
        net: The model, or any PyG network.
        problem: Data and batching.
        part: Which items; all by default.

    Shape:
        ``(items, answers)``.
    """
    model, was_training = _ready(net, problem)
    rows = []
    for batch in problem.batches(part, model):
        prediction = model(batch)
        if len(prediction) != len(batch.seeds):
            prediction = prediction[batch.seeds]
        rows.append(prediction.cpu())
        model.observe(batch)
    if was_training:
        model.train()
    return torch.cat(rows)


def _ready(net: nn.Module, problem: Problem) -> tuple[Model, bool]:
    """The model on the problem's device in evaluation mode, and whether it was in training."""
    model = as_model(net)
    first = next(model.parameters(), None)
    if first is None or first.device != torch.device(problem.device):
        model = model.to(problem.device)
    was_training = model.training
    if was_training:
        model.eval()
    return model, was_training
