"""What is chosen from a suite by its words, and what words are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from graphkit.bench import Experiment
from graphkit.bench.suites import select
from graphkit.errors import SettingError, UnknownName
from graphkit.models import GCN, MLP
from graphkit.train import Supervised, TrainConfig

TRAIN = TrainConfig(epochs=1)
SUITE = [
    Experiment("gcn", "cora/public", Supervised(GCN, TRAIN), seeds=range(3)),
    Experiment("mlp", "cora/public", Supervised(MLP, TRAIN), seeds=range(2)),
    Experiment("gcn", "pubmed/public", Supervised(GCN, TRAIN), seeds=(0, 7)),
]


@pytest.mark.parametrize(
    ("only", "places"),
    [
        ("", [0, 1, 2]),
        ("gcn", [0, 2]),
        ("cora/public", [0, 1]),
        ("gcn@pubmed/public", [2]),
        (" mlp , gcn@pubmed/public", [1, 2]),
    ],
)
def test_names_of_experiments_of_problems_or_of_both(only: str, places: list[int]) -> None:
    assert select(SUITE, only) == [SUITE[place] for place in places]


def test_an_experiment_without_the_seed_is_left_out() -> None:
    chosen = select(SUITE, "", (7, 2))
    assert [(e.name, e.problem_name, e.seeds) for e in chosen] == [
        ("gcn", "cora/public", (2,)),
        ("gcn", "pubmed/public", (7,)),
    ]


def test_words_that_choose_nothing_are_refused() -> None:
    with pytest.raises(UnknownName, match="'gnc'; did you mean 'gcn'"):
        select(SUITE, "mlp,gnc")
    with pytest.raises(SettingError, match=r"seeds \[9\].*\[0, 1, 2, 7\]"):
        select(SUITE, "", (9,))


def test_the_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    words = ["bench", "run", "--models", "mlp", "--problems", "sbm/small", "--only", "gcn"]
    done = subprocess.run(
        [sys.executable, "-m", "graphkit", *words, "--results", str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "name it with --suite" in done.stderr
