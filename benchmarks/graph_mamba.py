"""Whether Graph Mamba hears of what lies far away: the two ends of a chain of 64 nodes.

    python benchmarks/graph_mamba.py
    python benchmarks/graph_mamba.py --seeds 0 1 2

The last node is asked for the symbol (of four) of the first; nodes between carry nothing. Scans
over the nodes in the order of the chain can carry it there, in one layer. A scan in the opposite
order, one way, and six layers of message passing cannot: their answer is a guess. By degree both
ends stand side by side, as the only nodes of degree 1: that row says little of distance, the one in
random order does. All runs go
through ``fit``, the epoch is chosen on validation, the score is accuracy on the test chains. Runs
in the file are not repeated; delete their rows to run them again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn

from graphkit import load_problem
from graphkit.bench.host import describe_host
from graphkit.files import write_whole
from graphkit.models.framed import FramedGCN
from graphkit.models.graph_mamba import GraphMamba, Scan
from graphkit.tasks import Dims
from graphkit.train import TrainConfig, evaluate, fit

OUT = Path(__file__).parent / "measured" / "graph_mamba.json"


def along(batch: Any) -> Tensor:
    """The place of each node in its chain: chains are numbered from end to end."""
    places: Tensor = torch.arange(batch.num_nodes) - batch.ptr[batch.batch]
    return places


def against(batch: Any) -> Tensor:
    """The same from the other end."""
    return -along(batch)


mamba = partial(GraphMamba, hidden_channels=32)
VARIANTS: dict[str, Callable[[Dims], nn.Module]] = {
    "graph-mamba": partial(mamba, num_layers=2, scan=Scan(order=along)),
    "graph-mamba-one-way": partial(mamba, num_layers=2, scan=Scan(along, both_ways=False)),
    "graph-mamba-wrong-way": partial(mamba, num_layers=2, scan=Scan(against, both_ways=False)),
    "graph-mamba-degree": partial(mamba, num_layers=2),
    "graph-mamba-random": partial(mamba, num_layers=2, scan=Scan(order="random")),
    "gcn": partial(FramedGCN, hidden_channels=32, num_layers=6),
}


def carried_out(problem_name: str, variant: str, seed: int, epochs: int) -> dict[str, Any]:
    """One run: seeded, fitted on the blind problem, scored once."""
    problem = replace(load_problem(problem_name), seed=seed)
    torch.manual_seed(seed)
    start = time.process_time()
    config = TrainConfig(epochs=epochs, lr=3e-3, optimizer="adamw", clip_norm=1.0)
    fitted = fit(VARIANTS[variant](problem.dims), problem.blind(), config)
    return {
        "problem": problem_name,
        "variant": variant,
        "seed": seed,
        "epochs": epochs,
        "best_epoch": int(fitted.val["epoch"]),
        "test": evaluate(fitted.model, problem, "test")["accuracy"],
        "cpu_seconds": time.process_time() - start,
        "host": describe_host("cpu"),
    }


def main(
    *,
    problem: str = "chain-copy/length-64",
    variants: tuple[str, ...] = tuple(VARIANTS),
    seeds: tuple[int, ...] = (0,),
    epochs: int = 40,
    threads: int = 1,
    output: Path = OUT,
) -> None:
    """Carries out what is not in the file yet, run by run.

    Args:
        problem: Name from the catalogue.
        variants: Which networks.
        seeds: Seeds of each.
        epochs: Passes over the training chains.
        threads: Threads.
        output: File the runs are written to.
    """
    torch.set_num_threads(threads)
    runs: list[dict[str, Any]] = []
    if output.is_file():
        runs = json.loads(output.read_text())["runs"]
    for seed in seeds:
        for variant in variants:
            key = (problem, variant, seed, epochs)
            if any((r["problem"], r["variant"], r["seed"], r["epochs"]) == key for r in runs):
                continue
            runs.append(carried_out(problem, variant, seed, epochs))
            told = {
                "what": "accuracy at the last node of a chain, asked for the symbol of the first",
                "command": "python benchmarks/graph_mamba.py",
                "runs": runs,
            }
            write_whole(output, (json.dumps(told, indent=1) + "\n").encode())
            print({k: v for k, v in runs[-1].items() if k != "host"}, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
