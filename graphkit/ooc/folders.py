"""Names and folders of a store: renamed, removed and locked so that a crash leaves nothing half."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from graphkit.errors import StorageError

__all__ = ["free_bytes", "fsync_folder", "locked", "make_folder", "remove_tree", "replace"]


def fsync_folder(path: Path) -> None:
    """Waits until the disk holds the folder's list of names.

    Raises:
        StorageError: The disk fails.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise StorageError(f"cannot write the folder {path}: {error.strerror or error}") from error


def replace(tmp: Path, final: Path) -> None:
    """Gives a finished file or folder its final name, and waits until the disk holds it.

    Raises:
        StorageError: The name cannot be given; what was there before is intact.
    """
    try:
        os.replace(tmp, final)
    except OSError as error:
        raise StorageError(f"cannot rename {tmp} to {final}: {error.strerror or error}") from error
    fsync_folder(final.parent)


def make_folder(path: Path) -> Path:
    """Makes a folder and those above it, if they are not there.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {path}: {error.strerror or error}") from error
    return path


def remove_tree(path: Path) -> None:
    """Removes a file, or a folder with all below it; what is not there is no fault.

    Raises:
        StorageError: Something cannot be removed.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as entries:
                inside = [Path(entry.path) for entry in entries]
            for entry in inside:
                remove_tree(entry)
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"cannot remove {path}: {error.strerror or error}") from error


def free_bytes(path: Path) -> int:
    """Returns the bytes this user may still write where ``path`` is or will be."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock file ``path`` inside ``with``: one writer alone, or many readers.

    Args:
        path: The lock file, made if it is not there; its folder is.
        shared: As a reader. Where the folder cannot be written and has no lock, none is needed.
        wait: Seconds to wait for others.

    Raises:
        StorageError: Others hold it still, or it cannot be made.
    """
    try:
        handle = os.open(path, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if shared and error.errno == errno.ENOENT:
            yield
            return
        raise StorageError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        until = time.monotonic() + wait
        while not _take(handle, shared):
            if time.monotonic() >= until:
                raise StorageError(
                    f"{path.parent} is in use by another process, which holds {path.name}; "
                    "wait until it has ended"
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _take(handle: int, shared: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
