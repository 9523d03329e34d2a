"""What a fresh interpreter loads: the light commands leave torch and the plotting stack alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torch_geometric")


def fresh(code: str, *flags: str) -> str:
    """Output of a program in an interpreter of its own."""
    ended = subprocess.run(
        [sys.executable, *flags, "-c", code],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1] if ended.stdout else ""


def loaded_by(code: str, names: tuple[str, ...], *flags: str) -> list[str]:
    told = f"\nimport json, sys\nprint(json.dumps([n for n in {names!r} if n in sys.modules]))"
    return list(json.loads(fresh(code + told, *flags)))


def command(*words: str) -> str:
    return (
        "from graphkit.cli import main\n"
        f"try:\n    main({list(words)!r})\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
    )


def test_package_is_light() -> None:
    assert loaded_by("import graphkit", (*HEAVY, "numpy", "scipy", "tyro")) == []


@pytest.mark.parametrize("words", [("--help",), ("datasets", "list"), ("models", "list")])
def test_light_commands_leave_torch_alone(words: tuple[str, ...]) -> None:
    assert loaded_by(command(*words), HEAVY) == []


def test_leaderboard_leaves_torch_alone(tmp_path: Path) -> None:
    from tests.bench.records import HOST

    record = {
        "schema": 1, "id": "gcn@sbm-small@seed0@12345678", "suite": "mine", "experiment": "gcn",
        "problem": "sbm/small", "seed": 0, "fingerprint": "1234567812345678", "status": "done",
        "error": None, "settings": {}, "num_parameters": 10, "metric": "accuracy",
        "higher_is_better": True, "monitor": "loss", "epoch": 1, "epochs": 2,
        "val": {"accuracy": 0.5}, "test": {"accuracy": 0.5}, "last": {"val": {}, "test": {}},
        "hidden": None, "production": None, "measures": {}, "notes": {}, "reported": None,
        "cost": {"total_seconds": 1.0}, "host": HOST, "history": {},
        "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:01+00:00",
    }  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / f"{record['id']}.json").write_text(json.dumps(record))
    assert loaded_by(command("leaderboard", "--results", str(tmp_path)), HEAVY) == []


def test_package_warns_of_nothing() -> None:
    fresh("import graphkit", "-W", "error")


def test_model_warns_of_nothing_and_loads_no_extra() -> None:
    """PyG itself loads pandas, and with it numba and pyarrow where they are installed."""
    extras = ("duckdb", "matplotlib", "pyarrow", "optuna", "numba", "ogb", "ray", "sklearn.metrics")
    code = (
        "import json, sys, warnings\n"
        "warnings.filterwarnings('ignore', message='.*torch.jit.*')\n"
        "import torch_geometric\n"
        "before = set(sys.modules)\n"
        "from graphkit.models import DAGNN\n"
        f"print(json.dumps([n for n in {extras!r} if n in set(sys.modules) - before]))"
    )
    assert json.loads(fresh(code, "-W", "error")) == []


def test_package_costs_little() -> None:
    """The aim is 0.15 s of CPU; the bound leaves room for a slow machine."""
    code = (
        "import resource\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_utime\n"
        "import graphkit\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_utime - before)"
    )
    assert float(fresh(code)) < 0.5
