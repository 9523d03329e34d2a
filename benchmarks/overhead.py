"""What the loop costs over a bare one, and the runner over the loop: time per epoch, one process.

    python benchmarks/overhead.py

All train the same GCN on Cora with the same data and score validation accuracy and loss after
every epoch; the runner also saves its state, reports progress and writes a record. Runs alternate;
the medians of all epochs are compared. Needs GRAPHKIT_DATA.
"""

from __future__ import annotations

import copy
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import graphkit
from graphkit.bench.host import describe_host
from graphkit.bench.run import Loader
from graphkit.models import GCN
from graphkit.train import TrainConfig, fit

OUT = Path(__file__).parent / "measured" / "overhead.json"
EPOCHS, ROUNDS = 200, 15


def bare(model: GCN, batch: object, val: torch.Tensor) -> list[float]:
    """The 20 lines everybody writes: a step, a validation, a copy of the best weights."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    train, y = batch.seeds, batch.y
    best, seconds = 0.0, []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch)[train], y[train])
        loss.backward()
        optimizer.step()
        loss.item()
        model.eval()
        with torch.no_grad():
            answers = model(batch)[val]
        accuracy = (answers.argmax(dim=-1) == y[val]).float().mean().item()
        F.cross_entropy(answers, y[val]).item()
        if accuracy > best:
            best, kept = accuracy, copy.deepcopy(model.state_dict())
        seconds.append(time.perf_counter() - start)
    model.load_state_dict(kept)
    return seconds


def main() -> None:
    """Alternates both loops, prints and stores the medians and their ratio."""
    torch.set_num_threads(1)
    problem = graphkit.load_problem("cora/public").blind()
    [batch] = problem.batches("train", GCN(problem.dims))
    ours: list[float] = []
    theirs: list[float] = []
    ratios, runner_ratios, runs = [], [], []
    loader = Loader()
    for seed in range(ROUNDS):
        torch.manual_seed(seed)
        one = bare(GCN(problem.dims), batch, problem.split.val)
        torch.manual_seed(seed)
        config = TrainConfig(epochs=EPOCHS, lr=0.01, weight_decay=5e-4)
        two = fit(GCN(problem.dims), problem, config).seconds
        with tempfile.TemporaryDirectory() as folder:
            experiment = graphkit.Experiment("gcn", "cora/public", graphkit.Supervised(GCN, config))
            record = graphkit.run(
                experiment, seed, loader=loader, state=Path(folder), on_epoch=lambda row: None
            )
        three = record["cost"]["seconds_per_epoch"]
        theirs += one[5:]
        ours += two[5:]
        runs.append(three)
        ratios.append(statistics.median(two[5:]) / statistics.median(one[5:]))
        runner_ratios.append(three / statistics.median(two[5:]))
    result = {
        "what": "median time per epoch, GCN (width 64) on Cora, training step and validation",
        "epochs": EPOCHS,
        "rounds": ROUNDS,
        "bare_seconds": statistics.median(theirs),
        "graphkit_seconds": statistics.median(ours),
        "ratio": statistics.median(ratios),
        "ratio_by_round": [round(ratio, 3) for ratio in ratios],
        "runner_seconds": statistics.median(runs),
        "runner_over_loop": statistics.median(runner_ratios),
        "command": "python benchmarks/overhead.py",
        "host": describe_host("cpu"),
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    print(f"bare {result['bare_seconds'] * 1e3:.3f} ms   graphkit "
          f"{result['graphkit_seconds'] * 1e3:.3f} ms   ratio {result['ratio']:.3f}   "
          f"runner over loop {result['runner_over_loop']:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
