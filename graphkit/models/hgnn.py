"""Networks on hypergraphs, and the student that needs none."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from graphkit.errors import SettingError
from graphkit.models.base import Model
from graphkit.nn import BatchNorm, Dropout, InputEncoder, InputLinear
from graphkit.nn.hypergraph_conv import HGNNConv, HGNNPlusConv
from graphkit.sparse import SparseMatrix
from graphkit.tasks import Dims, HyperBatch
from graphkit.transforms import Chain, SparseFeatures
from graphkit.transforms.hypergraph import Incidence, SingletonHyperedges, UniqueHyperedges

__all__ = ["HGNN", "HGNNPlus", "LightMLP"]


class _Inputs(Model):
    """What a stack of layers starts from, whatever the nodes carry."""

    def __init__(self, dims: Dims, hidden_channels: int, num_layers: int) -> None:
        super().__init__()
        if num_layers < 1:
            raise SettingError(f"num_layers={num_layers}; expected at least 1")
        first = dims.in_channels
        self.encode: InputEncoder | None = None
        if dims.node_symbols or dims.in_channels == 0:
            first = hidden_channels
            self.encode = InputEncoder(dims.in_channels, dims.node_symbols, hidden_channels)
        self.widths = [first, *[hidden_channels] * (num_layers - 1), dims.out_channels]

    def inputs(self, batch: Any) -> Tensor | SparseMatrix:
        """The features, sparse where that saves work, encoded where they are symbols or absent."""
        if self.encode is not None:
            return self.encode(batch.get("x"), batch.num_nodes)
        sparse = batch.get("sparse_x")
        return batch.x if sparse is None else sparse


class _HypergraphNetwork(_Inputs):
    """Convolutions with ReLU and dropout between them."""

    conv: ClassVar[type[HGNNConv] | type[HGNNPlusConv]]
    norm: ClassVar[Literal["sym", "mean"]]

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 32,
        num_layers: int = 2,
        dropout: float = 0.5,
        singletons: bool = True,
        hyperedges: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(dims, hidden_channels, num_layers)
        self.singletons = singletons
        self.hyperedges = hyperedges
        self.convs = nn.ModuleList(
            self.conv(low, high, dropout=dropout if number else 0.0)
            for number, (low, high) in enumerate(pairwise(self.widths))
        )

    @property
    def pre_transform(self) -> Callable[[Any], Any]:
        """Hyperedges made where they are asked for, each once, one for each vertex in none."""
        made = [self.hyperedges] if self.hyperedges is not None else []
        alone = [SingletonHyperedges()] if self.singletons else []
        return Chain(*made, UniqueHyperedges(), *alone)

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The incidence as two matrices, and the sparse features."""
        return Chain(Incidence(self.norm), SparseFeatures())

    def embed(self, batch: HyperBatch) -> Float[Tensor, "nodes channels"]:
        """Returns the rows before the last convolution."""
        x = self.inputs(batch)
        for conv in self.convs[:-1]:
            x = conv(x, batch.to_hyperedges, batch.to_nodes).relu()  # type: ignore[attr-defined]
        return x  # type: ignore[return-value]

    def forward(self, batch: HyperBatch) -> Float[Tensor, "nodes answers"]:
        x = self.embed(batch)
        out: Tensor = self.convs[-1](x, batch.to_hyperedges, batch.to_nodes)  # type: ignore[attr-defined]
        return out


class HGNN(_HypergraphNetwork):
    """Averages over hyperedges by the root of the vertices' degrees, after a linear map.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width between the layers.
        num_layers: Number of convolutions.
        dropout: Share of hidden features dropped in training.
        singletons: Give each vertex that is in no hyperedge one of its own; without, the answer
            for such a vertex knows nothing of it.
        hyperedges: Transform that makes hyperedges of a graph or of features first, such as
            ``NeighborhoodHyperedges()`` or ``NearestNeighborHyperedges(5)``.

    Reads:
        ``x``, ``hyperedge_index``, ``hyperedge_weight`` where there is one.

    Source:
        Feng et al., "Hypergraph Neural Networks", AAAI 2019. Differs: equal hyperedges are merged
        and vertices in none get one, as in Feng et al., "LightHGNN", ICLR 2024.
    """

    conv = HGNNConv
    norm = "sym"


class HGNNPlus(_HypergraphNetwork):
    """Takes the mean over each hyperedge and the mean back, after a linear map.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width between the layers.
        num_layers: Number of convolutions.
        dropout: Share of hidden features dropped in training.
        singletons: Give each vertex that is in no hyperedge one of its own.
        hyperedges: Transform that makes hyperedges of a graph or of features first.

    Reads:
        ``x``, ``hyperedge_index``, ``hyperedge_weight`` where there is one.

    Source:
        Gao et al., "HGNN+: General Hypergraph Neural Networks", TPAMI 2022. Differs: as HGNN; one
        group of hyperedges, whose weights are not learned.
    """

    conv = HGNNPlusConv
    norm = "mean"


class LightMLP(_Inputs):
    """The student: linear maps with ReLU, then batch normalisation, then dropout between them.

    Args:
        dims: Sizes of the data set.
        hidden_channels: Width between the layers.
        num_layers: Number of linear maps.
        dropout: Share of hidden features dropped in training.

    Reads:
        ``x``.

    Source:
        Feng et al., "LightHGNN: Distilling Hypergraph Neural Networks into MLPs for 100x Faster
        Inference", ICLR 2024, appendix and code (the norm comes after the ReLU).
    """

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 128,
        num_layers: int = 2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(dims, hidden_channels, num_layers)
        self.layers = nn.ModuleList(InputLinear(low, high) for low, high in pairwise(self.widths))
        self.norms = nn.ModuleList(BatchNorm(width) for width in self.widths[1:-1])
        self.drop = Dropout(dropout)

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """The features without their zeros, for a sparse first layer."""
        return SparseFeatures() if self.encode is None else None

    def embed(self, batch: Any) -> Float[Tensor, "nodes channels"]:
        """Returns the last hidden rows."""
        x = self.inputs(batch)
        for layer, norm in zip(self.layers, self.norms, strict=False):
            x = self.drop(norm(layer(x).relu()))
        return x  # type: ignore[return-value]

    def forward(self, batch: Any) -> Float[Tensor, "nodes answers"]:
        out: Tensor = self.layers[-1](self.embed(batch))
        return out
