"""SPEN: maps that commute with permutations on the ego network of every node, merged by means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import elu
from torch_geometric.nn import GraphNorm

from graphkit.errors import SettingError
from graphkit.models.base import Model
from graphkit.nn import Dropout, InputEncoder, Readout, pool
from graphkit.nn.subgraph_linear import ByClass, SubgraphLinear
from graphkit.tasks import Dims
from graphkit.transforms.ego_networks import MAX_PAIRS, EgoNetworks

__all__ = ["SPEN"]

HEAD = (256, 128)  # widths of the last network


class SPEN(Model):
    """Layers of equivariant maps on ego networks, on features of nodes and of pairs of nodes.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width written from each order; nodes and pairs carry twice as much.
        num_layers: Number of equivariant layers; the last answers per ego network or per node.
        num_hops: How far an ego network reaches, in edges.
        share: Which ego networks share weights: those of one ``"size"``, of a ``"bucket"`` of
            sizes (1, 2, 3, 4, 5 to 6, 7 to 8, 9 to 12, ...), or ``"all"``.
        max_classes: Most weight sets; the last takes all larger sizes.
        dropout: Share of features dropped in the last network in training.
        readout: How ego networks make one answer per graph; ``None`` answers per node.
        max_pairs: Most pairs in a batch, counted in every ego network that holds them.

    Reads:
        ``x`` (vectors, symbols or none), ``edge_index``, ``batch`` with a readout.

    Raises:
        SettingError: There is no layer or no class, or ``share`` is none of these.

    Source:
        Mitton and Murray-Smith, "Subgraph Permutation Equivariant Networks", TMLR 2023, arXiv
        2111.11840, after the first version's text and code.

    Differs:
        Classes of sizes follow a rule (each size its own up to ``max_classes``) where the paper
        lists them by hand per data set; a model is built before it sees a graph. A size that no
        training batch held is given the nearest class that one did. Node features go through an
        encoder of width ``hidden_channels`` onto the diagonal, beside the normalised adjacency;
        the paper puts one-hot labels there, and its code the adjacency on all channels. Edges
        count in both directions and once. As there, edge features are not read, and the norm
        counts every pair of a graph once: it also tells graphs apart by how many there are
        (``tests/models/test_spen.py`` has what is separated with and without it).
    """

    first_sizes: Tensor
    seen: Tensor

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 16,
        num_layers: int = 5,
        num_hops: int = 1,
        share: Literal["size", "bucket", "all"] = "size",
        max_classes: int = 8,
        dropout: float = 0.5,
        readout: Readout | None = None,
        max_pairs: int = MAX_PAIRS,
    ) -> None:
        super().__init__()
        if num_layers < 1 or max_classes < 1:
            raise SettingError(
                f"num_layers={num_layers}, max_classes={max_classes}; expected at least 1 of each"
            )
        self.readout = readout
        self.egos = EgoNetworks(num_hops, max_pairs=max_pairs)
        classes = 1 if share == "all" else max_classes
        self.register_buffer("first_sizes", _first_sizes(share, classes), persistent=False)
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))
        h = hidden_channels
        last = {1: h} if readout is None else {0: h}
        reads = [{2: 1 + h}, *({2: h * n, 1: h * n} for n in (1, *[2] * (num_layers - 2)))]
        reads = reads[:num_layers]
        self.encode = InputEncoder(dims.in_channels, dims.node_symbols, h)
        self.layers = nn.ModuleList(
            SubgraphLinear(widths, {2: h, 1: h}, classes) for widths in reads[:-1]
        )
        self.pair_norms, self.node_norms = (
            nn.ModuleList(GraphNorm(h * len(widths)) for widths in reads[:-1]) for _ in range(2)
        )
        self.last = SubgraphLinear(reads[-1], last, classes)
        wide, narrow = HEAD
        self.head = nn.Sequential(
            nn.Linear(h * len(reads[-1]), wide), nn.ReLU(), Dropout(dropout),
            nn.Linear(wide, narrow), nn.ReLU(), Dropout(dropout),
            nn.Linear(narrow, dims.out_channels),
        )  # fmt: skip
        for layer in self.head:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.constant_(layer.bias, 0.1)

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The ego networks."""
        return self.egos

    def classes(self, largest: int) -> Int[Tensor, " sizes"]:
        """Returns the class of each size from 0 to ``largest``."""
        sizes = torch.arange(largest + 1, device=self.seen.device)
        kind = (torch.bucketize(sizes, self.first_sizes, right=True) - 1).clamp(min=0)
        if self.training or not bool(self.seen.any()):
            return kind
        known = self.seen.nonzero().flatten()
        far = (torch.arange(len(self.seen), device=known.device)[:, None] - known).abs()
        return known[far.argmin(dim=1)][kind]

    def forward(self, batch: Any) -> Float[Tensor, "rows answers"]:
        egos = batch.egos
        kind = self.classes(int(egos.size[-1]) if len(egos.size) else 0)
        if self.training:
            self.seen[kind[egos.size]] = True
        by_class = ByClass.of(egos, kind, len(self.seen))
        graph, graphs = batch.get("batch"), 1
        if graph is None:
            graph = egos.root.new_zeros(egos.num_nodes)
        else:
            graphs = batch.num_graphs
        of_pair = graph[egos.pair_index[0]]
        x = {2: self.inputs(batch)}
        for layer, on_pairs, on_nodes in zip(
            self.layers, self.pair_norms, self.node_norms, strict=True
        ):
            made = layer(x, egos, by_class)
            x = {
                2: on_pairs(elu(made[2]), of_pair, graphs),
                1: on_nodes(elu(made[1]), graph, graphs),
            }
        made = self.last(x, egos, by_class)
        if self.readout is None:
            return self.head(elu(made[1]))
        return self.head(pool(elu(made[0]), graph[egos.root], graphs, self.readout))

    def inputs(self, batch: Any) -> Float[Tensor, "pairs channels"]:
        """Returns the adjacency of each pair, and on the diagonal the encoded node features."""
        egos = batch.egos
        x = self.encode(batch.get("x"), egos.num_nodes)
        alone = egos.pair_index[0] == egos.pair_index[1]
        pairs = x.new_zeros(len(alone), 1 + x.shape[1])
        pairs[:, 0] = egos.adjacency
        pairs[alone, 1:] = x[egos.pair_index[0][alone]]
        return pairs


def _first_sizes(share: str, classes: int) -> Int[Tensor, " classes"]:
    """The smallest size of each class."""
    if share not in ("size", "bucket", "all"):
        raise SettingError(f"share={share!r}; expected 'size', 'bucket' or 'all'")
    first = list(range(1, classes + 1))
    if share == "bucket":
        steps = [step for n in range(1, classes) for step in (2**n + 1, 3 * 2 ** (n - 1) + 1)]
        first = [1, 2, *steps][:classes]
    return torch.tensor(first)
