"""Places of nodes as features: Laplacian eigenvectors with free signs, returning walks, colours.

All read the edges alone, so they are computed before a graph is rewired.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import AddRandomWalkPE, BaseTransform
from torch_geometric.utils import coalesce, remove_self_loops, to_undirected

from graphkit.errors import DataError, SettingError
from graphkit.sparse import SparseMatrix
from graphkit.transforms.laplacian import DropTrivial, laplacian_vectors

__all__ = ["WLPE", "LaplacianPE", "RandomWalkPE", "SignFlip"]


class LaplacianPE(BaseTransform):
    """Adds ``pe``: the eigenvectors of the smallest non-trivial eigenvalues, a row per node.

    Of :math:`I - D^{-1/2} A D^{-1/2}` in double precision; columns that a small graph does not
    have are zeros. The sign of each vector is fixed (its largest entry is positive), so the result
    does not depend on the solver where the eigenvalues differ and one entry is the largest;
    ``SignFlip`` frees the sign in training. Equal eigenvalues (cycles, grids) have no vectors of
    their own: a rotation among them remains the solver's choice, and the numbering's.

    Args:
        k: Number of eigenvectors.
        drop_trivial: A graph of c components with edges has c eigenvalues 0. ``first`` drops one,
            so c - 1 columns tell components apart; ``all`` drops all.

    Raises:
        SettingError: ``k`` is below 1.
        DataError: A large graph's eigenvectors do not converge.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023, section on encodings.
        Differs: graphs of over 1,000 nodes are solved component by component with a fixed start,
        and with ``first`` their columns of eigenvalue 0 set the largest component against each
        other one; the official code leaves both to its solver.
    """

    fixed = True
    stored: ClassVar[int] = 1  # raised when its numbers change; what has it is kept on disk

    def __init__(self, k: int, drop_trivial: DropTrivial = "first") -> None:
        if k < 1:
            raise SettingError(f"k={k}; expected at least 1 eigenvector")
        if drop_trivial not in ("first", "all"):
            raise SettingError(f"drop_trivial={drop_trivial!r}; expected 'first' or 'all'")
        self.k, self.drop_trivial = k, drop_trivial

    def forward(self, data: Data) -> Data:
        """Returns the graph with the field added: ``(nodes, k)``."""
        edge_index = _edges(self, data)
        nodes = int(data.num_nodes or 0)
        vectors = laplacian_vectors(edge_index, nodes, self.k, self.drop_trivial)
        padded = torch.zeros(nodes, self.k)
        padded[:, : vectors.shape[1]] = vectors.float()
        data.pe = padded.to(edge_index.device)
        return data

    def __repr__(self) -> str:
        more = ", drop_trivial='all'" if self.drop_trivial == "all" else ""
        return f"LaplacianPE({self.k}{more})"


class SignFlip(BaseTransform):
    """Multiplies each column of a field by a random sign.

    Args:
        name: The field.
        per: One draw for each ``graph`` of a batch, or one for the whole ``batch``.
        generator: What draws; torch's global one if not given, which the loop seeds by run, epoch
            and batch.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023.
        Differs: its code draws once per batch; each graph's vectors have signs of their own.
    """

    def __init__(
        self,
        name: str = "pe",
        per: Literal["graph", "batch"] = "graph",
        generator: torch.Generator | None = None,
    ) -> None:
        if per not in ("graph", "batch"):
            raise SettingError(f"per={per!r}; expected 'graph' or 'batch'")
        self.name, self.per, self.generator = name, per, generator

    def forward(self, data: Data) -> Data:
        """Returns the batch with the signs drawn anew."""
        values = data[self.name]
        graph = data.get("batch") if self.per == "graph" else None
        # drawn on the CPU, so that every device gets the same
        shape = (1 if graph is None else data.num_graphs, values.shape[1])
        signs = (torch.randint(0, 2, shape, generator=self.generator) * 2 - 1).to(values)
        data[self.name] = values * (signs if graph is None else signs[graph])
        return data

    def __repr__(self) -> str:
        more = ", per='batch'" if self.per == "batch" else ""
        return f"SignFlip({self.name!r}{more})"


class RandomWalkPE(BaseTransform):
    """Adds ``pe``: the chance that a walk from a node is back after 1, 2, … steps.

    The walk leaves along each edge of a node with the same chance; edges that are there twice
    count once. PyG's transform up to 2,000 nodes; beyond, where the powers it keeps would fill the
    memory (the square of the number of nodes after a few steps), blocks of nodes are walked from.

    Args:
        k: Number of steps, and of columns.

    Raises:
        SettingError: ``k`` is below 1.

    Source:
        Dwivedi et al., "Graph Neural Networks with Learnable Structural and Positional
        Representations", ICLR 2022.
    """

    fixed = True
    stored: ClassVar[int] = 1

    def __init__(self, k: int) -> None:
        if k < 1:
            raise SettingError(f"k={k}; expected at least 1 step")
        self.k = k

    def forward(self, data: Data) -> Data:
        """Returns the graph with the field added: ``(nodes, k)``."""
        nodes = int(data.num_nodes or 0)
        edges = coalesce(_edges(self, data), num_nodes=nodes)
        if nodes <= PYG_NODES:
            bare = Data(edge_index=edges, num_nodes=nodes)
            data.pe = AddRandomWalkPE(self.k, "pe")(bare).pe
        else:
            data.pe = _returns(edges, nodes, self.k)
        return data

    def __repr__(self) -> str:
        return f"RandomWalkPE({self.k})"


PYG_NODES = 2_000  # up to here PyG multiplies dense matrices
WALKERS = 2**24  # numbers held at a time: 64 MiB


def _returns(edges: Tensor, nodes: int, k: int) -> Tensor:
    degree = torch.bincount(edges[0], minlength=nodes).clamp(min=1)
    # row: where a walk is, column: where it goes, so a product steps back from the end
    step = SparseMatrix.from_edges(edges.flip(0), 1.0 / degree[edges[0]], (nodes, nodes))
    pe = torch.zeros(nodes, k, device=edges.device)
    for rows in torch.arange(nodes, device=edges.device).split(max(WALKERS // nodes, 1)):
        place = torch.arange(len(rows), device=edges.device)
        chance = torch.zeros(nodes, len(rows), device=edges.device)
        chance[rows, place] = 1.0
        for number in range(k):
            chance = step @ chance
            pe[rows, number] = chance[rows, place]
    return pe


class WLPE(BaseTransform):
    """Adds ``wl``: the number of each node's colour after rounds of Weisfeiler and Leman.

    Colours are 64-bit mixing hashes of a node's colour and those of its neighbours, without order;
    two colours share a hash with a chance of 2^-64. Within a graph they are numbered from 0 in
    order of their hash, so a number means the same in two graphs only if both have the same
    colours. Direction, duplicates and self-loops do not count; the first colour is one for all.

    Args:
        num_iters: Rounds.
        num_colors: Most colours a graph may have; as many as there are if not given.

    Raises:
        SettingError: ``num_iters`` is below 0.
        DataError: A graph has more colours.

    Source:
        Zhang et al., "Graph-BERT", 2020, as used by Dwivedi and Bresson, DLG-AAAI 2021.
        Differs: hashes of another kind, so colours come in another order.
    """

    fixed = True
    stored: ClassVar[int] = 1

    def __init__(self, num_iters: int = 2, num_colors: int | None = None) -> None:
        if num_iters < 0:
            raise SettingError(f"num_iters={num_iters}; expected 0 rounds or more")
        self.num_iters, self.num_colors = num_iters, num_colors

    def forward(self, data: Data) -> Data:
        """Returns the graph with the field added: ``(nodes,)``, int64."""
        nodes = int(data.num_nodes or 0)
        edges = remove_self_loops(_edges(self, data))[0]
        source, destination = to_undirected(edges, num_nodes=nodes)
        color = torch.zeros(nodes, dtype=torch.long, device=edges.device)
        for _ in range(self.num_iters):
            around = torch.zeros_like(color).index_add_(0, destination, _mixed(color)[source])
            color = _mixed(color + GOLDEN) + _mixed(around)  # may wrap around
        known, data.wl = color.unique(return_inverse=True)
        if self.num_colors is not None and len(known) > self.num_colors:
            raise DataError(
                f"a graph of {nodes} nodes has {len(known)} colours after {self.num_iters} rounds "
                f"and there is room for {self.num_colors}: ask for at least {len(known)}"
            )
        return data

    def __repr__(self) -> str:
        more = "" if self.num_colors is None else f", num_colors={self.num_colors}"
        return f"WLPE({self.num_iters}{more})"


GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # as a signed number


def _mixed(bits: Tensor) -> Tensor:
    """Spreads every bit of 64 over all of them (the finaliser of SplitMix64)."""
    bits = bits + GOLDEN
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ ((bits >> shift) & (2 ** (64 - shift) - 1))) * (factor - 2**64)
    return bits ^ ((bits >> 31) & (2**33 - 1))


def _edges(transform: Any, data: Data) -> Tensor:
    edge_index = data.get("edge_index")
    if edge_index is None:
        raise DataError(f"{transform!r} reads edge_index, which the data do not hold")
    return edge_index
