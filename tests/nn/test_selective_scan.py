"""The scans against a plain loop in double precision, however they are laid out and computed."""

from __future__ import annotations

import itertools
import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor

from graphkit.errors import DataError, SettingError, UnknownName
from graphkit.nn.scan_official import official_scan, why_not_kernel
from graphkit.nn.selective_scan import (
    linear_recurrence,
    selective_scan,
    selective_scan_reference,
    ssd,
)

METHODS = ("loop", "scan", "chunked", "kernel")
LENGTHS = (1, 2, 3, 31, 32, 33, 1000)
NAMES = ("x", "delta", "A", "B", "C", "D", "z")
Inputs = dict[str, Tensor]


def _inputs(batch: int, length: int, channels: int = 5, state: int = 3, seed: int = 0) -> Inputs:
    made = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=made, dtype=torch.float64)

    return {
        "x": normal(batch, length, channels),
        "delta": normal(batch, length, channels).abs() * 0.3,
        "A": -normal(channels, state).abs() - 0.05,
        "B": normal(batch, length, state),
        "C": normal(batch, length, state),
        "D": normal(channels),
        "z": normal(batch, length, channels),
    }


def _tracked(inputs: Inputs, dtype: torch.dtype = torch.float64) -> Inputs:
    return {name: t.to(dtype).clone().requires_grad_() for name, t in inputs.items()}


def _gradients(y: Tensor, inputs: Inputs, seed: int = 9) -> list[Tensor]:
    made = torch.Generator().manual_seed(seed)
    weight = torch.randn(y.shape, generator=made, dtype=torch.float64).to(y.dtype)
    return list(torch.autograd.grad((y * weight).sum(), list(inputs.values())))


def _close(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    found, wanted = found.detach(), wanted.detach()
    size = float(wanted.abs().max().clamp(min=1e-30)) if wanted.numel() else 1.0
    assert found.shape == wanted.shape
    error = float((found.double() - wanted.double()).abs().max()) if wanted.numel() else 0.0
    assert error <= tolerance * size, (error, size)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("length", LENGTHS)
def test_every_method_equals_the_loop(method: str, length: int) -> None:
    ways = [(False, "euler"), (True, "zoh"), (True, "euler"), (False, "zoh"), (False, "euler")]
    for seed, (reverse, rule) in enumerate(ways):
        # in single precision from the start: rounding the inputs is no error of a method
        inputs = {n: t.float().double() for n, t in _inputs(2, length, seed=seed).items()}
        exact = _tracked(inputs)
        how: dict[str, Any] = {"reverse": reverse, "discretization": rule}
        wanted, last = selective_scan_reference(*exact.values(), **how)
        wanted_grads = _gradients(wanted, exact)
        for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
            mine = _tracked(inputs, dtype)
            y, state = selective_scan(
                *mine.values(), method=method, chunk_size=max(8, length // 16),
                return_last_state=True, **how,
            )  # fmt: skip
            _close(y, wanted, tolerance)
            _close(state, last, tolerance)
            for found, grad in zip(_gradients(y, mine), wanted_grads, strict=True):
                _close(found, grad, tolerance)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_gradients_are_right(method: str, reverse: bool, packed: bool) -> None:
    inputs = _inputs(1, 7, channels=3, state=2)
    ptr = torch.tensor([0, 2, 2, 7]) if packed else None
    if packed:
        inputs = {n: t if n in ("A", "D") else t.flatten(0, 1) for n, t in inputs.items()}

    def outputs(*values: Tensor) -> tuple[Tensor, Tensor]:
        found = selective_scan(
            *values, ptr=ptr, reverse=reverse, method=method, return_last_state=True,
            chunk_size=3 if method == "chunked" else None,
        )  # fmt: skip
        assert isinstance(found, tuple)
        return found

    assert torch.autograd.gradcheck(outputs, tuple(_tracked(inputs).values()))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reverse", [False, True])
def test_padded_packed_and_alone_agree(method: str, reverse: bool) -> None:
    lengths = [5, 0, 1, 17, 9]
    inputs = _inputs(len(lengths), max(lengths))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ptr = torch.tensor([0, *itertools.accumulate(lengths)])
    per_token = [n for n in NAMES if n not in ("A", "D")]
    chunk = 4 if method == "chunked" else None
    padded, state = selective_scan(
        **inputs, mask=mask, reverse=reverse, method=method, chunk_size=chunk,
        return_last_state=True,
    )  # type: ignore[arg-type]  # fmt: skip
    rows = {n: t[mask] if n in per_token else t for n, t in inputs.items()}
    packed, packed_state = selective_scan(
        **rows, ptr=ptr, reverse=reverse, method=method, chunk_size=chunk, return_last_state=True
    )  # type: ignore[arg-type]
    _close(padded[mask], packed, 1e-12)
    _close(state, packed_state, 1e-12)
    assert bool((padded[~mask] == 0).all())
    for number, length in enumerate(lengths):
        if length:
            alone = {
                n: t[number : number + 1, :length] if n in per_token else t
                for n, t in inputs.items()
            }
            wanted, last = selective_scan_reference(**alone, reverse=reverse)
            _close(padded[number, :length], wanted[0], 1e-12)
            _close(state[number], last[0], 1e-12)
        else:
            assert bool((state[number] == 0).all())


@pytest.mark.parametrize("method", [*METHODS, "auto"])
@pytest.mark.parametrize("reverse", [False, True])
def test_padding_and_other_sequences_change_nothing(method: str, reverse: bool) -> None:
    inputs = _tracked(_inputs(3, 12), torch.float32)
    mask = torch.arange(12) < torch.tensor([12, 4, 7])[:, None]
    y = selective_scan(**inputs, mask=mask, reverse=reverse, method=method)
    assert isinstance(y, Tensor)
    grads = _gradients(y, inputs)
    for name, grad in zip(inputs, grads, strict=True):
        if name not in ("A", "D"):
            assert bool((grad[~mask] == 0).all()), name
    changed = {n: t.detach().clone() for n, t in inputs.items()}
    for name in ("x", "delta", "B", "C", "z"):
        changed[name][~mask] = float("nan")  # padding
        changed[name][2] = 0.5  # and a whole sequence
    again = selective_scan(**changed, mask=mask, reverse=reverse, method=method)
    assert isinstance(again, Tensor)
    assert again[:2].equal(y[:2])
    assert not again[2].equal(y[2])
    assert bool(again.isfinite().all())


def _two_sums(a_log: Tensor, b: Tensor) -> Tensor:
    """The formula that must not be used: it divides by the decay so far."""
    so_far = a_log.cumsum(dim=1)
    return so_far.exp() * (b * (-so_far).exp()).cumsum(dim=1)


@pytest.mark.parametrize("method", METHODS)
def test_extreme_decays_stay_finite(method: str) -> None:
    made = torch.Generator().manual_seed(0)
    log = -torch.rand(1, 8000, 6, generator=made) * torch.tensor([50.0, 1.0, 0.1, 1e-3, 1e-6, 0.0])
    b = torch.randn(1, 8000, 6, generator=made)
    h = linear_recurrence(log.exp(), b, method=method)
    wanted = b.double().clone()
    for t in range(1, 8000):
        wanted[:, t] += log[:, t].double().exp() * wanted[:, t - 1]
    assert bool(h.isfinite().all())
    for channel in range(6):
        _close(h[..., channel], wanted[..., channel], 1e-5)
    assert not bool(_two_sums(log, b).isfinite().all())  # the same input breaks the short way


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reverse", [False, True])
def test_recurrence_starts_from_a_state_in_each_sequence(method: str, reverse: bool) -> None:
    made = torch.Generator().manual_seed(1)
    a, b = (torch.rand(11, 2, generator=made, dtype=torch.float64) for _ in range(2))
    h0 = torch.randn(3, 2, generator=made, dtype=torch.float64)
    ptr = torch.tensor([0, 4, 4, 11])
    wanted = torch.empty_like(b)
    for number, (low, high) in enumerate(itertools.pairwise(ptr.tolist())):
        state = h0[number]
        for t in reversed(range(low, high)) if reverse else range(low, high):
            state = a[t] * state + b[t]
            wanted[t] = state
    tracked = tuple(t.requires_grad_() for t in (a, b, h0))
    found = linear_recurrence(a, b, h0=h0, ptr=ptr, reverse=reverse, method=method)
    _close(found, wanted, 1e-13)

    def states(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        return linear_recurrence(a, b, h0=h0, ptr=ptr, reverse=reverse, method=method)

    assert torch.autograd.gradcheck(states, tracked)


def _ssd_loop(x: Tensor, log: Tensor, B: Tensor, C: Tensor, state: Tensor) -> Any:  # noqa: N803
    heads = x.shape[-2] // B.shape[-2]
    B, C = (t.repeat_interleave(heads, dim=-2) for t in (B, C))  # noqa: N806
    out = []
    for t in range(len(x)):
        state = log[t].exp()[:, None, None] * state + x[t][:, :, None] * B[t][:, None, :]
        out.append((state * C[t][:, None, :]).sum(-1))
    return torch.stack(out) if out else x, state


@pytest.mark.parametrize("chunk", [1, 4, 16, 64])
@pytest.mark.parametrize("reverse", [False, True])
def test_blocks_equal_the_loop(chunk: int, reverse: bool) -> None:
    made = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=made, dtype=torch.float64)

    lengths = [9, 0, 1, 40]
    ptr = torch.tensor([0, *itertools.accumulate(lengths)])
    total = int(ptr[-1])
    x, log = normal(total, 4, 3), -normal(total, 4).abs()
    B, C, D = normal(total, 2, 5), normal(total, 2, 5), normal(4)  # noqa: N806
    first = normal(len(lengths), 4, 3, 5)
    y, last = ssd(
        x, log, B, C, D, ptr=ptr, reverse=reverse, chunk_size=chunk, initial_state=first,
        return_last_state=True,
    )  # fmt: skip
    for number, (low, high) in enumerate(itertools.pairwise(ptr.tolist())):
        part = [t[low:high].flip(0) if reverse else t[low:high] for t in (x, log, B, C)]
        wanted, state = _ssd_loop(*part, first[number])
        wanted = wanted.flip(0) if reverse else wanted
        _close(y[low:high], wanted + D[:, None] * x[low:high], 1e-12)
        _close(last[number], state, 1e-12)


def test_gradients_of_blocks_are_right() -> None:
    made = torch.Generator().manual_seed(3)
    x, log, B, C = (  # noqa: N806
        torch.randn(*shape, generator=made, dtype=torch.float64)
        for shape in ((7, 2, 3), (7, 2), (7, 1, 2), (7, 1, 2))
    )
    ptr = torch.tensor([0, 3, 3, 7])

    def blocks(x: Tensor, log: Tensor, B: Tensor, C: Tensor) -> Any:  # noqa: N803
        return ssd(x, -log.abs(), B, C, ptr=ptr, chunk_size=2)

    assert torch.autograd.gradcheck(blocks, tuple(t.requires_grad_() for t in (x, log, B, C)))


@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_nothing_is_no_trouble(method: str) -> None:
    for batch, length in ((0, 3), (2, 0)):
        inputs = _tracked(_inputs(batch, length))
        y, last = selective_scan(**inputs, method=method, return_last_state=True)  # type: ignore[arg-type]
        assert y.shape == (batch, length, 5)
        assert last.shape == (batch, 5, 3)
        assert bool((last == 0).all())
        y.sum().backward()
    one = {n: t if n in ("A", "D") else t[:, :0].flatten(0, 1) for n, t in _inputs(1, 1).items()}
    y = selective_scan(**one, ptr=torch.tensor([0, 0, 0]), method=method)
    assert isinstance(y, Tensor)
    assert y.shape == (0, 5)


def test_softplus_and_bias_are_applied_first() -> None:
    inputs = _inputs(2, 6)
    raw, bias = torch.randn(2, 6, 5).double(), torch.randn(5).double()
    inputs["delta"] = torch.nn.functional.softplus(raw + bias)
    wanted = selective_scan(**inputs)
    found = selective_scan(**inputs | {"delta": raw}, delta_bias=bias, delta_softplus=True)
    assert isinstance(wanted, Tensor)
    assert isinstance(found, Tensor)
    _close(found, wanted, 1e-12)


def test_half_precision_is_computed_in_single() -> None:
    inputs = {n: t.float() for n, t in _inputs(2, 50).items()}
    wanted = selective_scan(**inputs)
    assert isinstance(wanted, Tensor)
    half = _tracked(inputs, torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = selective_scan(**half)
    assert isinstance(y, Tensor)
    assert y.dtype == torch.bfloat16
    _close(y, wanted, 2e-2)
    assert all(bool(grad.isfinite().all()) for grad in _gradients(y, half))


def test_threads_change_nothing() -> None:
    inputs = {n: t.float() for n, t in _inputs(4, 40, channels=70, state=16).items()}
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            tracked = _tracked(inputs, torch.float32)
            y = selective_scan(**tracked, method="kernel")
            assert isinstance(y, Tensor)
            found.append([y, *_gradients(y, tracked)[:2]])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert one.equal(two)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"delta": -torch.ones(1, 4, 5).double()}, DataError, r"delta\[0, 0, 0\] = -1"),
        ({"B": torch.ones(1, 4, 2).double()}, DataError, r"B has shape \(1, 4, 2\)"),
        ({"A": torch.ones(4, 3).double()}, DataError, r"A has shape \(4, 3\)"),
        ({"ptr": torch.tensor([0, 1])}, DataError, "packed"),
        ({"method": "fast"}, UnknownName, "fast"),
        ({"chunk_size": 0, "method": "chunked"}, SettingError, "chunk_size is 0"),
    ],
)
def test_what_cannot_be_scanned_is_refused(
    changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        selective_scan(**_inputs(1, 4) | changes)


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ({"device": "meta"}, "meta"),
        ({"dtype": torch.float64}, "float64"),
        ({"state": 257}, "at most 256"),
        ({"packed": True}, "packed"),
        ({"discretization": "zoh"}, "euler"),
        ({"with_last": True}, "last state"),
        ({}, "mamba-ssm"),
    ],
)
def test_official_kernel_says_why_it_cannot_run(kept: dict[str, Any], says: str) -> None:
    usable = {
        "device": "cuda", "dtype": torch.float32, "state": 16, "packed": False, "with_last": False,
        "discretization": "euler",
    }  # fmt: skip
    case = usable | kept
    case["device"] = torch.device(case["device"])
    assert says in why_not_kernel(**case)


def test_kernel_is_refused_where_there_is_none() -> None:
    inputs = {n: t.to("meta") for n, t in _inputs(1, 4).items()}
    with pytest.raises(SettingError, match="cannot run: the tensors are on meta"):
        selective_scan(**inputs, method="kernel")
    with pytest.raises(SettingError, match="there is none for meta"):
        linear_recurrence(inputs["x"], inputs["x"], method="kernel")


def test_official_kernel_is_handed_its_own_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the published interface: lengths last, contiguous."""

    def kernel(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, **how: Any) -> Any:  # noqa: N803
        assert how == {"return_last_state": True}
        assert all(t.stride(-1) == 1 for t in (u, delta, A, B, C))
        rows = (t.transpose(1, 2) for t in (u, delta, B, C))
        x, step, b, c = rows
        y, last = selective_scan_reference(x, step, A, b, c)
        return y.transpose(1, 2), last

    module = types.ModuleType("selective_scan_interface")
    module.selective_scan_fn = kernel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.selective_scan_interface", module)
    inputs = _inputs(2, 6)
    parts = [inputs[n] for n in ("x", "delta", "A", "B", "C")]
    for found, wanted in zip(official_scan(*parts), selective_scan_reference(*parts), strict=True):
        _close(found, wanted, 1e-12)


@pytest.mark.parametrize(
    ("ptr", "says"), [([0, 3, 2, 4], "never fall"), ([0, 3], "0 to 4"), ([1, 4], "0 to 4")]
)
def test_pointers_must_cut_the_tokens(ptr: list[int], says: str) -> None:
    rows = {n: t if n in ("A", "D") else t[0] for n, t in _inputs(1, 4).items()}
    with pytest.raises(DataError, match=says):
        selective_scan(**rows, ptr=torch.tensor(ptr))
