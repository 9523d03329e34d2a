"""The protocol of streams on a list of twenty messages, and CollegeMsg by its known facts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import TemporalData

from graphkit.data.sources import interactions
from graphkit.data.sources.interactions import LISTS, _List
from graphkit.errors import DamagedFile, DataNotFound, UnknownName


def _raw(name: str) -> interactions.Raw:
    return interactions.Raw(f"temporal/{name}")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root whose CollegeMsg and Bitcoin OTC are what the test writes there."""
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    monkeypatch.setitem(LISTS, "collegemsg", _List(_raw("messages.txt")))
    rated = _List(_raw("ratings.csv"), delimiter=",", time=3, rating=2)
    monkeypatch.setitem(LISTS, "bitcoin-otc", rated)
    (tmp_path / "temporal").mkdir()
    return tmp_path


def test_nodes_that_are_reached_are_numbered_last() -> None:
    """40 and 10 are never a destination; 30, 20 and 50 are."""
    src, dst = interactions.numbered(torch.tensor([40, 30, 10]), torch.tensor([30, 20, 50]))
    assert src.tolist() == [1, 3, 0]
    assert dst.tolist() == [3, 2, 4]


def test_events_are_sorted_stably_and_begin_at_0(root: Path) -> None:
    (root / "temporal" / "ratings.csv").write_text(
        "7,8,10,1005.9\n8,7,-10,1000.7\n9,7,5,1005.9\n7,9,1,1000.7\n"
    )
    data = interactions.read("bitcoin-otc", root)
    assert data.t.tolist() == [0, 0, 5, 5]
    assert data.msg.flatten().tolist() == pytest.approx([-1.0, 0.1, 1.0, 0.5])
    # 7, 8 and 9 are all reached; among equal times the order is that of the file
    assert data.src.tolist() == [1, 0, 0, 2]
    assert data.dst.tolist() == [0, 2, 1, 0]


def test_the_cut_is_by_time_and_parts_no_moment() -> None:
    """The 70 % and 85 % quantiles of these times are 6 and 8.15: ties stay in the earlier part."""
    t = torch.tensor([0, 1, 2, 3, 4, 5, 6, 6, 6, 9])
    split = interactions.by_time(t)
    assert split.sizes() == {"train": 9, "val": 0, "test": 1, "hidden": 0}
    even = interactions.by_time(torch.arange(100))
    assert even.sizes() == {"train": 70, "val": 15, "test": 15, "hidden": 0}


def test_the_cut_is_that_of_pyg() -> None:
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):
        t = torch.randint(0, 60, (200,), generator=draw).sort().values
        data = TemporalData(src=t, dst=t, t=t, msg=t[:, None])
        parts = data.train_val_test_split(val_ratio=0.15, test_ratio=0.15)
        split = interactions.by_time(t)
        ours = [split.train, split.val, split.test]
        assert [len(part) for part in ours] == [part.num_events for part in parts]


def _messages(root: Path) -> None:
    """Twenty messages a minute apart; 5 writes first in the test, 1 and 5 are never written to."""
    rows = [f"{1 if n % 2 else 2} {3 if n % 2 else 2 + n % 3} {60 * n}" for n in range(19)]
    rows.append(f"5 4 {60 * 19}")
    (root / "temporal" / "messages.txt").write_text("\n".join(rows) + "\n")


def test_a_problem_follows_the_protocol(root: Path) -> None:
    _messages(root)
    problem = interactions.members(root, 0, "collegemsg")
    assert problem.split.sizes() == {"train": 14, "val": 3, "test": 3, "hidden": 0}
    assert problem.split.groups["new_nodes"].tolist() == [19]
    assert problem.dims.num_nodes == 5
    assert problem.dims.edge_channels == 0
    low, high = problem.batching.negatives.low, problem.batching.negatives.high
    assert set(range(low, high)) == set(problem.data.dst.tolist())
    assert problem.task.monitor == "mrr"


def test_candidates_are_destinations_and_never_the_true_one(root: Path) -> None:
    _messages(root)
    problem = interactions.members(root, 0, "collegemsg")
    for part, draws in (("train", 1), ("val", 20), ("test", 20)):
        for batch in problem.batches(part):
            assert batch.negatives.shape == (len(batch.dst), draws)
            assert not (batch.negatives == batch.dst[:, None]).any()
            assert set(batch.negatives.unique().tolist()) <= set(problem.data.dst.tolist())


def test_the_seed_changes_training_candidates_alone(root: Path) -> None:
    _messages(root)
    first = interactions.members(root, 0, "collegemsg")
    both = (first, replace(first, seed=1))
    drawn = [
        [torch.cat([b.negatives.flatten() for b in one.batches(part)]).tolist() for one in both]
        for part in ("train", "test")
    ]
    assert drawn[0][0] != drawn[0][1]
    assert drawn[1][0] == drawn[1][1]


def test_absent_damaged_and_unknown_lists_are_told(root: Path) -> None:
    with pytest.raises(DataNotFound, match=r"messages\.txt"):
        interactions.read("collegemsg", root)
    (root / "temporal" / "messages.txt").write_text("1 2 soon\n")
    with pytest.raises(DamagedFile, match=r"messages\.txt"):
        interactions.read("collegemsg", root)
    with pytest.raises(UnknownName, match="did you mean 'bitcoin-otc'"):
        interactions.files("bitcoin-oct")


@pytest.mark.data
def test_collegemsg_has_the_facts_of_the_literature() -> None:
    """Of the test events, 26.1 % repeat an earlier pair and 54.3 % touch one of 401 new nodes."""
    problem = interactions.members(None, 0, "collegemsg")
    data, split = problem.data, problem.split
    assert split.sizes() == {"train": 41_884, "val": 8_975, "test": 8_976, "hidden": 0}
    pair = data.src * data.num_nodes + data.dst
    assert len(pair.unique()) == 20_296
    assert len(data.t.unique()) == 58_911
    assert not (data.src == data.dst).any()
    earlier = torch.isin(pair[split.test], pair[: split.test[0]])
    assert earlier.double().mean().item() == pytest.approx(0.261, abs=0.0005)
    known = torch.cat([data.src[split.train], data.dst[split.train]]).unique()
    assert data.num_nodes - len(known) == 401
    new = torch.isin(split.test, split.groups["new_nodes"])
    assert new.double().mean().item() == pytest.approx(0.543, abs=0.0005)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "nodes", "events"),
    [
        ("collegemsg", 1_899, 59_835),
        ("bitcoin-otc", 5_881, 35_592),
        ("bitcoin-alpha", 3_783, 24_186),
        ("mathoverflow", 24_818, 506_550),
    ],
)
def test_lists_have_their_published_sizes(name: str, nodes: int, events: int) -> None:
    problem = interactions.members(None, 0, name)
    data = problem.data
    assert (data.num_nodes, data.num_events, problem.dims.num_nodes) == (nodes, events, nodes)
    assert data.t[0] == 0
    assert bool((data.t.diff() >= 0).all())
    assert np.unique(torch.cat([data.src, data.dst]).numpy()).size == nodes
    low = problem.batching.negatives.low
    assert data.dst.unique().tolist() == list(range(low, nodes))
