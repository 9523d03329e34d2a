"""The nodes of each graph in a row: by importance, ties by chance, and how such a row is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch_geometric.utils import lexsort

from graphkit.errors import DataError, SettingError, unknown_name

__all__ = ["Importance", "NodeKeys", "NodeRows", "node_order", "node_scores"]

Named = Literal["degree", "pagerank", "ppr", "random"]
Importance: TypeAlias = Named | Tensor | Callable[[Tensor, Tensor], Tensor]

_STEPS, _STAY = 50, 0.85  # of the power iteration: 0.85 ** 50 is 3e-4


def node_scores(
    edge_index: Int[Tensor, "2 edges"],
    batch: Int[Tensor, " nodes"],
    by: Importance = "degree",
) -> Shaped[Tensor, " nodes"]:
    """Returns a number per node; the nodes of a row rise by it, so the important ones come last.

    Args:
        edge_index: Edges, source above destination.
        batch: Which graph each node belongs to.
        by: ``degree`` counts the edges that begin or end at a node; ``pagerank`` restarts at all
            nodes of the graph, ``ppr`` at those of the highest degree; ``random`` is 0 for all.
            Or the numbers themselves, or a function of ``edge_index`` and ``batch``.

    Raises:
        UnknownName: There is no measure of that name.
        DataError: The numbers are not one per node, or are not all numbers.

    Source:
        Behrouz and Hashemi, "Graph Mamba", KDD 2024, section on the order of nodes. The sum of
        personalised PageRank over all nodes is the number of nodes times PageRank, the same order;
        so ``ppr`` is personalised to the hubs. *(The paper does not say to whom.)*
    """
    nodes = len(batch)
    if isinstance(by, str):
        if by not in get_args(Named):
            raise unknown_name("order of nodes", by, get_args(Named))
        if by == "random":
            return torch.zeros_like(batch)
        ends = edge_index.flatten()
        degree = torch.zeros_like(batch).index_add_(0, ends, torch.ones_like(ends))
        return degree if by == "degree" else _pagerank(edge_index, batch, degree, hubs=by == "ppr")
    found = by if isinstance(by, Tensor) else by(edge_index, batch)
    if found.shape != (nodes,):
        raise DataError(f"an order needs one number per node: {nodes}, not {tuple(found.shape)}")
    if found.is_floating_point() and bool(found.isnan().any()):
        place = int(found.isnan().nonzero()[0])
        raise DataError(f"node {place} has no place in the order: its number is NaN")
    return found


def _pagerank(edge_index: Tensor, batch: Tensor, degree: Tensor, *, hubs: bool) -> Tensor:
    """PageRank within each graph times its nodes, in whole millionths, so that nodes in equal
    places tie in whatever order the sums are taken. What a node without edges holds restarts."""
    graphs = int(batch.max()) + 1 if len(batch) else 0
    source, destination = edge_index

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(graphs).index_add_(0, batch, values)

    start = torch.ones_like(degree, dtype=torch.float64)
    if hubs:
        highest = degree.new_zeros(graphs).scatter_reduce_(0, batch, degree, "amax")
        start = (degree == highest[batch]).double()
    start = start / total(start)[batch]
    leaving = start.new_zeros(len(batch)).index_add_(0, source, start.new_ones(len(source)))
    share = leaving.clamp(min=1).reciprocal() * (leaving > 0)
    rank = start
    for _ in range(_STEPS):
        moved = torch.zeros_like(rank).index_add_(0, destination, (rank * share)[source])
        rank = _STAY * moved
        rank = rank + (1 - total(rank))[batch] * start  # what was lost and what jumps
    return (rank * total(torch.ones_like(rank))[batch] * 1e6).round().long()


def node_order(
    edge_index: Int[Tensor, "2 edges"],
    batch: Int[Tensor, " nodes"],
    by: Importance = "degree",
    ties: Literal["random", "index"] = "random",
    generator: torch.Generator | None = None,
) -> Int[Tensor, " nodes"]:
    """Returns the nodes in the order of their row: graph by graph, unimportant ones first.

    Args:
        edge_index: Edges, source above destination.
        batch: Which graph each node belongs to.
        by: As for ``node_scores``.
        ties: Nodes of one score by chance, or by their number. **By number, an answer depends on
            how the nodes happen to be numbered.**
        generator: Source of chance; torch's global one if not given.

    Raises:
        UnknownName: There is no measure, or no rule for ties, of that name.
    """
    if ties not in ("random", "index"):
        raise unknown_name("rule for ties", ties, ("random", "index"))
    scores = node_scores(edge_index, batch, by)
    if ties == "index":
        return lexsort([scores, batch])
    at = generator.device if generator is not None else batch.device
    noise = torch.rand(len(batch), generator=generator, device=at, dtype=torch.float64)
    return lexsort([noise.to(batch.device), scores, batch])


@dataclass(frozen=True)
class NodeKeys:
    """All that says where a node stands in its graph's row.

    Args:
        batch: Which graph a node belongs to.
        scores: What the row rises by.
        rank: Place of the node in its graph by score and by what it sees, or ``None`` in training.
        alike: A number shared by the nodes of a graph that nothing told apart; ``None`` where all
            are taken to differ.
    """

    batch: Int[Tensor, " nodes"]
    scores: Shaped[Tensor, " nodes"]
    rank: Int[Tensor, " nodes"] | None = None
    alike: Int[Tensor, " nodes"] | None = None

    @classmethod
    def drawn(cls, batch: Tensor, scores: Tensor) -> NodeKeys:
        """Returns keys for training: ties fall by chance."""
        return cls(batch, scores)

    @classmethod
    def settled(
        cls,
        batch: Int[Tensor, " nodes"],
        scores: Shaped[Tensor, " nodes"],
        edge_index: Int[Tensor, "2 edges"],
        fields: tuple[Shaped[Tensor, "nodes ..."], ...] = (),
        edge_attr: Shaped[Tensor, "edges ..."] | None = None,
        rounds: int = 3,
    ) -> NodeKeys:
        """Returns keys for evaluation, which follow a node however the nodes are numbered.

        Args:
            batch: Which graph a node belongs to.
            scores: What the row rises by.
            edge_index: Edges, source above destination.
            fields: What the nodes carry.
            edge_attr: What the edges carry.
            rounds: Steps a node looks against the edges; at least the model's layers that do so.
        """
        colours = _colours(len(batch), edge_index, fields, edge_attr, rounds)
        keys = (colours, scores, batch)
        order = lexsort(list(keys))
        changes = torch.zeros(len(batch), dtype=torch.bool, device=batch.device)
        for key in keys:
            ordered = key[order]
            changes[1:] |= ordered[1:] != ordered[:-1]
        alike = torch.empty_like(batch).index_copy_(0, order, changes.long().cumsum(0))
        sizes = torch.bincount(batch)
        first = (sizes.cumsum(0) - sizes)[batch[order]]
        place = torch.arange(len(batch), device=batch.device) - first
        return cls(batch, scores, torch.empty_like(batch).index_copy_(0, order, place), alike)


def _colours(
    nodes: int,
    edge_index: Tensor,
    fields: tuple[Tensor, ...],
    edge_attr: Tensor | None,
    rounds: int,
) -> Tensor:
    """Weisfeiler-Leman colours in whole numbers: sums of hashes, the same in any order."""
    colours = torch.zeros(nodes, dtype=torch.long, device=edge_index.device)
    for number, field in enumerate(fields):
        colours = _mixed(colours + _row_hash(field, number))
    source, destination = edge_index
    along = 0 if edge_attr is None else _row_hash(edge_attr, len(fields))
    for _ in range(rounds):
        own, sent = _mixed(_mixed(colours)), _mixed(colours[source] + along)  # own is no neighbour
        colours = _mixed(own.index_add(0, destination, sent))
    return colours


def _row_hash(rows: Tensor, salt: int) -> Tensor:
    """A number per row after all of its bits."""
    rows = rows.flatten(1) if rows.dim() > 1 else rows.unsqueeze(1)
    if rows.is_floating_point():
        bits = torch.int64 if rows.dtype == torch.float64 else torch.int32
        rows = rows if bits == torch.int64 else rows.float()
        rows = (rows + 0.0).contiguous().view(bits)  # -0.0 is 0.0
    columns = torch.arange(rows.shape[1], device=rows.device)
    weights = _mixed(columns + (salt << 32)) | 1
    return (rows.long() * weights).sum(dim=1)


def _mixed(values: Tensor) -> Tensor:
    """Scatters whole numbers over all 64 bits; source: Steele et al., SplitMix, OOPSLA 2014."""
    values = values + 0x1E3779B97F4A7C15
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        values = (values ^ _shifted(values, shift)) * factor
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, bits: int) -> Tensor:
    return (values >> bits) & ((1 << (64 - bits)) - 1)


class _Sequential(Protocol):
    """A layer over sequences that lie one behind the other."""

    def __call__(self, x: Tensor, *, ptr: Tensor) -> Tensor: ...


class NodeRows(nn.Module):
    """Lays the nodes of each graph in a row, has a layer read it, and takes the answers back.

    In training each call draws one order. In evaluation ``num_eval_orders`` orders are averaged;
    they are always the same ones, and they follow a node, not its number, so that the answer
    depends neither on the batch around a graph nor on how its nodes are numbered. Nodes that
    nothing tells apart (one graph, score, fields and surroundings) stand in the row by chance:
    each gets the mean of their answers, which is the mean over all orders of them alone.

    Args:
        layer: Called with rows and ``ptr``.
        num_bins: Parts into which the nodes of a graph are thrown by chance; each is read alone.
        num_eval_orders: Orders averaged in evaluation.
        number: Which of a model's layers this is; each has orders of its own.

    Shape:
        x ``(nodes, channels)`` -> ``(nodes, channels)``.

    Raises:
        SettingError: There is no bin or no order.

    Source:
        Wang et al., "Graph-Mamba", arXiv 2402.00789, section 4.2 and the authors' code: chance in
        training, five orders in every layer, bins. Differs: orders of the evaluation are fixed and
        bound to what a node sees; alike nodes are averaged.
    """

    def __init__(
        self,
        layer: nn.Module,
        *,
        num_bins: int = 1,
        num_eval_orders: int = 1,
        number: int = 0,
    ) -> None:
        super().__init__()
        if num_bins < 1 or num_eval_orders < 1:
            raise SettingError(
                f"{num_bins} bins and {num_eval_orders} orders; expected at least 1 of each"
            )
        self.layer: _Sequential = layer
        self.num_bins, self.num_eval_orders, self.number = num_bins, num_eval_orders, number

    def forward(
        self, x: Float[Tensor, "nodes channels"], keys: NodeKeys
    ) -> Float[Tensor, "nodes channels"]:
        if len(x) == 0:
            return x
        if keys.rank is None:
            noise = torch.empty_like(keys.batch).random_()
            return self._read(x, keys, noise)
        passes = [
            self._read(x, keys, _mixed(keys.rank + ((self.number * 64 + turn + 1) << 32)))
            for turn in range(self.num_eval_orders)
        ]
        mean = passes[0] if len(passes) == 1 else torch.stack(passes).mean(dim=0)
        if keys.alike is None:
            return mean
        classes = int(keys.alike.max()) + 1
        if classes == len(x):
            return mean
        size = torch.bincount(keys.alike, minlength=classes).to(mean).unsqueeze(1)
        summed = mean.new_zeros(classes, mean.shape[1]).index_add(0, keys.alike, mean)
        return (summed / size).index_select(0, keys.alike)

    def _read(self, x: Tensor, keys: NodeKeys, noise: Tensor) -> Tensor:
        row = keys.batch
        if self.num_bins > 1:
            row = row * self.num_bins + _mixed(noise) % self.num_bins
        order = lexsort([noise, keys.scores, row])
        _, sizes = torch.unique_consecutive(row[order], return_counts=True)
        ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        out = self.layer(x.index_select(0, order), ptr=ptr)
        return torch.empty_like(out).index_copy(0, order, out)
