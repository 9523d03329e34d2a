"""What papers claim of one method over another, held against the records by a paired test.

For every claim: the mean difference over the seeds both have, Wilcoxon's signed-rank test,
corrected by Holm over all claims of a suite, and a verdict, whichever way it falls. A claim with
fewer than six shared seeds cannot be shown by any outcome and says so.

Run: ``python benchmarks/claims.py``; it writes ``benchmarks/results/claims.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from graphkit.bench.statistics import PairedTest, holm, paired_test
from graphkit.files import write_whole

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Claim:
    """One method is above another.

    Args:
        suite: Where the records lie.
        problem: On which problem.
        above: Experiment that is claimed to be better.
        below: The other.
        says: Who says so, or which question of ours it answers.
        column: Part whose score counts.
    """

    suite: str
    problem: str
    above: str
    below: str
    says: str
    column: str = "test"


def _distillation() -> Iterator[Claim]:
    glnn, vq = "GLNN, ICLR 2022", "VQGraph, ICLR 2024"
    for problem in ("cora-cpf/random", "cora-cpf/production"):
        column = "production" if problem.endswith("production") else "test"

        def claim(above: str, below: str, says: str, p: str = problem, c: str = column) -> Claim:
            return Claim("graph_distillation", p, above, below, says, c)

        yield claim("glnn-sage", "mlp", glnn)
        yield claim("glnn-sage", "mean-sage", f"{glnn} (on par)")
        yield claim("vqgraph", "glnn-sage", vq)
        yield claim("vqgraph", "glnn-gcn", vq)
        yield claim("vqgraph", "tokenized-gnn", f"{vq} (above its teacher)")
        yield claim("vqgraph", "vqgraph-class-only", "is the code loss worth anything?")
    light = "LightHGNN, ICLR 2024"
    for problem in ("cora-coauthorship/random", "cora-cocitation/random"):
        for above, below, says in (
            ("light-hgnn", "light-mlp", light),
            ("light-hgnn", "hgnn", f"{light} (on par)"),
            ("light-hgnn+", "light-hgnn", light),
            ("light-hgnn+", "light-hgnn+-no-sampling", "is drawing hyperedges worth anything?"),
        ):
            yield Claim("hypergraph_distillation", problem, above, below, says)


def _augmentation() -> Iterator[Claim]:
    lagnn = "LA-GNN, ICML 2022"
    for above, below, says in (
        ("lagcn", "gcn-8", lagnn),
        ("lagcn", "gcn-16", lagnn),
        ("lagcn", "consistent-views-8", "is generation worth anything beside consistency?"),
        ("lagcn", "lagcn-no-consistency", "is consistency worth anything beside generation?"),
        ("lagcn", "lagcn-rows-of-others", "does it matter whose rows are drawn?"),
        ("lagcn", "consistent-views-16", "the same, at equal width"),
    ):
        yield Claim("local_augmentation", "cora/public", above, below, says)


def _augmented_networks() -> Iterator[Claim]:
    """The networks of the paper alone and augmented, on both sets of the data root."""
    lagnn = "LA-GNN, ICML 2022"
    known = (("pubmed/public", ("gcn", "gat")), ("cora/public", ("gat", "gcnii", "grand")))
    for problem, names in known:
        for name in names:
            above, below = f"{name}-augmented", f"{name}-plain"
            yield Claim("local_augmentation", problem, above, below, lagnn)


def _heterophily() -> Iterator[Claim]:
    """Graph Mamba against networks of equal budget in the same loop, which it is said to beat."""
    gmn = "Graph Mamba, KDD 2024"
    for below in ("gcn", "graphsage", "gat", "graph-transformer", "graph-mamba-hybrid"):
        yield Claim("heterophily", "minesweeper/fixed", "graph-mamba-walks-pe", below, gmn)


CLAIMS = (*_distillation(), *_augmentation(), *_augmented_networks(), *_heterophily())


def scores(results: Path, claim: Claim, experiment: str) -> dict[int, float]:
    """Score by seed of an experiment, of its records as they stand."""
    found: dict[int, float] = {}
    start = f"{experiment}@{claim.problem.replace('/', '-')}@seed"
    for path in sorted((results / claim.suite).glob("*.json")):
        if path.name.startswith(start):
            record = json.loads(path.read_text())
            if record["status"] == "done":
                found[record["seed"]] = record[claim.column][record["metric"]]
    return found


def judged(results: Path) -> list[tuple[Claim, PairedTest]]:
    """Every claim with its test, corrected over its suite.

    Where no outcome could pass the correction, ``smallest_p`` says so: it is corrected too.
    """
    tests = [
        (claim, paired_test(*(scores(results, claim, n) for n in (claim.above, claim.below))))
        for claim in CLAIMS
    ]
    for suite in dict.fromkeys(claim.suite for claim in CLAIMS):
        family = [
            number
            for number, (claim, test) in enumerate(tests)
            if claim.suite == suite and test.p is not None and not test.too_few
        ]
        ps = [tests[number][1].p or 0.0 for number in family]
        for number, p in zip(family, holm(ps), strict=True):
            claim, test = tests[number]
            smallest = min((test.smallest_p or 0.0) * len(family), 1.0)
            tests[number] = (claim, replace(test, p_holm=p, smallest_p=smallest))
    return tests


def verdict(test: PairedTest) -> str:
    """One phrase for a person."""
    if test.difference is None:
        return "not run"
    if test.too_few:
        return "too few seeds to tell"
    if not test.significant:
        return "no difference shown"
    return "holds" if test.difference.mean > 0 else "the other way round"


def rows(results: Path) -> Iterator[tuple[str, ...]]:
    """The table, as text."""
    for claim, test in judged(results):
        gap = test.difference
        shown = "" if gap is None else f"{100 * gap.mean:+.2f}"
        spread = None if gap is None else gap.standard_error
        error = "" if spread is None else f"{100 * spread:.2f}"
        p = "" if test.p_holm is None else f"{test.p_holm:.3f}"
        yield (
            claim.problem, f"{claim.above} above {claim.below}", claim.says, str(test.n),
            shown, error, p, verdict(test),
        )  # fmt: skip


HEAD = ("problem", "claim", "who says so", "seeds", "points", "± error", "p (Holm)", "verdict")


def main(results: Path = RESULTS) -> None:
    """Prints the verdicts and writes them beside the boards.

    Args:
        results: Folder of the records.
    """
    found = list(rows(results))
    table = Table(*HEAD)
    for row in found:
        table.add_row(*row)
    Console(width=150).print(table)
    lines = ["# What papers claim, held against the records", ""]
    lines += ["Made by `python benchmarks/claims.py`; points are percentage points.", ""]
    lines += [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    lines += [f"| {' | '.join(row)} |" for row in found]
    print(write_whole(results / "claims.md", ("\n".join(lines) + "\n").encode()))


if __name__ == "__main__":
    tyro.cli(main)
