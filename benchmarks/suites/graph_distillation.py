"""Graph networks that teach networks without a graph, beside the figures of GLNN and VQGraph.

``random`` is the papers' transductive setting, ``production`` their inductive one: column ``test``
is theirs "tran", ``hidden`` "ind", ``production`` "prod". SAGE is trained on drawn neighbours, five
a hop, as the authors do.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.bench import Experiment, Reported, preset
from graphkit.bench.distilled import student, student_train
from graphkit.distill import GLNN, VQGraph
from graphkit.models import TokenizedGNN
from graphkit.nn import SparseGCNConv
from graphkit.nn.codebook import VectorQuantizer
from graphkit.tasks import Dims
from graphkit.train import Supervised


class AsDescribed(TokenizedGNN):
    """The tokenizer of VQGraph's authors, code width apart: codes start anywhere and are never
    revived, quantised rows have length 1, two maps behind the last hop, products rescaled by the
    extremes of all pairs."""

    def __init__(
        self,
        dims: Dims,
        *,
        hidden_channels: int = 64,
        code_channels: int = 128,
        codes: int = 2048,
        dropout: float = 0.8,
    ) -> None:
        super().__init__(
            dims,
            hidden_channels=code_channels,
            code_channels=code_channels,
            codes=codes,
            dropout=dropout,
            revive_after=None,
        )
        self.quantizer = VectorQuantizer(
            code_channels, codes, revive_after=None, scaled=False, start="random"
        )
        self.classify = SparseGCNConv(code_channels, hidden_channels)
        self.answer = nn.Linear(hidden_channels, dims.out_channels)

    def scores(self, u: Tensor, batch: Any) -> Tensor:
        """Answers through a hidden layer."""
        return self.answer(self.classify(u, batch.adj).relu())

    def bounds(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Smallest and largest product of two rows, in time O(N^2 D)."""
        high = super().bounds(u)[1]  # no product is above the largest of a row with itself
        with torch.no_grad():
            mates = torch.cat([(block @ u.t()).argmin(dim=1) for block in u.split(512)])
        least = (u * u[mates]).sum(dim=1).amin()
        return least, torch.maximum(torch.as_tensor(high), least + 1e-12)


class _NoCodes(nn.Module):
    """Stands where a quantiser would, and leaves every row as it is."""

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return h, torch.arange(len(h), device=h.device), h.new_zeros(())


class RepairedWithoutCodes(TokenizedGNN):
    """``TokenizedGNN`` without its bottleneck."""

    def __init__(self, dims: Dims, *, dropout: float = 0.5) -> None:
        super().__init__(dims, dropout=dropout, codes=1)
        self.quantizer = _NoCodes()  # type: ignore[assignment]


class DescribedWithoutCodes(AsDescribed):
    """``AsDescribed`` without its bottleneck."""

    def __init__(self, dims: Dims, *, dropout: float = 0.8) -> None:
        super().__init__(dims, dropout=dropout, codes=1)
        self.quantizer = _NoCodes()  # type: ignore[assignment]


# Official settings of GLNN for Cora.
_CORA = "cora-cpf/random"
_SAGE, _GCN, _TOKENIZER = (
    preset(name, _CORA).recipe for name in ("mean-sage", "gcn", "tokenized-gnn")
)
_MLP, _STUDENT = student("glnn", _CORA), student_train("glnn", _CORA)
_TEACHER = _TOKENIZER.train

_AS_DESCRIBED = Supervised(AsDescribed, replace(_TEACHER, epochs=100))
_AS_DESCRIBED_512 = replace(_AS_DESCRIBED, model=partial(AsDescribed, codes=512))

_METHODS = {
    "mean-sage": _SAGE,
    "gcn": _GCN,
    "mlp": Supervised(_MLP, _STUDENT),
    "glnn-sage": GLNN(_SAGE, _MLP, train=_STUDENT),
    "glnn-gcn": GLNN(_GCN, _MLP, train=_STUDENT),
    "tokenized-gnn": _TOKENIZER,
    "vqgraph": VQGraph(_TOKENIZER, _MLP, train=_STUDENT),
    "vqgraph-class-only": GLNN(_TOKENIZER, _MLP, train=_STUDENT),
}

_TRAN = "Yang et al., VQGraph, ICLR 2024, transductive table, SAGE teacher"
_PROD = "Zhang et al., GLNN, ICLR 2022, production table, SAGE teacher"
_OWN = "; the GLNN paper's own figure, unconfirmed"
_REPORTED = {
    ("mean-sage", "random"): Reported(0.8064, f"{_TRAN}{_OWN}: 80.52 ± 1.77", 0.0157, 10),
    ("mlp", "random"): Reported(0.5918, f"{_TRAN}{_OWN}: 59.22 ± 1.31", 0.0160, 10),
    ("glnn-sage", "random"): Reported(0.8026, f"{_TRAN}{_OWN}: 80.54 ± 1.35", 0.0166, 10),
    ("vqgraph", "random"): Reported(
        0.8393,
        f"{_TRAN}; not a target: the released code chooses the epoch on test accuracy, and its "
        "code loss pairs rows of different nodes",
        0.0087,
        10,
    ),
    ("mean-sage", "production"): Reported(
        0.7929, f"{_PROD}; ind 81.33 ± 2.19, tran 78.78 ± 1.92", None, 10, "production"
    ),
    ("mlp", "production"): Reported(
        0.5898, f"{_PROD}; ind 59.09 ± 2.96, tran 58.95 ± 1.66", None, 10, "production"
    ),
    ("glnn-sage", "production"): Reported(
        0.7828, f"{_PROD}; ind 73.82 ± 1.93, tran 79.39 ± 1.64", None, 10, "production"
    ),
    ("vqgraph", "production"): Reported(
        0.8168,
        "Yang et al., VQGraph, ICLR 2024, production table, unconfirmed and doubtful: ind 82.20 "
        "and tran 81.15 do not average to it; the released code's codes saw the hidden nodes",
        None,
        10,
        "production",
    ),
}

# What the bottleneck and the code loss are worth (vqgraph, acceptance table). The name says the
# teacher; -class-only and -code the student taught by it.
_ABLATIONS = {
    "described-net": Supervised(DescribedWithoutCodes, _TEACHER),
    "described-net-class-only": GLNN(
        Supervised(DescribedWithoutCodes, _TEACHER), _MLP, train=_STUDENT
    ),
    "described-2048": _AS_DESCRIBED,
    "described-2048-class-only": GLNN(_AS_DESCRIBED, _MLP, train=_STUDENT),
    "described-2048-code": VQGraph(_AS_DESCRIBED, _MLP, train=_STUDENT),
    "described-2048-code-1e-8": VQGraph(_AS_DESCRIBED, _MLP, code_weight=1e-8, train=_STUDENT),
    "described-2048-code-flat": VQGraph(_AS_DESCRIBED, _MLP, temperature=4.0, train=_STUDENT),
    "described-512": _AS_DESCRIBED_512,
    "described-512-class-only": GLNN(_AS_DESCRIBED_512, _MLP, train=_STUDENT),
    "described-512-code": VQGraph(_AS_DESCRIBED_512, _MLP, train=_STUDENT),
    "repaired-net": Supervised(RepairedWithoutCodes, _TEACHER),
    "repaired-net-class-only": GLNN(
        Supervised(RepairedWithoutCodes, _TEACHER), _MLP, train=_STUDENT
    ),
    "tokenized-gnn-no-revival": Supervised(
        partial(TokenizedGNN, codes=512, revive_after=None), _TEACHER
    ),
    "vqgraph-2048": VQGraph(Supervised(TokenizedGNN, _TEACHER), _MLP, train=_STUDENT),
}

# The authors' teacher sees five drawn neighbours a hop in training; this one sees all.
_SAGE_WHOLE = replace(_SAGE, train=replace(_SAGE.train, batching=None))

SUITE = (
    *(
        Experiment("mean-sage-whole-graph", f"cora-cpf/{setting}", _SAGE_WHOLE, range(10))
        for setting in ("random", "production")
    ),
    *(
        Experiment(name, f"cora-cpf/{setting}", recipe, range(10), _REPORTED.get((name, setting)))
        for setting in ("random", "production")
        for name, recipe in _METHODS.items()
    ),
    *(Experiment(name, "cora-cpf/random", recipe, range(3)) for name, recipe in _ABLATIONS.items()),
)
