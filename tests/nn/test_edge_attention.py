"""The attention layer against a dense loop, and the published parameter totals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphkit.bench.budget import count_parameters
from graphkit.errors import SettingError
from graphkit.models import GraphTransformer
from graphkit.nn import EdgeAttention, GraphTransformerLayer
from graphkit.tasks import Dims


def dense_attention(layer: EdgeAttention, x: Tensor, edge_index: Tensor, e: Tensor | None):
    """The sheet's formulas, one edge at a time."""
    nodes, channels = x.shape
    width = channels // layer.heads
    q, k, v = layer.query(x), layer.key(x), layer.value(x)
    out = torch.zeros_like(x)
    for i in range(nodes):
        incoming = (edge_index[1] == i).nonzero().flatten().tolist()
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            weights = []
            for number in incoming:
                j = int(edge_index[0, number])
                score = q[i, part] * k[j, part] / math.sqrt(width)
                if e is not None:
                    score = score * layer.edge(e[number])[part]
                weights.append(score.sum().clamp(-layer.clamp, layer.clamp).exp())
            for number, weight in zip(incoming, weights, strict=True):
                out[i, part] += weight / sum(weights) * v[int(edge_index[0, number]), part]
    return out


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("scale", [1.0, 20.0])  # the second makes the clamp bite
def test_equals_a_dense_loop(edges: bool, scale: float) -> None:
    """12 nodes, directed, node 0 isolated, a self-loop on node 3."""
    torch.manual_seed(0)
    layer = EdgeAttention(8, 2, edges=edges).double()
    with torch.no_grad():
        layer.query.weight.mul_(scale)
    edge_index = torch.cat([torch.randint(1, 12, (2, 40)), torch.tensor([[3], [3]])], dim=1)
    x, e = torch.randn(12, 8).double(), torch.randn(41, 8).double() if edges else None
    found, score = layer(x, edge_index, e)
    torch.testing.assert_close(found, dense_attention(layer, x, edge_index, e), atol=1e-10, rtol=0)
    assert torch.equal(found[0], torch.zeros(8).double())
    assert (score is not None) == edges


def test_gradients_are_right() -> None:
    torch.manual_seed(1)
    layer = GraphTransformerLayer(4, 2, edges=True, norm="layer").double()
    edge_index = torch.randint(0, 5, (2, 9))
    inputs = (torch.randn(5, 4).double().requires_grad_(), torch.randn(9, 4).double())
    inputs[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x, e: layer(x, edge_index, e), inputs)


def test_heads_divide_the_width() -> None:
    with pytest.raises(SettingError, match="3 heads do not divide a width of 8"):
        EdgeAttention(8, 3, edges=False)


ZINC = Dims(1, 1, edge_channels=1, node_symbols=(28,), edge_symbols=(4,))
CLUSTER = Dims(1, 6, node_symbols=(7,))
PATTERN = Dims(1, 2, node_symbols=(3,))


@pytest.mark.parametrize(
    ("dims", "width", "encoding", "total"),
    [
        (ZINC, 64, 0, 588_353),
        (ZINC, 64, 8, 588_929),
        (CLUSTER, 80, 0, 523_146),
        (CLUSTER, 80, 10, 524_026),
        (PATTERN, 80, 0, 522_742),
        (PATTERN, 80, 2, 522_982),
    ],
)
def test_parameter_totals_of_the_paper(dims: Dims, width: int, encoding: int, total: int) -> None:
    with torch.device("meta"):
        model = GraphTransformer(dims, hidden_channels=width, encoding=encoding)
    assert count_parameters(model) == total
