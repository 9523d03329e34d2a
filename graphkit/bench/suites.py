"""Reads a suite: a Python file with one ``SUITE`` tuple of experiments."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from graphkit.bench.experiment import Experiment
from graphkit.errors import DataError, unknown_name

__all__ = ["SUITES", "load_suite"]

SUITES = Path("benchmarks/suites")


def load_suite(name: str) -> tuple[Path, Sequence[Experiment]]:
    """Returns file and experiments of a suite.

    Args:
        name: A path, or the name of a file in ``benchmarks/suites`` of the folder one stands in.

    Raises:
        UnknownName: There is no such file.
        DataError: The file holds no ``SUITE``.
    """
    path = Path(name)
    if path.suffix != ".py":
        path = SUITES / f"{name}.py"
    if not path.is_file():
        known = (file.stem for file in SUITES.glob("*.py") if not file.stem.startswith("_"))
        raise unknown_name("suite", name, known, "benchmarks/suites, or give the path of a file")
    spec = importlib.util.spec_from_file_location(f"suite_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    suite = getattr(module, "SUITE", None)
    if not suite or not all(isinstance(part, Experiment) for part in suite):
        raise DataError(f"{path} holds no SUITE of experiments: SUITE = (Experiment(...), ...)")
    return path, tuple(suite)
