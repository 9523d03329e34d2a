"""Numbers out of text, and what is answered where there are none."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.data.sources.tables import read_bytes, read_numbers, read_table
from graphkit.errors import DamagedFile


def _file(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_reads_plain_and_packed_tables(tmp_path: Path) -> None:
    for name in ("table.csv", "table.csv.gz"):
        table = read_table(_file(tmp_path, "1,2\n3, 4\n", name), np.int64)
        assert table.tolist() == [[1, 2], [3, 4]]
    one = read_table(_file(tmp_path, "a b\n1 2\n"), np.int64, delimiter=None, skip=1, columns=(1,))
    assert one.tolist() == [[2]]


def test_empty_fields_are_missing_numbers_where_allowed(tmp_path: Path) -> None:
    path = _file(tmp_path, ",1,,\n2,,,3\n")
    table = read_table(path, missing=True)
    assert np.isnan(table).tolist() == [[True, False, True, True], [False, True, True, False]]
    with pytest.raises(DamagedFile, match=r"table\.csv is not a table"):
        read_table(path)


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    whole = read_numbers(_file(tmp_path, "1,2\n"))
    assert whole.dtype == torch.int64
    broken = read_numbers(_file(tmp_path, "1,2.5\n"))
    assert broken.dtype == torch.float32
    assert broken.tolist() == [[1.0, 2.5]]


@pytest.mark.parametrize("text", ["", "\n", "1,2\n3\n", "x,y\n", "1;2\n", "\x00\x01", "1e400,nan"])
def test_what_is_no_table_of_whole_numbers_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DamagedFile):
        read_table(_file(tmp_path, text), np.int64)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b"1,2\n" * 100)
    for content in (b"", b"no archive", packed[:-9], packed[:20] + b"\xff" + packed[21:]):
        path = tmp_path / "table.csv.gz"
        path.write_bytes(content)
        with pytest.raises(DamagedFile):
            read_table(path, np.int64)
    with pytest.raises(DamagedFile, match="cannot read"):
        read_bytes(tmp_path / "absent.csv")
