"""Losses against loops and numbers by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphkit.nn.losses import (
    consistency,
    hyperedge_soft_label,
    smoothed_soft_label,
    soft_label,
)

MEMBERS = torch.tensor([[0, 1, 2, 2, 3, 4], [0, 0, 0, 1, 3, 3]])  # hyperedge 2 is empty


def scores(seed: int, rows: int = 5, classes: int = 3) -> Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


def looped(mine: Tensor, teachers: Tensor, chosen: list[int], temperature: float) -> float:
    """Mean Kullback-Leibler divergence of the hyperedges' mean probabilities."""
    total = 0.0
    for e in chosen:
        nodes = MEMBERS[0][MEMBERS[1] == e]
        sides = []
        for logits in (teachers, mine):
            mean = logits.double().softmax(-1)[nodes].mean(0) ** (1 / temperature)
            sides.append(mean / mean.sum())
        total += float((sides[0] * (sides[0] / sides[1]).log()).sum())
    return total / len(chosen)


def test_soft_label_by_hand() -> None:
    """Against (1/2, 1/2): 1/4 log(1/2) + 3/4 log(3/2)."""
    teacher = torch.tensor([[0.25, 0.75]]).log()
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert float(soft_label(torch.zeros(1, 2), teacher)) == pytest.approx(expected)
    assert float(soft_label(torch.zeros(0, 2), teacher[:0])) == 0


def test_a_class_without_probability_counts_nothing() -> None:
    sure = torch.tensor([[0.0, -math.inf]])
    student = torch.zeros(1, 2, requires_grad=True)
    loss = soft_label(student, sure)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert student.grad.tolist() == [[-0.5, 0.5]]
    assert bool(torch.isfinite(smoothed_soft_label(student, sure)))


def test_smoothed_label_draws_to_the_softmax_of_probabilities() -> None:
    teacher = scores(0).log_softmax(-1)
    student = teacher.exp().clone().requires_grad_()  # its softmax is the effective target
    smoothed_soft_label(student, teacher).backward()
    torch.testing.assert_close(student.grad, torch.zeros_like(student), atol=1e-6, rtol=0)
    p, q = torch.tensor([0.2, 0.8]), torch.tensor([0.5, 0.5])
    expected = float((p.exp() * (p - q.log())).sum())
    assert float(smoothed_soft_label(q.log()[None], p.log()[None])) == pytest.approx(expected)
    assert float(smoothed_soft_label(q.log()[None][:0], p.log()[None][:0])) == 0


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_hyperedges_against_a_loop(temperature: float) -> None:
    mine, teachers = scores(1), scores(2)
    found = hyperedge_soft_label(mine, teachers.log_softmax(-1), MEMBERS, temperature=temperature)
    assert float(found) == pytest.approx(looped(mine, teachers, [0, 1, 3], temperature), rel=1e-5)
    mask = torch.tensor([True, False, True, True])
    found = hyperedge_soft_label(mine, teachers.log_softmax(-1), MEMBERS, mask, temperature)
    assert float(found) == pytest.approx(looped(mine, teachers, [0, 3], temperature), rel=1e-5)


def test_another_divergence_compares_the_same_means() -> None:
    mine, teachers = scores(1), scores(2).log_softmax(-1)
    found = hyperedge_soft_label(mine, teachers, MEMBERS, divergence=smoothed_soft_label)
    rows = [MEMBERS[0][MEMBERS[1] == e] for e in (0, 1, 3)]
    p = torch.stack([teachers.exp()[nodes].mean(0) for nodes in rows])
    q = torch.stack([mine.softmax(-1)[nodes].mean(0) for nodes in rows])
    torch.testing.assert_close(found, (p.exp() * (p - q.log())).sum(-1).mean())


@pytest.mark.parametrize(
    "mask", [torch.zeros(4, dtype=torch.bool), torch.tensor([False, False, True, False])]
)
def test_no_hyperedge_chosen_is_no_loss(mask: Tensor) -> None:
    """Nor is the choice of an empty one alone."""
    mine = scores(1).requires_grad_()
    loss = hyperedge_soft_label(mine, scores(2).log_softmax(-1), MEMBERS, mask)
    loss.backward()
    assert loss.item() == 0
    assert bool((mine.grad == 0).all())
    nothing = torch.empty(2, 0, dtype=torch.long)
    assert hyperedge_soft_label(mine, mine.log_softmax(-1), nothing).item() == 0


def test_probabilities_that_underflow_still_teach() -> None:
    """Student sure of class 0 beyond the range of float32: the loss is 300 nats, not infinite."""
    mine = torch.tensor([[300.0, 0.0], [300.0, 0.0]], requires_grad=True)
    teachers = torch.tensor([[-math.inf, 0.0], [-math.inf, 0.0]])
    index = torch.tensor([[0, 1], [0, 0]])
    loss = hyperedge_soft_label(mine, teachers, index)
    loss.backward()
    assert loss.item() == pytest.approx(300)
    assert mine.grad.tolist() == [[0.5, -0.5], [0.5, -0.5]]


def test_gradient_reaches_the_student_alone_and_is_right() -> None:
    teachers = scores(2).double().log_softmax(-1).requires_grad_()
    mine = scores(1).double().requires_grad_()
    hyperedge_soft_label(mine, teachers, MEMBERS).backward()
    assert teachers.grad is None
    assert torch.autograd.gradcheck(
        lambda s: hyperedge_soft_label(s, teachers.detach(), MEMBERS), (mine,)
    )


def test_renaming_vertices_and_hyperedges_changes_nothing() -> None:
    mine, teachers = scores(1), scores(2).log_softmax(-1)
    mask = torch.tensor([True, False, True, True])
    node, hyperedge = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([2, 3, 0, 1])
    moved = torch.stack([node[MEMBERS[0]], hyperedge[MEMBERS[1]]]).flip(1)
    old = node.argsort()
    torch.testing.assert_close(
        hyperedge_soft_label(mine[old], teachers[old], moved, mask[hyperedge.argsort()]),
        hyperedge_soft_label(mine, teachers, MEMBERS, mask),
    )


def test_consistency_of_draws_that_agree() -> None:
    draws = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    assert float(consistency(draws)) == pytest.approx(0, abs=1e-12)
    apart = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert float(consistency(apart, temperature=1.0)) == pytest.approx(0.5)
