"""Small stores for tests, written array by array, and what every test of a folder's bytes needs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkit.data.sampler import Csc
from graphkit.files import write_whole
from graphkit.ooc.blocks import ArrayWriter
from graphkit.ooc.manifest import MANIFEST, Manifest
from graphkit.ooc.store import Store
from graphkit.tasks import Dims, NodeClassification

__all__ = ["bytes_of", "edges_of", "make_store", "random_edges"]


def random_edges(num_nodes: int, num_edges: int, seed: int = 0) -> Tensor:
    """Edges with self-loops, duplicates and a hub; the last tenth of the nodes is isolated."""
    generator = torch.Generator().manual_seed(seed)
    some = torch.randint(max(num_nodes * 9 // 10, 1), (2, num_edges), generator=generator)
    some[1, : num_edges // 8] = 0  # node 0 has very many in-edges
    some[:, -2:] = some[:, -4:-2]  # twins
    some[0, -1] = some[1, -1]
    order = (some[1] * num_nodes + some[0]).argsort(stable=True)
    return some[:, order]


def make_store(
    path: Path,
    edges: Tensor,
    num_nodes: int,
    *,
    train: Tensor,
    dtype: str = "float32",
    columns: int = 5,
    seed: int = 0,
) -> Store:
    """Writes a store with random features; ``val`` and ``test`` are the first four nodes."""
    draw = np.random.default_rng(seed)
    if dtype == "int8":
        x = draw.integers(-127, 128, (num_nodes, columns)).astype(np.int8)
    else:
        x = draw.standard_normal((num_nodes, columns)).astype(dtype)
    csc = Csc.of(edges, num_nodes)
    assert csc.edge is None
    arrays = {
        "graph/indptr": csc.colptr.numpy(),
        "graph/indices": csc.row.numpy(),
        "node/x": x,
        "node/y": np.arange(num_nodes) % 3,
        "split/train": train.numpy(),
        "split/val": np.array([0, 1]),
        "split/test": np.array([2, 3]),
        "split/hidden": np.array([], dtype=np.int64),
    }
    if dtype == "int8":
        arrays["node/x_scale"] = np.linspace(0.5, 2, columns, dtype=np.float32)
    files = {}
    for name, values in arrays.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        with ArrayWriter(path, name, values.dtype, values.shape) as writer:
            writer.append(values)
            files[name] = writer.finish()
    manifest = Manifest(
        name="tiny/disk",
        num_nodes=num_nodes,
        num_edges=edges.shape[1],
        task=NodeClassification(num_classes=3),
        dims=Dims(in_channels=columns, out_channels=3, num_nodes=num_nodes),
        arrays=files,
    )
    write_whole(path / MANIFEST, manifest.content(path))
    return Store.open(path)


def edges_of(store: Store) -> Tensor:
    """The edges of a store as sources and destinations."""
    csc = store.csc(in_memory=True)
    destination = torch.repeat_interleave(torch.arange(store.num_nodes), csc.colptr.diff())
    return torch.stack([csc.row.long(), destination])


def bytes_of(folder: Path) -> dict[str, str]:
    """Checksum of every file below a folder, locks left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
