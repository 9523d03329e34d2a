"""What SPEN promises: equivariance, which graphs it separates, classes for any size."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.data.graphs import GraphSet
from graphkit.errors import DataError, SettingError
from graphkit.models.spen import SPEN, _first_sizes
from graphkit.tasks import Dims
from tests import tiny


def labelled(nodes: int, draw: int) -> Data:
    """A random graph with a label on each node."""
    graph = nx.gnm_random_graph(nodes, int(1.3 * nodes), seed=draw)
    source = torch.Generator().manual_seed(draw)
    x = torch.nn.functional.one_hot(torch.randint(4, (nodes,), generator=source), 4)
    return Data(x=x.double(), edge_index=tiny.both_ways(*graph.edges), num_nodes=nodes)


def unlabelled(graph: nx.Graph) -> Data:
    graph = nx.convert_node_labels_to_integers(graph)
    nodes = graph.number_of_nodes()
    x = torch.ones(nodes, 1, dtype=torch.float64)
    return Data(x=x, edge_index=tiny.both_ways(*graph.edges), num_nodes=nodes)


def renamed(graph: Data, new: Tensor) -> Data:
    return Data(
        x=graph.x[new.argsort()], edge_index=new[graph.edge_index], num_nodes=graph.num_nodes
    )


def answers(model: SPEN, graphs: list[Data]) -> Tensor:
    kind = next(model.parameters()).dtype
    batch = GraphSet.of(graphs).batch(torch.arange(len(graphs)))
    batch.x = batch.x.to(kind)
    with torch.no_grad():
        out: Tensor = model.eval()(model.transform(batch))
    return out


def spen(dims: Dims, **settings: Any) -> SPEN:
    torch.manual_seed(0)
    return SPEN(dims, **{"hidden_channels": 8, "num_layers": 3, **settings})


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize(("kind", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("readout", ["mean", None])
def test_renaming_the_nodes(hops: int, kind: torch.dtype, bound: float, readout: Any) -> None:
    """Four graphs of 5 to 30 nodes in a batch; error relative to the largest answer."""
    graphs = [labelled(nodes, draw) for draw, nodes in enumerate((5, 11, 19, 30))]
    orders = [torch.randperm(int(g.num_nodes or 0), generator=torch.Generator().manual_seed(9))
              for g in graphs]  # fmt: skip
    model = spen(Dims(4, 3), num_hops=hops, readout=readout).to(kind)
    expected = answers(model, graphs)
    found = answers(model, [renamed(g, o) for g, o in zip(graphs, orders, strict=True)])
    if readout is None:
        start = torch.tensor([0, 5, 16, 35])
        place = torch.cat([o + s for o, s in zip(orders, start, strict=True)])
        found = found[place]
    assert expected.std(dim=0).min() > 1e-3
    assert float((found - expected).abs().max() / expected.abs().max()) <= bound


def cycles(*sizes: int) -> nx.Graph:
    return nx.disjoint_union_all([nx.cycle_graph(size) for size in sizes])


def bridged(graph: nx.Graph) -> nx.Graph:
    graph.add_edge(0, 5)
    return graph


def shrikhande() -> nx.Graph:
    steps = ((0, 1), (1, 0), (1, 1))
    return nx.Graph(
        ((i, j), ((i + a) % 4, (j + b) % 4)) for i in range(4) for j in range(4) for a, b in steps
    )


PAIRS = {
    "hexagon / two triangles": (cycles(6), cycles(3, 3)),
    "octagon / two squares": (cycles(8), cycles(4, 4)),
    "decalin / bicyclopentyl": (bridged(cycles(10)), bridged(cycles(5, 5))),
    "K(3,3) / prism": (nx.complete_bipartite_graph(3, 3), nx.circular_ladder_graph(3)),
    "rook / Shrikhande": (nx.line_graph(nx.complete_bipartite_graph(4, 4)), shrikhande()),
}
SEPARATED = {
    "hexagon / two triangles": (True, True, True),
    "octagon / two squares": (False, True, True),
    "decalin / bicyclopentyl": (False, True, True),
    "K(3,3) / prism": (True, False, False),
    "rook / Shrikhande": (False, False, False),
}


class Through(nn.Module):
    """In place of a normalisation."""

    def forward(self, x: Tensor, graph: Tensor, graphs: int) -> Tensor:
        return x


def differences(graphs: tuple[nx.Graph, nx.Graph], hops: int, layers: int, norm: bool) -> float:
    """The largest relative difference of the two answers over three draws of weights."""
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        model = SPEN(
            Dims(1, 8), hidden_channels=8, num_layers=layers, num_hops=hops, max_classes=16,
            readout="mean",
        ).double()  # fmt: skip
        if not norm:
            model.pair_norms = nn.ModuleList(Through() for _ in model.pair_norms)
            model.node_norms = nn.ModuleList(Through() for _ in model.node_norms)
        first, second = answers(model, [unlabelled(graph) for graph in graphs])
        found.append(float((first - second).norm() / max(first.norm(), second.norm())))
    return max(found)


@pytest.mark.parametrize("layers", [2, 5])
@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("name", PAIRS)
def test_separates_what_orders_up_to_two_can(name: str, hops: int, layers: int) -> None:
    """Maps and means alone; all pairs are equal to 1-WL, "not separated" is a control."""
    difference = differences(PAIRS[name], hops, layers, norm=False)
    if SEPARATED[name][hops - 1]:
        assert difference > 1e-2
    else:
        assert difference < 1e-9


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("name", PAIRS)
def test_the_norm_adds_the_number_of_pairs(name: str, hops: int) -> None:
    """An octagon has 40 pairs in ego networks, two squares have 32: opposite corners of a square
    are in two. The norm counts each once and so tells them apart; all else is as without."""
    difference = differences(PAIRS[name], hops, 3, norm=True)
    if SEPARATED[name][hops - 1] or (name.startswith("octagon") and hops == 1):
        assert difference > 1e-2
    else:
        assert difference < 1e-9


def test_sizes_of_a_class() -> None:
    def first(share: Any, classes: int) -> list[int]:
        return spen(Dims(0, 1), share=share, max_classes=classes).classes(30).tolist()

    assert first("size", 4) == [0, 0, 1, 2, *[3] * 27]
    assert first("all", 4) == [0] * 31
    expected = [0] + [0, 1, 2, 3] + [4] * 2 + [5] * 2 + [6] * 4 + [7] * 4 + [8] * 8 + [9] * 6
    assert first("bucket", 12) == expected
    assert first("bucket", 3) == [0, 0, 1, *[2] * 28]
    assert first("bucket", 1) == [0] * 31


def test_sharing_saves_parameters() -> None:
    """Each class has one set of all weights of the layers."""

    def of_layers(**settings: Any) -> int:
        model = spen(Dims(3, 2), **settings)
        return sum(p.numel() for m in (*model.layers, model.last) for p in m.parameters())

    one = of_layers(share="all")
    assert of_layers(max_classes=5) == of_layers(share="bucket", max_classes=5) == 5 * one
    # 2 -> (2, 1), (2, 1) -> (2, 1), (2, 1) -> 1; reading 1 + h, h and 2h wide; 3 biases each
    h = 8
    maps = 20 * (1 + h) * h + (20 + 7) * h * h + (5 + 2) * 2 * h * h
    assert one == maps + 3 * h + 2 * 3 * h + 2 * h


def test_an_unseen_size_is_given_the_nearest_class() -> None:
    problem = tiny.graph_problem()
    model = spen(Dims(3, 2), max_classes=16, readout="mean").train()
    star = Data(
        x=torch.ones(12, 3).double(), edge_index=tiny.both_ways(*((0, i) for i in range(1, 12)))
    )
    assert torch.equal(model.classes(16)[1:], torch.arange(16))
    [batch] = problem.batches("all", model)  # ego networks of 2, 3 and 5 nodes
    model(batch)
    assert model.seen.nonzero().flatten().tolist() == [1, 2, 4]
    assert torch.equal(model.classes(16)[1:], torch.arange(16))  # training goes on
    model.eval()
    assert (model.classes(7) + 1).tolist() == [2, 2, 2, 3, 3, 5, 5, 5]
    before = answers(model, [star])
    with torch.no_grad():
        for layer in (*model.layers, model.last):
            for weight in layer.parameters():
                weight[5:] = float("nan")
    assert torch.equal(answers(model, [star]), before)
    assert bool(torch.isfinite(before).all())


@pytest.mark.parametrize(
    ("share", "readout"),
    [("size", "mean"), ("bucket", "sum"), ("all", "max"), ("size", None), ("all", None)],
)
def test_every_way_of_sharing_and_reading_out_learns(share: Any, readout: Any) -> None:
    problem = tiny.node_problem() if readout is None else tiny.graph_problem()
    model = spen(problem.dims, share=share, readout=readout, dropout=0.0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        [batch] = problem.batches("all", model)
        loss = model.losses(batch, problem.task)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_one_layer_alone() -> None:
    out = answers(spen(Dims(4, 3), num_layers=1, readout="mean"), [labelled(6, 0), labelled(9, 1)])
    assert out.shape == (2, 3)
    assert bool((out[0] != out[1]).all())


def test_a_star_of_500_leaves() -> None:
    """One hop fits; two hops are refused with the bytes they would take."""
    star = Data(edge_index=tiny.both_ways(*((0, leaf) for leaf in range(1, 501))), num_nodes=501)
    batch = GraphSet.of([star, Data(edge_index=torch.empty(2, 0).long(), num_nodes=1)])
    model = spen(Dims(0, 2), num_layers=2, readout="mean").train()
    out = model(model.transform(batch.batch(torch.arange(2))))
    out.sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)
    model = spen(Dims(0, 2), num_hops=2, readout="mean")
    with pytest.raises(DataError, match=r"2 hops need 125,751,502 pairs, 5,030,060,080 bytes"):
        model.transform(batch.batch(torch.arange(2)))
    model = spen(Dims(0, 2), max_pairs=1000, readout="mean")
    with pytest.raises(DataError, match="max_pairs=1,000"):
        model.transform(batch.batch(torch.arange(2)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 0}, "num_layers=0"),
        ({"max_classes": 0}, "max_classes=0"),
        ({"num_hops": 0}, "num_hops=0"),
    ],
)
def test_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        spen(Dims(3, 2), **settings)


def test_an_unknown_way_of_sharing() -> None:
    with pytest.raises(SettingError, match="share='sizes'; expected 'size', 'bucket' or 'all'"):
        _first_sizes("sizes", 3)
