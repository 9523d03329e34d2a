"""Hypergraph networks: equations, what they promise, and how a graph is handed to one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MLP

from graphkit.data.batching import NodeRows
from graphkit.data.problem import Problem
from graphkit.data.sources.hypergraphs import Hypergraph
from graphkit.data.split import Split
from graphkit.errors import DataError, SettingError
from graphkit.models.base import Model
from graphkit.models.hgnn import HGNN, HGNNPlus, LightMLP
from graphkit.tasks import Dims
from graphkit.train import Supervised, TrainConfig, describe, evaluate, predict
from graphkit.transforms.hypergraph import NearestNeighborHyperedges, NeighborhoodHyperedges
from tests import tiny

NETWORKS = [HGNN, HGNNPlus]
MODELS = [*NETWORKS, LightMLP]


def build(cls: Any, problem: Problem, seed: int = 0, **settings: Any) -> Model:
    torch.manual_seed(seed)
    model: Model = cls(problem.dims, **settings)
    return model


def with_data(problem: Problem, data: Any, **changed: Any) -> Problem:
    return replace(problem, data=data, checked=False, **changed)


def hypergraph(**fields: Any) -> Problem:
    problem = tiny.hypergraph_problem()
    data = Hypergraph(**(problem.data.to_dict() | fields))
    return with_data(problem, data)


@pytest.mark.parametrize(("cls", "power"), [(HGNN, -0.5), (HGNNPlus, -1.0)])
def test_two_layers_by_the_equation(cls: Any, power: float) -> None:
    problem = tiny.hypergraph_problem()
    model = build(cls, problem, hidden_channels=4).eval()
    h = torch.zeros(6, 4)  # the three hyperedges and one for vertex 5
    h[[0, 1, 2, 3, 4, 2, 3, 5], [0, 0, 0, 1, 1, 2, 2, 3]] = 1
    left = h.sum(1).pow(power).diag()
    right = left if cls is HGNN else torch.eye(6)
    step = left @ h @ h.sum(0).reciprocal().diag() @ h.t() @ right
    first, second = (conv.lin for conv in model.convs)  # type: ignore[union-attr]
    with torch.no_grad():
        expected = step @ second((step @ first(problem.data.x)).relu())
    torch.testing.assert_close(predict(model, problem), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_every_parameter_gets_a_finite_gradient(cls: Any, num_layers: int) -> None:
    problem = tiny.hypergraph_problem()
    model = build(cls, problem, num_layers=num_layers, hidden_channels=8).train()
    [batch] = problem.batches("train", model)
    out = model(batch)
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize("kind", ["none", "symbols"])
def test_nodes_without_vectors(cls: Any, kind: str) -> None:
    problem = tiny.hypergraph_problem()
    if kind == "none":
        data = Hypergraph(
            hyperedge_index=problem.data.hyperedge_index, y=problem.data.y, num_nodes=6
        )
        dims = Dims(in_channels=0, out_channels=2, num_nodes=6)
    else:
        data = hypergraph(x=torch.arange(6)[:, None] % 3).data
        dims = Dims(in_channels=0, out_channels=2, num_nodes=6, node_symbols=(3,))
    out = predict(build(cls, replace(problem, dims=dims)), with_data(problem, data, dims=dims))
    assert out.shape == (6, 2)
    assert bool(torch.isfinite(out).all())


@pytest.mark.parametrize("cls", MODELS)
def test_renaming_vertices_and_hyperedges_renames_predictions(cls: Any) -> None:
    problem = tiny.hypergraph_problem()
    new, hyperedge = torch.tensor([3, 0, 5, 1, 4, 2]), torch.tensor([2, 0, 1])
    node, e = problem.data.hyperedge_index
    moved = hypergraph(
        x=problem.data.x[new.argsort()],
        hyperedge_index=torch.stack([new[node], hyperedge[e]]).flip(1),
    )
    model = build(cls, problem)
    out = predict(model, problem)
    torch.testing.assert_close(predict(model, moved)[new], out, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(out[new], out)


@pytest.mark.parametrize("cls", NETWORKS)
@pytest.mark.parametrize(
    "index",
    [
        torch.empty(2, 0, dtype=torch.long),
        torch.tensor([[0, 1], [0, 4]]),
        torch.tensor([[0, 1, 2, 3, 4, 5] * 2, [0] * 6 + [1] * 6]),
    ],
    ids=["none", "empty-and-single", "equal"],
)
def test_odd_hyperedges_give_finite_rows(cls: Any, index: Tensor) -> None:
    for singletons in (True, False):
        model = build(cls, tiny.hypergraph_problem(), singletons=singletons)
        out = predict(model, hypergraph(hyperedge_index=index))
        assert out.shape == (6, 2)
        assert bool(torch.isfinite(out).all())


@pytest.mark.parametrize("cls", NETWORKS)
def test_without_singletons_an_isolated_vertex_is_not_read(cls: Any) -> None:
    problem = tiny.hypergraph_problem()
    other = hypergraph(x=problem.data.x + 5 * (torch.arange(6) == 5)[:, None])
    for singletons in (True, False):
        model = build(cls, problem, singletons=singletons)
        same = torch.equal(predict(model, problem)[5], predict(model, other)[5])
        assert same != singletons


@pytest.mark.parametrize("cls", NETWORKS)
def test_equal_hyperedges_count_once_and_weights_count(cls: Any) -> None:
    problem = tiny.hypergraph_problem()
    index = problem.data.hyperedge_index
    again = torch.cat([index, torch.stack([index[0, :3], torch.full((3,), 3)])], dim=1)
    model = build(cls, problem)
    out = predict(model, problem)
    assert torch.equal(predict(model, hypergraph(hyperedge_index=again)), out)
    heavy = hypergraph(hyperedge_weight=torch.tensor([1.0, 1.0, 4.0]))
    assert not torch.allclose(predict(model, heavy), out)
    ones = hypergraph(hyperedge_weight=torch.ones(3, dtype=torch.long))
    assert torch.equal(predict(model, ones), out)


@pytest.mark.parametrize("cls", NETWORKS)
def test_a_graph_is_refused_and_says_what_to_do(cls: Any) -> None:
    problem = tiny.node_problem()
    with pytest.raises(DataError, match=r"NeighborhoodHyperedges.*NearestNeighborHyperedges"):
        Supervised(cls, TrainConfig(epochs=1))(problem)


@pytest.mark.parametrize("cls", NETWORKS)
@pytest.mark.parametrize("made", [NeighborhoodHyperedges(), NearestNeighborHyperedges(2)])
def test_a_graph_becomes_a_hypergraph_in_the_model_or_before(cls: Any, made: Any) -> None:
    problem = tiny.node_problem()
    recipe = Supervised(partial(cls, hyperedges=made), TrainConfig(epochs=3))
    assert describe(recipe)["model"]["hyperedges"]["name"] == type(made).__name__
    torch.manual_seed(0)
    inside = recipe(problem)
    torch.manual_seed(0)
    changed = with_data(problem, made(problem.data))
    before = Supervised(cls, TrainConfig(epochs=3))(changed)
    assert torch.equal(predict(inside.model, problem), predict(before.model, changed))
    assert evaluate(inside.model, problem, "test")["accuracy"] >= 0


def test_hidden_vertices_are_read_at_the_end() -> None:
    """Trained without vertices 4 and 5; then hyperedge 3 4 is whole again."""
    split = Split(*(torch.tensor(part) for part in ([0], [1], [2, 3], [4, 5])))
    problem = replace(tiny.hypergraph_problem(), split=split, checked=False)
    fitted = Supervised(HGNN, TrainConfig(epochs=2))(problem.blind())
    assert predict(fitted.model, problem.blind()).shape == (4, 2)
    assert evaluate(fitted.model, problem, "hidden")["loss"] > 0


def test_the_student_is_pygs_mlp() -> None:
    """Activation before the norm, in training and in evaluation."""
    problem = tiny.hypergraph_problem()
    ours = build(LightMLP, problem, hidden_channels=8, dropout=0.0)
    theirs = MLP([3, 8, 2], norm="batch_norm", act_first=True, dropout=0.0)
    for mine, other in zip(ours.layers, theirs.lins, strict=True):  # type: ignore[arg-type]
        other.load_state_dict(mine.state_dict())
    [batch] = problem.batches("train", ours)
    for training in (True, False):
        out = ours.train(training)(batch)
        torch.testing.assert_close(out, theirs.train(training)(batch.x))
    torch.testing.assert_close(ours.layers[-1](ours.embed(batch)), out)  # type: ignore[operator]


def test_the_student_reads_rows_alone() -> None:
    problem = tiny.hypergraph_problem()
    model = build(LightMLP, problem)
    rows = replace(problem, batching=NodeRows(2))
    torch.testing.assert_close(predict(model, rows), predict(model, problem))


@pytest.mark.parametrize("cls", MODELS)
def test_state_is_in_buffers_and_the_seed_decides(cls: Any) -> None:
    problem = tiny.hypergraph_problem()
    first, again, other = (build(cls, problem, seed) for seed in (3, 3, 4))
    assert torch.equal(predict(first, problem), predict(again, problem))
    assert not torch.equal(predict(first, problem), predict(other, problem))
    other.load_state_dict(first.state_dict())
    assert torch.equal(predict(first, problem), predict(other, problem))


@pytest.mark.parametrize("cls", MODELS)
def test_no_layer_is_refused(cls: Any) -> None:
    with pytest.raises(SettingError, match="num_layers=0"):
        cls(Dims(3, 2), num_layers=0)


def test_parameters_of_the_paper() -> None:
    """1433 x 32 + 32 and 32 x 7 + 7; the student's 128 with a norm."""
    count = lambda net: sum(p.numel() for p in net.parameters())  # noqa: E731
    network: nn.Module = HGNN(Dims(1433, 7))
    assert count(network) == 1433 * 32 + 32 + 32 * 7 + 7
    assert count(LightMLP(Dims(1433, 7))) == 1433 * 128 + 128 + 2 * 128 + 128 * 7 + 7


def test_a_batch_of_several_hypergraphs_keeps_them_apart() -> None:
    from torch_geometric.data import Batch

    one = tiny.hypergraph_problem().data
    model = build(HGNN, tiny.hypergraph_problem()).eval()
    one.seeds = torch.arange(6)
    joined = Batch.from_data_list([one, one])

    def rows(data: Data) -> Tensor:
        out: Tensor = model(model.transform(model.pre_transform(data)))  # type: ignore[misc]
        return out

    torch.testing.assert_close(rows(joined), torch.cat([rows(one), rows(one)]))
