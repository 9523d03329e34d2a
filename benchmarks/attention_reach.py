"""What attention along edges reaches, and what encoded places add, on two made problems.

    python benchmarks/attention_reach.py --task path
    python benchmarks/attention_reach.py --task pattern --variants bn bn-lap2 --seeds 0

``path``: each node of a path of length 12 carries one of two symbols; asked at either end is the
symbol at the other. Three layers see three edges far. ``pattern``: which nodes are of a pattern
hidden among communities, as PATTERN but smaller (5 to 14 nodes each, 20 patterns, 500, 100 and 100
graphs). All runs go through ``fit``; the epoch is chosen on validation, the score is balanced
accuracy on test. Runs in the file are not repeated; delete their rows to run them again.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import torch
import tyro
from torch_geometric.data import Data

from graphkit.bench.host import describe_host
from graphkit.data import Graphs, Split
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources import synthetic
from graphkit.files import write_whole
from graphkit.models.graph_transformer import FullGraphTransformer, GraphTransformer
from graphkit.seeds import stream
from graphkit.tasks import Dims, NodesOfGraphs
from graphkit.train import TrainConfig, evaluate, fit

OUT = Path(__file__).parent / "measured" / "attention_reach.json"
LENGTH, PATHS = 12, (1000, 200, 200)
PATTERNS = (500, 100, 100)
Task = Literal["path", "pattern"]

small = {"hidden_channels": 32, "num_layers": 4, "heads": 8}
short = {"hidden_channels": 32, "num_layers": 3, "heads": 8}
VARIANTS: dict[str, dict[str, Callable[[Dims], GraphTransformer]]] = {
    "pattern": {
        "bn": partial(GraphTransformer, **small),
        "bn-lap2": partial(GraphTransformer, **small, encoding=2),
        "ln": partial(GraphTransformer, **small, norm="layer"),
        "ln-lap2": partial(GraphTransformer, **small, norm="layer", encoding=2),
        "bn-lap2-full": partial(FullGraphTransformer, **small, encoding=2),
    },
    "path": {
        "local": partial(GraphTransformer, **short),
        "local-lap2": partial(GraphTransformer, **short, encoding=2),
        "full": partial(FullGraphTransformer, **short),
        "full-lap2": partial(FullGraphTransformer, **short, encoding=2),
    },
}
CONFIGS = {
    "pattern": TrainConfig(epochs=45, lr=1e-3, batching=Graphs(16)),
    "path": TrainConfig(epochs=40, lr=1e-3, batching=Graphs(32)),
}


def parts(*sizes: int) -> Split:
    """The graphs in order."""
    return Split(*torch.arange(sum(sizes)).split(list(sizes)))


def pattern_problem() -> Problem:
    """The generator of PATTERN with smaller sizes."""
    with patch.multiple(synthetic, LARGEST=14, NUM_PATTERNS=20):
        sets = [
            synthetic.pattern_graphs(count, part)
            for count, part in zip(PATTERNS, ("train", "val", "test"), strict=True)
        ]
    return Problem(
        name="pattern/small",
        data=GraphSet.of([graph for graphs in sets for graph in graphs]),
        split=parts(*PATTERNS),
        task=NodesOfGraphs(num_classes=2),
        dims=Dims(in_channels=0, out_channels=2, node_symbols=(3,)),
        batching=Graphs(100),
    )


def path_problem() -> Problem:
    """Paths with random symbols and nodes in random order; the ends ask for each other's."""
    draw, nodes = stream(0, "paths"), LENGTH + 1
    graphs = []
    for _ in range(sum(PATHS)):
        symbol = torch.randint(2, (nodes,), generator=draw)
        y = torch.full((nodes,), -1)
        y[0], y[-1] = symbol[-1], symbol[0]
        new = torch.randperm(nodes, generator=draw)
        ends = torch.stack([new[:-1], new[1:]])
        back = new.argsort()
        edges = torch.cat([ends, ends.flip(0)], dim=1)
        graphs.append(Data(x=symbol[back][:, None], edge_index=edges, y=y[back], num_nodes=nodes))
    return Problem(
        name="path/12",
        data=GraphSet.of(graphs),
        split=parts(*PATHS),
        task=NodesOfGraphs(num_classes=2),
        dims=Dims(in_channels=0, out_channels=2, node_symbols=(2,)),
        batching=Graphs(100),
    )


def carried_out(task: str, variant: str, seed: int, problem: Problem, epochs: int) -> dict:
    """One run: seeded, fitted on the blind problem, scored once."""
    torch.manual_seed(seed)
    problem = replace(problem, seed=seed)
    start = time.process_time()
    model = VARIANTS[task][variant](problem.dims)
    config = CONFIGS[task] if not epochs else replace(CONFIGS[task], epochs=epochs)
    fitted = fit(model, problem.blind(), config)
    return {
        "task": task, "variant": variant, "seed": seed, "epochs": config.epochs,
        "best_epoch": int(fitted.val["epoch"]),
        "val": fitted.val["val_balanced_accuracy"],
        "test": evaluate(fitted.model, problem, "test")["balanced_accuracy"],
        "cpu_seconds": time.process_time() - start,
        "host": describe_host("cpu"),
    }  # fmt: skip


def stored() -> list[dict[str, Any]]:
    """The runs so far."""
    return json.loads(OUT.read_text())["runs"] if OUT.is_file() else []


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and deviation of each variant's full-length runs."""
    found = []
    for task, variants in VARIANTS.items():
        for variant in variants:
            scores = [
                run["test"] for run in runs
                if (run["task"], run["variant"]) == (task, variant)
                and run["epochs"] == CONFIGS[task].epochs
            ]  # fmt: skip
            if scores:
                deviation = statistics.stdev(scores) if len(scores) > 1 else None
                found.append(
                    {"task": task, "variant": variant, "seeds": len(scores),
                     "test": statistics.fmean(scores), "deviation": deviation}
                )  # fmt: skip
    return found


def main(
    *,
    task: Task = "path",
    variants: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0, 1, 2),
    threads: int = 1,
    epochs: int = 0,
) -> None:
    """Carries out what is not in the file yet, run by run.

    Args:
        task: Which problem.
        variants: Which networks; all of the task if none is named.
        seeds: Seeds of each.
        threads: Threads.
        epochs: Another number of epochs, to try it out; 0 for the task's own.
    """
    torch.set_num_threads(threads)
    problem = path_problem() if task == "path" else pattern_problem()
    length = epochs or CONFIGS[task].epochs
    for seed in seeds:
        for variant in variants or tuple(VARIANTS[task]):
            key = (task, variant, seed, length)
            done = {(r["task"], r["variant"], r["seed"], r["epochs"]) for r in stored()}
            if key in done:
                continue
            run = carried_out(task, variant, seed, problem, epochs)
            runs = sorted(
                [*stored(), run], key=lambda r: (r["task"], r["variant"], r["seed"], r["epochs"])
            )
            told = {
                "what": "balanced accuracy on test, epoch chosen on validation",
                "command": "python benchmarks/attention_reach.py --task path|pattern",
                "summary": summary(runs),
                "runs": runs,
            }
            write_whole(OUT, (json.dumps(told, indent=1) + "\n").encode())
            print({k: v for k, v in run.items() if k != "host"}, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
