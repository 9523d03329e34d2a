"""Sparse matrices for fast products: rows sorted, and the transpose kept for the gradient.

torch's own CSR product builds the transpose anew in every backward pass and its 64-bit indices miss
the fast kernels; a full graph never changes, so both are made once.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["SparseMatrix"]


@dataclass(frozen=True, eq=False, repr=False)
class SparseMatrix:
    """A constant sparse matrix that multiplies dense ones.

    Args:
        forward_csr: The matrix, ``(rows, columns)``, as torch CSR.
        backward_csr: Its transpose.
        order: Which entry of the matrix each entry of the transpose is.
    """

    forward_csr: Tensor
    backward_csr: Tensor
    order: Int[Tensor, " entries"]

    @classmethod
    def from_edges(
        cls,
        edge_index: Int[Tensor, "2 edges"],
        weight: Float[Tensor, " edges"] | None,
        shape: tuple[int, int],
    ) -> SparseMatrix:
        """Builds the matrix that sends source rows to destination rows.

        Args:
            edge_index: Row 0 the source (a column of the matrix), row 1 the destination (a row).
            weight: One number per edge; 1 if not given. Duplicate edges add up.
            shape: Number of destinations and of sources.
        """
        source, destination = edge_index.long()  # places of entries do not fit 32 bits
        if weight is None:
            weight = torch.ones(edge_index.shape[1], device=edge_index.device)
        by_row = (destination * shape[1] + source).argsort(stable=True)
        source, destination, weight = source[by_row], destination[by_row], weight[by_row]
        order = (source * shape[0] + destination).argsort(stable=True)
        return cls(
            _csr(destination, source, weight, shape),
            _csr(source[order], destination[order], weight[order], (shape[1], shape[0])),
            order,
        )

    @classmethod
    def from_dense(cls, x: Float[Tensor, "rows columns"]) -> SparseMatrix:
        """Builds the matrix of the entries of ``x`` that are not zero."""
        row, column = x.nonzero(as_tuple=True)
        shape = (x.shape[0], x.shape[1])
        return cls.from_edges(torch.stack([column, row]), x[row, column], shape)

    @property
    def shape(self) -> torch.Size:
        """Rows and columns."""
        return self.forward_csr.shape

    @property
    def values(self) -> Float[Tensor, " entries"]:
        """The entries, row by row."""
        return self.forward_csr.values()

    @cached_property
    def rows(self) -> Int[Tensor, " entries"]:
        """Row (destination) of each entry, not falling."""
        size = self.forward_csr.crow_indices().diff().long()
        return torch.arange(len(size), device=size.device).repeat_interleave(size)

    @cached_property
    def columns(self) -> Int[Tensor, " entries"]:
        """Column (source) of each entry."""
        return self.forward_csr.col_indices().long()

    def __repr__(self) -> str:
        return f"SparseMatrix({self.shape[0]}, {self.shape[1]}, entries={len(self.order)})"

    def __len__(self) -> int:
        return self.forward_csr.shape[0]

    def __matmul__(self, x: Float[Tensor, "columns channels"]) -> Float[Tensor, "rows channels"]:
        """Returns the product with a dense matrix; a gradient reaches ``x`` alone."""
        out: Tensor = _Product.apply(x, self.forward_csr, self.backward_csr)
        return out

    def to(self, device: str | torch.device, non_blocking: bool = False) -> SparseMatrix:
        """Returns the matrix on another device; called as PyG's ``Data.to`` calls a tensor."""
        parts = (self.forward_csr, self.backward_csr, self.order)
        forward, backward, order = (part.to(device, non_blocking=non_blocking) for part in parts)
        return SparseMatrix(forward, backward, order)

    def with_values(self, values: Float[Tensor, " entries"]) -> SparseMatrix:
        """Returns the matrix with other entries at the same places."""
        return SparseMatrix(
            _same_places(self.forward_csr, values),
            _same_places(self.backward_csr, values[self.order]),
            self.order,
        )

    def dropout(self, p: float, *, training: bool) -> SparseMatrix:
        """Returns the matrix with entries dropped; the same as dropout of the dense one, for a
        zero stays a zero."""
        if not training or p == 0:
            return self
        if p == 1:
            return self.with_values(torch.zeros_like(self.values))
        kept = torch.rand_like(self.values) >= p  # several times faster than F.dropout on a CPU
        return self.with_values(self.values * kept / (1 - p))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        [gradient] = gradients
        return ctx.transposed @ gradient.contiguous(), None, None


@cache
def _told_of_beta() -> None:
    """Lets torch say once, to nobody, that its CSR matrices are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 0], torch.empty(0, dtype=torch.long), torch.empty(0), (1, 1))


def _csr(row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    """CSR of sorted entries; 32-bit indices where they fit, which have the fast kernels."""
    _told_of_beta()
    pointer = torch.zeros(shape[0] + 1, dtype=torch.long, device=row.device)
    pointer[1:] = torch.bincount(row, minlength=shape[0]).cumsum(0)
    kind = torch.int32 if max(*shape, len(value)) < 2**31 else torch.int64
    return torch.sparse_csr_tensor(
        pointer.to(kind), column.to(kind), value, shape, check_invariants=False
    )


def _same_places(matrix: Tensor, values: Tensor) -> Tensor:
    return torch.sparse_csr_tensor(
        matrix.crow_indices(),
        matrix.col_indices(),
        values,
        matrix.shape,
        check_invariants=False,
    )
