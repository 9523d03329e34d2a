"""BlogCatalog: hand-made files, and that every real node has a group."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphkit.data.catalogue import load_problem
from graphkit.data.sources.blogcatalog import read
from graphkit.errors import DataError


def test_numbers_start_at_one_and_links_go_both_ways(tmp_path: Path) -> None:
    (tmp_path / "links").write_text("1,3\n3,2\n")
    (tmp_path / "groups").write_text("1,2\n2,1\n3,1\n3,2\n")
    data = read(tmp_path / "links", tmp_path / "groups")
    assert data.y.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert sorted(data.edge_index.t().tolist()) == [[0, 2], [1, 2], [2, 0], [2, 1]]
    assert data.x is None


@pytest.mark.parametrize(
    ("links", "groups"),
    [
        ("", "1,1\n"),
        ("1,2\n", ""),
        ("0,1\n", "1,1\n"),
        ("1,2\n", "0,1\n"),
        ("1,2\n", "1,0\n"),
        ("1,2,3\n", "1,1\n"),
        ("1,2\n", "1\n"),
        ("1,x\n", "1,1\n"),
        ("1,99999999999\n", "1,1\n"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path, links: str, groups: str) -> None:
    (tmp_path / "links").write_text(links)
    (tmp_path / "groups").write_text(groups)
    with pytest.raises(DataError, match=str(tmp_path)):
        read(tmp_path / "links", tmp_path / "groups")


@pytest.mark.data
def test_every_blogger_has_a_group_and_every_membership_is_there() -> None:
    problem = load_problem("blogcatalog/random")
    assert int(problem.data.y.sum()) == 14_476
    assert bool((problem.data.y.sum(dim=1) > 0).all())
    assert problem.dims.in_channels == 0
