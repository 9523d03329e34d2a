"""The hybrid layer: published sizes, its formula by hand, evaluation by several orders."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphkit.bench.budget import count_parameters
from graphkit.nn import BatchNorm, InputEncoder
from graphkit.nn.gmb_layer import GMBLayer
from graphkit.nn.node_order import NodeKeys, node_scores
from tests import tiny

EDGES = tiny.both_ways((0, 1), (1, 2), (2, 3), (5, 4), (5, 6), (5, 7))
BATCH = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2])


def settled(x: torch.Tensor) -> NodeKeys:
    return NodeKeys.settled(BATCH, node_scores(EDGES, BATCH), EDGES, (x,))


def test_pattern_total_is_the_published_one() -> None:
    """Six layers of width 64, with encoders and head of GraphGPS rebuilt: 335,281."""
    parts = nn.ModuleList(GMBLayer(64) for _ in range(6))
    assert count_parameters(parts) == 6 * 54_336
    parts.append(nn.Linear(3, 48))  # the node's symbol, beside an encoding of 16
    parts.extend([nn.Linear(2, 32), nn.Linear(32, 16)])  # eigenvector and value, over the set
    parts.append(InputEncoder(0, (1,), 64))  # one kind of edge
    parts.extend([nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 1)])
    assert count_parameters(parts) == 335_281


def test_peptides_totals_differ_by_a_layer_and_an_answer() -> None:
    """Four layers and eleven answers against three and ten: 491,867 - 373,018."""
    assert count_parameters(GMBLayer(96)) + 96 + 1 == 491_867 - 373_018


def test_equals_its_formula() -> None:
    """In evaluation with one order, graph by graph."""
    torch.manual_seed(0)
    layer = GMBLayer(8, num_eval_orders=1).eval()
    for part in layer.modules():
        if isinstance(part, BatchNorm):
            nn.init.normal_(part.weight)
            part.running_mean.normal_()
    x, e = torch.randn(9, 8), torch.randn(EDGES.shape[1], 8)
    scores = torch.tensor([3, 2, 1, 0, 0, 1, 2, 3, 0])
    keys = NodeKeys.settled(BATCH, scores, EDGES, (x,))
    read = torch.empty_like(x)
    for order in ([3, 2, 1, 0], [4, 5, 6, 7], [8]):
        read[order] = layer.rows.layer(x[order][None])[0]
    near, edges = layer.local(x, EDGES, e)
    h = layer.norm_local(near) + layer.norm_rows(x + read)
    widen, _, _, narrow, _ = layer.network
    expected = layer.norm_network(h + narrow(widen(h).relu()))
    found = layer(x, EDGES, e, keys)
    torch.testing.assert_close(found[0], expected)
    assert torch.equal(found[1], edges)


def test_five_orders_are_averaged_in_each_layer() -> None:
    """The hub of the star comes last in every order, its leaves do not."""
    torch.manual_seed(0)
    layer = GMBLayer(8).eval()
    x = torch.randn(9, 8)
    keys, seen = settled(x), []
    layer.rows.layer.register_forward_hook(lambda *call: seen.append(call[2]))
    mean = layer.rows(x, keys)
    assert len(seen) == 5
    assert len({tuple(out.flatten().tolist()) for out in seen}) > 1
    torch.testing.assert_close(mean[5], torch.stack(seen)[:, 7].mean(dim=0))
    torch.testing.assert_close(
        mean[8], torch.stack(seen)[:, 8].mean(dim=0)
    )  # alone in the last row


@pytest.mark.parametrize("bins", [1, 3])
def test_other_graphs_change_nothing(bins: int) -> None:
    torch.manual_seed(0)
    layer = GMBLayer(8, num_bins=bins).eval()
    x, e = torch.randn(9, 8), torch.randn(EDGES.shape[1], 8)
    out, _ = layer(x, EDGES, e, settled(x))
    other = x.clone()
    other[4:] += 1.0
    moved, _ = layer(other, EDGES, e, settled(other))
    assert torch.equal(moved[:4], out[:4])
    assert not torch.equal(moved[4:], out[4:])


def test_training_gives_every_parameter_a_gradient() -> None:
    torch.manual_seed(0)
    layer = GMBLayer(8, dropout=0.1, num_bins=2)
    x, e = torch.randn(9, 8), torch.randn(EDGES.shape[1], 8)
    h, edges = layer(x, EDGES, e, NodeKeys.drawn(BATCH, node_scores(EDGES, BATCH)))
    ((h * torch.randn_like(h)).sum() + (edges * torch.randn_like(edges)).sum()).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in layer.parameters())
