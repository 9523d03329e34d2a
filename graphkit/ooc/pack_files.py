"""How packed rows lie on disk, and how a batch is put together from them.

A region holds rows in ascending order of ids and starts on a page: the rows of one batch, a part of
the cache, or a part of what a span of batches shares (that in an order of its own).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from graphkit.kernels import Array, compiled

__all__ = [
    "BATCH",
    "DEVICE",
    "FORMAT",
    "HOST",
    "REGION",
    "SHARED",
    "Where",
    "assemble",
    "words",
]

FORMAT = 1
BATCH, DEVICE, HOST, SHARED = range(4)  # kinds of regions

REGION = np.dtype(
    [
        ("kind", "<u4"),
        ("shard", "<u4"),
        ("offset", "<u8"),
        ("rows", "<u8"),
        ("first_sum", "<u8"),  # place of its first block's checksum in region.sum
        ("where_shard", "<u4"),
        ("shared_first", "<u4"),  # the first region of what its span shares
        ("where_offset", "<u8"),
        ("where_bytes", "<u8"),
        ("where_sum", "<u8"),
        ("hot", "<u8"),
        ("shared", "<u8"),
    ]
)


class Where(NamedTuple):
    """Where the rows of a batch are, in the order of its nodes.

    ``where`` is negative for a row of the region, ``-1 - place``; below ``cached_rows`` the slot of
    a cached row; from there on ``cached_rows`` plus a place in ``needed``, the shared rows the
    batch reads, rising.
    """

    where: Array
    needed: Array


@compiled
def assemble(where: Array, region: Array, cache: Array, shared: Array, out: Array) -> None:
    """Puts the rows of a batch in the order of its nodes.

    Args:
        where: As ``Where`` has it.
        region: Rows of the batch's region.
        cache: All cached rows.
        shared: The shared rows it needs.
        out: Room for the batch.

    Shape:
        where ``(nodes,)``, out ``(nodes, width)``, the others ``(rows, width)``; of one type, of
        which a wide one is copied faster.
    """
    for i in range(len(where)):
        at = where[i]
        if at < 0:
            out[i] = region[-1 - at]
        elif at < len(cache):
            out[i] = cache[at]
        else:
            out[i] = shared[at - len(cache)]


def words(rows: Array) -> Array:
    """Returns rows of bytes as rows of the widest words that fill them, without a copy."""
    width = math.gcd(rows.shape[1], 8)
    return rows.view(f"<u{width}")
