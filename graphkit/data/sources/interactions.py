"""Streams of interactions given as plain lists: who, with whom, when.

The protocol of every stream of the catalogue, after Poursafaei et al. 2022 and Huang et al. 2023:

- Events in order of time, stably; whole seconds since the first one.
- Cut by time, 70/15/15: training ends with the last event at or before the 70 % quantile of the
  times, so events of one moment are never parted. The run's seed changes nothing about it.
- Nodes that are never a destination are numbered first, then those that are (users, then items):
  a range of numbers is exactly the set of destinations, from which candidates are drawn.
- 20 candidates per event at validation and test, fixed for all methods, one in training. Twenty
  keep scoring affordable on two cores and leave a standard error near 0.004 on 9,000 events. They
  make reciprocal ranks larger than the 999 of ``tgbl-wiki`` do: never compare the two. Whoever
  wants one negative per event, as for a published average precision, takes the first candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import TemporalData

from graphkit.data.batching import Events
from graphkit.data.fetch import Raw, fetch
from graphkit.data.negatives import RandomNegatives
from graphkit.data.problem import Problem
from graphkit.data.sources.tables import read_table
from graphkit.data.split import Split, by_time
from graphkit.errors import unknown_name
from graphkit.tasks import Dims, TemporalLinkPrediction

__all__ = ["files", "numbered", "stream_problem", "whole_seconds"]

CANDIDATES = 20
VAL_SHARE = TEST_SHARE = 0.15
RATING_SCALE = 10.0  # ratings run from -10 to 10


@dataclass(frozen=True)
class _List:
    """Where a list lies and which of its columns says what."""

    raw: Raw
    delimiter: str | None = None
    time: int = 2
    rating: int | None = None


LISTS = {
    "collegemsg": _List(
        Raw(
            "temporal/CollegeMsg.txt",
            "e00ba2415373dee52c00616065bcceaa4750e78de60d1855c76470600f10740f",
            url="https://snap.stanford.edu/data/CollegeMsg.txt.gz",
            bytes=1_150_439,
            gzipped=True,
        )
    ),
    "bitcoin-otc": _List(
        Raw(
            "temporal/bitcoin_otc/raw/soc-sign-bitcoinotc.csv",
            "76bd9d8f1d3ff9a1813d9fc8e6902a0ee4d0a2f8c1003842dbc9ec79149ab60c",
            url="https://snap.stanford.edu/data/soc-sign-bitcoinotc.csv.gz",
            gzipped=True,
        ),
        delimiter=",",
        time=3,
        rating=2,
    ),
    "bitcoin-alpha": _List(
        Raw(
            "temporal/soc-sign-bitcoinalpha.csv",
            "1b2a970f327d0ceba0c57bd5919670257cbe4cc0704e2ddac09abc4b08e2ca4d",
            url="https://snap.stanford.edu/data/soc-sign-bitcoinalpha.csv.gz",
            bytes=503_131,
            gzipped=True,
        ),
        delimiter=",",
        time=3,
        rating=2,
    ),
    "mathoverflow": _List(
        Raw(
            "temporal/sx-mathoverflow.txt.gz",
            "cdc635fda76dab06ab02ca242563fa333bb83d096571342ef0326d85ff0c04da",
            url="https://snap.stanford.edu/data/sx-mathoverflow.txt.gz",
            bytes=3_616_495,
        )
    ),
}


def files(name: str) -> tuple[Raw, ...]:
    """Lists the raw file of a stream."""
    return (_known(name).raw,)


def _known(name: str) -> _List:
    if name not in LISTS:
        raise unknown_name("list of interactions", name, LISTS)
    return LISTS[name]


def read(name: str, root: Path | None = None) -> TemporalData:
    """Reads a list of SNAP: messages, ratings or answers between the members of one site.

    Args:
        name: ``collegemsg``, ``bitcoin-otc``, ``bitcoin-alpha`` or ``mathoverflow``.
        root: Folder of raw files, looked in first.

    Returns:
        Events in order of time; ``msg`` is the rating between -1 and 1 where there is one, else
        ``(events, 0)``. A rating is known only once the event has happened: score first.

    Raises:
        DataNotFound: The raw file is missing.
        DamagedFile: It is not the one expected.
    """
    known = _known(name)
    path = fetch(known.raw, root)
    ends = read_table(path, np.int64, delimiter=known.delimiter, columns=(0, 1))
    times = read_table(path, np.float64, delimiter=known.delimiter, columns=(known.time,))[:, 0]
    msg = torch.zeros(len(ends), 0)
    if known.rating is not None:
        columns = (known.rating,)
        rating = read_table(path, np.float64, delimiter=known.delimiter, columns=columns)
        msg = torch.from_numpy(rating).float() / RATING_SCALE
    order = np.argsort(times, kind="stable")
    src, dst = numbered(*torch.from_numpy(ends[order]).t())
    return TemporalData(
        src=src, dst=dst, t=whole_seconds(times[order]), msg=msg[torch.from_numpy(order)]
    )


def members(root: Path | None, seed: int, name: str) -> Problem:
    """A list of SNAP as a problem: every member can be source and destination.

    Args:
        root: Folder of raw files, looked in first.
        seed: Changes nothing about the data.
        name: ``collegemsg``, ``bitcoin-otc``, ``bitcoin-alpha`` or ``mathoverflow``.

    Source:
        Panzarasa et al. 2009; Kumar et al. 2016 and 2018; Paranjape et al. 2017 (SNAP).
    """
    return stream_problem(f"{name}/time", read(name, root))


def whole_seconds(times: np.ndarray) -> Tensor:
    """Returns sorted times as whole seconds since the first: differences first, casts after."""
    if len(times) == 0:
        return torch.empty(0, dtype=torch.long)
    return torch.from_numpy((np.floor(times) - np.floor(times[0])).astype(np.int64))


def numbered(src: Tensor, dst: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers the nodes from 0 without gaps: those never a destination first, then the others,
    each in the order of their raw numbers.

    Args:
        src: Raw number of each event's source.
        dst: Of its destination; in a bipartite stream already apart from those of the sources.
    """
    raw, place = torch.unique(torch.cat([src, dst]), return_inverse=True)
    reached = torch.zeros(len(raw), dtype=torch.bool)
    reached[place[len(src) :]] = True
    number = reached.long().argsort(stable=True).argsort()
    return number[place[: len(src)]], number[place[len(src) :]]


def with_new_nodes(split: Split, src: Tensor, dst: Tensor) -> Split:
    """Adds the group ``new_nodes``: events of val and test with a node unseen in training."""
    seen = torch.zeros(int(torch.maximum(src.max(), dst.max())) + 1, dtype=torch.bool)
    seen[src[split.train]] = seen[dst[split.train]] = True
    later = torch.cat([split.val, split.test])
    new = later[~(seen[src[later]] & seen[dst[later]])]
    return Split(split.train, split.val, split.test, groups={"new_nodes": new})


def stream_problem(name: str, events: TemporalData, *, candidates: int = CANDIDATES) -> Problem:
    """Makes the problem of a stream: which destination comes next (the protocol above).

    Args:
        name: ``<data set>/<split>``.
        events: In order of time, with nodes numbered as ``numbered`` does.
        candidates: Destinations drawn per event at validation and test.
    """
    low, high = int(events.dst.min()), int(events.dst.max()) + 1
    return Problem(
        name=name,
        data=events,
        split=with_new_nodes(by_time(events.t), events.src, events.dst),
        task=TemporalLinkPrediction(),
        dims=Dims(
            in_channels=0,
            out_channels=1,
            edge_channels=events.msg.shape[1],
            num_nodes=int(events.num_nodes),
        ),
        batching=Events(RandomNegatives(low, high, draws=candidates), batch_size=200),
    )
