"""Compiled parts of reading rows: many small reads, and rows cut out of pages.

The reads call the C library by its address, which machine code kept on disk could not do: they
are compiled in every process, the others are kept.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from graphkit.kernels import compiled

__all__ = ["cut_rows", "reads"]


@compiled
def cut_rows(
    pages: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], rows: npt.NDArray[np.uint8]
) -> None:
    """Copies ``rows[i]`` from byte ``starts[i]`` on."""
    width = rows.shape[1]
    for i in range(len(starts)):
        rows[i] = pages[starts[i] : starts[i] + width]


@cache
def reads() -> Any:
    """Returns the kernel that reads pieces of a file into memory, for one thread."""
    pread = ctypes.CDLL(None, use_errno=False).pread
    pread.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int64]
    pread.restype = ctypes.c_ssize_t

    @njit(nogil=True)
    def read_pieces(
        file: int,
        address: int,
        places: npt.NDArray[np.int64],
        offsets: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        got: npt.NDArray[np.int64],
    ) -> None:
        for i in range(len(places)):
            got[i] = pread(file, address + places[i], lengths[i], offsets[i])

    return read_pieces
