"""Scans by compiled kernels on the processor: one pass forward, one back, no state in between.

Of the states only one in ``EVERY`` is kept for the gradient; the others are computed again, so
memory is that of the inputs. Plain threads share the work: numba's own are not safe in a process
forked from one that has used them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["fused_recurrence", "fused_scan"]

EVERY = 16  # tokens between two kept states: their memory is 1 / 16 of all states
BLOCK = 1024  # numbers of a state that one task holds, 4 KiB in float32


@dataclass(frozen=True)
class _Plan:
    """How the work is cut: blocks of channels for the cache, runs of sequences for threads."""

    blocks: list[tuple[int, int]]
    runs: list[tuple[int, int]]
    threads: int

    @staticmethod
    def of(ptr: NDArray[np.int64], channels: int, state: int) -> _Plan:
        threads = torch.get_num_threads()
        width = min(channels, max(16, BLOCK // state // 16 * 16))
        blocks = [(low, min(low + width, channels)) for low in range(0, channels, width)]
        parts = min(len(ptr) - 1, -(-threads // len(blocks)))
        shares = np.linspace(0, ptr[-1], parts + 1)[1:-1]  # of the tokens
        cuts = [0, *np.searchsorted(ptr[:-1], shares).tolist(), len(ptr) - 1]
        return _Plan(blocks, list(itertools.pairwise(cuts)), threads)

    def carry_out(self, task: Callable[[int, int], None]) -> None:
        """Calls ``task`` with the numbers of each block and run."""
        tasks = [(block, run) for block in range(len(self.blocks)) for run in range(len(self.runs))]
        _spread(task, tasks, self.threads)


def _spread(task: Callable[..., None], tasks: Sequence[tuple[int, int]], threads: int) -> None:
    if threads == 1 or len(tasks) == 1:
        for one in tasks:
            task(*one)
        return
    with ThreadPoolExecutor(min(threads, len(tasks))) as pool:
        list(pool.map(lambda one: task(*one), tasks))  # a list: an error of a task is raised here


def _slots(ptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the kept states of each sequence begin, and at the end how many there are."""
    kept = np.maximum(-(-np.diff(ptr) // EVERY) - 1, 0)
    return np.concatenate([[0], np.cumsum(kept)])


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().contiguous().numpy()


class _FusedScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor,  # noqa: N803
        ptr: Tensor, backwards: bool, zoh: bool, with_last: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        from graphkit.nn.scan_kernels import scan  # numba, loaded when it is needed

        ctx.save_for_backward(x, delta, A, B, C, ptr)
        arrays = [_array(t) for t in (x, delta, A.t(), B, C, ptr)]
        pointers, slots = arrays[-1], _slots(arrays[-1])
        (channels, state), sequences = A.shape, len(pointers) - 1
        y, last = torch.empty_like(x, memory_format=torch.contiguous_format), x.new_empty(
            sequences if with_last else 0, state, channels
        )  # fmt: skip
        marks = x.new_empty(int(slots[-1]) if any(ctx.needs_input_grad) else 0, state, channels)
        outs = [t.numpy() for t in (y, last, marks)]
        plan = _Plan.of(pointers, channels, state)
        ctx.how, ctx.marks, ctx.with_last = (backwards, zoh), marks, with_last

        def run(block: int, part: int) -> None:
            where = (*plan.runs[part], *plan.blocks[block])
            scan(*arrays, slots, *where, backwards, zoh, EVERY, *outs)

        plan.carry_out(run)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_last: Tensor) -> tuple[Tensor | None, ...]:
        from graphkit.nn.scan_kernels import scan_backward

        x, delta, A, B, C, ptr = ctx.saved_tensors  # noqa: N806
        arrays = [_array(t) for t in (x, delta, A.t(), B, C, ptr)]
        pointers, slots = arrays[-1], _slots(arrays[-1])
        channels, state = A.shape
        plan = _Plan.of(pointers, channels, state)
        grads = [_array(grad_y), _array(grad_last)]
        grad_x, grad_delta = np.empty_like(arrays[0]), np.empty_like(arrays[0])
        # What several tasks add up is theirs alone until all are done: no lock, one order.
        grad_A = np.zeros((len(plan.runs), state, channels))  # noqa: N806
        grad_B, grad_C = np.empty((2, len(plan.blocks), *B.shape), grad_x.dtype)  # noqa: N806

        def run(block: int, part: int) -> None:
            low, high = plan.blocks[block]
            scan_backward(
                *arrays, slots, *plan.runs[part], low, high, *ctx.how, EVERY, ctx.marks.numpy(),
                *grads, grad_x, grad_delta, grad_A[part, :, low:high], grad_B[block], grad_C[block],
            )  # fmt: skip

        plan.carry_out(run)
        found = (
            grad_x,
            grad_delta,
            grad_A.sum(axis=0).T.astype(grad_x.dtype),
            grad_B.sum(axis=0),
            grad_C.sum(axis=0),
        )
        return (*(torch.from_numpy(grad) for grad in found), None, None, None, None)


def fused_scan(
    x: Float[Tensor, "tokens channels"],
    delta: Float[Tensor, "tokens channels"],
    A: Float[Tensor, "channels state"],  # noqa: N803
    B: Float[Tensor, "tokens state"],  # noqa: N803
    C: Float[Tensor, "tokens state"],  # noqa: N803
    ptr: Int[Tensor, " pointers"],
    *,
    reverse: bool,
    zoh: bool,
    with_last: bool,
) -> tuple[Float[Tensor, "tokens channels"], Float[Tensor, "sequences channels state"]]:
    """Scans packed sequences; the last states have no row where ``with_last`` is false."""
    y, last = _FusedScan.apply(x, delta, A, B, C, ptr, reverse, zoh, with_last)
    return y, last.transpose(1, 2)


class _FusedRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, ptr: Tensor, backwards: bool) -> Tensor:
        from graphkit.nn.scan_kernels import recurrence

        h = torch.empty_like(b, memory_format=torch.contiguous_format)
        ctx.save_for_backward(a, h, ptr)
        ctx.backwards = backwards
        arrays, out = [_array(t) for t in (a, b, ptr)], h.numpy()
        _columns(lambda low, high: recurrence(*arrays, low, high, backwards, out), a.shape[1])
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_h: Tensor) -> tuple[Tensor | None, ...]:
        from graphkit.nn.scan_kernels import recurrence_backward

        a, h, ptr = ctx.saved_tensors
        arrays = [_array(t) for t in (a, h, grad_h, ptr)]
        grad_a, grad_b = np.empty((2, *a.shape), arrays[0].dtype)
        _columns(
            lambda low, high: recurrence_backward(
                *arrays, low, high, ctx.backwards, grad_a, grad_b
            ),
            a.shape[1],
        )
        return torch.from_numpy(grad_a), torch.from_numpy(grad_b), None, None


def _columns(task: Callable[[int, int], None], width: int) -> None:
    """Calls ``task`` with runs of columns, one for each thread."""
    threads = min(torch.get_num_threads(), max(1, width // 16))
    cuts = np.linspace(0, width, threads + 1).astype(int).tolist()
    _spread(task, list(itertools.pairwise(cuts)), threads)


def fused_recurrence(
    a: Float[Tensor, "tokens width"],
    b: Float[Tensor, "tokens width"],
    ptr: Int[Tensor, " pointers"],
    *,
    reverse: bool,
) -> Float[Tensor, "tokens width"]:
    """Computes h_t = a_t h_(t-1) + b_t in each packed sequence, from 0."""
    return _FusedRecurrence.apply(a, b, ptr, reverse)
