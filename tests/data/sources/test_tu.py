"""A hand-made set in the text format, and the real ones against PyG's own reader."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from graphkit.data.sources import tu
from graphkit.errors import DamagedFile, DataError, DataNotFound
from graphkit.tasks import GraphClassification, GraphRegression

# Three graphs of 2, 3 and 2 nodes; a loop at node 3, and the edge 4->5 twice.
TINY = {
    "A": "1, 2\n2, 1\n3, 3\n4, 5\n4, 5\n5, 4\n3, 4\n4, 3\n6, 7\n7, 6\n",
    "graph_indicator": "1\n1\n2\n2\n2\n3\n3\n",
    "graph_labels": "-1\n1\n-1\n",
    "node_labels": "3\n5\n3\n3\n4\n5\n5\n",
    "node_attributes": "0.5\n1.5\n2\n3\n4\n5\n6\n",
    "edge_labels": "0\n0\n1\n1\n1\n0\n0\n0\n1\n1\n",
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root that holds the hand-made set as TINY."""
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    _write(tmp_path, TINY)
    return tmp_path


def _write(root: Path, parts: dict[str, str]) -> None:
    folder = root / "tudataset" / "TINY" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for part, text in parts.items():
        (folder / f"TINY_{part}.txt").write_text(text)


def test_reads_labels_one_hot_without_loops_and_duplicates(tiny: Path) -> None:
    first, second, third = tu.read("TINY", tiny)
    assert [graph.num_nodes for graph in (first, second, third)] == [2, 3, 2]
    assert second.edge_index.tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]
    assert second.x.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    # labels 0 and 1 one-hot; the two edges from the second node to the third are added up
    assert second.edge_attr.tolist() == [[1, 0], [1, 0], [1, 0], [0, 2]]
    assert [graph.y.item() for graph in (first, second, third)] == [0, 1, 0]


def test_whole_numbers_may_be_written_with_a_point(tiny: Path) -> None:
    _write(tiny, {"node_labels": "3.0\n5.0\n3.0\n3.0\n4.0\n5.0\n5.0\n"})
    assert tu.read("TINY", tiny)[0].x.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_attributes_stand_before_labels(tiny: Path) -> None:
    graph = tu.read("TINY", tiny, attributes=True)[0]
    assert graph.x.tolist() == [[0.5, 1, 0, 0], [1.5, 0, 0, 1]]


def test_nodes_that_carry_nothing_have_no_x(tmp_path: Path, tiny: Path) -> None:
    for part in ("node_labels", "node_attributes", "edge_labels"):
        (tiny / "tudataset" / "TINY" / "raw" / f"TINY_{part}.txt").unlink()
    graphs = tu.read("TINY", tiny)
    assert graphs.joined.x is None
    assert graphs.joined.edge_attr is None
    assert graphs.num_nodes.tolist() == [2, 3, 2]


def _many(num_graphs: int) -> dict[str, str]:
    nodes = range(1, 2 * num_graphs, 2)
    return {
        "A": "".join(f"{n}, {n + 1}\n{n + 1}, {n}\n" for n in nodes),
        "graph_indicator": "".join(f"{g}\n{g}\n" for g in range(1, num_graphs + 1)),
        "graph_labels": "".join(f"{g % 2}\n" for g in range(num_graphs)),
    }


def test_ten_folds_test_every_graph_once(tiny: Path) -> None:
    _write(tiny, _many(40) | {"node_labels": "1\n2\n" * 40, "edge_labels": "1\n" * 80})
    (tiny / "tudataset" / "TINY" / "raw" / "TINY_node_attributes.txt").unlink()
    problems = [tu.ten_fold(tiny, seed, "TINY") for seed in range(10)]
    sizes = {tuple(p.split.sizes().values()) for p in problems}
    assert sizes == {(32, 4, 4, 0)}
    tested = torch.cat([p.split.test for p in problems])
    assert tested.sort().values.tolist() == list(range(40))
    again = tu.ten_fold(tiny, 13, "TINY").split
    assert again.test.tolist() == problems[3].split.test.tolist()
    assert problems[0].data.joined.y[problems[0].split.test].sum() == 2  # stratified
    assert isinstance(problems[0].task, GraphClassification)
    assert (problems[0].dims.in_channels, problems[0].dims.out_channels) == (2, 2)


def test_nodes_without_labels_get_their_attributes(tiny: Path) -> None:
    _write(tiny, _many(40) | {"node_attributes": "0.5,1\n" * 80, "edge_labels": "1\n" * 80})
    (tiny / "tudataset" / "TINY" / "raw" / "TINY_node_labels.txt").unlink()
    assert tu.ten_fold(tiny, 0, "TINY").dims.in_channels == 2


def test_numbers_per_graph_make_a_regression(tiny: Path) -> None:
    folder = tiny / "tudataset" / "TINY" / "raw"
    shutil.rmtree(folder)
    _write(tiny, _many(40) | {"graph_attributes": "0.5, 2\n" * 40})
    problem = tu.ten_fold(tiny, 0, "TINY")
    assert isinstance(problem.task, GraphRegression)
    assert problem.dims.out_channels == 2
    assert problem.split.sizes()["test"] == 4


@pytest.mark.parametrize(
    ("part", "text", "said"),
    [
        ("A", "1, 3\n", "both in one graph"),
        ("A", "1, 9\n", "names node 8"),
        ("A", "1\n2\n", "1 columns; expected 2"),
        ("graph_indicator", "2\n2\n1\n1\n1\n3\n3\n", "not numbered"),
        ("node_labels", "1\n", "has 1 rows; expected 7"),
        ("graph_labels", "1\n2\n", "y has 2 rows; expected one per graph, 3"),
        ("A", "one, two\n", "not a table"),
    ],
)
def test_files_that_do_not_fit_are_refused(tiny: Path, part: str, text: str, said: str) -> None:
    folder = tiny / "tudataset" / "TINY" / "raw"
    (folder / "TINY_edge_labels.txt").unlink()
    _write(tiny, {part: text})
    with pytest.raises(DataError, match=said):
        tu.read("TINY", tiny)


def test_a_set_that_is_nowhere_says_where_it_was_looked_for(tiny: Path) -> None:
    with pytest.raises(DataNotFound, match=r"tudataset/ABSENT/raw/ABSENT_A\.txt"):
        tu.read("ABSENT", tiny)


def test_a_known_file_with_other_content_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "tudataset" / "MUTAG" / "raw"
    folder.mkdir(parents=True)
    (folder / "MUTAG_A.txt").write_text("1, 2\n")
    with pytest.raises(DamagedFile, match="sha256"):
        tu.read("MUTAG", tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(("name", "attributes"), [("MUTAG", False), ("ENZYMES", True)])
def test_equals_pyg(tmp_path: Path, name: str, attributes: bool) -> None:
    """The same graphs; PyG sorts edges by source, we by destination."""
    from torch_geometric.datasets import TUDataset

    raw = Path(os.environ["GRAPHKIT_DATA"]) / "tudataset" / name / "raw"
    shutil.copytree(raw, tmp_path / name / "raw", copy_function=shutil.copyfile)
    (tmp_path / name).chmod(0o755)
    (tmp_path / name / "raw").chmod(0o755)
    theirs = TUDataset(str(tmp_path), name, use_node_attr=attributes)
    ours = tu.read(name, attributes=attributes)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        order = (other.edge_index[1] * other.num_nodes + other.edge_index[0]).argsort()
        assert torch.equal(mine.edge_index, other.edge_index[:, order])
        assert torch.equal(mine.x, other.x)
        assert torch.equal(mine.y, other.y)
        if name == "MUTAG":
            assert torch.equal(mine.edge_attr, other.edge_attr[order])
