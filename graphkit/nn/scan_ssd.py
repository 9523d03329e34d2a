"""The recurrence of Mamba-2, one decay per head and token, in matrix products over blocks."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import cumsum

from graphkit.nn.scan_dispatch import token_loop_wins
from graphkit.nn.scan_recurrence import loop_states, recur, scan_states

__all__ = ["block_ssd"]


def block_ssd(
    x: Float[Tensor, "tokens heads width"],
    log_decay: Float[Tensor, "tokens heads"],
    B: Float[Tensor, "tokens groups state"],  # noqa: N803
    C: Float[Tensor, "tokens groups state"],  # noqa: N803
    ptr: Int[Tensor, " pointers"],
    initial: Float[Tensor, "sequences heads width state"] | None,
    chunk: int,
) -> tuple[Float[Tensor, "tokens heads width"], Float[Tensor, "sequences heads width state"]]:
    r"""Computes outputs and last states of packed sequences, forwards.

    Each sequence begins a chunk of its own, so no block has two of them, and the carry between
    chunks is the only place where a sequence has to be cut off from the one in front.

    .. math:: Y_i = \sum_{j \le i} (C_i \cdot B_j)\, e^{l_{j+1} + \dots + l_i} X_j
        + C_i \cdot S\, e^{l_1 + \dots + l_i}

    Source:
        Dao and Gu, "Transformers are SSMs", ICML 2024, section 6 (block decomposition).
        Differs: sequences are aligned to chunks where the authors mask blocks by sequence.
    """
    lengths = ptr.diff()
    longest = int(lengths.max())
    chunk = min(chunk, -(-longest // 16) * 16)  # short sequences: no more padding than needed
    counts = -(-lengths // chunk)  # chunks of each sequence
    first = cumsum(counts)  # (sequences + 1,)
    sequence = torch.repeat_interleave(torch.arange(len(lengths), device=x.device), lengths)
    place = torch.arange(len(x), device=x.device) - ptr[sequence] + first[sequence] * chunk

    def aligned(t: Tensor, repeats: int = 1) -> Tensor:
        """Lays tokens out as ``(chunks, heads, chunk, ...)``; gaps hold zeros and do nothing."""
        out = t.new_zeros(int(first[-1]) * chunk, *t.shape[1:]).index_copy(0, place, t)
        return out.view(-1, chunk, *t.shape[1:]).transpose(1, 2).repeat_interleave(repeats, dim=1)

    share = x.shape[1] // B.shape[1]  # heads of a group
    sums = aligned(log_decay).cumsum(-1)  # (chunks, heads, chunk)
    xs, bs, cs = aligned(x), aligned(B, share), aligned(C, share)
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).triu(1)
    span = sums.unsqueeze(-1) - sums.unsqueeze(-2)  # (chunks, heads, i, j)
    decay = span.masked_fill(future, -torch.inf).exp()  # in this order: no inf * 0
    y = (cs @ bs.mT * decay) @ xs

    to_end = (sums[..., -1:] - sums).exp().unsqueeze(-1)
    gains = (xs * to_end).mT @ bs  # (chunks, heads, width, state)
    through = sums[..., -1].exp()[..., None, None].expand_as(gains)
    filled = (lengths > 0).nonzero().flatten()
    heads = first[:-1][filled]  # the first chunk of each sequence
    starts = gains.new_zeros(len(lengths), *gains.shape[1:]) if initial is None else initial
    gains = gains.index_add(0, heads, through[heads] * starts[filled])
    begins = torch.zeros(len(gains), dtype=torch.bool, device=x.device).index_fill(0, heads, True)
    cut = through.masked_fill(begins[:, None, None, None], 0.0)
    states = loop_states if token_loop_wins(gains[0].numel(), len(gains)) else scan_states
    carried = recur(cut[None], gains[None], states)[0]  # after each chunk
    before = torch.cat([torch.zeros_like(carried[:1]), carried[:-1]])
    before = before.index_copy(0, heads, starts[filled])
    y = y + (cs * sums.exp().unsqueeze(-1)) @ before.mT
    last = starts.index_copy(0, filled, carried[first[1:][filled] - 1])
    return y.transpose(1, 2).flatten(0, 1).index_select(0, place), last
