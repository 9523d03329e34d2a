"""Networks that read a node's own row and generated ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from graphkit.augment.branches import Branched, FeatureBlocks, Widened, with_branches
from graphkit.models import APPNP, GAT, GCN, MLP, DirSAGE, GraphSAGE
from graphkit.sparse import SparseMatrix
from graphkit.tasks import Dims
from graphkit.transforms import SparseFeatures
from tests import tiny

STACKS: dict[str, Callable[..., Any]] = {
    "gcn": partial(GCN, hidden_channels=4),
    "graphsage": partial(GraphSAGE, hidden_channels=4),
    "dir-sage": partial(DirSAGE, hidden_channels=4),
    "gat": partial(GAT, hidden_channels=4, heads=3),
}


class Mine(nn.Module):
    """A user's own network in PyG's call."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.conv = GCNConv(dims.in_channels, dims.out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, edge_index)


def some(rows: int = 6, columns: int = 3, density: float = 0.5, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    kept = torch.rand(rows, columns, generator=source) < density
    return torch.randn(rows, columns, generator=source) * kept


class TestFeatureBlocks:
    def test_the_product_is_that_of_the_columns_side_by_side(self) -> None:
        sparse, first, second = some(), some(6, 2, 1.0, 1), some(6, 4, 1.0, 2)
        blocks = FeatureBlocks(SparseMatrix.from_dense(sparse), first, second)
        dense = torch.cat([sparse, first, second], dim=1)
        assert (len(blocks), tuple(blocks.shape)) == (6, (6, 9))
        gradients = []
        weight = torch.randn(9, 5, requires_grad=True)
        for x in (blocks, dense):
            out = x @ weight
            torch.testing.assert_close(out, dense @ weight)
            weight.grad = None
            (out * torch.arange(30).view(6, 5)).sum().backward()
            gradients.append(weight.grad)
        torch.testing.assert_close(*gradients)

    def test_a_gradient_reaches_the_layout_of_a_linear_map(self) -> None:
        x, linear = some(6, 4, 1.0), nn.Linear(4, 2)
        (FeatureBlocks(x) @ linear.weight.t()).sum().backward()
        torch.testing.assert_close(linear.weight.grad, x.sum(dim=0).expand(2, 4))

    @pytest.mark.parametrize("p", [0.5, 0.3])
    def test_dropout_keeps_the_mean_and_the_share(self, p: float) -> None:
        """30,000 entries of 1: the share dropped is within five deviations of p."""
        torch.manual_seed(0)
        x = torch.ones(100, 300)
        [dropped] = FeatureBlocks(x).dropout(p, training=True).blocks
        assert dropped.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)])
        share = float((dropped == 0).double().mean())
        assert abs(share - p) < 5 * (p * (1 - p) / 30_000) ** 0.5
        columns = (dropped == 0).double().mean(dim=0)  # no bit of a byte is special
        assert (columns - p).abs().max() < 6 * (p * (1 - p) / 100) ** 0.5
        assert bool((x == 1).all())

    def test_dropout_repeats_by_torchs_generator_and_rests_in_evaluation(self) -> None:
        blocks, found = FeatureBlocks(torch.ones(5, 7), SparseMatrix.from_dense(some(5))), []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            found.append(blocks.dropout(0.5, training=True) @ torch.eye(10))
        assert torch.equal(found[0], found[1])
        assert not torch.equal(found[0], found[2])
        assert blocks.dropout(0.5, training=False) is blocks
        assert blocks.dropout(0.0, training=True) is blocks


@pytest.mark.parametrize("name", STACKS)
class TestBranched:
    def test_each_row_has_a_layer_of_its_own_and_later_widths_grow(self, name: str) -> None:
        net = with_branches(STACKS[name], Dims(3, 2), branches=2)
        assert isinstance(net, Branched)
        assert len(net.first) == 3
        plain = STACKS[name](Dims(3, 2))
        sizes = {key: value.shape for key, value in plain.convs[1].state_dict().items()}
        wide = {key: value.shape for key, value in net.net.convs[1].state_dict().items()}
        for key, size in sizes.items():
            if len(size) == 2:
                assert wide[key] == (size[0], 3 * size[1])
        weights = [layer.state_dict().values() for layer in net.first]
        assert all(not torch.equal(a, b) for a, b in zip(*weights[:2], strict=True) if a.any())

    def test_blocked_branches_leave_the_plain_network(self, name: str) -> None:
        """With nothing read from the other branches, the answer is that of one stack."""
        problem = tiny.node_problem()
        plain = STACKS[name](problem.dims).eval()
        net = with_branches(STACKS[name], problem.dims, branches=1).eval()
        [batch] = problem.batches("all", net)
        net.first[0].load_state_dict(plain.convs[0].state_dict())
        wide, narrow = net.net.convs[1], plain.convs[1]
        with torch.no_grad():
            for value, other in zip(wide.parameters(), narrow.parameters(), strict=True):
                value.zero_()
                value[tuple(slice(size) for size in other.shape)] = other
        with torch.no_grad():
            found = net.answer(batch, [100 * torch.rand(6, 3)])
            torch.testing.assert_close(found, plain(batch))

    def test_sparse_and_dense_own_rows_give_the_same(self, name: str) -> None:
        problem = tiny.node_problem()
        net = with_branches(STACKS[name], problem.dims, branches=1).eval()
        [batch] = problem.batches("all", net)
        assert batch.get("sparse_x") is None
        sparse = SparseFeatures(1.0)(batch)
        generated = [torch.rand(6, 3)]
        torch.testing.assert_close(net.answer(batch, generated), net.answer(sparse, generated))
        assert batch.x is problem.data.x  # the batch is as it was


@pytest.mark.parametrize(
    ("backbone", "kind"),
    [
        *((STACKS[name], Branched) for name in STACKS),
        (partial(GCN, num_layers=1), Widened),
        (lambda dims: GCN(dims, hidden_channels=4), Widened),
        (MLP, Widened),
        (Mine, Widened),
    ],
)
def test_the_form_is_chosen_by_the_network(backbone: Any, kind: type) -> None:
    assert isinstance(with_branches(backbone, Dims(3, 2), 2), kind)
    assert isinstance(with_branches(backbone, Dims(3, 2), 0), Widened)


@pytest.mark.parametrize("branches", [0, 1])
def test_looking_at_the_backbone_draws_nothing(branches: int) -> None:
    """The weights are those of the backbone built alone, for the long row."""
    nets, wide = [], Dims(3 * (branches + 1), 2)
    for make in (partial(with_branches, MLP, Dims(3, 2), branches), partial(MLP, wide)):
        torch.manual_seed(0)
        nets.append(list(make().parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*nets, strict=True))


@pytest.mark.parametrize("backbone", [MLP, APPNP, Mine])
def test_a_long_row_is_what_the_backbone_reads(backbone: Any) -> None:
    """The wrapped network on both blocks is the bare one on the joined features."""
    problem, generated = tiny.node_problem(), torch.rand(6, 3)
    net = with_branches(backbone, problem.dims, branches=1).eval()
    [batch] = problem.batches("all", net)
    joined = replace(problem, data=copy.copy(problem.data), checked=True)
    joined.data.x = torch.cat([problem.data.x, generated], dim=1)
    [wide] = joined.batches("all", net)
    expected = net.net(wide)
    torch.testing.assert_close(net.answer(batch, [generated]), expected)
    if backbone is not Mine:
        sparse = SparseFeatures(1.0)(batch)
        torch.testing.assert_close(net.answer(sparse, [generated]), expected)
