"""Sparse matrices out of files: every pointer is looked at before a compiled kernel follows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from graphkit.errors import DataError

__all__ = ["csr"]

Array = np.ndarray


def csr(data: Array, indices: Array, indptr: Array, shape: Any) -> sp.csr_matrix:
    """Returns a checked CSR matrix with arrays of its own.

    SciPy's own check lets some damaged pointers pass (all of them, where the last is 0), and its
    kernels then read and write outside their memory.

    Args:
        data: The non-zero entries; more than the last pointer says are left out.
        indices: Column of each.
        indptr: Where each row begins, and the end.
        shape: Rows and columns.

    Raises:
        DataError: The four do not fit together.
    """
    sides = [int(side) for side in np.asarray(shape).reshape(-1)]
    if len(sides) != 2 or min(sides) < 0 or max(sides) >= 2**31:
        raise DataError(f"a sparse matrix has the shape {sides[:3]}; expected rows and columns")
    for name, values, kinds in (("data", data, "biuf"), ("indices", indices, "iu"),
                                ("indptr", indptr, "iu")):  # fmt: skip
        if values.ndim != 1 or values.dtype.kind not in kinds:
            raise DataError(f"{name} of a sparse matrix is {values.dtype}, {values.shape}")
    pointers = indptr.astype(np.int64)
    if len(pointers) != sides[0] + 1 or pointers[0] != 0 or (pointers[1:] < pointers[:-1]).any():
        raise DataError(f"indptr of a sparse matrix does not rise from 0 over {sides[0]} rows")
    count = int(pointers[-1])
    if count > min(len(indices), len(data)):
        raise DataError(f"a sparse matrix lacks some of its {count} entries")
    columns = indices[:count].astype(np.int64)
    if count and (columns.min() < 0 or columns.max() >= sides[1]):
        raise DataError(f"a column of a sparse matrix is not one of {sides[1]}")
    values = data[:count].astype(data.dtype.newbyteorder("="))
    return sp.csr_matrix((values, columns, pointers), shape=(sides[0], sides[1]))
