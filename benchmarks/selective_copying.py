"""Selective copying: whether a scan whose tokens choose its steps keeps what it must and no more.

    python benchmarks/selective_copying.py
    python benchmarks/selective_copying.py --seeds 0 1

Sequences of 256 tokens over a vocabulary of 16: 8 tokens (of 14 kinds) lie among noise at random
places, and 8 marks at the end ask for them in their order. ``selective`` is two Mamba blocks of
width 64; ``constant`` is the same with one step size, B and C for all tokens, learned: a linear
system that is the same at every place. All runs go through ``fit``, the epoch is chosen on
validation, the score is accuracy over the asked tokens of the test sequences. Runs in the file are
not repeated; delete their rows to run them again.

Source: Gu and Dao, "Mamba", COLM 2024, section 4.1.1, at a length of 256.
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
from torch_geometric.data import Data

from graphkit.bench.host import describe_host
from graphkit.data import Graphs, Split
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.files import write_whole
from graphkit.models.base import Model
from graphkit.nn.mamba_block import MambaBlock
from graphkit.seeds import stream
from graphkit.tasks import Dims, NodesOfGraphs
from graphkit.train import TrainConfig, evaluate, fit

OUT = Path(__file__).parent / "measured" / "selective_copying.json"
LENGTH, ASKED, VOCABULARY = 256, 8, 16
NOISE, MARK, KINDS = 0, VOCABULARY - 1, VOCABULARY - 2
PARTS = (6_000, 500, 500)
CONFIG = TrainConfig(epochs=12, lr=2e-3, optimizer="adamw", clip_norm=1.0, batching=Graphs(32))


def sequences() -> Problem:
    """Draws all sequences; a token is a node, its place is its number."""
    draw, count, before = stream(0, "selective-copying"), sum(PARTS), LENGTH - ASKED
    places = torch.rand(count, before, generator=draw).argsort(dim=1)[:, :ASKED].sort(dim=1).values
    kinds = torch.randint(KINDS, (count, ASKED), generator=draw)
    x = torch.full((count, LENGTH), NOISE).scatter_(1, places, kinds + 1)
    x[:, before:] = MARK
    y = torch.full((count, LENGTH), -1)
    y[:, before:] = kinds
    none = torch.empty(2, 0, dtype=torch.long)
    rows = zip(x.unbind(), y.unbind(), strict=True)
    graphs = [Data(x=a[:, None], y=b, edge_index=none, num_nodes=LENGTH) for a, b in rows]
    return Problem(
        name="selective-copying/256",
        data=GraphSet.of(graphs),
        split=Split(*torch.arange(count).split(list(PARTS))),
        task=NodesOfGraphs(
            measures=("accuracy",), num_classes=KINDS, batch_means=(), balanced=False
        ),
        dims=Dims(in_channels=0, out_channels=KINDS, node_symbols=(VOCABULARY,)),
        batching=Graphs(100),
    )


class Alike(nn.Module):
    """A linear map of one learned token in the place of each token."""

    def __init__(self, inside: nn.Linear) -> None:
        super().__init__()
        self.inside = inside
        self.token = nn.Parameter(torch.randn(inside.in_features))

    def forward(self, u: Tensor) -> Tensor:
        """``(..., in_channels)`` -> ``(..., out_channels)``, the same row everywhere."""
        return self.inside(self.token).expand(*u.shape[:-1], -1)


class Reader(Model):
    """Embedding, Mamba blocks behind a norm each with a residual, norm, linear map."""

    def __init__(self, dims: Dims, *, selective: bool = True, channels: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, channels)
        blocks = [MambaBlock(channels) for _ in range(2)]
        if not selective:
            for block in blocks:
                block.ssm.x_proj = Alike(block.ssm.x_proj)  # type: ignore[assignment]
        self.blocks = nn.ModuleList(blocks)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.out = nn.Linear(channels, dims.out_channels)

    def forward(self, batch: Any) -> Tensor:
        """``x`` of shape (tokens, 1) -> scores (tokens, classes)."""
        h = self.embedding(batch.x[:, 0])
        for norm, block in zip(self.norms, self.blocks, strict=False):
            h = h + block(norm(h), ptr=batch.ptr)
        return self.out(self.norms[-1](h))


VARIANTS: dict[str, Callable[[Dims], nn.Module]] = {
    "selective": Reader,
    "constant": partial(Reader, selective=False),
}


def carried_out(problem: Problem, variant: str, seed: int, epochs: int) -> dict[str, Any]:
    """One run: seeded, fitted on the blind problem, scored once."""
    problem = replace(problem, seed=seed)
    torch.manual_seed(seed)
    start = time.process_time()
    fitted = fit(VARIANTS[variant](problem.dims), problem.blind(), replace(CONFIG, epochs=epochs))
    return {
        "variant": variant,
        "seed": seed,
        "epochs": epochs,
        "best_epoch": int(fitted.val["epoch"]),
        "by_epoch": [round(row["val_accuracy"], 4) for row in fitted.history],
        "test": evaluate(fitted.model, problem, "test")["accuracy"],
        "cpu_seconds": time.process_time() - start,
        "host": describe_host("cpu"),
    }


def main(
    *,
    variants: tuple[str, ...] = tuple(VARIANTS),
    seeds: tuple[int, ...] = (0, 1),
    epochs: int = CONFIG.epochs,
    threads: int = 1,
    output: Path = OUT,
) -> None:
    """Carries out what is not in the file yet, run by run.

    Args:
        variants: Which networks.
        seeds: Seeds of each.
        epochs: Passes over the training sequences.
        threads: Threads.
        output: File the runs are written to.
    """
    torch.set_num_threads(threads)
    problem = sequences()
    runs: list[dict[str, Any]] = []
    if output.is_file():
        runs = json.loads(output.read_text())["runs"]
    for seed in seeds:
        for variant in variants:
            key = (variant, seed, epochs)
            if any((run["variant"], run["seed"], run["epochs"]) == key for run in runs):
                continue
            runs.append(carried_out(problem, variant, seed, epochs))
            told = {
                "what": "accuracy over the asked tokens, test sequences",
                "command": "python benchmarks/selective_copying.py",
                "runs": runs,
            }
            write_whole(output, (json.dumps(told, indent=1) + "\n").encode())
            print({k: v for k, v in runs[-1].items() if k != "host"}, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
