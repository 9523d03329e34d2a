"""Normal noise that belongs to a node: the same in every batch the node is part of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["node_noise"]

_STEP = -7046029254386353131  # 0x9E3779B97F4A7C15, the golden ratio in 64 bits
_FIRST = -4658895280553007687  # 0xBF58476D1CE4E5B9
_SECOND = -7723592293110705685  # 0x94D049BB133111EB


def node_noise(nodes: Tensor, channels: int, seed: int) -> Tensor:
    """Returns standard normal numbers that depend on seed, node and channel alone.

    A generator would have to draw the rows of all nodes to find those of a sampled few.

    Args:
        nodes: Numbers of the nodes, int64.
        channels: Numbers a node.
        seed: Another seed gives independent noise.

    Shape:
        nodes ``(rows,)`` -> ``(rows, channels)``, float32, on the device of ``nodes``.

    Source:
        Steele et al., "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (splitmix64);
        Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958.
    """
    start = _mixed(torch.tensor(seed, device=nodes.device) + _STEP)
    place = torch.arange(2 * channels, device=nodes.device)
    counter = nodes.long()[:, None] * (2 * channels) + place + 1
    bits = _shifted(_mixed(start + counter * _STEP), 11)  # 53 of them, as a double holds
    first, second = ((bits.double() + 0.5) / 2**53).chunk(2, dim=1)
    return ((-2 * first.log()).sqrt() * (2 * math.pi * second).cos()).float()


def _mixed(key: Tensor) -> Tensor:
    """The finaliser of splitmix64; products wrap around in 64 bits."""
    key = (key ^ _shifted(key, 30)) * _FIRST
    key = (key ^ _shifted(key, 27)) * _SECOND
    return key ^ _shifted(key, 31)


def _shifted(key: Tensor, places: int) -> Tensor:
    """A shift to the right that brings in zeros: torch's own keeps the sign."""
    return (key >> places) & ((1 << (64 - places)) - 1)
