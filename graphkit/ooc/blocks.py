"""Arrays in blocks of one MiB, each with a checksum: written in one pass, checked when read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from graphkit.errors import DamagedFile, StorageError
from graphkit.ooc.disk import (
    BLOCK,
    READERS,
    Bytes,
    Reader,
    Writer,
    aligned,
    checksum,
    private,
    remove_tree,
)
from graphkit.ooc.manifest import ArrayFile

__all__ = ["ArrayWriter", "check_block", "check_size", "load", "read_sums", "scan"]


class ArrayWriter:
    """Writes one array front to back; ``finish`` makes it complete, nothing before does.

    Args:
        root: The store's folder; the array's own folder in it is there.
        name: Such as ``node/x``.
        dtype: Type of its entries.
        shape: Its shape, claimed on the disk at once; ``None`` for rows while their number is
            not known, as in ``(None, 3)``.
    """

    def __init__(
        self, root: Path, name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]
    ) -> None:
        self.name, self.dtype, self.shape = name, np.dtype(dtype), shape
        self.path, self.sums = root / f"{name}.bin", root / f"{name}.sum"
        tail = [int(size or 0) for size in shape[1:]]
        self._row_bytes = self.dtype.itemsize * int(np.prod(tail, dtype=np.int64))
        size = None if shape[0] is None else shape[0] * self._row_bytes
        try:
            self._file = Writer(self.path, num_bytes=size)
        except StorageError:
            with contextlib.suppress(StorageError):
                remove_tree(self.path)
            raise
        self._block = aligned(BLOCK)
        self._held = self._written = 0
        self._sums: list[int] = []
        self._complete = False

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._complete:
            with contextlib.suppress(StorageError):
                remove_tree(self.path)
                remove_tree(self.sums)

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Writes the next rows; they must be of the array's type.

        Raises:
            StorageError: The disk is full or fails.
        """
        if rows.dtype != self.dtype:
            raise TypeError(f"{self.name} holds {self.dtype}, not {rows.dtype}")
        raw = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
        start = 0
        while start < len(raw):
            part = raw[start : start + BLOCK - self._held]
            self._block[self._held : self._held + len(part)] = part
            self._held += len(part)
            start += len(part)
            if self._held == BLOCK:
                self._put()

    def finish(self) -> ArrayFile:
        """Writes what is left and the checksums, and waits until the disk holds both.

        Raises:
            StorageError: The disk is full or fails.
        """
        if self._held:
            self._put()
        self._file.flush()
        self._file.close()
        rows = self.shape[0]
        if rows is None:
            rows = self._written // self._row_bytes
        if self._written != rows * self._row_bytes:
            raise ValueError(f"{self.name} got {self._written} bytes for {rows} rows")
        table = np.asarray(self._sums, dtype="<u8")
        with Writer(self.sums, num_bytes=None, direct=False) as file:
            file.write_at(0, table)
            file.flush()
        self._complete = True
        shape = (rows, *(int(size or 0) for size in self.shape[1:]))
        digest = xxhash.xxh3_128_hexdigest(table.data)
        return ArrayFile(
            self.name, self.path, self.dtype, shape, 0, self._written, self.sums, digest
        )

    def _put(self) -> None:
        block = self._block[: self._held]
        self._sums.append(checksum(block))
        self._file.write_at(self._written, block)
        self._written += self._held
        self._held = 0


def check_size(array: ArrayFile) -> None:
    """Refuses an array whose file is missing, shorter or longer than the manifest says.

    Raises:
        DamagedFile: It names the file and both lengths.
    """
    for path, expected in (
        (array.path, array.offset + array.num_bytes),
        (array.sums, array.num_blocks * 8),
    ):
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise DamagedFile(f"{path} is missing; the store is not complete") from None
        if found != expected:
            how = "shorter" if found < expected else "longer"
            raise DamagedFile(
                f"{path} is {how} than it was written: it has {found} bytes, {expected} expected"
            )


def read_sums(array: ArrayFile) -> npt.NDArray[np.uint64]:
    """Returns the checksums of all blocks, checked against the manifest.

    Raises:
        DamagedFile: The file of checksums is not the one written.
    """
    num_bytes = array.num_blocks * 8
    table = np.zeros(num_bytes, dtype=np.uint8)
    with Reader(array.sums, direct=False) as file:
        file.read_into(table, 0, num_bytes)
    if xxhash.xxh3_128_hexdigest(table.data) != array.digest:
        raise DamagedFile(f"{array.sums} is damaged: it is not the table the manifest names")
    return table.view("<u8")


def check_block(array: ArrayFile, number: int, content: Bytes, expected: int) -> None:
    """Refuses a block that is not what was written.

    Raises:
        DamagedFile: It names the file, the block and its place in bytes.
    """
    if checksum(content) != expected:
        first = array.offset + number * BLOCK
        raise DamagedFile(
            f"{array.path} is damaged: block {number}, bytes {first} to {first + len(content)}, "
            "has another checksum than when it was written"
        )


def scan(array: ArrayFile, *, check: bool = True) -> Iterator[tuple[int, Bytes]]:
    """Yields number and content of every block, front to back; valid until the next one.

    Args:
        array: What to read.
        check: Whether to hold each block against its checksum.

    Raises:
        DamagedFile: A block is not what was written, or the file ends before.
    """
    sums = read_sums(array) if check else None
    block = aligned(BLOCK)
    with Reader(array.path, direct=array.offset == 0) as file:
        for number in range(array.num_blocks):
            length = min(BLOCK, array.num_bytes - number * BLOCK)
            file.read_into(block, array.offset + number * BLOCK, length)
            if sums is not None:
                check_block(array, number, block[:length], int(sums[number]))
            yield number, block[:length]


def load(array: ArrayFile, *, check: bool = True) -> npt.NDArray[Any]:
    """Returns a whole array in memory.

    Raises:
        DamagedFile: It is not what was written.
    """
    whole = np.frombuffer(private(array.num_bytes, huge=True), dtype=np.uint8)
    sums = read_sums(array) if check else None
    with Reader(array.path, direct=array.offset == 0) as file:

        def read(number: int) -> None:
            start = number * BLOCK
            length = min(BLOCK, array.num_bytes - start)
            file.read_into(whole[start:], array.offset + start, length)
            if sums is not None:
                check_block(array, number, whole[start : start + length], int(sums[number]))

        with ThreadPoolExecutor(READERS) as pool:
            for _ in pool.map(read, range(array.num_blocks)):
                pass
    return whole[: array.num_bytes].view(array.dtype).reshape(array.shape)
