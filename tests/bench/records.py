"""Made-up run records for tests: plausible numbers, measured by nobody.

``python tests/bench/records.py FOLDER`` writes a whole results folder to look at.
"""

from __future__ import annotations

import json
import random
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HOST = {
    "graphkit": "0.1.0",
    "python": "3.11.7",
    "torch": "2.13.0",
    "torch_geometric": "2.8.1",
    "numpy": "2.4.6",
    "platform": "Linux-6.1-x86_64",
    "processor": "Example CPU 3000",
    "device": "cpu",
    "threads": 2,
    "git_commit": "abc1234",
    "git_dirty": False,
    "deterministic": True,
}

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><style>body{display:none}</style>",
    "</td></tr></table><h1>gotcha</h1>",
    "x'; drop table records; --",
    "' union select 1; attach 'x.db'; --",
    "$\\frac{1}{0}$ `code` [link](javascript:alert(1)) | cell",
    "\x1b[31m[red]{{7*7}}\u202e&lt;b&gt;\x00",
)


def record(
    experiment: str = "gcn",
    problem: str = "cora/public",
    seed: int = 0,
    score: float | None = 0.8,
    **changes: Any,
) -> dict[str, Any]:
    """One finished run; ``changes`` replace whole top-level entries."""
    fingerprint = changes.pop("fingerprint", "0123456789abcdef")
    metric = changes.pop("metric", "accuracy")
    finished = changes.pop("finished", f"2026-01-02T03:{seed % 60:02d}:00+00:00")
    whole = {
        "schema": 1,
        "id": f"{experiment}@{problem.replace('/', '-')}@seed{seed}@{fingerprint[:8]}",
        "suite": "node_classification",
        "experiment": experiment,
        "problem": problem,
        "seed": seed,
        "fingerprint": fingerprint,
        "status": "done",
        "error": None,
        "data": {"files": {}, "fingerprint": "0", "split": {"train": 140, "val": 500}},
        "settings": {"model": {"name": experiment, "hidden_channels": 64}, "train": {"lr": 0.01}},
        "num_parameters": 1234,
        "metric": metric,
        "higher_is_better": True,
        "monitor": "loss",
        "epoch": 7,
        "epochs": 10,
        "val": {metric: 0.75, "loss": 0.6},
        "test": {metric: score, "loss": 0.5},
        "last": {"val": {metric: 0.74}, "test": {metric: 0.73}},
        "hidden": None,
        "production": None,
        "measures": {},
        "notes": {},
        "reported": None,
        "cost": {
            "seconds_per_epoch": 0.01,
            "first_epoch_seconds": 0.2,
            "fit_seconds": 0.3,
            "test_seconds": 0.01,
            "total_seconds": 0.5,
            "peak_memory_bytes": 300 * 2**20,
        },
        "host": HOST,
        "started": "2026-01-02T03:00:00+00:00",
        "finished": finished,
        "history": {
            "epoch": [0, 1, 2],
            "loss": [1.9, 1.2, 0.9],
            f"val_{metric}": [0.3, 0.6, 0.75],
            "val_loss": [1.8, 1.3, 1.0],
        },
    }
    return whole | changes


def failed(
    experiment: str = "gcn",
    problem: str = "cora/public",
    seed: int = 0,
    message: str = "loss is nan",
    **changes: Any,
) -> dict[str, Any]:
    """One run that crashed: nothing but who, where and why."""
    error = {
        "type": "TrainingError",
        "message": message,
        "traceback": "Traceback (most recent call last):\n  ...\n",
    }
    empty = dict.fromkeys(("epoch", "epochs", "val", "test", "last", "cost", "history"))
    return record(experiment, problem, seed, status="failed", error=error) | empty | changes


def write(folder: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """Writes records where a run would: ``<suite>/<id>.json``, numbered so that names are safe."""
    for position, one in enumerate(records):
        safe = "".join(c for c in str(one.get("id", "")) if c.isalnum() or c in "._@-")
        path = folder / "suite" / f"{position:04d}{safe[:60]}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(one), encoding="utf-8")
    return folder


# problem: metric, higher is better, level, spread, models with (offset, parameters, seconds, paper)
_PROBLEMS: dict[str, tuple[str, bool, float, float, dict[str, tuple[float, int, float, Any]]]] = {
    "cora/public": (
        "accuracy",
        True,
        0.81,
        0.006,
        {
            "mlp": (-0.235, 92_231, 1.1, None),
            "gcn": (0.005, 92_231, 2.3, (0.815, None, "Kipf and Welling 2017, table 2", None)),
            "gat": (0.018, 92_373, 9.7, (0.83, 0.007, "Velickovic et al. 2018, table 2", 100)),
            "dagnn": (0.022, 92_239, 6.2, (0.844, 0.005, "Liu et al. 2020, fixed split", 100)),
            "graph_transformer": (-0.004, 401_287, 41.0, None),
            "glnn": (0.008, 92_231, 3.9, (0.8054, 0.0135, "Zhang et al. 2022, table 1", 10)),
            "vqgraph": (0.013, 118_990, 24.0, (0.8387, 0.0116, "Yang et al. 2024", 10)),
        },
    ),
    "citeseer/public": (
        "accuracy",
        True,
        0.70,
        0.008,
        {
            "mlp": (-0.20, 237_126, 1.4, None),
            "gcn": (0.004, 237_126, 2.9, (0.703, None, "Kipf and Welling 2017, table 2", None)),
            "gat": (0.012, 237_586, 13.0, (0.725, 0.007, "Velickovic et al. 2018, table 2", 100)),
            "dagnn": (0.031, 237_133, 7.7, (0.733, 0.006, "Liu et al. 2020, fixed split", 100)),
            "glnn": (0.012, 237_126, 4.8, None),
        },
    ),
    "pubmed/public": (
        "accuracy",
        True,
        0.788,
        0.004,
        {
            "mlp": (-0.07, 32_259, 2.2, None),
            "gcn": (0.002, 32_259, 8.0, (0.79, None, "Kipf and Welling 2017, table 2", None)),
            "gat": (-0.004, 32_453, 33.0, (0.79, 0.003, "Velickovic et al. 2018, table 2", 100)),
            "dagnn": (0.016, 32_263, 19.0, (0.805, 0.005, "Liu et al. 2020, fixed split", 100)),
            "glnn": (-0.001, 32_259, 11.0, None),
        },
    ),
    "zinc/subset": (
        "mae",
        False,
        0.40,
        0.008,
        {
            "gcn": (0.013, 103_077, 410.0, (0.416, 0.006, "Dwivedi et al. 2023", 4)),
            "gin": (-0.017, 103_079, 395.0, (0.387, 0.015, "Dwivedi et al. 2023", 4)),
            "graph_mamba": (-0.19, 512_004, 5200.0, None),
            "spen": (-0.05, 98_112, 2210.0, None),
        },
    ),
}


def whole_suite(seeds: Sequence[int] = range(10)) -> list[dict[str, Any]]:
    """Records of many models, with crashes, gaps in the seeds, an old recipe and a duplicate."""
    made = []
    for problem, (metric, higher, level, spread, models) in _PROBLEMS.items():
        few = seeds[:4] if problem == "zinc/subset" else seeds
        for model, (offset, parameters, duration, paper) in models.items():
            own = few[:3] if model == "graph_transformer" else few
            for seed in own:
                one = _run(problem, model, seed, metric, higher, level + offset, spread)
                one["num_parameters"] = parameters
                noise = random.Random(zlib.crc32(f"{problem}{model}{seed}t".encode()))
                total = duration * noise.uniform(0.85, 1.25)
                one["cost"]["total_seconds"] = total
                one["cost"]["seconds_per_epoch"] = total / one["epochs"]
                one["cost"]["peak_memory_bytes"] = int(2**28 + parameters * 900)
                if paper is not None:
                    keys = ("value", "std", "source", "seeds")
                    one["reported"] = dict(zip(keys, paper, strict=True)) | {"column": "test"}
                if model in ("glnn", "vqgraph"):
                    one["measures"] = {"latency_ms": round(0.4 + noise.random() / 10, 3)}
                made.append(one)
    out_of_memory = "cannot allocate 12.4 GiB for attention over 19,717 nodes"
    made.append(failed("graph_transformer", "pubmed/public", 0, out_of_memory))
    made.append(failed("graph_transformer", "pubmed/public", 1, out_of_memory))
    crash = "the loss is nan after epoch 31, batch 0; last good checkpoint at epoch 30"
    recipe = f"{zlib.crc32(b'zinc/subsetgraph_mamba'):08x}"
    made.append(
        failed(
            "graph_mamba",
            "zinc/subset",
            4,
            crash,
            metric="mae",
            higher_is_better=False,
            fingerprint=recipe,
        )
    )
    made.append(record("gcn", "cora/public", 0, 0.70, fingerprint="00ld", finished="2025-01-01"))
    made.append(dict(made[0]))
    return made


def _run(
    problem: str, model: str, seed: int, metric: str, higher: bool, level: float, spread: float
) -> dict[str, Any]:
    noise = random.Random(zlib.crc32(f"{problem}{model}{seed}".encode()))
    score = level + noise.gauss(0, spread)
    epochs = noise.randint(120, 260)
    start, pace = (0.15, 25) if higher else (1.4, 18)
    curve, loss = [], []
    for epoch in range(epochs):
        left = 2.718 ** (-epoch / pace)
        curve.append(score + 0.01 + (start - score) * left + noise.gauss(0, spread / 2))
        loss.append(0.4 + 1.5 * left + noise.gauss(0, 0.02))
    one = record(
        model,
        problem,
        seed,
        score,
        metric=metric,
        higher_is_better=higher,
        epoch=epochs - 20,
        epochs=epochs,
        fingerprint=f"{zlib.crc32(f'{problem}{model}'.encode()):08x}",
        history={
            "epoch": list(range(epochs)),
            "loss": loss,
            f"val_{metric}": curve,
            "val_loss": loss,
            "lr": [0.01] * epochs,
        },
    )
    one["val"][metric] = score + 0.012
    one["last"]["test"][metric] = score - 0.002
    one["settings"] = {
        "model": {"name": model, "hidden_channels": 64, "num_layers": 2, "dropout": 0.5},
        "train": {"epochs": 1000, "lr": 0.01, "weight_decay": 5e-4, "stop": {"patience": 100}},
        "seeds": list(range(10)),
    }
    return one


if __name__ == "__main__":
    target = write(Path(sys.argv[1]), whole_suite())
    (target / "suite" / "broken.json").write_text('{"schema": 1, "suite": ')
    (target / "suite" / "other.json").write_text('{"schema": 9}')
