"""Files of one's own, and those of the Open Graph Benchmark, give the store of the same graph."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphkit.data.problem import Problem
from graphkit.data.sampler import Csc
from graphkit.errors import DamagedFile, DataError, DataNotFound
from graphkit.ooc.file_inputs import of_files, of_ogb
from graphkit.ooc.prepare import prepare
from graphkit.ooc.store import Store
from graphkit.ooc.tables import Npy, pairs
from tests.ooc.graphs import random_problem, same


def files_of(problem: Problem, folder: Path, kind: str) -> dict[str, Path]:
    """Writes a problem as files of one kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(name: str, values: np.ndarray) -> Path:
        path = folder / f"{name}.{kind}"
        columns = values.reshape(len(values), -1)
        if kind == "npy":
            np.save(path, values)
        elif kind == "csv":
            np.savetxt(path, columns, "%d" if values.dtype.kind == "i" else "%.9g", ",")
        elif kind == "csv.gz":
            with gzip.open(path, "wt") as file:
                np.savetxt(file, columns, "%d" if values.dtype.kind == "i" else "%.9g", ",")
        else:
            table = {str(i): pa.array(columns[:, i]) for i in range(columns.shape[1])}
            pq.write_table(pa.table(table), path, row_group_size=500)
        return path

    edges = problem.data.edge_index.numpy()
    shuffled = edges[:, np.random.default_rng(0).permutation(edges.shape[1])]
    return {
        "edges": write("edges", shuffled if kind == "npy" else shuffled.T.copy()),
        "features": write("features", problem.data.x.numpy()),
        "labels": write("labels", problem.data.y.numpy()),
    } | {part: write(part, problem.split.part(part).numpy()) for part in ("train", "val", "test")}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("by_column", [False, True])
def test_edges_lie_either_way(tmp_path: Path, turned: bool, by_column: bool) -> None:
    pair = np.array([[0, 1], [0, 2]])  # sources 0 and 1, destinations 0 and 2
    more = np.array([[0, 1, 2], [0, 2, 2]])
    for edges in (more,) if turned else (more, pair):
        shaped = edges.T if turned else edges
        np.save(tmp_path / "edges.npy", np.array(shaped, order="F" if by_column else "C"))
        found = list(pairs(Npy(tmp_path / "edges.npy"), 2))
        assert np.array_equal(np.concatenate([np.stack(part) for part in found], axis=1), edges)


@pytest.mark.parametrize("kind", ["npy", "csv", "csv.gz", "parquet"])
def test_files_of_ones_own(tmp_path: Path, kind: str) -> None:
    problem = random_problem(1200, 9000, 6)
    paths = files_of(problem, tmp_path, kind)
    split = {part: paths[part] for part in ("train", "val", "test")}
    source = of_files("own/files", paths["edges"], paths["features"], paths["labels"], split)
    store = prepare(source, tmp_path / "store", memory=16 << 20)
    same(store, problem)
    assert store.name == "own/files"


def test_edges_in_columns(tmp_path: Path) -> None:
    problem = random_problem(1200, 9000, 6)
    paths = files_of(problem, tmp_path, "npy")
    csc = Csc.of(problem.data.edge_index, 1200)
    np.save(tmp_path / "indptr.npy", csc.colptr.numpy())
    np.save(tmp_path / "indices.npy", csc.row.numpy())
    split = {part: paths[part] for part in ("train", "val", "test")}
    names = ("own/csc", tmp_path / "indices.npy", paths["features"], paths["labels"], split)
    same(prepare(of_files(*names, indptr=tmp_path / "indptr.npy"), tmp_path / "store"), problem)
    np.save(tmp_path / "indptr.npy", csc.colptr.numpy()[:-1])
    with pytest.raises(DataError, match="indptr has 1200 entries; expected 1201 for 1200 nodes"):
        of_files(*names, indptr=tmp_path / "indptr.npy")
    for change in (-1, 1):
        np.save(tmp_path / "indptr.npy", csc.colptr.clamp(max=9000 + change).numpy() + (change > 0))
        with pytest.raises(DataError, match="indptr"):
            prepare(of_files(*names, indptr=tmp_path / "indptr.npy"), tmp_path / "short")


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    problem = random_problem(100, 300, 3)
    paths = files_of(problem, tmp_path, "npy")
    split = {part: paths[part] for part in ("train", "val", "test")}

    def made(**other: Path) -> Store:
        both = {**paths, **other}
        source = of_files("own/files", both["edges"], both["features"], both["labels"], split)
        return prepare(source, tmp_path / "store")

    bad = tmp_path / "bad.npy"
    np.save(bad, np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match="not numbers"):
        made(features=bad)
    np.save(bad, np.zeros((2, 5)))
    with pytest.raises(DataError, match="where node ids were expected"):
        made(edges=bad)
    np.save(bad, np.asfortranarray(np.zeros((100, 3))))
    with pytest.raises(DataError, match="stored by column"):
        made(features=bad)
    np.save(bad, np.zeros((99, 3)))
    with pytest.raises(DataError, match="features of 99 nodes, but labels of 100"):
        made(features=bad)
    np.save(bad, np.zeros((150, 3)))
    with pytest.raises(DataError, match="features of at least 150 nodes"):
        made(features=bad)
    bad.write_bytes(bad.read_bytes()[:-8])
    with pytest.raises(DamagedFile, match="its header says"):
        made(features=bad)
    bad.write_bytes(b"nothing")
    with pytest.raises(DamagedFile, match="no NumPy array"):
        made(features=bad)
    (tmp_path / "bad.csv").write_text("0,1\n1,two\n")
    with pytest.raises(DamagedFile, match="no table of numbers"):
        made(edges=tmp_path / "bad.csv")
    (tmp_path / "x.pt").write_bytes(b"")
    with pytest.raises(DataError, match=r"numpy\.save"):
        made(features=tmp_path / "x.pt")
    with pytest.raises(DataNotFound):
        made(features=tmp_path / "absent.npy")
    assert not (tmp_path / "store.draft").exists()
    same(made(), problem)


@pytest.mark.parametrize("binary", [False, True])
def test_a_folder_of_ogb(tmp_path: Path, binary: bool) -> None:
    problem = random_problem(400, 2000, 5)
    folder = tmp_path / "ogbn_arxiv"
    x, edges = problem.data.x.numpy(), problem.data.edge_index.numpy()
    labels = np.where(problem.data.y.numpy() < 0, np.nan, problem.data.y.numpy())
    (folder / "raw").mkdir(parents=True)
    (folder / "split" / "time").mkdir(parents=True)

    def table(name: str, values: np.ndarray, form: str) -> None:
        with gzip.open(folder / f"{name}.csv.gz", "wt") as file:
            np.savetxt(file, values, form, ",")

    if binary:
        for name, arrays in (
            ("data", {"edge_index": edges, "node_feat": x, "node_year": np.zeros((400, 1))}),
            ("node-label", {"node_label": labels.reshape(-1, 1)}),
        ):
            np.savez_compressed(folder / "raw" / f"{name}.npz", **arrays)
    else:
        table("raw/edge", edges.T, "%d")
        table("raw/node-feat", x, "%.9g")
        table("raw/node-label", labels, "%g")
    for name, part in (("train", "train"), ("valid", "val"), ("test", "test")):
        table(f"split/time/{name}", problem.split.part(part).numpy(), "%d")
    store = prepare(of_ogb(folder), tmp_path / "store", memory=16 << 20)
    assert store.name == "ogbn-arxiv/time"
    assert store.dims.out_channels == 40
    same(store, replace(problem, task=store.task))
    assert store.num_edges == 2000


def test_memory_stays_within_bounds(tmp_path: Path) -> None:
    """Features of 400 MiB and edges of 64 MiB (with holes on disk), prepared in 32 MiB."""
    nodes, edges = 1_600_000, 4_000_000
    for name, shape, dtype in (("x", (nodes, 64), "<f4"), ("edges", (2, edges), "<i8")):
        np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", dtype, shape)
    np.save(tmp_path / "y.npy", np.zeros(nodes, dtype=np.int64))
    for number, part in enumerate(("train", "val", "test")):
        np.save(tmp_path / f"{part}.npy", np.array([number]))
    draw = np.lib.format.open_memmap(tmp_path / "edges.npy", "r+")
    draw[:] = np.random.default_rng(0).integers(0, nodes, (2, edges))
    del draw
    split = {part: tmp_path / f"{part}.npy" for part in ("train", "val", "test")}

    def memory_of(kind: str) -> int:
        """What this process has, or has had at most, in KiB."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(dict(line.split(":", 1) for line in lines)[kind].split()[0])

    paths = (tmp_path / "edges.npy", tmp_path / "x.npy", tmp_path / "y.npy")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            before = memory_of("VmRSS")
            prepare(of_files("a/b", *paths, split), tmp_path / "store", memory=32 << 20)
            (tmp_path / "grown").write_text(str(memory_of("VmHWM") - before))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    limit = 32 << 10, 4 * nodes * 8 >> 10, 16 << 10  # to work in, labels and copies, libraries
    assert int((tmp_path / "grown").read_text()) < sum(limit)
    store = Store.open(tmp_path / "store")
    assert (store.num_nodes, store.num_edges) == (nodes, edges)
