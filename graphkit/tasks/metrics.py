"""Scores of gathered predictions. Each takes all rows of a part at once, never a mean of batches.

Accuracy and errors are computed here; AUROC, average precision and F1 come from scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkit.errors import DataError, unknown_name
from graphkit.tasks.ranking import hits_at, mean_reciprocal_rank

__all__ = ["METRICS", "Metric", "metric"]


@dataclass(frozen=True)
class Metric:
    """A score: a function of predictions and answers, and the direction in which it is good.

    Args:
        function: Takes all rows of a part at once.
        higher: Whether a larger number is the better one.
        in_batch: The function papers average over batches, where it is another one.
    """

    function: Callable[[Tensor, Tensor], float]
    higher: bool = True
    in_batch: Callable[[Tensor, Tensor], float] | None = None

    def __call__(self, answers: Tensor, target: Tensor) -> float:
        """Returns the score of ``answers`` against ``target``.

        Raises:
            DataError: A prediction is not a number.
        """
        if not bool(torch.isfinite(answers.sum())):  # a sum is finite only if every entry is
            _refuse_undefined(answers)
        return self.function(answers, target)

    def of_batch(self, answers: Tensor, target: Tensor) -> float:
        """Returns the score of one batch, as papers compute it."""
        return Metric(self.in_batch or self.function)(answers, target)


def _refuse_undefined(answers: Tensor) -> None:
    """Raises unless the only entries that are not finite are at minus infinity: absent ones."""
    bad = (torch.isnan(answers) | torch.isposinf(answers)).reshape(len(answers), -1).any(dim=1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise DataError(
            f"the prediction in row {row} is {answers[row].flatten().tolist()[:8]}; "
            "a score needs finite numbers. Lower the learning rate or clip gradients."
        )


def metric(name: str) -> Metric:
    """Returns the metric of that name.

    Raises:
        UnknownName: There is none; the message holds the nearest name.
    """
    if name not in METRICS:
        raise unknown_name("metric", name, METRICS)
    return METRICS[name]


def _classes(answers: Tensor) -> Tensor:
    """Class chosen per row; one column alone is a logit for class 1."""
    if answers.dim() == 1 or answers.shape[1] == 1:
        return (answers.reshape(-1) > 0).long()
    return answers.argmax(dim=-1)


def accuracy(answers: Tensor, target: Tensor) -> float:
    """Share of rows whose largest score is that of the right class."""
    return (_classes(answers) == target.reshape(-1)).double().mean().item()


def balanced_accuracy(answers: Tensor, target: Tensor) -> float:
    """Mean recall over the classes that occur among the answers."""
    target = target.reshape(-1).long()
    hits = (_classes(answers) == target).double()
    size = torch.bincount(target).double()
    recall = torch.zeros_like(size).index_add_(0, target, hits) / size.clamp(min=1)
    return recall[size > 0].mean().item()


def balanced_accuracy_of_batch(answers: Tensor, target: Tensor) -> float:
    """The same, but a class that is said and does not occur counts as a recall of 0.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023, accuracy in their code
        for PATTERN and CLUSTER, which is averaged over batches.
    """
    occurring, said = target.reshape(-1).long().unique(), _classes(answers).unique()
    counted = torch.cat([occurring, said]).unique()
    return balanced_accuracy(answers, target) * len(occurring) / len(counted)


def macro_f1(answers: Tensor, target: Tensor) -> float:
    """F1 per class, averaged over all classes there are."""
    from sklearn.metrics import f1_score

    classes = np.arange(max(answers.shape[-1], 2))
    return float(
        f1_score(target.reshape(-1), _classes(answers), average="macro", labels=classes,
                 zero_division=0)
    )  # fmt: skip


def f1(answers: Tensor, target: Tensor) -> float:
    """F1 of class 1."""
    from sklearn.metrics import f1_score

    return float(f1_score(target.reshape(-1), _classes(answers), zero_division=0))


def micro_f1(answers: Tensor, target: Tensor) -> float:
    """F1 over all (row, label) pairs of a multi-label task; a logit above 0 says yes."""
    from sklearn.metrics import f1_score

    known = ~torch.isnan(target)
    said, true = (answers > 0)[known].numpy(), target[known].long().numpy()
    return float(f1_score(true, said, zero_division=0))


def _columns(answers: Tensor, target: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of answers (0 or 1) and scores, a pair per column, unknown answers left out."""
    if target.dim() == 1 and answers.dim() == 2 and answers.shape[1] == 2:
        answers = answers[:, 1] - answers[:, 0]
    answers, target = answers.reshape(len(answers), -1), target.reshape(len(target), -1)
    pairs = []
    for column in range(target.shape[1]):
        known = ~torch.isnan(target[:, column].double())
        pairs.append((target[known, column].long().numpy(), answers[known, column].numpy()))
    return pairs


def _mean_over_columns(
    score: Callable[[np.ndarray, np.ndarray], float], answers: Tensor, target: Tensor
) -> float:
    """Mean over the columns that hold both classes; NaN where none does."""
    values = [
        score(true, said) for true, said in _columns(answers, target) if 0 < true.sum() < len(true)
    ]
    return float(np.mean(values)) if values else float("nan")


def roc_auc(answers: Tensor, target: Tensor) -> float:
    """Area under the ROC curve, averaged over columns with both classes (OGB's rule)."""
    from sklearn.metrics import roc_auc_score

    return _mean_over_columns(roc_auc_score, answers, target)


def average_precision(answers: Tensor, target: Tensor) -> float:
    """Average precision, averaged over columns with both classes."""
    from sklearn.metrics import average_precision_score

    return _mean_over_columns(average_precision_score, answers, target)


def mae(answers: Tensor, target: Tensor) -> float:
    """Mean absolute error over all known numbers."""
    error = (answers.reshape(target.shape) - target).double().abs()
    return error[~torch.isnan(target)].mean().item()


def rmse(answers: Tensor, target: Tensor) -> float:
    """Root of the mean squared error over all known numbers."""
    error = (answers.reshape(target.shape) - target).double().square()
    return error[~torch.isnan(target)].mean().sqrt().item()


def _pairs(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The true candidates and the first drawn one of each event, as a binary question."""
    true, drawn = scores[:, 0], scores[:, 1:2].flatten()
    drawn = drawn[~torch.isneginf(drawn)]  # absent ones
    lowest = torch.finfo(scores.dtype).min  # scikit-learn takes finite scores alone
    both = torch.cat([true, drawn]).clamp(min=lowest)
    return both, torch.cat([torch.ones(len(true)), torch.zeros(len(drawn))])


def pair_average_precision(answers: Tensor, target: Tensor) -> float:
    """Average precision of true destinations against one drawn candidate each."""
    return average_precision(*_pairs(answers))


def pair_roc_auc(answers: Tensor, target: Tensor) -> float:
    """Area under the ROC curve of true destinations against one drawn candidate each."""
    return roc_auc(*_pairs(answers))


METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy),
    "average_precision": Metric(average_precision),
    "balanced_accuracy": Metric(balanced_accuracy, in_batch=balanced_accuracy_of_batch),
    "f1": Metric(f1),
    "hits@10": Metric(lambda answers, target: hits_at(answers, 10)),
    "macro_f1": Metric(macro_f1),
    "mae": Metric(mae, higher=False),
    "micro_f1": Metric(micro_f1),
    "mrr": Metric(lambda answers, target: mean_reciprocal_rank(answers)),
    "pair_average_precision": Metric(pair_average_precision),
    "pair_roc_auc": Metric(pair_roc_auc),
    "rmse": Metric(rmse, higher=False),
    "roc_auc": Metric(roc_auc),
}
