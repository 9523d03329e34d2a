"""Questions whose answer lies far away in the graph: binary trees by depth, chains by length.

Both are fixed sets: they come from ``DATA_SEED`` alone. One node of each graph is asked, all
others have the class -1; a guess is right once in as many times as there are classes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from graphkit.data.batching import Graphs
from graphkit.data.fetch import Raw
from graphkit.data.graphs import GraphSet
from graphkit.data.problem import Problem
from graphkit.data.sources.joined import graph_set, in_order
from graphkit.data.sources.synthetic import DATA_SEED
from graphkit.errors import SettingError
from graphkit.seeds import stream
from graphkit.tasks import Dims, NodesOfGraphs

__all__ = ["chain_copy", "chain_graphs", "files", "tree_graphs", "tree_neighbours_match"]

SYMBOLS = 4  # of a chain: as many classes
CHAINS = {"train": 2_000, "val": 500, "test": 500}
TREES = {"train": 8_000, "val": 1_000, "test": 1_000}
DEEPEST = 8  # 511 nodes a tree, 256 classes


def files(*_: str) -> tuple[Raw, ...]:
    """Lists no raw file: all is made here."""
    return ()


def chain_graphs(count: int, length: int, part: str = "train", seed: int = DATA_SEED) -> GraphSet:
    """Draws chains; the last node is asked for the symbol of the first.

    Args:
        count: Number of chains.
        length: Nodes of each, numbered along the chain.
        part: Parts of one seed share nothing.
        seed: Decides on the symbols.

    Returns:
        ``x`` is 1 to 4 at the first node, 5 at the last, 0 between; ``y`` the symbol from 0.

    Raises:
        SettingError: A chain has fewer than 2 nodes.
    """
    if length < 2:
        raise SettingError(f"a chain of {length} nodes has no two ends; expected at least 2")
    step = torch.arange(length - 1)
    return _alike(torch.stack([step, step + 1]), *_chains(count, length, part, seed))


def _chains(count: int, length: int, part: str, seed: int) -> tuple[Tensor, Tensor]:
    symbol = torch.randint(SYMBOLS, (count,), generator=stream(seed, "chain", length, part))
    x = torch.zeros(count, length, dtype=torch.long)
    x[:, 0], x[:, -1] = symbol + 1, SYMBOLS + 1
    y = torch.full((count, length), -1)
    y[:, -1] = symbol
    return x[:, :, None], y


def tree_graphs(count: int, depth: int, part: str = "train", seed: int = DATA_SEED) -> GraphSet:
    """Draws full binary trees; the root is asked for the value of the leaf that has its key.

    Args:
        count: Number of trees.
        depth: Edges from the root to a leaf.
        part: Parts of one seed are drawn apart; shallow trees may recur.
        seed: Decides on keys and values.

    Returns:
        ``x`` holds key and value, both from 1: the root has a key alone, a leaf has both, nodes
        between have 0 and 0; ``y`` is the value from 0 at the root.

    Raises:
        SettingError: The depth is less than 1 or more than 8.

    Source:
        Alon and Yahav, "On the Bottleneck of Graph Neural Networks and its Practical
        Implications", ICLR 2021, Tree-NeighborsMatch. Differs: edges lead both ways, so that
        models that walk from the root can; keys are symbols and not numbers of neighbours, as in
        the authors' code.
    """
    if not 1 <= depth <= DEEPEST:
        raise SettingError(f"a tree of depth {depth}; expected 1 to {DEEPEST}")
    return _alike(_branches(depth), *_trees(count, depth, part, seed))


def _branches(depth: int) -> Tensor:
    child = torch.arange(1, 2 ** (depth + 1) - 1)
    return torch.stack([child, (child - 1) // 2])


def _trees(count: int, depth: int, part: str, seed: int) -> tuple[Tensor, Tensor]:
    leaves, nodes = 2**depth, 2 ** (depth + 1) - 1
    generator = stream(seed, "tree", depth, part)
    keys, values = (
        torch.rand(count, leaves, generator=generator).argsort(dim=1) for _ in ("key", "value")
    )
    asked = torch.randint(leaves, (count, 1), generator=generator)
    x = torch.zeros(count, nodes, 2, dtype=torch.long)
    x[:, leaves - 1 :] = torch.stack([keys, values], dim=2) + 1
    x[:, 0, 0] = keys.gather(1, asked)[:, 0] + 1
    y = torch.full((count, nodes), -1)
    y[:, 0] = values.gather(1, asked)[:, 0]
    return x, y


def _alike(one_way: Tensor, x: Tensor, y: Tensor) -> GraphSet:
    """Graphs of one shape: the edges of one, both ways, for each."""
    count, nodes = y.shape
    edges = torch.cat([one_way, one_way.flip(0)], dim=1)
    shift = torch.arange(count)[:, None, None] * nodes
    through = (edges + shift).permute(1, 0, 2).reshape(2, -1)
    rows = {"x": x.flatten(0, 1), "y": y.flatten()}
    return graph_set(torch.full((count,), nodes), through, nodes=rows)


def chain_copy(root: Path | None, seed: int, length: str) -> Problem:
    """The last node of a chain is asked for the symbol of the first; 4 classes.

    Args:
        root: Not read.
        seed: Seeds the order of training alone.
        length: ``length-<nodes>``.
    """
    nodes = int(length.removeprefix("length-"))
    step = torch.arange(nodes - 1)
    drawn = [_chains(n, nodes, part, DATA_SEED) for part, n in CHAINS.items()]
    graphs = _alike(torch.stack([step, step + 1]), *_joined(drawn))
    return _problem(f"chain-copy/{length}", graphs, CHAINS, SYMBOLS, (SYMBOLS + 2,))


def tree_neighbours_match(root: Path | None, seed: int, depth: str) -> Problem:
    """The root of a binary tree is asked for the value of the leaf with its key.

    Args:
        root: Not read.
        seed: Seeds the order of training alone.
        depth: ``depth-<edges>``.
    """
    deep = int(depth.removeprefix("depth-"))
    drawn = [_trees(n, deep, part, DATA_SEED) for part, n in TREES.items()]
    graphs, leaves = _alike(_branches(deep), *_joined(drawn)), 2**deep
    symbols = (leaves + 1, leaves + 1)
    return _problem(f"tree-neighbours-match/{depth}", graphs, TREES, leaves, symbols)


def _joined(drawn: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([x for x, _ in drawn]), torch.cat([y for _, y in drawn])


def _problem(
    name: str, graphs: GraphSet, parts: dict[str, int], classes: int, symbols: tuple[int, ...]
) -> Problem:
    return Problem(
        name=name,
        data=graphs,
        split=in_order(*parts.values()),
        task=NodesOfGraphs(
            measures=("accuracy",), num_classes=classes, batch_means=(), balanced=False
        ),
        dims=Dims(in_channels=0, out_channels=classes, node_symbols=symbols),
        batching=Graphs(batch_size=64),
    )
