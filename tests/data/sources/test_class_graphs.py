"""Links, degrees and features of the graphs made here."""

from __future__ import annotations

import pytest
import torch

from graphkit.data.prepare import fingerprint
from graphkit.data.sources import class_graphs
from graphkit.errors import SettingError, UnknownName


def test_links_keep_to_classes_as_often_as_asked() -> None:
    data = class_graphs.class_graph(5_000, num_classes=4, mean_degree=10.0, within=0.8)
    source, destination = data.edge_index
    assert (data.y[source] == data.y[destination]).double().mean().item() == pytest.approx(
        0.8, abs=0.01
    )
    assert data.num_edges / 5_000 == pytest.approx(10, rel=0.01)
    assert data.y.bincount().tolist() == [1_250] * 4
    assert data.is_undirected()
    assert not data.has_self_loops()
    # other classes are reached evenly: a third of the 20 % each
    away = torch.bincount(data.y[source] * 4 + data.y[destination]).reshape(4, 4)
    share = away.double() / away.sum(dim=1, keepdim=True)
    assert share[~torch.eye(4, dtype=torch.bool)].tolist() == pytest.approx(
        [0.2 / 3] * 12, abs=0.01
    )


def test_degrees_follow_the_power_law() -> None:
    """With exponent 2.5 the share of nodes of degree above k falls as k to the power -1.5."""
    data = class_graphs.class_graph(50_000, mean_degree=10.0, exponent=2.5, channels=1)
    degree = torch.bincount(data.edge_index[1], minlength=50_000)
    share = [(degree >= k).double().mean().item() for k in (20, 40, 80)]
    assert share[1] / share[0] == pytest.approx(2**-1.5, rel=0.1)
    assert share[2] / share[1] == pytest.approx(2**-1.5, rel=0.15)
    assert int(degree.max()) > 1_000
    top = degree.topk(100).indices
    assert 15_000 < top.double().mean().item() < 35_000  # a node's number says nothing
    with pytest.raises(SettingError, match=r"exponent=2\.0; expected more than 2"):
        class_graphs.class_graph(10, exponent=2.0)


def test_features_lie_around_class_centres() -> None:
    data = class_graphs.class_graph(4_000, num_classes=2, channels=8, signal=2.0)
    centre = torch.stack([data.x[data.y == kind].mean(dim=0) for kind in (0, 1)])
    nearest = torch.cdist(data.x, centre).argmin(dim=1)
    assert (nearest == data.y).double().mean() > 0.95
    assert data.x[data.y == 0].std(dim=0).tolist() == pytest.approx([1.0] * 8, abs=0.06)


def test_the_runs_seed_draws_the_split_alone() -> None:
    first, second = (class_graphs.sbm(None, seed, "small") for seed in (0, 1))
    assert fingerprint(first.data) == fingerprint(second.data)
    assert first.split.sizes() == {"train": 600, "val": 200, "test": 200, "hidden": 0}
    assert first.split.test.tolist() != second.split.test.tolist()
    few = class_graphs.power_law(None, 0, "small")
    assert few.split.sizes() == {"train": 200, "val": 500, "test": 1_000, "hidden": 0}
    assert few.data.y[few.split.train].bincount().tolist() == [20] * 10


def test_unknown_sizes_are_told() -> None:
    for make in (class_graphs.sbm, class_graphs.power_law):
        with pytest.raises(UnknownName, match="unknown size"):
            make(None, 0, "tiny")
