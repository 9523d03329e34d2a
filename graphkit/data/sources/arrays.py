"""Arrays out of raw files; whatever is wrong with one becomes a DataError that names the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.utils import coalesce, to_undirected

from graphkit.data.check import check_edges
from graphkit.data.split import Split, by_masks
from graphkit.errors import DataError, GraphkitError

__all__ = ["as_edges", "chosen_masks", "dense", "read_npz", "reading", "row_normalised"]

Array = np.ndarray
MAX_BYTES = 2**32  # unpacked arrays of one file, and a feature matrix when written out


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Answers whatever goes wrong inside with a DataError that names the file being read."""
    try:
        yield
    except GraphkitError as error:
        if str(path) in str(error):
            raise
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # foreign parsers fail in many ways: the answer is the same
        said = str(error).splitlines()
        reason = f"{type(error).__name__}: {said[0][:200] if said else 'no reason given'}"
        raise DataError(f"{path} is damaged or of another format ({reason})") from None


def read_npz(path: Path, *names: str) -> dict[str, Array]:
    """Returns some arrays of a NumPy archive.

    Args:
        path: The ``.npz`` file; an array of objects in it is refused.
        names: Names of the arrays.

    Raises:
        DataError: The file is damaged, or an array is missing, of objects or too large.
    """
    # opened here: NumPy leaves a file of its own open when it is no archive
    with reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        absent = [name for name in names if name not in archive.files]
        if absent:
            raise DataError(f"{path} holds no array {absent[0]!r}, only {sorted(archive.files)}")
        wanted = {f"{name}.npy" for name in names} | set(names)
        size = sum(i.file_size for i in archive.zip.infolist() if i.filename in wanted)
        if size > MAX_BYTES:
            raise DataError(f"{path} unpacks to {size} bytes; at most {MAX_BYTES} are read")
        return {name: archive[name] for name in names}


def dense(matrix: sp.csr_matrix) -> Tensor:
    """Returns a CSR matrix written out.

    Shape:
        ``(rows, columns)``, float32.

    Raises:
        DataError: It would take more than 4 GiB.
    """
    rows, columns = matrix.shape
    if rows * columns * 4 > MAX_BYTES:
        raise DataError(f"{rows} x {columns} features do not fit into {MAX_BYTES} bytes")
    return torch.from_numpy(matrix.astype(np.float32).toarray())


def row_normalised(x: Tensor) -> Tensor:
    """Returns features whose rows sum to 1; rows of zeros stay."""
    total = x.sum(dim=1, keepdim=True)
    return x / torch.where(total == 0, 1.0, total)


def as_edges(pairs: Array, num_nodes: int, *, both_ways: bool = False) -> Tensor:
    """Returns edges without duplicates, sorted by source.

    Args:
        pairs: Source and destination of each link, ``(links, 2)``.
        num_nodes: Number of nodes.
        both_ways: Add the opposite of each.

    Shape:
        ``(2, edges)``, int64.

    Raises:
        DataError: A link names a node that is not there.
    """
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise DataError(f"links have shape {pairs.shape}, {pairs.dtype}; expected (links, 2) ids")
    edges = torch.from_numpy(pairs.astype(np.int64)).t().contiguous()
    check_edges(edges, num_nodes)
    make = to_undirected if both_ways else coalesce
    return make(edges, num_nodes=num_nodes)


def chosen_masks(masks: Iterable[Array], number: int, num_nodes: int) -> Split:
    """Returns one of several splits given as masks.

    Args:
        masks: Those for training, validation and test, ``(splits, nodes)`` each; one of them may
            have a single row, shared by all splits.
        number: Which split; taken modulo their number.
        num_nodes: Number of nodes.

    Raises:
        DataError: A mask is not of that many nodes.
    """
    rows = []
    for name, mask in zip(("train", "val", "test"), masks, strict=True):
        if mask.ndim != 2 or len(mask) == 0 or mask.shape[1] != num_nodes:
            raise DataError(f"{name} masks have shape {mask.shape}; expected (*, {num_nodes})")
        rows.append(torch.from_numpy(mask[number % len(mask)].astype(bool)))
    return by_masks(*rows)
