"""What of a long job has reached the disk: one line each, and a last line that is torn is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graphkit.ooc.disk import Writer, checksum, remove_tree
from graphkit.ooc.sealed import read_whole

__all__ = ["Journal"]


class Journal:
    """Lines of a job; an empty one where there is no file yet.

    Args:
        path: Its file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self._end = 0
        content = read_whole(path) if path.exists() else b""
        for line in content.splitlines(keepends=True):
            text, _, seal = line.rstrip(b"\n").rpartition(b" ")
            if not line.endswith(b"\n") or seal != b"%016x" % checksum(text):
                break
            self.entries.append(json.loads(text))
            self._end += len(line)

    def add(self, entry: dict[str, Any]) -> None:
        """Adds a line and waits until the disk holds it.

        Raises:
            StorageError: The disk is full or fails; the lines before are intact.
        """
        text = json.dumps(entry, sort_keys=True).encode()
        line = text + b" %016x\n" % checksum(text)
        with Writer(self.path, num_bytes=self._end, direct=False) as file:
            file.write_at(self._end, line)
            file.flush()
        self.entries.append(entry)
        self._end += len(line)

    def clear(self) -> None:
        """Forgets all lines."""
        remove_tree(self.path)
        self.entries, self._end = [], 0
