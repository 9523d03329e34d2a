"""Noise that belongs to a node."""

from __future__ import annotations

import math

import torch

from graphkit.augment.node_noise import node_noise


def splitmix64(state: int) -> int:
    """The published finaliser, in whole numbers of Python."""
    mask = 2**64 - 1
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & mask
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & mask
    return state ^ (state >> 31)


def by_hand(node: int, channel: int, channels: int, seed: int) -> float:
    mask, step = 2**64 - 1, 0x9E3779B97F4A7C15
    start = splitmix64((seed + step) & mask)
    uniform = [
        ((splitmix64((start + (node * 2 * channels + place + 1) * step) & mask) >> 11) + 0.5)
        / 2**53
        for place in (channel, channels + channel)
    ]
    return math.sqrt(-2 * math.log(uniform[0])) * math.cos(2 * math.pi * uniform[1])


def test_the_numbers_are_those_of_the_published_generator() -> None:
    nodes, seed = torch.tensor([0, 5, 2_449_028]), 2**62 + 12345
    found = node_noise(nodes, 3, seed)
    expected = [[by_hand(int(n), c, 3, seed) for c in range(3)] for n in nodes]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_a_node_has_the_same_noise_in_any_company() -> None:
    whole = node_noise(torch.arange(100), 4, seed=7)
    some = torch.tensor([93, 2, 2, 50])
    assert torch.equal(node_noise(some, 4, seed=7), whole[some])
    assert node_noise(some[:0], 4, seed=7).shape == (0, 4)


def test_it_is_standard_normal_and_seeds_are_independent() -> None:
    """100,000 numbers: the mean of a column is within 5 deviations of 0, of its square of 1."""
    first, second = (node_noise(torch.arange(25_000), 4, seed) for seed in (0, 1))
    assert first.mean().abs() < 5 / 100_000**0.5
    assert (first.square().mean() - 1).abs() < 5 * (2 / 100_000) ** 0.5
    assert (first * second).mean().abs() < 5 / 100_000**0.5
    assert (first[1:] * first[:-1]).mean().abs() < 5 / 100_000**0.5
    assert abs(float((first > 1.959964).double().mean()) - 0.025) < 0.003
    columns = torch.corrcoef(first.t()) - torch.eye(4)
    assert columns.abs().max() < 5 / 25_000**0.5
