"""Facebook100 and Genius: hand-made .mat files, and a real one against PyG."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.io import savemat
from torch_geometric.datasets import LINKXDataset

from graphkit.data.catalogue import load_problem
from graphkit.data.sources.linkx import read_facebook
from graphkit.errors import DataError

PEOPLE = np.array([[1, 2, 7], [1, 1, 0], [2, 0, 7], [2, 2, 9]] * 4, dtype=np.uint16)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")


def _place(root: Path, name: str, **variables: object) -> Path:
    path = root / "linkx" / name / "raw" / "data.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables)
    return path


def _links(count: int = 16) -> sp.csc_matrix:
    return sp.csc_matrix((np.ones(2), ([0, 1], [1, 0])), (count, count))


def test_columns_become_one_hot_and_an_untold_gender_is_in_no_part(tmp_path: Path) -> None:
    """Column 0 holds 1 and 2, column 2 holds 0, 7 and 9: five features."""
    _place(tmp_path, "penn94", A=_links(), local_info=PEOPLE)
    problem = load_problem("penn94/random", tmp_path, seed=2)
    rows = [[1, 0, 0, 1, 0], [1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 1, 0, 0, 1]]
    assert problem.data.x.tolist() == rows * 4
    assert problem.data.y.tolist() == [1, 0, -1, 1] * 4
    assert sorted(problem.data.edge_index.t().tolist()) == [[0, 1], [1, 0]]
    assert problem.split.sizes() == {"train": 6, "val": 3, "test": 3, "hidden": 0}
    everything = torch.cat([problem.split.train, problem.split.val, problem.split.test])
    assert bool((problem.data.y[everything] >= 0).all())


def test_genius_is_read_as_it_stands(tmp_path: Path) -> None:
    x = np.arange(16.0).reshape(8, 2)
    label = np.array([[0, 1] * 4]).T
    _place(tmp_path, "genius", edge_index=np.array([[0, 7], [1, 2]]), node_feat=x, label=label)
    problem = load_problem("genius/random", tmp_path)
    assert problem.data.edge_index.tolist() == [[0, 7], [1, 2]]
    assert problem.data.x.tolist() == x.tolist()
    assert problem.data.y.tolist() == [0, 1] * 4
    assert problem.task.monitor == "roc_auc"


@pytest.mark.parametrize(
    "variables",
    [
        {"A": _links()},
        {"local_info": PEOPLE},
        {"A": _links(9), "local_info": PEOPLE},
        {"A": _links(), "local_info": PEOPLE[:, :1]},
        {"A": "text", "local_info": PEOPLE},
        {"A": _links(), "local_info": "text"},
        {"A": sp.csc_matrix((16, 20)) + sp.csc_matrix(([1], ([0], [19])), (16, 20)),
         "local_info": PEOPLE},
    ],
)  # fmt: skip
def test_variables_that_do_not_fit_are_refused_by_name(tmp_path: Path, variables: dict) -> None:
    path = _place(tmp_path, "penn94", **variables)
    with pytest.raises(DataError, match=str(path)):
        load_problem("penn94/random", tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_cut_file_is_refused_by_name(tmp_path: Path, share: float) -> None:
    path = _place(tmp_path, "penn94", A=_links(), local_info=PEOPLE)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=str(path)):
        load_problem("penn94/random", tmp_path)


def test_changed_bytes_raise_our_error_alone(tmp_path: Path) -> None:
    """Three random bytes of the file are changed, 150 times."""
    path = _place(tmp_path, "penn94", A=_links(), local_info=PEOPLE)
    content, draw = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(content)
        for at in draw.integers(len(content), size=3):
            changed[at] = draw.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(DataError):
            read_facebook(path)


@pytest.mark.data
@pytest.mark.parametrize("name", ["reed98", "amherst41"])
def test_the_real_files_read_as_pyg_reads_them(name: str, tmp_path: Path) -> None:
    raw = Path(os.environ["GRAPHKIT_DATA"]) / "linkx" / name / "raw"
    shutil.copytree(raw, tmp_path / name / "raw", copy_function=shutil.copyfile)
    theirs = LINKXDataset(str(tmp_path), name)[0]
    mine = load_problem(f"{name}/random").data
    assert torch.equal(mine.x, theirs.x.float())
    assert torch.equal(mine.y, theirs.y)
    assert sorted(mine.edge_index.t().tolist()) == sorted(theirs.edge_index.t().tolist())
