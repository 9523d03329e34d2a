"""The lines of the catalogue against the files behind them, and every file's place and checksum."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest

from graphkit.data.catalogue import PROBLEMS, load_problem, raw_files
from graphkit.data.catalogue.nodes import NODES
from graphkit.data.fetch import DataNotFound
from graphkit.errors import DamagedFile, DataError
from graphkit.tasks import NodeClassification

FROM_ROOT = [name for name in NODES if not name.startswith("debian")]  # the others ship
GARBAGE = b"\x80\x02garbage\n\x00\xff"


def _missing(name: str) -> list[str]:
    root = Path(os.environ["GRAPHKIT_DATA"])
    return [raw.path for raw in raw_files(name) if not (root / raw.path).is_file()]


@pytest.mark.parametrize("name", NODES)
def test_a_line_names_a_function_and_its_files(name: str) -> None:
    line = NODES[name]
    assert PROBLEMS[name] is line
    module, function = line.source.split(":")
    assert callable(getattr(importlib.import_module(f"graphkit.data.sources.{module}"), function))
    raws = raw_files(name)
    assert len({raw.path for raw in raws}) == len(raws) > 0
    assert line.summary


@pytest.mark.parametrize("name", FROM_ROOT)
def test_a_file_has_a_checksum_or_a_download(name: str) -> None:
    assert all(raw.sha256 or raw.url for raw in raw_files(name))


@pytest.mark.parametrize("name", FROM_ROOT)
def test_a_damaged_file_is_refused_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    monkeypatch.delenv("GRAPHKIT_DATA", raising=False)
    root = tmp_path / "root"
    with pytest.raises(DataNotFound, match="Looked for"):
        load_problem(name, root)
    for raw in raw_files(name):
        (root / raw.path).parent.mkdir(parents=True, exist_ok=True)
        (root / raw.path).write_bytes(GARBAGE)
    known = any(raw.sha256 for raw in raw_files(name))
    with pytest.raises(DamagedFile if known else DataError, match=str(root)):
        load_problem(name, root)


@pytest.mark.data
@pytest.mark.parametrize("name", NODES)
def test_a_line_tells_the_size_of_its_problem(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files at hand say what the catalogue says; of others, what is missing is said."""
    if name in FROM_ROOT and (missing := _missing(name)):
        monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
        with pytest.raises(DataNotFound, match=re.escape(Path(str(missing[0])).name)):
            load_problem(name)
        return
    line, problem = NODES[name], load_problem(name)
    edges = problem.data.get("edge_index")
    if line.kind == "hypergraph":
        edges = problem.data.hyperedge_index
    assert problem.name == name
    assert problem.num_items == line.items == problem.dims.num_nodes
    assert edges.shape[1] == line.edges
    assert problem.dims.in_channels == line.features
    assert problem.dims.out_channels == line.outputs
    assert problem.task.monitor == line.metric
    assert problem.files
    if isinstance(problem.task, NodeClassification):
        known = problem.data.y[problem.data.y >= 0]
        assert len(known.unique()) == line.outputs


@pytest.mark.data
def test_every_file_at_hand_has_its_checksum_written_down() -> None:
    root = Path(os.environ["GRAPHKIT_DATA"])
    raws = {raw.path: raw for name in FROM_ROOT for raw in raw_files(name)}
    at_hand = {path: raw for path, raw in raws.items() if (root / path).is_file()}
    if not (root / "SHA256SUMS").is_file():
        pytest.skip("the root has no list of checksums")
    lines = (root / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split(maxsplit=1)) for line in lines)
    for path, raw in at_hand.items():
        assert raw.sha256 == listed[path], path
        assert raw.bytes in (None, (root / path).stat().st_size), path
    assert len(at_hand) > 60
