"""Floor 1: PyG transforms, for what a model needs besides raw data."""

from graphkit.transforms.chain import Chain
from graphkit.transforms.encodings import LaplacianPE, SignFlip
from graphkit.transforms.sparse import Adjacency, PropagatedFeatures, SparseFeatures, Undirected

__all__ = [
    "Adjacency",
    "Chain",
    "LaplacianPE",
    "PropagatedFeatures",
    "SignFlip",
    "SparseFeatures",
    "Undirected",
]
