"""Catalogue: sets of graphs, and the sets of OGB. Numbers are those of the problem as loaded.

``features`` counts columns: of vectors, or of symbols.
"""

from __future__ import annotations

from graphkit.data.catalogue.entry import Entry

__all__ = ["GRAPHS"]

_TU = "Morris et al., 2020 (TUDataset)"
_BENCHMARK = "Dwivedi et al., JMLR 2023"
_OGB = "Hu et al., NeurIPS 2020"
_LRGB = "Dwivedi et al., NeurIPS 2022"
_MOLECULE_NET = "Wu et al., Chemical Science 2018"

# Sets of the TU collection whose files were never at hand: read by name, checked from the first
# download on.
_OTHER_TU = (
    *("alchemy_full", "aspirin", "benzene", "BZR", "BZR_MD", "COX2", "COX2_MD", "DHFR", "DHFR_MD"),
    *("ER_MD", "ethanol", "FRANKENSTEIN", "malonaldehyde", "MCF-7", "MCF-7H", "MOLT-4", "MOLT-4H"),
    *("Mutagenicity", "naphthalene", "NCI109", "NCI-H23", "NCI-H23H", "OVCAR-8", "OVCAR-8H"),
    *("P388", "P388H", "PC-3", "PC-3H", "PTC_FM", "PTC_FR", "PTC_MM", "PTC_MR", "QM9"),
    *("salicylic_acid", "SF-295", "SF-295H", "SN12C", "SN12CH", "SW-620", "SW-620H", "toluene"),
    *("UACC257", "UACC257H", "uracil", "Yeast", "YeastH", "ZINC_full"),
    *("DD", "KKI", "OHSU", "Peking_1", "PROTEINS_full"),
    *("COIL-DEL", "COIL-RAG", "Cuneiform", "Fingerprint", "FIRSTMM_DB", "Letter-high"),
    *("Letter-low", "Letter-med", "MSRC_9", "MSRC_21", "MSRC_21C"),
    *("COLLAB", "DBLP_v1", "deezer_ego_nets", "github_stargazers", "IMDB-BINARY"),
    *("REDDIT-BINARY", "REDDIT-MULTI-5K", "REDDIT-MULTI-12K", "reddit_threads", "twitch_egos"),
    *("TWITTER-Real-Graph-Partial", "COLORS-3", "SYNTHETIC", "SYNTHETICnew", "Synthie"),
    "TRIANGLES",
)

TU: dict[str, Entry] = {
    "mutag/10fold": Entry(
        source="tu:ten_fold",
        arguments=("MUTAG",),
        kind="graphs",
        summary="Compounds, mutagenic or not",
        items=188,
        edges=39.59,
        features=7,
        outputs=2,
        cite="Debnath et al., 1991; " + _TU,
        folds=10,
    ),
    "nci1/10fold": Entry(
        source="tu:ten_fold",
        arguments=("NCI1",),
        kind="graphs",
        summary="Compounds, active against lung cancer cells or not",
        items=4_110,
        edges=64.60,
        features=37,
        outputs=2,
        cite="Wale et al., 2008; " + _TU,
        folds=10,
    ),
    "enzymes/10fold": Entry(
        source="tu:ten_fold",
        arguments=("ENZYMES", "attributes"),
        kind="graphs",
        summary="Proteins by class of enzyme, nodes with attributes",
        items=600,
        edges=124.27,
        features=21,
        outputs=6,
        cite="Borgwardt et al., 2005; " + _TU,
        folds=10,
    ),
    "imdb-multi/10fold": Entry(
        source="tu:ten_fold",
        arguments=("IMDB-MULTI",),
        kind="graphs",
        summary="Who acted with whom around an actor, by genre; no node features",
        items=1_500,
        edges=131.87,
        features=0,
        outputs=3,
        cite="Yanardag and Vishwanathan, 2015; " + _TU,
        folds=10,
    ),
    "proteins/10fold": Entry(
        source="tu:ten_fold",
        arguments=("PROTEINS", "attributes"),
        kind="graphs",
        summary="Proteins, enzymes or not, nodes with attributes",
        items=1_113,
        edges=145.63,
        features=4,
        outputs=2,
        cite="Borgwardt et al., 2005; " + _TU,
        folds=10,
    ),
    "aids/10fold": Entry(
        source="tu:ten_fold",
        arguments=("AIDS",),
        kind="graphs",
        summary="Compounds, active against HIV or not",
        items=2_000,
        edges=32.39,
        features=38,
        outputs=2,
        cite="Riesen and Bunke, 2008; " + _TU,
        folds=10,
    ),
    **{
        f"{name.lower()}/10fold": Entry(
            source="tu:ten_fold",
            arguments=(name,),
            kind="graphs",
            summary=f"{name} of the TU collection",
            cite=_TU,
            folds=10,
        )
        for name in _OTHER_TU
    },
}

BENCHMARKS: dict[str, Entry] = {
    "csl/5fold": Entry(
        source="gnn_benchmark:csl",
        kind="graphs",
        summary="Circular skip links, a test of expressive power",
        items=150,
        edges=164.0,
        features=0,
        outputs=10,
        cite="Murphy et al., ICML 2019; " + _BENCHMARK,
        folds=5,
    ),
    "pattern/public": Entry(
        source="gnn_benchmark:public",
        arguments=("PATTERN",),
        kind="graphs",
        summary="Which nodes of a random graph are of a planted pattern",
        items=14_000,
        features=1,
        outputs=2,
        metric="balanced_accuracy",
        per_node=True,
        cite=_BENCHMARK,
    ),
    "cluster/public": Entry(
        source="gnn_benchmark:public",
        arguments=("CLUSTER",),
        kind="graphs",
        summary="Which of six communities each node is of, one node of each being marked",
        items=12_000,
        features=1,
        outputs=6,
        metric="balanced_accuracy",
        per_node=True,
        cite=_BENCHMARK,
    ),
    "mnist/superpixels": Entry(
        source="gnn_benchmark:public",
        arguments=("MNIST",),
        kind="graphs",
        summary="Digits as graphs of superpixels",
        items=70_000,
        features=3,
        outputs=10,
        cite=_BENCHMARK,
    ),
    "cifar10/superpixels": Entry(
        source="gnn_benchmark:public",
        arguments=("CIFAR10",),
        kind="graphs",
        summary="Photographs as graphs of superpixels",
        items=60_000,
        features=5,
        outputs=10,
        cite=_BENCHMARK,
    ),
    "zinc/subset-rebuilt": Entry(
        source="molecules:zinc",
        arguments=("zinc", "subset-rebuilt"),
        kind="graphs",
        summary="Penalised logP of 12,000 molecules; training molecules and targets rebuilt",
        items=12_000,
        edges=49.66,
        features=1,
        outputs=1,
        metric="mae",
        licence="MIT (repository)",
        cite=_BENCHMARK,
        rebuilt=True,
    ),
    "zinc/subset": Entry(
        source="molecules:zinc",
        arguments=("zinc", "subset"),
        kind="graphs",
        summary="Penalised logP of 12,000 molecules",
        items=12_000,
        features=1,
        outputs=1,
        metric="mae",
        cite=_BENCHMARK,
    ),
    "zinc/full": Entry(
        source="molecules:zinc",
        arguments=("zinc", "full"),
        kind="graphs",
        summary="Penalised logP of 249,456 molecules",
        items=249_456,
        features=1,
        outputs=1,
        metric="mae",
        cite=_BENCHMARK,
    ),
    "aqsol/scaffold": Entry(
        source="molecules:aqsol",
        arguments=("aqsol",),
        kind="graphs",
        summary="Solubility in water; the training file is rebuilt from AqSolDB",
        items=9_833,
        edges=35.80,
        features=1,
        outputs=1,
        metric="mae",
        licence="MIT (repository), AqSolDB CC0",
        cite="Sorkun et al., 2019; " + _BENCHMARK,
        rebuilt=True,
    ),
    "aqsol/scaffold-original": Entry(
        source="molecules:aqsol",
        arguments=("aqsol", "original"),
        kind="graphs",
        summary="Solubility in water, published files",
        items=9_823,
        features=1,
        outputs=1,
        metric="mae",
        licence="MIT (repository), AqSolDB CC0",
        cite="Sorkun et al., 2019; " + _BENCHMARK,
    ),
}

MOLECULE_NET: dict[str, Entry] = {
    f"{name}/random": Entry(
        source="molecule_net:molecule_net",
        arguments=(name,),
        kind="graphs",
        summary=f"{summary}; needs graphkit[chem]",
        items=items,
        features=9,
        outputs=outputs,
        metric="rmse" if name in ("esol", "freesolv", "lipo") else "roc_auc",
        licence=licence,
        cite=_MOLECULE_NET,
    )
    for name, summary, items, outputs, licence in (
        ("esol", "Solubility in water", 1_128, 1, "MIT (DeepChem)"),
        ("freesolv", "Energy of hydration", None, 1, "none stated"),
        ("lipo", "Lipophilicity", None, 1, "none stated"),
        ("bace", "Inhibits a human secretase", None, 1, "none stated"),
        ("bbbp", "Passes the barrier between blood and brain", 2_039, 1, "CC BY-NC 3.0"),
        ("hiv", "Inhibits HIV", 41_120, 1, "MIT (repository)"),
        ("clintox", "Approved, and toxic in trials", 1_487, 2, "MIT (DeepChem)"),
        ("sider", "27 kinds of side effects", 1_427, 27, "MIT (DeepChem)"),
        ("tox21", "12 kinds of toxicity", None, 12, "none stated"),
        ("toxcast", "617 tests of toxicity", None, 617, "none stated"),
        ("muv", "17 targets of screening", None, 17, "none stated"),
        ("pcba", "128 biological assays", None, 128, "none stated"),
    )
}

_MOLECULES = {
    "ogbg-molesol": ("Solubility in water", 1_128, 27.35, 1, "rmse"),
    "ogbg-molfreesolv": ("Energy of hydration", 642, 16.78, 1, "rmse"),
    "ogbg-mollipo": ("Lipophilicity", 4_200, None, 1, "rmse"),
    "ogbg-molbace": ("Inhibits a human secretase", 1_513, 73.72, 1, "roc_auc"),
    "ogbg-molbbbp": ("Passes the barrier between blood and brain", 2_039, 51.91, 1, "roc_auc"),
    "ogbg-molclintox": ("Approved, and toxic in trials", 1_477, None, 2, "roc_auc"),
    "ogbg-molsider": ("27 kinds of side effects", 1_427, None, 27, "roc_auc"),
    "ogbg-moltox21": ("12 kinds of toxicity", 7_831, None, 12, "roc_auc"),
    "ogbg-moltoxcast": ("617 tests of toxicity", 8_576, None, 617, "roc_auc"),
    "ogbg-molhiv": ("Inhibits HIV", 41_127, None, 1, "roc_auc"),
    "ogbg-molmuv": ("17 targets of screening", 93_087, None, 17, "average_precision"),
    "ogbg-molpcba": ("128 biological assays", 437_929, None, 128, "average_precision"),
    "ogbg-molchembl": ("1,310 assays of ChEMBL", None, None, 1_310, "roc_auc"),
}

OGB: dict[str, Entry] = {
    **{
        f"{name}/scaffold": Entry(
            source="ogb_graphs:property_prediction",
            arguments=(name,),
            kind="graphs",
            summary=summary,
            items=items,
            edges=edges,
            features=9,
            outputs=outputs,
            metric=metric,
            licence="MIT (OGB)",
            cite=_OGB,
        )
        for name, (summary, items, edges, outputs, metric) in _MOLECULES.items()
    },
    "ogbg-molhiv/scaffold-rebuilt": Entry(
        source="ogb_graphs:property_prediction",
        arguments=("ogbg-molhiv", "ogb_rebuilt"),
        kind="graphs",
        summary="Inhibits HIV; features and split rebuilt from the table of SMILES",
        items=41_127,
        edges=54.94,
        features=9,
        outputs=1,
        metric="roc_auc",
        licence="MIT",
        cite=_OGB,
        rebuilt=True,
    ),
    "ogbg-ppa/species": Entry(
        source="ogb_graphs:property_prediction",
        arguments=("ogbg-ppa",),
        kind="graphs",
        summary="Associations of proteins, by group of species; edges with features",
        items=158_100,
        features=0,
        outputs=37,
        licence="CC-0 (OGB)",
        cite=_OGB,
    ),
    "ogbn-arxiv/time": Entry(
        source="ogbn:property_prediction",
        arguments=("ogbn-arxiv",),
        summary="Papers of computer science, by subject; citations lead one way",
        items=169_343,
        edges=1_166_243,
        features=128,
        outputs=40,
        licence="ODC-BY (OGB)",
        cite=_OGB,
    ),
    "ogbn-products/sales": Entry(
        source="ogbn:property_prediction",
        arguments=("ogbn-products",),
        summary="Products bought together, by category; the best sold are for training",
        items=2_449_029,
        edges=123_718_280,
        features=100,
        outputs=47,
        licence="Amazon licence (OGB)",
        cite=_OGB,
    ),
    "ogbn-proteins/species": Entry(
        source="ogbn:property_prediction",
        arguments=("ogbn-proteins",),
        summary="112 functions of proteins; edges with features, nodes with none",
        items=132_534,
        edges=79_122_504,
        features=0,
        outputs=112,
        metric="roc_auc",
        licence="CC-0 (OGB)",
        cite=_OGB,
    ),
    "ogbn-papers100m/time": Entry(
        source="ogbn:property_prediction",
        arguments=("ogbn-papers100M",),
        summary="Papers by subject; read whole, which takes 60 GB of memory",
        items=111_059_956,
        edges=1_615_685_872,
        features=128,
        outputs=172,
        licence="ODC-BY (OGB)",
        cite=_OGB,
    ),
}

LONG_RANGE: dict[str, Entry] = {
    f"{name}/public": Entry(
        source="long_range:long_range",
        arguments=(name,),
        kind="graphs",
        summary=summary,
        items=items,
        features=features,
        outputs=outputs,
        metric=metric,
        cite=_LRGB,
    )
    for name, summary, items, features, outputs, metric in (
        ("peptides-func", "10 functions of peptides", 15_535, 9, 10, "average_precision"),
        ("peptides-struct", "11 properties of a peptide's shape", 15_535, 9, 11, "mae"),
        ("pascalvoc-sp", "What each superpixel of a photograph shows", 11_355, 14, 21, "macro_f1"),
        ("coco-sp", "What each superpixel of a photograph shows", 123_286, 14, 81, "macro_f1"),
    )
}

GRAPHS: dict[str, Entry] = TU | BENCHMARKS | MOLECULE_NET | OGB | LONG_RANGE
