"""Losses between distributions: tensors in, one number out."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Divergence", "consistency", "hyperedge_soft_label", "smoothed_soft_label", "soft_label"]

# Of the student's scores and the teacher's log-probabilities, a row each: how far apart they are.
Divergence = Callable[[Tensor, Tensor], Tensor]


def soft_label(
    student_logits: Float[Tensor, "rows classes"],
    teacher_log_probs: Float[Tensor, "rows classes"],
) -> Float[Tensor, ""]:
    r"""Returns how far the student's class probabilities are from the teacher's, in nats a row.

    .. math:: \frac1n \sum_v KL(t_v \| s_v)
        = \frac1n \sum_v \sum_c e^{t_{vc}} (t_{vc} - s_{vc})

    Args:
        student_logits: Scores of the student.
        teacher_log_probs: Log-probabilities of the teacher; no gradient reaches them. A class of
            probability 0 (minus infinity) counts nothing.

    Source:
        Zhang et al., "Graph-less Neural Networks", ICLR 2022, teacher term. Both sides are
        log-probabilities, the mean is over rows and not over classes.
    """
    mine, teachers = student_logits.log_softmax(-1), teacher_log_probs.detach()
    if len(mine) == 0:
        return mine.sum()
    finite = teachers.clamp(min=torch.finfo(teachers.dtype).min)  # 0 log 0 is 0, not NaN
    return F.kl_div(mine, finite, reduction="batchmean", log_target=True)


def smoothed_soft_label(
    student_logits: Float[Tensor, "rows classes"],
    teacher_log_probs: Float[Tensor, "rows classes"],
) -> Float[Tensor, ""]:
    r"""Returns the distance to a strongly smoothed form of the teacher's probabilities.

    .. math:: \frac1n \sum_v \sum_c e^{p_{vc}} (p_{vc} - \log q_{vc})

    A divergence for log-probabilities that is handed probabilities :math:`p`: the student is drawn
    to :math:`softmax(p)`, whose top class has at most :math:`e / (e + C - 1)`, with a gradient
    :math:`\sum_c e^{p_c}` times larger. It is not 0 where both agree.

    Args:
        student_logits: Scores of the student.
        teacher_log_probs: Log-probabilities of the teacher; no gradient reaches them.

    Source:
        The code of Feng et al., "LightHGNN", ICLR 2024; their text has ``soft_label``.
    """
    mine, teachers = student_logits.log_softmax(-1), teacher_log_probs.detach().exp()
    if len(mine) == 0:
        return mine.sum()
    return (teachers.exp() * (teachers - mine)).sum(-1).mean()


def hyperedge_soft_label(
    student_logits: Float[Tensor, "nodes classes"],
    teacher_log_probs: Float[Tensor, "nodes classes"],
    hyperedge_index: Int[Tensor, "2 memberships"],
    mask: Bool[Tensor, " hyperedges"] | None = None,
    temperature: float = 1.0,
    divergence: Divergence = soft_label,
) -> Float[Tensor, ""]:
    r"""Returns how far the student's mean over each hyperedge is from the teacher's.

    .. math:: \frac1{|m|} \sum_{e \in m} KL(\alpha(t_e) \| \alpha(s_e)), \quad
        s_e = \frac1{|e|} \sum_{v \in e} s_v, \quad \alpha(y)_c \propto y_c^{1/T}

    Means are taken over probabilities, in logarithms: none underflows.

    Args:
        student_logits: Scores of the student.
        teacher_log_probs: Log-probabilities of the teacher; no gradient reaches them.
        hyperedge_index: Row 0 the vertex, row 1 the hyperedge.
        mask: Hyperedges that count; all by default. With none, the loss is 0. Empty hyperedges
            have no mean and never count.
        temperature: :math:`T`; above 1 smooths both sides.
        divergence: How two rows are compared: ``soft_label`` or ``smoothed_soft_label``.

    Source:
        Feng et al., "LightHGNN: Distilling Hypergraph Neural Networks into MLPs for 100x Faster
        Inference", ICLR 2024, high-order term. Differs: the text puts :math:`y / T` into a
        softmax, the code only divides probabilities by T; here T acts on logarithms, so that
        1 changes nothing.
    """
    node, hyperedge = hyperedge_index
    count = len(mask) if mask is not None else int(hyperedge.max()) + 1 if len(hyperedge) else 0
    chosen = torch.bincount(hyperedge, minlength=count) > 0
    if mask is not None:
        chosen = chosen & mask
    mine, teachers = (
        _log_means(rows, node, hyperedge, count)[chosen] / temperature
        for rows in (student_logits.log_softmax(-1), teacher_log_probs.detach())
    )
    return divergence(mine, teachers.log_softmax(-1))


def _log_means(log_probs: Tensor, node: Tensor, hyperedge: Tensor, count: int) -> Tensor:
    """Logarithm of the mean probability over each hyperedge; that of an empty one is no number."""
    rows = log_probs[node]  # (memberships, classes)
    shape = (count, rows.shape[1])
    place = hyperedge[:, None].expand_as(rows)
    top = rows.new_full(shape, float("-inf")).scatter_reduce(0, place, rows.detach(), "amax")
    top = top.masked_fill(top == float("-inf"), 0.0)
    total = rows.new_zeros(shape).index_add(0, hyperedge, (rows - top[hyperedge]).exp())
    size = torch.bincount(hyperedge, minlength=count).to(rows)
    return total.log() + top - size.log()[:, None]


def consistency(
    probabilities: Float[Tensor, "draws rows classes"], temperature: float = 0.5
) -> Float[Tensor, ""]:
    r"""Returns the mean squared distance of several predictions to their sharpened mean.

    .. math:: \frac1{Sn} \sum_{s,i} \| p^s_i - t_i \|_2^2, \quad
        t_{ic} \propto \bar p_{ic}^{1/T}

    Args:
        probabilities: Class probabilities of each draw.
        temperature: :math:`T`; below 1 sharpens. No gradient flows through the target.

    Source:
        Liu et al., "Local Augmentation for Graph Neural Networks", ICML 2022, after Feng et al.,
        "Graph Random Neural Networks", NeurIPS 2020.
    """
    with torch.no_grad():
        mean = probabilities.mean(dim=0)
        target = (mean.clamp(min=torch.finfo(mean.dtype).tiny).log() / temperature).softmax(-1)
        if temperature == 1:
            target = mean
    return (probabilities - target).square().sum(-1).mean()
