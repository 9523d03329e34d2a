"""WordNet: a hand-made file, and the counts of the real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphkit.data.catalogue import load_problem
from graphkit.data.sources.wordnet import read
from graphkit.errors import DataError


def _place(folder: Path, **changed: Any) -> Path:
    arrays = {
        "edge_index": np.array([[0, 0, 2], [1, 1, 0]], dtype=np.int32),
        "edge_type": np.array([4, 25, 4], dtype=np.int8),
        "y": np.array([1, 0, 44]),
        "x_indptr": np.array([0, 2, 2, 3], dtype=np.int32),
        "x_indices": np.array([0, 3, 1], dtype=np.int16),
        "x_shape": np.array([3, 4]),
    }
    np.savez(folder / "w.npz", **(arrays | changed))
    return folder / "w.npz"


def test_words_are_set_and_a_pair_may_have_two_types(tmp_path: Path) -> None:
    data = read(_place(tmp_path))
    assert data.x.tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert data.edge_index.tolist() == [[0, 0, 2], [1, 1, 0]]
    assert data.edge_type.tolist() == [4, 25, 4]


@pytest.mark.parametrize(
    "changed",
    [
        {"edge_type": np.zeros(2)},
        {"edge_index": np.zeros(3)},
        {"x_indices": np.array([0, 4, 1])},
        {"x_shape": np.array([4, 4])},
        {"x_shape": np.array([3])},
        {"y": np.array([{}] * 3, dtype=object)},
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path: Path, changed: Any) -> None:
    path = _place(tmp_path, **changed)
    with pytest.raises(DataError, match=str(path)):
        read(path)


@pytest.mark.data
def test_the_real_file_has_the_words_it_is_said_to_have() -> None:
    data = load_problem("wordnet/random").data
    words = data.x.sum(dim=1)
    assert int(words.sum()) == 398_247
    assert int((words == 0).sum()) == 8_770
    assert len(data.edge_type.unique()) == 26
    assert int(data.edge_type.max()) == 25
