"""Reads a suite: a Python file with one ``SUITE`` tuple of experiments."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from graphkit.bench.experiment import Experiment
from graphkit.errors import DataError, SettingError, unknown_name

__all__ = ["SUITES", "Sources", "load_suite", "select"]

SUITES = Path("benchmarks/suites")
_PREFIX = "suite_"


@dataclass(frozen=True)
class Sources:
    """Files of suites whose classes some experiments name, for a process that is started.

    Unpickled there before the experiments, it loads the files: their classes are then known.
    """

    files: tuple[str, ...]

    @classmethod
    def of(cls, experiments: Sequence[Experiment]) -> Sources:
        """Returns those whose classes the experiments name."""
        content = bytes(ForkingPickler.dumps(experiments))
        named = [
            module
            for name, module in sys.modules.items()
            if name.startswith(_PREFIX) and name.encode() in content
        ]
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


def select(
    experiments: Sequence[Experiment], only: str, seeds: Sequence[int] = ()
) -> list[Experiment]:
    """Returns the experiments that were asked for, all if nothing was.

    Args:
        experiments: Those of a suite.
        only: Names of experiments, of problems, or ``experiment@problem``, with commas between.
        seeds: Of their seeds these alone; all if none is given.

    Raises:
        UnknownName: Nothing has such a name.
        SettingError: None of them has one of the seeds.
    """
    words = [word.strip() for word in only.split(",") if word.strip()]
    named = [{e.name, e.problem_name, f"{e.name}@{e.problem_name}"} for e in experiments]
    for word in words:
        if not any(word in names for names in named):
            raise unknown_name("experiment or problem", word, set().union(*named))
    chosen = [
        e for e, names in zip(experiments, named, strict=True) if not words or names & set(words)
    ]
    if not seeds:
        return chosen
    kept = [(e, tuple(seed for seed in e.seeds if seed in seeds)) for e in chosen]
    if not any(own for _, own in kept):
        known = sorted({seed for e in chosen for seed in e.seeds})
        raise SettingError(f"seeds {list(seeds)}: none is asked for; those of the suite: {known}")
    return [replace(e, seeds=own) for e, own in kept if own]
