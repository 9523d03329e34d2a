"""Small JSON files that hold their own checksum: the last file of a plan or a pack, and its key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from graphkit.errors import DamagedFile
from graphkit.files import write_whole
from graphkit.ooc.disk import Reader

__all__ = [
    "check_sizes",
    "digest_of",
    "identity",
    "read_sealed",
    "read_small",
    "read_whole",
    "write_sealed",
]

Files = Mapping[str, Mapping[str, Any]]


def digest_of(content: bytes | memoryview) -> str:
    """Returns the checksum of a small file as it stands in a sealed one."""
    return xxhash.xxh3_128_hexdigest(content)


def identity(settings: Mapping[str, Any]) -> str:
    """Returns a name made from settings: the same for equal ones, another for any other."""
    return digest_of(_text(settings))[:16]


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file with its checksum in it, whole or not at all.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    sealed = {**content, "digest": digest_of(_text(content))}
    write_whole(path, json.dumps(sealed, indent=1, sort_keys=True).encode())


def read_sealed(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Reads such a file and holds it against its checksum.

    Args:
        path: The file.
        kind: What it must say it is.
        version: Newest format this code reads.

    Raises:
        DamagedFile: It is missing, not what was written, of another kind, or of a newer format.
        StorageError: The disk fails.
    """
    if not path.exists():
        raise DamagedFile(
            f"{path} is missing: the {kind} was never finished; give its command again"
        )
    try:
        content = json.loads(read_whole(path))
        seal = content.pop("digest")
        found = digest_of(_text(content))
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise DamagedFile(f"{path} is not the description of a {kind}: {error}") from error
    if content.get("kind") == kind and content.get("format", 0) > version:
        raise DamagedFile(
            f"{path} has format {content['format']}; this version reads up to {version}"
        )
    if content.get("kind") != kind or found != seal:
        raise DamagedFile(f"{path} is not what was written: its checksum is {found}, not {seal}")
    return dict(content)


def check_sizes(folder: Path, files: Files) -> None:
    """Refuses a folder in which a file is missing, shorter or longer than it was written.

    Args:
        folder: Where the files are.
        files: Name of each, with its ``bytes``.

    Raises:
        DamagedFile: It names the file and both lengths.
    """
    for name, entry in files.items():
        try:
            found = (folder / name).stat().st_size
        except FileNotFoundError:
            raise DamagedFile(f"{folder / name} is missing") from None
        if found != entry["bytes"]:
            how = "shorter" if found < entry["bytes"] else "longer"
            raise DamagedFile(
                f"{folder / name} is {how} than it was written: it has {found} bytes, "
                f"{entry['bytes']} expected"
            )


def read_small(folder: Path, files: Files, name: str) -> bytes:
    """Reads a whole file whose checksum is in the sealed one.

    Raises:
        DamagedFile: It is missing or not what was written.
        StorageError: The disk fails.
    """
    check_sizes(folder, {name: files[name]})
    content = read_whole(folder / name)
    if digest_of(content) != files[name]["digest"]:
        raise DamagedFile(f"{folder / name} is damaged: it is not the file that was written")
    return content


def read_whole(path: Path) -> bytes:
    """Reads a whole file, sound or not.

    Raises:
        DamagedFile: It is missing.
        StorageError: The disk fails.
    """
    with Reader(path, direct=False) as reader:
        content = np.empty(reader.size, dtype=np.uint8)
        reader.read_into(content, 0, len(content))
    return content.tobytes()


def _text(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
