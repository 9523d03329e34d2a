"""Floor 1: PyG transforms, for what a model needs besides raw data."""

from graphkit.transforms.chain import Chain
from graphkit.transforms.ego_networks import EgoNetworks, EgoSets
from graphkit.transforms.encodings import WLPE, LaplacianPE, RandomWalkPE, SignFlip
from graphkit.transforms.hypergraph import (
    CliqueExpansion,
    Incidence,
    NearestNeighborHyperedges,
    NeighborhoodHyperedges,
    SingletonHyperedges,
    UniqueHyperedges,
    induce,
)
from graphkit.transforms.rewire import ToFullGraph
from graphkit.transforms.sparse import Adjacency, PropagatedFeatures, SparseFeatures, Undirected
from graphkit.transforms.walk_tokens import InducedTokens
from graphkit.transforms.walks import RandomWalkTokens

__all__ = [
    "WLPE",
    "Adjacency",
    "Chain",
    "CliqueExpansion",
    "EgoNetworks",
    "EgoSets",
    "Incidence",
    "InducedTokens",
    "LaplacianPE",
    "NearestNeighborHyperedges",
    "NeighborhoodHyperedges",
    "PropagatedFeatures",
    "RandomWalkPE",
    "RandomWalkTokens",
    "SignFlip",
    "SingletonHyperedges",
    "SparseFeatures",
    "ToFullGraph",
    "Undirected",
    "UniqueHyperedges",
    "induce",
]
