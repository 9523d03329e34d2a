"""Scores of training from disk beside training in memory, seed by seed.

    GRAPHKIT_DATA=... python benchmarks/out_of_core_scores.py

In memory every epoch draws its neighbours afresh. From disk S sampled epochs are replayed in turn:
the first S epochs are then the same to the bit (held against each other here), the later ones
repeat samples. Whether that costs accuracy is asked with S of 1, 2, 4 and 8: test accuracy of the
epoch that is best on validation, replay minus fresh, by seed. Both are scored on the same drawn
neighbourhoods. The result is written after each run; killed, the same command goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch_geometric.data import Data

import graphkit
from graphkit.bench.host import describe_host
from graphkit.data.batching import SampledNodes
from graphkit.data.problem import Problem
from graphkit.files import write_whole
from graphkit.models import GraphSAGE
from graphkit.ooc.inputs import of_problem
from graphkit.ooc.prepare import prepare
from graphkit.ooc.ready import make_ready
from graphkit.train import TrainConfig, evaluate, fit

OUT = Path(__file__).parent / "measured" / "out_of_core_scores.json"
BAR = 0.003  # replay of S = 2 minus fresh samples, either way


@dataclass(frozen=True)
class Setting:
    """How GraphSAGE is trained on a problem; ``sampled`` are the numbers of epochs replayed."""

    problem: str
    epochs: int
    lr: float
    weight_decay: float
    input_dropout: float
    sampled: tuple[int, ...] = (1, 2, 4, 8)
    fanouts: tuple[int, ...] = (10, 10)
    batch_size: int = 512


SETTINGS = (
    Setting("pubmed/public", 100, 0.01, 5e-4, 0.5),
    Setting("debian-deps/source", 20, 0.005, 1e-4, 0.0),
    Setting("wordnet/random", 10, 0.005, 0.0, 0.0, (2,)),
)


def loaded(name: str, seed: int) -> Problem:
    """A problem with what a store holds alone, so that both sides train on the same graph."""
    problem = graphkit.load_problem(name, seed=seed)
    data = problem.data
    return replace(problem, data=Data(x=data.x, edge_index=data.edge_index, y=data.y))


def from_disk(problem: Problem, setting: Setting, sampled: int, folder: Path) -> Problem:
    """The problem read from a store, with half of its rows cached and the others packed."""
    source = of_problem(problem, GraphSAGE(problem.dims).pre_transform)
    name = f"{problem.name.replace('/', '-')}-{problem.fingerprint[:12]}.store"
    store = prepare(source, folder / name)
    batching = make_ready(
        store, fanouts=setting.fanouts, batch_size=setting.batch_size, memory=8 << 30,
        sampled_epochs=sampled, seed=problem.seed, cached_rows=store.num_nodes // 2,
    )  # fmt: skip
    return store.problem(batching, problem.seed)


def run(setting: Setting, problem: Problem) -> dict[str, Any]:
    """Trains from the weights of the problem's seed; returns scores and the losses by epoch."""
    torch.manual_seed(problem.seed)
    model = GraphSAGE(problem.dims, input_dropout=setting.input_dropout)
    config = TrainConfig(epochs=setting.epochs, lr=setting.lr, weight_decay=setting.weight_decay)
    start = time.perf_counter()
    fitted = fit(model, problem.blind(), config)
    seconds = time.perf_counter() - start
    return {
        "test": evaluate(fitted.model, problem, "test")["accuracy"],
        "last": evaluate(fitted.last, problem, "test")["accuracy"],
        "val": fitted.val["val_accuracy"], "epoch": fitted.val["epoch"], "seconds": seconds,
        "losses": [row["loss"] for row in fitted.history],
    }  # fmt: skip


def missing(seeds: int, runs: dict[str, Any]) -> Iterator[tuple[str, Setting, int, int]]:
    """Key, setting, seed and sampled epochs (0: fresh ones) of what is not there yet."""
    for setting in SETTINGS:
        for seed in range(seeds):
            for sampled in (0, *setting.sampled):
                key = f"{setting.problem} S={sampled} seed={seed}"
                if key not in runs:
                    yield key, setting, seed, sampled


def summary(seeds: int, runs: dict[str, Any]) -> list[dict[str, Any]]:
    """For each problem and S: the differences by seed, and whether the first S epochs agree."""
    rows = []
    for setting in SETTINGS:
        for sampled in setting.sampled:
            keys = [
                [f"{setting.problem} S={s} seed={seed}" for s in (0, sampled)]
                for seed in range(seeds)
            ]
            pairs = [(runs[a], runs[b]) for a, b in keys if a in runs and b in runs]
            if not pairs:
                continue
            gaps = [disk["test"] - memory["test"] for memory, disk in pairs]
            rows.append(
                {
                    "problem": setting.problem, "sampled_epochs": sampled, "seeds": len(pairs),
                    "memory": fmean(memory["test"] for memory, _ in pairs),
                    "disk": fmean(disk["test"] for _, disk in pairs),
                    "gap": fmean(gaps), "gap_std": stdev(gaps) if len(gaps) > 1 else None,
                    "within_bar": abs(fmean(gaps)) <= BAR,
                    "same_first_epochs": all(
                        memory["losses"][:sampled] == disk["losses"][:sampled]
                        for memory, disk in pairs
                    ),
                }
            )  # fmt: skip
    return rows


def main(folder: Path, seeds: int = 5, threads: int = 2, out: Path = OUT) -> None:
    """Carries out what is missing, writes and prints what came out.

    Args:
        folder: Where the stores go.
        seeds: Seeds of order, draws, weights, and of the split where one is drawn.
        threads: Threads of torch.
        out: The result.
    """
    torch.set_num_threads(threads)
    settings = json.loads(json.dumps([asdict(setting) for setting in SETTINGS]))
    before = json.loads(out.read_text()) if out.exists() else {}
    runs = before.get("runs", {}) if before.get("settings") == settings else {}
    for key, setting, seed, sampled in list(missing(seeds, runs)):
        problem = loaded(setting.problem, seed)
        if sampled:
            problem = from_disk(problem, setting, sampled, folder)
        else:
            problem = problem.batched(SampledNodes(setting.fanouts, setting.batch_size))
        runs[key] = run(setting, problem)
        print(f"{key}: test {runs[key]['test']:.4f} ({runs[key]['seconds']:.1f} s)", flush=True)
        told = {
            "command": "python benchmarks/out_of_core_scores.py", "settings": settings,
            "summary": summary(seeds, runs), "runs": runs, "host": describe_host("cpu"),
        }  # fmt: skip
        write_whole(out, (json.dumps(told, indent=1) + "\n").encode())
    table = Table("problem", "S", "seeds", "in memory", "from disk", "gap", "std", "within 0.3",
                  "first S epochs equal")  # fmt: skip
    for row in summary(seeds, runs):
        spread = "" if row["gap_std"] is None else f"{row['gap_std']:.4f}"
        table.add_row(
            row["problem"], str(row["sampled_epochs"]), str(row["seeds"]), f"{row['memory']:.4f}",
            f"{row['disk']:.4f}", f"{row['gap']:+.4f}", spread,
            "yes" if row["within_bar"] else "no", "yes" if row["same_first_epochs"] else "NO",
        )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    tyro.cli(main)
