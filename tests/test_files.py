"""A file is written whole or not at all, whatever fails on the way."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from graphkit.errors import StorageError
from graphkit.files import write_whole


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("call", ["open", "write", "flush", "fsync", "replace"])
def test_a_failing_call_leaves_what_was_there(
    call: str, there: bool, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.bin"
    if there:
        path.write_bytes(b"old")
    reached = []

    def fails(*args: Any, **named: Any) -> Any:
        reached.append(call)
        raise OSError(number, os.strerror(number))

    opened = Path.open

    class Stream(io.FileIO):
        """Half of what is written arrives before the disk says no."""

        def write(self, content: Any) -> int:
            super().write(content[: len(content) // 2])
            return int(fails())

    class Unflushed(io.FileIO):
        def flush(self) -> None:
            if not self.closed and not reached:
                fails()

    def opens(self: Path, mode: str = "r", *args: Any, **named: Any) -> Any:
        if "w" not in mode:
            return opened(self, mode, *args, **named)
        return {"open": fails, "write": Stream, "flush": Unflushed}[call](str(self), mode)

    with monkeypatch.context() as patch:
        if call in ("fsync", "replace"):
            patch.setattr(os, call, fails)
        else:
            patch.setattr(Path, "open", opens)
        with pytest.raises(StorageError, match=r"kept\.bin") as caught:
            write_whole(path, b"new content")
    assert reached == [call]
    assert os.strerror(number) in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert [p.name for p in tmp_path.iterdir()] == (["kept.bin"] if there else [])
    if there:
        assert path.read_bytes() == b"old"
    write_whole(path, b"new content")  # the fault over, it goes on
    assert path.read_bytes() == b"new content"


def test_the_draft_is_synced_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        calls.append("fsync")
        fsync(handle)

    def replaced(source: Any, target: Any) -> None:
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_whole(tmp_path / "one", b"1")
    assert calls == ["fsync", "replace", "fsync"]  # the last is the folder's


def test_folders_are_made_and_the_path_returned(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c"
    assert write_whole(path, b"1") == path
    assert path.read_bytes() == b"1"
    assert [p.name for p in path.parent.iterdir()] == ["c"]


def test_a_file_where_a_folder_belongs(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"file")
    with pytest.raises(StorageError):
        write_whole(tmp_path / "a" / "b", b"1")
    assert (tmp_path / "a").read_bytes() == b"file"
