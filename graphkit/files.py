"""Files written whole or not at all: all that the library keeps on disk goes through here."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from graphkit.errors import StorageError

__all__ = ["write_whole"]


def write_whole(path: Path, content: bytes) -> Path:
    """Writes a file so that a reader sees the old one or the new one, never a part.

    Raises:
        StorageError: The disk is full or cannot be written; what was there before is intact.
    """
    draft = path.with_name(f"{path.name}.tmp-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return path
