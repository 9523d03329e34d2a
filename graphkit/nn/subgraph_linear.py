"""Maps between tensors of order 0, 1, 2 on sub-graphs that commute with their permutations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphkit.errors import SettingError
from graphkit.sparse import SparseMatrix

__all__ = ["ByClass", "SubgraphLinear", "Subgraphs"]

# How many vectors of a tensor of each order stand at each node, and at the whole sub-graph. Read:
# diagonal, row and column sums; trace and total. Written, as many: along rows, along columns, on
# the diagonal; everywhere, on the diagonal.
AT_NODES, AT_WHOLE = {2: 3, 1: 1, 0: 0}, {2: 2, 1: 1, 0: 1}


@runtime_checkable
class Subgraphs(Protocol):
    """Overlapping sets of nodes, smallest first; ``graphkit.transforms.EgoSets`` makes them."""

    size: Int[Tensor, " sets"]
    ego: Int[Tensor, " rows"]
    member: Int[Tensor, " rows"]
    row_share: Float[Tensor, " rows"]
    diagonal: Int[Tensor, " rows"]
    reverse: Int[Tensor, " pairs"]
    row_sum: SparseMatrix
    spread: SparseMatrix
    part_pair: Int[Tensor, " parts"]
    part_size: Int[Tensor, " parts"]
    part_share: Float[Tensor, " parts"]
    num_nodes: int


class ByClass(NamedTuple):
    """How many sets, rows and parts each weight class has, one after the other.

    Args:
        sets: Sets of each class.
        rows: Nodes in them.
        parts: Pairs in them, each once per size.
    """

    sets: list[int]
    rows: list[int]
    parts: list[int]

    @classmethod
    def of(cls, subgraphs: Subgraphs, kind: Int[Tensor, " sizes"], num_classes: int = 1) -> ByClass:
        """Counts.

        Args:
            subgraphs: The sets.
            kind: Class of each size from 0 to the largest, not falling.
            num_classes: Number of classes.
        """
        sets, parts = kind[subgraphs.size], kind[subgraphs.part_size]
        counted = (sets, sets[subgraphs.ego], parts)
        return cls(*(one.bincount(minlength=num_classes).tolist() for one in counted))


class SubgraphLinear(nn.Module):
    r"""Restricts to every sub-graph, maps there, and averages over those that share a place.

    The restrictions :math:`X` (order 2, a vector per ordered pair), :math:`v` (order 1, per node)
    and :math:`s` (order 0, per sub-graph) of :math:`m` nodes are mapped by everything linear that
    commutes with the :math:`m!` renamings. From order 2 to order 2 these are 15 maps, of weights
    :math:`A` to :math:`F` (:math:`g` diagonal, :math:`r, c` sums of rows and columns over
    :math:`m`, :math:`\mathrm{tr}` trace over :math:`m`, :math:`t` total over :math:`m^2`):

    .. math:: Y_{uv} = X_{uv} W_1 + X_{vu} W_2 + [g_u, r_u, c_u] A + [g_v, r_v, c_v] B
        + [\mathrm{tr}, t] E + \delta_{uv} \left( [g_u, r_u, c_u] C + [\mathrm{tr}, t] F \right)

    The mean over sub-graphs is linear too, so :math:`X` is never written out per sub-graph: sums
    over its rows and the spreading of row and column terms are sparse products over the table of
    pairs, and :math:`W_1, W_2` act on each pair once per class of sizes.

    Args:
        in_channels: Width of each order that is read, e.g. ``{2: 16, 1: 16}``.
        out_channels: Width of each order that is written, for each order that is read: the
            results of different input orders are joined, ``len(in_channels)`` times as wide.
        num_classes: Number of weight sets; a sub-graph's size decides which one it gets.

    Shape:
        order 2 ``(pairs, channels)``, order 1 ``(nodes, channels)``, order 0
        ``(sets, channels)``, in and out. Order 0 is not averaged. A node in no set gets zeros.

    Raises:
        SettingError: An order is not 0, 1 or 2, none is given, or there is no class.

    Source:
        Mitton and Murray-Smith, "Subgraph Permutation Equivariant Networks", TMLR 2023; the maps
        are those of Maron et al., "Invariant and Equivariant Graph Networks", ICLR 2019.
        Differs: weights start normal with variance ``2 / (in + out)`` per map, as in the authors'
        code; its merge of node vectors mixes channels and nodes, this one does not.
    """

    def __init__(
        self,
        in_channels: Mapping[int, int],
        out_channels: Mapping[int, int],
        num_classes: int = 1,
    ) -> None:
        super().__init__()
        for name, orders in (("in_channels", in_channels), ("out_channels", out_channels)):
            odd = [order for order in orders if order not in (0, 1, 2)]
            if odd or not orders:
                raise SettingError(f"{name}={dict(orders)}; expected some of the orders 0, 1, 2")
        if num_classes < 1:
            raise SettingError(f"num_classes={num_classes}; expected at least 1")
        self.reads = nn.ModuleDict(
            {
                str(order): _Reading(order, width, out_channels, num_classes)
                for order, width in in_channels.items()
            }
        )

    def forward(
        self, x: Mapping[int, Tensor], subgraphs: Subgraphs, by_class: ByClass
    ) -> dict[int, Tensor]:
        made = [read(x[int(order)], subgraphs, by_class) for order, read in self.reads.items()]
        return {order: torch.cat([one[order] for one in made], dim=1) for order in made[0]}


class _Reading(nn.Module):
    """The maps from one order to all that are written."""

    def __init__(
        self, order: int, width: int, out_channels: Mapping[int, int], num_classes: int
    ) -> None:
        super().__init__()
        self.order = order
        self.out_channels = dict(out_channels)
        self.node_widths = _widths(AT_NODES, out_channels)
        self.whole_widths = _widths(AT_WHOLE, out_channels)

        def drawn(reads: int, writes: list[int]) -> nn.Parameter:
            blocks = [
                torch.randn(num_classes, reads * width, out) * (2 / (width + out)) ** 0.5
                for out in writes
            ]
            return nn.Parameter(torch.cat(blocks, dim=2))

        reads = AT_NODES[order]
        self.nodes = drawn(reads, self.node_widths) if reads and self.node_widths else None
        self.whole = drawn(AT_WHOLE[order], self.whole_widths)
        self.pairs = drawn(1, [out_channels[2]] * 2) if order == 2 and 2 in out_channels else None
        self.bias = nn.Parameter(torch.zeros(num_classes, sum(self.whole_widths)))

    def forward(self, x: Tensor, subgraphs: Subgraphs, by_class: ByClass) -> dict[int, Tensor]:
        rows, whole = self.read(x, subgraphs)
        times = torch.tensor(by_class.sets, device=x.device)
        bias = self.bias.repeat_interleave(times, dim=0, output_size=len(whole))
        per_set = iter(
            (_by_class(whole, self.whole, by_class.sets) + bias).split(self.whole_widths, dim=1)
        )
        if self.nodes is not None:
            rows = _by_class(rows, self.nodes, by_class.rows)
        else:
            rows = x.new_zeros(len(subgraphs.ego), sum(self.node_widths))
        per_row = iter(rows.split(self.node_widths, dim=1))
        out = {}
        for order in self.out_channels:
            if order == 0:
                out[0] = next(per_set)
            elif order == 1:
                nodes = next(per_row) + next(per_set).index_select(0, subgraphs.ego)
                nodes = nodes * subgraphs.row_share[:, None]
                empty = nodes.new_zeros(subgraphs.num_nodes, nodes.shape[1])
                out[1] = empty.index_add(0, subgraphs.member, nodes)
            else:
                along_row, along_column, diagonal = (next(per_row) for _ in range(3))
                along_row = along_row + next(per_set).index_select(0, subgraphs.ego)
                diagonal = (
                    diagonal + next(per_set).index_select(0, subgraphs.ego)
                ) * subgraphs.row_share[:, None]
                # In place, one after the other: these are the largest tensors there are.
                pairs = subgraphs.spread @ along_row
                pairs.add_((subgraphs.spread @ along_column).index_select(0, subgraphs.reverse))
                pairs.index_add_(0, subgraphs.diagonal, diagonal)
                out[2] = self.add_pairs(pairs, x, subgraphs, by_class)
        return out

    def read(self, x: Tensor, subgraphs: Subgraphs) -> tuple[Tensor, Tensor]:
        """Returns what stands at each node of each sub-graph, and at the sub-graph."""
        if self.order == 0:
            return x, x
        size = subgraphs.size.clamp(min=1)[:, None].to(x.dtype)
        if self.order == 1:
            rows = x.index_select(0, subgraphs.member)
            width = rows.shape[1]
        else:
            sums = [subgraphs.row_sum @ x]
            if self.nodes is not None:
                sums.append(subgraphs.row_sum @ x.index_select(0, subgraphs.reverse))
            rows = torch.cat(
                [
                    x.index_select(0, subgraphs.diagonal),
                    *(one / size[subgraphs.ego] for one in sums),
                ],
                dim=1,
            )
            width = 2 * x.shape[1]
        whole = rows.new_zeros(len(size), width).index_add(0, subgraphs.ego, rows[:, :width])
        return rows, whole / size

    def add_pairs(self, out: Tensor, x: Tensor, subgraphs: Subgraphs, by_class: ByClass) -> Tensor:
        """Adds the maps of each pair and of its reverse."""
        if self.pairs is None:
            return out
        width = self.out_channels[2]
        if len(self.pairs) == 1:
            same, turned = self.pairs[0].split(width, dim=1)
            return out.addmm_(x, same).add_((x @ turned).index_select(0, subgraphs.reverse))
        part = subgraphs.part_pair
        rows = (
            _by_class(x.index_select(0, part), self.pairs, by_class.parts)
            * subgraphs.part_share[:, None]
        )
        same, turned = rows.split(width, dim=1)
        return out.index_add_(0, part, same).index_add_(0, subgraphs.reverse[part], turned)


def _widths(terms: Mapping[int, int], out_channels: Mapping[int, int]) -> list[int]:
    """The width of each term that is written, order by order."""
    return [width for order, width in out_channels.items() for _ in range(terms[order])]


def _by_class(x: Tensor, weight: Tensor, counts: list[int]) -> Tensor:
    """Multiplies each run of rows by the weight of its class."""
    if len(counts) == 1:
        return x @ weight[0]
    runs = zip(x.split(counts), weight.unbind(), counts, strict=True)
    made = [rows @ own for rows, own, count in runs if count]
    return torch.cat(made) if made else x.new_zeros(0, weight.shape[2])
