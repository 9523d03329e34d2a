"""``graphkit distill`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphkit
from graphkit.distill.export import load_exported
from graphkit.models.saved import load_model
from graphkit.train import predict
from tests.cli.shell import Shell

SHORT = ["--epochs", 3, "--teacher-epochs", 3, "--threads", 1, "--repeats", 2]
SMALL = ["--problem", "sbm/small", *SHORT]


def test_a_student_is_taught_exported_and_used(shell: Shell) -> None:
    words = ["--teacher", "gcn", *SMALL, "--hidden", 16]
    status, out, _ = shell("distill", "run", *words)
    assert status == 0
    for word in ("gcn (teacher)", "mlp (untaught)", "glnn (student)", "512 nodes", "faster"):
        assert word in out
    folder = Path("students/glnn-sbm-small-seed0")
    card: dict[str, Any] = json.loads((folder / "card.json").read_text())
    assert [row["role"] for row in card["rows"]] == ["teacher", "untaught", "student"]
    saved = load_model(folder / "student.safetensors")
    assert saved.settings["hidden_channels"] == 16
    problem = graphkit.load_problem("sbm/small")
    expected = predict(saved.model, problem)
    accuracy = (expected.argmax(-1) == problem.data.y)[problem.split.test].float().mean()
    assert card["rows"][2]["scores"]["test"] == pytest.approx(float(accuracy), abs=1e-6)
    np.save("x.npy", problem.data.x.numpy())
    status, out, _ = shell("distill", "predict", folder, "x.npy", "y.npy", "--rows", 300)
    assert status == 0
    assert "1000 rows" in out
    np.testing.assert_allclose(np.load("y.npy"), expected.numpy(), rtol=1e-4, atol=1e-5)
    assert load_exported(folder / "student.pt2").about["classes"] == 5


def test_the_same_command_repeats_no_run(shell: Shell) -> None:
    words = ["distill", "run", "--teacher", "gcn", *SMALL, "--json"]
    status, first, _ = shell(*words)
    assert status == 0
    records = {path: path.read_bytes() for path in Path("results/distill").glob("*.json")}
    assert len(records) == 3
    next(Path("results/distill").glob("mlp@*.safetensors")).unlink()  # this model must come back
    status, again, _ = shell(*words)
    assert status == 0
    kept = {path: path.read_bytes() for path in Path("results/distill").glob("*.json")}
    assert sum(kept[path] == content for path, content in records.items()) == 2
    scores = [
        [row["scores"] for row in json.loads(out.splitlines()[-1])["rows"]]
        for out in (first, again)
    ]
    assert scores[0] == scores[1]


def test_a_stored_run_teaches(shell: Shell) -> None:
    shell("bench", "run", "--models", "gcn", "--problems", "sbm/small", "--seeds", "1,2",
          "--epochs", 3, "--keep-models", "--quiet")  # fmt: skip
    [run] = Path("results/mine").glob("gcn@*seed1*.json")
    status, out, err = shell("distill", "run", "--teacher", "gcn@sbm-small@seed1", *SHORT)
    assert status == 0, err
    assert "seed 1" in out
    card = json.loads(Path("students/glnn-sbm-small-seed1/card.json").read_text())
    score = json.loads(run.read_text())["test"]["accuracy"]
    assert card["rows"][0]["scores"]["test"] == score
    assert len(list(Path("results/distill").glob("*.json"))) == 2  # the teacher is not run again
    status, _, err = shell("distill", "run", "--teacher", run, "--seed", 0, *SHORT)
    assert status == 3
    assert "test answers could leak" in err
    status, _, err = shell("distill", "run", "--teacher", "gcn@sbm-small", *SHORT)
    assert status == 2
    assert "beginning of 2 runs" in err
    run.with_suffix(".safetensors").unlink()
    status, _, err = shell("distill", "run", "--teacher", run, *SHORT)
    assert status == 3
    assert "--keep-models" in err


def test_production_hides_nodes_until_the_end(shell: Shell) -> None:
    words = ["--teacher", "graphsage", *SMALL, "--setting", "production", "--json"]
    status, out, _ = shell("distill", "run", *words)
    assert status == 0
    card = json.loads(out.splitlines()[-1])
    assert card["problem"] == "sbm/small-hidden"
    for row in card["rows"]:
        parts = row["scores"]
        mean = 0.8 * parts["test"] + 0.2 * parts["hidden"]
        assert parts["production"] == pytest.approx(mean)


@pytest.mark.parametrize("way", ["neighbourhood", "nearest"])
def test_a_graph_is_made_a_hypergraph(shell: Shell, way: str) -> None:
    words = ["--method", "light-hgnn-plus", "--teacher", "hgnn", *SMALL, "--hyperedges", way]
    status, out, err = shell("distill", "run", *words)
    assert status == 0, err
    assert f"sbm/small-{way}" in out
    status, _, err = shell("distill", "run", "--teacher", "gcn", *SMALL, "--hyperedges", way)
    assert status == 2
    assert "unknown model 'gcn'" in err


def test_a_hypergraph_of_ones_own(shell: Shell) -> None:
    draw = np.random.default_rng(0)
    y = np.arange(600) % 2
    pairs = np.stack([draw.integers(600, size=900), np.arange(900) // 3])
    np.savez("mine.npz", hyperedge_index=pairs, y=y, x=draw.random((600, 4)) + y[:, None])
    words = ["--teacher", "hgnn-plus", "--problem", "mine.npz", *SHORT]
    for method in ("light-hgnn", "light-hgnn-plus"):
        status, out, err = shell(
            "distill", "run", "--method", method, *words, "--setting", "production"
        )
        assert status == 0, err
        assert "mine/production" in out
        assert "hidden" in out
    status, _, err = shell("distill", "run", "--teacher", "hgnn", "--problem", "none.npz", *SHORT)
    assert status == 3
    assert "no file none.npz" in err


def test_vqgraph_from_the_command_line(shell: Shell) -> None:
    status, _, err = shell("distill", "run", "--method", "vqgraph", "--teacher", "gcn", *SMALL)
    assert status == 2
    assert "tokenized-gnn" in err
    words = ["--method", "vqgraph", "--teacher", "tokenized-gnn", *SMALL]
    assert shell("distill", "run", *words)[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--teacher", "graphsag", *SMALL], 2, "did you mean 'graphsage'"),
        (["--teacher", "gcn", "--problem", "sbm/smal"], 2, "did you mean"),
        (["--teacher", "gcn"], 2, "--problem"),
        ([], 2, "--teacher"),
        (["--teacher", "gcn@none"], 3, "--keep-models"),
        (["--teacher", "none.json", *SMALL], 3, "no record at none.json"),
        (["--teacher", "gcn", *SMALL, "--hard-weight", 2], 2, "hard_weight=2"),
        (["--teacher", "gcn", "--problem", "cora-cpf/production", "--setting", "transductive"], 2,
         "hides nodes"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(
    shell: Shell, words: list[object], status: int, says: str
) -> None:
    found, _, err = shell("distill", "run", *words)
    assert says in err
    assert found == status


def test_predicting_with_what_is_not_there(shell: Shell) -> None:
    status, _, err = shell("distill", "predict", "none", "x.npy", "y.npy")
    assert status == 3
    assert "no exported program" in err
