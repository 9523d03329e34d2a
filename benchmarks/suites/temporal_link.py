"""Streams: what a memory of pairs alone is worth. The stream models come later.

Metric: mean reciprocal rank of the true destination among drawn ones, ties counted half.
"""

from __future__ import annotations

from graphkit.bench import preset

PROBLEMS = ("wikipedia/time", "collegemsg/time", "bitcoin-otc/time", "numpy-commits/time")

SUITE = tuple(preset("edge-bank", problem, seeds=(0,)) for problem in PROBLEMS)
