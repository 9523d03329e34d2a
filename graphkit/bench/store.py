"""One JSON file per run, written whole or not at all; claims let processes share a sweep."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphkit.errors import StorageError
from graphkit.files import write_whole

__all__ = ["Store"]


@dataclass(frozen=True)
class Store:
    """Records of a suite below one folder.

    Args:
        folder: Where the results are kept; a suite's records lie in a folder of its name.
    """

    folder: Path

    def path(self, suite: str, run_id: str) -> Path:
        """Returns the file of a run."""
        return self.folder / suite / f"{run_id}.json"

    def model_path(self, suite: str, run_id: str) -> Path:
        """Returns the file of a run's fitted model, where one is kept."""
        return self.folder / suite / f"{run_id}.safetensors"

    def status(self, suite: str, run_id: str, *, with_model: bool = False) -> str | None:
        """Returns ``done``, ``failed``, or ``None`` where there is no whole record.

        Args:
            suite: Name the run is filed under.
            run_id: Which run.
            with_model: Count a run as not done whose fitted model was not kept.
        """
        try:
            record = json.loads(self.path(suite, run_id).read_text())
        except (OSError, ValueError):
            return None
        status = record.get("status") if isinstance(record, dict) else None
        if with_model and status == "done" and not self.model_path(suite, run_id).is_file():
            return None
        return status

    def write(self, record: dict[str, Any]) -> Path:
        """Writes a record; a reader sees all of it or nothing.

        Raises:
            StorageError: The disk is full or cannot be written; older records are intact.
        """
        path = self.path(record["suite"], record["id"])
        write_whole(path, _text(_plain(record)).encode())
        return path

    def checkpoints(self, suite: str, run_id: str) -> Path:
        """Returns the folder for the state of a run in flight."""
        return self.folder / ".running" / suite / run_id

    def forget_checkpoints(self, suite: str, run_id: str) -> None:
        """Removes the state of a run that is over."""
        shutil.rmtree(self.checkpoints(suite, run_id), ignore_errors=True)

    @contextlib.contextmanager
    def claim(self, suite: str, run_id: str) -> Iterator[bool]:
        """Yields whether this process may carry out the run; a killed process gives it back."""
        place = self.folder / ".running" / suite / f"{run_id}.lock"
        try:
            import fcntl
        except ImportError:  # no such locks on this system: every process is on its own
            yield True
            return
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            handle = place.open("w")
        except OSError as error:
            raise StorageError(f"cannot write {place}: {error.strerror}") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True


def _text(record: dict[str, Any]) -> str:
    """JSON to read: a line per setting, but a line per column of the history."""
    columns = record.get("history", {})
    lines = json.dumps({k: v for k, v in record.items() if k != "history"}, indent=1)
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(v)}" for name, v in columns.items())
    return f'{lines[:-2]},\n "history": {{\n{rows}\n }}\n}}\n'


def _plain(value: Any) -> Any:
    """JSON has no NaN: such a number becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
