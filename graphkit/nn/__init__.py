"""Floor 1: layers, tensors in and tensors out, in PyG's idiom."""

from graphkit.nn.adaptive_hops import AdaptiveHops
from graphkit.nn.codebook import VectorQuantizer
from graphkit.nn.convs import (
    InputLinear,
    SparseDirSAGEConv,
    SparseGATConv,
    SparseGCNConv,
    SparseSAGEConv,
)
from graphkit.nn.diagnostics import cut_share, smoothness, topology_score
from graphkit.nn.dropout import Dropout, dropout
from graphkit.nn.edge_attention import EdgeAttention, GraphTransformerLayer
from graphkit.nn.gated_conv import GatedGCNLayer
from graphkit.nn.hypergraph_conv import HGNNConv, HGNNPlusConv
from graphkit.nn.input_encoder import InputEncoder
from graphkit.nn.losses import (
    consistency,
    hyperedge_soft_label,
    smoothed_soft_label,
    soft_label,
)
from graphkit.nn.mamba2_block import Mamba2Block
from graphkit.nn.mamba_block import BidirectionalMamba, ForwardMamba, MambaBlock
from graphkit.nn.node_order import node_order
from graphkit.nn.norm import BatchNorm
from graphkit.nn.readout import Head, Readout, pool
from graphkit.nn.selective_scan import (
    linear_recurrence,
    selective_scan,
    selective_scan_reference,
    ssd,
)
from graphkit.nn.subgraph_linear import SubgraphLinear
from graphkit.nn.walk_encoder import SubgraphEncoder, WalkFeatureEncoder

__all__ = [
    "AdaptiveHops",
    "BatchNorm",
    "BidirectionalMamba",
    "Dropout",
    "EdgeAttention",
    "ForwardMamba",
    "GatedGCNLayer",
    "GraphTransformerLayer",
    "HGNNConv",
    "HGNNPlusConv",
    "Head",
    "InputEncoder",
    "InputLinear",
    "Mamba2Block",
    "MambaBlock",
    "Readout",
    "SparseDirSAGEConv",
    "SparseGATConv",
    "SparseGCNConv",
    "SparseSAGEConv",
    "SubgraphEncoder",
    "SubgraphLinear",
    "VectorQuantizer",
    "WalkFeatureEncoder",
    "consistency",
    "cut_share",
    "dropout",
    "hyperedge_soft_label",
    "linear_recurrence",
    "node_order",
    "pool",
    "selective_scan",
    "selective_scan_reference",
    "smoothed_soft_label",
    "smoothness",
    "soft_label",
    "ssd",
    "topology_score",
]
