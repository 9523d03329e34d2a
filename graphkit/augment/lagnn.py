"""LA-GNN: networks that also see rows of features as a node's neighbours might have them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.augment.branches import Branched, Widened, with_branches
from graphkit.augment.draws import (
    KeptFeatures,
    Memo,
    decoded,
    given_features,
    node_numbers,
    rows_of,
)
from graphkit.augment.neighbor_vae import GENERATOR, BernoulliNeighborVAE, NeighborVAE
from graphkit.augment.pairs import pairs_problem
from graphkit.data.problem import Problem
from graphkit.errors import SettingError
from graphkit.models.base import Around, frozen
from graphkit.nn.losses import consistency
from graphkit.seeds import derived_seed
from graphkit.tasks import Dims, MultilabelNodes, NodeClassification, NodesOfGraphs, Task
from graphkit.train import Fitted, ModelFactory, Patience, TrainConfig, fit
from graphkit.transforms import Chain

__all__ = ["LAGNN", "TRAIN", "LocalAugmented"]

TRAIN = TrainConfig(epochs=500, weight_decay=5e-4, monitor="loss", stop=Patience(100))
"""LAGCN on Cora: weight decay on all parameters, the epoch of the lowest validation loss."""


class LocalAugmented(Around):
    """A network with branches for generated rows, trained on several draws at a time.

    On a whole graph a pool of draws is decoded once and every step picks from it; on a sampled
    batch each step decodes new draws, for the batch's nodes alone. What is scored sees one draw
    that the seed fixes per node, the same in all epochs and kept with the weights.

    Args:
        net: The network, from ``with_branches``.
        generator: A fitted generator; ``None`` where the network has no branch.
        branches: Generated rows a node has.
        draws: Draws a training step.
        consistency_weight: Weight of the distance between the predictions of the draws.
        temperature: Below 1 sharpens what the predictions are drawn to.
        pool: Draws decoded for a whole graph, four bytes a feature and node each; 0 decodes new
            ones at every step.
        seed: Of the pool and of the draw that is scored.

    Reads:
        What the network reads, ``x``, ``n_id`` of a sampled batch.

    Source:
        Liu et al., "Local Augmentation for Graph Neural Networks", ICML 2022.
        Differs: the draw that is scored is fixed beforehand, where the paper keeps that of the
        epoch of lowest validation loss: the noise is then chosen by validation too.
    """

    def __init__(
        self,
        net: Branched | Widened,
        generator: NeighborVAE | None,
        *,
        branches: int = 1,
        draws: int = 4,
        consistency_weight: float = 1.0,
        temperature: float = 0.5,
        pool: int = 24,
        seed: int = 0,
    ) -> None:
        super().__init__(net)
        if (generator is None) != (branches == 0):
            raise SettingError(
                f"branches={branches} and {'no' if generator is None else 'a'} generator; "
                "expected a generator where there is a branch, and none where there is not"
            )
        self.net: Branched | Widened
        self.branches, self.draws = branches, draws
        self.generator = generator
        if generator is not None:
            frozen(generator)
        self.consistency_weight, self.temperature = consistency_weight, temperature
        self.pool = pool
        self.seed: Tensor
        self.register_buffer("seed", torch.tensor(seed))
        self._memo = Memo()
        self.register_load_state_dict_post_hook(_forget)

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """That of the network, with the features it starts from kept for the generator."""
        inner = self.net.pre_transform
        return inner if inner is None or not self.branches else Chain(KeptFeatures(), inner)

    def forward(self, batch: Any) -> Tensor:
        """Returns the scores of one draw: in training a new one."""
        [draw] = self.picked(batch, 1) if self.training else [self.scored(batch)]
        return self.net.answer(batch, draw)

    def losses(self, batch: Any, task: Task) -> dict[str, Tensor]:
        """Returns the loss on known classes, a mean over draws, and the weighted consistency."""
        answers = [self.net.answer(batch, draw) for draw in self.picked(batch, self.draws)]
        terms = {"supervised": torch.stack([task.loss(a, batch) for a in answers]).mean()}
        if self.is_consistent:
            rows = torch.stack([a[batch.seeds].softmax(dim=-1) for a in answers])
            terms["consistency"] = self.consistency_weight * consistency(rows, self.temperature)
        return terms

    @property
    def is_consistent(self) -> bool:
        """Whether the predictions of the draws are held together."""
        return self.consistency_weight > 0 and self.draws > 1

    def picked(self, batch: Any, draws: int) -> list[list[Tensor]]:
        """Returns the generated rows of a training step: draws, then branches."""
        count = draws * self.branches
        if not count:
            return [[] for _ in range(draws)]
        if batch.get("n_id") is None and self.pool:
            rows = self._of_graph(batch, "pool", self.pool)
            few = count > self.pool
            chosen = torch.randint(self.pool, (count,)) if few else torch.randperm(self.pool)
            flat = [rows[number] for number in chosen[:count].tolist()]
        else:
            assert self.generator is not None
            x = given_features(batch)
            condition = self.generator.given(x)
            flat = []
            for _ in range(count):
                z = torch.randn(len(x), self.generator.latent_channels).to(x)
                flat.append(self._seen(rows_of(self.generator, z, condition), batch))
        return [flat[i : i + self.branches] for i in range(0, count, self.branches)]

    def scored(self, batch: Any) -> list[Tensor]:
        """Returns the generated rows that evaluation sees, one tensor a branch."""
        if not self.branches:
            return []
        if batch.get("n_id") is None:
            return self._of_graph(batch, "scored", self.branches)
        return self._drawn(batch, "scored", self.branches)

    def _of_graph(self, batch: Any, name: str, count: int) -> list[Tensor]:
        """Draws for a whole graph, decoded once."""
        key = (given_features(batch), batch.edge_index)
        return self._memo(key, name, lambda: self._drawn(batch, name, count))

    def _drawn(self, batch: Any, name: str, count: int) -> list[Tensor]:
        assert self.generator is not None
        x = given_features(batch)
        seeds = [derived_seed(int(self.seed), name, number) for number in range(count)]
        rows = decoded(self.generator, x, node_numbers(batch, x), seeds)
        return [self._seen(row, batch) for row in rows]

    def _seen(self, rows: Tensor, batch: Any) -> Tensor:
        """Generated rows after what the network's transform does to features."""
        inner = self.net.pre_transform
        if inner is None or batch.x is batch.x_given or torch.equal(batch.x, batch.x_given):
            return rows
        out: Tensor = inner(Data(x=rows, edge_index=batch.edge_index, num_nodes=len(rows))).x
        return out


def _forget(model: Any, _: Any) -> None:
    """Drops what was decoded with the weights that have just been replaced."""
    model._memo.clear()


@dataclass(frozen=True)
class LAGNN:
    """Fits a generator of neighbours' features, then a network that sees its draws.

    The generator is fitted on the features and edges of the problem it is given, which holds no
    hidden node; it sees no label. Consistency is asked of all visible nodes.

    Args:
        backbone: Makes the network. GCN, GAT and GraphSAGE get a first layer for each row (the
            paper's form), any other network one long row.
        generator: Makes the generator: ``BernoulliNeighborVAE`` for bags of words, whose rows are
            to sum to 1 in the data, ``GaussianNeighborVAE`` for dense features.
        branches: Generated rows a node has (q); 0 fits no generator.
        draws: Draws a training step (S).
        consistency_weight: Weight of the consistency loss (lambda).
        temperature: Of the consistency loss (T).
        pool: Draws decoded once for a whole graph; 0 decodes new ones at every step.
        pretrain: How the generator is fitted.
        train: How the network is trained.
        on_epoch: Told each epoch's row, of both fits; not a setting.

    Raises:
        SettingError: A setting is out of its range, or the problem asks for something else than
            classes of nodes with vectors; with labels of nodes there is no consistency.
        DataError: The graph has no edges to learn from.

    Source:
        Liu et al., "Local Augmentation for Graph Neural Networks", ICML 2022, arXiv 2109.03856.
        Differs: the generator is that of the lowest validation bound on edges held out; the
        search by disagreement of a Bayesian network is left out (its score has the opposite
        sense in the official code, and the shipped generators could not be made again). Glorot
        weights, where the code's are drawn around -1/sqrt(hidden).
    """

    backbone: ModelFactory
    generator: Callable[[Dims], NeighborVAE] = BernoulliNeighborVAE
    branches: int = 1
    draws: int = 4
    consistency_weight: float = 1.0
    temperature: float = 0.5
    pool: int = 24
    pretrain: TrainConfig = GENERATOR
    train: TrainConfig = TRAIN
    on_epoch: Callable[[dict[str, float]], Any] | None = field(
        default=None, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        ranges = {
            "branches": (self.branches >= 0, "0 or more"),
            "draws": (self.draws >= 1, "at least 1"),
            "consistency_weight": (self.consistency_weight >= 0, "0 or above"),
            "temperature": (self.temperature > 0, "above 0"),
            "pool": (self.pool >= 0, "0 or more"),
        }
        for name, (fits, expected) in ranges.items():
            if not fits:
                raise SettingError(f"{name}={getattr(self, name)!r}; expected {expected}")

    def __call__(self, problem: Problem) -> Fitted:
        """Returns the fitted network; ``notes`` hold the generator's scores and the form."""
        self._check(problem)
        notes: dict[str, Any] = {}
        generator: Any = None
        if self.branches:
            fitted = self.fit_generator(problem)
            generator, notes["generator"] = fitted.model, fitted.val
        net = with_branches(self.backbone, problem.dims, self.branches)
        model = LocalAugmented(
            net,
            generator,
            branches=self.branches,
            draws=self.draws,
            consistency_weight=self.consistency_weight,
            temperature=self.temperature,
            pool=self.pool,
            seed=problem.draw_seed("local augmentation"),
        )
        shown = problem.with_unlabelled() if model.is_consistent else problem
        trained = fit(model, shown, self.train, on_epoch=self._watch)
        trained.notes.update(notes, form=type(net).__name__)
        return trained

    def fit_generator(self, problem: Problem) -> Fitted:
        """Returns the generator fitted on the problem's edges."""
        generator = self.generator(problem.dims)
        return fit(generator, pairs_problem(problem), self.pretrain, on_epoch=self._watch)

    def _watch(self, row: dict[str, float]) -> Any:
        return self.on_epoch(row) if self.on_epoch is not None else False

    def _check(self, problem: Problem) -> None:
        task = problem.task
        if not isinstance(task, NodeClassification | MultilabelNodes) or (
            isinstance(task, NodesOfGraphs) or not isinstance(problem.data, Data)
        ):
            raise SettingError(
                f"{problem.name} asks for {type(task).__name__}; local augmentation is for the "
                "nodes of one graph"
            )
        if isinstance(task, MultilabelNodes) and self.consistency_weight and self.draws > 1:
            raise SettingError(
                f"{problem.name} has several labels a node, which are no distribution to hold "
                "together; set consistency_weight=0"
            )
