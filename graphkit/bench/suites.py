"""Reads a suite: a Python file with one ``SUITE`` tuple of experiments."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphkit.bench.experiment import Experiment
from graphkit.errors import DataError, unknown_name

__all__ = ["SUITES", "Sources", "load_suite"]

SUITES = Path("benchmarks/suites")
_PREFIX = "suite_"


@dataclass(frozen=True)
class Sources:
    """Files of the suites that are loaded, for a process that is started.

    Unpickled there before the experiments, it loads the files: their classes are then known.
    """

    files: tuple[str, ...]

    @classmethod
    def loaded(cls) -> Sources:
        """Returns those of this process."""
        named = [module for name, module in sys.modules.items() if name.startswith(_PREFIX)]
        files = [getattr(module, "__file__", None) for module in named]
        return cls(tuple(file for file in files if file))

    def __reduce__(self) -> tuple[Callable[[tuple[str, ...]], Sources], tuple[tuple[str, ...]]]:
        return _load_all, (self.files,)


def _load_all(files: tuple[str, ...]) -> Sources:
    for file in files:
        load_suite(file)
    return Sources(files)


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
    spec = importlib.util.spec_from_file_location(_PREFIX + path.stem, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # for classes of the suite to be found by other processes
    spec.loader.exec_module(module)
    suite = getattr(module, "SUITE", None)
    if not suite or not all(isinstance(part, Experiment) for part in suite):
        raise DataError(f"{path} holds no SUITE of experiments: SUITE = (Experiment(...), ...)")
    return path, tuple(suite)
