"""Graph Mamba: what its paper promises, and that each of its pieces can be exchanged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.errors import SettingError
from graphkit.models.base import Model
from graphkit.models.graph_mamba import GraphMamba, Scan, SettledWalks, Walks
from graphkit.models.graph_mamba_hybrid import GraphMambaHybrid
from graphkit.seeds import stream
from graphkit.tasks import Dims
from graphkit.train import describe
from graphkit.transforms import RandomWalkTokens
from tests import tiny

DIMS = Dims(3, 2)
SMALL = {"hidden_channels": 16}


def graph(nodes: int, edges: int, seed: int = 0) -> Data:
    """A random undirected graph with features of its own for each node, and one isolated node."""
    source = stream(seed, "test graph")
    pairs = torch.randint(0, nodes - 1, (2, edges), generator=source)
    pairs = torch.cat([pairs, pairs.flip(0)], dim=1).unique(dim=1)
    x = torch.randn(nodes, 3, generator=source)
    return Data(x=x, edge_index=pairs, num_nodes=nodes)


def renamed(data: Data, new: Tensor) -> Data:
    """The same graph; old node i is called ``new[i]``."""
    moved = Data(x=data.x[new.argsort()], edge_index=new[data.edge_index])
    moved.num_nodes = data.num_nodes
    return moved


def answers(model: Model, data: Data) -> Tensor:
    model.eval()
    data = data.clone()
    with torch.no_grad():
        return model(model.transform(data) if model.transform is not None else data)


@pytest.mark.parametrize("seed", range(5))
def test_walks_renamed_along_rename_the_answers(seed: int) -> None:
    """Without a layer over nodes: whatever the walks are, they may be called anything."""
    torch.manual_seed(seed)
    model = GraphMamba(DIMS, num_layers=0, walks=Walks(3, 2, 2), **SMALL).eval()
    data = model.draw(graph(40, 80, seed))
    new = torch.randperm(40, generator=stream(seed, "names"))
    moved = renamed(data, new)
    moved.walk_index = new[data.walk_index][..., new.argsort()]
    moved.walk_bits = data.walk_bits[new.argsort()]
    torch.testing.assert_close(model(moved)[new], model(data), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("walks", [0, 2])
def test_unique_scores_rename_the_answers_in_training_too(seed: int, walks: int) -> None:
    """An order by random numbers leaves nothing to chance."""
    torch.manual_seed(seed)
    scan = Scan(order=lambda batch: batch.number)
    model = GraphMamba(DIMS, walks=walks, scan=scan, **SMALL)
    data = graph(40, 80, seed)
    data = model.draw(data) if walks else data
    data.number = torch.rand(40, generator=stream(seed, "numbers"))
    new = torch.randperm(40, generator=stream(seed, "names"))
    moved = renamed(data, new)
    moved.number = data.number[new.argsort()]
    if walks:
        moved.walk_index = new[data.walk_index][..., new.argsort()]
        moved.walk_bits = data.walk_bits[new.argsort()]
    torch.testing.assert_close(model(moved)[new], model(data), atol=1e-5, rtol=1e-4)


def test_ties_by_chance_are_renamed_on_average() -> None:
    """200 orders each, drawn for as many copies: means agree within three standard errors."""
    torch.manual_seed(0)
    model = GraphMamba(DIMS, num_layers=1, scan=Scan(mpnn=False), **SMALL)
    data = graph(20, 40)
    new = torch.randperm(20, generator=stream(0, "names"))
    copies = torch.zeros(200, dtype=torch.long)
    with torch.no_grad():
        here, there = (
            model(GraphSet.of([one]).batch(copies)).view(200, 20, 2)
            for one in (data, renamed(data, new))
        )
    there = there[:, new]
    assert float(here.std(dim=0).max()) > 1e-5
    error = ((here.var(dim=0) + there.var(dim=0)) / 200).sqrt()
    gap = (here.mean(dim=0) - there.mean(dim=0)).abs()
    assert float((gap <= 3 * error + 1e-7).float().mean()) >= 0.97  # of 40: one may stray


@pytest.mark.parametrize("kind", ["walks", "subgraph"])
def test_settled_walks_follow_a_node(kind: Any) -> None:
    torch.manual_seed(0)
    model = GraphMamba(DIMS, walks=Walks(3, 2, 2, local=kind, independent_lengths=True), **SMALL)
    data = graph(40, 80)
    new = torch.randperm(40, generator=stream(1, "names"))
    expected = answers(model, data)
    torch.testing.assert_close(answers(model, renamed(data, new))[new], expected)
    assert torch.equal(answers(model, data), expected)


def test_settled_walks_are_walks_of_the_graph_and_number_its_edges() -> None:
    data = tiny.graph_problem_edges().data.batch(torch.arange(6))
    found = SettledWalks(RandomWalkTokens(3, 2, 1, edges=True), edges=True)(data)
    walk, used = found.walk_index, found.walk_edge
    assert torch.equal(walk[0, 0, :, 0], torch.arange(data.num_nodes).expand(2, -1))
    left = used >= 0
    assert bool(left.any())
    edges = data.edge_index[:, used[left]]
    assert torch.equal(edges[1], walk[..., :-1, :][left])  # walks go against the edges
    assert torch.equal(edges[0], walk[..., 1:, :][left])
    assert torch.equal(walk[..., 1:, :][~left], walk[..., :-1, :][~left])
    again = [(walk[..., k, :] == walk[..., k - 1, :]).permute(3, 0, 1, 2) for k in (1, 2, 3)]
    assert torch.equal(torch.stack(again, dim=-1), (found.walk_bits[..., 1:] & 1).bool())


def test_training_draws_walks_anew_and_evaluation_does_not() -> None:
    model = GraphMamba(DIMS, walks=2, **SMALL)
    data = graph(40, 80)
    first, again = (model.train().transform(data.clone()).walk_index for _ in range(2))
    assert not torch.equal(first, again)
    first, again = (model.eval().transform(data.clone()).walk_index for _ in range(2))
    assert torch.equal(first, again)


def test_node_is_told_by_what_its_walks_can_reach() -> None:
    """On a path, walks of three steps: nothing four steps away, without a layer over nodes."""
    torch.manual_seed(0)
    model = GraphMamba(DIMS, num_layers=0, walks=Walks(3, 32, 1), **SMALL).eval()
    data = model.draw(Data(edge_index=tiny.both_ways(*((v, v + 1) for v in range(8))), num_nodes=9))
    data.x = torch.randn(9, 3, requires_grad=True)
    [slope] = torch.autograd.grad(model(data)[0].square().sum(), data.x)
    assert (slope.abs().sum(dim=1) > 0).tolist() == [True] * 4 + [False] * 5


def test_layer_over_nodes_reaches_all_of_a_graph_and_no_other() -> None:
    torch.manual_seed(0)
    model = GraphMamba(DIMS, num_layers=1, **SMALL).eval()
    batch = GraphSet.of([graph(9, 6, 1), graph(5, 4, 2)]).batch(torch.arange(2))
    batch.x = batch.x.clone().requires_grad_()
    [slope] = torch.autograd.grad(model(batch)[3].square().sum(), batch.x)
    assert (slope.abs().sum(dim=1) > 0).tolist() == [True] * 9 + [False] * 5


PIECES: dict[str, dict[str, Any]] = {
    "no walks": {},
    "no layer over nodes": {"num_layers": 0, "walks": 2},
    "walks": {"walks": Walks(2, 2, 2)},
    "two scans over tokens": {"walks": Walks(1, 2, 1, num_layers=2)},
    "lengths alone": {"walks": Walks(2, 2, 2, independent_lengths=True, non_backtracking=True)},
    "subgraphs": {"walks": Walks(2, 2, 2, local="subgraph")},
    "no repeat, no token": {"walks": Walks(2, 2, 0)},
    "one direction": {"walks": 1, "scan": Scan(both_ways=False)},
    "no message passing": {"walks": 1, "scan": Scan(mpnn=False)},
    "ppr": {"scan": Scan(order="ppr", num_eval_orders=3)},
    "encoding": {"walks": 1, "encoding": 3, "dropout": 0.2},
}


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("sizes", [(1,), (3, 0, 1, 200, 7)])
def test_pieces_are_exchanged_and_sizes_mixed(piece: str, sizes: tuple[int, ...]) -> None:
    """Finite answers and gradients; in evaluation a graph alone is the graph in the batch."""
    torch.manual_seed(0)
    model = GraphMamba(DIMS, readout="mean", **SMALL, **PIECES[piece])
    graphs = [graph(max(n, 2), 2 * n, n) for n in sizes]
    for number, nodes in enumerate(sizes):
        keep = (graphs[number].edge_index < nodes).all(dim=0)
        graphs[number] = Data(
            x=graphs[number].x[:nodes], edge_index=graphs[number].edge_index[:, keep],
            num_nodes=nodes,
        )  # fmt: skip
    problem = replace(tiny.graph_problem(), data=GraphSet.of(graphs), checked=True)
    for training in (True, False):
        model.train(training)
        [batch] = problem.batches("all", model)
        out = model(batch)
        assert out.shape == (len(sizes), 2)
        assert bool(out.isfinite().all())
    out.square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    alone = replace(problem, batching=replace(problem.batching, batch_size=1))
    found = torch.cat([model(batch) for batch in alone.batches("all", model)])
    torch.testing.assert_close(found, out, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cls", [GraphMamba, GraphMambaHybrid])
def test_a_graph_of_a_thousand_nodes_beside_one_node(cls: type[Model]) -> None:
    torch.manual_seed(0)
    model = cls(DIMS, readout="mean", **SMALL).eval()
    alone = Data(x=torch.ones(1, 3), edge_index=torch.empty(2, 0).long(), num_nodes=1)
    graphs = [graph(1000, 3000), alone]
    both = model(GraphSet.of(graphs).batch(torch.arange(2)))
    for number in range(2):
        one = model(GraphSet.of(graphs).batch(torch.tensor([number])))
        torch.testing.assert_close(one[0], both[number], rtol=1e-4, atol=1e-5)


def test_walks_tell_apart_what_message_passing_cannot() -> None:
    """A ring of six and two triangles, no features: equal without walks, untrained."""
    ring = tiny.both_ways(*((v, (v + 1) % 6) for v in range(6)))
    triangles = tiny.both_ways((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5))
    for walks, apart in ((0, False), (Walks(3, 16, 1), True)):
        torch.manual_seed(0)
        model = GraphMamba(Dims(0, 2), walks=walks, **SMALL)
        one, other = (
            answers(model, Data(edge_index=edges, num_nodes=6)).mean(dim=0)
            for edges in (ring, triangles)
        )
        gap = float((one - other).abs().max())
        assert gap > 5e-6 if apart else gap < 5e-7


def test_a_sampled_part_draws_its_walks_inside() -> None:
    from graphkit.data.batching import SampledNodes

    problem: Problem = replace(tiny.node_problem(), batching=SampledNodes((2, 2), 2))
    model = GraphMamba(problem.dims, walks=2, **SMALL)
    for training in (True, False):
        model.train(training)
        for batch in problem.batches("all", model):
            assert int(batch.walk_index.max()) < batch.num_nodes
            assert bool(model(batch).isfinite().all())


def test_settings_can_be_written_down() -> None:
    told = describe(GraphMamba) | describe(Scan()) | {"walks": describe(Walks(2))}
    assert told["order"] == "degree"
    assert told["walks"]["length"] == 2


@pytest.mark.parametrize(
    "wrong", [{"num_layers": -1}, {"walks": Walks(2, num_layers=0)}, {"walks": -1}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        GraphMamba(DIMS, **wrong)
