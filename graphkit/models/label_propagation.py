"""Spreads the known classes along the edges; learns nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from graphkit.errors import DataError, SettingError
from graphkit.models.base import Model
from graphkit.tasks import Dims, NodeBatch, Task
from graphkit.transforms import Adjacency, Chain, Undirected

__all__ = ["LabelPropagation"]


class LabelPropagation(Model):
    """Lets the training nodes' classes flow to their neighbours.

    The classes it may use are those of the training batches it was shown; they are kept in a
    buffer, so that scoring reads no answer.

    Args:
        dims: Sizes of the data set; ``num_nodes`` is needed.
        hops: Number of steps.
        alpha: Share of a node's answer that comes from its neighbours.
        undirected: Take every edge in both directions.

    Reads:
        ``edge_index``, and ``y`` at the seeds in training.

    Raises:
        SettingError: ``dims`` do not say how many nodes there are.
        DataError: The graph has another number of nodes: what is known could not be matched.

    Source:
        Zhou et al., "Learning with Local and Global Consistency", NeurIPS 2003.
    """

    known: Tensor

    def __init__(
        self, dims: Dims, *, hops: int = 50, alpha: float = 0.9, undirected: bool = True
    ) -> None:
        super().__init__()
        self.hops, self.alpha, self.undirected = hops, alpha, undirected
        if dims.num_nodes is None:
            raise SettingError("label propagation is for one graph: dims.num_nodes is not given")
        self.register_buffer("known", torch.zeros(dims.num_nodes, dims.out_channels))

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """Edges in both directions, where asked for."""
        return Undirected() if self.undirected else None

    @property
    def transform(self) -> Callable[[Any], Any]:
        """The normalised adjacency."""
        return Chain(Adjacency("sym", self_loops=False))

    def losses(self, batch: NodeBatch, task: Task) -> dict[str, Tensor]:
        """Remembers the classes of the seeds; there is nothing to minimise."""
        nodes = self._numbers(batch)
        seeds, y = nodes[batch.seeds], batch.y[batch.seeds]
        self.known[seeds[y >= 0]] = F.one_hot(y[y >= 0], self.known.shape[1]).float()
        return {"loss": task.loss(self(batch), batch)}

    def _numbers(self, batch: Any) -> Int[Tensor, " nodes"]:
        """What the batch's nodes are called in the whole graph."""
        if batch.get("n_id") is not None:
            return batch.n_id
        if batch.num_nodes != len(self.known):
            raise DataError(
                f"label propagation was made for {len(self.known)} nodes and the graph has "
                f"{batch.num_nodes}; it has no answer where nodes are hidden until the end"
            )
        return torch.arange(len(self.known), device=self.known.device)

    def forward(self, batch: NodeBatch) -> Float[Tensor, "nodes classes"]:
        own = self.known[self._numbers(batch)]
        spread = own
        for _ in range(self.hops):
            spread = self.alpha * (batch.adj @ spread) + (1 - self.alpha) * own  # type: ignore[attr-defined]
        return (spread / spread.sum(dim=1, keepdim=True).clamp(min=1e-12) + 1e-6).log()
