"""Catalogue: problems made by the library itself; the data never depend on the run's seed."""

from __future__ import annotations

from graphkit.data.catalogue.entry import Entry

__all__ = ["SYNTHETIC"]

_BENCHMARK = "Dwivedi et al., JMLR 2023"
_OWN = "made by graphkit"

SYNTHETIC: dict[str, Entry] = {
    "pattern/generated": Entry(
        source="synthetic:pattern",
        arguments=("generated",),
        kind="graphs",
        summary="Which nodes are of a planted pattern; 14,000 graphs as the paper draws them",
        items=14_000,
        edges=5_864.04,
        features=1,
        outputs=2,
        metric="balanced_accuracy",
        per_node=True,
        licence=_OWN,
        cite=_BENCHMARK,
    ),
    "pattern/mini": Entry(
        source="synthetic:pattern",
        arguments=("mini",),
        kind="graphs",
        summary="Which nodes are of a planted pattern; 1,400 graphs",
        items=1_400,
        edges=5_878.90,
        features=1,
        outputs=2,
        metric="balanced_accuracy",
        per_node=True,
        licence=_OWN,
        cite=_BENCHMARK,
    ),
    "cluster/generated": Entry(
        source="synthetic:cluster",
        arguments=("generated",),
        kind="graphs",
        summary="Which community each node is of; 12,000 graphs as the paper draws them",
        items=12_000,
        features=1,
        outputs=6,
        metric="balanced_accuracy",
        per_node=True,
        licence=_OWN,
        cite=_BENCHMARK,
    ),
    "cluster/mini": Entry(
        source="synthetic:cluster",
        arguments=("mini",),
        kind="graphs",
        summary="Which community each node is of; 1,400 graphs",
        items=1_400,
        edges=4_354.16,
        features=1,
        outputs=6,
        metric="balanced_accuracy",
        per_node=True,
        licence=_OWN,
        cite=_BENCHMARK,
    ),
    "csl/generated": Entry(
        source="synthetic:csl",
        kind="graphs",
        summary="Circular skip links with another numbering of nodes",
        items=150,
        edges=164.0,
        features=0,
        outputs=10,
        licence=_OWN,
        cite="Murphy et al., ICML 2019",
        folds=5,
    ),
    "sbm/small": Entry(
        source="class_graphs:sbm",
        arguments=("small",),
        summary="Planted partition with features; 60/20/20 drawn",
        items=1_000,
        edges=14_640,
        features=16,
        outputs=5,
        licence=_OWN,
    ),
    "power-law/small": Entry(
        source="class_graphs:power_law",
        arguments=("small",),
        summary="Degrees with a heavy tail, features; 20 per class, 500, 1000 drawn",
        items=10_000,
        edges=183_012,
        features=64,
        outputs=10,
        licence=_OWN,
    ),
    "power-law/medium": Entry(
        source="class_graphs:power_law",
        arguments=("medium",),
        summary="The same with 200,000 nodes, for training out of core",
        items=200_000,
        edges=3_904_682,
        features=64,
        outputs=10,
        licence=_OWN,
    ),
    **{
        f"tree-neighbours-match/depth-{depth}": Entry(
            source="far_answers:tree_neighbours_match",
            arguments=(f"depth-{depth}",),
            kind="graphs",
            summary=f"The root is asked for the value of the leaf with its key, {depth} edges away",
            items=10_000,
            edges=4.0 * 2**depth - 4.0,
            features=2,
            outputs=2**depth,
            per_node=True,
            licence=_OWN,
            cite="Alon and Yahav, ICLR 2021",
        )
        for depth in range(2, 7)
    },
    **{
        f"chain-copy/length-{length}": Entry(
            source="far_answers:chain_copy",
            arguments=(f"length-{length}",),
            kind="graphs",
            summary=f"The last of {length} nodes in a row is asked for the symbol of the first",
            items=3_000,
            edges=2.0 * length - 2.0,
            features=1,
            outputs=4,
            per_node=True,
            licence=_OWN,
        )
        for length in (4, 8, 16, 32, 64, 128)
    },
    "synthetic/events-small": Entry(
        source="favourites:events",
        arguments=("events-small",),
        kind="events",
        summary="Sources that mostly act on their one favourite item",
        items=10_000,
        features=0,
        outputs=1,
        metric="mrr",
        licence=_OWN,
    ),
}
