"""Floor 1: PyG transforms, for what a model needs besides raw data."""

from graphkit.transforms.chain import Chain
from graphkit.transforms.encodings import LaplacianPE, SignFlip
from graphkit.transforms.hypergraph import (
    CliqueExpansion,
    Incidence,
    NearestNeighborHyperedges,
    NeighborhoodHyperedges,
    SingletonHyperedges,
    UniqueHyperedges,
    induce,
)
from graphkit.transforms.sparse import Adjacency, PropagatedFeatures, SparseFeatures, Undirected

__all__ = [
    "Adjacency",
    "Chain",
    "CliqueExpansion",
    "Incidence",
    "LaplacianPE",
    "NearestNeighborHyperedges",
    "NeighborhoodHyperedges",
    "PropagatedFeatures",
    "SignFlip",
    "SingletonHyperedges",
    "SparseFeatures",
    "Undirected",
    "UniqueHyperedges",
    "induce",
]
