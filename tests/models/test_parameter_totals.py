"""Every total that the papers print, exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from graphkit.bench.budget import count_parameters
from graphkit.models.dagnn import DAGNN
from graphkit.models.framed import FramedGCN, GatedGCN
from graphkit.tasks import Dims

ZINC = Dims(in_channels=0, out_channels=1, node_symbols=(28,), edge_symbols=(4,))
PATTERN = Dims(in_channels=0, out_channels=2, node_symbols=(3,))
CLUSTER = Dims(in_channels=0, out_channels=6, node_symbols=(7,))
MNIST = Dims(in_channels=3, out_channels=10, edge_channels=1)
CIFAR10 = Dims(in_channels=5, out_channels=10, edge_channels=1)
CSL = Dims(in_channels=0, out_channels=10)
ARXIV = Dims(in_channels=128, out_channels=40)
CORA = Dims(in_channels=1433, out_channels=7)


def gcn(dims: Dims, width: int = 146, encoding: int = 0) -> nn.Module:
    return FramedGCN(dims, hidden_channels=width, num_layers=4, encoding=encoding)


def gated(
    dims: Dims, width: int, layers: int, *, edges: bool = False, encoding: int = 0
) -> nn.Module:
    return GatedGCN(
        dims, hidden_channels=width, num_layers=layers, edge_features=edges, encoding=encoding
    )


TOTALS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "gcn-zinc": (lambda: gcn(ZINC, 145), 103_077),
    "gcn-pattern": (lambda: gcn(PATTERN), 100_923),
    "gcn-cluster": (lambda: gcn(CLUSTER), 101_655),
    "gcn-mnist": (lambda: gcn(MNIST), 101_365),
    "gcn-cifar10": (lambda: gcn(CIFAR10), 101_657),
    "gcn-pe20-csl": (lambda: gcn(CSL, encoding=20), 103_847),
    "gatedgcn-zinc": (lambda: gated(ZINC, 70, 4), 105_735),
    "gatedgcn-e-zinc": (lambda: gated(ZINC, 70, 4, edges=True), 105_875),
    "gatedgcn-e-zinc-16": (lambda: gated(ZINC, 78, 16, edges=True), 504_309),
    "gatedgcn-e-pe8-zinc-16": (lambda: gated(ZINC, 78, 16, edges=True, encoding=8), 505_011),
    "gatedgcn-pe20-csl": (lambda: gated(CSL, 70, 4, encoding=20), 105_407),
    "dagnn-arxiv": (lambda: DAGNN(ARXIV, hidden_channels=256, norm="batch"), 43_857),
    "dagnn-cora": (lambda: DAGNN(CORA, hidden_channels=64), 92_239),
}


@pytest.mark.parametrize("name", TOTALS)
def test_total_is_the_published_one(name: str) -> None:
    make, total = TOTALS[name]
    with torch.device("meta"):
        assert count_parameters(make()) == total
