"""A store while it is being written: beside its place, resumed array by array, moved in whole."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy.typing as npt

from graphkit.errors import DamagedFile, DataError, GraphkitError, SettingError
from graphkit.files import write_whole
from graphkit.ooc.blocks import ArrayWriter, check_size
from graphkit.ooc.disk import fsync_folder, locked, make_folder, remove_tree, replace
from graphkit.ooc.manifest import MANIFEST, ArrayFile, Manifest, parse_array, read_manifest
from graphkit.ooc.store import LOCK, Store

__all__ = ["Draft", "create"]

_STATE = "draft.json"


class Draft:
    """A store that is being written; made by ``create``.

    Args:
        path: Where it is going to be.
        folder: Where it is now.
        key: What is being prepared, and how; a finished array is taken over only for the same.
    """

    def __init__(self, path: Path, folder: Path, key: str) -> None:
        self.path, self.folder, self.key = path, folder, key
        self._done: dict[str, ArrayFile] = {}
        self._recover()

    @property
    def scratch(self) -> Path:
        """A folder for intermediate files, gone in the finished store."""
        return make_folder(self.folder / "scratch")

    def done(self, *names: str) -> bool:
        """Returns whether all these arrays are complete, from this run or an interrupted one."""
        return all(name in self._done for name in names)

    def array(self, name: str) -> ArrayFile:
        """Returns an array that is complete."""
        return self._done[name]

    def write(self, name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]) -> ArrayWriter:
        """Returns the writer of an array; use it in ``with``, and ``keep`` what it finishes."""
        make_folder((self.folder / name).parent)
        return ArrayWriter(self.folder, name, dtype, shape)

    def put(self, name: str, values: npt.NDArray[Any]) -> None:
        """Writes an array that is in memory, unless it is complete."""
        if not self.done(name):
            with self.write(name, values.dtype, values.shape) as writer:
                writer.append(values)
                self.keep(writer.finish())

    def keep(self, *arrays: ArrayFile) -> None:
        """Records arrays as complete: a later run of the same key does not write them again."""
        for folder in {array.path.parent for array in arrays}:
            fsync_folder(folder)
        self._done |= {array.name: array for array in arrays}
        entries = {name: array.entry(self.folder) for name, array in self._done.items()}
        state = {"key": self.key, "arrays": entries}
        write_whole(self.folder / _STATE, json.dumps(state).encode())

    def finish(self, manifest: Manifest) -> Store:
        """Writes the manifest and moves the store to its place.

        Args:
            manifest: What it holds; its arrays are those kept.

        Raises:
            StorageError: The disk is full or fails; nothing is at the final place then.
        """
        content = changed(manifest, arrays=self._done).content(self.folder)
        write_whole(self.folder / MANIFEST, content)
        return _move(self.folder, self.path)

    def _recover(self) -> None:
        """Takes over the complete arrays of an interrupted run of the same key; drops the rest."""
        try:
            state = json.loads((self.folder / _STATE).read_bytes())
            if state["key"] == self.key:
                for name, entry in state["arrays"].items():
                    array = parse_array(name, entry, self.folder)
                    check_size(array)
                    self._done[name] = array
        except (OSError, ValueError, TypeError, KeyError, AttributeError, DamagedFile):
            self._done = {}  # nothing that can be trusted
        keep = {path for array in self._done.values() for path in (array.path, array.sums)}
        for path in [p for p in self.folder.rglob("*") if not p.is_dir()]:
            if path not in keep and path.name not in (LOCK, _STATE):
                remove_tree(path)


@contextlib.contextmanager
def create(path: Path | str, key: str, state: str = "") -> Iterator[Draft | Store]:
    """Yields a draft to fill; or the store, where one of the same key is already there.

    The draft is the folder ``<path>.draft``. One left by a process that was killed is gone on
    with, from the first array that is not complete.

    Args:
        path: Where the store is going to be.
        key: What is prepared and how; it decides the bytes, and the manifest's ``source`` has it.
        state: Besides: what says that the source is unchanged since an interrupted run.

    Raises:
        SettingError: Something else is at ``path``.
        StorageError: Another process is preparing it, or the disk is full or fails.
    """
    final = Path(path).absolute()
    if (ready := _present(final, key)) is not None:
        yield ready
        return
    folder = make_folder(final.with_name(f"{final.name}.draft"))
    with locked(folder / LOCK):
        if (ready := _present(final, key)) is not None:  # finished while we waited for the lock
            remove_tree(folder)
            yield ready
            return
        if not (folder / _STATE).exists():
            with contextlib.suppress(GraphkitError):
                if read_manifest(folder)[0].source.get("key") == key:  # complete but for its place
                    ready = _move(folder, final)
        if ready is not None:
            yield ready
            return
        draft = Draft(final, folder, f"{key}/{state}")
        try:
            yield draft
        except DataError:
            remove_tree(folder)  # the input is at fault: nothing of it is worth keeping
            raise


def _move(folder: Path, final: Path) -> Store:
    """Moves a draft that has its manifest to the final place."""
    remove_tree(folder / "scratch")
    remove_tree(folder / _STATE)
    fsync_folder(folder)
    replace(folder, final)
    return Store.open(final)


def _present(final: Path, key: str) -> Store | None:
    """The store at ``final`` if it is of this key, nothing if nothing is there."""
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return None
    if not final.is_dir() or not (final / MANIFEST).exists():
        raise SettingError(f"{final} is there already, and no store; give another place")
    store = Store.open(final)
    if store.manifest.source.get("key") != key:
        raise SettingError(
            f"{final} already holds a store of something else, or prepared otherwise; "
            "remove it, or give another place"
        )
    return store
