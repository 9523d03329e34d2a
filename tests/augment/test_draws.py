"""Draws as a transform."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch_geometric.data import Data

from graphkit.augment.draws import KeptFeatures, LocalAugmentation
from graphkit.augment.neighbor_vae import BernoulliNeighborVAE
from graphkit.data.batching import SampledNodes
from graphkit.models import FromModule
from graphkit.tasks import Dims
from graphkit.train import predict
from tests import tiny
from tests.augment.test_branches import Mine


class TestTransform:
    def test_it_adds_a_row_per_node_and_draws_anew(self) -> None:
        vae, data = BernoulliNeighborVAE(Dims(3, 2)), tiny.node_problem().data
        change = LocalAugmentation(vae)
        torch.manual_seed(0)
        first, second = change(data).x_generated, change(data).x_generated
        torch.manual_seed(0)
        assert torch.equal(change(data).x_generated, first)
        assert not torch.equal(first, second)
        assert first.shape == (6, 3)
        torch.testing.assert_close(first.sum(dim=1), torch.ones(6))
        assert not first.requires_grad
        assert data.get("x_generated") is None
        assert not change.fixed

    def test_with_a_seed_every_call_gives_the_same_row_to_a_node(self) -> None:
        vae, data = BernoulliNeighborVAE(Dims(3, 2)), tiny.node_problem().data
        change = LocalAugmentation(vae, seed=5)
        assert change.fixed
        rows = change(data).x_generated
        assert torch.equal(change(data).x_generated, rows)
        part = Data(x=data.x[[4, 1]], n_id=torch.tensor([4, 1]), edge_index=data.edge_index[:, :0])
        torch.testing.assert_close(change(part).x_generated, rows[[4, 1]])

    def test_its_name_tells_generators_apart(self) -> None:
        """Under its ``repr`` the result of a ``pre_transform`` is kept."""
        vaes = [BernoulliNeighborVAE(Dims(3, 2)) for _ in range(2)]
        names = {repr(LocalAugmentation(vae, seed=5)) for vae in vaes}
        assert len(names) == 2
        assert repr(LocalAugmentation(vaes[0], seed=5)) in names
        assert " at 0x" not in "".join(names)

    @pytest.mark.parametrize("fanouts", [None, (2, 2)])
    def test_a_model_may_ask_for_it(self, fanouts: tuple[int, ...] | None) -> None:
        """One fixed draw, as a network that wants a second table of features takes it."""
        change = LocalAugmentation(BernoulliNeighborVAE(Dims(3, 2)), seed=5)

        class Asking(FromModule):
            pre_transform = change

        net, problem = Asking(Mine(Dims(3, 2)), "x_generated", "edge_index"), tiny.node_problem()
        rows = change(problem.data).x_generated
        if fanouts is not None:
            problem = replace(problem, batching=SampledNodes(fanouts, 2))
        for batch in problem.batches("all", net):
            nodes = torch.arange(6) if fanouts is None else batch.n_id
            assert torch.equal(batch.x_generated, rows[nodes])
        assert predict(net, problem).shape == (6, 2)

    def test_features_are_kept_before_they_are_changed(self) -> None:
        data = KeptFeatures()(tiny.node_problem().data)
        assert data.x_given is data.x
        assert repr(KeptFeatures()) == "KeptFeatures()"
