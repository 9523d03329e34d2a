"""Positional encodings of nodes: Laplacian eigenvectors with free signs."""

from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import to_undirected

__all__ = ["LaplacianPE", "SignFlip"]


class LaplacianPE(BaseTransform):
    """Adds ``pe``: the eigenvectors of the smallest non-trivial eigenvalues, a row per node.

    Of :math:`I - D^{-1/2} A D^{-1/2}` in double precision; graphs with fewer than ``k + 1`` nodes
    are padded with zeros. The sign of each vector is fixed (its largest entry is positive), so the
    result does not depend on the solver; ``SignFlip`` frees it in training.

    Args:
        k: Number of eigenvectors.

    Source:
        Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 2023, section on encodings.
        Differs: only the first eigenvector is dropped as trivial, also in a graph of several
        components, as in the official code.
    """

    fixed = True

    def __init__(self, k: int) -> None:
        self.k = k

    def forward(self, data: Data) -> Data:
        """Returns the graph with the field added: ``(nodes, k)``."""
        nodes = int(data.num_nodes or 0)
        dense = torch.zeros(nodes, nodes, dtype=torch.float64)
        edges = to_undirected(data.edge_index, num_nodes=nodes)
        dense[edges[0], edges[1]] = 1.0
        dense.fill_diagonal_(0.0)
        root = dense.sum(dim=1).clamp(min=1).rsqrt()
        laplacian = torch.eye(nodes, dtype=torch.float64) - root[:, None] * dense * root
        vectors = torch.linalg.eigh(laplacian).eigenvectors[:, 1 : self.k + 1]
        if vectors.numel():
            largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
            vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
        padded = torch.zeros(nodes, self.k)
        padded[:, : vectors.shape[1]] = vectors.float()
        data.pe = padded
        return data

    def __repr__(self) -> str:
        return f"LaplacianPE({self.k})"


class SignFlip(BaseTransform):
    """Multiplies each column of a field by a random sign, one draw for the whole batch.

    Args:
        name: The field.
    """

    def __init__(self, name: str = "pe") -> None:
        self.name = name

    def forward(self, data: Data) -> Data:
        """Returns the batch with the signs drawn anew."""
        values = data[self.name]
        data[self.name] = values * (torch.randint(0, 2, (values.shape[1],)) * 2 - 1).to(values)
        return data

    def __repr__(self) -> str:
        return f"SignFlip({self.name!r})"
