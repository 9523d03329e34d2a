"""Users who act on items: the four streams of JODIE.

Source: Kumar et al., "Predicting Dynamic Embedding Trajectory in Temporal Interaction Networks",
KDD 2019.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import TemporalData

from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.interactions import numbered, stream_problem, whole_seconds
from graphkit.data.sources.tables import read_table
from graphkit.errors import DamagedFile, unknown_name

__all__ = ["files", "interactions", "read"]

URL = "http://snap.stanford.edu/jodie/{}.csv"
FIRST_FEATURE = 4  # after user, item, time and state label

RAW = {
    # Without the 172 text features of each edit, which the file at hand does not hold.
    "wikipedia-plain": Raw(
        "temporal/jodie/wikipedia/raw/wikipedia.csv",
        "2554c060a366880fa1d9a3ba9f45afac34e2fc4cfef58cbc2542bf03e1a02211",
        bytes=3_149_536,
    ),
    **{
        name: Raw(f"jodie/{name}/raw/{name}.csv", url=URL.format(name))
        for name in ("wikipedia", "reddit", "mooc", "lastfm")
    },
}


def files(name: str) -> tuple[Raw, ...]:
    """Lists the raw file of a stream."""
    if name not in RAW:
        raise unknown_name("JODIE stream", name, RAW)
    return (RAW[name],)


def read(name: str, root: Path | None = None) -> TemporalData:
    """Reads a stream: users first, then items; ``msg`` are the features of each event.

    Args:
        name: ``wikipedia-plain``, ``wikipedia``, ``reddit``, ``mooc`` or ``lastfm``.
        root: Folder of raw files, looked in first.

    Raises:
        DataNotFound: The raw file is missing.
        DamagedFile: It is not the one expected, or no such table.
    """
    [raw] = files(name)
    path = fetch(raw, root)
    ends = read_table(path, np.float64, skip=1, columns=(0, 1, 2))
    with path.open("rb") as stream:
        stream.readline()
        width = stream.readline().count(b",") + 1
    msg = torch.zeros(len(ends), 0)
    if width > FIRST_FEATURE:
        columns = tuple(range(FIRST_FEATURE, width))
        msg = torch.from_numpy(read_table(path, np.float32, skip=1, columns=columns))
    if (ends[:, :2] < 0).any() or not np.isfinite(ends).all():
        raise DamagedFile(f"{path}: user, item and time must be finite and not negative")
    order = np.argsort(ends[:, 2], kind="stable")
    user, item = torch.from_numpy(ends[order, :2].astype(np.int64)).t()
    src, dst = numbered(user, item + user.max() + 1)
    t = whole_seconds(ends[order, 2])
    return TemporalData(src=src, dst=dst, t=t, msg=msg[torch.from_numpy(order)])


def interactions(root: Path | None, seed: int, name: str) -> Problem:
    """A stream as a problem: which item does a user act on next; see ``interactions.py``.

    Args:
        root: Folder of raw files, looked in first.
        seed: Changes nothing about the data.
        name: ``wikipedia-plain``, ``wikipedia``, ``reddit``, ``mooc`` or ``lastfm``.
    """
    return stream_problem(f"{name}/time", read(name, root))
