"""The command line, called in the test's own process."""

from __future__ import annotations

import pytest

from graphkit.cli import main

__all__ = ["Shell"]


class Shell:
    """Calls the command line in a folder of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: object) -> tuple[int, str, str]:
        """Returns status, output and errors."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        shown = self.capsys.readouterr()
        code = ended.value.code
        return (0 if code is None else int(code)), shown.out, shown.err
