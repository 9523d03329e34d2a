"""Time per epoch where users feel it: full-batch training against PyG's plain example code.

    python benchmarks/speed.py

PyG's side is what its examples do: ``edge_index`` as it comes, default settings of the
convolutions, dense features, a training step and a full evaluation per epoch. Ours is ``fit`` with
the model of the same widths. Both alternate in one process with the same threads; the ratio is of
medians of epochs, and the test accuracy of both at their best validation epoch stands beside it.
PubMed needs GRAPHKIT_DATA.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, SAGEConv
from torch_geometric.utils import to_undirected

import graphkit
from graphkit.bench.host import describe_host
from graphkit.data.problem import Problem
from graphkit.models import GAT, GCN, GraphSAGE
from graphkit.train import TrainConfig, evaluate, fit

OUT = Path(__file__).parent / "measured" / "full_batch.json"


class Plain(nn.Module):
    """Two convolutions with dropout before each, as in PyG's examples."""

    def __init__(self, first: nn.Module, second: nn.Module, act: Callable, p: float, q: float):
        super().__init__()
        self.first, self.second, self.act, self.p, self.q = first, second, act, p, q

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Class scores of every node."""
        x = F.dropout(x, self.p, training=self.training)
        x = self.act(self.first(x, edge_index))
        x = F.dropout(x, self.q, training=self.training)
        return self.second(x, edge_index)


def plain_epochs(
    model: nn.Module, problem: Problem, edge_index: Tensor, epochs: int, lr: float, decay: float
) -> tuple[list[float], float]:
    """Seconds of each epoch, and the test accuracy at the best validation epoch."""
    x, y, split = problem.data.x, problem.data.y, problem.split
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=decay)
    seconds, best, test = [], 0.0, 0.0
    for _ in range(epochs):
        start = time.perf_counter()
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x, edge_index)[split.train], y[split.train])
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            answers = model(x, edge_index).argmax(dim=-1)
        val, found = (
            (answers[part] == y[part]).float().mean().item() for part in (split.val, split.test)
        )
        if val > best:
            best, test = val, found
        seconds.append(time.perf_counter() - start)
    return seconds, test


def cases(name: str, problem: Problem) -> dict[str, tuple[Callable, Callable, float, float]]:
    """For each model: PyG's, ours, learning rate, weight decay."""
    f, c = problem.dims.in_channels, problem.dims.out_channels
    wide = 64
    drop = 0.5 if name == "pubmed/public" else 0.0  # dense dropout on debian-deps helps nobody
    found = {
        "gcn": (
            lambda: Plain(GCNConv(f, wide), GCNConv(wide, c), F.relu, drop, 0.5),
            partial(GCN, hidden_channels=wide, input_dropout=drop), 0.01, 5e-4,
        ),
        "graphsage": (
            lambda: Plain(SAGEConv(f, wide), SAGEConv(wide, c), F.relu, drop, 0.5),
            partial(GraphSAGE, hidden_channels=wide, input_dropout=drop), 0.01, 5e-4,
        ),
    }  # fmt: skip
    if name == "pubmed/public":
        found["gat"] = (
            lambda: Plain(
                GATConv(f, 8, heads=8, dropout=0.6),
                GATConv(64, c, heads=8, concat=False, dropout=0.6), F.elu, 0.6, 0.6,
            ),
            partial(GAT, hidden_channels=8, heads=8, out_heads=8), 0.01, 1e-3,
        )  # fmt: skip
    return found


def main(*, epochs: int = 20, rounds: int = 3, train_epochs: int = 100, threads: int = 2) -> None:
    """Alternates both sides, prints the table and stores it.

    Args:
        epochs: Epochs of a timed stretch.
        rounds: Stretches of each side, in turn.
        train_epochs: Epochs of the run whose accuracy is shown; 0 leaves it out.
        threads: Threads of both sides.
    """
    torch.set_num_threads(threads)
    rows = []
    for name in ("pubmed/public", "debian-deps/source"):
        problem = graphkit.load_problem(name)
        edges = to_undirected(problem.data.edge_index, num_nodes=problem.num_items)
        edges = edges[:, torch.randperm(edges.shape[1])]  # an edge list in no special order
        for model, (theirs, ours, lr, decay) in cases(name, problem).items():
            plain: list[float] = []
            own: list[float] = []
            for seed in range(rounds):
                torch.manual_seed(seed)
                plain += plain_epochs(theirs(), problem, edges, epochs, lr, decay)[0][2:]
                torch.manual_seed(seed)
                config = TrainConfig(epochs=epochs, lr=lr, weight_decay=decay)
                own += fit(ours(problem.dims), problem.blind(), config).seconds[2:]
            row = {
                "problem": name,
                "model": model,
                "pyg_seconds": statistics.median(plain),
                "graphkit_seconds": statistics.median(own),
                "ratio": statistics.median(own) / statistics.median(plain),
            }
            if train_epochs:
                torch.manual_seed(0)
                row["pyg_test"] = plain_epochs(theirs(), problem, edges, train_epochs, lr, decay)[1]
                torch.manual_seed(0)
                config = TrainConfig(epochs=train_epochs, lr=lr, weight_decay=decay)
                fitted = fit(ours(problem.dims), problem.blind(), config)
                row["graphkit_test"] = evaluate(fitted.model, problem, "test")["accuracy"]
            rows.append(row)
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    told = {
        "what": "median seconds per full-batch epoch, training step and evaluation",
        "command": "python benchmarks/speed.py",
        "epochs": epochs, "rounds": rounds, "train_epochs": train_epochs, "threads": threads,
        "rows": rows, "host": describe_host("cpu"),
    }  # fmt: skip
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
