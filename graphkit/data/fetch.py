"""A raw file: from the data root, the cache, or a download; held against its checksum each time.

Looked for in this order: ``root``, the variable ``GRAPHKIT_DATA``, the data sets that ship, the
user's cache folder, the download. A root is only ever read.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from graphkit.errors import DamagedFile, DataError, DataNotFound, StorageError

__all__ = ["Raw", "cache_folder", "fetch", "files_read", "roots", "shipped_folder"]


@dataclass(frozen=True)
class Raw:
    """One raw file of a data set.

    Args:
        path: Place below a root, as PyG's own data set class lays it out.
        sha256: Checksum of its content; ``None`` where the file was never at hand: then the first
            download is recorded in the cache and later reads are held against that.
        url: Where it can be downloaded; ``None`` where it has to be put there by hand.
        bytes: Size, where known, announced before a download.
        gzipped: The download is a gzip archive of the file.
        member: Name of the file inside the zip archive behind ``url``.
    """

    path: str
    sha256: str | None = None
    url: str | None = None
    bytes: int | None = None
    gzipped: bool = False
    member: str | None = None


@dataclass
class _Reads:
    """Files read inside a block, with their checksums, for the record."""

    files: dict[str, str] = field(default_factory=dict)


_reads: ContextVar[_Reads | None] = ContextVar("reads", default=None)


@contextmanager
def files_read() -> Iterator[dict[str, str]]:
    """Collects path and sha256 of every raw file that is read inside."""
    reads = _Reads()
    token = _reads.set(reads)
    try:
        yield reads.files
    finally:
        _reads.reset(token)


def cache_folder() -> Path:
    """Returns the folder for downloads and processed data; ``GRAPHKIT_CACHE`` moves it."""
    import platformdirs

    chosen = os.environ.get("GRAPHKIT_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("graphkit"))


def shipped_folder() -> Path:
    """Returns the folder of the data sets that ship: inside a wheel, or beside the package."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_datasets"
    return inside if inside.is_dir() else package.parent / "datasets"


def roots(root: Path | str | None = None) -> list[Path]:
    """Returns the folders that raw files are looked for in, first one first."""
    places = [root, os.environ.get("GRAPHKIT_DATA"), shipped_folder(), cache_folder()]
    return [Path(place) for place in places if place]


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def fetch(raw: Raw, root: Path | str | None = None) -> Path:
    """Returns the place of a raw file, downloaded once and checked every time.

    Args:
        raw: The file.
        root: A folder to look in before all others.

    Raises:
        DataNotFound: It is nowhere and cannot be downloaded; the message says where it was
            looked for and how to get it.
        DamagedFile: Its content is not the one expected; the message holds both checksums.
    """
    tried = roots(root)
    for place in tried:
        path = place / raw.path
        if path.is_file():
            return _checked(raw, path)
    return _checked(raw, _download(raw, tried))


def _checked(raw: Raw, path: Path) -> Path:
    found = sha256_of(path)
    expected = raw.sha256 or _recorded(raw, found)
    if found != expected:
        raise DamagedFile(
            f"{path} is damaged or another version: its sha256 is {found}, expected {expected}. "
            "Delete it and fetch it again, or put the right file there."
        )
    reads = _reads.get()
    if reads is not None:
        reads.files[raw.path] = found
    return path


def _recorded(raw: Raw, found: str) -> str:
    """Checksum noted at the first read of a file whose content was not known before."""
    book = cache_folder() / "checksums" / (raw.path.replace("/", "__") + ".json")
    try:
        return str(json.loads(book.read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        book.parent.mkdir(parents=True, exist_ok=True)
        draft = book.with_name(f"{book.name}.tmp-{os.getpid()}")
        draft.write_text(json.dumps({"path": raw.path, "sha256": found}))
        os.replace(draft, book)
    except OSError:
        pass  # a cache that cannot be written costs the later comparison alone
    return found


def _download(raw: Raw, tried: list[Path]) -> Path:
    looked = "\n".join(f"  {place / raw.path}" for place in tried)
    if raw.url is None:
        raise DataNotFound(
            f"{raw.path} was not found. Looked for:\n{looked}\n"
            "It has no public download: put the file at one of these places, or point "
            "GRAPHKIT_DATA at a folder that holds it."
        )
    offline = os.environ.get("GRAPHKIT_OFFLINE", "") not in ("", "0")
    if offline:
        raise DataNotFound(
            f"{raw.path} was not found and GRAPHKIT_OFFLINE forbids downloads. "
            f"Looked for:\n{looked}\nPut the file there; its source is {raw.url}"
        )
    return _retrieve(raw, cache_folder() / raw.path, looked)


def _retrieve(raw: Raw, target: Path, looked: str) -> Path:
    """Downloads a file, or the archive that holds it, which is kept for its other members."""
    import logging
    import sys

    import pooch
    import requests

    assert raw.url is not None
    packed = raw.gzipped or raw.member is not None
    archives = cache_folder() / "archives"
    name = hashlib.sha256(raw.url.encode()).hexdigest()[:16] if packed else target.name
    size = f" ({raw.bytes / 1e6:.1f} MB)" if raw.bytes else ""
    logging.getLogger("graphkit").warning("getting %s%s from %s", raw.path, size, raw.url)
    pooch.get_logger().setLevel("ERROR")  # what it would say has just been said
    known = f"sha256:{raw.sha256}" if raw.sha256 and not packed else None
    try:
        got = pooch.retrieve(
            raw.url,
            known_hash=known,  # an archive's own checksum is not the file's
            fname=name,
            path=archives if packed else target.parent,
            progressbar=sys.stderr.isatty(),
        )
    except (OSError, ValueError, requests.RequestException) as error:
        reason = str(error).splitlines()[0].split(" (Caused")[0]
        raise DataNotFound(
            f"cannot fetch {raw.path} from {raw.url} ({reason}). Looked for:\n{looked}\n"
            "Put a copy at one of these places and run again."
        ) from None  # the chain of network errors says nothing more
    if packed:
        _unpack(raw, Path(got), target)
    return target


def _unpack(raw: Raw, archive: Path, target: Path) -> None:
    """Writes the one file asked for; names inside the archive decide nothing."""
    draft = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as out:
            if raw.gzipped:
                with gzip.open(archive) as stream:
                    _copy(stream, out, archive)
            else:
                with zipfile.ZipFile(archive) as box, box.open(raw.member or "") as stream:
                    _copy(stream, out, archive)
        os.replace(draft, target)
    except KeyError:
        raise DataError(f"{raw.url} holds no file {raw.member!r}") from None
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error) as error:
        archive.unlink(missing_ok=True)
        raise DamagedFile(f"what {raw.url} gave is no whole archive ({error}); try again") from None
    finally:
        draft.unlink(missing_ok=True)


def _copy(stream: IO[bytes] | gzip.GzipFile, out: IO[bytes], archive: Path) -> None:
    """Copies a member, but not a bomb: at most a thousand times the archive's own size."""
    left = 1000 * archive.stat().st_size + 2**20
    while block := stream.read(2**20):
        left -= len(block)
        if left < 0:
            raise DamagedFile(f"{archive} unpacks to over a thousand times its size: refused")
        out.write(block)
