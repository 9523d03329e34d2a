"""Convolutions on hypergraphs: to the hyperedges and back, two sparse products."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from graphkit.nn.convs import InputLinear
from graphkit.sparse import SparseMatrix

__all__ = ["HGNNConv", "HGNNPlusConv"]


class _HypergraphConv(nn.Module):
    """A linear map, then the product with each of two ready matrices in turn."""

    def __init__(
        self, in_channels: int, out_channels: int, *, dropout: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        self.lin = InputLinear(in_channels, out_channels, dropout=dropout, bias=bias)

    def forward(
        self,
        x: Tensor | SparseMatrix,
        to_hyperedges: SparseMatrix,
        to_nodes: SparseMatrix,
    ) -> Float[Tensor, "nodes channels"]:
        """Returns the new rows of the vertices."""
        return to_nodes @ (to_hyperedges @ self.lin(x))


class HGNNConv(_HypergraphConv):
    r"""Averages over hyperedges, by the root of the vertices' degrees.

    .. math:: D_v^{-1/2} H W D_e^{-1} H^T D_v^{-1/2} (X \Theta + b)

    Args:
        in_channels: Width of the input.
        out_channels: Width of the result.
        dropout: Share of input entries dropped in training.
        bias: Add a learned bias before the step; it is spread like the features.

    Shape:
        x ``(nodes, in_channels)``, dense or sparse, to_hyperedges ``(hyperedges, nodes)``, to_nodes
        ``(nodes, hyperedges)``, both by ``Incidence("sym")`` -> ``(nodes, out_channels)``.

    Source:
        Feng et al., "Hypergraph Neural Networks", AAAI 2019, eq. 11. Differs: the authors multiply
        the five matrices out, which takes the square of the largest hyperedge.
    """


class HGNNPlusConv(_HypergraphConv):
    r"""Takes the mean over the vertices of each hyperedge, then over the hyperedges of each vertex.

    .. math:: D_v^{-1} H W D_e^{-1} H^T (X \Theta + b)

    Args:
        in_channels: Width of the input.
        out_channels: Width of the result.
        dropout: Share of input entries dropped in training.
        bias: Add a learned bias before the step; where every vertex is in a hyperedge this is
            the same as after it.

    Shape:
        x ``(nodes, in_channels)``, dense or sparse, to_hyperedges ``(hyperedges, nodes)``, to_nodes
        ``(nodes, hyperedges)``, both by ``Incidence("mean")`` -> ``(nodes, out_channels)``.

    Source:
        Gao et al., "HGNN+: General Hypergraph Neural Networks", TPAMI 2022. PyG's
        ``HypergraphConv`` without attention is the same for weights of 1; it leaves the weights
        out of the sum that it divides by their total.
    """
