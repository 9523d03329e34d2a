"""Promises of every model in the three lists."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from copy import copy, deepcopy
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
from graphkit.errors import DataError
from graphkit.models import (
    GRAPH_MODELS,
    HYPERGRAPH_MODELS,
    NODE_MODELS,
    STREAM_MODELS,
    ModelEntry,
)
from graphkit.models.base import Model
from graphkit.tasks import Dims
from tests import tiny

LISTS = {
    "node": NODE_MODELS,
    "graph": GRAPH_MODELS,
    "stream": STREAM_MODELS,
    "hypergraph": HYPERGRAPH_MODELS,
}
NODE_PROBLEMS: dict[str, Callable[[], Problem]] = {
    "vectors": tiny.node_problem,
    "bare": tiny.node_problem_bare,
    "symbols": tiny.node_problem_symbols,
}
GRAPH_PROBLEMS: dict[str, Callable[[], Problem]] = {
    "vectors": tiny.graph_problem,
    "bare": tiny.graph_problem_bare,
    "symbols": tiny.graph_problem_symbols,
    "edges": tiny.graph_problem_edges,
}

# Parameters that cannot get a gradient from the answers: what the last layer (of two) does to its
# edges is read by nobody; the tokenizer's node decoding serves a loss of its own.
NO_GRADIENT = {
    "GatedGCN": ("layers.1.norm_edges.",),
    "GraphMamba": ("layers.1.local.norm_edges.",),
    "GraphMambaHybrid": ("layers.1.local.norm_edges.",),
    "GraphTransformer": ("layers.1.edges.",),
    "WalkGraphTransformer": ("layers.1.edges.",),
    "WLGraphTransformer": ("layers.1.edges.",),
    "FullGraphTransformer": ("layers.1.edges.",),
    "TokenizedGNN": ("decode_nodes.",),
}

# Settings that change what a model reads or how it is built.
VARIANTS = (
    ("gatedgcn", {"edge_features": True}, "symbols"),
    ("gatedgcn", {"edge_features": True}, "edges"),
    ("gatedgcn", {"encoding": 4}, "bare"),
    ("gcn", {"encoding": 4}, "vectors"),
    ("gcn", {"readout": "max"}, "vectors"),
    ("graph-transformer", {"encoding": 4, "norm": "layer"}, "symbols"),
)

EXAMPLES = settings(
    max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def class_of(entry: ModelEntry) -> type[Model]:
    module, name = entry.place.split(":")
    cls: type[Model] = getattr(importlib.import_module(f"graphkit.models.{module}"), name)
    return cls


def build(entry: ModelEntry, dims: Dims, seed: int = 0, **changed: Any) -> Model:
    """A small model of the entry, with its weights drawn from ``seed``."""
    known = inspect.signature(class_of(entry).__init__).parameters
    small = {"hidden_channels": 16, "num_layers": 2, "heads": 2}
    torch.manual_seed(seed)
    chosen = {name: value for name, value in small.items() if name in known}
    model: Model = entry.load()(dims, **(chosen | changed))
    return model


def predict(model: Model, problem: Problem, part: str = "all") -> Tensor:
    """The rows of a part in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch) for batch in problem.batches(part, model)])


def prepared(model: Model, data: Data, *, once: bool = True) -> Data:
    """The data as the model is handed them, outside any problem."""
    nodes = int(data.num_nodes or 0)
    data = copy(data)
    data.seeds, data.y = torch.arange(nodes), torch.zeros(nodes, dtype=torch.long)
    for change in (model.pre_transform if once else None, model.transform):
        data = change(data) if change is not None else data
    return data


def on_graph(model: Model, graph: Data) -> Tensor:
    model.eval()
    with torch.no_grad():
        out: Tensor = model(prepared(model, graph))
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
    exempt = NO_GRADIENT.get(type(model).__name__, ())
    lacking = {name for name, p in model.named_parameters() if p.grad is None}
    assert lacking == {name for name, _ in model.named_parameters() if name.startswith(exempt)}
    check_finite_gradients(model)


def check_finite_gradients(model: Model) -> None:
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert bool(torch.isfinite(parameter.grad).all()), name


def check_reload(entry: ModelEntry, model: Model, problem: Problem) -> None:
    """All state is in buffers: a fresh model that loads it gives the same answers."""
    fresh = build(entry, problem.dims, seed=99)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(predict(fresh, problem), predict(model, problem))


def random_graph(nodes: int, density: float, source: torch.Generator) -> Data:
    """Any directed graph: loops, duplicates and isolated nodes occur."""
    count = int(density * nodes)
    edges = torch.randint(nodes, (2, count), generator=source) if nodes else torch.empty(2, 0)
    x = torch.randn(nodes, 3, generator=source)
    return Data(x=x, edge_index=edges.long(), num_nodes=nodes)


@pytest.mark.parametrize("kind", NODE_PROBLEMS)
@pytest.mark.parametrize("name", NODE_MODELS)
class TestNodeModelsOnAnyFeatures:
    def test_a_row_per_node(self, name: str, kind: str) -> None:
        problem = NODE_PROBLEMS[kind]()
        out = predict(build(NODE_MODELS[name], problem.dims), problem)
        assert out.shape == (6, 2)
        assert bool(torch.isfinite(out).all())

    def test_every_parameter_gets_a_gradient(self, name: str, kind: str) -> None:
        problem = NODE_PROBLEMS[kind]()
        check_gradients(build(NODE_MODELS[name], problem.dims), problem)

    @pytest.mark.parametrize("sampled", [False, True])
    def test_trains_on_the_whole_graph_and_on_sampled_parts(
        self, name: str, kind: str, sampled: bool
    ) -> None:
        problem = NODE_PROBLEMS[kind]()
        if sampled:
            problem = replace(problem, batching=SampledNodes((2, 2), 2))
        model = build(NODE_MODELS[name], problem.dims).train()
        for batch in problem.batches("all", model):
            terms = model.losses(batch, problem.task)
            loss = torch.stack(list(terms.values())).sum()
            assert bool(torch.isfinite(loss))
            if loss.requires_grad:
                loss.backward()
        check_finite_gradients(model)


@pytest.mark.parametrize("name", NODE_MODELS)
class TestNodeModels:
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

    def test_same_seed_same_answer(self, name: str) -> None:
        problem = tiny.node_problem()
        first, again = (build(NODE_MODELS[name], problem.dims, seed=3) for _ in range(2))
        assert torch.equal(predict(first, problem), predict(again, problem))

    def test_state_is_in_buffers(self, name: str) -> None:
        problem = tiny.node_problem()
        check_reload(NODE_MODELS[name], shown(NODE_MODELS[name], problem), problem)

    def test_hidden_nodes_come_at_the_end(self, name: str) -> None:
        """Trained on six of eight nodes, scored on all; what knows nodes by number refuses."""
        problem = tiny.production_problem()
        if name == "label-propagation":
            with pytest.raises(DataError, match="made for 8 nodes and the graph has 6"):
                shown(NODE_MODELS[name], problem.blind())
            return
        model = shown(NODE_MODELS[name], problem.blind())
        assert predict(model, problem.blind()).shape == (6, 2)
        [batch] = problem.batches("hidden", model)
        with torch.no_grad():
            answers, target = problem.task.select(model(batch), batch)
        assert answers.shape == (2, 2)
        assert bool(torch.isfinite(answers).all())
        assert target.tolist() == [0, 0]

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

    @EXAMPLES
    @given(nodes=st.integers(0, 50), density=st.floats(0, 3), draw=st.integers(0, 2**20))
    def test_any_graph(self, name: str, nodes: int, density: float, draw: int) -> None:
        """A finite row per node that moves with the node, and finite gradients."""
        source = torch.Generator().manual_seed(draw)
        graph = random_graph(nodes, density, source)
        model = build(NODE_MODELS[name], Dims(3, 2, num_nodes=nodes))
        out = on_graph(model, graph)
        assert out.shape == (nodes, 2)
        assert bool(torch.isfinite(out).all())
        new = torch.randperm(nodes, generator=source)
        moved = Data(x=graph.x[new.argsort()], edge_index=new[graph.edge_index], num_nodes=nodes)
        torch.testing.assert_close(on_graph(model, moved)[new], out, rtol=1e-4, atol=1e-4)
        model.train()
        answers = model(prepared(model, graph))
        if answers.requires_grad:
            answers.square().sum().backward()
        check_finite_gradients(model)


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

    @pytest.mark.parametrize("nodes", [0, 1])
    def test_a_batch_without_any_edge(self, name: str, kind: str, nodes: int) -> None:
        """One graph of one node: in training there is no variance to normalise by."""
        problem = GRAPH_PROBLEMS[kind]()
        only = replace(problem, data=GraphSet.of([_cut(problem.data[0], nodes)]), checked=True)
        model = build(GRAPH_MODELS[name], problem.dims)
        assert bool(torch.isfinite(predict(model, only)).all())
        model.train()
        [batch] = only.batches("all", model)
        terms = model.losses(batch, problem.task)
        torch.stack(list(terms.values())).sum().backward()
        check_finite_gradients(model)

    def test_state_is_in_buffers(self, name: str, kind: str) -> None:
        problem = GRAPH_PROBLEMS[kind]()
        check_reload(GRAPH_MODELS[name], shown(GRAPH_MODELS[name], problem), problem)


@pytest.mark.parametrize("name", GRAPH_MODELS)
class TestGraphModelsOnAnyGraphs:
    @EXAMPLES
    @given(
        sizes=st.lists(st.integers(0, 50), min_size=1, max_size=4),
        density=st.floats(0, 3),
        draw=st.integers(0, 2**20),
    )
    def test_any_graphs(self, name: str, sizes: list[int], density: float, draw: int) -> None:
        """A finite row per graph, the same in a batch as alone and under other node numbers."""
        source = torch.Generator().manual_seed(draw)
        graphs = [random_graph(nodes, density, source) for nodes in sizes]
        model = build(GRAPH_MODELS[name], Dims(3, 2)).eval()
        out = self.batched(model, graphs)
        assert out.shape == (len(sizes), 2)
        assert bool(torch.isfinite(out).all())
        close = {"rtol": 1e-3, "atol": 1e-4}
        alone = torch.cat([self.batched(model, [graph]) for graph in graphs])
        torch.testing.assert_close(alone, out, **close)
        new = torch.randperm(sizes[0], generator=source)
        graphs[0].edge_index, graphs[0].x = new[graphs[0].edge_index], graphs[0].x[new.argsort()]
        torch.testing.assert_close(self.batched(model, graphs), out, **close)
        model.train()
        self.batched(model, graphs).square().sum().backward()
        check_finite_gradients(model)

    def batched(self, model: Model, graphs: list[Data]) -> Tensor:
        once = model.pre_transform
        made = graphs if once is None else [once(copy(graph)) for graph in graphs]
        batch = GraphSet.of(made).batch(torch.arange(len(made)))
        out: Tensor = model(prepared(model, batch, once=False))
        return out

    def test_answers_per_node_where_nodes_are_asked(self, name: str) -> None:
        problem = tiny.nodes_of_graphs_problem()
        model = build(GRAPH_MODELS[name], problem.dims, readout=None)
        assert predict(model, problem).shape == (sum(g.num_nodes for g in problem.data), 2)
        [batch] = problem.batches("train", model)
        assert bool(torch.isfinite(problem.task.loss(model(batch), batch)))


@pytest.mark.parametrize(("name", "changed", "kind"), VARIANTS)
def test_variants_keep_the_promises(name: str, changed: dict[str, Any], kind: str) -> None:
    problem = GRAPH_PROBLEMS[kind]()
    model = build(GRAPH_MODELS[name], problem.dims, **changed)
    check_gradients(model, problem)
    model = build(GRAPH_MODELS[name], problem.dims, **changed)
    out = predict(model, problem)
    assert bool(torch.isfinite(out).all())
    alone = replace(problem, batching=replace(problem.batching, batch_size=1))
    torch.testing.assert_close(predict(model, alone), out, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["symbols", "edges"])
def test_gated_layers_read_edges_only_when_told(kind: str) -> None:
    problem = GRAPH_PROBLEMS[kind]()
    other = list(problem.data)
    for graph in other:
        graph.edge_attr = graph.edge_attr.flip(0)
    changed = replace(problem, data=other, checked=False)
    for told in (False, True):
        model = build(GRAPH_MODELS["gatedgcn"], problem.dims, edge_features=told)
        assert torch.equal(predict(model, problem), predict(model, changed)) != told


def _cut(graph: Data, nodes: int) -> Data:
    """The graph's first nodes, without edges."""
    cut = graph.clone()
    cut.edge_index = graph.edge_index[:, :0]
    for field, rows in (("x", nodes), ("edge_attr", 0)):
        if graph.get(field) is not None:
            cut[field] = graph[field][:rows]
    cut.num_nodes = nodes
    return cut


@pytest.mark.parametrize("name", HYPERGRAPH_MODELS)
class TestHypergraphModels:
    def test_a_row_per_vertex_and_a_gradient_for_every_parameter(self, name: str) -> None:
        problem = tiny.hypergraph_problem()
        model = build(HYPERGRAPH_MODELS[name], problem.dims)
        out = predict(model, problem)
        assert out.shape == (6, 2)
        assert bool(torch.isfinite(out).all())
        check_gradients(model, problem)

    def test_same_seed_same_answer_and_state_in_buffers(self, name: str) -> None:
        problem = tiny.hypergraph_problem()
        entry = HYPERGRAPH_MODELS[name]
        first, again = (build(entry, problem.dims, seed=3) for _ in range(2))
        assert torch.equal(predict(first, problem), predict(again, problem))
        check_reload(entry, shown(entry, problem), problem)

    def test_renaming_vertices_and_hyperedges_renames_predictions(self, name: str) -> None:
        problem = tiny.hypergraph_problem()
        model = shown(HYPERGRAPH_MODELS[name], problem)
        new, hyperedge = torch.tensor([3, 0, 5, 1, 4, 2]), torch.tensor([2, 0, 1])
        pairs = problem.data.hyperedge_index
        moved = torch.stack([new[pairs[0]], hyperedge[pairs[1]]]).flip(1)
        graphs = (
            type(problem.data)(x=problem.data.x, hyperedge_index=pairs),
            type(problem.data)(x=problem.data.x[new.argsort()], hyperedge_index=moved),
        )
        expected, found = (on_graph(model, graph) for graph in graphs)
        torch.testing.assert_close(found[new], expected, rtol=1e-4, atol=1e-5)


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

    def test_state_is_in_buffers(self, name: str) -> None:
        problem = tiny.stream_problem()
        check_reload(STREAM_MODELS[name], shown(STREAM_MODELS[name], problem), problem)

    def test_reset_forgets_everything(self, name: str) -> None:
        problem = tiny.stream_problem()
        model = build(STREAM_MODELS[name], problem.dims).eval()
        passes = []
        for _ in range(2):
            model.reset_state()
            rows = []
            for batch in problem.batches("all", model):
                rows.append(model(batch).detach())
                model.observe(batch)
            passes.append(torch.cat(rows))
        assert torch.equal(*passes)


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, e in LISTS.items() for n in e])
class TestEveryEntry:
    @pytest.mark.parametrize("section", ["Args", "Reads", "Source"])
    def test_the_class_says(self, kind: str, name: str, section: str) -> None:
        assert f"\n    {section}:\n        " in (class_of(LISTS[kind][name]).__doc__ or "")

    def test_transforms_are_named_by_their_settings(self, kind: str, name: str) -> None:
        """Their ``repr`` is the name under which results are kept: no address, no two alike."""
        model = build(LISTS[kind][name], Dims(3, 2, num_nodes=4))
        for change in (model.pre_transform, model.transform):
            assert " at 0x" not in repr(change)

    def test_settings_are_by_name_and_few(self, kind: str, name: str) -> None:
        signature = inspect.signature(class_of(LISTS[kind][name]))
        kinds = {n: p.kind for n, p in signature.parameters.items()}
        assert kinds.pop("dims") is inspect.Parameter.POSITIONAL_OR_KEYWORD
        assert set(kinds.values()) <= {inspect.Parameter.KEYWORD_ONLY}
        assert len(kinds) <= 8


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
