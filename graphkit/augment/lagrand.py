"""LAGRAND: GRAND that is also shown generated rows in place of the nodes' own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from graphkit.augment.branches import Widened
from graphkit.augment.lagnn import LAGNN, LocalAugmented
from graphkit.data.problem import Problem
from graphkit.tasks import Dims
from graphkit.train import Fitted, ModelFactory, Patience, TrainConfig, fit

__all__ = ["GRAND_TRAIN", "LAGRAND", "GeneratedViews", "InPlace"]

GRAND_TRAIN = TrainConfig(epochs=5000, weight_decay=5e-4, monitor="loss", stop=Patience(200))
"""GRAND and LAGRAND on Cora: weight decay on all parameters, lowest validation loss."""


class InPlace(Widened):
    """Any network, fed with a node's own row, or with a generated one in its place.

    Args:
        backbone: Makes the network from sizes.
        dims: Sizes of the data set.

    Reads:
        What the backbone reads, and the row handed to ``answer``.
    """

    def __init__(self, backbone: ModelFactory, dims: Dims) -> None:
        super().__init__(backbone, dims, branches=0)

    def answer(self, batch: Any, generated: Sequence[Tensor]) -> Tensor:
        """Returns the scores given the nodes' generated rows, or their own if there are none."""
        if generated:
            batch = copy.copy(batch)
            [batch.x], batch.sparse_x = generated, None
        out: Tensor = self.net(batch)
        return out


class GeneratedViews(LocalAugmented):
    """A network that draws at random itself, trained on own and on generated rows in turn.

    One draw of the generator, fixed by the seed, serves the whole training. What is scored are
    the nodes' own rows alone.

    Args:
        net: The network.
        generator: A fitted generator.
        draws: Views a training step: of own rows first, then by turns.
        settings: As for ``LocalAugmented``.

    Reads:
        What the network reads, ``x``, ``n_id`` of a sampled batch.

    Source:
        Liu et al., "Local Augmentation for Graph Neural Networks", ICML 2022: LAGRAND.
    """

    def forward(self, batch: Any) -> Tensor:
        """Returns the scores of the nodes' own rows."""
        return self.net.answer(batch, ())

    def picked(self, batch: Any, draws: int) -> list[list[Tensor]]:
        """Returns the generated rows of a training step; none where own rows are seen."""
        fixed = self.scored(batch) if draws > 1 else []
        return [fixed if view % 2 else [] for view in range(draws)]


@dataclass(frozen=True)
class LAGRAND(LAGNN):
    """Fits a generator of neighbours' features, then a network on views of own and drawn rows.

    One matrix is drawn before training. A step sees ``draws`` views of the nodes' own rows and as
    many of the drawn ones; the loss on known classes is the mean over all of them, and all are
    held together. Without the drawn ones it is GRAND: ``LAGNN(GRAND, branches=0)``.

    Args:
        backbone: Makes the network, which has to be random in training: ``GRAND``.
        draws: Views a training step of own rows, and of generated ones (S).
        generator, consistency_weight, temperature, pretrain, train, on_epoch: As for ``LAGNN``.

    Raises:
        SettingError, DataError: As ``LAGNN``.

    Source:
        Liu et al., "Local Augmentation for Graph Neural Networks", ICML 2022, arXiv 2109.03856:
        LAGRAND; after Feng et al., "Graph Random Neural Networks for Semi-Supervised Learning on
        Graphs", NeurIPS 2020. Differs: the generator, as in ``LAGNN``.
    """

    branches: int = field(default=1, init=False)
    pool: int = field(default=0, init=False)
    train: TrainConfig = GRAND_TRAIN

    def __call__(self, problem: Problem) -> Fitted:
        """Returns the fitted network; ``notes`` hold the generator's scores and the form."""
        views = 2 * self.draws
        replace(self, draws=views)._check(problem)  # as many are held together
        generator = self.fit_generator(problem)
        net = InPlace(self.backbone, problem.dims)
        model = GeneratedViews(
            net,
            generator.model,  # type: ignore[arg-type]
            draws=views,
            consistency_weight=self.consistency_weight,
            temperature=self.temperature,
            seed=problem.draw_seed("local augmentation"),
        )
        shown = problem.with_unlabelled() if model.is_consistent else problem
        trained = fit(model, shown, self.train, on_epoch=self._watch)
        trained.notes.update(generator=generator.val, form=type(net).__name__)
        return trained
