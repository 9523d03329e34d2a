"""What can be read off node embeddings and predictions."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["cut_share", "smoothness", "topology_score"]


def smoothness(x: Float[Tensor, "nodes channels"], rows: int = 1024) -> Float[Tensor, ""]:
    r"""Returns how far apart the nodes' directions are, in [0, 1]; 0 when all point alike.

    .. math:: SMV_G = \frac{1}{n (n - 1)} \sum_{i \ne j} \tfrac12
        \left\| \frac{x_i}{\|x_i\|} - \frac{x_j}{\|x_j\|} \right\|

    Args:
        x: One vector per node.
        rows: Rows compared with all others at a time; memory is ``rows * nodes`` numbers.

    Source:
        Liu et al., "Towards Deeper Graph Neural Networks", KDD 2020, eq. 2 to 4.
    """
    nodes = len(x)
    if nodes < 2:
        return x.new_zeros(())
    unit = torch.nn.functional.normalize(x, dim=1)
    total = x.new_zeros((), dtype=torch.float64)
    for block in unit.split(rows):
        total += (2 - 2 * block @ unit.t()).clamp(min=0).sqrt().sum(dtype=torch.float64) / 2
    # a node against itself is 0 but for rounding under the root, which is taken out
    own = (2 - 2 * (unit * unit).sum(dim=1)).clamp(min=0).sqrt().sum(dtype=torch.float64) / 2
    return ((total - own) / (nodes * (nodes - 1))).to(x.dtype)


def topology_score(
    z: Float[Tensor, "nodes channels"],
    hyperedge_index: Int[Tensor, "2 memberships"],
    rows: int = 2**16,
) -> Float[Tensor, ""]:
    r"""Returns how far vertices are from the mean of their hyperedge, on average over hyperedges.

    .. math:: \frac1M \sum_e \frac1{|e|} \sum_{v \in e} \| z_e - z_v \|_2, \quad
        z_e = \frac1{|e|} \sum_{v \in e} z_v

    Larger means less smoothed within hyperedges. It grows with the scale of ``z``: compare only
    models of equal width, or normalise the rows. Empty hyperedges do not count; 0 if there is none.

    Args:
        z: One vector per vertex.
        hyperedge_index: Row 0 the vertex, row 1 the hyperedge.
        rows: Memberships looked at at a time; memory is ``rows * channels`` numbers besides the
            means.

    Source:
        Feng et al., "LightHGNN: Distilling Hypergraph Neural Networks into MLPs for 100x Faster
        Inference", ICLR 2024, topology-aware score.
    """
    if hyperedge_index.shape[1] == 0:
        return z.new_zeros(())
    count = int(hyperedge_index[1].max()) + 1
    size = torch.bincount(hyperedge_index[1], minlength=count)
    mean = z.new_zeros(count, z.shape[1])
    for node, hyperedge in hyperedge_index.split(rows, dim=1):
        mean.index_add_(0, hyperedge, z[node])
    mean /= size.clamp(min=1).to(z)[:, None]
    total = z.new_zeros((), dtype=torch.float64)
    for node, hyperedge in hyperedge_index.split(rows, dim=1):
        away = torch.linalg.vector_norm(mean[hyperedge] - z[node], dim=1)
        total += (away.double() / size[hyperedge]).sum()
    return (total / (size > 0).sum()).to(z.dtype)


def cut_share(
    probabilities: Float[Tensor, "nodes classes"],
    edge_index: Int[Tensor, "2 edges"],
    rows: int = 2**20,
) -> Float[Tensor, ""]:
    r"""Returns how far predictions agree along edges, in [0, 1]; 1 when no edge is cut.

    .. math:: \frac{tr(S^T A S)}{tr(S^T D S)}
        = \frac{\sum_{ij} A_{ij} \, s_i \cdot s_j}{\sum_i d_i \|s_i\|^2}

    Where edges have a direction, :math:`d_i` is the mean of both degrees, which keeps the share at
    1 or below. A graph without edges has nothing to cut: 1.

    Args:
        probabilities: Class probabilities of each node.
        edge_index: Edges; both directions of an undirected one.
        rows: Edges looked at at a time; memory is ``rows * classes`` numbers.

    Source:
        Zhang et al., "Graph-less Neural Networks", ICLR 2022, min-cut analysis. Differs: a sum
        over edges; the authors' code makes the matrix dense.
    """
    norm = probabilities.double().square().sum(dim=1)
    kept, whole = (norm.new_zeros(()) for _ in range(2))
    for source, destination in edge_index.split(rows, dim=1):
        near = probabilities[source] * probabilities[destination]
        kept += near.sum(dtype=torch.float64)
        whole += (norm[source] + norm[destination]).sum() / 2
    return torch.where(whole > 0, kept / whole, 1.0).to(probabilities.dtype)
