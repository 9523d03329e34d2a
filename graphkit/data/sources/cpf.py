"""The graphs of the distillation papers, in their own form: CPF, GLNN, VQGraph.

Not the graphs of ``planetoid``: another Cora, its largest component alone, raw features, a
self-loop at every node.

Source:
    Yang et al., "Extract the Knowledge of Graph Neural Networks and Go Beyond it", WWW 2021;
    Zhang et al., "Graph-less Neural Networks", ICLR 2022, experiments section.
"""

from __future__ import annotations

from pathlib import Path

from torch_geometric.utils import add_self_loops

from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import reading
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.sources.npz_graphs import largest_component, read_graph
from graphkit.data.split import hide, per_class

__all__ = ["cpf", "files"]

URL = "https://github.com/BUPT-GAMMA/CPF/raw/master/data/npz"
STEMS = {
    "cora-cpf": "cora",
    "citeseer-cpf": "citeseer",
    "pubmed-cpf": "pubmed",
    "amazon-computers-cpf": "amazon_electronics_computers",
    "amazon-photo-cpf": "amazon_electronics_photo",
}
_SHA256 = {"cora-cpf": "068e22d90c3849b4057dfb05851741428992af058efcd4e7ebb4186f3d581de2"}


def files(name: str, split: str = "random") -> tuple[Raw, ...]:
    """Returns the one raw file of a data set."""
    file = f"{STEMS[name]}.npz"
    return (Raw(f"cpf/{file}", _SHA256.get(name), f"{URL}/{file}"),)


def cpf(root: Path | None, seed: int, name: str, split: str) -> Problem:
    """20 nodes per class for training, 30 per class for validation, all others for the test.

    Args:
        root: A folder to look in first.
        seed: Draws the split.
        name: ``cora-cpf``, ``citeseer-cpf``, ``pubmed-cpf``, ``amazon-computers-cpf`` or
            ``amazon-photo-cpf``.
        split: ``random``, or ``production``: a fifth of the test nodes is hidden until the end.

    Raises:
        DataError: The raw file cannot be used.
    """
    path = fetch(files(name)[0], root)
    data = largest_component(read_graph(path, binary=False))
    data.edge_index, _ = add_self_loops(data.edge_index, num_nodes=data.num_nodes)
    with reading(path):
        chosen = per_class(data.y, seed, train=20, val=30, test=None, val_per_class=True)
        if split == "production":
            chosen = hide(chosen, seed)
        return node_problem(f"{name}/{split}", data, chosen, seed=seed)
