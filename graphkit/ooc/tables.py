"""Foreign files of numbers, read in chunks of bounded size: NumPy, text, Parquet.

Nothing is unpickled: an array of objects is refused, and ``.pt`` files are not read at all.
"""

from __future__ import annotations

import gzip
import itertools
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from graphkit.errors import DamagedFile, DataError, DataNotFound, MissingExtra
from graphkit.ooc.disk import Reader

__all__ = ["Npy", "NpzMember", "Parquet", "Table", "Text", "open_table", "pairs", "whole"]

Array: TypeAlias = npt.NDArray[Any]


class Table(Protocol):
    """Rows of numbers, read front to back as often as asked for."""

    @property
    def path(self) -> Path:
        """The file, for messages."""
        ...

    @property
    def width(self) -> int:
        """Numbers in a row."""
        ...

    def rows(self, limit: int) -> Iterator[Array]:
        """Yields ``(at most limit, width)`` rows at a time."""
        ...


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    by_column: bool

    @property
    def num_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))


def _header(file: IO[bytes], path: Path) -> _Header:
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DamagedFile(f"{path} is no NumPy array: {error!s:.200}") from None
    if dtype.hasobject or dtype.kind not in "biuf":
        raise DataError(f"{path} holds {dtype}, not numbers; it is not read")
    if not shape or len(shape) > 2:
        raise DataError(f"{path} has shape {shape}; expected one or two dimensions")
    return _Header(dtype, shape, file.tell(), fortran and len(shape) > 1 and min(shape) > 1)


class _InOneArray(ABC):
    """What tables have in common that are one array: a shape, and numbers in a row."""

    header: _Header
    path: Path

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.header.shape

    @property
    def width(self) -> int:
        """Numbers in a row; 1 for a vector."""
        return self.shape[1] if len(self.shape) > 1 else 1

    @abstractmethod
    def flat(self, first: int, count: int, limit: int) -> Iterator[Array]:
        """Yields ``count`` numbers from the ``first`` on, ``limit`` at a time."""

    def rows(self, limit: int) -> Iterator[Array]:
        """Yields rows, front to back."""
        if self.header.by_column:
            raise DataError(f"{self.path} is stored by column; save numpy.ascontiguousarray of it")
        for part in self.flat(0, self.shape[0] * self.width, limit * self.width):
            yield part.reshape(-1, self.width)


class Npy(_InOneArray):
    """An array in a ``.npy`` file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self.header = _header(file, path)
        expected = self.header.offset + self.header.num_bytes
        if path.stat().st_size != expected:
            raise DamagedFile(f"{path} has {path.stat().st_size} bytes; its header says {expected}")

    def flat(self, first: int, count: int, limit: int) -> Iterator[Array]:
        """Yields ``count`` numbers from the ``first`` on, ``limit`` at a time."""
        size = self.header.dtype.itemsize
        with Reader(self.path, direct=False) as file:
            for start in range(first, first + count, limit):
                length = min(limit, first + count - start) * size
                part = np.empty(length, dtype=np.uint8)
                file.read_into(part, self.header.offset + start * size, length)
                yield part.view(self.header.dtype)


class NpzMember(_InOneArray):
    """An array inside a ``.npz`` archive, unpacked as it is read."""

    def __init__(self, path: Path, member: str) -> None:
        self.path, self._member = path, f"{member}.npy"
        with self._archive() as archive, archive.open(self._member) as file:
            self.header = _header(file, path)

    def _archive(self) -> zipfile.ZipFile:
        try:
            archive = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError) as error:
            raise DamagedFile(f"{self.path} is no NumPy archive: {error}") from None
        if self._member not in archive.namelist():
            names = ", ".join(archive.namelist()[:10])
            archive.close()
            raise DataError(f"{self.path} holds no {self._member}, only {names}")
        return archive

    def flat(self, first: int, count: int, limit: int) -> Iterator[Array]:
        """Yields ``count`` numbers from the ``first`` on, ``limit`` at a time."""
        size = self.header.dtype.itemsize
        try:
            with self._archive() as archive, archive.open(self._member) as file:
                file.seek(self.header.offset + first * size)
                for start in range(0, count, limit):
                    length = min(limit, count - start) * size
                    raw = file.read(length)
                    if len(raw) != length:
                        raise DamagedFile(f"{self.path}: {self._member} ends too early")
                    yield np.frombuffer(raw, self.header.dtype)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DamagedFile(f"{self.path} is damaged: {error}") from None


@dataclass(frozen=True)
class Text:
    """A table of numbers in a text file, comma-separated, unpacked where it ends in ``.gz``."""

    path: Path
    dtype: type[Any] = np.float64

    @cached_property
    def width(self) -> int:
        """Numbers in the first row."""
        return _first_width(self)

    def rows(self, limit: int) -> Iterator[Array]:
        """Yields rows, front to back; an empty field is NaN, where numbers may be that."""
        number = 0
        try:
            with self._stream() as stream:
                while lines := list(itertools.islice(stream, limit)):
                    yield np.loadtxt(lines, self.dtype, delimiter=",", ndmin=2, comments=None)
                    number += len(lines)
        except (ValueError, OverflowError, OSError, EOFError, zlib.error) as error:
            raise DamagedFile(
                f"{self.path} is no table of numbers after line {number}: {error!s:.200}"
            ) from None

    def _stream(self) -> IO[str]:
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rt", encoding="utf-8")
        return self.path.open(encoding="utf-8")


@dataclass(frozen=True)
class Parquet:
    """Columns of a Parquet file side by side; one column of lists of equal length is a matrix."""

    path: Path

    @cached_property
    def width(self) -> int:
        """Numbers in a row."""
        return _first_width(self)

    def rows(self, limit: int) -> Iterator[Array]:
        """Yields rows, front to back; a row group is unpacked at a time."""
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise MissingExtra(
                "Parquet files need pyarrow: pip install 'graphkit[bench]'"
            ) from None
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=limit):
                    columns = [_column(column) for column in batch.columns]
                    yield np.concatenate(columns, axis=1)
        except (pa.ArrowException, OSError) as error:
            raise DamagedFile(
                f"{self.path} is no Parquet file of numbers: {error!s:.200}"
            ) from None


def _first_width(table: Table) -> int:
    for rows in table.rows(1):
        return int(rows.shape[1])
    raise DamagedFile(f"{table.path} has no row")


def _column(column: Any) -> Array:
    import pyarrow as pa

    if column.null_count:
        raise DataError("a Parquet column has missing entries; fill or drop them first")
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        values = column.flatten().to_numpy(zero_copy_only=False)
        return values.reshape(len(column), -1)
    return column.to_numpy(zero_copy_only=False).reshape(-1, 1)


def open_table(path: Path, dtype: type[Any] = np.float64) -> Table:
    """Opens a file of numbers by the end of its name.

    Args:
        path: ``.npy``, ``.csv``, ``.csv.gz``, ``.txt``, ``.parquet``.
        dtype: What numbers in a text file are.

    Raises:
        DataNotFound: There is no such file.
        DataError: It is of a kind that is not read.
    """
    if not path.is_file():
        raise DataNotFound(f"{path} is not there")
    kind = Path(path.name.removesuffix(".gz")).suffix
    if path.suffix == ".npy":
        return Npy(path)
    if path.suffix in (".parquet", ".pq"):
        return Parquet(path)
    if kind in (".csv", ".txt"):
        return Text(path, dtype)
    advice = " Save the tensor with numpy.save." if kind in (".pt", ".pth", ".pkl") else ""
    raise DataError(f"{path} is of no known kind; expected .npy, .csv(.gz) or .parquet.{advice}")


def pairs(table: Table, limit: int) -> Iterator[tuple[Array, Array]]:
    """Yields sources and destinations of at most ``limit`` edges at a time, int64.

    Args:
        table: ``(2, edges)`` or ``(edges, 2)``; two by two is read as the former.

    Raises:
        DataError: It has another shape, or ids are no whole numbers.
    """
    if isinstance(table, _InOneArray) and len(table.shape) == 2 and 2 in table.shape:
        count = int(np.prod(table.shape)) // 2
        if (table.shape[0] == 2) != table.header.by_column:  # sources, then destinations
            halves = (table.flat(0, count, limit), table.flat(count, count, limit))
            for source, destination in zip(*halves, strict=True):
                yield _ids(source, table.path), _ids(destination, table.path)
            return
        for both in table.flat(0, 2 * count, 2 * limit):
            yield _ids(both[::2], table.path), _ids(both[1::2], table.path)
        return
    if table.width != 2:
        raise DataError(
            f"{table.path} has {table.width} columns; expected (2, edges) or (edges, 2)"
        )
    for rows in table.rows(limit):
        yield _ids(rows[:, 0], table.path), _ids(rows[:, 1], table.path)


def whole(table: Table) -> Array:
    """Returns a table in memory, ``(rows, width)``."""
    parts = list(table.rows(1 << 20))
    return np.concatenate(parts) if parts else np.empty((0, table.width))


def _ids(values: Array, path: Path) -> Array:
    if values.dtype.kind not in "iu":
        raise DataError(f"{path} holds {values.dtype} where node ids were expected")
    return np.ascontiguousarray(values, dtype=np.int64)
