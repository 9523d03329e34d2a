"""How a sampled mini-batch lies on disk: one record in an index, one run of bytes in a shard.

The bytes are the node ids, then for each drawn edge the local id of its source (int32), then for
each expanded node its number of edges: edges come in the order of their destinations, so that is
all of them. A batch starts on a page and lies within one shard.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.sampler import SamplerOutput

from graphkit.kernels import Array
from graphkit.ooc.disk import PAGE, aligned, checksum

__all__ = [
    "BATCH",
    "HOPS",
    "SHARD",
    "Drawn",
    "Hops",
    "decode",
    "decode_ids",
    "encode",
    "ids_bytes",
    "next_place",
    "padded",
    "seal_record",
    "sound_records",
]

SHARD = 1 << 32  # bytes a shard may have; a longer batch has one of its own
HOPS = 6  # most hops a record has room for

BATCH = np.dtype(
    [
        ("shard", "<u4"),
        ("id_bytes", "u1"),
        ("count_bytes", "u1"),
        ("hops", "<u2"),
        ("offset", "<u8"),
        ("length", "<u8"),
        ("ids_sum", "<u8"),
        ("edges_sum", "<u8"),
        ("nodes", "<u4", (HOPS + 1,)),
        ("spare", "<u4"),
        ("edges", "<u8", (HOPS,)),
        ("own_sum", "<u8"),
    ]
)


class Drawn(NamedTuple):
    """A mini-batch as it was drawn.

    ``n_id`` are its nodes, seeds first; ``edge_index`` is in local ids and flows to the seeds;
    ``nodes`` and ``edges`` count what each hop added, the seeds before the first.
    """

    n_id: Tensor
    edge_index: Tensor
    num_seeds: int
    nodes: list[int]
    edges: list[int]


class Hops(NamedTuple):
    """A mini-batch as a sampler hands it on, a piece for each hop.

    ``nodes`` are ids, the seeds first; ``rows`` local ids of sources, by destination; ``counts``
    the edges of each destination, in pieces of any length.
    """

    nodes: list[Array]
    rows: list[Array]
    counts: list[Array]

    @classmethod
    def of(cls, out: SamplerOutput) -> Hops:
        """Takes it from what PyG's samplers return; edges are in the order of destinations."""
        sizes = [int(count) for count in out.num_sampled_nodes or ()]
        nodes = np.split(out.node.numpy(), np.cumsum(sizes)[:-1])
        ends = np.cumsum([int(count) for count in out.num_sampled_edges or ()])
        rows = np.split(out.row.numpy(), ends[:-1])
        return cls(nodes, rows, [np.bincount(out.col.numpy(), minlength=sum(sizes[:-1]))])

    @property
    def num_edges(self) -> int:
        """Edges of all hops."""
        return sum(map(len, self.rows))


def padded(num_bytes: int) -> int:
    """Returns the length in whole pages."""
    return -(-num_bytes // PAGE) * PAGE


def next_place(shard: int, end: int, num_bytes: int, limit: int) -> tuple[int, int]:
    """Returns shard and offset of the next run of bytes, after one that ended at ``end``."""
    start = padded(end)
    if start and start + num_bytes > limit:
        return shard + 1, 0
    return shard, start


def ids_bytes(record: np.void) -> int:
    """Returns how many bytes the node ids of a batch take."""
    return int(record["nodes"].sum()) * int(record["id_bytes"])


def encode(out: Hops, id_bytes: int) -> tuple[np.void, Array]:
    """Lays out a sampled batch; shard, offset and the record's own sum are still to be set.

    Args:
        out: What the sampler drew.
        id_bytes: 4, or 8 where ids need more than 31 bits.
    """
    nodes, edges = ([len(part) for part in parts] for parts in (out.nodes, out.rows))
    most = max((int(part.max(initial=0)) for part in out.counts), default=0)
    count_type = np.dtype("<u1" if most < 1 << 8 else "<u2" if most < 1 << 16 else "<u4")
    record = np.zeros(1, dtype=BATCH)[0]
    record["id_bytes"], record["count_bytes"] = id_bytes, count_type.itemsize
    record["hops"] = len(edges)
    record["nodes"][: len(nodes)] = nodes
    record["edges"][: len(edges)] = edges
    first, second = sum(nodes) * id_bytes, sum(edges) * 4
    record["length"] = first + second + sum(map(len, out.counts)) * count_type.itemsize
    blob = aligned(int(record["length"]))
    end = 0
    for parts, dtype in ((out.nodes, f"<i{id_bytes}"), (out.rows, "<i4"), (out.counts, count_type)):
        for part in parts:
            start, end = end, end + len(part) * np.dtype(dtype).itemsize
            blob[start:end].view(dtype)[:] = part
    record["ids_sum"] = checksum(blob[:first])
    record["edges_sum"] = checksum(blob[first : int(record["length"])])
    return record, blob


def decode_ids(record: np.void, blob: Array) -> Array:
    """Returns the node ids of a batch as they lie in its bytes, int32 or int64; no copy."""
    ids: Array = blob[: ids_bytes(record)].view(f"<i{record['id_bytes']}")
    return ids


def decode(record: np.void, blob: Array) -> Drawn:
    """Turns the bytes of a batch back into what was drawn; the bytes may be reused afterwards."""
    hops = int(record["hops"])
    nodes = [int(count) for count in record["nodes"][: hops + 1]]
    edges = [int(count) for count in record["edges"][:hops]]
    first = ids_bytes(record)
    second = first + 4 * sum(edges)
    counts = blob[second : int(record["length"])].view(f"<u{record['count_bytes']}")
    edge_index = np.empty((2, sum(edges)), dtype=np.int64)
    edge_index[0] = blob[first:second].view("<i4")
    edge_index[1] = np.repeat(np.arange(len(counts)), counts)
    n_id = decode_ids(record, blob).astype(np.int64)
    return Drawn(torch.from_numpy(n_id), torch.from_numpy(edge_index), nodes[0], nodes, edges)


def seal_record(record: np.void, number: int) -> None:
    """Sets a record's own checksum, which also says which batch it belongs to."""
    record["own_sum"] = _own_sum(record, number)


def sound_records(content: bytes) -> Array:
    """Returns the records up to the first that was not written whole.

    Args:
        content: Bytes of an index, finished or not.
    """
    whole = len(content) - len(content) % BATCH.itemsize
    records = np.frombuffer(content[:whole], dtype=BATCH).copy()
    for number, record in enumerate(records):
        if int(record["own_sum"]) != _own_sum(record, number):
            return records[:number]
    return records


def _own_sum(record: np.void, number: int) -> int:
    text = record.tobytes()[: BATCH.itemsize - 8]
    return checksum(text + number.to_bytes(8, "little"))
