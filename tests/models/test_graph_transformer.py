"""What the paper promises: totals, equivariance, free signs, and how far attention reaches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.bench.budget import count_parameters
from graphkit.data import Graphs, Split
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources.synthetic import cluster_graphs, pattern_graphs
from graphkit.errors import DataError, SettingError
from graphkit.models.graph_transformer import (
    FullGraphTransformer,
    GraphTransformer,
    WalkGraphTransformer,
    WLGraphTransformer,
)
from graphkit.tasks import Dims, GraphRegression, NodesOfGraphs
from graphkit.train import describe, predict
from graphkit.transforms.encodings import WLPE

ZINC = Dims(1, 1, edge_channels=1, node_symbols=(28,), edge_symbols=(4,))
CLUSTER = Dims(1, 6, node_symbols=(7,))
PATTERN = Dims(1, 2, node_symbols=(3,))


@pytest.mark.parametrize(
    ("kind", "dims", "width", "encoding", "total"),
    [
        (GraphTransformer, ZINC, 64, 0, 588_353),
        (GraphTransformer, ZINC, 64, 8, 588_929),
        (WLGraphTransformer, ZINC, 64, 37, 590_721),
        (GraphTransformer, CLUSTER, 80, 0, 523_146),
        (GraphTransformer, CLUSTER, 80, 10, 524_026),
        (WLGraphTransformer, CLUSTER, 80, 100, 531_146),
        (GraphTransformer, PATTERN, 80, 0, 522_742),
        (GraphTransformer, PATTERN, 80, 2, 522_982),
        (WLGraphTransformer, PATTERN, 80, 100, 530_742),
        (FullGraphTransformer, PATTERN, 80, 2, 522_982),
    ],
)
def test_parameter_totals_of_the_paper(
    kind: type[GraphTransformer], dims: Dims, width: int, encoding: int, total: int
) -> None:
    with torch.device("meta"):
        assert count_parameters(kind(dims, hidden_channels=width, encoding=encoding)) == total


MOLECULES = Dims(0, 1, node_symbols=(5,), edge_symbols=(3,))


def molecules(count: int = 8) -> GraphSet:
    """Random graphs of 1 to 9 nodes with types of nodes and edges; one has no edge."""
    draw, graphs = torch.Generator().manual_seed(0), []
    for number in range(count):
        nodes = 1 + (5 * number) % 9
        edges = torch.randint(nodes, (2, 3 * nodes if number else 0), generator=draw)
        graphs.append(
            Data(
                x=torch.randint(5, (nodes, 1), generator=draw),
                edge_index=edges,
                edge_attr=torch.randint(3, (edges.shape[1],), generator=draw),
                y=torch.rand(1, generator=draw),
                num_nodes=nodes,
            )
        )
    return GraphSet.of(graphs)


def problem(size: int = 8, data: GraphSet | None = None) -> Problem:
    items = torch.arange(8)
    return Problem(
        name="molecules/made",
        data=data if data is not None else molecules(),
        split=Split(items[:4], items[4:6], items[6:]),
        task=GraphRegression(),
        dims=MOLECULES,
        batching=Graphs(size),
    )


def small(kind: type[GraphTransformer] = GraphTransformer, **changed: object) -> GraphTransformer:
    torch.manual_seed(1)
    settings = {"hidden_channels": 16, "num_layers": 3, "heads": 4, "readout": "mean"} | changed
    model = kind(MOLECULES, **settings)  # type: ignore[arg-type]
    model.train()
    for batch in problem().batches("all", model):
        model(batch)  # so that the statistics of the normalisation are not those of a fresh one
    return model.eval()


SETTINGS = [
    (GraphTransformer, {}),
    (GraphTransformer, {"encoding": 4}),
    (GraphTransformer, {"encoding": 4, "norm": None}),
    (WalkGraphTransformer, {"encoding": 3}),
    (WLGraphTransformer, {"encoding": 9, "norm": "layer"}),
    (FullGraphTransformer, {"encoding": 4}),
]


@pytest.mark.parametrize(("kind", "changed"), SETTINGS)
def test_a_batch_of_eight_is_eight_graphs(kind: type[GraphTransformer], changed: dict) -> None:
    model = small(kind, **changed)
    together, alone = predict(model, problem(8)), predict(model, problem(1))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert together.shape == (8, 1)
    assert float(together.std()) > 1e-3


@pytest.mark.parametrize(("kind", "changed"), SETTINGS)
def test_evaluation_draws_nothing_and_training_gives_finite_gradients(
    kind: type[GraphTransformer], changed: dict
) -> None:
    model = small(kind, **changed)
    assert torch.equal(predict(model, problem()), predict(model, problem()))
    model.train()
    for batch in problem(4).batches("train", model):
        model.losses(batch, problem().task)["loss"].backward()
    for name, parameter in model.named_parameters():
        unread = name.startswith("layers.2.edges.")  # nobody reads the last layer's edges
        assert (parameter.grad is None) == unread, name
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all()), name


def test_flipped_columns_are_flipped_weights() -> None:
    model = small(encoding=4)
    [batch] = problem().batches("all", model)
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0])
    plain = model(batch)
    batch.pe = batch.pe * signs
    flipped = model(batch)
    assert not torch.allclose(flipped, plain, atol=1e-4)
    with torch.no_grad():
        assert model.place is not None
        model.place.weight.mul_(signs)
    torch.testing.assert_close(model(batch), plain, atol=1e-5, rtol=0)


def test_signs_are_drawn_for_each_graph_by_seed_and_epoch() -> None:
    model = small(encoding=2).train()
    clean = next(problem().batches("all", model.eval())).pe
    model.train()

    def signs(epoch: int) -> Tensor:
        return next(problem().batches("all", model, epoch)).pe

    assert torch.equal(signs(0), signs(0))
    assert not torch.equal(signs(0), signs(1))
    torch.testing.assert_close(signs(0).abs(), clean.abs())

    class Published(GraphTransformer):
        signs = "batch"

    assert repr(small(Published, encoding=2).train().transform) == "SignFlip('pe', per='batch')"
    assert repr(model.transform) == "SignFlip('pe')"
    assert small(WalkGraphTransformer, encoding=2).train().transform is None


def test_full_graph_keeps_the_places_of_the_given_one() -> None:
    model = small(FullGraphTransformer, encoding=4)
    [batch] = problem().batches("all", model)
    [given] = problem().batches("all", small(encoding=4))
    assert torch.equal(batch.pe, given.pe)
    sizes = problem().data.num_nodes
    assert batch.edge_index.shape[1] == int((sizes * (sizes - 1)).sum())
    assert int(batch.edge_attr.max()) == 0
    moved = problem()
    other = molecules()
    other.joined.edge_attr = 2 - other.joined.edge_attr  # types of edges are not read
    torch.testing.assert_close(predict(model, problem(data=other)), predict(model, moved))


def path(nodes: int, symbol: list[int]) -> Data:
    ends = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)])
    return Data(
        x=torch.tensor(symbol)[:, None], edge_index=torch.cat([ends, ends.flip(0)], dim=1),
        y=torch.zeros(nodes, dtype=torch.long),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "hears"), [(GraphTransformer, False), (FullGraphTransformer, True)]
)
def test_three_layers_hear_three_edges_far(kind: type[GraphTransformer], hears: bool) -> None:
    """The documented limit: on a path of length 12, symbol 12 tells nodes 9 to 11 and no other."""
    torch.manual_seed(0)
    dims = Dims(0, 2, node_symbols=(2,))
    model = kind(dims, hidden_channels=16, num_layers=3, heads=4, norm=None).eval()
    answers = []
    for last in (0, 1):
        data = path(13, [0] * 12 + [last])
        data = model.transform(data) if model.transform is not None else data
        answers.append(model(data).detach())
    changed = (answers[0] != answers[1]).any(dim=1)[:12]
    assert changed.tolist() == [hears or node >= 9 for node in range(12)]


def test_nodes_of_graphs_get_a_row_each() -> None:
    graphs = GraphSet.of([path(4, [0, 1, 1, 0]), path(3, [1, 0, 0]), path(2, [1, 1])])
    items = torch.arange(3)
    nodes = Problem(
        name="nodes/made", data=graphs, split=Split(*items.split(1)),
        task=NodesOfGraphs(num_classes=2), dims=Dims(0, 2, node_symbols=(2,)), batching=Graphs(3),
    )  # fmt: skip
    for kind in (GraphTransformer, FullGraphTransformer):
        model = kind(nodes.dims, hidden_channels=8, num_layers=1, heads=2, encoding=2)
        [batch] = nodes.batches("all", model.eval())
        assert model(batch).shape == (9, 2)


def test_colours_of_pattern_and_cluster_have_room() -> None:
    """A hundred, as published: after one round, and not after two."""
    made = WLGraphTransformer(PATTERN, encoding=100, num_layers=1, hidden_channels=16)
    for graph in (*pattern_graphs(10), *cluster_graphs(10)):
        assert made.pre_transform is not None
        assert int(made.pre_transform(graph).wl.max()) < 100
    with pytest.raises(DataError, match="after 2 rounds and there is room for 100"):
        [WLPE(2, 100)(graph) for graph in pattern_graphs(10)]


def test_wrong_batches_and_settings_are_refused() -> None:
    model = small(encoding=4)
    [batch] = problem().batches("all", model)
    bare = batch.clone()
    del bare.edge_attr
    with pytest.raises(DataError, match="the batch has no edge_attr"):
        model(bare)
    bare = batch.clone()
    del bare.pe
    with pytest.raises(DataError, match=r"reads 'pe' as LaplacianPE\(4\) adds it, .* lacks it"):
        model(bare)
    bare = batch.clone()
    bare.pe = bare.pe[:, :2]
    with pytest.raises(DataError, match=r"has it of shape \(\d+, 2\)"):
        model(bare)
    with pytest.raises(SettingError, match="3 heads do not divide a width of 16"):
        small(heads=3)
    with pytest.raises(SettingError, match="encoding=-1; expected 0 or more"):
        GraphTransformer(MOLECULES, encoding=-1)
    with pytest.raises(DataError, match="colours after 1 rounds and there is room for 2"):
        list(problem().batches("all", WLGraphTransformer(MOLECULES, encoding=2)))


def test_settings_of_older_records_are_unchanged() -> None:
    """Records are found by them; a variant has a name of its own instead."""
    told = describe(GraphTransformer)
    assert set(told) == {
        "name", "hidden_channels", "num_layers", "heads", "dropout", "norm", "encoding", "readout"
    }  # fmt: skip
    for kind in (WLGraphTransformer, WalkGraphTransformer, FullGraphTransformer):
        assert describe(kind) == told | {"name": kind.__name__}


@pytest.mark.parametrize("kind", [GraphTransformer, FullGraphTransformer])
def test_half_precision_is_close(kind: type[GraphTransformer]) -> None:
    model = small(kind, encoding=4).train()
    [batch] = problem().batches("all", model)
    plain = model(batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(batch)
    half.float().sum().backward()
    torch.testing.assert_close(half.float(), plain, atol=0.1, rtol=0.1)
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in model.parameters())
