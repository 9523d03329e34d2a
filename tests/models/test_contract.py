"""Promises of every model in the three lists."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

import graphkit.models as models
from graphkit.data.batching import SampledNodes
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.models import GRAPH_MODELS, NODE_MODELS, STREAM_MODELS, ModelEntry
from graphkit.models.base import Model
from graphkit.tasks import Dims
from tests import tiny

LISTS = {"node": NODE_MODELS, "graph": GRAPH_MODELS, "stream": STREAM_MODELS}
GRAPH_PROBLEMS: dict[str, Callable[[], Problem]] = {
    "vectors": tiny.graph_problem,
    "bare": tiny.graph_problem_bare,
    "symbols": tiny.graph_problem_symbols,
}

# Parameters that cannot get a gradient: what the last layer does to its edges is read by nobody.
NO_GRADIENT = {
    "GatedGCN": lambda name, last: name.startswith(f"layers.{last}.norm_edges."),
    "GraphTransformer": lambda name, last: name.startswith(f"layers.{last}.edges."),
}


def class_of(entry: ModelEntry) -> type[Model]:
    module, name = entry.place.split(":")
    cls: type[Model] = getattr(importlib.import_module(f"graphkit.models.{module}"), name)
    return cls


def build(entry: ModelEntry, dims: Dims, seed: int = 0) -> Model:
    """A small model of the entry, with its weights drawn from ``seed``."""
    known = inspect.signature(class_of(entry).__init__).parameters
    small = {"hidden_channels": 16, "num_layers": 2, "heads": 2}
    torch.manual_seed(seed)
    chosen = {name: value for name, value in small.items() if name in known}
    model: Model = entry.load()(dims, **chosen)
    return model


def predict(model: Model, problem: Problem, part: str = "all") -> Tensor:
    """The rows of a part in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch) for batch in problem.batches(part, model)])


def prepared(model: Model, data: Any) -> Any:
    """The data as the model is handed it, outside any problem."""
    for change in (model.pre_transform, model.transform):
        data = change(data) if change is not None else data
    return data


def on_graph(model: Model, graph: Data) -> Tensor:
    model.eval()
    batch = prepared(model, graph.clone())
    batch.seeds = torch.arange(int(graph.num_nodes or 0))
    with torch.no_grad():
        out: Tensor = model(batch)
    return out


def shown(entry: ModelEntry, problem: Problem) -> Model:
    """A model that has seen one training batch, as one that keeps answers needs."""
    model = build(entry, problem.dims)
    model.train()
    for batch in problem.batches("train", model):
        model.losses(batch, problem.task)
    return model.eval()


def check_gradients(model: Model, problem: Problem) -> None:
    model.train()
    [batch] = problem.batches("train", model)
    # A weighted sum, for a plain one can cancel behind a normalisation.
    torch.manual_seed(1)
    out = model(batch)
    if not any(True for _ in model.parameters()):
        return
    (out * torch.randn_like(out)).sum().backward()
    last = len(getattr(model, "layers", ())) - 1
    exempt = NO_GRADIENT.get(type(model).__name__, lambda name, last: False)
    lacking = {name for name, p in model.named_parameters() if p.grad is None}
    expected = {name for name, _ in model.named_parameters() if exempt(name, last)}
    assert lacking == expected


@pytest.mark.parametrize("name", NODE_MODELS)
class TestNodeModels:
    def test_a_row_per_node(self, name: str) -> None:
        problem = tiny.node_problem()
        out = predict(build(NODE_MODELS[name], problem.dims), problem)
        assert out.shape == (6, 2)
        assert bool(torch.isfinite(out).all())

    def test_renaming_nodes_renames_predictions(self, name: str) -> None:
        problem = tiny.node_problem()
        model = shown(NODE_MODELS[name], problem)
        new = torch.tensor([3, 0, 5, 1, 4, 2])  # old node i is called new[i]
        old = new.argsort()
        x, edges = problem.data.x, problem.data.edge_index
        expected = on_graph(model, Data(x=x, edge_index=edges))
        if "known" in dict(model.named_buffers()):
            model = deepcopy(model)
            model.known = model.known[old]
        moved = on_graph(model, Data(x=x[old], edge_index=new[edges]))
        torch.testing.assert_close(moved[new], expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(expected[new], expected)

    def test_every_parameter_gets_a_gradient(self, name: str) -> None:
        problem = tiny.node_problem()
        check_gradients(build(NODE_MODELS[name], problem.dims), problem)

    def test_same_seed_same_answer(self, name: str) -> None:
        problem = tiny.node_problem()
        first, again = (build(NODE_MODELS[name], problem.dims, seed=3) for _ in range(2))
        assert torch.equal(predict(first, problem), predict(again, problem))

    @pytest.mark.parametrize(
        "edges",
        [
            torch.empty(2, 0, dtype=torch.long),
            tiny.both_ways((0, 1)),
            torch.tensor([[0, 1, 2, 2], [0, 1, 2, 0]]),
            torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]]),
        ],
        ids=["no-edges", "isolated", "self-loops", "duplicates"],
    )
    def test_odd_edges_give_finite_rows(self, name: str, edges: Tensor) -> None:
        problem = tiny.node_problem()
        model = build(NODE_MODELS[name], replace(problem.dims, num_nodes=3))
        out = on_graph(model, Data(x=problem.data.x[:3], edge_index=edges))
        assert out.shape == (3, 2)
        assert bool(torch.isfinite(out).all())

    def test_one_node_alone(self, name: str) -> None:
        model = build(NODE_MODELS[name], Dims(3, 2, num_nodes=1))
        edges = torch.empty(2, 0, dtype=torch.long)
        out = on_graph(model, Data(x=torch.ones(1, 3), edge_index=edges))
        assert out.shape == (1, 2)
        assert bool(torch.isfinite(out).all())

    def test_works_on_a_sampled_batch(self, name: str) -> None:
        problem = replace(tiny.node_problem(), batching=SampledNodes((2, 2), 2))
        model = build(NODE_MODELS[name], problem.dims).eval()
        asked = []
        for batch in problem.batches("all", model):
            assert torch.equal(batch.y, problem.data.y[batch.n_id])
            asked.append(batch.n_id[: len(batch.seeds)])
            out = model(batch)
            assert out.shape == (len(batch.n_id), 2)
            assert bool(torch.isfinite(out).all())
        assert torch.equal(torch.cat(asked), torch.arange(6))

    @settings(
        max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(nodes=st.integers(1, 30), density=st.floats(0, 3), draw=st.integers(0, 2**20))
    def test_any_graph_gives_finite_rows(
        self, name: str, nodes: int, density: float, draw: int
    ) -> None:
        source = torch.Generator().manual_seed(draw)
        edges = torch.randint(nodes, (2, int(density * nodes)), generator=source)
        x = torch.randn(nodes, 3, generator=source)
        model = build(NODE_MODELS[name], Dims(3, 2, num_nodes=nodes))
        out = on_graph(model, Data(x=x, edge_index=edges))
        assert out.shape == (nodes, 2)
        assert bool(torch.isfinite(out).all())


@pytest.mark.parametrize("kind", GRAPH_PROBLEMS)
@pytest.mark.parametrize("name", GRAPH_MODELS)
class TestGraphModels:
    def test_a_row_per_graph(self, name: str, kind: str) -> None:
        problem = GRAPH_PROBLEMS[kind]()
        out = predict(build(GRAPH_MODELS[name], problem.dims), problem)
        assert out.shape == (6, problem.dims.out_channels)

    def test_renaming_nodes_changes_nothing(self, name: str, kind: str) -> None:
        problem = GRAPH_PROBLEMS[kind]()
        model = build(GRAPH_MODELS[name], problem.dims)
        moved = []
        for graph in problem.data:
            new = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(5))
            moved.append(graph.clone())
            moved[-1].edge_index = new[graph.edge_index]
            if graph.get("x") is not None:
                moved[-1].x = graph.x[new.argsort()]
        other = replace(problem, data=GraphSet.of(moved), checked=False)
        torch.testing.assert_close(
            predict(model, other), predict(model, problem), rtol=1e-4, atol=1e-5
        )

    def test_every_parameter_gets_a_gradient(self, name: str, kind: str) -> None:
        problem = GRAPH_PROBLEMS[kind]()
        check_gradients(build(GRAPH_MODELS[name], problem.dims), problem)

    def test_same_seed_same_answer(self, name: str, kind: str) -> None:
        problem = GRAPH_PROBLEMS[kind]()
        first, again = (build(GRAPH_MODELS[name], problem.dims, seed=3) for _ in range(2))
        assert torch.equal(predict(first, problem), predict(again, problem))

    def test_a_batch_is_each_graph_alone(self, name: str, kind: str) -> None:
        problem = GRAPH_PROBLEMS[kind]()
        model = build(GRAPH_MODELS[name], problem.dims)
        alone = replace(problem, batching=replace(problem.batching, batch_size=1))
        torch.testing.assert_close(
            predict(model, alone), predict(model, problem), rtol=1e-4, atol=1e-5
        )

    def test_an_empty_graph_and_one_node_inside_a_batch(self, name: str, kind: str) -> None:
        problem = GRAPH_PROBLEMS[kind]()
        graphs = list(problem.data)
        graphs[1], graphs[2] = _cut(graphs[1], 0), _cut(graphs[2], 1)
        odd = replace(problem, data=GraphSet.of(graphs), checked=True)
        model = build(GRAPH_MODELS[name], problem.dims)
        out, usual = predict(model, odd), predict(model, problem)
        assert out.shape == usual.shape
        assert bool(torch.isfinite(out).all())
        rest = [0, 3, 4, 5]
        torch.testing.assert_close(out[rest], usual[rest], rtol=1e-4, atol=1e-5)


def _cut(graph: Data, nodes: int) -> Data:
    """The graph's first nodes, without edges."""
    cut = graph.clone()
    cut.edge_index = graph.edge_index[:, :0]
    for field, rows in (("x", nodes), ("edge_attr", 0)):
        if graph.get(field) is not None:
            cut[field] = graph[field][:rows]
    cut.num_nodes = nodes
    return cut


@pytest.mark.parametrize("name", STREAM_MODELS)
class TestStreamModels:
    def scores(self, name: str, problem: Problem) -> Tensor:
        model = build(STREAM_MODELS[name], problem.dims)
        model.eval()
        model.reset_state()
        rows = []
        with torch.no_grad():
            for batch in problem.batches("all", model):
                rows.append(model(batch))
                model.observe(batch)
        return torch.cat(rows)

    def test_a_row_per_event_a_column_per_candidate(self, name: str) -> None:
        out = self.scores(name, tiny.stream_problem())
        assert out.shape == (12, 4)
        assert bool(torch.isfinite(out).all())

    def test_same_seed_same_answer(self, name: str) -> None:
        first, again = (self.scores(name, tiny.stream_problem()) for _ in range(2))
        assert torch.equal(first, again)

    def test_later_events_do_not_change_earlier_scores(self, name: str) -> None:
        problem = tiny.stream_problem()
        later = deepcopy(problem.data)
        later.src[8:], later.dst[8:] = 2, 3
        before = self.scores(name, problem)
        after = self.scores(name, replace(problem, data=later))
        assert torch.equal(after[:8], before[:8])
        assert not torch.equal(after[8:], before[8:])

    def test_every_parameter_gets_a_gradient(self, name: str) -> None:
        problem = tiny.stream_problem()
        whole = replace(problem, batching=replace(problem.batching, batch_size=12))
        check_gradients(build(STREAM_MODELS[name], problem.dims), whole)


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, e in LISTS.items() for n in e])
def test_the_class_names_its_source(kind: str, name: str) -> None:
    assert "Source" in (class_of(LISTS[kind][name]).__doc__ or "")


@cache
def defined_models() -> frozenset[type[Model]]:
    """Every public subclass of Model that a file of the package defines."""
    root = Path(models.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        dotted = ".".join(path.relative_to(root).with_suffix("").parts)
        if path.name == "__init__.py" or dotted == "base":
            continue
        home = importlib.import_module(f"graphkit.models.{dotted}")
        for node in ast.parse(path.read_text()).body:
            thing = getattr(home, node.name) if isinstance(node, ast.ClassDef) else None
            if isinstance(thing, type) and issubclass(thing, Model) and thing.__name__[0] != "_":
                found.add(thing)
    return frozenset(found)


def test_every_model_is_in_a_list() -> None:
    listed = {class_of(entry) for entries in LISTS.values() for entry in entries.values()}
    assert len(defined_models()) > 10
    assert {cls.__name__ for cls in defined_models() - listed} == set()
