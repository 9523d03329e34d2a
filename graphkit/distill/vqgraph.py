"""VQGraph: a network that sees no edge learns a teacher's classes and its soft choice of codes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import Linear as LazyLinear

from graphkit.data.problem import Problem
from graphkit.distill.glnn import GLNN
from graphkit.distill.teaching import Student
from graphkit.errors import SettingError
from graphkit.models.base import Around, Model, as_model
from graphkit.nn.codebook import VectorQuantizer, code_perplexity, code_usage, row_blocks
from graphkit.tasks import Task
from graphkit.train import Fitted, predict

__all__ = ["CodeStudent", "VQGraph", "code_loss"]


def code_loss(
    student: Tensor, teacher: Tensor, codebook: Tensor, temperature: float = 0.1
) -> Tensor:
    r"""Returns how far the student's soft choice of codes is from the teacher's.

    .. math:: \frac{\tau^2}{n} \sum_i KL(p_i \| q_i), \quad
        p_i = \mathrm{softmax}(\tilde h_i \tilde E^\top / \tau)

    Args:
        student: Embeddings of the student; :math:`q` is made of them as :math:`p` of the teacher's.
        teacher: Embeddings of the teacher; no gradient reaches them.
        codebook: Codes of length 1; no gradient reaches them.
        temperature: :math:`\tau`, for cosine similarities in [-1, 1]: at 4 the choice is flat.

    Shape:
        ``(rows, channels)``, ``(rows, channels)``, ``(codes, channels)`` -> ``()``.

    Source:
        Yang et al., "VQGraph", ICLR 2024. Differs: from the authors' code, which hands
        probabilities to a loss that expects log-probabilities and compares the student by
        Euclidean distance. Rows are taken in blocks that are computed again for the gradient,
        so that no (rows, codes) matrix is kept.
    """
    rows = len(student)
    total = student.new_zeros(())
    codes = codebook.detach()
    blocks = zip(
        row_blocks(student, len(codes)), row_blocks(teacher.detach(), len(codes)), strict=True
    )
    for mine, theirs in blocks:
        if len(mine) < rows:
            part = checkpoint(
                _divergence,
                mine,
                theirs,
                codes,
                temperature,
                use_reentrant=False,
                preserve_rng_state=False,
            )
        else:
            part = _divergence(mine, theirs, codes, temperature)
        total = total + part
    return temperature**2 * total / max(rows, 1)


class CodeStudent(Student):
    """A student that also matches the teacher's soft choice of codes.

    A linear head maps what goes into the student's last linear map, that is its last hidden row,
    to the width of a code. It is there in training alone: ``net`` predicts without it.

    Args:
        net: The network that is taught, with at least two linear maps; an MLP.
        codebook: Codes of length 1, ``(codes, channels)``; they are not trained.
        code_weight: Weight of the code loss.
        temperature: That of the choice of codes.
        hard_weight: As for ``Student``.

    Reads:
        What ``net`` reads, ``soft``, ``embedding``.

    Raises:
        SettingError: ``net`` has no hidden row in front of its last linear map.

    Source:
        Yang et al., "VQGraph", ICLR 2024. Differs: nothing is dropped in front of the head.
    """

    codebook: Tensor

    def __init__(
        self,
        net: nn.Module,
        codebook: Tensor,
        code_weight: float = 1.0,
        temperature: float = 0.1,
        hard_weight: float = 0.0,
    ) -> None:
        super().__init__(net, hard_weight)
        self.code_weight, self.temperature = code_weight, temperature
        last = self._last_linear()
        width = last.in_features if isinstance(last, nn.Linear) else last.in_channels
        self.head = nn.Linear(width, codebook.shape[1])
        self.register_buffer("codebook", codebook.detach().clone())

    def losses(self, batch: Any, task: Task) -> dict[str, Tensor]:
        """Returns the terms of ``Student`` and the code loss, weighted."""
        logits, hidden = self._with_hidden(batch)
        mine, theirs = self.head(hidden[batch.seeds]), batch.embedding[batch.seeds]
        far = code_loss(mine, theirs, self.codebook, self.temperature)
        return self.taught(logits, batch, task) | {"code": self.code_weight * far}

    def _last_linear(self) -> nn.Linear | LazyLinear:
        linear = [m for m in self.net.modules() if isinstance(m, (nn.Linear, LazyLinear))]
        if len(linear) < 2:
            raise SettingError(
                f"the student {type(self.net).__name__} has {len(linear)} linear maps; expected "
                "two or more: the code head reads what goes into the last one"
            )
        return linear[-1]

    def _with_hidden(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Answers, and what went into the last linear map."""
        seen: list[Tensor] = []
        hook = self._last_linear().register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            logits = self(batch)
        finally:
            hook.remove()
        if len(seen) != 1 or len(seen[0]) != len(logits):
            raise SettingError(
                f"the student {type(self.net).__name__} does not call its last linear map once "
                "with a row per node; the code head has nothing to read"
            )
        return logits, seen[0]


@dataclass(frozen=True)
class VQGraph(GLNN):
    """Fits a tokenizer, then a student on its class probabilities and its soft choice of codes.

    The tokenizer leaves two fields of a row per visible node in the data: ``soft``, its
    log-probabilities, and ``embedding``, what it compares with the codes. The choice of codes is
    computed from the embedding for each batch: exact for any number of codes, where the largest
    few similarities would lose the rest, and no more than (nodes, code channels) is stored. The
    codebook is that of the kept epoch and stays as it is.

    Args:
        teacher: Fits the tokenizer, a ``TokenizedGNN`` as a rule; ``Given(net)`` for one that is
            trained.
        student: Makes the network that is taught, an MLP of two or more layers.
        hard_weight: Weight of the known classes, in [0, 1].
        train: How the student is trained.
        on_epoch: Told each epoch's row, for progress; not a setting.
        code_weight: Weight of the code loss.
        temperature: Temperature of the soft choice of codes, for cosine similarities.

    Raises:
        SettingError: A number is out of its range, the teacher chooses no codes, the student has
            no hidden layer, or the problem does not ask for one class per node.
        DataError: The teacher knows other classes.

    Source:
        Yang et al., "VQGraph: Rethinking Graph Representation Space for Bridging GNNs and MLPs",
        ICLR 2024, arXiv 2308.02117, as the text has it.

    Differs:
        From the authors' code: rows of teacher and student are those of the same node, the
        divergence is one between probabilities, both sides compare by cosine at a temperature
        at which the choice is not flat (they take 4 and weigh the loss with 1e-8), the epoch is
        chosen on validation and not on test, hidden nodes are unknown to the tokenizer, and one
        step a batch serves all terms.
    """

    code_weight: float = 1.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.code_weight < math.inf:
            raise SettingError(f"code_weight={self.code_weight}; expected 0 or above, finite")
        if not 0 < self.temperature < math.inf:
            raise SettingError(f"temperature={self.temperature}; expected above 0, finite")

    def __call__(self, problem: Problem) -> Fitted:
        """Returns the fitted student without its head."""
        fitted = super().__call__(problem)
        return dataclasses.replace(
            fitted, model=_without_head(fitted.model), last=_without_head(fitted.last)
        )

    def lesson(self, teacher: nn.Module, problem: Problem) -> Problem:
        """Returns the problem with class probabilities and what is compared with the codes."""
        _, embedding = _tokens(teacher, problem)
        return super().lesson(teacher, problem).with_field("embedding", embedding)

    def pupil(self, net: nn.Module, teacher: nn.Module) -> Student:
        """Returns the network that is taught, with a head for the choice of codes."""
        codes = _quantizer(teacher).codebook
        return CodeStudent(net, codes, self.code_weight, self.temperature, self.hard_weight)

    def notes(self, teacher: nn.Module, taught: Problem) -> dict[str, Any]:
        """Returns ``codes``: share in use, perplexity, and the entropy of the soft choice in nats
        beside that of a flat one."""
        return {"codes": _choice(_quantizer(teacher), taught.data.embedding, self.temperature)}


class _Embeddings(Around):
    """The tokenizer with its embeddings for answers."""

    def forward(self, batch: Any) -> Tensor:
        """Returns what is compared with the codes."""
        out: Tensor = self.net.embed(batch)  # type: ignore[operator]
        return out


def _quantizer(teacher: nn.Module) -> VectorQuantizer:
    quantizer = getattr(teacher, "quantizer", None)
    if not isinstance(quantizer, VectorQuantizer) or not hasattr(teacher, "embed"):
        raise SettingError(
            f"the teacher {type(teacher).__name__} chooses no codes; expected a TokenizedGNN, or "
            "a model with a VectorQuantizer named 'quantizer' and a method embed(batch)"
        )
    return quantizer


def _tokens(teacher: nn.Module, problem: Problem) -> tuple[VectorQuantizer, Tensor]:
    """The teacher's quantiser, and its embedding of every visible node, in their order."""
    return _quantizer(teacher), predict(_Embeddings(as_model(teacher)).eval(), problem)


def _without_head(student: Model) -> Model:
    assert isinstance(student, CodeStudent)
    return student.net


def _divergence(student: Tensor, teacher: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """Sum over rows of the divergence of the student's choice from the teacher's."""
    mine, theirs = (
        (F.normalize(rows, dim=-1) @ codes.t() / temperature).log_softmax(-1)
        for rows in (student, teacher)
    )
    return F.kl_div(mine, theirs, reduction="sum", log_target=True)


@torch.no_grad()
def _choice(quantizer: VectorQuantizer, embedding: Tensor, temperature: float) -> dict[str, float]:
    """How the nodes spread over the codes, and how sharp the soft choice of a node is."""
    codes = len(quantizer.codebook)
    embedding = embedding.to(quantizer.codebook.device)
    counts = torch.bincount(quantizer.assign(embedding), minlength=codes)
    entropy = embedding.new_zeros(())
    for rows in row_blocks(embedding, codes):
        entropy += torch.special.entr((quantizer.similarity(rows) / temperature).softmax(-1)).sum()
    return {
        "usage": code_usage(counts),
        "perplexity": code_perplexity(counts),
        "entropy": float(entropy) / max(len(embedding), 1),
        "flat_entropy": math.log(codes),
    }
