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
from graphkit.transforms.walk_tokens import InducedTokens
from graphkit.transforms.walks import RandomWalkTokens

__all__ = [
    "Adjacency",
    "Chain",
    "CliqueExpansion",
    "Incidence",
    "InducedTokens",
    "LaplacianPE",
    "NearestNeighborHyperedges",
    "NeighborhoodHyperedges",
    "PropagatedFeatures",
    "RandomWalkTokens",
    "SignFlip",
    "SingletonHyperedges",
    "SparseFeatures",
    "Undirected",
    "UniqueHyperedges",
    "induce",
]
