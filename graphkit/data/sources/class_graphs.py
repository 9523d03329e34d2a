"""One graph made here: links that keep to classes, degrees even or with a heavy tail.

The graph comes from ``DATA_SEED`` alone, as if it had been downloaded; the run's seed draws the
split.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.batching import FullGraph
from graphkit.data.fetch import Raw
from graphkit.data.problem import Problem
from graphkit.data.sources.synthetic import DATA_SEED
from graphkit.data.split import Split, per_class, share
from graphkit.errors import SettingError, unknown_name
from graphkit.seeds import stream
from graphkit.tasks import Dims, NodeClassification

__all__ = ["class_graph", "files", "power_law", "sbm"]


def files(*_: str) -> tuple[Raw, ...]:
    """Lists no raw file: all is made here."""
    return ()


def class_graph(
    num_nodes: int,
    *,
    num_classes: int = 5,
    mean_degree: float = 15.0,
    within: float = 0.7,
    exponent: float | None = None,
    channels: int = 16,
    signal: float = 0.5,
    seed: int = DATA_SEED,
) -> Data:
    """Draws one graph whose links keep to classes and whose features lie around class centres.

    Args:
        num_nodes: Number of nodes.
        num_classes: Number of classes, of nearly the same size.
        mean_degree: Links per node that are drawn; a pair drawn twice counts once.
        within: Share of the links between nodes of one class.
        exponent: Of the power law that degrees follow, over 2; ``None`` for equal chances
            (a planted partition).
        channels: Width of the features.
        signal: Distance of a class centre from 0 in each channel, in units of the noise.
        seed: Decides on everything.

    Returns:
        ``x``, ``edge_index`` with both directions, ``y``.

    Raises:
        SettingError: The exponent is 2 or less: the mean degree would have no bound.

    Source:
        Chung and Lu, "Connected components in random graphs with given expected degrees", 2002,
        for the power law. Differs: the number of links drawn is fixed.
    """
    if exponent is not None and exponent <= 2:
        raise SettingError(f"exponent={exponent}; expected more than 2")
    generator = stream(seed, "class_graph", num_nodes)
    y = torch.arange(num_nodes) % num_classes
    weight = torch.ones(num_nodes, dtype=torch.float64)
    if exponent is not None:
        weight = torch.arange(1, num_nodes + 1, dtype=torch.float64) ** (-1 / (exponent - 1))
    # nodes are laid out class by class; only at the end are they given random numbers
    by_class = y.argsort(stable=True)
    y, weight = y[by_class], weight[by_class]
    upto = weight.cumsum(0)
    ends = torch.bincount(y, minlength=num_classes).cumsum(0)
    mass = torch.cat([upto.new_zeros(1), upto[ends - 1]])

    count, total = int(num_nodes * mean_degree / 2), float(upto[-1])

    def drawn() -> Tensor:
        return torch.rand(count, dtype=torch.float64, generator=generator)

    source = _at(upto, drawn() * total)
    low, high = mass[y[source]], mass[y[source] + 1]
    share_of_class = drawn()
    outside = (high + share_of_class * (total - (high - low))) % total  # past the end: to the front
    inside = low + share_of_class * (high - low)
    target = _at(upto, torch.where(drawn() < within, inside, outside))
    number = torch.randperm(num_nodes, generator=generator)
    source, target = number[source], number[target]
    proper = source != target
    key = torch.cat([target * num_nodes + source, source * num_nodes + target])[proper.repeat(2)]
    key = torch.unique(key)
    classes = torch.empty_like(y)
    classes[number] = y
    centres = torch.randn(num_classes, channels, generator=generator) * signal
    x = centres[classes] + torch.randn(num_nodes, channels, generator=generator)
    return Data(x=x, edge_index=torch.stack([key % num_nodes, key // num_nodes]), y=classes)


def _at(upto: Tensor, points: Tensor) -> Tensor:
    """Numbers of the nodes in whose stretch of the added-up weights the points lie."""
    return torch.searchsorted(upto, points, right=True).clamp(max=len(upto) - 1)


# Nodes of the one-graph problems, by their size.
BLOCKS = {"small": 1_000}
POWER_LAWS = {"small": 10_000, "medium": 200_000}


def sbm(root: Path | None, seed: int, size: str) -> Problem:
    """Planted partition: 5 classes, 70 % of the links within one; 60/20/20 drawn by the seed.

    Args:
        root: Not read.
        seed: Which split.
        size: ``small`` (1,000 nodes).
    """
    if size not in BLOCKS:
        raise unknown_name("size of a planted partition", size, BLOCKS)
    data = class_graph(BLOCKS[size])
    return _one_graph(f"sbm/{size}", data, share(BLOCKS[size], seed))


def power_law(root: Path | None, seed: int, size: str) -> Problem:
    """Degrees with a heavy tail, 64 features, 10 classes; 20 nodes per class for training.

    Args:
        root: Not read.
        seed: Which split.
        size: ``small`` (10,000 nodes) or ``medium`` (200,000 nodes, for out of core).
    """
    if size not in POWER_LAWS:
        raise unknown_name("size of a power-law graph", size, POWER_LAWS)
    data = class_graph(
        POWER_LAWS[size], num_classes=10, mean_degree=20.0, exponent=2.5, channels=64, signal=0.25
    )
    return _one_graph(f"power-law/{size}", data, per_class(data.y, seed))


def _one_graph(name: str, data: Data, split: Split) -> Problem:
    num_classes, count = int(data.y.max()) + 1, int(data.num_nodes or 0)
    return Problem(
        name=name,
        data=data,
        split=split,
        task=NodeClassification(num_classes=num_classes),
        dims=Dims(data.x.shape[1], num_classes, num_nodes=count),
        batching=FullGraph(),
    )
