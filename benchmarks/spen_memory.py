"""SPEN's memory and time as graphs grow, beside one equivariant network on the whole graph.

Two measurements. Sparse random graphs of mean degree 4 and 100 to 1,600 nodes: SPEN on 1-hop ego
networks beside the same network on one set of all nodes (a global network of order 2), equal in
width and parameters; bytes of the table of pairs, time of a training step, most memory in it. And
one order-2 map at m = 20, d = h = 32: ours beside the stack of all 15 basis maps.

How it is measured: memory is the highest sum of torch's own allocations during one step, counted
by its profiler, with the tables of pairs added to it; time is processor time, the median of the
repeats after one to warm up. The two sides take turns in one process, on one thread.

Run: ``python benchmarks/spen_memory.py``; ``--help`` shows what can be changed. Writes the
numbers and a picture of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib
import torch
import tyro
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphkit.bench.host import describe_host
from graphkit.models.spen import SPEN
from graphkit.nn.subgraph_linear import ByClass, SubgraphLinear
from graphkit.sparse import SparseMatrix
from graphkit.tasks import Dims
from graphkit.transforms.ego_networks import EgoNetworks, EgoSets

RESULTS = Path(__file__).parent / "measured" / "spen_memory.json"
MEAN_DEGREE = 4
QUANTITIES = {"table_bytes": "table of pairs", "step_seconds": "step", "peak_bytes": "peak memory"}


@dataclass(frozen=True)
class Row:
    """One size of graph on one side; ``growth`` is the ratio to half as many nodes."""

    network: str
    nodes: int
    pairs: int
    table_bytes: int
    step_seconds: float
    peak_bytes: int
    growth: dict[str, float] | None


@dataclass(frozen=True)
class Maps:
    """One training step of an order-2 map; ``ratio`` is ours over the stack's."""

    sets: int
    nodes: int
    channels: int
    fused_bytes: int
    stack_bytes: int
    ratio: float
    fused_seconds: float
    stack_seconds: float


def sparse_graph(nodes: int) -> Data:
    """Edges between nodes drawn at random."""
    draw = torch.Generator().manual_seed(nodes)
    half = torch.randint(nodes, (2, nodes * MEAN_DEGREE // 2), generator=draw)
    return Data(edge_index=to_undirected(half, num_nodes=nodes), num_nodes=nodes)


def whole_graph(graph: Data) -> EgoSets:
    """One set of all nodes."""
    nodes = int(graph.num_nodes or 0)
    everything = torch.arange(nodes)
    return EgoSets.of(
        torch.zeros_like(everything), everything, graph.edge_index, num_sets=1, num_nodes=nodes
    )


def num_bytes(sets: EgoSets) -> int:
    """Bytes of all index tables; two matrices that share their places count them once."""
    tensors: list[Tensor] = []
    for field in dataclasses.fields(sets):
        value = getattr(sets, field.name)
        if isinstance(value, SparseMatrix):
            tensors.append(value.order)
            for csr in (value.forward_csr, value.backward_csr):
                tensors += [csr.crow_indices(), csr.col_indices(), csr.values()]
        elif isinstance(value, Tensor):
            tensors.append(value)
    return sum({one.data_ptr(): one.nbytes for one in tensors if one.numel()}.values())


def peak_bytes(work: Callable[[], object]) -> int:
    """The highest sum of what torch holds at once for the work."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    results = seen.profiler.kineto_results  # the summed events of the public call lack some
    held = highest = 0
    for event in results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Processor time, the median after one to warm up."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def measure(
    network: str, graph: Data, settings: dict[str, int], repeats: int, half: Row | None
) -> Row:
    """Trains one step on one graph."""
    torch.manual_seed(0)
    batch = graph.clone()
    if network == "ego networks":
        batch = EgoNetworks()(batch)
    else:
        batch.egos = whole_graph(graph)
    model = SPEN(Dims(0, 2), readout="mean", share="all", dropout=0.0, **settings).train()
    batch.batch = torch.zeros(int(graph.num_nodes or 0), dtype=torch.long)
    batch.num_graphs = 1

    def step() -> None:
        model.zero_grad()
        model(batch).square().sum().backward()

    seconds = median_seconds(step, repeats)
    table = num_bytes(batch.egos)
    found = {
        "table_bytes": table,
        "step_seconds": seconds,
        "peak_bytes": table + peak_bytes(step),
    }
    growth = None
    if half is not None:
        growth = {name: found[name] / getattr(half, name) for name in found}
    nodes, pairs = int(graph.num_nodes or 0), batch.egos.pair_index.shape[1]
    return Row(network, nodes, pairs, growth=growth, **found)


def by_stack(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """All 15 basis maps of (sets, m, m, d), stacked and weighed by (15, d, h)."""
    m = x.shape[1]
    eye = torch.eye(m)[None, :, :, None]
    diagonal = x.diagonal(dim1=1, dim2=2).transpose(1, 2)
    vectors = [diagonal, x.mean(2), x.mean(1)]
    scalars = [diagonal.mean(1), x.mean((1, 2))]
    along_rows = [v[:, :, None].expand_as(x) for v in vectors]
    along_columns = [v[:, None].expand_as(x) for v in vectors]
    everywhere = [s[:, None, None].expand_as(x) for s in scalars]
    maps = [x, x.transpose(1, 2), *along_rows, *along_columns, *everywhere]
    maps += [eye * one for one in (*along_rows, *everywhere)]
    return torch.einsum("tbijd,tdh->bijh", torch.stack(maps), weight) + bias


def compare_maps(sets: int, nodes: int, channels: int, repeats: int) -> Maps:
    """One step of the same map both ways."""
    torch.manual_seed(0)
    member = torch.arange(sets * nodes)
    egos = EgoSets.of(
        member // nodes, member, torch.empty(2, 0, dtype=torch.long),
        num_sets=sets, num_nodes=sets * nodes,
    )  # fmt: skip
    layer = SubgraphLinear({2: channels}, {2: channels})
    by_class = ByClass.of(egos, torch.zeros(nodes + 1, dtype=torch.long))
    x = torch.randn(sets, nodes, nodes, channels)
    weight = torch.randn(15, channels, channels).requires_grad_()
    bias = torch.zeros(channels).requires_grad_()

    def fused() -> None:
        pairs = x.clone().requires_grad_()
        layer({2: pairs.flatten(0, 2)}, egos, by_class)[2].square().sum().backward()

    def stack() -> None:
        by_stack(x.clone().requires_grad_(), weight, bias).square().sum().backward()

    ours, theirs = peak_bytes(fused) + num_bytes(egos), peak_bytes(stack)
    return Maps(
        sets=sets,
        nodes=nodes,
        channels=channels,
        fused_bytes=ours,
        stack_bytes=theirs,
        ratio=ours / theirs,
        fused_seconds=median_seconds(fused, repeats),
        stack_seconds=median_seconds(stack, repeats),
    )


def table(rows: list[Row]) -> Table:
    """Lays the sizes out; growth per doubling in brackets."""
    out = Table(title="A training step as the graph grows (ratio to half as many nodes)")
    for heading in ("network", "nodes", "pairs", "table, MB", "step, ms", "peak, MB"):
        out.add_column(heading, justify="left" if heading == "network" else "right")
    for row in rows:
        cells = []
        for name, unit in (("table_bytes", 1e6), ("step_seconds", 1e-3), ("peak_bytes", 1e6)):
            ratio = f" ({row.growth[name]:.2f})" if row.growth else ""
            cells.append(f"{getattr(row, name) / unit:.2f}{ratio}")
        out.add_row(row.network, str(row.nodes), str(row.pairs), *cells)
    return out


def draw(rows: list[Row], path: Path) -> None:
    """Draws the three quantities over the number of nodes, both axes logarithmic."""
    units = {"table_bytes": ("MB", 1e6), "step_seconds": ("s", 1.0), "peak_bytes": ("MB", 1e6)}
    with matplotlib.rc_context({"svg.hashsalt": "graphkit", "svg.fonttype": "none"}):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        for axes, (name, title) in zip(figure.subplots(1, 3), QUANTITIES.items(), strict=True):
            unit, scale = units[name]
            for network, marker in (("ego networks", "o"), ("whole graph", "s")):
                own = [row for row in rows if row.network == network]
                axes.loglog(
                    [row.nodes for row in own],
                    [getattr(row, name) / scale for row in own],
                    marker=marker,
                    label=network,
                )
            nodes = sorted({row.nodes for row in rows})
            axes.set_xticks(nodes, [str(n) for n in nodes])
            axes.minorticks_off()
            axes.set(title=f"{title}, {unit}", xlabel="nodes")
            axes.grid(alpha=0.3)
        axes.legend()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(path, metadata=nothing)


def main(
    sizes: tuple[int, ...] = (100, 200, 400, 800, 1600),
    hidden_channels: int = 8,
    num_layers: int = 3,
    repeats: int = 3,
    output: Path = RESULTS,
) -> None:
    """Measures both, prints and writes what came out.

    Args:
        sizes: Nodes of the graphs, each twice the one before.
        hidden_channels: Width of both networks.
        num_layers: Layers of both networks.
        repeats: Steps timed.
        output: File of the numbers; the picture lies beside it.
    """
    torch.set_num_threads(1)
    settings = {"hidden_channels": hidden_channels, "num_layers": num_layers}
    rows: list[Row] = []
    for nodes in sizes:
        graph = sparse_graph(nodes)
        for network in ("ego networks", "whole graph"):
            before = [row for row in rows if row.network == network and 2 * row.nodes == nodes]
            rows.append(measure(network, graph, settings, repeats, before[0] if before else None))
    maps = compare_maps(sets=32, nodes=20, channels=32, repeats=repeats)
    console = Console()
    console.print(table(rows))
    console.print(
        f"one map, m = {maps.nodes}, d = h = {maps.channels}: {maps.fused_bytes / 1e6:.1f} MB "
        f"against {maps.stack_bytes / 1e6:.1f} MB of the stack ({maps.ratio:.3f}), "
        f"{maps.fused_seconds * 1e3:.0f} against {maps.stack_seconds * 1e3:.0f} ms"
    )
    record = {
        "what": "training steps of SPEN on 1-hop ego networks and on the whole graph; one map",
        "settings": settings | {"mean_degree": MEAN_DEGREE, "repeats": repeats, "threads": 1},
        "sizes": [asdict(row) for row in rows],
        "maps": asdict(maps),
        "command": "python benchmarks/spen_memory.py",
        "host": describe_host("cpu"),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    draw(rows, output.with_suffix(".svg"))
    draft = output.with_name(f"{output.name}.tmp-{os.getpid()}")
    draft.write_text(json.dumps(record, indent=2) + "\n")
    draft.replace(output)


if __name__ == "__main__":
    tyro.cli(main)
