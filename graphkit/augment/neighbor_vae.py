"""What a node's neighbours look like, learned from all edges: a conditional generator of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphkit.augment.node_noise import node_noise
from graphkit.augment.pairs import PairBatch, Pairs
from graphkit.errors import DataError, SettingError
from graphkit.models.base import Model
from graphkit.nn import BatchNorm
from graphkit.sparse import SparseMatrix
from graphkit.tasks import Dims, Task
from graphkit.train import TrainConfig

__all__ = [
    "GENERATOR",
    "BernoulliNeighborVAE",
    "GaussianNeighborVAE",
    "NeighborVAE",
    "ScaledRows",
]

Rows = Tensor | SparseMatrix

_SPARSE = 0.2  # share of entries that are not zero up to which a sparse product is the faster one


GENERATOR = TrainConfig(epochs=30, lr=1e-3, monitor="loss", batching=Pairs(256))
"""How a generator is fitted; on Cora ten epochs learn little more than the mean neighbour."""


class NeighborVAE(Model):
    """Draws, for a node, a row of features as one of its neighbours might have.

    A variational autoencoder of the neighbour's row given the node's own. A subclass says what a
    row is a draw of, and how features are scaled for that.

    Args:
        dims: Sizes of the data set.
        latent_channels: Width of the latent code.
        hidden_channels: Width between the two maps of encoder and of decoder.

    Reads:
        ``x_neighbor``, ``x_center``, ``pair`` (of ``Pairs``).

    Source:
        Liu et al., "Local Augmentation for Graph Neural Networks", ICML 2022, arXiv 2109.03856;
        sizes after the official code. The prior is N(0, I), as in the code, where the text writes
        p(z | c); the weight of the divergence is 1, one latent draw a step (unconfirmed).
        Differs: validation takes the noise of a pair from its number, so it is the same in every
        epoch.
    """

    def __init__(
        self, dims: Dims, *, latent_channels: int = 10, hidden_channels: int = 256
    ) -> None:
        super().__init__()
        if dims.in_channels == 0 or dims.node_symbols:
            raise SettingError(
                "a generator of neighbours needs vectors on the nodes; these carry "
                + ("symbols" if dims.node_symbols else "nothing")
            )
        self.latent_channels = latent_channels
        width = dims.in_channels
        self.encode_neighbor = _weight(width, hidden_channels, fan_in=2 * width)
        self.encode_center = _weight(width, hidden_channels, fan_in=2 * width)
        self.encode_bias = _weight(hidden_channels, fan_in=2 * width)
        self.mean = nn.Linear(hidden_channels, latent_channels)
        self.log_variance = nn.Linear(hidden_channels, latent_channels)
        self.decode_code = _weight(latent_channels, hidden_channels, fan_in=latent_channels + width)
        self.decode_center = _weight(width, hidden_channels, fan_in=latent_channels + width)
        self.decode_bias = _weight(hidden_channels, fan_in=latent_channels + width)
        self.rebuild = nn.Linear(hidden_channels, dims.in_channels)
        self.norm_code, self.norm_hidden = self.norm(hidden_channels), self.norm(hidden_channels)
        self.norm_row = self.norm(dims.in_channels)

    def norm(self, channels: int) -> nn.Module:
        """Returns what stands behind a linear map."""
        return nn.Identity()

    def scaled(self, x: Tensor) -> Tensor:
        """Returns the rows of features as the generator reads them."""
        return x

    def activated(self, rebuilt: Tensor) -> Tensor:
        """Returns rows for a network out of what the decoder gives."""
        raise AssertionError("a generator says what a row is a draw of")

    def distance(self, rebuilt: Tensor, x_neighbor: Tensor) -> Tensor:
        """Returns what each true row costs under the rebuilt one: ``(pairs,)``."""
        raise AssertionError("a generator says what a row is a draw of")

    def encode(self, x_neighbor: Rows, x_center: Rows) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance of the code of each pair, of scaled rows."""
        hidden = x_neighbor @ self.encode_neighbor + x_center @ self.encode_center
        hidden = hidden + self.encode_bias
        hidden = self.norm_code(hidden).relu()
        return self.mean(hidden), self.log_variance(hidden)

    def condition(self, x_center: Rows) -> Tensor:
        """Returns a node's share of the decoder's first map, of scaled rows: the same for all its
        draws. ``(nodes, hidden)``."""
        return x_center @ self.decode_center + self.decode_bias

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Returns rebuilt rows, before they are activated: ``(nodes, channels)``."""
        hidden = condition + z @ self.decode_code
        rebuilt: Tensor = self.norm_row(self.rebuild(self.norm_hidden(hidden).relu()))
        return rebuilt

    def forward(self, batch: PairBatch) -> Tensor:
        """Returns what each pair costs: of its row, and of its code (nats). ``(pairs, 2)``."""
        center = _compact(batch.x_center)
        mean, log_variance = self.encode(_compact(batch.x_neighbor), center)
        noise = (
            torch.randn_like(mean)
            if self.training
            else node_noise(batch.pair, self.latent_channels, seed=0)
        )
        rebuilt = self.decode(mean + (log_variance / 2).exp() * noise, self.condition(center))
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1)
        return torch.stack([self.distance(rebuilt, batch.x_neighbor), divergence], dim=1)

    def losses(self, batch: Any, task: Task) -> dict[str, Tensor]:
        """Returns the mean of both costs over the pairs."""
        rows, _ = task.select(self(batch), batch)
        reconstruction, divergence = rows.mean(dim=0)
        return {"reconstruction": reconstruction, "divergence": divergence}

    @torch.no_grad()
    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns a neighbour for every node, whether it has one or not; no gradient.

        Args:
            x: Features of the nodes, as the data set has them.
            generator: Source of the draw; torch's global one if not given.

        Shape:
            ``(nodes, channels)`` -> ``(nodes, channels)``.
        """
        z = torch.randn(len(x), self.latent_channels, generator=generator).to(x)
        return self.activated(self.decode(z, self.given(x)))

    @torch.no_grad()
    def given(self, x: Tensor) -> Tensor:
        """Returns the condition of nodes by their features as the data set has them."""
        return self.condition(_compact(self.scaled(x)))


class BernoulliNeighborVAE(NeighborVAE):
    """The generator for bags of words: an entry is the probability of a word.

    Rows are read scaled to a largest entry of 1, which gives back words from rows that were
    divided by their sum; a draw's rows sum to 1, as bags of words are given to networks.

    Args:
        dims, latent_channels, hidden_channels: As for ``NeighborVAE``.

    Reads:
        As ``NeighborVAE``.

    Raises:
        DataError: A feature is negative.

    Source:
        Liu et al., ICML 2022, citation graphs. Differs: tf-idf rows (PubMed) are scaled to a
        largest entry of 1 too, where the code takes the raw ones, slightly above 1.
    """

    @property
    def pre_transform(self) -> Callable[[Any], Any]:
        """Rows with a largest entry of 1."""
        return ScaledRows()

    def scaled(self, x: Tensor) -> Tensor:
        """Returns rows with a largest entry of 1."""
        return _to_largest_one(x)

    def activated(self, rebuilt: Tensor) -> Tensor:
        """Returns probabilities divided by their sum; one of 0 stays 0."""
        rows = rebuilt.sigmoid()
        return rows / rows.sum(dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)

    def distance(self, rebuilt: Tensor, x_neighbor: Tensor) -> Tensor:
        """Returns the binary cross-entropy, summed over words."""
        return (F.softplus(rebuilt) - rebuilt * x_neighbor).sum(dim=1)


class GaussianNeighborVAE(NeighborVAE):
    """The generator for dense features: an entry is a mean, from -1 to 1.

    Batch norm follows the hidden maps and the last one.

    Args:
        dims, latent_channels, hidden_channels: As for ``NeighborVAE``.

    Reads:
        As ``NeighborVAE``.

    Source:
        Liu et al., ICML 2022, OGB graphs: squared error, hyperbolic tangent. Differs: no batch
        norm behind mean and log-variance of the code (unconfirmed for the official code).
    """

    def norm(self, channels: int) -> nn.Module:
        """Batch norm."""
        return BatchNorm(channels)

    def activated(self, rebuilt: Tensor) -> Tensor:
        """Returns the hyperbolic tangent."""
        return rebuilt.tanh()

    def distance(self, rebuilt: Tensor, x_neighbor: Tensor) -> Tensor:
        """Returns the squared error, summed over channels."""
        return (rebuilt.tanh() - x_neighbor).square().sum(dim=1)


class ScaledRows(BaseTransform):
    """Divides each row of ``x`` by its largest entry; rows of zeros stay.

    Raises:
        DataError: A feature is negative.
    """

    fixed = True

    def forward(self, data: Data) -> Data:
        """Returns the graph with its features scaled."""
        data.x = _to_largest_one(data.x)
        return data

    def __repr__(self) -> str:
        return "ScaledRows()"


def _to_largest_one(x: Tensor) -> Tensor:
    if not x.numel():
        return x
    if bool((x < 0).any()):
        row, column = (x < 0).nonzero()[0].tolist()
        raise DataError(
            f"x[{row}, {column}] = {float(x[row, column])} is negative, which no share of words "
            "is; take GaussianNeighborVAE for such features"
        )
    largest = x.amax(dim=1, keepdim=True)
    return x / largest.masked_fill(largest == 0, 1.0)


def _weight(*shape: int, fan_in: int) -> nn.Parameter:
    """A block of a linear map of ``fan_in`` inputs, drawn as torch draws it; transposed, as the
    product with sparse rows takes it."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


def _compact(x: Tensor) -> Rows:
    """The rows without their zeros where that saves work: bags of words are sparse."""
    if x.numel() and int(torch.count_nonzero(x)) <= _SPARSE * x.numel():
        return SparseMatrix.from_dense(x)
    return x
