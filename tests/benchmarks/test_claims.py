"""Every claim speaks of experiments there are; a verdict is what the numbers say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.claims import CLAIMS, RESULTS, Claim, judged, rows, scores, verdict
from graphkit.bench.statistics import paired_test
from graphkit.bench.suites import load_suite

SUITES = Path(__file__).resolve().parents[2] / "benchmarks" / "suites"


@pytest.mark.parametrize("suite", sorted({claim.suite for claim in CLAIMS}))
def test_claims_name_experiments_of_their_suite(suite: str) -> None:
    _, experiments = load_suite(str(SUITES / f"{suite}.py"))
    known = {(e.problem_name, e.name): set(e.seeds) for e in experiments}
    for claim in CLAIMS:
        if claim.suite == suite:
            for name in (claim.above, claim.below):
                assert (claim.problem, name) in known, name


@pytest.mark.parametrize(
    ("gaps", "says"),
    [
        ([0.02, 0.03, 0.01, 0.04, 0.05, 0.06], "holds"),
        ([-0.02, -0.03, -0.01, -0.04, -0.05, -0.06], "the other way round"),
        ([0.02, -0.03, 0.01, -0.04, 0.05, -0.06], "no difference shown"),
        ([0.02, 0.03, 0.01], "too few seeds to tell"),
        ([], "not run"),
    ],
)
def test_verdicts(gaps: list[float], says: str) -> None:
    left = {seed: 0.5 + gap for seed, gap in enumerate(gaps)}
    test = paired_test(left, dict.fromkeys(left, 0.5))
    from dataclasses import replace

    assert verdict(replace(test, p_holm=test.p)) == says


def test_records_of_another_experiment_do_not_count(tmp_path: Path) -> None:
    claim = Claim("s", "a/b", "x", "y", "nobody")
    folder = tmp_path / "s"
    folder.mkdir()

    def put(name: str, seed: int, score: float, status: str = "done") -> None:
        record: dict[str, Any] = {
            "seed": seed,
            "status": status,
            "metric": "m",
            "test": {"m": score},
        }
        (folder / f"{name}@a-b@seed{seed}@00.json").write_text(json.dumps(record))

    put("x", 0, 0.5)
    put("x", 1, 0.75, status="failed")
    put("x-more", 2, 0.25)
    assert scores(tmp_path, claim, "x") == {0: 0.5}


def test_the_stored_verdicts_are_those_of_the_stored_records() -> None:
    text = (RESULTS / "claims.md").read_text()
    for row in rows(RESULTS):
        assert f"| {' | '.join(row)} |" in text, row[1]
    assert all(test.n >= 6 or test.too_few for _, test in judged(RESULTS))
