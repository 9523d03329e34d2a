"""Tables of numbers in text files, plain or gzipped, parsed whole and refused as one error."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphkit.errors import DamagedFile

__all__ = ["read_bytes", "read_numbers", "read_table"]


def read_bytes(path: Path) -> bytes:
    """Returns the content of a file, unpacked where its name ends in ``.gz``.

    Raises:
        DamagedFile: It cannot be read or unpacked.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFile(f"cannot read {path}: {error}") from error


def read_table(
    path: Path,
    dtype: npt.DTypeLike = np.float64,
    *,
    delimiter: str | None = ",",
    skip: int = 0,
    columns: tuple[int, ...] | None = None,
    missing: bool = False,
) -> np.ndarray:
    """Returns the numbers of a table, ``(rows, columns)``.

    Args:
        path: The file; unpacked where its name ends in ``.gz``.
        dtype: Type of the numbers.
        delimiter: What stands between two; ``None`` for blanks.
        skip: Lines of heading.
        columns: Which columns to read; all by default.
        missing: Whether an empty field is a missing number (NaN) and not an error.

    Raises:
        DamagedFile: It is not such a table; the message holds the file and the place.
    """
    try:
        text = read_bytes(path).decode("utf-8")
        if missing:
            text = _filled(text)
        if not "\n".join(text.split("\n", skip)[skip:]).strip():
            raise ValueError("it has no row")
        return np.loadtxt(
            io.StringIO(text),
            dtype=dtype,
            delimiter=delimiter,
            skiprows=skip,
            usecols=columns,
            ndmin=2,
            comments=None,
        )
    except (ValueError, OverflowError, IndexError) as error:
        raise DamagedFile(f"{path} is not a table of numbers: {error}") from error


def read_numbers(path: Path, *, delimiter: str | None = ",", skip: int = 0) -> Tensor:
    """Returns a table as a tensor: whole numbers if all are written so, else float32.

    Raises:
        DamagedFile: It is not a table of numbers.
    """
    try:
        return torch.from_numpy(read_table(path, np.int64, delimiter=delimiter, skip=skip))
    except DamagedFile:
        return torch.from_numpy(read_table(path, np.float32, delimiter=delimiter, skip=skip))


def _filled(text: str) -> str:
    """A comma-separated table whose empty fields say ``nan``."""
    text = text.replace("\r\n", "\n").replace(",,", ",nan,").replace(",,", ",nan,")
    text = text.replace("\n,", "\nnan,").replace(",\n", ",nan\n")
    return "nan" + text if text.startswith(",") else text
