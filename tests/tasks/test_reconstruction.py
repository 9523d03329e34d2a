"""The task whose answer is its own cost."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from graphkit.tasks.reconstruction import Reconstruction


def test_the_loss_is_the_mean_over_items_of_the_summed_terms() -> None:
    """(1 + 2) and (3 + 4): their mean is 5. Row 1 is not asked for."""
    costs = torch.tensor([[1.0, 2.0], [9.0, 9.0], [3.0, 4.0]])
    batch = SimpleNamespace(seeds=torch.tensor([0, 2]))
    task = Reconstruction()
    assert float(task.loss(costs, batch)) == 5.0
    assert task.scores([task.select(costs, batch)]) == {"loss": 5.0}


def test_batches_of_any_size_score_as_one() -> None:
    costs = torch.rand(7, 2)
    task, zeros = Reconstruction(), torch.zeros(7)
    whole = task.scores([(costs, zeros)])["loss"]
    parts = task.scores([(costs[:2], zeros[:2]), (costs[2:], zeros[2:])])["loss"]
    assert parts == pytest.approx(whole)
    assert whole == pytest.approx(float(costs.sum()) / 7)


def test_it_is_judged_by_the_loss_and_lower_is_better() -> None:
    task = Reconstruction()
    assert task.monitor == "loss"
    assert task.higher_is_better == {"loss": False}


def test_every_item_is_known_and_nothing_is_hidden() -> None:
    task, target = Reconstruction(), torch.zeros(3)
    assert task.known(target).tolist() == [True] * 3
    assert torch.equal(task.hide(target), target)
    assert float(task.compare(torch.empty(0, 2), target[:0])) == 0.0
