"""Encoders against loops over walks and tokens; which graphs walk features tell apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv
from torch_geometric.utils import subgraph

from graphkit.errors import DataError, SettingError
from graphkit.nn import GatedGCNLayer
from graphkit.nn.walk_encoder import SubgraphEncoder, WalkFeatureEncoder
from graphkit.transforms import Chain
from graphkit.transforms.walk_tokens import InducedTokens
from graphkit.transforms.walks import InEdges, RandomWalkTokens, walk_bits

NODES = 9


def graph(length: int = 3, *, independent: bool = False, edges: int = 30) -> Data:
    """Directed, with self-loops and duplicates, the last node isolated; double features."""
    torch.manual_seed(edges)
    data = Data(
        x=torch.randn(NODES, 4).double(),
        edge_index=torch.randint(0, NODES - 1, (2, edges)),
        edge_attr=torch.randn(edges, 2).double(),
    )
    walks = RandomWalkTokens(length, 3, 2, window=3, independent_lengths=independent, edges=True)
    return Chain(walks, InducedTokens())(data)


def walk_by_walk(layer: WalkFeatureEncoder, data: Data, window: int) -> Tensor:
    """Every row written out, every walk convolved by itself."""
    edges = set(map(tuple, data.edge_index.t().tolist()))
    sets, repeats, walks, rows, nodes = data.walk_index.shape
    out = torch.zeros(nodes, rows - 1, repeats, layer.convolve.out_channels).double()
    for v in range(nodes):
        for length in range(1, rows):
            for j in range(repeats):
                total = torch.zeros(layer.convolve.out_channels).double()
                for number in range(walks):
                    of = (length - 1 if sets > 1 else 0, j, number)
                    w = data.walk_index[of][: length + 1, v].tolist()
                    used = [-1, *data.walk_edge[of][:length, v].tolist()]
                    features = []
                    for i, node in enumerate(w):
                        bits = [float(i >= 1 and w[i] == w[i - 1])]
                        for back in range(2, window + 1):
                            before = w[i - back] if i >= back else None
                            bits += [float(node == before), float((node, before) in edges)]
                        parts = [data.x[node], torch.tensor(bits).double()]
                        if layer.edge_channels:
                            attr = data.edge_attr[used[i]] if used[i] >= 0 else torch.zeros(2)
                            parts.append(attr.double())
                        features.append(torch.cat(parts))
                    row = torch.stack(features).t()[None]  # (1, channels, length + 1)
                    padded = F.pad(row, (layer.kernel_size - 1, 0))
                    mapped = F.conv1d(padded, layer.convolve.weight, layer.convolve.bias)
                    total = total + mapped.relu().mean(dim=2)[0]
                out[v, rows - 1 - length, j] = total / walks
    return out.flatten(1, 2)


@pytest.mark.parametrize("kernel", [1, 2, 3, 6])
@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("edges", [False, True])
def test_equals_one_walk_at_a_time(kernel: int, independent: bool, edges: bool) -> None:
    """Also with a kernel longer than the walk, and a window below that of the bits."""
    data = graph(independent=independent)
    window = 2 if kernel == 3 else 3
    layer = WalkFeatureEncoder(
        4, 5, window=window, edge_channels=2 * edges, kernel_size=kernel
    ).double()
    found = layer(data.x, data.walk_index, data.walk_bits, data.edge_attr, data.walk_edge)
    assert found.shape == (NODES, 6, 5)
    torch.testing.assert_close(found, walk_by_walk(layer, data, window), atol=1e-12, rtol=0)


@pytest.mark.parametrize("independent", [False, True])
def test_gradients_of_the_walk_encoder(independent: bool) -> None:
    data = graph(2, independent=independent, edges=14)
    layer = WalkFeatureEncoder(4, 3, window=2, edge_channels=2).double()
    names = [name for name, _ in layer.named_parameters()]
    inputs = [data.x, data.edge_attr, *(p.detach().clone() for p in layer.parameters())]

    def call(x: Tensor, e: Tensor, *weights: Tensor) -> Tensor:
        fields = (x, data.walk_index, data.walk_bits, e, data.walk_edge)
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), fields)

    assert torch.autograd.gradcheck(call, [value.requires_grad_() for value in inputs])


def neighbours(edge_index: Tensor, nodes: int) -> list[list[int]]:
    return [edge_index[0, edge_index[1] == v].tolist() for v in range(nodes)]


def mean_over_all_walks(layer: WalkFeatureEncoder, edge_index: Tensor, window: int) -> Tensor:
    """Tokens of length 3 of a regular graph without features, every walk once."""
    near = neighbours(edge_index, nodes := int(edge_index.max()) + 1)
    walks = [[v] for v in range(nodes)]
    for _ in range(3):
        walks = [[*walk, u] for walk in walks for u in near[walk[-1]]]
    index = torch.tensor(walks).view(nodes, -1, 4).permute(1, 2, 0)[None, None]
    bits = walk_bits(InEdges.of(edge_index, nodes), index, window)
    with torch.no_grad():
        return layer(torch.ones(nodes, 1).double(), index, bits)[:, 0].mean(dim=0)


def edges_of(near: list[list[int]]) -> Tensor:
    return torch.tensor([(u, v) for v, sources in enumerate(near) for u in sources]).t()


def on_a_torus(steps: set[tuple[int, int]]) -> Tensor:
    places = [(v // 4, v % 4) for v in range(16)]
    return edges_of(
        [
            [u for u, (c, d) in enumerate(places) if ((c - a) % 4, (d - b) % 4) in steps]
            for a, b in places
        ]
    )


RING = edges_of([[(v - 1) % 6, (v + 1) % 6] for v in range(6)])
TRIANGLES = edges_of([[u for u in range(v // 3 * 3, v // 3 * 3 + 3) if u != v] for v in range(6)])
ROOK = on_a_torus({(0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0)})
SHRIKHANDE = on_a_torus({(0, 1), (0, 3), (1, 0), (3, 0), (1, 1), (3, 3)})


def difference(first: Tensor, second: Tensor, seed: int, window: int, kernel: int) -> float:
    torch.manual_seed(seed)
    layer = WalkFeatureEncoder(1, 64, window=window, kernel_size=kernel).double()
    means = [mean_over_all_walks(layer, edges, window) for edges in (first, second)]
    assert float(means[0].abs().max()) > 0.1
    return float((means[0] - means[1]).abs().max())


@pytest.mark.parametrize("seed", range(3))
class TestExpressivity:
    def test_the_pair_is_strongly_regular(self, seed: int) -> None:
        """16 nodes of degree 6, two common neighbours each; what 2-WL cannot tell apart."""
        for edges in (ROOK, SHRIKHANDE):
            dense = torch.zeros(16, 16)
            dense[edges[0], edges[1]] = 1
            assert torch.equal(dense @ dense, 4 * torch.eye(16) + 2)
            assert torch.equal(dense, dense.t())

    def test_a_ring_is_not_two_triangles(self, seed: int) -> None:
        assert difference(RING, TRIANGLES, seed, window=3, kernel=2) > 1e-3

    @pytest.mark.parametrize("kernel", [2, 3])
    def test_joined_rows_tell_the_pair_apart(self, seed: int, kernel: int) -> None:
        assert difference(ROOK, SHRIKHANDE, seed, window=3, kernel=kernel) > 1e-3

    def test_single_rows_and_a_short_window_do_not(self, seed: int) -> None:
        assert difference(ROOK, SHRIKHANDE, seed, window=3, kernel=1) < 1e-9
        assert difference(ROOK, SHRIKHANDE, seed, window=2, kernel=2) < 1e-9

    def test_a_renamed_copy_is_the_same(self, seed: int) -> None:
        new = torch.randperm(16, generator=torch.Generator().manual_seed(seed))
        assert difference(ROOK, new[ROOK], seed, window=3, kernel=2) < 1e-9


def token_by_token(convs: nn.ModuleList, lengths: Tensor, data: Data, edges: bool) -> Tensor:
    tokens = []
    for number in range(NODES * len(lengths)):
        members = data.token_node[data.token_of == number]
        inner, attr = subgraph(
            members, data.edge_index, data.edge_attr, relabel_nodes=True, num_nodes=NODES
        )
        h, e = data.x[members], attr
        for conv in convs:
            out = conv(h, inner, e) if edges else conv(h, inner)
            h, e = out if isinstance(out, tuple) else (out, e)
        tokens.append(h.mean(dim=0))
    return torch.stack(tokens).view(NODES, len(lengths), -1) + lengths


@pytest.mark.parametrize("independent", [False, True])
def test_equals_one_token_at_a_time(independent: bool) -> None:
    data = graph(independent=independent)
    layers = [SAGEConv(4, 6), SAGEConv(6, 5)]
    layer = SubgraphEncoder(*layers, channels=5, walk_length=3, num_repeats=2).double()
    found = layer(data.x, data.token_node, data.token_of, data.token_edges)
    lengths = layer.length.weight[[2, 2, 1, 1, 0, 0]]
    expected = token_by_token(layer.convs, lengths, data, edges=False)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_layers_with_an_edge_stream_hand_it_on() -> None:
    data = graph()
    data.x, data.edge_attr = data.x, torch.cat([data.edge_attr, data.edge_attr], dim=1)
    gated = [GatedGCNLayer(4), GatedGCNLayer(4)]
    layer = SubgraphEncoder(*gated, channels=4, walk_length=3, num_repeats=2).double().eval()
    fields = (data.token_node, data.token_of, data.token_edges, data.edge_attr, data.token_edge)
    lengths = layer.length.weight[[2, 2, 1, 1, 0, 0]]
    expected = token_by_token(layer.convs, lengths, data, edges=True)
    torch.testing.assert_close(layer(data.x, *fields), expected, atol=1e-12, rtol=0)


def test_gradients_of_the_subgraph_encoder() -> None:
    data = graph(2, edges=14)
    layer = SubgraphEncoder(SAGEConv(4, 3), channels=3, walk_length=2, num_repeats=2).double()
    fields = (data.token_node, data.token_of, data.token_edges)
    assert torch.autograd.gradcheck(lambda x: layer(x, *fields), data.x.requires_grad_())
    layer(data.x, *fields).square().sum().backward()
    assert all(bool(p.grad.any()) for p in layer.parameters())


@pytest.mark.parametrize("kind", ["walks", "subgraphs"])
def test_tokens_move_with_the_nodes(kind: str) -> None:
    """Walks carried along with a renaming; longest tokens stay first."""
    data, new = graph(), torch.randperm(NODES, generator=torch.Generator().manual_seed(1))
    old = new.argsort()
    moved = Data(x=data.x[old], edge_index=new[data.edge_index], num_nodes=NODES)
    moved.walk_index = new[data.walk_index[..., old]]
    moved.walk_bits = walk_bits(InEdges.of(moved.edge_index, NODES), moved.walk_index, 3)
    assert torch.equal(moved.walk_bits, data.walk_bits[old])
    moved = InducedTokens()(moved)
    torch.manual_seed(0)
    if kind == "walks":
        layer: nn.Module = WalkFeatureEncoder(4, 5, window=3).double()
        names = ("walk_index", "walk_bits")
    else:
        conv = SAGEConv(4, 5)
        layer = SubgraphEncoder(conv, channels=5, walk_length=3, num_repeats=2).double()
        names = ("token_node", "token_of", "token_edges")
    before, after = (layer(d.x, *(d[name] for name in names)) for d in (data, moved))
    torch.testing.assert_close(after[new], before, atol=1e-10, rtol=0)
    assert not torch.allclose(before[:, 0], before[:, -1])


@pytest.mark.parametrize("nodes", [0, 1, 3])
@pytest.mark.parametrize("length", [0, 1, 2])
def test_graphs_without_edges(nodes: int, length: int) -> None:
    """A token of an isolated node is the node alone: all its tokens see it staying."""
    data = Data(x=torch.ones(nodes, 4), edge_index=torch.empty(2, 0).long(), num_nodes=nodes)
    data = InducedTokens()(RandomWalkTokens(length, 2, 3, edges=True)(data))
    walks = WalkFeatureEncoder(4, 5, window=2, edge_channels=2, kernel_size=3)
    found = walks(data.x, data.walk_index, data.walk_bits, torch.empty(0, 2), data.walk_edge)
    assert found.shape == (nodes, length * 3, 5)
    assert bool(torch.isfinite(found).all())
    inside = SubgraphEncoder(SAGEConv(4, 5), channels=5, walk_length=length, num_repeats=3)
    found = inside(data.x, data.token_node, data.token_of, data.token_edges)
    assert found.shape == (nodes, length * 3, 5)
    assert bool(torch.isfinite(found).all())


def test_wrong_batches_are_refused() -> None:
    data = graph()
    layer = WalkFeatureEncoder(4, 5, window=3, edge_channels=2).double()
    with pytest.raises(DataError, match="lacks edge_attr or walk_edge"):
        layer(data.x, data.walk_index, data.walk_bits, data.edge_attr)
    plain = WalkFeatureEncoder(4, 5, window=3).double()
    chosen = torch.tensor([0, 2, 3])
    with pytest.raises(DataError, match="walk of node 1 begins at node 2"):
        plain(data.x[chosen], data.walk_index[..., chosen], data.walk_bits[chosen])
    tokens = SubgraphEncoder(SAGEConv(4, 5), channels=5, walk_length=3, num_repeats=1).double()
    with pytest.raises(DataError, match="holds 54 tokens; expected 3 for each of 9 nodes"):
        tokens(data.x, data.token_node, data.token_of, data.token_edges)


def test_sizes_out_of_range() -> None:
    with pytest.raises(SettingError, match="window=9, kernel_size=2, edge_channels=0"):
        WalkFeatureEncoder(4, 5, window=9)
    with pytest.raises(SettingError, match="kernel_size=0"):
        WalkFeatureEncoder(4, 5, window=1, kernel_size=0)
