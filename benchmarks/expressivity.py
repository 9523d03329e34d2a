"""Which models tell look-alike graphs apart before any training: pairs, random weights, one table.

    python benchmarks/expressivity.py

Five draws of the weights for each, double precision. A graph is also held against itself with its
nodes renumbered: what differs there is not due to the graphs. Message passing is the negative
control: it must separate no pair.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from graphkit.bench.host import describe_host
from graphkit.bench.separation import separation
from graphkit.data.sources.look_alikes import look_alikes
from graphkit.models import (
    SPEN,
    FramedGCN,
    FramedGIN,
    GatedGCN,
    GraphMamba,
    GraphMambaHybrid,
    GraphTransformer,
)
from graphkit.models.graph_mamba import Walks
from graphkit.train import ModelFactory

OUT = Path(__file__).parent / "measured" / "expressivity.json"
SEEDS = range(5)
WALKS = Walks(length=6, num_walks=16, num_repeats=2)
MODELS: dict[str, ModelFactory] = {
    "gcn": partial(FramedGCN, readout="mean"),
    "gin": partial(FramedGIN, readout="sum"),
    "gatedgcn": partial(GatedGCN, readout="mean"),
    "graph-transformer": partial(GraphTransformer, num_layers=4, readout="mean"),
    "graph-mamba-hybrid": partial(GraphMambaHybrid, readout="mean"),
    "graph-mamba": partial(GraphMamba, readout="mean"),
    "graph-mamba-walks": partial(GraphMamba, walks=WALKS, readout="mean"),
    "spen-1-hop": partial(SPEN, num_hops=1, readout="mean"),
    "spen-2-hops": partial(SPEN, num_hops=2, readout="mean"),
    "spen-3-hops": partial(SPEN, num_hops=3, readout="mean"),
}


def main() -> None:
    """Prints and stores the table."""
    pairs = look_alikes()
    rows = []
    for name, factory in track(MODELS.items(), "models"):
        for pair, graphs in pairs.items():
            found = separation(factory, graphs, seeds=SEEDS)
            rows.append({
                "model": name,
                "pair": pair,
                "separates": found.separates,
                "invariant": found.invariant,
                "between": found.between,
                "within": found.within,
            })  # fmt: skip
    OUT.write_text(json.dumps({
        "what": "share of random initialisations that tell a pair apart; relative distances",
        "seeds": len(SEEDS),
        "rows": rows,
        "command": "python benchmarks/expressivity.py",
        "host": describe_host("cpu"),
    }, indent=1) + "\n")  # fmt: skip
    table = Table("model", *pairs, "invariant", title="share of draws that separate the pair")
    for name in MODELS:
        mine = [row for row in rows if row["model"] == name]
        table.add_row(
            name,
            *(f"{row['separates']:.1f}" for row in mine),
            "yes" if all(row["invariant"] for row in mine) else "no",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
