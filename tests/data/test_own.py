"""A user's data as a problem: what is read off it, and what is refused, with place and advice."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data, TemporalData

import graphkit
from graphkit.data import Split
from graphkit.errors import DataError, UnknownName
from graphkit.tasks import (
    GraphClassification,
    GraphRegression,
    MultilabelGraphs,
    MultilabelNodes,
    NodeClassification,
    TemporalLinkPrediction,
)


def graph(**changes: object) -> Data:
    """Ten nodes on a ring, three classes."""
    ring = torch.arange(10)
    fields: dict[str, object] = {
        "x": torch.randn(10, 4),
        "edge_index": torch.stack([ring, ring.roll(-1)]),
        "y": torch.arange(10) % 3,
    }
    return Data(**(fields | changes))


def stream(**changes: object) -> TemporalData:
    """Twenty events between three users and four pages."""
    events = torch.arange(20)
    fields: dict[str, object] = {
        "src": events % 3,
        "dst": 3 + events % 4,
        "t": events * 10,
        "msg": torch.zeros(20, 1),
    }
    return TemporalData(**(fields | changes))


def small_graphs(**changes: object) -> list[Data]:
    ring = torch.arange(4)
    edges = torch.stack([ring, ring.roll(1)])
    return [
        Data(
            **({"x": torch.randn(4, 2), "edge_index": edges, "y": torch.tensor([n % 2])} | changes)
        )
        for n in range(10)
    ]


class DataSet:
    """What PyG's data sets look like from outside."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, number: int) -> Data:
        return self.graphs[number]


def test_one_graph_with_the_masks_it_carries() -> None:
    masks = {"train_mask": torch.arange(10) < 4, "val_mask": torch.arange(10) == 4}
    problem = graphkit.make_problem(graph(test_mask=torch.arange(10) > 6, **masks))
    assert problem.split.train.tolist() == [0, 1, 2, 3]
    assert problem.split.test.tolist() == [7, 8, 9]
    assert isinstance(problem.task, NodeClassification)
    assert (problem.dims.in_channels, problem.dims.out_channels, problem.dims.num_nodes) == (
        4,
        3,
        10,
    )


def test_columns_of_masks_are_chosen_by_the_seed() -> None:
    train = torch.zeros(10, 2, dtype=torch.bool)
    train[:4, 0], train[4:8, 1] = True, True
    val, test = torch.zeros_like(train), torch.zeros_like(train)
    val[8], test[9] = True, True
    fields = {"train_mask": train, "val_mask": val, "test_mask": test}
    assert graphkit.make_problem(graph(**fields), seed=1).split.train.tolist() == [4, 5, 6, 7]
    assert graphkit.make_problem(graph(**fields), seed=2).split.train.tolist() == [0, 1, 2, 3]


def test_kinds_of_answers() -> None:
    many = torch.randint(0, 2, (10, 5))
    assert isinstance(graphkit.make_problem(graph(y=many)).task, MultilabelNodes)
    assert isinstance(graphkit.make_problem(small_graphs()).task, GraphClassification)
    numbers = small_graphs(y=torch.tensor([0.5]))
    assert isinstance(graphkit.make_problem(numbers).task, GraphRegression)
    labels = small_graphs(y=torch.tensor([[0.0, 1.0, float("nan")]]))
    assert isinstance(graphkit.make_problem(labels).task, MultilabelGraphs)
    assert isinstance(graphkit.make_problem(stream()).task, TemporalLinkPrediction)


def test_a_data_set_is_a_list_of_graphs() -> None:
    problem = graphkit.make_problem(DataSet(small_graphs()))
    assert problem.num_items == 10
    assert graphkit.make_problem(DataSet([graph()])).num_items == 10  # its nodes


def test_whole_number_features_become_floats() -> None:
    problem = graphkit.make_problem(graph(x=torch.ones(10, 4, dtype=torch.long)))
    assert problem.data.x.dtype == torch.float32


def test_narrow_ids_are_widened_once() -> None:
    problem = graphkit.make_problem(graph(edge_index=graph().edge_index.int()))
    assert problem.data.edge_index.dtype == torch.int64


def test_edges_are_sorted_by_destination_and_their_fields_follow() -> None:
    edges = torch.tensor([[0, 1, 2, 3], [3, 0, 2, 0]])
    problem = graphkit.make_problem(
        graph(edge_index=edges, edge_attr=torch.tensor([10, 20, 30, 40]))
    )
    assert problem.data.edge_index.tolist() == [[1, 3, 2, 0], [0, 0, 2, 3]]
    assert problem.data.edge_attr.tolist() == [20, 40, 30, 10]


def test_directed_edges_both_ways_if_asked() -> None:
    problem = graphkit.make_problem(graph(), to_undirected=True)
    assert problem.data.edge_index.shape[1] == 20


EDGES = graph().edge_index
BAD = [
    ("id too large", {"edge_index": torch.tensor([[0, 1], [1, 12]])}, r"\[1, 1\] = 12 .*10 nodes"),
    ("negative id", {"edge_index": torch.tensor([[0, -3], [1, 2]])}, r"\[0, 1\] = -3"),
    ("transposed", {"edge_index": EDGES.t()}, r"transposed: pass edge_index.t\(\)"),
    ("float ids", {"edge_index": EDGES.float()}, "torch.float32"),
    ("float64 features", {"x": torch.ones(10, 2).double()}, r"float64.*data.x.float\(\)"),
    ("NaN feature", {"x": torch.ones(10, 2).index_fill(0, torch.tensor([3]), float("nan"))},
     "row 3, column 0"),
    ("infinite weight", {"edge_weight": torch.full((10,), float("inf"))}, "edge_weight.*row 0"),
    ("rows of x", {"x": torch.ones(9, 2), "num_nodes": 10}, "x has 9 rows"),
    ("rows of edge_attr", {"edge_attr": torch.ones(7, 1)}, "edge_attr has 7 rows"),
    ("no answers", {"y": None}, "field 'y'"),
    ("length of y", {"y": torch.zeros(8, dtype=torch.long)}, "8"),
    ("gaps in the ids", {"edge_index": torch.tensor([[0, 10**6], [1, 2]])}, "number the nodes"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_graph_is_refused(changes: dict[str, object], message: str) -> None:
    items = torch.arange(10)
    parts = Split(items[:5], items[5:7], items[7:])
    with pytest.raises(DataError, match=message):
        graphkit.make_problem(graph(**changes), split=parts)


def test_nonfinite_features_pass_if_asked() -> None:
    x = torch.full((10, 2), float("nan"))
    assert graphkit.make_problem(graph(x=x), allow_nonfinite=True).num_items == 10


def test_a_graph_without_nodes_is_refused() -> None:
    empty = Data(x=torch.ones(0, 2), edge_index=torch.empty(2, 0).long(), y=torch.empty(0).long())
    nothing = torch.empty(0).long()
    with pytest.raises(DataError, match=r"no nodes|empty"):
        graphkit.make_problem(empty, split=Split(nothing, nothing, nothing))


def test_a_class_out_of_range_is_named() -> None:
    with pytest.raises(DataError, match=r"y\[2\] = 7 is no class; expected 0 <= class < 3"):
        graphkit.make_problem(
            graph(y=torch.tensor([0, 1, 7, 0, 1, 2, 0, 1, 2, 0])),
            task=NodeClassification(num_classes=3),
        )


def test_splits_that_leak_or_are_empty() -> None:
    items = torch.arange(10)
    with pytest.raises(DataError, match="item 4 is in both 'train' and 'val'"):
        graphkit.make_problem(graph(), split=Split(items[:5], items[4:6], items[6:]))
    with pytest.raises(DataError, match="'val' part of the split is empty"):
        graphkit.make_problem(graph(), split=Split(items[:5], items[:0], items[6:]))
    with pytest.raises(DataError, match=r"test\[3\] = 10 is out of range for 10 items"):
        graphkit.make_problem(
            graph(), split=Split(items[:5], items[5:7], torch.tensor([7, 8, 9, 10]))
        )
    shared = Split(items[:5], items[4:6], items[6:])
    assert graphkit.make_problem(graph(), split=shared, allow_overlap=True).num_items == 10


def test_a_part_without_any_known_answer() -> None:
    items = torch.arange(10)
    y = torch.tensor([0, 1, 0, 1, 0, -1, -1, 0, 1, 0])
    with pytest.raises(DataError, match="'val' part has a known answer"):
        graphkit.make_problem(graph(y=y), split=Split(items[:5], items[5:7], items[7:]))


STREAMS = [
    ("unsorted", {"t": torch.tensor([*range(19), 3]) * 1}, r"t\[19\] = 3 lies before t\[18\] = 18"),
    ("negative", {"t": torch.arange(20) - 5}, r"t\[0\] = -5 is negative"),
    ("NaN", {"t": torch.arange(20.0).index_fill(0, torch.tensor([4]), float("nan"))}, "row 4"),
    ("beyond 2**53", {"t": torch.arange(20).double() + 2.0**54}, r"2\*\*53"),
]


@pytest.mark.parametrize(
    ("changes", "message"), [s[1:] for s in STREAMS], ids=[s[0] for s in STREAMS]
)
def test_a_bad_stream_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        graphkit.make_problem(stream(**changes))


def test_unsorted_events_are_sorted_if_asked() -> None:
    problem = graphkit.make_problem(stream(t=torch.arange(20).flip(0)), sort=True)
    assert problem.data.t.tolist() == list(range(20))
    assert problem.data.src[0] == 19 % 3


def test_a_random_split_of_a_stream_is_refused() -> None:
    with pytest.raises(DataError, match="leaks the future"):
        graphkit.make_problem(stream(), split="random")
    with pytest.raises(DataError, match="only a stream"):
        graphkit.make_problem(graph(), split="time")
    with pytest.raises(UnknownName, match="did you mean 'random'"):
        graphkit.make_problem(graph(), split="randm")  # type: ignore[arg-type]


def test_an_edge_of_one_graph_of_many_is_named() -> None:
    graphs = small_graphs()
    graphs[6].edge_index = torch.tensor([[0, 9], [1, 2]])
    with pytest.raises(DataError, match=r"graph 6: edge_index\[0, 1\] = 9"):
        graphkit.make_problem(graphs)


def test_graphs_of_different_fields_are_refused() -> None:
    graphs = small_graphs()
    graphs[3].pos = torch.zeros(4, 2)
    with pytest.raises(DataError, match=r"graph 3 and graph 0 .*'pos'"):
        graphkit.make_problem(graphs)


@pytest.mark.parametrize("thing", [42, "cora", [1, 2], None])
def test_what_is_no_graph_data_is_refused(thing: object) -> None:
    with pytest.raises(DataError, match=r"expected|no graph"):
        graphkit.make_problem(thing)


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        graphkit.make_problem(graph(), metrics=["acuracy"])
