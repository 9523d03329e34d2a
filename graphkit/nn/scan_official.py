"""The official CUDA kernel of Mamba, where its compiled extension is really there.

Written after its published interface; no machine of this project has run it.
"""

from __future__ import annotations

import functools
import importlib
import logging

import torch
from jaxtyping import Float
from torch import Tensor

from graphkit.nn.scan_reference import Discretization

__all__ = ["official_scan", "why_not_kernel"]

log = logging.getLogger(__name__)


@functools.cache
def _missing() -> str:
    """Why the extension cannot be used; the package itself installs without it."""
    try:
        importlib.import_module("selective_scan_cuda")
        importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    except (ImportError, OSError) as error:
        log.debug("the selective scan runs in tensor operations: %s", error)
        return f"the CUDA build of mamba-ssm cannot be imported ({error})"
    return ""


def why_not_kernel(
    device: torch.device,
    dtype: torch.dtype,
    state: int,
    packed: bool,
    with_last: bool,
    discretization: Discretization,
) -> str:
    """Returns why no compiled kernel can run a selective scan there, or nothing if one can."""
    if device.type == "cpu":
        return ""  # ours
    if device.type != "cuda":
        return f"the tensors are on {device}, and there are kernels for cpu and cuda"
    if dtype == torch.float64:
        return "the official kernel does not take float64"
    if state > 256:
        return f"the official kernel takes a state of at most 256, not {state}"
    if packed:
        return "the official kernel does not take packed sequences"
    if discretization != "euler":
        return f"the official kernel computes euler, not {discretization}"
    if with_last and torch.is_grad_enabled():
        return "the official kernel gives no gradient through the last state"
    return _missing()


def official_scan(
    x: Float[Tensor, "batch length channels"],
    delta: Float[Tensor, "batch length channels"],
    A: Float[Tensor, "channels state"],  # noqa: N803
    B: Float[Tensor, "batch length state"],  # noqa: N803
    C: Float[Tensor, "batch length state"],  # noqa: N803
) -> tuple[Float[Tensor, "batch length channels"], Float[Tensor, "batch channels state"]]:
    """Hands over to ``selective_scan_fn``, which wants the length last and contiguous."""
    kernel = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    rows = (t.transpose(1, 2).contiguous() for t in (x, delta, B, C))
    u, step, b, c = rows
    y, last = kernel(u, step, A.contiguous(), b, c, return_last_state=True)
    return y.transpose(1, 2), last
