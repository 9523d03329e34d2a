"""Floor 2: networks, batch in and prediction out. Names load when used.

``NODE_MODELS``, ``GRAPH_MODELS``, ``STREAM_MODELS`` and ``HYPERGRAPH_MODELS`` list what the
leaderboard and the contract suite know, by the name a person types.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graphkit.models.entry import ModelEntry, model_factory

if TYPE_CHECKING:
    from graphkit.models.base import Around, FromModule, Model, as_model, frozen
    from graphkit.models.baselines import APPNP, GAT, GCN, SGC, DirSAGE, GraphSAGE, MeanSAGE
    from graphkit.models.dagnn import DAGNN
    from graphkit.models.framed import (
        FramedGAT,
        FramedGCN,
        FramedGIN,
        FramedMLP,
        FramedSAGE,
        GatedGCN,
        VanillaGCN,
    )
    from graphkit.models.gcnii import GCNII
    from graphkit.models.grand import GRAND
    from graphkit.models.graph_mamba import GraphMamba
    from graphkit.models.graph_mamba_hybrid import GraphMambaHybrid
    from graphkit.models.graph_transformer import (
        FullGraphTransformer,
        GraphTransformer,
        WalkGraphTransformer,
        WLGraphTransformer,
    )
    from graphkit.models.hgnn import HGNN, HGNNPlus, LightMLP
    from graphkit.models.label_propagation import LabelPropagation
    from graphkit.models.mlp import MLP
    from graphkit.models.spen import SPEN
    from graphkit.models.streams import EdgeBank
    from graphkit.models.tokenized_gnn import TokenizedGNN

NODE_MODELS: dict[str, ModelEntry] = {
    "mlp": ModelEntry("mlp:MLP", "each node by itself, no edges"),
    "label-propagation": ModelEntry(
        "label_propagation:LabelPropagation", "known classes flow along edges; nothing is learned"
    ),
    "gcn": ModelEntry("baselines:GCN", "Kipf and Welling, ICLR 2017"),
    "graphsage": ModelEntry("baselines:GraphSAGE", "Hamilton et al., NeurIPS 2017, mean"),
    "mean-sage": ModelEntry(
        "baselines:MeanSAGE", "mean of a node and its neighbours, NeurIPS 2017, eq. 2"
    ),
    "dir-sage": ModelEntry("baselines:DirSAGE", "GraphSAGE with a mean per direction, LoG 2023"),
    "gat": ModelEntry("baselines:GAT", "Veličković et al., ICLR 2018"),
    "gin": ModelEntry("framed:FramedGIN", "Xu et al., ICLR 2019"),
    "gatedgcn": ModelEntry("framed:GatedGCN", "Bresson and Laurent, 2017"),
    "graph-transformer": ModelEntry(
        "graph_transformer:GraphTransformer", "Dwivedi and Bresson, DLG-AAAI 2021"
    ),
    "graph-mamba": ModelEntry("graph_mamba:GraphMamba", "Behrouz and Hashemi, KDD 2024"),
    "graph-mamba-hybrid": ModelEntry(
        "graph_mamba_hybrid:GraphMambaHybrid", "GraphGPS with a scan, arXiv 2402.00789"
    ),
    "spen": ModelEntry("spen:SPEN", "Mitton and Murray-Smith, TMLR 2023"),
    "appnp": ModelEntry("baselines:APPNP", "Gasteiger et al., ICLR 2019"),
    "sgc": ModelEntry("baselines:SGC", "Wu et al., ICML 2019"),
    "dagnn": ModelEntry("dagnn:DAGNN", "Liu et al., KDD 2020"),
    "gcnii": ModelEntry("gcnii:GCNII", "Chen et al., ICML 2020"),
    "grand": ModelEntry("grand:GRAND", "Feng et al., NeurIPS 2020; one random view a step"),
    "tokenized-gnn": ModelEntry(
        "tokenized_gnn:TokenizedGNN", "the teacher of VQGraph, ICLR 2024", {"codes": 512}
    ),
}

GRAPH_MODELS: dict[str, ModelEntry] = {
    "mlp": ModelEntry("framed:FramedMLP", "nodes by themselves, pooled", {"readout": "mean"}),
    "vanilla-gcn": ModelEntry(
        "framed:VanillaGCN", "mean over neighbours, JMLR 2023", {"readout": "mean"}
    ),
    "gcn": ModelEntry("framed:FramedGCN", "in the frame of JMLR 2023", {"readout": "mean"}),
    "graphsage": ModelEntry("framed:FramedSAGE", "in the frame of JMLR 2023", {"readout": "mean"}),
    "gat": ModelEntry("framed:FramedGAT", "in the frame of JMLR 2023", {"readout": "mean"}),
    "gin": ModelEntry("framed:FramedGIN", "in the frame of JMLR 2023", {"readout": "sum"}),
    "gatedgcn": ModelEntry("framed:GatedGCN", "in the frame of JMLR 2023", {"readout": "mean"}),
    "graph-transformer": ModelEntry(
        "graph_transformer:GraphTransformer",
        "Dwivedi and Bresson, DLG-AAAI 2021",
        {"readout": "mean"},
    ),
    "graph-transformer-walk": ModelEntry(
        "graph_transformer:WalkGraphTransformer",
        "places by returning walks, ICLR 2022",
        {"encoding": 16, "readout": "mean"},
    ),
    "graph-transformer-wl": ModelEntry(
        "graph_transformer:WLGraphTransformer",
        "places by colours, DLG-AAAI 2021",
        {"encoding": 100, "readout": "mean"},
    ),
    "graph-transformer-full": ModelEntry(
        "graph_transformer:FullGraphTransformer",
        "attention between all nodes, DLG-AAAI 2021",
        {"readout": "mean"},
    ),
    "graph-mamba": ModelEntry(
        "graph_mamba:GraphMamba", "Behrouz and Hashemi, KDD 2024", {"readout": "mean"}
    ),
    "graph-mamba-hybrid": ModelEntry(
        "graph_mamba_hybrid:GraphMambaHybrid",
        "GraphGPS with a scan, arXiv 2402.00789",
        {"readout": "mean"},
    ),
    "spen": ModelEntry("spen:SPEN", "Mitton and Murray-Smith, TMLR 2023", {"readout": "mean"}),
}

STREAM_MODELS: dict[str, ModelEntry] = {
    "edge-bank": ModelEntry("streams.edge_bank:EdgeBank", "pairs seen before, NeurIPS 2022"),
}

HYPERGRAPH_MODELS: dict[str, ModelEntry] = {
    "mlp": ModelEntry("mlp:MLP", "each vertex by itself, no hyperedges"),
    "light-mlp": ModelEntry("hgnn:LightMLP", "the student of LightHGNN, ICLR 2024"),
    "hgnn": ModelEntry("hgnn:HGNN", "Feng et al., AAAI 2019"),
    "hgnn-plus": ModelEntry("hgnn:HGNNPlus", "Gao et al., TPAMI 2022"),
}

_HOMES = {
    "base": ("Around", "FromModule", "Model", "as_model", "frozen"),
    "baselines": ("APPNP", "GAT", "GCN", "SGC", "DirSAGE", "GraphSAGE", "MeanSAGE"),
    "dagnn": ("DAGNN",),
    "framed": (
        "FramedGAT",
        "FramedGCN",
        "FramedGIN",
        "FramedMLP",
        "FramedSAGE",
        "GatedGCN",
        "VanillaGCN",
    ),
    "gcnii": ("GCNII",),
    "grand": ("GRAND",),
    "graph_mamba": ("GraphMamba",),
    "graph_mamba_hybrid": ("GraphMambaHybrid",),
    "graph_transformer": (
        "FullGraphTransformer",
        "GraphTransformer",
        "WLGraphTransformer",
        "WalkGraphTransformer",
    ),
    "hgnn": ("HGNN", "HGNNPlus", "LightMLP"),
    "label_propagation": ("LabelPropagation",),
    "mlp": ("MLP",),
    "spen": ("SPEN",),
    "streams": ("EdgeBank",),
    "tokenized_gnn": ("TokenizedGNN",),
}

__all__ = [
    "APPNP",
    "DAGNN",
    "GAT",
    "GCN",
    "GCNII",
    "GRAND",
    "GRAPH_MODELS",
    "HGNN",
    "HYPERGRAPH_MODELS",
    "MLP",
    "NODE_MODELS",
    "SGC",
    "SPEN",
    "STREAM_MODELS",
    "Around",
    "DirSAGE",
    "EdgeBank",
    "FramedGAT",
    "FramedGCN",
    "FramedGIN",
    "FramedMLP",
    "FramedSAGE",
    "FromModule",
    "FullGraphTransformer",
    "GatedGCN",
    "GraphMamba",
    "GraphMambaHybrid",
    "GraphSAGE",
    "GraphTransformer",
    "HGNNPlus",
    "LabelPropagation",
    "LightMLP",
    "MeanSAGE",
    "Model",
    "ModelEntry",
    "TokenizedGNN",
    "VanillaGCN",
    "WLGraphTransformer",
    "WalkGraphTransformer",
    "as_model",
    "frozen",
    "model_factory",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"graphkit.models.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
