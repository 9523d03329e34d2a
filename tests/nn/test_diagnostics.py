"""Statistics of embeddings and predictions against loops and dense matrices."""

from __future__ import annotations

import pytest
import torch

from graphkit.nn.diagnostics import cut_share, smoothness, topology_score
from tests import tiny


def test_topology_score_by_hand() -> None:
    """Hyperedge 0 4 lies 2 from its mean, a single vertex 0: the mean is 1."""
    z = torch.tensor([[0.0, 0.0], [4.0, 0.0], [7.0, 7.0]])
    index = torch.tensor([[0, 1, 2], [0, 0, 1]])
    assert float(topology_score(z, index)) == 1
    assert float(topology_score(z, index[:, :0])) == 0
    assert float(topology_score(2 * z, index)) == 2


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_topology_score_against_a_loop(rows: int) -> None:
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(20, 4, generator=draw)
    index = torch.stack([torch.randint(20, (60,), generator=draw),
                         torch.randint(15, (60,), generator=draw) * 2])  # fmt: skip
    scores = []
    for e in index[1].unique():
        own = z[index[0][index[1] == e]]
        scores.append((own.mean(0) - own).norm(dim=1).mean())
    torch.testing.assert_close(topology_score(z, index, rows), torch.stack(scores).mean())


def test_cut_share_by_hand() -> None:
    """A path 0 - 1 - 2 with classes a a b: of norms 1 + 2 + 1, one edge of two stays whole."""
    sure = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert float(cut_share(sure, tiny.both_ways((0, 1), (1, 2)))) == pytest.approx(0.5)
    assert float(cut_share(sure, tiny.both_ways((0, 1)))) == 1
    assert float(cut_share(sure, torch.empty(2, 0, dtype=torch.long))) == 1


@pytest.mark.parametrize("rows", [5, 1000])
def test_cut_share_against_dense_traces(rows: int) -> None:
    draw = torch.Generator().manual_seed(1)
    s = torch.randn(12, 3, generator=draw).softmax(-1)
    pairs = torch.combinations(torch.arange(12))[torch.randperm(66, generator=draw)[:20]]
    edges = tiny.both_ways(*map(tuple, pairs.tolist()))
    a = torch.zeros(12, 12)
    a[edges[0], edges[1]] = 1
    expected = (s.t() @ a @ s).trace() / (s.t() @ a.sum(1).diag() @ s).trace()
    torch.testing.assert_close(cut_share(s, edges, rows), expected)
    one_way = edges[:, edges[0] < edges[1]]
    torch.testing.assert_close(cut_share(s, one_way), expected)
    assert float(cut_share(s, edges)) <= 1


def test_smoothness_of_equal_and_opposite_rows() -> None:
    same = float(smoothness(torch.ones(3, 2)))  # rounding under the root of 2 - 2 cos
    assert same == pytest.approx(0, abs=1e-3)
    assert float(smoothness(torch.tensor([[1.0], [-2.0]]))) == pytest.approx(1)
    assert float(smoothness(torch.ones(1, 2))) == 0
