"""What the tokenizer promises beyond the contract: its four losses, its codes, its odd graphs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.batching import SampledNodes
from graphkit.data.problem import Problem
from graphkit.models.tokenized_gnn import Linked, TokenizedGNN, edge_error
from graphkit.nn.codebook import VectorQuantizer
from graphkit.sparse import SparseMatrix
from graphkit.tasks import Dims
from graphkit.train import TrainConfig, fit
from tests import tiny


def small(problem: Problem, **changed: Any) -> TokenizedGNN:
    torch.manual_seed(0)
    settings = {"hidden_channels": 5, "code_channels": 4, "codes": 3, "dropout": 0.0} | changed
    return TokenizedGNN(problem.dims, **settings)


def whole(model: TokenizedGNN, problem: Problem) -> Any:
    [batch] = problem.batches("train", model)
    return batch


def random_graph(nodes: int, edges: int, seed: int = 0) -> tuple[Tensor, SparseMatrix, Tensor]:
    """Rows, the matrix, and the same matrix dense."""
    draw = torch.Generator().manual_seed(seed)
    u = torch.randn(nodes, 6, generator=draw)
    data = Data(edge_index=torch.randint(nodes, (2, edges), generator=draw), num_nodes=nodes)
    linked = Linked()(data).linked
    return u, linked, linked.forward_csr.to_dense()


class TestLinked:
    def test_by_hand(self) -> None:
        """An edge one way, twice, and a self-loop: each pair once, both ways, with the diagonal."""
        edges = torch.tensor([[0, 0, 2], [1, 1, 2]])
        linked = Linked()(Data(edge_index=edges, num_nodes=3)).linked
        expected = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        assert torch.equal(linked.forward_csr.to_dense(), expected)


class TestEdgeError:
    def test_by_hand(self) -> None:
        """Products [[1, 1], [1, 2]], nothing rescaled, against the identity: 0 + 1 + 1 + 1."""
        linked = Linked()(Data(edge_index=torch.empty(2, 0).long(), num_nodes=2)).linked
        u = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        assert edge_error(u, linked, 0.0, 1.0).item() == pytest.approx(3 / 4)

    @pytest.mark.parametrize("bounds", ["largest", "extremes", "apart"])
    def test_is_that_of_all_pairs(self, bounds: str) -> None:
        u, linked, dense = random_graph(50, 150)
        u.requires_grad_()
        products = u @ u.t()
        low, high = {
            "largest": (0.0, products.max()),
            "extremes": (products.min(), products.max()),
            "apart": (-3.0, 5.0),
        }[bounds]
        error = edge_error(u, linked, low, high)
        expected = F.mse_loss((products - low) / (high - low), dense)
        torch.testing.assert_close(error, expected, rtol=0, atol=1e-6)
        slope, expected_slope = (
            torch.autograd.grad(value, u, retain_graph=True)[0] for value in (error, expected)
        )
        torch.testing.assert_close(slope, expected_slope, rtol=1e-4, atol=1e-6)


class TestLosses:
    def test_parts_by_other_means(self) -> None:
        problem = tiny.node_problem()
        model = small(problem, node_weight=0.5, edge_weight=2.0).eval()
        batch = whole(model, problem)
        terms = model.losses(batch, problem.task)
        assert list(terms) == ["label", "commit", "node", "edge"]
        h = model.embed(batch)
        code = model.quantizer.codebook[model.codes(batch)] * h.norm(dim=1, keepdim=True)
        u = F.linear(code, model.decode_edges.weight, model.decode_edges.bias)
        w = F.linear(code, model.decode_nodes.weight, model.decode_nodes.bias)
        a = torch.zeros(6, 6)
        a[tuple(problem.data.edge_index)] = 1
        a += torch.eye(6)
        rebuilt = u @ u.t() / (u @ u.t()).max()
        expected = {
            "label": problem.task.loss(model(batch), batch),
            "commit": 0.25 * F.mse_loss(h, code),
            "node": 0.5 * F.mse_loss(w, h),
            "edge": 2.0 * F.mse_loss(rebuilt, a).sqrt(),
        }
        for name, term in terms.items():
            torch.testing.assert_close(term, expected[name], rtol=1e-5, atol=1e-6)

    def test_weights_of_nothing(self) -> None:
        problem = tiny.node_problem()
        model = small(problem, node_weight=0.0, edge_weight=0.0)
        terms = model.losses(whole(model, problem), problem.task)
        assert (terms["node"].item(), terms["edge"].item()) == (0.0, 0.0)
        assert terms["label"].item() > 0

    def test_every_parameter_gets_a_gradient(self) -> None:
        problem = tiny.node_problem()
        model = small(problem)
        terms = model.losses(whole(model, problem), problem.task)
        torch.stack(list(terms.values())).sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert bool(torch.isfinite(parameter.grad).all()), name

    def test_the_classes_reach_the_features_through_the_codes(self) -> None:
        problem = tiny.node_problem()
        model = small(problem)
        model.losses(whole(model, problem), problem.task)["label"].backward()
        assert model.gather.lin.weight.grad is not None
        assert float(model.gather.lin.weight.grad.abs().sum()) > 0

    @pytest.mark.parametrize("nodes", [1, 2])
    def test_finite_where_nothing_is_to_rebuild(self, nodes: int) -> None:
        """One node is its own only pair, met exactly: the root has no slope there."""
        model = TokenizedGNN(Dims(3, 2, num_nodes=nodes), code_channels=4, codes=3)
        problem = tiny.node_problem()
        data = Data(x=torch.ones(nodes, 3), edge_index=torch.empty(2, 0).long())
        data.y, data.seeds = torch.zeros(nodes).long(), torch.arange(nodes)
        terms = model.losses(model.transform(data), problem.task)
        torch.stack(list(terms.values())).sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            assert bool(torch.isfinite(parameter.grad).all()), name

    @pytest.mark.parametrize(
        "problem", [tiny.node_problem_bare, tiny.node_problem_symbols], ids=["bare", "symbols"]
    )
    def test_any_features(self, problem: Any) -> None:
        model = small(problem())
        terms = model.losses(whole(model, problem()), problem().task)
        assert bool(torch.isfinite(torch.stack(list(terms.values()))).all())


class TestCodes:
    def test_renaming_the_nodes_renames_the_codes(self) -> None:
        problem, order = tiny.node_problem(), torch.tensor([3, 0, 5, 1, 4, 2])
        model = small(problem, codes=20)
        model.losses(whole(model, problem), problem.task)  # starts the codes on embeddings
        model.eval()
        renamed = Data(
            x=problem.data.x[order],
            edge_index=order.argsort()[problem.data.edge_index],
            y=problem.data.y[order],
        )
        other = replace(problem, data=renamed, checked=False)
        codes = [model.codes(whole(model, p)) for p in (problem, other)]
        assert len(codes[0].unique()) > 1
        assert torch.equal(codes[1], codes[0][order])

    def test_the_kept_epoch_has_its_codebook(self) -> None:
        problem = tiny.node_problem()
        model = small(problem)
        fitted = fit(model, problem, TrainConfig(epochs=6, monitor="loss"))
        assert isinstance(fitted.model.quantizer, VectorQuantizer)
        [batch] = problem.batches("val", fitted.model)
        with torch.no_grad():
            loss = problem.task.loss(fitted.model(batch), batch)
        assert loss.item() == pytest.approx(fitted.val["val_loss"])
        assert {"label", "commit", "node", "edge"} <= set(fitted.history[0])

    def test_evaluation_changes_nothing(self) -> None:
        problem = tiny.node_problem()
        model = small(problem)
        model.losses(whole(model, problem), problem.task)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.eval()
        for _ in range(7):
            model(whole(model, problem))
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())

    def test_more_codes_than_nodes(self) -> None:
        problem = tiny.node_problem()
        fitted = fit(small(problem, codes=40), problem, TrainConfig(epochs=8))
        assert 0 < fitted.last.quantizer.usage <= 6 / 40
        assert fitted.history[-1]["label"] < fitted.history[0]["label"]


class TestSampled:
    def test_trains_on_drawn_neighbours(self) -> None:
        problem = replace(tiny.node_problem(), batching=SampledNodes((2, 2), 2))
        fitted = fit(small(problem), problem, TrainConfig(epochs=12))
        assert fitted.history[-1]["label"] < fitted.history[0]["label"]

    def test_rebuilds_the_drawn_edges_of_the_batch(self) -> None:
        problem = replace(tiny.node_problem(), batching=SampledNodes((1, 1), 2))
        model = small(problem)
        for batch in problem.batches("all", model):
            nodes = len(batch.n_id)
            expected = torch.eye(nodes)
            for source, destination in batch.edge_index.t().tolist():
                expected[source, destination] = expected[destination, source] = 1
            assert torch.equal(batch.linked.forward_csr.to_dense(), expected)

    def test_all_neighbours_are_the_full_graph(self) -> None:
        problem = tiny.node_problem()
        model = small(problem).eval()
        drawn = replace(problem, batching=SampledNodes((-1, -1, -1), 6))
        [sampled] = drawn.batches("all", model)
        # Two hops for the answers and a third, for an embedding looks one hop further itself.
        full = model(whole(model, problem))[sampled.n_id]
        torch.testing.assert_close(model(sampled), full)


def test_weights_follow_from_the_widths() -> None:
    """3 x 4 + 4, 4 x 5 + 5, 4 x 4 + 4, 5 x 2 + 2; codes are no parameters."""
    model = small(tiny.node_problem())
    assert sum(p.numel() for p in model.parameters()) == 16 + 25 + 20 + 12
