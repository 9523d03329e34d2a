"""LightHGNN: a network that sees no hyperedge learns from one that does."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphkit.data.problem import Problem
from graphkit.distill.glnn import GLNN
from graphkit.distill.teaching import Student
from graphkit.errors import DataError, SettingError
from graphkit.models.base import as_model
from graphkit.models.hgnn import LightMLP
from graphkit.nn.losses import Divergence, hyperedge_soft_label, soft_label
from graphkit.seeds import stream
from graphkit.tasks import Task
from graphkit.train import ModelFactory, TrainConfig
from graphkit.transforms.hypergraph import members

__all__ = [
    "TRAIN",
    "HighOrderBatch",
    "HighOrderStudent",
    "LightHGNN",
    "LightHGNNPlus",
    "hyperedge_reliability",
]

# The authors' loop, for teachers and students: the whole hypergraph, the first best epoch counts.
TRAIN = TrainConfig(epochs=200, lr=0.01, weight_decay=5e-4)


@runtime_checkable
class HighOrderBatch(Protocol):
    """All vertices with a teacher's log-probabilities, and how stable each hyperedge is."""

    x: Tensor
    y: Tensor
    seeds: Int[Tensor, " seeds"]
    soft: Float[Tensor, "nodes classes"]
    hyperedge_index: Int[Tensor, "2 memberships"]
    hyperedge_reliability: Float[Tensor, " hyperedges"]


class HighOrderStudent(Student):
    """A network that is also taught the mean class probabilities of whole hyperedges.

    At each step a hyperedge counts with the probability of its reliability. Hyperedges are read in
    training alone.

    Args:
        net: The network that is taught.
        hard_weight: Weight of the known classes (lambda), in [0, 1].
        divergence: Distance to the teacher, for vertices and for hyperedges.
        high_order_weight: Weight of the hyperedges beside the vertices.
        temperature: Above 1 smooths the means of both sides.

    Reads:
        What ``net`` reads; in training ``soft``, ``hyperedge_index``, ``hyperedge_reliability``.

    Raises:
        SettingError: A setting is out of its range; in training, the batch lacks hyperedges.

    Source:
        Feng et al., "LightHGNN", ICLR 2024, LightHGNN+.
    """

    def __init__(
        self,
        net: nn.Module,
        hard_weight: float = 0.0,
        divergence: Divergence = soft_label,
        high_order_weight: float = 1.0,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(net, hard_weight, divergence)
        self.high_order_weight = high_order_weight
        self.temperature = temperature

    def taught(self, logits: Tensor, batch: Any, task: Task) -> dict[str, Tensor]:
        """Returns the terms for scores that are there already."""
        reliability = batch.get("hyperedge_reliability")
        if reliability is None or batch.get("hyperedge_index") is None:
            raise SettingError(
                "the batch holds no hyperedges: a hyperedge's mean needs all of its vertices. "
                "Train on the whole hypergraph: TrainConfig(batching=FullGraph())"
            )
        mask = torch.bernoulli(reliability).bool()
        high = hyperedge_soft_label(
            logits, batch.soft, batch.hyperedge_index, mask, self.temperature, self.divergence
        )
        weight = (1 - self.hard_weight) * self.high_order_weight
        return super().taught(logits, batch, task) | {"high_order": weight * high}


@dataclass(frozen=True)
class LightHGNN(GLNN):
    """Fits a network on hypergraphs, then an MLP on its class probabilities for all vertices.

    GLNN with another teacher, student and loop; hidden vertices are seen by neither.

    Args:
        teacher: Fits the network that sees the hypergraph; ``Given(net)`` for one that is trained.
        student: Makes the network that is taught.
        hard_weight: Weight of the known classes (lambda), in [0, 1].
        train: How the student is trained.
        on_epoch: Told each epoch's row, for progress; not a setting.
        divergence: Distance to the teacher: ``soft_label`` as in the text, or
            ``smoothed_soft_label`` as in the authors' code.

    Raises:
        SettingError: The problem does not ask for one class per vertex.
        DataError: The teacher knows other classes.

    Source:
        Feng et al., "LightHGNN: Distilling Hypergraph Neural Networks into MLPs for 100x Faster
        Inference", ICLR 2024, arXiv 2402.04296. lambda is 0 as in all official settings.
    """

    student: ModelFactory = LightMLP
    train: TrainConfig = TRAIN
    divergence: Divergence = soft_label

    def pupil(self, net: nn.Module, teacher: nn.Module) -> Student:
        """Returns the network that is taught, with its losses."""
        return Student(net, self.hard_weight, self.divergence)


@dataclass(frozen=True)
class LightHGNNPlus(LightHGNN):
    """LightHGNN that also matches mean predictions of hyperedges, reliable ones more often.

    The hyperedges are those the teacher sees, the ones it makes itself included. With ``noise=0``
    every hyperedge counts at every step: the method without its sampling.

    Args:
        teacher: Fits the network that sees the hypergraph; ``Given(net)`` for one that is trained.
        student: Makes the network that is taught.
        hard_weight: Weight of the known classes (lambda), in [0, 1].
        train: How the student is trained; on the whole hypergraph.
        on_epoch: Told each epoch's row, for progress; not a setting.
        divergence: Distance to the teacher, for vertices and hyperedges.
        high_order_weight: Weight of the hyperedges beside the vertices.
        temperature: Above 1 smooths the hyperedges' means.
        noise: Size of the perturbation that reliability is measured by.
        repeats: Perturbations that it is averaged over.

    Raises:
        SettingError: A setting is out of its range, or batches do not hold the whole hypergraph.
        DataError: The teacher knows other classes or sees no hyperedges.

    Source:
        Feng et al., "LightHGNN: Distilling Hypergraph Neural Networks into MLPs for 100x Faster
        Inference", ICLR 2024, arXiv 2402.04296, LightHGNN+. Weights 1 : 1 as there.
    """

    high_order_weight: float = 1.0
    temperature: float = 1.0
    noise: float = 1.0
    repeats: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.high_order_weight >= 0 and math.isfinite(self.high_order_weight)):
            raise SettingError(f"high_order_weight={self.high_order_weight}; expected 0 or above")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise SettingError(f"temperature={self.temperature}; expected a number above 0")
        _check_noise(self.noise, self.repeats)

    def check(self, problem: Problem) -> None:
        """Refuses a batching that cuts hyperedges apart."""
        batching = self.train.batching or problem.batching
        if not getattr(batching, "whole", False):
            raise SettingError(
                f"{type(batching).__name__} does not put the whole hypergraph into a batch, and a "
                "hyperedge's mean needs all of its vertices: train with FullGraph()"
            )

    def lesson(self, teacher: nn.Module, problem: Problem) -> Problem:
        """Returns the problem with class probabilities, hyperedges and their reliability."""
        taught = super().lesson(teacher, problem)
        data = copy.copy(taught.data)
        for key in [key for key in data.to_dict() if key.startswith("hyperedge_")]:
            del data[key]  # fields of the hyperedges as they were before the teacher's transforms
        data.hyperedge_index = members(_seen(teacher, problem)).pairs.cpu()
        data.hyperedge_reliability = hyperedge_reliability(
            teacher, problem, self.noise, self.repeats
        ).cpu()
        fields = (*taught.stage_fields, "hyperedge_reliability")
        return replace(taught, data=data, stage_fields=fields)

    def pupil(self, net: nn.Module, teacher: nn.Module) -> Student:
        """Returns the network that is taught, with its losses."""
        return HighOrderStudent(
            net, self.hard_weight, self.divergence, self.high_order_weight, self.temperature
        )

    def notes(self, teacher: nn.Module, taught: Problem) -> dict[str, Any]:
        """Returns how reliable the hyperedges are."""
        rho = taught.data.hyperedge_reliability
        marks = torch.tensor([0.1, 0.5], dtype=rho.dtype)
        low, middle = rho.quantile(marks).tolist() if len(rho) else (1.0, 1.0)
        return {"reliability": {"hyperedges": len(rho), "tenth": low, "median": middle}}


@torch.no_grad()
def hyperedge_reliability(
    teacher: nn.Module,
    problem: Problem,
    noise: float = 1.0,
    repeats: int = 1,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " hyperedges"]:
    r"""Returns how stable the teacher is on each hyperedge when features are perturbed, in [0, 1].

    .. math:: \rho_e = 1 - \frac{\delta_e}{\max_e \delta_e}, \quad \delta_e = | h'_e - h_e |,
        \quad h_e = \frac{1}{|e|} \sum_{v \in e} H(y_v), \quad X' = X (1 + \sigma \epsilon)

    Of the hyperedges the teacher sees, in their order. The least stable one gets 0; if none
    changes, all get 1. An empty hyperedge changes nothing: 1.

    Args:
        teacher: A trained network on hypergraphs; it is asked in evaluation mode.
        problem: The visible part of the data.
        noise: :math:`\sigma`, the standard deviation of the factor on each feature; features that
            are 0 stay 0.
        repeats: Perturbations that :math:`\delta` is averaged over, one at a time: memory is that
            of one pass and a copy of the features.
        generator: Source of the noise; by default a stream of the problem's seed.

    Raises:
        SettingError: ``noise`` or ``repeats`` is out of range, or batches are not the whole graph.
        DataError: The teacher sees no hyperedges or no vectors, or an answer is no number.

    Source:
        Feng et al., "LightHGNN", ICLR 2024, reliable hyperedges; after Wu et al., KRD, 2023.
        Differs: the authors' code scales all features by the level of the noise besides, which
        is the same at its default, 1; they draw once.
    """
    _check_noise(noise, repeats)
    model = as_model(teacher).to(problem.device)
    was_training = model.training
    model.eval()
    batch = _seen(model, problem)
    index, _, count = members(batch)
    x = batch.get("x")
    if x is None or not x.is_floating_point():
        raise DataError(
            "reliability perturbs vectors x of real numbers, which the data do not hold"
        )
    source = generator or stream(problem.seed, "reliability")
    size = torch.bincount(index[1], minlength=count).clamp(min=1)

    def uncertainty(shown: Any) -> Tensor:
        probabilities = model(shown).double().softmax(-1)
        if not bool(torch.isfinite(probabilities).all()):
            raise DataError("the teacher's answer to perturbed features is not a finite number")
        entropy = torch.special.entr(probabilities).sum(-1)  # 0 log 0 is 0
        total = entropy.new_zeros(count).index_add_(0, index[1], entropy[index[0]])
        return total / size

    usual, change = uncertainty(batch), torch.zeros(count, dtype=torch.float64, device=x.device)
    for _ in range(repeats):
        noisy = torch.randn(x.shape, generator=source).to(x).mul_(noise).add_(1).mul_(x)
        shown = copy.copy(batch)
        shown.x = noisy
        if batch.get("sparse_x") is not None:  # the same numbers, for who reads them without zeros
            sparse = batch.sparse_x
            shown.sparse_x = sparse.with_values(noisy[sparse.rows, sparse.columns])
        change += (uncertainty(shown) - usual).abs()
    if was_training:
        model.train()
    largest = change.max() if count else change.new_zeros(())
    return torch.where(largest > 0, 1 - change / largest.clamp(min=1e-300), 1.0).float()


def _seen(teacher: nn.Module, problem: Problem) -> Any:
    """The one batch the teacher is asked with, hyperedges and operators included."""
    if not getattr(problem.batching, "whole", False):
        raise SettingError(
            f"{type(problem.batching).__name__} does not put the whole hypergraph into a batch; "
            "the reliability of a hyperedge needs FullGraph()"
        )
    [batch] = problem.batches("all", as_model(teacher))
    return batch


def _check_noise(noise: float, repeats: int) -> None:
    if not (noise >= 0 and math.isfinite(noise)):
        raise SettingError(f"noise={noise}; expected a finite number, 0 or above")
    if repeats < 1:
        raise SettingError(f"repeats={repeats}; expected at least 1")
