"""Numbers and sparse matrices out of MATLAB files of version 5: what the LINKX graphs come in.

SciPy's reader kills the process on some damaged files; this one looks at every length first.

Source:
    MathWorks, "MAT-File Format", version 5.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.data.compressed import csr
from graphkit.data.sources.arrays import MAX_BYTES, reading
from graphkit.errors import DataError

__all__ = ["read_mat"]

Array = np.ndarray
HEADER_BYTES = 128
VERSION_5 = b"\x00\x01IM"  # little-endian
TYPES = {
    1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8",
    13: "<u8",
}  # fmt: skip
MATRIX, COMPRESSED = 14, 15
SPARSE, NUMBERS = 5, range(6, 16)  # classes of a matrix; others are texts, cells and objects
COMPLEX = 0x800


def read_mat(path: Path, *names: str) -> list[Any]:
    """Returns some variables of a file.

    Args:
        path: The ``.mat`` file; not of version 4 or 7.3.
        names: Names of the variables.

    Returns:
        For each name an array of at least two axes, or a ``scipy.sparse.csc_matrix``.

    Raises:
        DataError: The file is damaged, or a variable is missing or not one of real numbers.
    """
    with reading(path):
        content = path.read_bytes()
        if content[HEADER_BYTES - 4 : HEADER_BYTES] != VERSION_5:
            raise DataError("it is no MATLAB file of version 5")
        found: dict[str, Any] = {}
        for kind, data in _elements(memoryview(content)[HEADER_BYTES:]):
            if kind == COMPRESSED:
                [(kind, data)] = _elements(_unpacked(data))
            if kind == MATRIX:
                found |= _variable(list(_elements(data)), names)
        absent = [name for name in names if name not in found]
        if absent:
            raise DataError(f"it holds no variable {absent[0]!r}")
        return [found[name] for name in names]


def _unpacked(data: memoryview) -> memoryview:
    machine = zlib.decompressobj()
    content = machine.decompress(data, MAX_BYTES)
    if not machine.eof:
        raise DataError(f"a variable is cut short, or unpacks to more than {MAX_BYTES} bytes")
    return memoryview(content)


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and content of each element, one after the other."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise DataError("an element is cut short")
        kind = int.from_bytes(data[at : at + 4], "little")
        if kind >> 16:  # up to four bytes stand within the tag
            start, size, kind = at + 4, kind >> 16, kind & 0xFFFF
            if size > 4:
                raise DataError(f"a small element has {size} bytes")
            at += 8
        else:
            start, size = at + 8, int.from_bytes(data[at + 4 : at + 8], "little")
            at = start + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise DataError("an element is cut short")
        yield kind, data[start : start + size]


def _variable(parts: list[tuple[int, memoryview]], names: tuple[str, ...]) -> dict[str, Any]:
    """The variable under its name, if it is one of those asked for."""
    if len(parts) < 3:
        return {}
    name = bytes(parts[2][1]).decode("ascii", errors="replace")
    if name not in names:
        return {}
    flags, _ = (int(value) for value in _numbers(parts[0]))
    sides = [int(side) for side in _numbers(parts[1])]
    kind = flags & 0xFF
    if flags & COMPLEX or (kind != SPARSE and kind not in NUMBERS):
        raise DataError(f"variable {name!r} is not one of real numbers")
    if len(sides) < 2 or min(sides) < 0 or max(sides) >= 2**31:
        raise DataError(f"variable {name!r} has no shape")
    arrays = [_numbers(part) for part in parts[3:]]
    if kind != SPARSE:
        if len(arrays) != 1 or len(arrays[0]) != math.prod(sides):
            raise DataError(f"variable {name!r} is not of the shape it says")
        return {name: arrays[0].reshape(sides, order="F")}
    rows, columns, values = arrays  # by columns: the rows of the transposed matrix
    return {name: csr(values, rows, columns, sides[::-1]).T}


def _numbers(part: tuple[int, memoryview]) -> Array:
    kind, data = part
    if kind not in TYPES:
        raise DataError(f"an element of type {kind} holds no numbers")
    return np.frombuffer(data, dtype=TYPES[kind])
