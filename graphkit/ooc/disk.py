"""Files of a store: aligned reads and writes past the page cache, with every fault named.

All disk code of the package goes through this module and ``folders``, so that a test can let the
n-th call fail.
``O_DIRECT`` is used where the file system has it; elsewhere bytes are read through the page cache
and the kernel is told to drop them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xxhash

from graphkit.errors import DamagedFile, StorageError
from graphkit.ooc.folders import (
    free_bytes,
    fsync_folder,
    locked,
    make_folder,
    remove_tree,
    replace,
)
from graphkit.ooc.sizes import show_bytes

__all__ = [
    "BLOCK",
    "PAGE",
    "READERS",
    "Reader",
    "Writer",
    "aligned",
    "checksum",
    "free_bytes",
    "fsync_folder",
    "locked",
    "make_folder",
    "private",
    "remove_tree",
    "replace",
]

PAGE = 4096
BLOCK = 1 << 20
READERS = 6  # reads under way: while some of them wait for a processor, the disk has the others
_HUGE = 2 << 20

Bytes: TypeAlias = npt.NDArray[np.uint8]

_LOG = logging.getLogger(__name__)
_DIRECT = getattr(os, "O_DIRECT", 0)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def private(num_bytes: int, *, huge: bool = False) -> mmap.mmap:
    """Returns page-aligned memory of this process alone, all zero, padded to whole pages.

    Args:
        num_bytes: How much.
        huge: Ask for huge pages where it is large: for memory that is filled again and again.
    """
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # shared memory would not count as this process's
    memory = mmap.mmap(-1, max(_up(num_bytes), PAGE), flags=kind)
    if huge and num_bytes >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def aligned(num_bytes: int) -> Bytes:
    """Returns page-aligned anonymous memory, all zero, whose length is padded to whole pages."""
    return np.frombuffer(private(num_bytes), dtype=np.uint8)


def checksum(block: bytes | npt.NDArray[Any]) -> int:
    """Returns the xxh3_64 of one block of at most ``BLOCK`` bytes."""
    return int(xxhash.xxh3_64_intdigest(block if isinstance(block, bytes) else block.data))


class Reader:
    """A file that is read at any place by any thread; close it, or use it in ``with``.

    Args:
        path: The file.
        direct: Ask for reads past the page cache.

    Raises:
        DamagedFile: The file is missing.
        StorageError: It cannot be opened.
    """

    def __init__(self, path: Path, *, direct: bool = True) -> None:
        self.path = Path(path)
        self._file, self.direct = _open(self.path, os.O_RDONLY, direct)
        self.size = os.fstat(self._file).st_size

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def fileno(self) -> int:
        """Returns the descriptor, for compiled code that reads by itself."""
        return self._file

    def read_into(self, buffer: Bytes, offset: int, num_bytes: int) -> None:
        """Reads exactly ``num_bytes`` from ``offset`` into the start of ``buffer``.

        Page-aligned places, lengths (but for the file's tail) and memory with room for whole pages
        are read straight into ``buffer``; all else is copied once.

        Args:
            buffer: Contiguous bytes, e.g. from ``aligned``; past ``num_bytes``, up to a whole
                page, it may be overwritten.
            offset: First byte in the file.
            num_bytes: How many.

        Raises:
            DamagedFile: The file ends before.
            StorageError: The disk fails.
        """
        end = offset + num_bytes
        if end > self.size:
            raise DamagedFile(
                f"{self.path} ends at byte {self.size}; bytes {offset} to {end} were expected"
            )
        if not self.direct or self._fits(buffer, offset, num_bytes):
            self._fill(buffer, offset, num_bytes)
        else:
            first, start = offset - offset % PAGE, 0
            bounce = aligned(min(_up(end) - first, BLOCK))
            while start < num_bytes:
                length = min(end - first, len(bounce))
                self._fill(bounce, first, length)
                part = bounce[offset + start - first : length]
                buffer[start : start + len(part)] = part
                first, start = first + length, start + len(part)
        if not self.direct:
            self.drop(offset, num_bytes)

    def drop(self, offset: int = 0, num_bytes: int = 0) -> None:
        """Tells the kernel that these bytes (0: all to the end) need not stay in its cache."""
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._file, offset, num_bytes, os.POSIX_FADV_DONTNEED)

    def _fits(self, buffer: Bytes, offset: int, num_bytes: int) -> bool:
        whole = num_bytes % PAGE == 0 or offset + num_bytes == self.size
        room = len(buffer) >= _up(num_bytes)
        return offset % PAGE == 0 and whole and room and buffer.ctypes.data % PAGE == 0

    def _fill(self, buffer: Bytes, offset: int, num_bytes: int) -> None:
        done = 0
        while done < num_bytes:
            length = _up(num_bytes - done) if self.direct else num_bytes - done
            try:
                count = os.preadv(self._file, [buffer[done : done + length].data], offset + done)
            except OSError as error:
                if self.direct and error.errno == errno.EINVAL:
                    self._go_buffered()
                    continue
                raise StorageError(
                    f"cannot read {self.path} at byte {offset + done}: {error.strerror or error}"
                ) from error
            if count == 0:
                raise DamagedFile(
                    f"{self.path} ended at byte {offset + done} while it was read; "
                    f"bytes {offset} to {offset + num_bytes} were expected"
                )
            if done + count >= num_bytes:
                return
            if self.direct and count % PAGE:  # a short read: go on from a place that is aligned
                count -= count % PAGE
                if count == 0:
                    self._go_buffered()
            done += count

    def _go_buffered(self) -> None:
        _LOG.warning("%s: the file system refuses direct reads; reading buffered", self.path)
        _clear_direct(self._file)
        self.direct = False


class Writer:
    """A file that is written at any place by any thread; close it, or use it in ``with``.

    Args:
        path: The file.
        num_bytes: Final size, claimed on the disk now; what the file already holds stays.
            ``None`` starts an empty file that grows.
        direct: Ask for writes past the page cache where place, length and memory are aligned.

    Raises:
        StorageError: The disk has less room, or the file cannot be written.
    """

    def __init__(self, path: Path, *, num_bytes: int | None, direct: bool = True) -> None:
        self.path = Path(path)
        self.num_bytes = num_bytes
        flags = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if num_bytes is None else 0)
        self._file, _ = _open(self.path, flags, False)
        self._direct_file = -1
        try:
            if num_bytes is not None:
                self._claim(num_bytes)
            if direct and _DIRECT:
                handle, self.direct = _open(self.path, os.O_RDWR, True)
                self._direct_file = handle
            else:
                self.direct = False
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file without waiting for the disk; a second call does nothing."""
        for handle in (self._file, self._direct_file):
            if handle >= 0:
                os.close(handle)
        self._file = self._direct_file = -1

    def write_at(self, offset: int, buffer: bytes | npt.NDArray[Any]) -> None:
        """Writes all of ``buffer`` (contiguous) at ``offset``.

        Raises:
            StorageError: The disk is full or fails.
        """
        array = np.frombuffer(buffer, np.uint8) if isinstance(buffer, bytes) else buffer
        raw: Bytes = array.reshape(-1).view(np.uint8)
        done = 0
        while done < len(raw):
            rest, place = raw[done:], offset + done
            straight = self.direct and not (place % PAGE or rest.ctypes.data % PAGE)
            if straight and len(rest) >= PAGE:
                handle, rest = self._direct_file, rest[: len(rest) - len(rest) % PAGE]
            else:
                handle = self._file
            try:
                done += os.pwritev(handle, [rest.data], place)
            except OSError as error:
                if handle == self._direct_file and error.errno == errno.EINVAL:
                    self.direct = False
                    continue
                raise self._failed(error, f"at byte {place}", len(rest)) from error

    def flush(self) -> None:
        """Waits until the disk holds what was written.

        Raises:
            StorageError: The disk is full or fails.
        """
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise self._failed(error, "to the disk", 0) from error
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)

    def _claim(self, num_bytes: int) -> None:
        held = os.fstat(self._file)
        missing = num_bytes - held.st_blocks * 512
        if missing > free_bytes(self.path):
            raise StorageError(
                f"no room for {self.path}: it needs {show_bytes(missing)}, "
                f"{show_bytes(free_bytes(self.path))} are free"
            )
        try:
            if num_bytes:
                os.posix_fallocate(self._file, 0, num_bytes)
            if held.st_size != num_bytes:
                os.ftruncate(self._file, num_bytes)
        except OSError as error:
            raise self._failed(error, "in full", missing) from error

    def _failed(self, error: OSError, where: str, needed: int) -> StorageError:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            free = show_bytes(free_bytes(self.path))
            reason = f"{reason}: {show_bytes(needed)} were to be written, {free} are free"
        return StorageError(f"cannot write {self.path} {where}: {reason}")


def _open(path: Path, flags: int, direct: bool) -> tuple[int, bool]:
    """Opens a file, with ``O_DIRECT`` if wanted and possible; says whether it is on."""
    try:
        if direct and _DIRECT:
            with contextlib.suppress(OSError):
                return os.open(path, flags | os.O_CLOEXEC | _DIRECT, 0o644), True
        return os.open(path, flags | os.O_CLOEXEC, 0o644), False
    except FileNotFoundError as error:
        raise DamagedFile(f"{path} is missing") from error
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror or error}") from error


def _clear_direct(handle: int) -> None:
    fcntl.fcntl(handle, fcntl.F_SETFL, fcntl.fcntl(handle, fcntl.F_GETFL) & ~_DIRECT)


def _up(num_bytes: int) -> int:
    return -(-num_bytes // PAGE) * PAGE
