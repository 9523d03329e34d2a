"""Citation networks with the splits of Planetoid: Cora, CiteSeer, PubMed.

Source:
    Sen et al., "Collective Classification in Network Data", AI Magazine 2008; split and files:
    Yang et al., "Revisiting Semi-Supervised Learning with Graph Embeddings", ICML 2016.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import index_to_mask, remove_self_loops

from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import (
    as_edges,
    chosen_masks,
    dense,
    read_npz,
    reading,
    row_normalised,
)
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.sources.tables import read_table
from graphkit.data.split import Split, by_masks, hide, per_class
from graphkit.data.unpickle import read_pickle
from graphkit.errors import DataError

__all__ = ["files", "planetoid", "read"]

URL = "https://github.com/kimiyoung/planetoid/raw/master/data"
SPLITS_URL = "https://raw.githubusercontent.com/graphdml-uiuc-jlu/geom-gcn/master/splits"
FOLDERS = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
NUM_VAL = 500  # the nodes after the training nodes
_SHA256 = {
    "cora": {
        "x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        "tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        "allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        "y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
        "ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        "ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        "graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        "test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
    },
    "pubmed": {
        "x": "fbe9cb5c47200d1b7769a26e579be3b7130b556831f9d850e77c4c74f2599b33",
        "tx": "4eb5f5d0f30f26497eb0ac6ac9719d09c67e284f1ed0385c93f3ef27a671da3d",
        "allx": "508e538e2abdccdd54c4d3e9f49d638b4af7107d85845f66ddea5a5152658b7e",
        "y": "e6c807633307a07ed659249006536a147c7999c797f11a2560752990181b41b3",
        "ty": "ee2e0d4819d9fbcc403689c3bf2e49face401b605932f093bc58ab6461130fdd",
        "ally": "0c37bbe3b5014ec365e9d393cf4791925e5ed94fb194305d74f064a8d7b50f0e",
        "graph": "5b89f0036ca22909471f1e6558eb42fa06e0c730a577bde5b058b40638f81dc9",
        "test.index": "b101d421688bbaecbd82e8a18f1e282378d6830f3a37666f28ebc47f844341b5",
    },
}


def files(name: str, split: str = "public") -> tuple[Raw, ...]:
    """Returns the raw files of a data set; under ``geom-gcn`` also those of its ten splits."""
    folder = f"planetoid/{FOLDERS[name]}"
    graph = tuple(
        Raw(f"{folder}/raw/ind.{name}.{part}", _SHA256.get(name, {}).get(part),
            f"{URL}/ind.{name}.{part}")
        for part in PARTS
    )  # fmt: skip
    if split != "geom-gcn":
        return graph
    stems = [f"{name}_split_0.6_0.2_{number}.npz" for number in range(10)]
    return graph + tuple(
        Raw(f"{folder}/geom-gcn/raw/{stem}", url=f"{SPLITS_URL}/{stem}") for stem in stems
    )


def planetoid(root: Path | None, seed: int, name: str, split: str) -> Problem:
    """Papers that cite each other, by topic; the rows of ``x`` sum to 1 (rows of zeros stay).

    Args:
        root: A folder to look in first.
        seed: Draws the split under ``random`` and ``production``, chooses it under ``geom-gcn``.
        name: ``cora``, ``citeseer`` or ``pubmed``.
        split: ``public`` (20 per class, 500, 1000), ``full`` (all nodes outside those 500 and
            1000 are for training), ``random`` (20 per class, 500, 1000, drawn), ``geom-gcn`` (one
            of ten splits 48/32/20), or ``production``: 20 per class, 30 per class, all others,
            of which a fifth is hidden until the end.

    Raises:
        DataError: A raw file cannot be used.

    Source:
        Features divided by their row's sum: Kipf and Welling, "Semi-Supervised Classification
        with Graph Convolutional Networks", ICLR 2017. ``production``: Zhang et al., "Graph-less
        Neural Networks", ICLR 2022.
    """
    data = read(root, name)
    masks = [data.pop(f"{part}_mask") for part in ("train", "val", "test")]
    chosen = _split(root, seed, name, split, data.y, masks)
    data.x = row_normalised(data.x)
    return node_problem(f"{name}/{split}", data, chosen, seed=seed)


def _split(
    root: Path | None, seed: int, name: str, split: str, y: Tensor, masks: list[Tensor]
) -> Split:
    if split == "public":
        return by_masks(*masks)
    if split == "full":
        _, val, test = masks
        return by_masks((y >= 0) & ~val & ~test, val, test)
    if split == "random":
        return per_class(y, seed)
    if split == "production":
        return hide(per_class(y, seed, val=30, test=None, val_per_class=True), seed)
    path = fetch(files(name, split)[len(PARTS) + seed % 10], root)
    arrays = read_npz(path, "train_mask", "val_mask", "test_mask")
    with reading(path):
        return chosen_masks([mask[None] for mask in arrays.values()], 0, len(y))


def read(root: Path | None, name: str) -> Data:
    """Reads the graph as PyG's ``Planetoid`` does: no self-loops, no duplicates, both ways.

    Args:
        root: A folder to look in first.
        name: ``cora``, ``citeseer`` or ``pubmed``.

    Returns:
        ``x`` float32 (not normalised), ``edge_index``, ``y`` and the three masks of the public
        split.

    Raises:
        DataError: A raw file cannot be used.

    Differs:
        Some test numbers of CiteSeer are missing: nodes without features, links or class. PyG
        gives them class 0, here their class is -1.
    """
    paths = {part: fetch(raw, root) for part, raw in zip(PARTS, files(name), strict=True)}
    test = _test_nodes(paths["test.index"])
    known, tested = _rows(paths["allx"]), _rows(paths["tx"])
    with reading(paths["tx"]):
        x = _placed(dense(known), dense(tested), test)
    with reading(paths["ty"]):
        hot = _placed(_matrix(paths["ally"]), _matrix(paths["ty"]), test)
    count, first_x, first_y = len(x), dense(_rows(paths["x"])), _matrix(paths["y"])
    num_train = len(first_x)
    if len(hot) != count or num_train + NUM_VAL > known.shape[0]:
        raise DataError(
            f"{paths['x']}: {num_train} training, {known.shape[0]} known and {len(hot)} labelled "
            f"nodes do not fit to {count} nodes"
        )
    for path, first, whole in ((paths["x"], first_x, x), (paths["y"], first_y, hot)):
        if not torch.equal(first, whole[:num_train]):
            raise DataError(f"{path} does not repeat the first rows of the file of all nodes")
    y = torch.where(hot.sum(dim=1) > 0, hot.argmax(dim=1), -1)
    with reading(paths["graph"]):
        links = _links(read_pickle(paths["graph"]))
        edges, _ = remove_self_loops(as_edges(links, count, both_ways=True))
    return Data(
        x=x,
        edge_index=edges,
        y=y,
        train_mask=index_to_mask(torch.arange(num_train), size=count),
        val_mask=index_to_mask(torch.arange(num_train, num_train + NUM_VAL), size=count),
        test_mask=index_to_mask(test, size=count),
    )


def _test_nodes(path: Path) -> Tensor:
    numbers = torch.from_numpy(read_table(path, np.int64, delimiter=None))[:, 0]
    if int(numbers.min()) < 0 or len(numbers.unique()) < len(numbers):
        raise DataError(f"{path} holds a negative or a repeated node number")
    return numbers


def _rows(path: Path) -> sp.csr_matrix:
    value = read_pickle(path)
    if not sp.issparse(value):
        raise DataError(f"{path} holds a {type(value).__name__}; expected a CSR matrix")
    return value


def _matrix(path: Path) -> Tensor:
    value = read_pickle(path)
    if not isinstance(value, np.ndarray) or value.ndim != 2:
        raise DataError(f"{path} holds a {type(value).__name__}; expected a matrix of labels")
    return torch.from_numpy(value.astype(np.float32))


def _placed(known: Tensor, tested: Tensor, test: Tensor) -> Tensor:
    """The rows of all nodes: those before the test nodes, then each test node at its number."""
    first, last = len(known), int(test.max())
    if int(test.min()) < first or last >= first + 2 * len(test) + 64:
        raise DataError(f"test nodes {int(test.min())} to {last} do not follow {first} others")
    if len(tested) != len(test) or tested.shape[1] != known.shape[1]:
        raise DataError(f"{tuple(tested.shape)} rows for {len(test)} test nodes")
    whole = known.new_zeros(last + 1, known.shape[1])
    whole[:first] = known
    whole[test] = tested
    return whole


def _links(graph: Any) -> np.ndarray:
    """Pairs out of a dictionary from a node to the list of its neighbours."""
    if not isinstance(graph, dict) or not all(isinstance(v, list) for v in graph.values()):
        raise DataError("it holds no dictionary of lists")
    ends = list(chain.from_iterable(graph.values()))
    if not all(type(end) is int for end in chain(graph, ends)):
        raise DataError("a neighbour is no whole number")
    sizes = np.fromiter(map(len, graph.values()), np.int64, len(graph))
    starts = np.fromiter(graph, np.int64, len(graph)).repeat(sizes)
    return np.stack([starts, np.array(ends, dtype=np.int64)], axis=1)
