"""What can be read off node embeddings."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["smoothness"]


def smoothness(x: Float[Tensor, "nodes channels"], rows: int = 1024) -> Float[Tensor, ""]:
    r"""Returns how far apart the nodes' directions are, in [0, 1]; 0 when all point alike.

    .. math:: SMV_G = \frac{1}{n (n - 1)} \sum_{i \ne j} \tfrac12
        \left\| \frac{x_i}{\|x_i\|} - \frac{x_j}{\|x_j\|} \right\|

    Args:
        x: One vector per node.
        rows: Rows compared with all others at a time; memory is ``rows * nodes`` numbers.

    Source:
        Liu et al., "Towards Deeper Graph Neural Networks", KDD 2020, eq. 2 to 4.
    """
    nodes = len(x)
    if nodes < 2:
        return x.new_zeros(())
    unit = torch.nn.functional.normalize(x, dim=1)
    total = x.new_zeros((), dtype=torch.float64)
    for block in unit.split(rows):
        total += (2 - 2 * block @ unit.t()).clamp(min=0).sqrt().sum(dtype=torch.float64) / 2
    # a node against itself is 0 but for rounding under the root, which is taken out
    own = (2 - 2 * (unit * unit).sum(dim=1)).clamp(min=0).sqrt().sum(dtype=torch.float64) / 2
    return ((total - own) / (nodes * (nodes - 1))).to(x.dtype)
