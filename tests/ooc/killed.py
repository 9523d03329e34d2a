"""Fits on a packed store in processes that die at a chosen step (see ``tests.train.killed``).

``python -m tests.ooc.killed STORE FOLDER SIGNAL EVERY STEP ...``
"""

from __future__ import annotations

import sys

from graphkit.data.problem import Problem
from graphkit.models import GraphSAGE
from graphkit.ooc.ready import make_ready
from graphkit.ooc.store import Store
from tests.ooc.packed import FANOUTS, SIZE
from tests.train import killed
from tests.train.problems import KINDS


def main(path: str, *words: str) -> None:
    """Prints exit statuses and results of all processes."""
    store = Store.open(path)

    def problem() -> Problem:
        ready = make_ready(store, fanouts=FANOUTS, batch_size=SIZE, memory=8 << 30, cached_rows=90)
        return store.problem(ready)

    KINDS["packed"] = (problem, lambda: GraphSAGE(store.dims))  # type: ignore[assignment]
    killed.main("packed", *words)


if __name__ == "__main__":
    main(*sys.argv[1:])
