"""Web pages and actors with the ten splits of Geom-GCN: WebKB, Wikipedia networks, Actor.

Source:
    Pei et al., "Geom-GCN: Geometric Graph Convolutional Networks", ICLR 2020.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.fetch import Raw, fetch
from graphkit.data.problem import Problem
from graphkit.data.sources.arrays import MAX_BYTES, as_edges, chosen_masks, read_npz, reading
from graphkit.data.sources.node_problem import node_problem
from graphkit.data.sources.tables import read_table
from graphkit.data.split import share
from graphkit.errors import DataError

__all__ = ["crocodile", "files", "geom_gcn", "read_pages", "read_words"]

URL = "https://raw.githubusercontent.com/graphdml-uiuc-jlu/geom-gcn"
WIKIPEDIA_COMMIT = "f1fc0d14b3b019c562737240d06ec83b07d16a8f"
FOLDERS = {
    "cornell": "webkb/cornell/raw",
    "texas": "webkb/texas/raw",
    "wisconsin": "webkb/wisconsin/raw",
    "chameleon": "wikipedia_network/chameleon/geom_gcn/raw",
    "squirrel": "wikipedia_network/squirrel/geom_gcn/raw",
    "actor": "actor/raw",
}
FILES = ("out1_node_feature_label.txt", "out1_graph_edges.txt")
CROCODILE = Raw(
    "wikipedia_network/crocodile/raw/crocodile.npz",
    url="https://graphmining.ai/datasets/ptg/wiki/crocodile.npz",
)
_SHA256 = {
    "texas": (
        "cf5a3ca346cdd1210b8342e22517fcbbdae658065b7a3145f59350e50e6236a3",
        "0fe85183243a78cbee9b85a684f8240963d04d1020d10e9cd2b8cfb25e33b476",
        "7ba77bf7a8856fcc0ab15623a611b8cdce994e820f577da914123fb4f45272b0",
        "21cc244a96e3c51ad7993afb4dd227f90e467d82b964bb42d7d9fc500a6ef87f",
        "b9e96a699ccf3a4c31ffbd03e52b25570889833425d20fa44e06c37b327cf61e",
        "1a7deeb1285009789d5e6045d7e39f7d019c9223d9a75a2b7ce5e26d33b51f63",
        "b5419ff3fe31adcae66fdb085d4f47d0b188e9436ab59f438632af969aafc674",
        "68405fd1b9ff6105d99717220ecbd198785e338bf4a73abee722bbc9703d2667",
        "8ad78b973164e70e5ac0d282e79adcbc6006e373909fbdfd72a13131e09040b8",
        "a84bcbf997365bddf5fdf72ed49dc7e435e475f8c6210f8cdee7c8581a2bd6df",
        "65ba65f296f91d40d2d7d3c9369b67415094a7e254c6eee48cd6d6531c586fdf",
        "4306981d654ad8835c000c1f73fb6c1e60dfe99e26c13a6073f3b0f4cc3ce6ee",
    ),
    "wisconsin": (
        "a32b0aa38d42f0d36841e8a8cb646d197f0ff33a182ac75a2b4476aeed3c7e4b",
        "ebd213511c88fce1eda450c2f920600c4b8cbb38f02384856bcc47c6ec1807ae",
        "f66f641e191d35d491cd3b63d6c2cd93c4b436da398984b44c19a8d4d7e7b1a5",
        "534aeb97266bd5a85a8587adf8eebad3f2e001c1240610f24b62c0ad0c2466ee",
        "047a5b641778ec3a4c76055fd7f18ecb2424c0952f20dfff7e1b17749d8acbdd",
        "706c27b4c51d046c0316f1e915f093e4a1fff48b3436b3e7c421eab596a99e77",
        "7ee813605eec086457aaff022cf3837f2f893fcf8bd37e3a8d2ff0c80e4c4f87",
        "8094ac2bdaf2cbea8f7a48df66a0800c809b2fd5942740e6b0441b660d3a0dd5",
        "c423a8deea9b18f9ecb6cfd703578e2159df167de01fe7e6195b88995010252d",
        "57ad808c8d4dd94dc4404124370bbcebb3dcc597c2bea6457bf05f220adf1527",
        "27d4d62a2a6aea2cdc399302237512ab0d64fb0c84e648112f97c5896274e42f",
        "3c149cd124a19021031609e0d7743a7be59aae4f88c8d38410138e8f06f5daaf",
    ),
    "chameleon": (
        "5fd29736ff31b43a1bfcf305bc8b4cffc3103fb0957667976b2ea0f78aedcf5b",
        "45ac593de9207470090230c8fd76beeb2f60b5371a9be088e8bf31e7f0619a4b",
        "36605525b69be4e7df5b31fe6a1d044288c6ebf9f9f0514ca151f6a36afc5e8b",
        "d0779d5a1bedf1967d394468a52c0175fb00595d361fba897faf73322386c952",
        "86ad0d827bf4301dff830598fc0b70d0dd8689c5b4d72dab1d87a6c1970c4c6e",
        "37b3e994adf3afc55e16b617ed05af4e3ce308800755839084d77eced0528e9d",
        "f6b1d067b2b330132839d8b6120077bdc6cf759f7ce421f881a02e2953ec4596",
        "e7661834275c826692510cea0457b18b2c1ee38771f178d06e701b97541a1f6d",
        "16648d1197c1d3a2dec385346212c382030b0d5a8c997f4255aa2afa68a6b174",
        "61adcc53846becefecd466a5364dda23b983d387d1ac5d58c6e24d080c0fcba7",
        "7076ad5341a8218b1f5b6eccf9cfd15d28286ea11ef5c06eeee77af24ff2bf63",
        "743c4f813bf6130398a6511eb9ff07d2366c73bd6c7fddaf226a3f9e2917e0e7",
    ),
    "actor": (
        "1d5cdd094f8b91e770f6decfca85b35cf42f75d1efb51055fd6af16e11820ff8",
        "997cdce67ea9c29257d3ffe796328391931901cf823830affa453178b60e2c3e",
        "4505a41d4e90abd94d1ec22571ce528b09ad7cf20d87f764aebd4177590767f5",
        "1871b0d24e3977c41e378fd24acc8025b63f86b77739be77a5b558d1287f207d",
        "d26680e911ef3ecc9fc2a26d90c9d35028c63aadd7a5aea774649d1496c282cb",
        "6755ad5f6a0be8594b344af3d2261eed935b83b73c4d70136e1a7beea7f78cb0",
        "328fdca62b25074f21f2922518e042f24b3b8a1fc378f9dfb2cae36439aed902",
        "5b3161a8dc8de4b2e651ebd56d68e768d1377044895b325566117fe26ab81cb7",
        "e251b38abd4d7931b5e9ae5aba99dcdf87f0be283bdf6e65421274a1c9ef1df6",
        "12164ef9f5620a2f12a387f4f2b8636859d42201101d6d32829ade62d5a98326",
        "405cd1f7f631f678119f8bf2405809e86614d532985beb59566fcf95abd35b3f",
        "505691c5d41bb37b20d085415dcdde2e8e68b5bc4e1feb2c0e361308002012bb",
    ),
}


def files(name: str) -> tuple[Raw, ...]:
    """Returns the raw files of a data set: features, links, then its ten splits."""
    if name == "crocodile":
        return (CROCODILE,)
    stem = "film" if name == "actor" else name
    version = WIKIPEDIA_COMMIT if name in ("chameleon", "squirrel") else "master"
    splits = [f"{stem}_split_0.6_0.2_{number}.npz" for number in range(10)]
    urls = [f"new_data/{stem}/{file}" for file in FILES] + [f"splits/{file}" for file in splits]
    checksums = _SHA256.get(name, (None,) * 12)
    return tuple(
        Raw(f"{FOLDERS[name]}/{file}", checksum, f"{URL}/{version}/{url}")
        for file, checksum, url in zip((*FILES, *splits), checksums, urls, strict=True)
    )


def geom_gcn(root: Path | None, seed: int, name: str) -> Problem:
    """Pages that link to each other, or actors named on one page; directed, as PyG gives them.

    Args:
        root: A folder to look in first.
        seed: Chooses one of ten splits (48/32/20).
        name: ``cornell``, ``texas``, ``wisconsin`` (kind of page), ``chameleon``, ``squirrel``
            (traffic of a page; with duplicates: ``chameleon-filtered`` is free of them) or
            ``actor`` (words on an actor's page).

    Raises:
        DataError: A raw file cannot be used.
    """
    raws = files(name)
    features, links, masks = (fetch(raw, root) for raw in (*raws[:2], raws[2 + seed % 10]))
    x, y = read_words(features) if name == "actor" else read_pages(features)
    with reading(links):
        table = read_table(links, np.int64, delimiter="\t", skip=1)
        data = Data(x=x, edge_index=as_edges(table, len(x)), y=y)
    arrays = read_npz(masks, "train_mask", "val_mask", "test_mask")
    with reading(masks):
        split = chosen_masks([mask[None] for mask in arrays.values()], 0, len(x))
        return node_problem(f"{name}/geom-gcn", data, split, seed=seed)


def crocodile(root: Path | None, seed: int, name: str) -> Problem:
    """Wikipedia pages about crocodiles; the class is the fifth its monthly traffic falls into.

    Args:
        root: A folder to look in first.
        seed: Draws the split (60/20/20).
        name: ``crocodile``.

    Raises:
        DataError: The raw file cannot be used.

    Source:
        Rozemberczki et al., "Multi-scale Attributed Node Embedding", 2021. Differs: the answer
        given there is the traffic itself; its fifths are classes as Geom-GCN made them for the
        other two networks, and there is no published split.
    """
    path = fetch(CROCODILE, root)
    arrays = read_npz(path, "features", "edges", "target")
    with reading(path):
        x = torch.from_numpy(arrays["features"].astype(np.float32))
        traffic = arrays["target"].astype(np.float64).reshape(-1)
        limits = np.quantile(traffic, (0.2, 0.4, 0.6, 0.8))
        y = torch.from_numpy(np.searchsorted(limits, traffic, side="left"))
        data = Data(x=x, edge_index=as_edges(arrays["edges"], len(x)), y=y)
        return node_problem(f"{name}/random", data, share(len(x), seed), seed=seed)


def read_pages(path: Path) -> tuple[Tensor, Tensor]:
    """Reads lines of node, features 0 or 1, class; the node says the row.

    Shape:
        ``(nodes, features)`` float32 and ``(nodes,)``.

    Raises:
        DataError: The file is not such a table.
    """
    with reading(path):
        text = "\n".join(_lines(path)).replace("\t", ",")
        table = np.loadtxt(io.StringIO(text), np.float32, delimiter=",", ndmin=2, comments=None)
        order = _places(table[:, 0].astype(np.int64))
        answers = table[order, -1].astype(np.int64)
        return torch.from_numpy(table[order, 1:-1]), torch.from_numpy(answers)


def read_words(path: Path) -> tuple[Tensor, Tensor]:
    """Reads lines of node, the numbers of its words, class; the node says the row.

    Shape:
        ``(nodes, words)`` float32, 1 where a word occurs, and ``(nodes,)``.

    Raises:
        DataError: The file is not such a table.
    """
    with reading(path):
        nodes, words, answers = zip(*(line.split("\t") for line in _lines(path)), strict=True)
        order = _places(np.array(nodes, dtype=np.int64))
        lists = [text.split(",") for text in words]
        columns = np.array([word for some in lists for word in some], dtype=np.int64)
        rows = np.array(nodes, dtype=np.int64).repeat([len(some) for some in lists])
        if columns.min() < 0 or len(nodes) * (int(columns.max()) + 1) * 4 > MAX_BYTES:
            raise DataError(f"{path} names word {columns.min()} or {columns.max()}")
        x = torch.zeros(len(nodes), int(columns.max()) + 1)
        x[torch.from_numpy(rows), torch.from_numpy(columns)] = 1.0
        return x, torch.from_numpy(np.array(answers, dtype=np.int64)[order])


def _lines(path: Path) -> list[str]:
    """The lines of a file below its heading: three fields each."""
    lines = path.read_text(encoding="ascii").splitlines()[1:]
    if not lines or any(line.count("\t") != 2 for line in lines):
        raise DataError(f"{path} holds no lines of three fields below its heading")
    return lines


def _places(nodes: np.ndarray) -> np.ndarray:
    """The order that sorts node numbers, which have to be 0, 1, 2, ..."""
    order = nodes.argsort()
    if not np.array_equal(nodes[order], np.arange(len(nodes))):
        raise DataError("node numbers are not 0, 1, 2, ...")
    return order
