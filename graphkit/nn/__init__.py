"""Floor 1: layers, tensors in and tensors out, in PyG's idiom."""

from graphkit.nn.adaptive_hops import AdaptiveHops
from graphkit.nn.convs import (
    InputLinear,
    SparseDirSAGEConv,
    SparseGATConv,
    SparseGCNConv,
    SparseSAGEConv,
)
from graphkit.nn.diagnostics import smoothness
from graphkit.nn.dropout import Dropout, dropout
from graphkit.nn.edge_attention import EdgeAttention, GraphTransformerLayer
from graphkit.nn.gated_conv import GatedGCNLayer
from graphkit.nn.input_encoder import InputEncoder
from graphkit.nn.norm import BatchNorm
from graphkit.nn.readout import Head, Readout, pool

__all__ = [
    "AdaptiveHops",
    "BatchNorm",
    "Dropout",
    "EdgeAttention",
    "GatedGCNLayer",
    "GraphTransformerLayer",
    "Head",
    "InputEncoder",
    "InputLinear",
    "Readout",
    "SparseDirSAGEConv",
    "SparseGATConv",
    "SparseGCNConv",
    "SparseSAGEConv",
    "dropout",
    "pool",
    "smoothness",
]
