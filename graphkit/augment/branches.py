"""Networks that read several rows of features per node: the node's own and generated ones."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.models.base import Around, as_model
from graphkit.models.baselines import GAT, GCN, DirSAGE, GraphSAGE
from graphkit.models.gcnii import GCNII
from graphkit.nn.dropout import dropout
from graphkit.sparse import SparseMatrix
from graphkit.tasks import Dims
from graphkit.train import ModelFactory

__all__ = ["Branched", "FeatureBlocks", "Widened", "with_branches"]

_STACKS = (GCN, GraphSAGE, DirSAGE, GAT, GCNII)  # MeanSAGE is a GCN


class FeatureBlocks(SparseMatrix):
    """Blocks of columns side by side, dense or sparse, where a first layer takes sparse features.

    It answers what such a layer asks: dropout, product, number of rows; it has no single table of
    entries.

    Args:
        blocks: Features with a row per node.
    """

    def __init__(self, *blocks: Tensor | SparseMatrix) -> None:
        object.__setattr__(self, "blocks", blocks)  # the parent is frozen
        self.blocks: tuple[Tensor | SparseMatrix, ...]

    @property
    def shape(self) -> torch.Size:
        """Rows and columns."""
        return torch.Size([len(self), sum(block.shape[1] for block in self.blocks)])

    def __len__(self) -> int:
        return len(self.blocks[0])

    def __repr__(self) -> str:
        return f"FeatureBlocks({', '.join(str(tuple(block.shape)) for block in self.blocks)})"

    def __matmul__(self, x: Tensor) -> Tensor:
        """Returns the product with a dense matrix; a gradient reaches ``x`` alone."""
        parts = x.split([block.shape[1] for block in self.blocks])
        products = [
            block @ part if isinstance(block, SparseMatrix) else _DenseProduct.apply(part, block)
            for block, part in zip(self.blocks, parts, strict=True)
        ]
        out: Tensor = products[0] if len(products) == 1 else torch.stack(products).sum(dim=0)
        return out

    def dropout(self, p: float, *, training: bool) -> FeatureBlocks:
        """Returns the blocks with entries dropped."""
        if not training or p == 0:
            return self
        return FeatureBlocks(
            *(
                block.dropout(p, training=True)
                if isinstance(block, SparseMatrix)
                else _half_dropped(block)
                if p == 0.5 and not block.is_cuda
                else dropout(block, p)
                for block in self.blocks
            )
        )

    def to(self, device: str | torch.device, non_blocking: bool = False) -> FeatureBlocks:
        """Returns the blocks on another device."""
        return FeatureBlocks(
            *(block.to(device, non_blocking=non_blocking) for block in self.blocks)
        )


class _DenseProduct(torch.autograd.Function):
    """Constant rows times a weight. The gradient is (G^T X)^T: with a narrow G several times
    faster than X^T G, which torch takes where the weight is a slice."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        [x] = ctx.saved_tensors
        return (gradients[0].t() @ x).t(), None


@cache
def _flips() -> Tensor:
    """The eight coins in each byte, heads counting 2: what is left of an entry doubles."""
    return ((torch.arange(256)[:, None] >> torch.arange(8)) & 1).float() * 2


def _half_dropped(x: Tensor) -> Tensor:
    """Dropout of one half, a random bit an entry: a number each costs several times more."""
    words = torch.empty(-(-x.numel() // 64), dtype=torch.int64).random_(-(2**63), None)
    kept = _flips().index_select(0, words.view(torch.uint8).int()).view(-1)
    return kept[: x.numel()].view(x.shape).to(x.dtype).mul_(x)


class _Reading(Around):
    """A network, or what follows its first layer, that is handed generated rows besides a batch."""

    def forward(self, batch: Any) -> Tensor:
        """Returns the scores of a network that has no branch."""
        return self.answer(batch, ())

    def answer(self, batch: Any, generated: Sequence[Tensor]) -> Tensor:
        """Returns the scores given the nodes' generated rows, one tensor a branch."""
        raise AssertionError("a network says how it reads generated rows")


class Branched(_Reading):
    """A first layer for each row a node has, their results side by side, then one network.

    Args:
        backbone: Makes a stack of convolutions whose width is set by ``hidden_channels``.
        dims: Sizes of the data set.
        branches: Rows a node has besides its own.

    Reads:
        What the backbone reads, and the rows handed to ``answer``.

    Source:
        Liu et al., "Local Augmentation for Graph Neural Networks", ICML 2022: LAGCN, LAGAT,
        LASAGE. Later widths are ``branches + 1`` times as large.
    """

    def __init__(self, backbone: ModelFactory, dims: Dims, branches: int) -> None:
        stacks: list[Any] = [backbone(dims) for _ in range(branches + 1)]
        width = (branches + 1) * _width(stacks[0])
        rest: Any = backbone(dims, hidden_channels=width)  # type: ignore[call-arg]
        rest.convs[0] = _Passed()
        super().__init__(rest)
        self.first = nn.ModuleList(stack.convs[0] for stack in stacks)
        self.matrices = ("adj", "adj_out") if isinstance(rest, DirSAGE) else ("adj",)

    def answer(self, batch: Any, generated: Sequence[Tensor]) -> Tensor:
        """Returns the scores given the nodes' generated rows, one tensor a branch."""
        own = batch.get("sparse_x")
        rows = [FeatureBlocks(batch.x) if own is None else own]
        rows += [FeatureBlocks(x) for x in generated]
        steps = [batch[name] for name in self.matrices]
        views = [layer(x, *steps) for layer, x in zip(self.first, rows, strict=True)]
        shown = copy.copy(batch)
        shown.x, shown.sparse_x = torch.cat(views, dim=1), None
        out: Tensor = self.net(shown)
        return out


class _Passed(nn.Module):
    """Stands for a first layer that is done already."""

    def forward(self, x: Tensor, *steps: SparseMatrix) -> Tensor:
        return x


class Widened(_Reading):
    """Any network, fed with a node's own row and the generated ones as one long row.

    Args:
        backbone: Makes the network from sizes.
        dims: Sizes of the data set.
        branches: Rows a node has besides its own; with 0 it is the backbone itself.

    Reads:
        What the backbone reads, and the rows handed to ``answer``.

    Source:
        Liu et al., "Local Augmentation for Graph Neural Networks", ICML 2022; the form is the
        authors' advice for other networks, in their issue threads.
    """

    def __init__(self, backbone: ModelFactory, dims: Dims, branches: int) -> None:
        wide = replace(dims, in_channels=(branches + 1) * dims.in_channels)
        super().__init__(as_model(backbone(wide)))

    def answer(self, batch: Any, generated: Sequence[Tensor]) -> Tensor:
        """Returns the scores given the nodes' generated rows, one tensor a branch."""
        if generated:
            batch = copy.copy(batch)
            if batch.get("sparse_x") is None:
                batch.x = torch.cat([batch.x, *generated], dim=1)
            else:
                batch.sparse_x = FeatureBlocks(batch.sparse_x, *generated)
        out: Tensor = self.net(batch)
        return out


def with_branches(backbone: ModelFactory, dims: Dims, branches: int) -> Branched | Widened:
    """Returns the backbone made to read generated rows: in the paper's form where that is known.

    The stacks of convolutions of this library get a first layer for each row, unless they have
    one layer alone or their width cannot be set; every other network gets one long row.

    Args:
        backbone: Makes the network from sizes.
        dims: Sizes of the data set.
        branches: Rows a node has besides its own.
    """
    widths = "hidden_channels" in inspect.signature(backbone).parameters
    if branches and widths:
        state = torch.get_rng_state()
        stack = backbone(dims)
        torch.set_rng_state(state)  # looked at and thrown away
        if isinstance(stack, _STACKS) and len(stack.convs) > 1:
            return Branched(backbone, dims, branches)
    return Widened(backbone, dims, branches)


def _width(stack: Any) -> int:
    """What ``hidden_channels`` was for a stack."""
    first = stack.convs[0]
    inner = first.conv_in if isinstance(stack, DirSAGE) else first
    return int(inner.out_channels)
