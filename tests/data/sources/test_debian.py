"""The numbers of the data card, and the rules of the script that built the files."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import runpy
import shutil
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch_geometric.data import Data

from graphkit.data.sources import debian
from graphkit.errors import DamagedFile

FOLDER = Path(__file__).parents[3] / "datasets" / "debian-deps"


@pytest.fixture(scope="module")
def data() -> Data:
    return debian.read()


@pytest.fixture(scope="module")
def about() -> debian.About:
    return debian.read_about()


@pytest.fixture(scope="module")
def pairs(data: Data) -> torch.Tensor:
    """Every linked pair once, smaller number first: ``(2, pairs)``."""
    return data.edge_index.sort(dim=0).values.unique(dim=1)


@pytest.fixture(scope="module")
def build() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(FOLDER / "build.py")))


def test_nodes_and_edges_are_those_of_the_card(data: Data) -> None:
    assert data.num_nodes == 63_436
    assert data.num_edges == 321_247
    assert data.edge_type.bincount().tolist() == [266_424, 965, 29_011, 23_092, 1_755]
    assert data.x.dtype == torch.float32
    assert data.x.shape == (63_436, 509)
    for field in ("edge_index", "edge_type", "y", "part", "source"):
        assert data[field].dtype == torch.int64


def test_edges_are_sorted_by_destination_and_distinct(data: Data) -> None:
    source, destination = data.edge_index
    key = (destination * data.num_nodes + source) * 5 + data.edge_type
    assert bool((key.diff() > 0).all())
    assert bool((source != destination).all())


def test_shape_of_the_graph(data: Data, pairs: torch.Tensor) -> None:
    nodes = data.num_nodes
    degree = pairs.flatten().bincount(minlength=nodes)
    assert pairs.shape[1] == 315_306
    assert int((degree == 0).sum()) == 1_830
    assert round(float(degree.double().mean()), 1) == 9.9
    assert int(degree.median()) == 5
    assert int(degree.max()) == 21_815
    source, destination = data.edge_index
    assert int((source.bincount(minlength=nodes) == 0).sum()) == 5_339
    assert int((destination.bincount(minlength=nodes) == 0).sum()) == 19_858
    ones = np.ones(pairs.shape[1], dtype=np.int8)
    matrix = coo_array((ones, tuple(pairs.numpy())), shape=(nodes, nodes))
    components, label = connected_components(matrix, directed=False)
    assert components == 1_922
    assert np.bincount(label).max() == 61_341


def test_hubs_are_the_packages_everything_needs(data: Data, pairs: torch.Tensor) -> None:
    names = debian.package_names()
    hubs = pairs.flatten().bincount(minlength=data.num_nodes).topk(5).indices.tolist()
    found = [names[node] for node in hubs]
    assert found == ["libc6", "libstdc++6", "libgcc-s1", "python3", "perl"]


def test_an_edge_leads_from_the_package_that_needs(data: Data) -> None:
    """0ad depends on 0ad-data and libc6; 0ad-data suggests 0ad; libc6 names neither."""
    number = {name: node for node, name in enumerate(debian.package_names())}
    edges = set(zip(*data.edge_index.tolist(), data.edge_type.tolist(), strict=True))
    game, files, libc = number["0ad"], number["0ad-data"], number["libc6"]
    assert {(game, files, 0), (game, libc, 0), (files, game, 3)} <= edges
    assert (libc, game, 0) not in edges


def test_classes_are_those_of_the_card(data: Data, about: debian.About) -> None:
    assert len(about.classes) == 37
    assert list(about.classes) == sorted(about.classes)
    assert int((data.y == -1).sum()) == 2_963
    sizes = dict(zip(about.classes, data.y[data.y >= 0].bincount().tolist(), strict=True))
    largest = sorted(sizes, key=lambda name: -sizes[name])[:11]
    assert {name: sizes[name] for name in largest} == {
        "libs": 6_703,
        "libdevel": 5_557,
        "python": 4_544,
        "doc": 4_469,
        "perl": 4_223,
        "devel": 3_541,
        "utils": 2_345,
        "haskell": 2_205,
        "net": 2_039,
        "rust": 1_950,
        "golang": 1_935,
    }
    assert {name: n for name, n in sizes.items() if n < 270} == {
        "introspection": 269,
        "database": 246,
        "video": 230,
    }


def test_parts_hold_every_class_and_no_siblings(data: Data, about: debian.About) -> None:
    sizes = [int((data.part == number).sum()) for number in range(3)]
    assert sizes == [5_832, 5_674, 48_967]
    assert bool(((data.part == -1) == (data.y == -1)).all())
    counts = [data.y[data.part == number].bincount(minlength=37) for number in range(3)]
    assert all(bool((count > 0).all()) for count in counts)
    train = dict(zip(about.classes, counts[0].tolist(), strict=True))
    assert sorted(train.items(), key=lambda item: item[1])[:2] == [("kde", 25), ("mail", 27)]
    labelled = data.part >= 0
    placed = torch.stack([data.source[labelled], data.part[labelled]]).unique(dim=1)
    assert placed.shape[1] == len(data.source[labelled].unique())  # a source is in one part


def test_sources(data: Data, pairs: torch.Tensor) -> None:
    assert len(data.source.unique()) == int(data.source.max()) + 1 == 34_169
    assert int(data.source.bincount().max()) == 521
    assert int((data.source[pairs[0]] == data.source[pairs[1]]).sum()) == 44_284


def test_homophily(data: Data, pairs: torch.Tensor) -> None:
    ends = data.y[pairs]
    ends = ends[:, (ends >= 0).all(dim=0)]
    same = (ends[0] == ends[1]).double().mean().item()
    share = ends.flatten().bincount().double() / ends.numel()
    chance = float(share.square().sum())
    assert ends.shape[1] == 289_878
    assert round(same, 3) == 0.523
    assert round((same - chance) / (1 - chance), 3) == 0.469


def test_nodes_are_in_the_order_of_the_hash_of_their_names(data: Data) -> None:
    """The alphabet would give the class away: neighbours in it share one."""
    names = debian.package_names()
    hashes = [hashlib.sha256(name.encode()).digest() for name in names]
    assert len(set(names)) == data.num_nodes
    assert hashes == sorted(hashes)


def test_vocabulary(data: Data, about: debian.About) -> None:
    uses = (data.x[:, :500] > 0).sum(dim=0).tolist()
    assert len(set(about.words)) == 500
    assert min(uses) == 109
    ranked = sorted(zip(uses, about.words, strict=True), key=lambda pair: (-pair[0], pair[1]))
    assert [word for _, word in ranked] == list(about.words)
    per_node = (data.x[:, :500] > 0).sum(dim=1)
    assert round(per_node.double().mean().item(), 1) == 3.3
    assert int((per_node == 0).sum()) == 1_557


def test_features_are_scaled(data: Data, about: debian.About) -> None:
    words, numbers = data.x[:, :500], data.x[:, 500:]
    length = words.square().sum(dim=1)
    torch.testing.assert_close(length, (length > 0).float(), atol=1e-5, rtol=0)
    assert len(about.numbers) == numbers.shape[1] == 9
    torch.testing.assert_close(numbers[:, :2].mean(dim=0), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(numbers[:, :2].std(dim=0), torch.full((2,), 0.3), atol=1e-3, rtol=0)
    assert sorted(numbers[:, 2:].unique().tolist()) == pytest.approx([0.0, 0.3])


def test_flags_stand_in_their_columns(data: Data, about: debian.About) -> None:
    """libc6 may be installed for several architectures at once, and has no Essential flag."""
    node = debian.package_names().index("libc6")
    flags = dict(zip(about.numbers[2:], (data.x[node, 502:] > 0).tolist(), strict=True))
    assert flags["multi-arch same"]
    assert not flags["architecture all"]
    assert not flags["essential"]
    essential = about.numbers.index("essential")
    assert int((data.x[:, 500 + essential] > 0).sum()) == 23


def test_statistics_beside_the_file_are_true(data: Data, about: debian.About) -> None:
    told = json.loads((FOLDER / "debian_deps.json").read_text())["statistics"]
    assert told == about.statistics
    assert told["part_sizes"] == {"train": 5_832, "val": 5_674, "test": 48_967}
    for number, part in enumerate(("train", "val", "test")):
        counts = data.y[data.part == number].bincount(minlength=37).tolist()
        assert told["class_sizes_by_part"][part] == dict(zip(about.classes, counts, strict=True))


def test_giveaway_words_are_those_of_one_class(data: Data, about: debian.About) -> None:
    used = data.x[:, :500] > 0
    per_class = torch.stack([used[data.y == label].sum(dim=0) for label in range(37)])
    share = per_class.max(dim=0).values / used.sum(dim=0)
    found = [word for word, most in zip(about.words, share.tolist(), strict=True) if most > 0.6]
    assert found == list(about.giveaway_words)
    assert len(found) == 58
    assert {"documentation", "rust", "perl", "development"} <= set(found)
    assert round(share[about.words.index("documentation")].item(), 2) == 0.95
    assert round(share[about.words.index("rust")].item(), 2) == 0.97
    assert round(share[about.words.index("perl")].item(), 2) == 0.94
    assert round(share[about.words.index("development")].item(), 2) == 0.79


def test_problem(data: Data) -> None:
    problem = debian.debian_deps(None, seed=3)
    assert problem.name == "debian-deps/source"
    assert problem.split.sizes() == {"train": 5_832, "val": 5_674, "test": 48_967, "hidden": 0}
    assert problem.task.measures == ("accuracy", "macro_f1")
    assert (problem.dims.in_channels, problem.dims.out_channels) == (509, 37)
    assert torch.equal(problem.data.edge_index, data.edge_index)
    assert "part" not in problem.data
    [batch] = problem.blind().batches("train")
    assert int((batch.y >= 0).sum()) == 5_832 + 5_674


def test_majority_and_label_propagation_score_as_on_the_card(
    data: Data, pairs: torch.Tensor
) -> None:
    """The floor of the leaderboard: both use no feature, so they check labels, split and edges."""
    train, test = (data.part == 0).nonzero().flatten(), data.part == 2
    majority = data.y[train].bincount().argmax()
    assert round((data.y[test] == majority).double().mean().item(), 3) == 0.111
    both = torch.cat([pairs, pairs.flip(0)], dim=1)
    degree = both[0].bincount(minlength=data.num_nodes).clamp(min=1).double()
    weight = (degree[both[0]] * degree[both[1]]).rsqrt().numpy()
    step = coo_array((weight, tuple(both.numpy())), shape=(data.num_nodes,) * 2).tocsr()
    known = np.zeros((data.num_nodes, 37))
    known[train, data.y[train]] = 1
    spread = known
    for _ in range(50):
        spread = 0.5 * (step @ spread) + 0.5 * known
    right = torch.from_numpy(spread.argmax(axis=1)) == data.y
    assert right[test].double().mean().item() == pytest.approx(0.586, abs=0.005)


def test_plain_words_leave_the_giveaway_words_out(data: Data) -> None:
    problem = debian.debian_deps_plain_words(None, seed=0)
    assert problem.name == "debian-deps/plain-words"
    assert problem.dims.in_channels == 509 - 58
    assert torch.equal(problem.data.x[:, -9:], data.x[:, -9:])


def test_words_left_share_the_length() -> None:
    """Three words at 1/sqrt(3); without one of them the others stand at 1/sqrt(2)."""
    third, half = 3**-0.5, 2**-0.5
    x = torch.tensor([[third, third, third, 0.3], [0.0, 1.0, 0.0, 0.0]])
    left = debian.without_words(x, 3, torch.tensor([1]))
    torch.testing.assert_close(left, torch.tensor([[half, half, 0.3], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("raw", [debian.GRAPH, debian.ABOUT, debian.NAMES], ids=lambda r: r.path)
@pytest.mark.parametrize("harm", ["flip", "cut", "extend"])
def test_a_damaged_file_is_named(raw: debian.Raw, harm: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "debian-deps")
    target = tmp_path / raw.path
    content = bytearray(target.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
    target.write_bytes({"cut": content[:-1], "extend": content + b"\n"}.get(harm, content))
    reader = debian.package_names if raw is debian.NAMES else debian.read
    with pytest.raises(DamagedFile) as caught:
        reader(tmp_path)
    message = str(caught.value)
    assert str(target) in message
    assert str(raw.sha256) in message
    assert hashlib.sha256(target.read_bytes()).hexdigest() in message


def test_the_committed_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 2_500_000


# The script that built the files.

INDEX = """Package: app
Version: 2
Depends: lib (>= 1) [amd64] | lib-alt:any, app, gone,
 virtual (= 1), twice <!nocheck>
Recommends: lib

Package: lib
Version: 1
Provides: twice

Package: lib-alt
Provides: virtual (= 1.0), twice
Source: lib-src (1:2.0)

Package: app
Version: 3
Depends: lib
"""


def test_relations_name_every_alternative_bare(build: SimpleNamespace) -> None:
    first = INDEX.split("\n\n")[0]
    fields = build.read_stanzas(first)["app"]
    assert build.named(fields["Depends"]) == ["lib", "lib-alt", "app", "gone", "virtual", "twice"]


def test_edges_follow_the_rules(build: SimpleNamespace) -> None:
    """Self-loops and unknown names go; ``virtual`` has one provider, ``twice`` has two."""
    packages = build.read_stanzas("\n\n".join(INDEX.split("\n\n")[:3]))
    edges = build.read_edges(packages, {"app": 0, "lib": 1, "lib-alt": 2})
    assert edges.tolist() == [[1, 0, 0], [1, 0, 2], [2, 0, 0]]


def test_the_later_stanza_of_a_name_is_kept(build: SimpleNamespace) -> None:
    assert build.read_stanzas(INDEX)["app"] == {"Package": "app", "Version": "3", "Depends": "lib"}


def test_source_is_the_first_word_or_the_package(build: SimpleNamespace) -> None:
    packages = build.read_stanzas(INDEX)
    assert build.source_name(packages["lib-alt"]) == "lib-src"
    assert build.source_name(packages["lib"]) == "lib"


def test_words_of_a_description(build: SimpleNamespace) -> None:
    assert build.read_words("A C++ library for X11, in C# and 3D") == {
        "c++",
        "library",
        "x11",
        "c#",
    }


def test_a_class_needs_packages_and_sources(build: SimpleNamespace) -> None:
    sections = ["many"] * 200 + ["one-source"] * 200 + ["few"] * 199
    sources = [*map(str, range(200)), *["same"] * 200, *map(str, range(199))]
    assert build.class_names(sections, sources) == ["many"]


def test_giveaway_words_count_unlabelled_uses_too(build: SimpleNamespace) -> None:
    """Class 0 has 4 of 5 uses of word 0, 3 of 5 of word 1, 2 of 4 of word 2: one is over 60 %."""
    y = np.array([0, 0, 0, 0, 1, 255, 255], dtype=np.uint8)
    row = np.array([0, 1, 2, 3, 4, 0, 1, 2, 4, 5, 0, 1, 5, 6])
    word = np.array([0] * 5 + [1] * 5 + [2] * 4)
    assert build.giveaway_words(["sure", "even", "open"], row, word, y) == ["sure"]


def test_another_index_is_refused(build: SimpleNamespace, tmp_path: Path) -> None:
    target = tmp_path / "Packages.xz"
    target.write_bytes(lzma.compress(INDEX.encode()))
    with pytest.raises(SystemExit, match="not the package index") as caught:
        build.main([str(target), "--out", str(tmp_path / "out")])
    assert build.INDEX_SHA256 in str(caught.value)
    assert hashlib.sha256(INDEX.encode()).hexdigest() in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_index_is_named(build: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cannot read"):
        build.main([str(tmp_path / "nowhere"), "--out", str(tmp_path)])


@pytest.mark.data
def test_a_rebuild_gives_the_committed_bytes(build: SimpleNamespace, tmp_path: Path) -> None:
    root = os.environ.get("GRAPHKIT_DATA")
    if not root:
        pytest.skip("GRAPHKIT_DATA is not set")
    index = Path(root) / "debian" / "Packages.xz"
    if not index.is_file():
        pytest.skip(f"{index} is not there")
    build.main([str(index), "--out", str(tmp_path)])
    made, kept = tmp_path / "debian_deps.npz", FOLDER / "debian_deps.npz"
    with np.load(made, allow_pickle=False) as new, np.load(kept, allow_pickle=False) as old:
        assert new.files == old.files
        for field in new.files:
            np.testing.assert_array_equal(new[field], old[field])
            assert new[field].dtype == old[field].dtype
    assert (tmp_path / "debian_deps.json").read_bytes() == (
        FOLDER / "debian_deps.json"
    ).read_bytes()
    names = [lzma.decompress((f / "names.txt.xz").read_bytes()) for f in (tmp_path, FOLDER)]
    assert names[0] == names[1]
    if "ng" not in zlib.ZLIB_RUNTIME_VERSION:  # zlib-ng packs the same arrays in other bytes
        assert made.read_bytes() == kept.read_bytes()
