"""debian-deps: which package of Debian 12 needs which, and the section each belongs to.

The files ship with the library; how they were built is told in ``datasets/debian-deps/README.md``.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.batching import FullGraph
from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.split import Split
from graphkit.tasks import Dims, NodeClassification

__all__ = [
    "ABOUT",
    "GRAPH",
    "NAMES",
    "About",
    "debian_deps",
    "debian_deps_plain_words",
    "files",
    "package_names",
    "read",
    "read_about",
    "without_words",
]

GRAPH = Raw(
    "debian-deps/debian_deps.npz",
    sha256="6c26adef1e3895e4479f0fc962daf6ccc989d69eebe05648964cd5d951c6118f",
    bytes=1_554_861,
)
ABOUT = Raw(
    "debian-deps/debian_deps.json",
    sha256="f5dc1d45d2ebaddf09e6c4196e97b35d39c361a9192f0d468d226509736f9db2",
    bytes=15_372,
)
NAMES = Raw(
    "debian-deps/names.txt.xz",
    sha256="d96eb60befe142dbadb318bd28b1650315a8fa55c9e52f451b54703b7e092732",
    bytes=356_172,
)

NONE = 255  # in the file: no class, no part
NUMBER_SCALE = 0.3  # weight of the number columns beside the words
NUM_FLAGS = 7


@dataclass(frozen=True)
class About:
    """What the numbers of the graph stand for.

    Args:
        classes: Section behind each class.
        words: Word behind each of the first columns of ``x``.
        numbers: What the columns after the words hold: two sizes, then the flags.
        giveaway_words: Words of which over 60 % of the uses are in one class (from all labels).
        relations: Field behind each edge type.
        statistics: The numbers of the data card.
    """

    classes: tuple[str, ...]
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    giveaway_words: tuple[str, ...]
    relations: tuple[str, ...]
    statistics: dict[str, object]


def read(root: Path | None = None) -> Data:
    """Reads the graph; an edge leads from the package that states a relation to the one it names.

    Args:
        root: A folder to look in for ``debian-deps/`` before the copy that ships.

    Returns:
        ``x`` float32 ``(63436, 509)``: 500 words, each row's divided by the root of their number,
        then nine numbers times 0.3; ``edge_index`` ``(2, 321247)`` sorted by destination,
        directed, a pair again for each type; ``edge_type`` 0 to 4; ``y`` and ``part`` (0 train,
        1 validation, 2 test), -1 where there is none; ``source``, siblings share a number.

    Raises:
        DamagedFile: The file is not the one of the data card.
    """
    with np.load(fetch(GRAPH, root), allow_pickle=False) as arrays:
        count = torch.from_numpy(arrays["x_count"]).long()
        columns = torch.from_numpy(arrays["x_index"].astype(np.int64))
        numbers = np.concatenate([arrays["numbers"], _bits(arrays["flags"])], axis=1)
        return Data(
            x=_features(count, columns, len(read_about(root).words), numbers),
            edge_index=torch.from_numpy(arrays["edge_index"].astype(np.int64)),
            edge_type=torch.from_numpy(arrays["edge_type"].astype(np.int64)),
            y=_or_minus_one(arrays["y"]),
            part=_or_minus_one(arrays["part"]),
            source=torch.from_numpy(arrays["source"].astype(np.int64)),
        )


def _bits(flags: np.ndarray) -> np.ndarray:
    return np.unpackbits(flags[:, None], axis=1, count=NUM_FLAGS, bitorder="little")


def _or_minus_one(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.where(values == NONE, -1, values.astype(np.int64)))


def _features(count: Tensor, columns: Tensor, num_words: int, numbers: np.ndarray) -> Tensor:
    """Dense rows: a node's words share a length of 1, the numbers stand after them."""
    x = torch.zeros(len(count), num_words + numbers.shape[1])
    rows = torch.arange(len(count)).repeat_interleave(count)
    x[rows, columns] = count.float().rsqrt()[rows]
    x[:, num_words:] = torch.from_numpy(numbers.astype(np.float32)) * NUMBER_SCALE
    return x


def read_about(root: Path | None = None) -> About:
    """Reads what classes, columns and edge types stand for, and the statistics.

    Raises:
        DamagedFile: The file is not the one of the data card.
    """
    told = json.loads(fetch(ABOUT, root).read_text(encoding="utf-8"))
    return About(
        classes=tuple(told["classes"]),
        words=tuple(told["words"]),
        numbers=(*told["numbers"], *told["flags"]),
        giveaway_words=tuple(told["giveaway_words"]),
        relations=tuple(told["relations"]),
        statistics=told["statistics"],
    )


def package_names(root: Path | None = None) -> list[str]:
    """Returns the name of every node, for explanations and pictures: never a feature.

    Raises:
        DamagedFile: The file is not the one of the data card.
    """
    return lzma.decompress(fetch(NAMES, root).read_bytes()).decode().splitlines()


def without_words(x: Tensor, num_words: int, left_out: Tensor) -> Tensor:
    """Returns the features without some words; what is left of a row has length 1 again.

    Args:
        x: Features as ``read`` gives them.
        num_words: How many of the first columns are words.
        left_out: Numbers of the words to leave out.
    """
    stays = torch.ones(num_words, dtype=torch.bool)
    stays[left_out] = False
    words = (x[:, :num_words][:, stays] > 0).float()
    words *= words.sum(dim=1, keepdim=True).clamp(min=1).rsqrt()
    return torch.cat([words, x[:, num_words:]], dim=1)


def debian_deps(root: Path | None = None, seed: int = 0) -> Problem:
    """Which section of Debian 12 is a package in? 63,436 packages, 37 classes.

    Source: package index of Debian 12.15, main, amd64. Split: by a hash of the source package,
    10/10/80, so that no label leaks between siblings; the seed changes nothing. Edges are directed.
    """
    data = read(root)
    return _problem("debian-deps/source", data, data.x, read_about(root), seed)


def debian_deps_plain_words(root: Path | None = None, seed: int = 0) -> Problem:
    """The same without the words that give the class away: harder for models that see no edge.

    Differs: words of which over 60 % of the uses are in one class are left out; which ones was
    derived from all labels, test included.
    """
    data, about = read(root), read_about(root)
    giveaway = set(about.giveaway_words)
    left_out = torch.tensor([n for n, word in enumerate(about.words) if word in giveaway])
    x = without_words(data.x, len(about.words), left_out)
    return _problem("debian-deps/plain-words", data, x, about, seed)


def files() -> tuple[Raw, ...]:
    """Returns the raw files behind both problems."""
    return GRAPH, ABOUT


def _problem(name: str, data: Data, x: Tensor, about: About, seed: int) -> Problem:
    parts = [(data.part == number).nonzero().flatten() for number in range(3)]
    graph = Data(x=x, edge_index=data.edge_index, edge_type=data.edge_type, y=data.y)
    classes = len(about.classes)
    return Problem(
        name=name,
        data=graph,
        split=Split(*parts),
        task=NodeClassification(measures=("accuracy", "macro_f1"), num_classes=classes),
        dims=Dims(x.shape[1], classes, num_nodes=len(x)),
        batching=FullGraph(),
        seed=seed,
    )
