"""The Mamba blocks: published sizes, slow references, ragged batches."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.bench.budget import count_parameters
from graphkit.errors import SettingError
from graphkit.nn.mamba_block import BidirectionalMamba, ForwardMamba, MambaBlock
from graphkit.nn.selective_ssm import ShortConv


@pytest.mark.parametrize(
    ("channels", "total"), [(96, 34_080), (64, 16_320), (52, 11_388), (48, 9_840)]
)
def test_block_has_the_published_number_of_parameters(channels: int, total: int) -> None:
    with torch.device("meta"):
        assert count_parameters(MambaBlock(channels, expand=1)) == total


@pytest.mark.parametrize("expand", [1, 2])
def test_number_of_parameters_follows_the_formula(expand: int) -> None:
    d, n, k = 40, 8, 3
    e, r = expand * d, math.ceil(d / 16)
    total = 2 * d * e + (k + 1) * e + e * (r + 2 * n) + (r + 1) * e + e * n + e + e * d
    assert count_parameters(MambaBlock(d, d_state=n, d_conv=k, expand=expand)) == total


def test_start_values_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    ssm = MambaBlock(64, d_state=4).ssm
    assert torch.equal(ssm.A_log, torch.tensor([1.0, 2.0, 3.0, 4.0]).log().expand(128, 4))
    assert torch.equal(ssm.D, torch.ones(128))
    steps = F.softplus(ssm.dt_proj.bias.detach())
    assert 0.001 <= float(steps.min()) < 0.002
    assert 0.05 < float(steps.max()) <= 0.1 + 1e-6
    assert 0.008 < float(steps.median()) < 0.0125  # log-uniform: the median is 0.01
    assert float(ssm.dt_proj.weight.detach().abs().max()) <= 0.5  # rank 4


def test_decays_and_skips_ask_to_be_left_out_of_weight_decay() -> None:
    layer = BidirectionalMamba(16)
    marked = {n for n, p in layer.named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert marked == {f"{way}.ssm.{name}" for way in ("ahead", "back") for name in ("A_log", "D")}


def slow_block(block: MambaBlock, x: Tensor) -> Tensor:
    """One sequence through the sheet's formulas: token by token, channel by channel of state."""
    length, inner = len(x), block.conv.weight.shape[0]
    u, z = (x @ block.in_proj.weight.t()).split(inner, dim=1)
    width = block.conv.weight.shape[1]
    seen = []
    for t in range(length):
        row = block.conv.bias.clone()
        for back in range(width):
            if t - back >= 0:
                row = row + block.conv.weight[:, width - 1 - back] * u[t - back]
        seen.append(row * torch.sigmoid(row))
    ssm, out = block.ssm, []
    a = -ssm.A_log.exp()
    state = torch.zeros_like(a)
    for t in range(length):
        low, b, c = (ssm.x_proj.weight @ seen[t]).split([ssm.step_rank, ssm.d_state, ssm.d_state])
        delta = torch.log1p((ssm.dt_proj.weight @ low + ssm.dt_proj.bias).exp())
        state = (delta[:, None] * a).exp() * state + (delta * seen[t])[:, None] * b
        y = state @ c + ssm.D * seen[t]
        out.append(block.out_proj.weight @ (y * z[t] * torch.sigmoid(z[t])))
    return torch.stack(out)


@pytest.mark.parametrize("length", [1, 2, 3, 31])
def test_block_equals_the_loop(length: int) -> None:
    torch.manual_seed(length)
    block = MambaBlock(6, d_state=5, expand=2).double()
    x = torch.randn(2, length, 6).double()
    expected = torch.stack([slow_block(block, row) for row in x])
    torch.testing.assert_close(block(x), expected, atol=1e-11, rtol=0)
    turned = torch.stack([slow_block(block, row.flip(0)).flip(0) for row in x])
    torch.testing.assert_close(block(x, reverse=True), turned, atol=1e-11, rtol=0)


@pytest.mark.parametrize("share", [False, True])
def test_both_ways_equal_two_loops(share: bool) -> None:
    """Single precision, as the sheet asks, on sequences of 1 to 40 tokens."""
    torch.manual_seed(0)
    layer = BidirectionalMamba(8, d_state=4, share_A=share)
    rows = [torch.randn(length, 8) for length in (5, 1, 40, 2)]
    expected = []
    for row in rows:
        h = F.layer_norm(row, (8,), layer.norm.weight, layer.norm.bias)
        back = slow_block(layer.back, h.flip(0)).flip(0)
        expected.append((slow_block(layer.ahead, h) + back) @ layer.out_proj.weight.t())
    ptr = torch.tensor([0, 5, 6, 46, 48])
    found = layer(torch.cat(rows), ptr=ptr)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=0)
    assert (layer.back.ssm.A_log is layer.ahead.ssm.A_log) == share


def test_shared_decays_stay_shared_in_a_copy_and_are_counted_once() -> None:
    shared, own = BidirectionalMamba(16, share_A=True), BidirectionalMamba(16)
    assert count_parameters(own) - count_parameters(shared) == 32 * 16
    copied = deepcopy(shared)
    assert copied.back.ssm.A_log is copied.ahead.ssm.A_log


SIZES = (7, 1, 12, 3)


@pytest.mark.parametrize("kind", [MambaBlock, ForwardMamba, BidirectionalMamba])
def test_packed_padded_and_alone_agree(kind: type[nn.Module]) -> None:
    torch.manual_seed(1)
    layer = kind(8).double()
    rows = [torch.randn(size, 8).double() for size in SIZES]
    alone = [layer(row[None])[0] for row in rows]
    ptr = torch.tensor([0, *SIZES]).cumsum(0)
    torch.testing.assert_close(layer(torch.cat(rows), ptr=ptr), torch.cat(alone))
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.arange(12) < torch.tensor(SIZES)[:, None]
    found = layer(padded, mask=mask)
    torch.testing.assert_close(found[mask], torch.cat(alone))
    assert torch.equal(found[~mask], torch.zeros_like(found[~mask]))


@pytest.mark.parametrize("kind", [MambaBlock, ForwardMamba, BidirectionalMamba])
def test_padding_and_other_sequences_change_nothing(kind: type[nn.Module]) -> None:
    """Not a bit, and not even where the padding is no number."""
    torch.manual_seed(2)
    layer = kind(8)
    mask = torch.arange(12) < torch.tensor(SIZES)[:, None]
    x = torch.randn(4, 12, 8)
    dirty = x.masked_fill(~mask[..., None], float("nan")).requires_grad_()
    assert torch.equal(layer(dirty, mask=mask), layer(x, mask=mask))
    layer(dirty, mask=mask).square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in layer.parameters())
    packed, ptr = torch.randn(23, 8), torch.tensor([0, *SIZES]).cumsum(0)
    other = packed.clone()
    other[7:] = 5.0
    assert torch.equal(layer(packed, ptr=ptr)[:7], layer(other, ptr=ptr)[:7])
    other[:8] = packed[:8]
    assert torch.equal(layer(packed, ptr=ptr)[:8], layer(other, ptr=ptr)[:8])


def test_one_way_sees_what_is_before_and_both_ways_see_all() -> None:
    torch.manual_seed(3)
    x = torch.randn(1, 9, 8).requires_grad_()
    for kind, reach in ((MambaBlock, 5), (BidirectionalMamba, 9)):
        [slope] = torch.autograd.grad(kind(8)(x)[0, 4].square().sum(), x)
        assert slope[0].abs().sum(dim=1).gt(0).tolist() == [t < reach for t in range(9)]


@pytest.mark.parametrize("length", [0, 1, 2])
def test_short_sequences(length: int) -> None:
    layer = BidirectionalMamba(8)
    assert layer(torch.randn(3, length, 8)).shape == (3, length, 8)
    assert layer(torch.randn(length, 8), ptr=torch.tensor([0, 0, length])).shape == (length, 8)


def test_convolution_equals_torch() -> None:
    torch.manual_seed(4)
    conv = ShortConv(6, 4)
    x = torch.randn(2, 10, 6)
    weight = conv.weight.unsqueeze(1)
    expected = F.conv1d(F.pad(x.mT, (3, 0)), weight, conv.bias, groups=6).mT
    torch.testing.assert_close(conv(x), expected)
    ahead = F.conv1d(F.pad(x.mT, (0, 3)), weight.flip(-1), conv.bias, groups=6).mT
    torch.testing.assert_close(conv(x, reverse=True), ahead)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_are_right(reverse: bool) -> None:
    torch.manual_seed(5)
    block = MambaBlock(2, d_state=2, d_conv=3, expand=1).double()
    x, ptr = torch.randn(5, 2).double().requires_grad_(), torch.tensor([0, 3, 3, 5])
    named = dict(block.named_parameters())

    def called(x: Tensor, *values: Tensor) -> Tensor:
        state = dict(zip(named, values, strict=True))
        return torch.func.functional_call(block, state, (x,), {"ptr": ptr, "reverse": reverse})

    assert torch.autograd.gradcheck(called, (x, *named.values()))


def test_half_precision_stays_close_and_trains() -> None:
    torch.manual_seed(6)
    layer = BidirectionalMamba(64)
    x, ptr = torch.randn(50, 64), torch.tensor([0, 20, 50])
    expected = layer(x, ptr=ptr)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x, ptr=ptr).float()
    assert float((found - expected).detach().abs().max()) < 0.02 * float(
        expected.detach().abs().max()
    )
    found.square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in layer.parameters())


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(SettingError, match="a state of 0"):
        MambaBlock(8, d_state=0)
