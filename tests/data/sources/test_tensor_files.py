"""Pickles with tensors and files of torch: numbers come back, nothing in a file is ever called."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphkit.data.sources.tensor_files import (
    PickledTensor,
    read_tensor_pickle,
    read_torch_file,
)
from graphkit.errors import DamagedFile, GraphkitError


def _pickled(folder: Path, value: Any, protocol: int = 4) -> Path:
    path = folder / "value.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int8])
def test_a_tensor_comes_back(tmp_path: Path, protocol: int, dtype: torch.dtype) -> None:
    """Also one that is a view: turned, and beginning in the middle of its storage."""
    whole = torch.arange(12).reshape(3, 4).to(dtype)
    for tensor in (whole, whole.t(), whole[1:, 2:], whole[:0], whole[0, 0]):
        path = _pickled(tmp_path, {"a": [tensor], "n": 3}, protocol)
        made = read_tensor_pickle(path)
        assert made["n"] == 3
        assert made["a"][0].tensor().dtype == dtype
        assert torch.equal(made["a"][0].tensor(), tensor)


def test_arrays_matrices_and_single_numbers_come_back(tmp_path: Path) -> None:
    matrix = sp.coo_matrix(([1.0, 2.0], ([0, 2], [1, 0])), shape=(3, 3))
    value = (np.array([[1, 2]]), matrix, np.float64(0.5), b"", [True, None, "text"])
    for protocol in (2, 3, 4):
        array, made, number, nothing, plain = read_tensor_pickle(
            _pickled(tmp_path, value, protocol)
        )
        assert array.tolist() == [[1, 2]]
        assert [made["row"].tolist(), made["col"].tolist()] == [[0, 2], [1, 0]]
        assert tuple(made["_shape"]) == (3, 3)
        assert number == 0.5
        assert nothing == b""
        assert plain == [True, None, "text"]


class _Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.recipe = (function, arguments)

    def __reduce__(self) -> Any:
        return self.recipe


def _bad_values(marker: Path) -> list[Any]:
    inner = pickle.dumps(_Calls(os.mkdir, str(marker)))
    return [
        _Calls(os.mkdir, str(marker)),
        [torch.ones(1), _Calls(os.mkdir, str(marker))],
        _Calls(exec, f"open({str(marker)!r}, 'w')"),
        _Calls(torch.load, str(marker)),
        _Calls(pickle.loads, inner),
        _Calls(torch.storage._load_from_bytes, inner),
        _Calls(getattr, marker, "mkdir"),
        torch.nn.Linear(1, 1),
        {1, 2},
        complex(1, 2),
        Path("a"),
        np.array([object()]),
    ]


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("protocol", [2, 4])
def test_anything_else_is_refused_and_not_run(tmp_path: Path, number: int, protocol: int) -> None:
    marker = tmp_path / "marker"
    path = _pickled(tmp_path, _bad_values(marker)[number], protocol)
    with pytest.raises(DamagedFile):
        read_tensor_pickle(path)
    assert not marker.exists()


def test_a_storage_is_not_asked_to_unpickle_itself(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    inner = pickle.dumps(_Calls(os.mkdir, str(marker)))
    with pytest.raises(DamagedFile, match="a pickled tensor is damaged"):
        PickledTensor(inner, 0, (1,), (1,)).tensor()
    assert not marker.exists()


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [(0, (13,), (1,)), (1, (12,), (1,)), (0, (2,), (-1,)), (-1, (1,), (1,)), (0, (10**12,), (0,)),
     (0, (4, 3), (1,))],
)  # fmt: skip
def test_a_view_beyond_its_storage_is_refused(
    tmp_path: Path, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    whole = read_tensor_pickle(_pickled(tmp_path, torch.arange(12)))
    with pytest.raises(DamagedFile):
        PickledTensor(whole.storage, offset, shape, stride).tensor()


def test_damage_is_told_or_harmless(tmp_path: Path) -> None:
    """300 files with one byte changed or cut off: our exception, or a value; never another one."""
    whole = pickle.dumps([torch.arange(5), np.arange(3), 1.5], 4)
    chance = random.Random(0)
    path = tmp_path / "value.pickle"
    told = 0
    for number in range(300):
        at = chance.randrange(len(whole))
        if number % 3:
            path.write_bytes(whole[:at] + bytes([chance.randrange(256)]) + whole[at + 1 :])
        else:
            path.write_bytes(whole[:at])
        try:
            value = read_tensor_pickle(path)
            for one in value if isinstance(value, list) else ():
                if isinstance(one, PickledTensor):
                    one.tensor()
        except GraphkitError:
            told += 1
    assert told > 150


def test_a_file_of_torch_holds_tensors_alone(tmp_path: Path) -> None:
    path = tmp_path / "value.pt"
    torch.save([{"x": torch.arange(3)}], path)
    assert read_torch_file(path)[0]["x"].tolist() == [0, 1, 2]
    marker = tmp_path / "marker"
    torch.save(_Calls(os.mkdir, str(marker)), path)
    with pytest.raises(DamagedFile, match="cannot be read as tensors alone"):
        read_torch_file(path)
    assert not marker.exists()
    path.write_bytes(b"no file of torch")
    with pytest.raises(DamagedFile):
        read_torch_file(path)
