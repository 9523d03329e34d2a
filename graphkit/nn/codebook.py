"""A vector quantiser: rows are replaced by the nearest of a fixed number of codes."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphkit.errors import SettingError

__all__ = ["VectorQuantizer", "code_perplexity", "code_usage", "row_blocks"]

_BLOCK_ENTRIES = 2**22  # similarities held at once: 16 MiB


def row_blocks(rows: Tensor, codes: int) -> tuple[Tensor, ...]:
    """Returns the rows in runs whose similarities to all codes fit a fixed amount of memory."""
    return rows.split(max(_BLOCK_ENTRIES // codes, 1))


def code_usage(counts: Int[Tensor, " codes"]) -> float:
    """Returns the share of codes with at least one row."""
    return float((counts > 0).double().mean())


def code_perplexity(counts: Int[Tensor, " codes"]) -> float:
    """Returns the number of equally frequent codes that would be as uncertain; 0 without rows."""
    total = counts.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(counts.double() / total).sum().exp())


class VectorQuantizer(nn.Module):
    r"""Replaces each row by the code of the largest cosine similarity.

    .. math:: z_i = \arg\max_k \tilde h_i \cdot \tilde e_k, \quad
        \hat h_i = \|h_i\|\, \tilde e_{z_i}, \quad
        e_k \leftarrow \mathrm{unit}(\lambda e_k
        + (1 - \lambda)\, \mathrm{unit}(\sum_{z_i = k} \tilde h_i))

    The gradient passes from :math:`\hat h` to :math:`h` unchanged; none reaches the codes, which
    move in training alone. In evaluation nothing changes. More codes than rows are allowed: those
    that no row is nearest to lie idle, so ``usage`` is at most rows over codes.

    Args:
        channels: Width of a row and of a code.
        codes: Number of codes :math:`K`.
        decay: Share :math:`\lambda` of a code that stays when it moves, in [0, 1].
        commitment: Weight of the squared distance from a row to its code.
        revive_after: Training passes without a row after which a code is put on a random row of
            the pass; ``None`` leaves it where it is.
        scaled: Give a quantised row the length of the row; else it has length 1.
        start: Codes start on ``rows`` of the first training pass, or in ``random`` directions.

    Shape:
        ``(rows, channels)`` -> quantised ``(rows, channels)``, code numbers ``(rows,)``,
        commitment ``()``.

    Raises:
        SettingError: A number is out of its range.

    Source:
        Yang et al., "VQGraph: Rethinking Graph Representation Space for Bridging GNNs and MLPs",
        ICLR 2024, after van den Oord et al., "Neural Discrete Representation Learning", NeurIPS
        2017; cosine similarity and moving average as in the authors' code.

    Differs:
        From the authors' code, where no code starts on rows or is revived and quantised rows have
        length 1 (``revive_after=None, scaled=False, start="random"``): most codes are never used
        then. Codes are kept at length 1. Where a codebook is shared by processes, each
        sees its own rows and the first one's codebook counts.
    """

    codebook: Float[Tensor, "codes channels"]
    ages: Int[Tensor, " codes"]
    counts: Int[Tensor, " codes"]
    started: Tensor

    def __init__(
        self,
        channels: int,
        codes: int,
        decay: float = 0.8,
        commitment: float = 0.25,
        revive_after: int | None = 5,
        *,
        scaled: bool = True,
        start: Literal["rows", "random"] = "rows",
    ) -> None:
        super().__init__()
        ranges = {
            "channels": (channels, channels >= 1, "at least 1"),
            "codes": (codes, codes >= 1, "at least 1"),
            "decay": (decay, 0 <= decay <= 1, "a number from 0 to 1"),
            "commitment": (commitment, commitment >= 0, "0 or above"),
            "revive_after": (revive_after, revive_after is None or revive_after >= 1, "at least 1"),
            "start": (start, start in ("rows", "random"), "rows or random"),
        }
        for name, (value, fits, expected) in ranges.items():
            if not fits:
                raise SettingError(f"{name}={value!r}; expected {expected}")
        self.decay, self.commitment, self.revive_after = decay, commitment, revive_after
        self.scaled = scaled
        self.register_buffer("codebook", F.normalize(torch.randn(codes, channels), dim=-1))
        self.register_buffer("ages", torch.zeros(codes, dtype=torch.long))
        self.register_buffer("counts", torch.zeros(codes, dtype=torch.long))
        self.register_buffer("started", torch.tensor(start == "random"))

    @property
    def usage(self) -> float:
        """Share of codes with at least one row in the last training pass."""
        return code_usage(self.counts)

    @property
    def perplexity(self) -> float:
        """Number of equally frequent codes that are as uncertain as those of the last training
        pass."""
        return code_perplexity(self.counts)

    def similarity(self, h: Float[Tensor, "rows channels"]) -> Float[Tensor, "rows codes"]:
        """Returns the cosine similarity of each row to each code; a gradient reaches ``h``."""
        return F.normalize(h, dim=-1) @ self.codebook.t()

    @torch.no_grad()
    def assign(self, h: Float[Tensor, "rows channels"]) -> Int[Tensor, " rows"]:
        """Returns the code of the largest similarity, the first of equals; no ``(rows, codes)`` is
        held beyond a block of rows."""
        # Coarse numbers would make neighbouring codes equal.
        with torch.autocast(h.device.type, enabled=False):
            unit = F.normalize(h.to(self.codebook.dtype), dim=-1)
            blocks = row_blocks(unit, len(self.codebook))
            return torch.cat([(block @ self.codebook.t()).argmax(dim=1) for block in blocks])

    def forward(
        self, h: Float[Tensor, "rows channels"]
    ) -> tuple[Float[Tensor, "rows channels"], Int[Tensor, " rows"], Float[Tensor, ""]]:
        learns = self.training and len(h) > 0
        unit = F.normalize(h.detach().to(self.codebook.dtype), dim=-1)
        # A row that is no number would stay in the codebook for good.
        learns = learns and bool(torch.isfinite(unit).all())
        if learns and not self.started:
            self.codebook.copy_(unit[_drawn(len(unit), len(self.codebook), unit.device)])
            self.started.fill_(True)
        index = self.assign(unit)
        code = self.codebook[index]
        if self.scaled:
            code = code * h.detach().norm(dim=-1, keepdim=True)
        code = code.to(h.dtype)
        if learns:
            self._move(unit, index)
        commitment = self.commitment * (code - h).square().sum() / max(h.numel(), 1)
        return h + (code - h).detach(), index, commitment

    @torch.no_grad()
    def _move(self, unit: Tensor, index: Tensor) -> None:
        """One step of every code that has rows towards their mean; the others grow older."""
        codes = len(self.codebook)
        self.counts.copy_(torch.bincount(index, minlength=codes))
        mean = F.normalize(torch.zeros_like(self.codebook).index_add_(0, index, unit), dim=-1)
        moved = F.normalize(self.codebook.lerp(mean, 1 - self.decay), dim=-1)
        # Rows of length 0, or rows that cancel, have no direction to move to.
        moves = (self.counts > 0) & (moved.abs().sum(dim=1) > 0)
        self.codebook.copy_(torch.where(moves[:, None], moved, self.codebook))
        self.ages.copy_((self.ages + 1).masked_fill(self.counts > 0, 0))
        if self.revive_after is not None:
            dead = (self.ages >= self.revive_after).nonzero().flatten()
            if len(dead):
                self.codebook[dead] = unit[_drawn(len(unit), len(dead), unit.device)]
                self.ages[dead] = 0


def _drawn(rows: int, count: int, device: torch.device) -> Tensor:
    """Numbers of random rows; none twice while there are enough of them."""
    order = torch.randperm(rows)[:count]
    if count > rows:
        order = torch.cat([order, torch.randint(rows, (count - rows,))])
    return order.to(device)
