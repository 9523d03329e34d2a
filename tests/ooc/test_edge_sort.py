"""Sorting edges piece by piece gives what sorting them at once gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.errors import DataError, SettingError
from graphkit.ooc.edge_sort import EdgeSort

Edges = list[tuple[int, int]]


def chunks_of(edges: np.ndarray):
    def chunks(limit: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(edges), min(limit, 7)):
            part = edges[start : start + min(limit, 7)]
            yield part[:, 0].copy(), part[:, 1].copy()

    return chunks


def sorted_by(sort: EdgeSort) -> tuple[list[int], list[int], int]:
    count = sort.count()
    indptr, indices = [0], []
    for degree, sources in sort.columns():
        for part in sources:
            indices += part.tolist()
        indptr += (indptr[-1] + np.cumsum(degree)).tolist()
    return indptr, indices, count


def expected(
    edges: Edges, num_nodes: int, undirected: bool, dedup: bool, loops: str
) -> tuple[list[int], list[int]]:
    if loops != "keep":
        edges = [(a, b) for a, b in edges if a != b]
    if undirected:
        edges = edges + [(b, a) for a, b in edges]
    if loops == "add":
        edges = edges + [(node, node) for node in range(num_nodes)]
    if dedup:
        edges = list(set(edges))
    edges = sorted(edges, key=lambda pair: pair[::-1])
    degree = np.bincount([b for _, b in edges], minlength=num_nodes) if edges else [0] * num_nodes
    return [0, *np.cumsum(degree).tolist()], [a for a, _ in edges]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_edges_in_any_memory(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    num_nodes = data.draw(st.integers(1, 40))
    node = st.integers(0, num_nodes - 1)
    edges: Edges = data.draw(st.lists(st.tuples(node, node), max_size=60))
    undirected, dedup = data.draw(st.booleans()), data.draw(st.booleans())
    loops = data.draw(st.sampled_from(["keep", "add", "drop"]))
    memory = data.draw(st.sampled_from([2000, 3000, 1 << 14, 1 << 20]))
    sort = EdgeSort(
        chunks_of(np.array(edges, dtype=np.int64).reshape(-1, 2)),
        num_nodes,
        memory,
        tmp_path_factory.mktemp("scratch"),
        undirected=undirected,
        dedup=dedup,
        loops=loops,
    )
    indptr, indices, count = sorted_by(sort)
    assert (indptr, indices) == expected(edges, num_nodes, undirected, dedup, loops)
    assert count >= len(indices)
    assert dedup or count == len(indices)


def test_buckets_are_used(tmp_path: Path) -> None:
    """4000 edges of 8 bytes in 8 KiB: half of that holds 512 at a time."""
    edges = np.random.default_rng(0).integers(0, 300, (4000, 2))
    sort = EdgeSort(chunks_of(edges), 300, 8192, tmp_path)
    sort.count()
    assert len(list(sort.columns())) >= 8
    found = sorted_by(EdgeSort(chunks_of(edges), 300, 8192, tmp_path))
    assert found[:2] == expected([tuple(e) for e in edges.tolist()], 300, False, False, "keep")


def test_bad_ids_are_named_by_edge(tmp_path: Path) -> None:
    edges = np.array([[0, 1]] * 20 + [[2, -1], [9, 0]])
    with pytest.raises(DataError, match="destination of edge 20 is -1: out of range for 3 nodes"):
        EdgeSort(chunks_of(edges), 3, 1 << 20, tmp_path).count()
    edges[20] = 0
    with pytest.raises(DataError, match="source of edge 21 is 9"):
        EdgeSort(chunks_of(edges), 3, 1 << 20, tmp_path).count()


def test_a_hub_beyond_memory_is_refused(tmp_path: Path) -> None:
    edges = np.stack([np.arange(1000), np.zeros(1000, dtype=np.int64)], axis=1)
    sort = EdgeSort(chunks_of(edges), 1000, 4096, tmp_path)
    sort.count()
    with pytest.raises(SettingError, match=r"in-edges of nodes 0 to 0 take 15\.6 KiB"):
        list(sort.columns())


@pytest.mark.parametrize("change", ["more", "fewer", "others"])
def test_edges_that_change_meanwhile(tmp_path: Path, change: str) -> None:
    first = np.array([[0, 1], [1, 2], [2, 0]])
    then = {"more": np.array([[0, 1]] * 4), "fewer": first[:2], "others": first[[0, 0, 0]]}[change]
    sort = EdgeSort(chunks_of(first), 3, 2000, tmp_path)
    sort.count()
    sort.chunks = chunks_of(then)
    if change == "others":  # three buckets are needed to tell
        sort.memory = 32
    with pytest.raises(DataError, match="changed while they were read"):
        list(sort.columns())
