"""Equivariant maps against every basis map written out, and against the constraint itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.errors import SettingError
from graphkit.nn.subgraph_linear import ByClass, SubgraphLinear
from graphkit.transforms.ego_networks import EgoSets

EDGES = torch.empty(2, 0, dtype=torch.long)
# rank of the maps between two orders for 1, 2, ... nodes: some coincide where nodes are few
SLOTS = {2: (3, 2), 1: (1, 1), 0: (0, 1)}  # terms written: for each node, for the whole
RANKS = {
    (2, 2): (1, 8, 14, 15, 15, 15),
    (2, 1): (1, 4, 5, 5, 5, 5),
    (1, 2): (1, 4, 5, 5, 5, 5),
    (1, 1): (1, 2, 2, 2, 2, 2),
    (2, 0): (1, 2, 2, 2, 2, 2),
    (1, 0): (1, 1, 1, 1, 1, 1),
    (0, 2): (1, 2, 2, 2, 2, 2),
    (0, 1): (1, 1, 1, 1, 1, 1),
    (0, 0): (1, 1, 1, 1, 1, 1),
}
COUNTS = {pair: max(ranks) for pair, ranks in RANKS.items()}
OVERLAPPING = ((2, 0, 1), (3, 1), (3,), (0, 1, 2, 3, 5), (5, 1))  # node 4 is in none


def of_sets(*members: tuple[int, ...], nodes: int) -> EgoSets:
    ego = [number for number, own in enumerate(members) for _ in own]
    return EgoSets.of(
        torch.tensor(ego, dtype=torch.long),
        torch.tensor([node for own in members for node in own], dtype=torch.long),
        EDGES,
        num_sets=len(members),
        num_nodes=nodes,
        dtype=torch.float64,
    )


def one_class(egos: EgoSets) -> ByClass:
    return ByClass.of(egos, torch.zeros(int(egos.size.max()) + 1, dtype=torch.long))


def images(reads: int, writes: int, x: Tensor, m: int) -> tuple[list[Tensor], list[Tensor]]:
    """Every basis map on one sub-graph of ``m`` nodes, written out: those of the vectors that
    stand at nodes, then those of the vectors of the whole; all of shape (m,) * writes + (d,)."""
    scalars: list[Tensor]
    vectors: list[Tensor]
    if reads == 0:
        scalars, vectors = [x], []
    elif reads == 1:
        scalars, vectors = [x.sum(0) / m], [x]
    else:
        diagonal = torch.stack([x[i, i] for i in range(m)])
        scalars = [diagonal.sum(0) / m, x.sum((0, 1)) / m**2]
        vectors = [diagonal, x.sum(1) / m, x.sum(0) / m]
    if writes == 0:
        return [], scalars
    if writes == 1:
        return vectors, [v.expand(m, -1) for v in scalars]
    eye = torch.eye(m, dtype=x.dtype)[:, :, None]
    along_rows = [v[:, None].expand(m, m, -1) for v in vectors]
    along_columns = [v[None, :].expand(m, m, -1) for v in vectors]
    on_diagonal = [eye * v[:, None] for v in vectors]
    everywhere = [v.expand(m, m, -1) for v in scalars]
    of_whole = [*everywhere, *(eye * v for v in everywhere)]
    return [*along_rows, *along_columns, *on_diagonal], of_whole


def stacked(layer: SubgraphLinear, orders: tuple[int, int], kind: int, x: Tensor, m: int) -> Tensor:
    """The layer's map on one sub-graph, by the whole stack of basis maps: (m,) * writes + (h,)."""
    reads, writes = orders
    own = layer.reads[str(reads)]
    width = own.out_channels[writes]
    others = [*own.out_channels][: [*own.out_channels].index(writes)]
    maps: list[Tensor] = []
    weights: list[Tensor] = []
    pairs_of = zip((own.nodes, own.whole), images(reads, writes, x, m), strict=True)
    for part, (weight, made) in enumerate(pairs_of):
        if made:
            first = sum(SLOTS[o][part] * own.out_channels[o] for o in others)
            columns = weight[kind][:, first : first + SLOTS[writes][part] * width]
            blocks = columns.reshape(-1, x.shape[-1], SLOTS[writes][part], width)
            weights += [*blocks.permute(2, 0, 1, 3).flatten(0, 1)]
            maps += made
    if orders == (2, 2):
        maps += [x, x.transpose(0, 1)]
        weights += [*own.pairs[kind].split(width, dim=1)]
    assert len(maps) == COUNTS[orders]
    out = torch.einsum("b...d,bdh->...h", torch.stack(maps), torch.stack(weights))
    bias = own.bias[kind].split(own.whole_widths)[sum(SLOTS[o][1] for o in others) :]
    if writes == 2:
        out = out + torch.eye(m, dtype=x.dtype)[:, :, None] * bias[1]
    return out + bias[0]


def table(pairs: Tensor, values: Tensor, nodes: int) -> Tensor:
    """A dense (nodes, nodes, channels) with zeros where there is no pair."""
    out = values.new_zeros(nodes, nodes, values.shape[1])
    out[pairs[0], pairs[1]] = values
    return out


def random_layer(ins: dict[int, int], outs: dict[int, int], classes: int = 1) -> SubgraphLinear:
    torch.manual_seed(1)
    layer = SubgraphLinear(ins, outs, classes).double()
    for name, parameter in layer.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return layer


def drawn_inputs(egos: EgoSets, widths: dict[int, int]) -> dict[int, Tensor]:
    torch.manual_seed(2)
    rows = {2: egos.pair_index.shape[1], 1: egos.num_nodes, 0: len(egos.size)}
    return {o: torch.randn(rows[o], d, dtype=torch.float64) for o, d in widths.items()}


def matrices(reads: int, writes: int, m: int) -> Tensor:
    """Each map of the layer as a row, (maps, m^reads * m^writes): a copy of the sub-graph for each
    place of the input, 1 there and 0 elsewhere."""
    copies = m**reads
    egos = of_sets(*(tuple(range(m * n, m * n + m)) for n in range(copies)), nodes=m * copies)
    layer = SubgraphLinear({reads: 1}, {writes: 1}).double()
    inputs = torch.eye(copies, dtype=torch.float64).reshape(-1, 1)
    weights = [p for n, p in layer.named_parameters() if not n.endswith("bias")]
    rows = []
    with torch.no_grad():
        for weight in weights:
            for place in range(weight.numel()):
                for other in weights:
                    other.zero_()
                weight.view(-1)[place] = 1
                rows.append(layer({reads: inputs}, egos, one_class(egos))[writes].flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("orders", RANKS)
def test_rank_of_the_maps(orders: tuple[int, int]) -> None:
    for m, rank in enumerate(RANKS[orders], start=1):
        maps = matrices(*orders, m)
        assert len(maps) == COUNTS[orders]
        assert int(torch.linalg.matrix_rank(maps)) == rank


@pytest.mark.parametrize("m", [4, 5])
@pytest.mark.parametrize("orders", [(2, 2), (2, 1), (1, 2), (1, 1), (2, 0), (1, 0)])
def test_the_maps_are_all_that_commute(orders: tuple[int, int], m: int) -> None:
    """The null space of the constraint, over two renamings that generate all, has no more."""
    reads, writes = orders
    swap = torch.tensor([1, 0, *range(2, m)])
    turn = torch.arange(m).roll(1)

    def renaming(order: int, new: Tensor) -> Tensor:
        one = torch.eye(m, dtype=torch.float64)[new]
        return {0: torch.ones(1, 1, dtype=torch.float64), 1: one, 2: torch.kron(one, one)}[order]

    constraint = torch.cat(
        [
            torch.kron(torch.eye(m**reads), renaming(writes, new))
            - torch.kron(renaming(reads, new).t().contiguous(), torch.eye(m**writes))
            for new in (swap, turn)
        ]
    )  # on a map L (writes, reads), its columns one below the other: R L - L Q = 0
    values = torch.linalg.svdvals(constraint)
    assert int((values < 1e-9).sum()) == COUNTS[orders]
    maps = matrices(reads, writes, m)  # rows: (m^reads, m^writes) = columns of L
    assert (constraint @ maps.t()).abs().max() < 1e-12
    # A bias commutes alone: the map from one number.
    assert COUNTS[0, writes] == {2: 2, 1: 1, 0: 1}[writes]


@pytest.mark.parametrize("ins", [{2: 3}, {1: 2}, {0: 2}, {2: 3, 1: 2, 0: 1}, {1: 2, 2: 3}])
@pytest.mark.parametrize("outs", [{2: 4}, {1: 3}, {0: 5}, {2: 4, 1: 3, 0: 5}, {0: 2, 1: 3, 2: 1}])
@pytest.mark.parametrize("classes", [1, 3])
def test_equals_the_stack_of_all_maps_merged(
    ins: dict[int, int], outs: dict[int, int], classes: int
) -> None:
    nodes = 6
    egos = of_sets(*OVERLAPPING, nodes=nodes)
    layer = random_layer(ins, outs, classes)
    kind = torch.tensor([0, 0, 1, 2, 2, 2]).clamp(max=classes - 1)
    inputs = drawn_inputs(egos, ins)
    found = layer(inputs, egos, ByClass.of(egos, kind, classes))
    members = egos.member.split(egos.size.tolist())
    for writes, width in outs.items():
        joined = []
        for reads in ins:
            total = torch.zeros((nodes,) * writes + (width,), dtype=torch.float64)
            count = torch.zeros((nodes,) * writes + (1,), dtype=torch.float64)
            alone = []
            for number, own in enumerate(members):
                x = inputs[reads]
                if reads == 2:
                    x = table(egos.pair_index, x, nodes)[own][:, own]
                else:
                    x = x[own] if reads == 1 else x[number]
                y = stacked(layer, (reads, writes), int(kind[len(own)]), x, len(own))
                place = ((), (own,), (own[:, None], own[None, :]))[writes]
                if writes:
                    total[place] += y
                    count[place] += 1
                alone.append(y)
            mean = total / count.clamp(min=1)
            places = (None, torch.arange(nodes)[None], egos.pair_index)[writes]
            joined.append(torch.stack(alone) if places is None else mean[tuple(places)])
        torch.testing.assert_close(found[writes], torch.cat(joined, 1), rtol=1e-12, atol=1e-12)


def test_two_nodes_checked_by_hand() -> None:
    """X = [[1, 2], [3, 4]]: trace 5 / 2, total 10 / 4, rows 3 / 2 and 7 / 2, columns 2 and 3."""
    egos = of_sets((0, 1), nodes=2)
    layer = SubgraphLinear({2: 1}, {2: 1, 1: 1, 0: 1}).double()
    own = layer.reads["2"]
    x = {2: torch.tensor([[1.0], [2.0], [3.0], [4.0]], dtype=torch.float64)}

    def out(name: str, row: int, column: int) -> dict[int, list[float]]:
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.zero_()
            getattr(own, name)[0, row, column] = 1
            return {o: y[:, 0].tolist() for o, y in layer(x, egos, one_class(egos)).items()}

    assert out("pairs", 0, 0)[2] == [1, 2, 3, 4]
    assert out("pairs", 0, 1)[2] == [1, 3, 2, 4]
    assert out("nodes", 1, 0)[2] == [1.5, 1.5, 3.5, 3.5]  # row sums along rows
    assert out("nodes", 1, 1)[2] == [1.5, 3.5, 1.5, 3.5]  # row sums along columns
    assert out("nodes", 2, 0)[2] == [2, 2, 3, 3]  # column sums along rows
    assert out("nodes", 0, 2)[2] == [1, 0, 0, 4]  # the diagonal on the diagonal
    assert out("nodes", 2, 3)[1] == [2, 3]
    assert out("whole", 0, 0)[2] == [2.5] * 4
    assert out("whole", 1, 1)[2] == [2.5, 0, 0, 2.5]
    assert out("whole", 0, 2) == {2: [0] * 4, 1: [2.5, 2.5], 0: [0]}
    assert out("whole", 1, 3)[0] == [2.5]


def test_renaming_the_nodes_renames_the_result() -> None:
    new = torch.tensor([3, 0, 5, 1, 4, 2])
    egos = of_sets(*OVERLAPPING, nodes=6)
    moved = of_sets(*(tuple(int(new[v]) for v in own) for own in OVERLAPPING), nodes=6)
    widths = {2: 3, 1: 2, 0: 1}
    layer = random_layer(widths, {2: 4, 1: 3, 0: 5})
    x = drawn_inputs(egos, widths)
    dense = torch.empty(6, 6, 3, dtype=torch.float64)
    dense[new[egos.pair_index[0]], new[egos.pair_index[1]]] = x[2]
    y = {2: dense[moved.pair_index[0], moved.pair_index[1]], 1: x[1][new.argsort()], 0: x[0]}
    found, expected = layer(y, moved, one_class(moved)), layer(x, egos, one_class(egos))
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1][new], expected[1])
    torch.testing.assert_close(
        table(moved.pair_index, found[2], 6)[new][:, new], table(egos.pair_index, expected[2], 6)
    )


@pytest.mark.parametrize("classes", [1, 2])
def test_gradients(classes: int) -> None:
    egos = of_sets((2, 0, 1), (3, 1), (3,), nodes=4)
    widths = {2: 2, 1: 1, 0: 1}
    layer = random_layer(widths, {2: 1, 1: 2, 0: 1}, classes)
    by_class = ByClass.of(egos, torch.tensor([0, 0, 1, 1]).clamp(max=classes - 1), classes)
    x = [v.requires_grad_() for v in drawn_inputs(egos, widths).values()]
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def out(*values: Tensor) -> tuple[Tensor, ...]:
        state = dict(zip(names, values[3:], strict=True))
        inputs = dict(zip(widths, values[:3], strict=True))
        made = torch.func.functional_call(layer, state, (inputs, egos, by_class))
        return tuple(made.values())

    assert torch.autograd.gradcheck(out, (*x, *parameters), fast_mode=True)


def test_empty_sets_and_no_set_at_all() -> None:
    layer = random_layer({2: 2, 1: 1}, {2: 1, 1: 1, 0: 1}, 2)
    for members in (((), (1,)), ((), ()), ()):
        egos = of_sets(*members, nodes=2)
        kind = torch.tensor([0, 1])
        out = layer(drawn_inputs(egos, {2: 2, 1: 1}), egos, ByClass.of(egos, kind, 2))
        assert [len(out[o]) for o in (2, 1, 0)] == [len(egos.diagonal), 2, len(members)]
        assert all(bool(torch.isfinite(y).all()) for y in out.values())
        assert out[1][0].tolist() == [0, 0]


def test_classes_have_weights_of_their_own() -> None:
    """Changing the second class moves the sets of two nodes and more alone."""
    egos = of_sets((0,), (1, 2), (3, 4, 5), nodes=6)
    layer = random_layer({2: 1}, {1: 1}, 2)
    by_class = ByClass.of(egos, torch.tensor([0, 0, 1, 1]), 2)
    assert by_class == ([1, 2], [1, 5], [1, 13])
    x = drawn_inputs(egos, {2: 1})
    before = layer(x, egos, by_class)[1]
    with torch.no_grad():
        layer.reads["2"].nodes[1] += 1
    assert (layer(x, egos, by_class)[1] != before).flatten().tolist() == [False] + [True] * 5


def test_settings() -> None:
    for ins, outs in (({3: 1}, {1: 1}), ({1: 1}, {-1: 1}), ({}, {1: 1}), ({1: 1}, {})):
        with pytest.raises(SettingError, match="expected some of the orders 0, 1, 2"):
            SubgraphLinear(ins, outs)
    with pytest.raises(SettingError, match="num_classes=0"):
        SubgraphLinear({1: 1}, {1: 1}, 0)
