"""The selective scan as the paper writes it, for reading and for tests: one step after another."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["Discretization", "discretize", "selective_scan_reference"]

Discretization = Literal["euler", "zoh"]


def discretize(
    x: Float[Tensor, "*tokens channels"],
    delta: Float[Tensor, "*tokens channels"],
    A: Float[Tensor, "channels state"],  # noqa: N803  the paper's letter
    B: Float[Tensor, "*tokens state"],  # noqa: N803
    discretization: Discretization,
) -> tuple[Float[Tensor, "*tokens channels state"], Float[Tensor, "*tokens channels state"]]:
    r"""Turns step sizes into decays and increments of the state.

    .. math:: \bar a = e^{\Delta A}, \quad \bar b x = \Delta B x \text{ (Euler)} \quad
        \text{or} \quad \frac{e^{\Delta A} - 1}{A} B x \text{ (zero-order hold)}

    Source:
        Gu and Dao, "Mamba", COLM 2024, equation 4; Euler is what the official kernels compute.
    """
    step = delta.unsqueeze(-1) * A  # (..., channels, state)
    if discretization == "euler":
        return step.exp(), (delta * x).unsqueeze(-1) * B.unsqueeze(-2)
    return step.exp(), torch.expm1(step) / A * x.unsqueeze(-1) * B.unsqueeze(-2)


def selective_scan_reference(
    x: Float[Tensor, "batch length channels"],
    delta: Float[Tensor, "batch length channels"],
    A: Float[Tensor, "channels state"],  # noqa: N803
    B: Float[Tensor, "batch length state"],  # noqa: N803
    C: Float[Tensor, "batch length state"],  # noqa: N803
    D: Float[Tensor, " channels"] | None = None,  # noqa: N803
    z: Float[Tensor, "batch length channels"] | None = None,
    *,
    delta_bias: Float[Tensor, " channels"] | None = None,
    delta_softplus: bool = False,
    reverse: bool = False,
    discretization: Discretization = "euler",
) -> tuple[Float[Tensor, "batch length channels"], Float[Tensor, "batch channels state"]]:
    """Computes outputs and last state by a plain loop; autograd finds the gradients.

    Args, shapes and meaning are those of :func:`graphkit.nn.selective_scan.selective_scan`, for
    sequences of equal length.
    """
    delta = delta if delta_bias is None else delta + delta_bias
    delta = F.softplus(delta) if delta_softplus else delta
    decay, increment = discretize(x, delta, A, B, discretization)
    state = increment.new_zeros(len(x), *A.shape)
    steps = list(zip(decay.unbind(1), increment.unbind(1), C.unbind(1), strict=True))
    outputs = []
    for a, b, c in reversed(steps) if reverse else steps:
        state = a * state + b
        outputs.append((state * c.unsqueeze(1)).sum(dim=-1))  # (batch, channels)
    y = torch.stack(outputs[::-1] if reverse else outputs, dim=1) if outputs else x * delta
    y = y if D is None else y + D * x
    return (y if z is None else y * F.silu(z)), state
