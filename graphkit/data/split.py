"""Rules that say which items train, which choose the epoch, and which are scored at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from graphkit.errors import DataError
from graphkit.seeds import stream

__all__ = ["Split", "by_masks", "by_time", "folds", "hide", "per_class", "share"]

_NOTHING = torch.empty(0, dtype=torch.long)


@dataclass(frozen=True, eq=False)
class Split:
    """Item numbers of each part.

    Args:
        train: Items whose answers are learned from.
        val: Items that choose the epoch and the settings.
        test: Items scored once, at the end.
        hidden: Items absent from the data everywhere else (production setting).
        groups: Subsets of val and test items that get every metric again, by name.
    """

    train: Tensor
    val: Tensor
    test: Tensor
    hidden: Tensor = field(default_factory=lambda: _NOTHING)
    groups: Mapping[str, Tensor] = field(default_factory=dict)

    def part(self, name: str) -> Tensor:
        """Returns the items of ``train``, ``val``, ``test`` or ``hidden``."""
        return {"train": self.train, "val": self.val, "test": self.test, "hidden": self.hidden}[
            name
        ]

    def sizes(self) -> dict[str, int]:
        """Returns the number of items of each part."""
        return {name: len(self.part(name)) for name in ("train", "val", "test", "hidden")}

    def check(self, num_items: int, *, allow_overlap: bool = False) -> None:
        """Refuses a split that leaks or points nowhere.

        Raises:
            DataError: A part is empty, names an item that is not there, or shares one with another.
        """
        seen = torch.zeros(num_items, dtype=torch.long)
        for code, name in enumerate(("train", "val", "test", "hidden"), start=1):
            items = self.part(name)
            if len(items) == 0:
                if name == "hidden":
                    continue
                raise DataError(f"the {name!r} part of the split is empty")
            bad = ((items < 0) | (items >= num_items)).nonzero()
            if len(bad):
                at = int(bad[0])
                raise DataError(
                    f"the split's {name}[{at}] = {int(items[at])} is out of range "
                    f"for {num_items} items"
                )
            if not allow_overlap and bool(seen[items].any()):
                at = int(seen[items].nonzero()[0])
                other = ("train", "val", "test", "hidden")[int(seen[items[at]]) - 1]
                raise DataError(
                    f"item {int(items[at])} is in both {other!r} and {name!r}: answers would leak. "
                    "Pass allow_overlap=True if that is meant."
                )
            seen[items] = code


def by_masks(train: Tensor, val: Tensor, test: Tensor) -> Split:
    """Makes a split of three masks over the items (the split a data set carries)."""
    first, second, third = (mask.bool().nonzero().flatten() for mask in (train, val, test))
    return Split(first, second, third)


def share(
    num_items: int, seed: int, *, train: float = 0.6, val: float = 0.2, among: Tensor | None = None
) -> Split:
    """Draws parts at random by their share; the rest is for the test.

    Args:
        num_items: Number of items.
        seed: Which draw.
        train: Share of the items for training, between 0 and 1.
        val: Share for validation.
        among: Items to draw from, where not all have an answer.
    """
    if not (0 < train < 1 and 0 < val < 1 and train + val < 1):
        raise DataError(f"shares train={train} and val={val} leave nothing for the test")
    items = torch.arange(num_items) if among is None else among
    order = items[torch.randperm(len(items), generator=stream(seed, "split"))]
    first, second = round(train * len(items)), round((train + val) * len(items))
    parts = (order[:first], order[first:second], order[second:])
    chosen = [part.sort().values for part in parts]
    return Split(chosen[0], chosen[1], chosen[2])


def per_class(
    y: Tensor,
    seed: int,
    *,
    train: int = 20,
    val: int = 500,
    test: int | None = 1000,
    val_per_class: bool = False,
) -> Split:
    """Draws as many training items from each class, then validation and test from the rest.

    Args:
        y: Class of each item, -1 where not known.
        seed: Which draw.
        train: Training items per class.
        val: Validation items in all, or per class if ``val_per_class``.
        test: Test items; ``None`` takes all that are left.
        val_per_class: Count ``val`` per class as well.

    Raises:
        DataError: A class has too few items.

    Source:
        Shchur et al., "Pitfalls of Graph Neural Network Evaluation", 2018.
    """
    known = (y >= 0).nonzero().flatten()
    order = known[torch.randperm(len(known), generator=stream(seed, "split"))]
    classes = y[order]
    by_class = classes.argsort(stable=True)
    sizes = torch.bincount(classes)
    start = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)[:-1]])
    rank = torch.arange(len(order)) - start[classes[by_class]]  # place within its class
    needed = train + (val if val_per_class else 1)
    if int(sizes[sizes > 0].min()) < needed:
        short = int((sizes + (sizes == 0) * needed).argmin())
        raise DataError(
            f"class {short} has {int(sizes[short])} items, but {needed} per class were asked for"
        )
    place = torch.empty_like(rank)
    place[by_class] = rank
    rest = order[place >= train]
    if val_per_class:
        validation = order[(place >= train) & (place < train + val)]
        rest = order[place >= train + val]
    else:
        validation, rest = rest[:val], rest[val:]
    chosen = rest if test is None else rest[:test]
    if len(chosen) == 0:
        raise DataError(f"nothing is left for the test: {len(known)} items have a known class")
    return Split(order[place < train].sort().values, validation.sort().values, chosen.sort().values)


def folds(y: Tensor, fold: int, *, num_folds: int = 10, seed: int = 0, val: int = 1) -> Split:
    """Cuts the items into stratified folds: one for the test, the next ``val`` for validation.

    Args:
        y: Class of each item.
        fold: Which fold is the test part; taken modulo ``num_folds``.
        num_folds: Number of folds.
        seed: Which drawing of folds.
        val: Number of folds for validation.
    """
    from sklearn.model_selection import StratifiedKFold

    state = int(torch.randint(2**31, (1,), generator=stream(seed, "folds")))
    cutter = StratifiedKFold(num_folds, shuffle=True, random_state=state)
    of_item = torch.empty(len(y), dtype=torch.long)
    for number, (_, chosen) in enumerate(cutter.split(torch.zeros(len(y), 1), y)):
        of_item[torch.from_numpy(chosen)] = number
    turn = (of_item - fold) % num_folds  # 0: test, 1 .. val: validation
    return Split(
        (turn > val).nonzero().flatten(),
        ((turn >= 1) & (turn <= val)).nonzero().flatten(),
        (turn == 0).nonzero().flatten(),
    )


def by_time(t: Tensor, *, val: float = 0.15, test: float = 0.15) -> Split:
    """Cuts a stream after the last event at or before each quantile of its times.

    Events of one moment stay together, so that none is predicted from its own moment.

    Args:
        t: Time of each event, not falling.
        val: Share of the events for validation.
        test: Share of the events for the test.

    Source:
        Rossi et al., "Temporal Graph Networks", 2020; PyG's ``train_val_test_split``.
    """
    limits = np.quantile(t.numpy(), [1 - val - test, 1 - test])
    first, second = np.searchsorted(t.numpy(), limits, side="right").tolist()
    events = torch.arange(len(t))
    return Split(events[:first], events[first:second], events[second:])


def hide(split: Split, seed: int, *, part: float = 0.2) -> Split:
    """Takes a share of the test items out of the data until the end (production setting).

    Args:
        split: The split to start from.
        seed: Which draw.
        part: Share of the test items that is hidden.

    Source:
        Zhang et al., "Graph-less Neural Networks", ICLR 2022, production setting.
    """
    order = torch.randperm(len(split.test), generator=stream(seed, "hide"))
    count = round(part * len(order))
    if not 0 < count < len(order):
        raise DataError(f"hiding {part} of {len(order)} test items leaves one part empty")
    return Split(
        split.train,
        split.val,
        split.test[order[count:]].sort().values,
        split.test[order[:count]].sort().values,
        split.groups,
    )
