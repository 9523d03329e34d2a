"""Users and items by hand, and Wikipedia against PyG's reader."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from graphkit.data.sources import jodie
from graphkit.errors import DamagedFile, UnknownName

HEAD = "user_id,item_id,timestamp,state_label,comma_separated_list_of_features\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def _write(root: Path, rows: str) -> None:
    folder = root / "jodie" / "mooc" / "raw"
    folder.mkdir(parents=True)
    (folder / "mooc.csv").write_text(HEAD + rows)


def test_items_are_numbered_behind_users(root: Path) -> None:
    _write(root, "0,0,5.0,0,0.5,1\n1,1,7.9,0,0.25,2\n0,1,6.0,1,-1,3\n")
    data = jodie.read("mooc", root)
    assert data.src.tolist() == [0, 0, 1]
    assert data.dst.tolist() == [2, 3, 3]
    assert data.t.tolist() == [0, 1, 2]
    assert data.msg.tolist() == [[0.5, 1.0], [-1.0, 3.0], [0.25, 2.0]]


def test_a_stream_without_features_has_messages_of_width_0(root: Path) -> None:
    _write(root, "".join(f"{n % 3},{n % 2},{n},0\n" for n in range(40)))
    problem = jodie.interactions(root, 0, "mooc")
    assert problem.data.msg.shape == (40, 0)
    assert problem.dims.edge_channels == 0
    assert problem.batching.negatives.low == 3


@pytest.mark.parametrize("rows", ["", "0,0\n", "-1,0,1,0\n", "0,0,nan,0\n", "a,0,1,0\n"])
def test_what_is_no_stream_is_refused(root: Path, rows: str) -> None:
    _write(root, rows)
    with pytest.raises(DamagedFile, match=r"mooc\.csv"):
        jodie.read("mooc", root)


def test_unknown_streams_are_told() -> None:
    with pytest.raises(UnknownName, match="did you mean 'wikipedia'"):
        jodie.files("wikipeda")


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")  # of PyG's reader
def test_wikipedia_equals_pyg(tmp_path: Path) -> None:
    from torch_geometric.datasets import JODIEDataset

    place = Path("wikipedia") / "raw" / "wikipedia.csv"
    (tmp_path / place).parent.mkdir(parents=True)
    shutil.copyfile(Path(os.environ["GRAPHKIT_DATA"]) / "temporal" / "jodie" / place,
                    tmp_path / place)  # fmt: skip
    [theirs] = JODIEDataset(str(tmp_path), "wikipedia")
    problem = jodie.interactions(None, 0, "wikipedia-plain")
    ours = problem.data
    for name in ("src", "dst", "t", "msg"):
        assert torch.equal(ours[name], theirs[name]), name
    assert (ours.num_nodes, ours.num_events) == (9_227, 157_474)
    assert problem.batching.negatives.low == 8_227
    parts = theirs.train_val_test_split(val_ratio=0.15, test_ratio=0.15)
    assert list(problem.split.sizes().values())[:3] == [part.num_events for part in parts]
