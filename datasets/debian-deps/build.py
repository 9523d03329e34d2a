"""Builds debian-deps, the dependency graph of Debian 12, from the package index it was cut from.

    python datasets/debian-deps/build.py PATH_TO_PACKAGES --out datasets/debian-deps

``PATH_TO_PACKAGES`` is the file ``Packages`` of point release 12.15, component main, architecture
amd64, plain or xz-compressed. Any other index is refused: each point release changes the counts.
The same index gives the same bytes. Needs NumPy alone; takes about ten seconds and 0.6 GB.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import lzma
import os
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

INDEX_SHA256 = "515e692f2c4121c6fcec444ef100cc18f79a991910615f3a88c8b7becfc94d2f"
INDEX_BYTES = 50_060_337

RELATIONS = ("Depends", "Pre-Depends", "Recommends", "Suggests", "Enhances")  # edge types 0 to 4
FLAGS = (
    "architecture all",
    "multi-arch same",
    "multi-arch foreign",
    "multi-arch allowed",
    "priority required, important or standard",
    "homepage present",
    "essential",
)  # bits 0 to 6
STOP_TEXT = (
    "a an and are as at based be by for from in into is it its not of on or that the this to use "
    "using via with you your"
)
STOP_WORDS = frozenset(STOP_TEXT.split())
NUM_WORDS = 500
MIN_PACKAGES, MIN_SOURCES = 200, 100  # what a section needs to be a class
TRAIN_BELOW, VAL_BELOW = 0.1, 0.2
UNLABELLED = NO_PART = 255

Stanza = dict[str, str]


class WrongIndex(SystemExit):
    """The file is not the package index this data set was built from."""


def read_index(path: Path) -> str:
    """Returns the text of the index, unpacked and checked.

    Args:
        path: The file ``Packages``, plain or xz-compressed; told apart by content.

    Raises:
        WrongIndex: The file cannot be read, or its unpacked bytes have another SHA-256.
    """
    try:
        raw = path.read_bytes()
        if raw.startswith(b"\xfd7zXZ\x00"):
            # One byte more than the index has is enough to refuse another file, however large.
            raw = lzma.LZMADecompressor().decompress(raw, max_length=INDEX_BYTES + 1)
    except (OSError, lzma.LZMAError) as error:
        raise WrongIndex(f"error: cannot read {path}: {error}") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != INDEX_SHA256:
        size = f"{len(raw):,} bytes" if len(raw) <= INDEX_BYTES else f"over {INDEX_BYTES:,} bytes"
        raise WrongIndex(
            f"error: {path} is not the package index of Debian 12.15, main, amd64.\n"
            f"  found:    {size}, SHA-256 {found}\n"
            f"  expected: {INDEX_BYTES:,} bytes, SHA-256 {INDEX_SHA256}\n"
            "  Take dists/bookworm/main/binary-amd64/Packages.xz of that point release from an "
            "archive snapshot; the security and updates indexes are other files."
        )
    return raw.decode("utf-8")


def read_stanzas(text: str) -> dict[str, Stanza]:
    """Returns the fields of every package by its name; a continued line joins its field."""
    packages: dict[str, Stanza] = {}
    for block in text.split("\n\n"):
        fields: Stanza = {}
        name = ""
        for line in filter(None, block.split("\n")):
            if line[0] in " \t":
                fields[name] += "\n" + line.strip()
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            # Four names occur twice; in this index the later stanza is the higher version.
            packages[fields["Package"]] = fields
    return packages


def named(value: str) -> list[str]:
    """Returns the packages a relation field names, every alternative, bare of its conditions."""
    bare = re.sub(r"\([^)]*\)|\[[^\]]*\]|<[^>]*>", "", value)
    names = (part.partition(":")[0].strip() for part in re.split(r"[,|]", bare))
    return [name for name in names if name]


def read_edges(packages: dict[str, Stanza], number: dict[str, int]) -> np.ndarray:
    """Returns the rows (destination, source, type), sorted, each once and without self-loops.

    A name that is no package stands for the one package that provides it; if several do, or none,
    it is dropped.
    """
    providers: dict[str, set[str]] = {}
    for name, fields in packages.items():
        for provided in named(fields.get("Provides", "")):
            providers.setdefault(provided, set()).add(name)
    edges: set[tuple[int, int, int]] = set()
    for name, fields in packages.items():
        for kind, relation in enumerate(RELATIONS):
            for target in named(fields.get(relation, "")):
                if target not in number:
                    offers = providers.get(target, set())
                    if len(offers) != 1:
                        continue
                    (target,) = offers
                if target != name:
                    edges.add((number[target], number[name], kind))
    return np.array(sorted(edges), dtype=np.int64)


def read_words(description: str) -> set[str]:
    """Returns the words of a one-line description, two letters or more, no stop words."""
    found = re.findall(r"[a-z][a-z0-9+#]*", description.lower())
    return {word for word in found if len(word) >= 2} - STOP_WORDS


def most_frequent(words: Sequence[set[str]], size: int) -> list[tuple[str, int]]:
    """Returns the ``size`` words in most packages and their counts; ties by spelling."""
    uses = Counter(word for row in words for word in row)
    return sorted(uses.items(), key=lambda use: (-use[1], use[0]))[:size]


def source_name(fields: Stanza) -> str:
    """Returns the source package: first word of Source (a version may follow), else Package."""
    return fields.get("Source", fields["Package"]).split()[0]


def digest(name: str) -> bytes:
    """Returns the SHA-256 of a name."""
    return hashlib.sha256(name.encode()).digest()


def part_of(source: str) -> int:
    """Returns 0 (train), 1 (validation) or 2 (test): siblings of one source share a part."""
    share = int.from_bytes(digest(source)[:8], "big") / 2**64
    return 0 if share < TRAIN_BELOW else 1 if share < VAL_BELOW else 2


def class_names(sections: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Returns the sections with enough packages and enough distinct sources, alphabetically."""
    packages = Counter(sections)
    distinct = Counter(section for section, _ in set(zip(sections, sources, strict=True)))
    return sorted(
        section
        for section, count in packages.items()
        if count >= MIN_PACKAGES and distinct[section] >= MIN_SOURCES
    )


def flag_bits(fields: Stanza) -> int:
    """Returns the seven flags of ``FLAGS``, bit 0 first."""
    multi_arch = fields.get("Multi-Arch", "no")
    flags = (
        fields["Architecture"] == "all",
        multi_arch == "same",
        multi_arch == "foreign",
        multi_arch == "allowed",
        fields["Priority"] in ("required", "important", "standard"),
        "Homepage" in fields,
        fields.get("Essential") == "yes",
    )
    return sum(1 << bit for bit, flag in enumerate(flags) if flag)


def standardised(column: np.ndarray) -> np.ndarray:
    """Returns a column with mean 0 and deviation 1 over all packages."""
    return np.asarray((column - column.mean()) / column.std())


def giveaway_words(
    words: Sequence[str], x_row: np.ndarray, x_index: np.ndarray, y: np.ndarray
) -> list[str]:
    """Returns the words of which more than 60 % of all uses are in one class.

    Uses in unlabelled packages count as uses, in no class. Derived from all labels, test included:
    made for the harder variant, which leaves these words out.
    """
    known = y[x_row] != UNLABELLED
    uses = np.zeros((len(words), int(y[y != UNLABELLED].max()) + 1), dtype=np.int64)
    np.add.at(uses, (x_index[known], y[x_row[known]]), 1)
    all_uses = np.bincount(x_index, minlength=len(words))
    chosen = uses.max(axis=1) * 5 > all_uses * 3  # whole numbers, so that no rounding decides
    return [word for word, out in zip(words, chosen, strict=True) if out]


def undirected_pairs(edges: np.ndarray) -> np.ndarray:
    """Returns every linked pair of packages once, smaller number first."""
    return np.unique(np.sort(edges[:, :2], axis=1), axis=0)


def num_components(num_nodes: int, pairs: np.ndarray) -> tuple[int, int]:
    """Returns how many connected components there are and the size of the largest."""
    root = np.arange(num_nodes)
    while True:  # each round hooks roots onto smaller roots and flattens the trees
        low = root.copy()
        np.minimum.at(low, root[pairs[:, 0]], root[pairs[:, 1]])
        np.minimum.at(low, root[pairs[:, 1]], root[pairs[:, 0]])
        while not np.array_equal(low, low[low]):
            low = low[low]
        low = low[root]
        if np.array_equal(low, root):
            break
        root = low
    sizes = np.bincount(root)
    return int((sizes > 0).sum()), int(sizes.max())


def same_class_share(pairs: np.ndarray, y: np.ndarray) -> float:
    """Returns the share of pairs of one class among the pairs of two labelled packages."""
    ends = y[pairs]
    ends = ends[(ends != UNLABELLED).all(axis=1)]
    return float((ends[:, 0] == ends[:, 1]).mean())


def homophily(edges: np.ndarray, y: np.ndarray) -> dict[str, object]:
    """Returns three kinds of homophily over undirected pairs, and the plain one by edge type.

    Pairs of two labelled packages alone; by type over directed edges.

    Source: Platonov et al., "Characterizing Graph Datasets for Node Classification", 2023, for
    the adjusted one; Lim et al., "Large Scale Learning on Non-Homophilous Graphs", 2021, for the
    class-insensitive one.
    """
    pairs = undirected_pairs(edges)
    ends = y[pairs]
    ends = ends[(ends != UNLABELLED).all(axis=1)]
    num_classes = int(ends.max()) + 1
    edge = same_class_share(pairs, y)
    degree = np.bincount(ends.ravel(), minlength=num_classes)
    chance = float(((degree / degree.sum()) ** 2).sum())
    inner = 2 * np.bincount(ends[ends[:, 0] == ends[:, 1], 0], minlength=num_classes)
    share = np.bincount(y[y != UNLABELLED], minlength=num_classes) / (y != UNLABELLED).sum()
    excess = np.clip(inner / degree - share, 0, None).sum() / (num_classes - 1)
    by_type = {
        relation: round(same_class_share(edges[edges[:, 2] == kind, :2], y), 4)
        for kind, relation in enumerate(RELATIONS)
    }
    return {
        "labelled_pairs": len(ends),
        "edge": round(edge, 4),
        "adjusted": round((edge - chance) / (1 - chance), 4),
        "class_insensitive": round(float(excess), 4),
        "edge_by_type": by_type,
    }


def statistics(
    arrays: dict[str, np.ndarray], edges: np.ndarray, classes: list[str], names: list[str]
) -> dict[str, object]:
    """Returns the numbers of the data card."""
    y, part, source = arrays["y"], arrays["part"], arrays["source"]
    pairs = undirected_pairs(edges)
    degree = np.bincount(pairs.ravel(), minlength=len(y))
    kinds = np.bincount(edges[:, 2], minlength=len(RELATIONS))
    components, largest = num_components(len(y), pairs)
    hubs = np.lexsort((np.arange(len(y)), -degree))[:5]
    linked = len(np.unique(edges[:, :2], axis=0))
    by_part = {
        name: np.bincount(y[part == number], minlength=len(classes)).tolist()
        for number, name in enumerate(("train", "val", "test"))
    }
    return {
        "nodes": len(y),
        "edges": len(edges),
        "edges_by_type": dict(zip(RELATIONS, kinds.tolist(), strict=True)),
        "undirected_pairs": len(pairs),
        "mutual_pairs": linked - len(pairs),
        "edges_beside_another_type": len(edges) - linked,
        "isolated": int((degree == 0).sum()),
        "components": components,
        "largest_component": largest,
        "degree_mean": round(float(degree.mean()), 4),
        "degree_median": float(np.median(degree)),
        "degree_max": int(degree.max()),
        "hubs": {names[node]: int(degree[node]) for node in hubs.tolist()},
        "no_outgoing": int((np.bincount(edges[:, 1], minlength=len(y)) == 0).sum()),
        "no_incoming": int((np.bincount(edges[:, 0], minlength=len(y)) == 0).sum()),
        "sources": int(source.max()) + 1,
        "largest_source": int(np.bincount(source).max()),
        "sibling_pairs": int((source[pairs[:, 0]] == source[pairs[:, 1]]).sum()),
        "homophily": homophily(edges, y),
        "unlabelled": int((y == UNLABELLED).sum()),
        "words_per_node": round(float(arrays["x_count"].mean()), 4),
        "nodes_without_words": int((arrays["x_count"] == 0).sum()),
        "part_sizes": {name: sum(counts) for name, counts in by_part.items()},
        "class_sizes": dict(
            zip(classes, np.sum(list(by_part.values()), axis=0).tolist(), strict=True)
        ),
        "class_sizes_by_part": {
            name: dict(zip(classes, counts, strict=True)) for name, counts in by_part.items()
        },
    }


def build(text: str) -> tuple[dict[str, np.ndarray], dict[str, object], list[str]]:
    """Returns the arrays, what is written beside them, and the package names in node order."""
    packages = read_stanzas(text)
    # Alphabetical order would give the label away: neighbours in the alphabet share a class.
    names = sorted(packages, key=digest)
    number = {name: node for node, name in enumerate(names)}
    stanzas = [packages[name] for name in names]

    sources = [source_name(fields) for fields in stanzas]
    source_number = {s: rank for rank, s in enumerate(sorted(set(sources), key=digest))}
    sections = [fields["Section"] for fields in stanzas]
    classes = class_names(sections, sources)
    class_number = {section: label for label, section in enumerate(classes)}
    y = np.array([class_number.get(section, UNLABELLED) for section in sections], np.uint8)
    part = np.array([part_of(source) for source in sources], np.uint8)
    part[y == UNLABELLED] = NO_PART

    words = [read_words(fields["Description"]) for fields in stanzas]
    vocabulary = most_frequent(words, NUM_WORDS)
    word_number = {word: rank for rank, (word, _) in enumerate(vocabulary)}
    rows = [sorted(word_number[word] for word in row if word in word_number) for row in words]
    x_count = np.array([len(row) for row in rows], np.uint8)
    x_index = np.array([rank for row in rows for rank in row], np.uint16)

    installed = np.array([float(fields.get("Installed-Size", 0)) for fields in stanzas])  # KiB
    size = np.array([float(fields["Size"]) for fields in stanzas])  # bytes
    numbers = np.stack([standardised(np.log1p(installed)), standardised(np.log(size))], axis=1)

    edges = read_edges(packages, number)
    arrays: dict[str, np.ndarray] = {
        "edge_index": edges[:, [1, 0]].T.astype(np.int32),  # row 0 states, row 1 is named
        "edge_type": edges[:, 2].astype(np.uint8),
        "y": y,
        "part": part,
        "source": np.array([source_number[source] for source in sources], np.uint16),
        "x_count": x_count,
        "x_index": x_index,
        "numbers": numbers.astype(np.float16),
        "flags": np.array([flag_bits(fields) for fields in stanzas], np.uint8),
    }
    spelled = [word for word, _ in vocabulary]
    x_row = np.repeat(np.arange(len(names)), x_count)
    beside: dict[str, object] = {
        "name": "debian-deps",
        "index_sha256": INDEX_SHA256,
        "relations": list(RELATIONS),
        "classes": classes,
        "words": spelled,
        "word_counts": [count for _, count in vocabulary],
        "giveaway_words": giveaway_words(spelled, x_row, x_index, y),
        "numbers": ["log(1 + Installed-Size in KiB)", "log(Size in bytes)"],
        "flags": list(FLAGS),
        "parts": ["train", "val", "test"],
        "statistics": statistics(arrays, edges, classes, names),
    }
    return arrays, beside, names


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Returns a compressed npz whose bytes depend on the arrays alone: no clock, no platform."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3  # the field differs between systems if left alone
            member.external_attr = 0o644 << 16
            plain = io.BytesIO()
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            np.lib.format.write_array(plain, little, version=(1, 0), allow_pickle=False)
            archive.writestr(member, plain.getvalue(), compresslevel=9)
    return target.getvalue()


def write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all and prints its size and checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{hashlib.sha256(content).hexdigest()}  {path.name}  {len(content):,} bytes")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, builds the three files and writes them."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("packages", type=Path, help="the file Packages or Packages.xz")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    chosen = parser.parse_args(arguments)
    arrays, beside, names = build(read_index(chosen.packages))
    write(chosen.out / "debian_deps.npz", npz_bytes(arrays))
    text = json.dumps(beside, indent=1, ensure_ascii=True) + "\n"
    write(chosen.out / "debian_deps.json", text.encode())
    listing = "".join(f"{name}\n" for name in names).encode()
    write(chosen.out / "names.txt.xz", lzma.compress(listing, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
