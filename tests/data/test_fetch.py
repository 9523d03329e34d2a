"""Where a raw file is looked for, and what is said when it is not there or not right."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from pathlib import Path

import pytest

from graphkit.data.fetch import Raw, _unpack, fetch, files_read
from graphkit.errors import DamagedFile, DataError, DataNotFound

CONTENT = b"three words here"
SHA = hashlib.sha256(CONTENT).hexdigest()


def put(root: Path, content: bytes = CONTENT) -> Path:
    path = root / "set" / "raw" / "file.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("root", "variable", "cache")}
    monkeypatch.setenv("GRAPHKIT_DATA", str(found["variable"]))
    monkeypatch.setenv("GRAPHKIT_CACHE", str(found["cache"]))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return found


RAW = Raw("set/raw/file.txt", SHA, url="https://example.invalid/file.txt")


def test_order_of_the_places(places: dict[str, Path]) -> None:
    for name in ("cache", "variable", "root"):  # each goes before the ones put there earlier
        path = put(places[name])
        assert fetch(RAW, places["root"]) == path


def test_a_missing_file_says_where_it_was_looked_for(places: dict[str, Path]) -> None:
    with pytest.raises(DataNotFound, match="GRAPHKIT_OFFLINE forbids downloads") as caught:
        fetch(RAW, places["root"])
    for place in places.values():
        assert str(place / RAW.path) in str(caught.value)
    with pytest.raises(DataNotFound, match="no public download"):
        fetch(Raw("set/raw/file.txt"), places["root"])


def test_a_damaged_file_names_both_checksums(places: dict[str, Path]) -> None:
    put(places["root"], CONTENT[:-1])
    with pytest.raises(DamagedFile, match="expected") as caught:
        fetch(RAW, places["root"])
    assert SHA in str(caught.value)
    assert hashlib.sha256(CONTENT[:-1]).hexdigest() in str(caught.value)
    assert "file.txt" in str(caught.value)


def test_an_unknown_checksum_is_noted_at_the_first_read(places: dict[str, Path]) -> None:
    path = put(places["root"])
    unknown = Raw(RAW.path)
    assert fetch(unknown, places["root"]) == path
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(DamagedFile, match=SHA):
        fetch(unknown, places["root"])


def test_reads_are_noted_for_the_record(places: dict[str, Path]) -> None:
    put(places["root"])
    with files_read() as files:
        fetch(RAW, places["root"])
    fetch(RAW, places["root"])
    assert files == {RAW.path: SHA}


def test_archives_give_the_one_file_asked_for(tmp_path: Path) -> None:
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(CONTENT))
    _unpack(Raw("x", gzipped=True), packed, tmp_path / "out" / "x")
    assert (tmp_path / "out" / "x").read_bytes() == CONTENT
    box = tmp_path / "a.zip"
    with zipfile.ZipFile(box, "w") as made:
        made.writestr("../../escape.txt", "outside")
        made.writestr("in/file.txt", CONTENT)
    _unpack(Raw("y", url="u", member="in/file.txt"), box, tmp_path / "out" / "y")
    assert (tmp_path / "out" / "y").read_bytes() == CONTENT
    _unpack(Raw("z", url="u", member="../../escape.txt"), box, tmp_path / "out" / "z")
    assert not (tmp_path.parent / "escape.txt").exists()  # names inside decide nothing
    with pytest.raises(DataError, match="no file 'none'"):
        _unpack(Raw("w", url="u", member="none"), box, tmp_path / "out" / "w")


def test_a_broken_archive_and_a_bomb_are_refused(tmp_path: Path) -> None:
    for raw in (Raw("x", url="u", gzipped=True), Raw("x", url="u", member="m")):
        bad = tmp_path / "bad"
        bad.write_bytes(b"PK\x03\x04 no archive")
        with pytest.raises(DamagedFile, match="no whole archive"):
            _unpack(raw, bad, tmp_path / "x")
        assert not bad.exists()  # so that the next try downloads it again
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(gzip.compress(b"\0" * 10**8)))
    inner = tmp_path / "inner.gz"
    inner.write_bytes(gzip.decompress(bomb.read_bytes()))
    with pytest.raises(DamagedFile, match="thousand times"):
        _unpack(Raw("x", url="u", gzipped=True), inner, tmp_path / "x")
    assert not (tmp_path / "x").exists()
