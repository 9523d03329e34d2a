"""One line of the catalogue: what a problem is, and which function makes it. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Entry"]


@dataclass(frozen=True)
class Entry:
    """What is known about a problem before its files are read.

    Args:
        source: ``module:function`` in ``graphkit.data.sources``. The function is called as
            ``function(root, seed, *arguments)`` and returns a ``Problem``; the module's
            ``files(*arguments)`` lists the raw files.
        arguments: What is handed to the function after root and seed.
        kind: What an item is.
        summary: One line for a person.
        items: Number of items (nodes of the one graph, graphs, events).
        edges: Stored edges of the one graph, or mean edges per graph; ``None`` for events.
        features: Width of the node features, 0 where there are none.
        outputs: Classes, labels or targets.
        metric: The score the problem is judged by.
        licence: What the source states; "none stated" where nothing was found.
        cite: Paper behind the data.
        rebuilt: The files here were computed from other public files: never to be compared with
            published numbers.
        folds: Number of fixed splits that the seed chooses from; 0 where it is drawn or fixed.
        per_node: Items are graphs, but every node has an answer of its own.
    """

    source: str
    arguments: tuple[str, ...] = ()
    kind: Literal["nodes", "graphs", "events", "hypergraph"] = "nodes"
    summary: str = ""
    items: int | None = None
    edges: int | float | None = None
    features: int | None = None
    outputs: int | None = None
    metric: str = "accuracy"
    licence: str = "none stated"
    cite: str = ""
    rebuilt: bool = False
    folds: int = 0
    per_node: bool = False
