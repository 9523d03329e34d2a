"""Draws of a generator: as a transform for any network, and as what a network in training reads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphkit.augment.neighbor_vae import NeighborVAE
from graphkit.augment.node_noise import node_noise
from graphkit.data.prepare import fingerprint

__all__ = [
    "KeptFeatures",
    "LocalAugmentation",
    "Memo",
    "decoded",
    "given_features",
    "node_numbers",
    "rows_of",
]


class LocalAugmentation(BaseTransform):
    """Adds ``x_generated``: a row for every node as one of its neighbours might have it.

    Args:
        generator: A fitted generator; it is not changed.
        seed: Draws a node's noise from seed and node, so that every call gives the same rows;
            ``None`` draws anew from torch's global generator.

    Source:
        Liu et al., "Local Augmentation for Graph Neural Networks", ICML 2022.
    """

    def __init__(self, generator: NeighborVAE, seed: int | None = None) -> None:
        self.generator = copy.deepcopy(generator).eval()
        self.seed = seed

    @property
    def fixed(self) -> bool:
        """Whether the same input always gives the same output."""
        return self.seed is not None

    def forward(self, data: Data) -> Data:
        """Returns the graph with the field added: ``(nodes, channels)``."""
        if self.seed is None:
            data.x_generated = self.generator.draw(data.x)
            return data
        [data.x_generated] = decoded(
            self.generator, data.x, node_numbers(data, data.x), [self.seed]
        )
        return data

    def __repr__(self) -> str:
        weights = fingerprint(Data.from_dict(self.generator.state_dict()))
        kind = type(self.generator).__name__
        return f"LocalAugmentation({kind}, weights={weights[:16]}, seed={self.seed})"


class KeptFeatures(BaseTransform):
    """Keeps the features as ``x_given``, before a network's own transform changes them."""

    fixed = True

    def forward(self, data: Data) -> Data:
        """Returns the graph with the field added."""
        data.x_given = data.x
        return data

    def __repr__(self) -> str:
        return "KeptFeatures()"


class Memo:
    """What was decoded for one graph. No state: it follows from generator, graph and seed.

    A copy of a model starts without; new weights or a change in place of a tensor empty it.
    """

    def __init__(self) -> None:
        self.key: tuple[Tensor, ...] = ()
        self.versions: tuple[int, ...] = ()
        self.rows: dict[str, list[Tensor]] = {}

    def __call__(
        self, key: tuple[Tensor, ...], name: str, make: Callable[[], list[Tensor]]
    ) -> list[Tensor]:
        """Returns what ``make`` gives, made once for the tensors of ``key`` and a name."""
        versions = tuple(0 if part.is_inference() else part._version for part in key)
        same = len(key) == len(self.key) and all(a is b for a, b in zip(key, self.key, strict=True))
        if not same or versions != self.versions:
            self.key, self.versions, self.rows = key, versions, {}
        if name not in self.rows:
            self.rows[name] = make()
        return self.rows[name]

    def clear(self) -> None:
        """Forgets everything."""
        self.key, self.versions, self.rows = (), (), {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Memo:
        return Memo()


def decoded(generator: NeighborVAE, x: Tensor, nodes: Tensor, seeds: list[int]) -> list[Tensor]:
    """Returns one draw for each seed, without gradient.

    Args:
        generator: A fitted generator.
        x: Features of the nodes, as the data set has them.
        nodes: Numbers of the nodes in the whole graph: their noise follows from it.
        seeds: One for each draw.

    Shape:
        x ``(nodes, channels)`` -> as many of the same.
    """
    condition = generator.given(x)
    noises = (node_noise(nodes, generator.latent_channels, seed) for seed in seeds)
    return [rows_of(generator, z, condition) for z in noises]


@torch.no_grad()
def rows_of(generator: NeighborVAE, z: Tensor, condition: Tensor) -> Tensor:
    """Returns the draw that a noise stands for, without gradient."""
    return generator.activated(generator.decode(z, condition))


def given_features(batch: Any) -> Tensor:
    """Returns the features as the data set has them."""
    kept = batch.get("x_given")
    x: Tensor = batch.x if kept is None else kept
    return x


def node_numbers(batch: Any, x: Tensor) -> Tensor:
    """Returns the number of each node in the whole graph."""
    nodes = batch.get("n_id")
    return torch.arange(len(x), device=x.device) if nodes is None else nodes
