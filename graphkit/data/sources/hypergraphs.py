"""Cora as a hypergraph: papers of one author, or papers cited together; and a user's own.

Source:
    Yadati et al., "HyperGCN: A New Method of Training Graph Convolutional Networks on
    Hypergraphs", NeurIPS 2019.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.compressed import csr
from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import dense, read_npz, reading, row_normalised
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.split import Split, by_masks, hide, per_class
from graphkit.errors import DataError, DataNotFound, unknown_name
from graphkit.seeds import stream
from graphkit.transforms.hypergraph import check_hyperedges, num_hyperedges

__all__ = ["Hypergraph", "SplitName", "cora_hypergraph", "files", "hypergraph_file", "read"]

FILES = {
    "cora-coauthorship": Raw(
        "hypergraph/coauthorship_cora.npz",
        sha256="d040437bd321a7cf14801fddbb7f328a51c9f1de844abf816209e64942d6e2df",
        bytes=99_375,
    ),
    "cora-cocitation": Raw(
        "hypergraph/cocitation_cora.npz",
        sha256="a71c6f75d5d3d232be32df93a2241aa3fdb6295cc7160a6aed1bc0f9f39999e9",
        bytes=98_930,
    ),
}
KEYS = ("hyperedge_index", "x_indptr", "x_indices", "x_data", "x_shape", "y", "train_masks",
        "test_masks")  # fmt: skip
_CSR = ("data", "indices", "indptr", "shape")
SplitName = Literal["fixed", "random", "production"]
NUM_VAL = 500  # of the nodes that the published split gives to the test


class Hypergraph(Data):
    """PyG's ``Data`` with ``hyperedge_index``: row 0 the node, row 1 the hyperedge.

    Side by side, nodes and hyperedges of the second graph go on after those of the first. Fields
    called ``hyperedge_…`` have a row per hyperedge and are never taken for fields of nodes.
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns what to add to a field where graphs are joined."""
        if key != "hyperedge_index":
            return super().__inc__(key, value, *args, **kwargs)
        return torch.tensor([[int(self.num_nodes or 0)], [num_hyperedges(self)]])

    def is_node_attr(self, key: str) -> bool:
        """Returns whether a field has a row per node; PyG guesses by the number of rows."""
        return not key.startswith("hyperedge_") and bool(super().is_node_attr(key))


def files(name: str, split: str = "fixed") -> tuple[Raw, ...]:
    """Returns the one raw file of a data set."""
    return (FILES[name],)


def cora_hypergraph(root: Path | None, seed: int, name: str, split: str) -> Problem:
    """Papers by topic; the rows of ``x`` sum to 1. Papers in no hyperedge are kept.

    Args:
        root: A folder to look in first.
        seed: Chooses one of ten splits and draws validation under ``fixed``, else draws all.
        name: ``cora-coauthorship`` or ``cora-cocitation``.
        split: ``fixed`` (140 for training, 500 drawn from all others for validation, the rest
            for the test), ``random`` (20 per class, 100 per class, all others), or
            ``production``: the same, a fifth of the test nodes hidden until the end.

    Raises:
        DataError: The raw file cannot be used.

    Source:
        ``random`` and ``production``: Feng et al., "LightHGNN: Distilling Hypergraph Neural
        Networks into MLPs for 100x Faster Inference", ICLR 2024. Differs: the published split
        has no validation part; ours takes it from the test part.
    """
    path = fetch(FILES[name], root)
    data, train_masks, test_masks = read(path)
    with reading(path):
        if split == "fixed":
            number = seed % len(train_masks)
            chosen = _with_validation(train_masks[number], test_masks[number], seed)
        else:
            chosen = per_class(data.y, seed, train=20, val=100, test=None, val_per_class=True)
        if split == "production":
            chosen = hide(chosen, seed)
        data.x = row_normalised(data.x)
        return node_problem(f"{name}/{split}", data, chosen, seed=seed)


def _with_validation(train: Tensor, test: Tensor, seed: int, count: int = NUM_VAL) -> Split:
    others = test.nonzero().flatten()
    order = others[torch.randperm(len(others), generator=stream(seed, "split"))]
    return Split(
        train.nonzero().flatten(), order[:count].sort().values, order[count:].sort().values
    )


def read(path: Path) -> tuple[Hypergraph, Tensor, Tensor]:
    """Reads the hypergraph, features binary, and the masks of its splits, ``(splits, nodes)``.

    Raises:
        DataError: The file cannot be used.
    """
    arrays = read_npz(path, *KEYS)
    with reading(path):
        matrix = _matrix(arrays)
        count = matrix.shape[0]
        members = _members(arrays["hyperedge_index"], count)
        masks = [
            torch.from_numpy(arrays[key].astype(bool)) for key in ("train_masks", "test_masks")
        ]
        if any(mask.dim() != 2 or mask.shape[1] != count for mask in masks):
            raise DataError(f"masks are not of {count} nodes")
        y = torch.from_numpy(arrays["y"].astype(np.int64))
        return Hypergraph(x=dense(matrix), hyperedge_index=members, y=y), masks[0], masks[1]


def hypergraph_file(
    path: str | Path,
    seed: int = 0,
    split: SplitName = "random",
    *,
    train: int = 20,
    val: int = 100,
    hidden: float = 0.2,
    normalised: bool = True,
) -> Problem:
    """Returns the problem of a hypergraph in a NumPy archive.

    It holds ``hyperedge_index`` (2, memberships), vertex above hyperedge; ``y`` (nodes,), classes
    from 0, -1 where not known; features as ``x`` (nodes, channels), or sparse as ``x_data``,
    ``x_indices``, ``x_indptr``, ``x_shape``. It may hold ``hyperedge_weight`` (hyperedges,), and
    for ``fixed`` ``train_masks`` and ``test_masks`` (splits, nodes), ``val_masks`` besides or a
    quarter of the test part drawn, at most 500.

    Args:
        path: The ``.npz`` file; an array of objects in it is refused.
        seed: Chooses one of the fixed splits, or draws all.
        split: ``fixed``, ``random`` (so many per class, all others for the test), or
            ``production``: the same, a share of the test nodes hidden until the end.
        train: Nodes per class for training.
        val: Nodes per class for validation.
        hidden: Share of the test nodes that is hidden.
        normalised: Divide each row of features by the sum of its absolute values.

    Raises:
        DataNotFound: There is no such file.
        DataError: The file cannot be used, or a class is too small; the message names the file.
        UnknownName: There is no split of that name.
    """
    if split not in get_args(SplitName):
        raise unknown_name("split", split, get_args(SplitName))
    path = Path(path)
    if not path.is_file():
        raise DataNotFound(f"there is no file {path}; expected a hypergraph as .npz")
    names = _names(path)
    features = ["x"] if "x" in names else [f"x_{part}" for part in _CSR]
    masks = ["train_masks", "test_masks"] if split == "fixed" else []
    more = {"hyperedge_weight"} | ({"val_masks"} if split == "fixed" else set())
    arrays = read_npz(path, "hyperedge_index", "y", *features, *masks, *sorted(more & names))
    with reading(path):
        x = _dense(arrays["x"]) if "x" in arrays else dense(_matrix(arrays))
        y = _classes(arrays["y"], len(x))
        data = Hypergraph(
            x=F.normalize(x, p=1, dim=1) if normalised else x,
            hyperedge_index=_members(arrays["hyperedge_index"], len(x)),
            y=y,
        )
        if "hyperedge_weight" in arrays:
            data.hyperedge_weight = torch.from_numpy(arrays["hyperedge_weight"].astype(np.float32))
        num_hyperedges(data)
        if split == "fixed":
            chosen = _given_split(arrays, len(x), seed)
        else:
            chosen = per_class(y, seed, train=train, val=val, test=None, val_per_class=True)
        if split == "production":
            chosen = hide(chosen, seed, part=hidden)
        return node_problem(f"{_plain(path.stem)}/{split}", data, chosen, seed=seed)


def _names(path: Path) -> set[str]:
    with reading(path), path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path} holds one array; expected an archive of several (.npz)")
        with archive:
            return set(archive.files)


def _matrix(arrays: dict[str, Any]) -> Any:
    return csr(*(arrays[f"x_{part}"] for part in _CSR))


def _members(pairs: Any, count: int) -> Tensor:
    if pairs.dtype.kind not in "iu":
        raise DataError(f"hyperedge_index is {pairs.dtype}; expected whole numbers")
    index = torch.from_numpy(pairs.astype(np.int64))
    check_hyperedges(index, count)
    return index


def _dense(x: Any) -> Tensor:
    if x.ndim != 2 or x.dtype.kind not in "biuf":
        raise DataError(f"x is {x.dtype}, {x.shape}; expected numbers, (nodes, channels)")
    return torch.from_numpy(x.astype(np.float32))


def _classes(y: Any, count: int) -> Tensor:
    if y.shape != (count,) or y.dtype.kind not in "iu":
        raise DataError(f"y is {y.dtype}, {y.shape}; expected a whole number for {count} nodes")
    if count == 0 or int(y.max()) < 0:
        raise DataError("no node has a known class")
    if int(y.max()) >= count:
        raise DataError(f"y holds class {int(y.max())} for {count} nodes: number classes from 0")
    return torch.from_numpy(y.astype(np.int64))


def _given_split(arrays: dict[str, Any], count: int, seed: int) -> Split:
    masks = {name: arrays[name] for name in arrays if name.endswith("_masks")}
    for name, mask in masks.items():
        if mask.ndim != 2 or len(mask) == 0 or mask.shape[1] != count:
            raise DataError(f"{name} has shape {mask.shape}; expected (splits, {count})")
    train, test = (
        torch.from_numpy(masks[name][seed % len(masks[name])].astype(bool))
        for name in ("train_masks", "test_masks")
    )
    if "val_masks" in masks:
        val = torch.from_numpy(masks["val_masks"][seed % len(masks["val_masks"])].astype(bool))
        return by_masks(train, val, test)
    return _with_validation(train, test, seed, min(NUM_VAL, int(test.sum()) // 4))


def _plain(name: str) -> str:
    """A file's name as part of that of a problem."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:40] or "mine"
