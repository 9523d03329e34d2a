"""The Mamba-2 block: its size, a slow reference, ragged batches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.bench.budget import count_parameters
from graphkit.errors import SettingError
from graphkit.nn.mamba2_block import Mamba2Block


def slow_block(block: Mamba2Block, x: Tensor) -> Tensor:
    """One sequence, token by token and head by head, through the recurrence of the paper."""
    inner, state, heads = block.inner, block.d_state, block.heads
    gate, raw, step = (x @ block.in_proj.weight.t()).split(
        [inner, inner + 2 * state, heads], dim=1
    )  # fmt: skip
    width, out = inner // heads, []
    h = torch.zeros(heads, width, state, dtype=x.dtype)
    for t in range(len(x)):
        row = block.conv.bias.clone()
        for back in range(min(4, t + 1)):
            row = row + block.conv.weight[:, 3 - back] * raw[t - back]
        u, b, c = F.silu(row).split([inner, state, state])
        y = []
        for head in range(heads):
            part = u[head * width : (head + 1) * width]
            delta = torch.log1p((step[t, head] + block.dt_bias[head]).exp())
            decay = (-delta * block.A_log[head].exp()).exp()
            h[head] = decay * h[head].clone() + delta * torch.outer(part, b)
            y.append(h[head] @ c + block.D[head] * part)
        row = torch.cat(y) * F.silu(gate[t])
        row = row / (row.square().mean() + 1e-5).sqrt() * block.norm.weight
        out.append(block.out_proj.weight @ row)
    return torch.stack(out)


def test_block_equals_the_loop_in_both_directions_and_ragged() -> None:
    torch.manual_seed(0)
    block = Mamba2Block(8, d_state=5, head_channels=4).double()
    sizes = (1, 20, 0, 70, 3)
    rows = [torch.randn(size, 8).double() for size in sizes]
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    with torch.no_grad():
        ahead = torch.cat([slow_block(block, row) for row in rows if len(row)])
        back = torch.cat([slow_block(block, row.flip(0)).flip(0) for row in rows if len(row)])
        for reverse, expected in ((False, ahead), (True, back)):
            found = block(torch.cat(rows), ptr=ptr, reverse=reverse)
            torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
            padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
            mask = torch.arange(70) < torch.tensor(sizes)[:, None]
            found = block(padded, mask=mask, reverse=reverse)
            torch.testing.assert_close(found[mask], expected, atol=1e-10, rtol=0)
            assert not bool(found[~mask].any())


def test_number_of_parameters_follows_the_formula() -> None:
    d, n, k = 64, 32, 4
    e, h = 128, 2
    total = d * (2 * e + 2 * n + h) + (k + 1) * (e + 2 * n) + 3 * h + e + e * d
    assert count_parameters(Mamba2Block(d, d_state=n)) == total


def test_start_values_are_those_of_the_paper() -> None:
    block = Mamba2Block(512)
    decay, steps = block.A_log.detach().exp(), F.softplus(block.dt_bias.detach())
    assert 1 <= float(decay.min()) < float(decay.max()) <= 16
    assert 0.0009 < float(steps.min()) < float(steps.max()) < 0.1001
    marked = {n for n, p in block.named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert marked == {"A_log", "D", "dt_bias"}


def test_every_parameter_has_a_right_gradient() -> None:
    torch.manual_seed(1)
    block = Mamba2Block(2, d_state=2, expand=1, head_channels=1).double()
    x, ptr = torch.randn(5, 2).double().requires_grad_(), torch.tensor([0, 3, 5])
    named = dict(block.named_parameters())

    def called(x: Tensor, *values: Tensor) -> Tensor:
        state = dict(zip(named, values, strict=True))
        return torch.func.functional_call(block, state, (x,), {"ptr": ptr})

    assert torch.autograd.gradcheck(called, (x, *named.values()))


def test_heads_divide_the_width() -> None:
    with pytest.raises(SettingError, match="heads of 64 do not divide a width of 48"):
        Mamba2Block(24)
