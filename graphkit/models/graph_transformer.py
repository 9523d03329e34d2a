"""The Graph Transformer: attention along the edges, encoded places, an edge stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.transforms import BaseTransform

from graphkit.errors import DataError, SettingError
from graphkit.models.base import Model
from graphkit.nn import GraphTransformerLayer, Head, InputEncoder, Readout, pool
from graphkit.tasks import Dims
from graphkit.transforms.chain import Chain
from graphkit.transforms.encodings import WLPE, LaplacianPE, RandomWalkPE, SignFlip
from graphkit.transforms.rewire import ToFullGraph

__all__ = [
    "FullGraphTransformer",
    "GraphTransformer",
    "WLGraphTransformer",
    "WalkGraphTransformer",
]

WL_ROUNDS = 1  # what the authors' code keeps of the two it counts


class GraphTransformer(Model):
    """Layers of attention restricted to the given edges.

    A node hears of nothing further away than there are layers, in edges.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width of both streams; a multiple of ``heads``.
        num_layers: Number of layers.
        heads: Attention heads.
        dropout: Share of features dropped in training.
        norm: ``batch`` or ``layer``; ``None`` leaves it out.
        encoding: Number of Laplacian eigenvectors added to the input; 0 adds none.
        readout: How node vectors make one answer per graph; ``None`` answers per node.

    Reads:
        ``x``, ``edge_index``, ``edge_attr`` where the data have it, ``batch`` with a readout.

    Raises:
        SettingError: The heads do not divide the width, or ``encoding`` is below 0.
        DataError: A batch lacks its encoding, or edge features it was built for.

    Source:
        Dwivedi and Bresson, "A Generalization of Transformer Networks to Graphs", DLG-AAAI 2021.
        Differs: an isolated node attends to nothing and gets zeros, where the authors' layer
        without edge features divides by zero; signs of eigenvectors are drawn for each graph of a
        batch (``signs = "batch"`` in a subclass is what the authors do).
    """

    width_multiple = 8  # the default number of heads
    places: ClassVar[Literal["laplacian", "walk", "wl"]] = "laplacian"
    signs: ClassVar[Literal["graph", "batch"]] = "graph"
    rewire: ClassVar[BaseTransform | None] = None

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        num_layers: int = 10,
        heads: int = 8,
        dropout: float = 0.0,
        norm: Literal["batch", "layer"] | None = "batch",
        encoding: int = 0,
        readout: Readout | None = None,
    ) -> None:
        super().__init__()
        if encoding < 0:
            raise SettingError(f"encoding={encoding}; expected 0 or more")
        self.encoding, self.readout = encoding, readout
        edges = bool(dims.edge_channels or dims.edge_symbols)
        self.encode = InputEncoder(dims.in_channels, dims.node_symbols, hidden_channels)
        self.encode_edges = (
            InputEncoder(dims.edge_channels, dims.edge_symbols, hidden_channels) if edges else None
        )
        kind = nn.Embedding if self.places == "wl" else nn.Linear
        self.place = kind(encoding, hidden_channels) if encoding else None
        self.layers = nn.ModuleList(
            GraphTransformerLayer(hidden_channels, heads, edges=edges, dropout=dropout, norm=norm)
            for _ in range(num_layers)
        )
        self.head = Head(hidden_channels, dims.out_channels)

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """The encoding, where there is one."""
        if not self.encoding:
            return None
        if self.places == "wl":
            return WLPE(WL_ROUNDS, num_colors=self.encoding)
        return (LaplacianPE if self.places == "laplacian" else RandomWalkPE)(self.encoding)

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """Other edges where the class says so, and in training random signs of eigenvectors."""
        parts: list[BaseTransform] = [self.rewire] if self.rewire is not None else []
        if self.encoding and self.places == "laplacian" and self.training:
            parts.append(SignFlip("pe", self.signs))
        return Chain(*parts) if len(parts) > 1 else parts[0] if parts else None

    def forward(self, batch: Any) -> Float[Tensor, "rows answers"]:
        h = self.encode(batch.get("x"), batch.num_nodes)
        if self.place is not None:
            h = h + self.place(self._placed(batch))
        e = None
        if self.encode_edges is not None:
            if batch.get("edge_attr") is None:
                raise DataError(
                    "the batch has no edge_attr; the Graph Transformer was built for data with "
                    "edge features (dims.edge_channels or dims.edge_symbols)"
                )
            e = self.encode_edges(batch.edge_attr, batch.edge_index.shape[1])
        for layer in self.layers:
            h, e = layer(h, batch.edge_index, e)
        if self.readout is not None:
            h = pool(h, batch.batch, batch.num_graphs, self.readout)
        return self.head(h)

    def _placed(self, batch: Any) -> Tensor:
        """The batch's encoding, if it is the one this network was built for."""
        name, shape = ("wl", ()) if self.places == "wl" else ("pe", (self.encoding,))
        field: Tensor | None = batch.get(name)
        if field is None or field.shape[1:] != shape:
            found = "lacks it" if field is None else f"has it of shape {tuple(field.shape)}"
            raise DataError(
                f"the Graph Transformer reads {name!r} as {self.pre_transform!r} adds it, and the "
                f"batch {found}: take batches of problem.batches(part, model), or apply it"
            )
        return field


class WalkGraphTransformer(GraphTransformer):
    """The same layers, with places told by how often a random walk returns.

    Args:
        dims, hidden_channels, num_layers, heads, dropout, norm, readout: As for
            ``GraphTransformer``.
        encoding: Number of steps of the walk; 0 adds nothing.

    Reads:
        As ``GraphTransformer``.

    Source:
        Dwivedi et al., "Graph Neural Networks with Learnable Structural and Positional
        Representations", ICLR 2022, for the encoding; Dwivedi and Bresson, DLG-AAAI 2021.
    """

    places = "walk"


class WLGraphTransformer(GraphTransformer):
    """The same layers, with places told by the colours of Weisfeiler and Leman.

    Args:
        dims, hidden_channels, num_layers, heads, dropout, norm, readout: As for
            ``GraphTransformer``.
        encoding: Number of colours there is room for, 37 on ZINC and 100 on PATTERN and CLUSTER; a
            graph that has more is refused. 0 adds nothing.

    Reads:
        As ``GraphTransformer``.

    Source:
        Dwivedi and Bresson, DLG-AAAI 2021. Colours of one round: the text says two, but the
        authors' code leaves its loop before it takes in the second, after which nearly every node
        of PATTERN has a colour of its own and a hundred are too few.
    """

    places = "wl"


class FullGraphTransformer(GraphTransformer):
    """The same layers, with attention between every two nodes of a graph.

    Edge features become type 0 on every pair; the encoding is that of the given graph. Memory is
    that of all ordered pairs: for graphs of some hundred nodes.

    Args:
        dims, hidden_channels, num_layers, heads, dropout, norm, encoding, readout: As for
            ``GraphTransformer``.

    Reads:
        ``x``, ``edge_index`` for the encoding, ``edge_attr`` where the data have it, ``batch``.

    Source:
        Dwivedi and Bresson, DLG-AAAI 2021, full graphs; its early code encoded places of the full
        graph, which was mended later.
    """

    rewire = ToFullGraph()
