"""numpy-commits: which author changed which file of NumPy, and when.

Facts from the history of numpy/numpy (BSD-3-Clause, Copyright (c) 2005-2025, NumPy Developers):
numbers and change letters only. The numbers are pseudonymous, not anonymous.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import TemporalData

from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.interactions import stream_problem
from graphkit.data.sources.tables import read_bytes, read_table
from graphkit.errors import DamagedFile

__all__ = ["files", "numpy_commits", "read"]

# The packed bytes depend on the zlib that packed them: the text inside is what is checked.
RAW = Raw("temporal/numpy_commits.csv.gz", bytes=346_102)
TEXT_SHA256 = "8465e4b10eab1d9cb54e94258d546727bdac045afd537b60dde8bb58eab1b67b"
CHANGES = ("A", "M", "D")  # added, modified, deleted


def files() -> tuple[Raw, ...]:
    """Lists the raw file."""
    return (RAW,)


def read(root: Path | None = None) -> TemporalData:
    """Reads the stream: authors 0 to 2,119, then files; rows stay in the order of the file.

    Returns:
        ``t`` in seconds since the first commit; ``msg`` says added, modified or deleted, one-hot,
        and is known only once the event has happened. Ids are in order of first appearance: never
        a feature.

    Raises:
        DataNotFound: The raw file is missing.
        DamagedFile: Its text is not the one expected.
    """
    path = fetch(RAW, root)
    found = hashlib.sha256(read_bytes(path)).hexdigest()
    if found != TEXT_SHA256:
        raise DamagedFile(f"the text of {path} has sha256 {found}, expected {TEXT_SHA256}")
    author, file, t = torch.from_numpy(
        read_table(path, np.int64, skip=1, columns=(0, 1, 2))
    ).t()  # fmt: skip
    letters = read_table(path, "U1", skip=1, columns=(3,))
    return TemporalData(
        src=author.contiguous(),
        dst=file + author.max() + 1,
        t=t.contiguous(),
        msg=torch.from_numpy(letters == np.array(CHANGES)).float(),
    )


def numpy_commits(root: Path | None, seed: int) -> Problem:
    """Which file does an author change next; see ``interactions.py`` for the protocol.

    Candidates are drawn from all files, most of which are no longer touched: a decayed count of a
    file's changes does as well as a learned model here, so print that baseline beside it.

    Args:
        root: Folder of raw files, looked in first.
        seed: Changes nothing about the data.
    """
    return stream_problem("numpy-commits/time", read(root))
