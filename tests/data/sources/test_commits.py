"""numpy-commits by the facts of its sheet."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
import torch

from graphkit.data.sources import commits
from graphkit.errors import DamagedFile

TEXT = "author,file,seconds,change\n" + "".join(
    f"{n % 3},{n % 4},{n},{'AMD'[n % 3]}\n" for n in range(40)
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(commits, "TEXT_SHA256", hashlib.sha256(TEXT.encode()).hexdigest())
    (tmp_path / "temporal").mkdir()
    return tmp_path


@pytest.mark.parametrize("level", [1, 9])
def test_the_text_counts_not_how_it_is_packed(root: Path, level: int) -> None:
    (root / "temporal" / "numpy_commits.csv.gz").write_bytes(gzip.compress(TEXT.encode(), level))
    problem = commits.numpy_commits(root, 0)
    data = problem.data
    assert data.src[:4].tolist() == [0, 1, 2, 0]
    assert data.dst[:4].tolist() == [3, 4, 5, 6]
    assert data.msg[:3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert problem.dims.edge_channels == 3


def test_another_text_is_damaged(root: Path) -> None:
    other = TEXT.replace("1,1,1,M", "1,1,1,A")
    (root / "temporal" / "numpy_commits.csv.gz").write_bytes(gzip.compress(other.encode()))
    with pytest.raises(DamagedFile, match="the text of"):
        commits.read(root)


@pytest.mark.data
def test_the_stream_has_the_facts_of_its_sheet() -> None:
    problem = commits.numpy_commits(None, 0)
    data, split = problem.data, problem.split
    assert (data.num_nodes, data.num_events) == (8_525, 76_098)
    assert split.sizes() == {"train": 53_293, "val": 11_391, "test": 11_414, "hidden": 0}
    assert data.t[split.val[0]] > 646_447_907 >= data.t[split.train[-1]]
    assert data.t[split.test[0]] > 709_171_052 >= data.t[split.val[-1]]
    assert len((data.src * 10_000 + data.dst).unique()) == 26_824
    assert len(data.t.unique()) == 28_061
    assert (data.msg.mean(dim=0) * 100).tolist() == pytest.approx([6.6, 90.2, 3.2], abs=0.05)
    new = torch.isin(split.test, split.groups["new_nodes"])
    assert new.double().mean().item() == pytest.approx(0.885, abs=0.0005)
    assert (problem.batching.negatives.low, problem.batching.negatives.high) == (2_120, 8_525)
