"""The baselines against PyG's own networks and dense matrices, from the same weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch_geometric import nn as pyg

from graphkit.data.batching import NodeRows, SampledNodes
from graphkit.errors import SettingError
from graphkit.models import APPNP, DAGNN, GAT, GCN, MLP, SGC, GraphSAGE, LabelPropagation, Model
from graphkit.tasks import Dims
from tests import tiny


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (GCN(Dims(3, 2), hidden_channels=8), pyg.GCN(3, 8, 2, 2)),
        (GraphSAGE(Dims(3, 2), hidden_channels=8), pyg.GraphSAGE(3, 8, 2, 2)),
        (
            GAT(Dims(3, 2), hidden_channels=4, heads=2, out_heads=2),
            pyg.GAT(3, 8, 2, 2, heads=2, act="elu"),
        ),
    ],
    ids=["gcn", "graphsage", "gat"],
)
def test_same_answers_as_pygs_network(ours: Model, theirs: torch.nn.Module) -> None:
    theirs.load_state_dict(ours.state_dict())
    problem = tiny.node_problem()
    [batch] = problem.batches("all", ours.eval())
    expected = theirs.eval()(batch.x, batch.edge_index)
    torch.testing.assert_close(ours(batch), expected, atol=1e-5, rtol=1e-5)


def test_each_node_by_itself_needs_no_other() -> None:
    """The same answers from rows alone, one at a time."""
    problem = tiny.node_problem()
    model = MLP(problem.dims).eval()
    [whole] = problem.batches("all", model)
    rows = replace(problem, batching=NodeRows(1)).batches("all", model)
    torch.testing.assert_close(torch.cat([model(row) for row in rows]), model(whole))


def test_personalised_pagerank_is_pygs() -> None:
    problem = tiny.node_problem()
    model = APPNP(problem.dims, hops=7, alpha=0.2).eval()
    [batch] = problem.batches("all", model)
    expected = pyg.APPNP(7, 0.2)(model.predict(batch), batch.edge_index)
    torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=1e-5)


def test_averaged_features_are_a_matrix_power() -> None:
    problem = tiny.node_problem()
    model = SGC(problem.dims, hops=3).eval()
    [batch] = problem.batches("all", model)
    dense = torch.eye(6)
    source, destination = problem.data.edge_index
    dense[destination, source] = 1
    root = dense.sum(dim=1).rsqrt()
    operator = root[:, None] * dense * root
    expected = model.linear(torch.linalg.matrix_power(operator, 3) @ problem.data.x)
    torch.testing.assert_close(model(batch), expected)


def test_deep_adaptive_network_without_hops_is_a_gated_network_of_nodes() -> None:
    problem = tiny.node_problem()
    model = DAGNN(problem.dims, hops=0).eval()
    [batch] = problem.batches("all", model)
    z = model.classify(model.encode(problem.data.x).relu())
    torch.testing.assert_close(model(batch), model.reach.gate(z).sigmoid() * z)


@pytest.mark.parametrize("cls", [GraphSAGE, GAT])
def test_all_neighbours_sampled_give_the_answers_of_the_whole_graph(cls: type[Model]) -> None:
    """Two layers read two hops; all in-edges of a seed and of its neighbours are there."""
    problem = tiny.node_problem()
    model = cls(problem.dims).eval()
    [whole] = problem.batches("all", model)
    expected = model(whole)
    sampled = replace(problem, batching=SampledNodes((-1, -1), batch_size=2))
    for batch in sampled.batches("all", model):
        found = model(batch)[batch.seeds]
        torch.testing.assert_close(found, expected[batch.n_id[batch.seeds]])


def test_classes_flow_from_what_is_known() -> None:
    """Nodes 0 and 3 are known, one in each triangle: the others follow their triangle."""
    problem = tiny.node_problem()
    model = LabelPropagation(problem.dims)
    [batch] = problem.batches("train", model)
    model.losses(batch, problem.task)
    assert model.known.nonzero().tolist() == [[0, 0], [3, 1]]
    assert model(batch).argmax(dim=1).tolist() == [0, 0, 0, 1, 1, 1]


def test_label_propagation_reads_no_answer_but_those_it_was_shown() -> None:
    problem = tiny.node_problem()
    model = LabelPropagation(problem.dims)
    [batch] = problem.batches("train", model)
    model.losses(batch, problem.task)
    before = model(batch)
    batch.y = 1 - batch.y
    assert torch.equal(model(batch), before)


def test_label_propagation_needs_the_number_of_nodes() -> None:
    with pytest.raises(SettingError, match="num_nodes"):
        LabelPropagation(Dims(3, 2))
