"""The command line as a user types it: what it prints, and the status it ends with."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graphkit.data.catalogue import PROBLEMS
from graphkit.data.fetch import shipped_folder
from tests.cli.shell import Shell
from tests.processes import ended, started, until

SMALL = ["--models", "gcn,mlp", "--problems", "sbm/small", "--seeds", "2", "--epochs", "3"]


@pytest.mark.parametrize(
    ("words", "shows"),
    [
        ("", "leaderboard"),
        ("datasets", "verify"),
        ("datasets list", "--like"),
        ("datasets info", "--json"),
        ("datasets fetch", "--data-root"),
        ("datasets verify", "--data-root"),
        ("models", "info"),
        ("models list", "--json"),
        ("models info", "--json"),
        ("bench", "resume"),
        ("bench run", "--budget"),
        ("bench resume", "--retry"),
        ("bench show", "--results"),
        ("leaderboard", "--format"),
        ("report", "--out"),
    ],
)
def test_help(shell: Shell, words: str, shows: str) -> None:
    status, out, _ = shell(*words.split(), "--help")
    assert status == 0
    assert shows in out


def test_version_and_completion(shell: Shell) -> None:
    status, out, _ = shell("--version")
    assert status == 0
    assert out.startswith("graphkit ")
    status, out, _ = shell("--tyro-print-completion", "bash")
    assert status == 0
    assert "complete" in out


def test_datasets(shell: Shell) -> None:
    status, out, _ = shell("datasets", "list", "--json")
    assert status == 0
    assert set(json.loads(out)) == set(PROBLEMS)
    _, out, _ = shell("datasets", "list", "--like", "cora", "--json")
    found = json.loads(out)
    assert found
    assert all("cora" in name for name in found)
    status, out, _ = shell("datasets", "info", "sbm/small")
    assert status == 0
    assert "1000" in out
    status, out, _ = shell("datasets", "verify", "debian-deps/source", "--json")
    assert status == 0
    assert json.loads(out)["debian-deps/source"]["state"] == "good"


def test_models(shell: Shell) -> None:
    status, out, _ = shell("models", "list", "--json")
    assert status == 0
    assert "dagnn" in json.loads(out)["nodes"]
    status, out, _ = shell("models", "info", "dagnn", "--json")
    assert status == 0
    assert "hops" in json.loads(out)["nodes"]["settings"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("models info dagn", "did you mean 'dagnn'"),
        ("datasets info cora/pubic", "did you mean 'cora/public'"),
        ("bench run --models gcnn --problems sbm/small", "did you mean 'gcn'"),
        ("bench run --models gcn --problems sbm/smal", "did you mean 'sbm/small'"),
        ("bench run --suite nothing", "unknown suite 'nothing'"),
        ("bench run --models gcn --problems sbm/small --seeds none", "expected how many"),
        ("bench run --models gcn --problems sbm/small --seeds 0", "expected how many"),
        ("bench run --models gcn --problems sbm/small --epochs 0", "epochs=0; expected at least 1"),
        ("bench run --models gcn --problems sbm/small --budget 3", "no width fits"),
        ("bench run", "say what to run"),
    ],
)
def test_wrong_words_end_with_2_and_say_what_is_right(shell: Shell, words: str, says: str) -> None:
    status, _, err = shell(*words.split())
    assert status == 2
    assert says in err
    assert "Traceback" not in err
    assert not Path("results").exists()


def test_unknown_suite_names_the_nearest(shell: Shell) -> None:
    suites = Path("benchmarks/suites")
    suites.mkdir(parents=True)
    (suites / "citation.py").write_text("")
    status, _, err = shell("bench", "run", "--suite", "citaton")
    assert status == 2
    assert "did you mean 'citation'" in err
    status, _, err = shell("bench", "run", "--suite", "citation")
    assert status == 3
    assert "holds no SUITE" in err


def test_debug_shows_the_traceback(shell: Shell) -> None:
    status, _, err = shell("models", "info", "dagn", "--debug")
    assert status == 2
    assert "Traceback" in err
    assert "UnknownName" in err


def test_missing_files_end_with_3_and_list_the_places(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHKIT_DATA", raising=False)
    status, _, err = shell("datasets", "fetch", "cora/public", "--data-root", tmp_path / "root")
    assert status == 3
    assert str(tmp_path / "root" / "planetoid" / "Cora" / "raw") in err
    assert str(tmp_path / "cache" / "planetoid" / "Cora" / "raw") in err


def test_cut_file_ends_with_4_and_names_both_checksums(shell: Shell, tmp_path: Path) -> None:
    import hashlib

    folder = tmp_path / "root" / "debian-deps"
    shutil.copytree(shipped_folder() / "debian-deps", folder)
    cut = folder / "debian_deps.npz"
    good = hashlib.sha256(cut.read_bytes()).hexdigest()
    cut.write_bytes(cut.read_bytes()[:-100])
    bad = hashlib.sha256(cut.read_bytes()).hexdigest()
    root = ("--data-root", tmp_path / "root")
    status, out, _ = shell("datasets", "verify", "debian-deps/source", "--json", *root)
    assert status == 4
    detail = json.loads(out)["debian-deps/source"]["detail"]
    assert str(cut) in detail
    assert good in detail
    assert bad in detail
    status, _, err = shell("datasets", "fetch", "debian-deps/source", *root)
    assert status == 4
    assert good in err
    words = ["--models", "gcn", "--problems", "debian-deps/source", "--dry-run", *root]
    status, _, err = shell("bench", "run", *words, "--budget", 20_000)  # reads the sizes there
    assert status == 4
    assert good in err


def test_runs_are_shown_skipped_and_resumed(shell: Shell) -> None:
    status, out, _ = shell("bench", "run", *SMALL, "--dry-run")
    planned = out.split()
    assert status == 0
    assert len(planned) == 4
    assert not Path("results").exists()
    status, out, _ = shell("bench", "run", *SMALL, "--json")
    assert status == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["run"] for line in lines] == planned
    assert {line["status"] for line in lines} == {"done"}
    files = {path: path.read_bytes() for path in Path("results/mine").glob("*.json")}
    status, out, _ = shell("bench", "run", *SMALL, "--json")
    assert (status, out) == (0, "")
    gone = next(iter(files))
    gone.unlink()
    status, out, _ = shell("bench", "resume", "--json")
    assert status == 0
    assert [json.loads(line)["run"] for line in out.splitlines()] == [gone.stem]
    others = {path: text for path, text in files.items() if path != gone}
    assert {path: path.read_bytes() for path in others} == others
    _, out, _ = shell("bench", "show")
    assert all(run in out for run in planned)
    _, out, _ = shell("bench", "show", "--json")
    assert len(json.loads(out)) == 4
    status, out, _ = shell("bench", "show", planned[0], "--json")
    assert json.loads(out)["id"] == planned[0]
    status, _, err = shell("bench", "show", "gcm")
    assert status == 2
    assert "unknown run" in err


def test_nothing_to_show_or_resume_ends_with_3(shell: Shell) -> None:
    for words in (("bench", "show"), ("bench", "resume"), ("leaderboard",), ("report",)):
        status, _, err = shell(*words)
        assert status == 3, words
        assert "graphkit bench" in err


def test_leaderboard_and_report(shell: Shell) -> None:
    shell("bench", "run", *SMALL, "--quiet")
    assert "gcn" in shell("leaderboard")[1]
    assert "| gcn" in shell("leaderboard", "--format", "markdown")[1].replace("`", "")
    assert "\\begin{tab" in shell("leaderboard", "--format", "latex")[1]
    rows = list(csv.DictReader(io.StringIO(shell("leaderboard", "--format", "csv")[1])))
    assert {"gcn", "mlp"} <= {value for row in rows for value in row.values()}
    assert json.loads(shell("leaderboard", "--format", "json")[1])
    status, _, _ = shell("leaderboard", "--out", "x.parquet")
    assert status == 0
    assert Path("x.parquet").read_bytes()[:4] == b"PAR1"
    shell("leaderboard", "--out", "x.md")
    assert "gcn" in Path("x.md").read_text()
    status, out, _ = shell("report")
    assert status == 0
    assert "<html" in Path(out.strip()).read_text()[:500]


def test_budget_comes_within_five_percent(shell: Shell) -> None:
    status, _, _ = shell("bench", "run", *SMALL, "--budget", "20000", "--json")
    assert status == 0
    records: list[dict[str, Any]] = [
        json.loads(path.read_text()) for path in Path("results/mine").glob("*.json")
    ]
    assert {record["experiment"] for record in records} == {"gcn-20k", "mlp-20k"}
    assert all(19_000 <= record["num_parameters"] <= 21_000 for record in records)


def test_interrupt_ends_with_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    words = ["bench", "run", *SMALL[:-1], "150", "--threads", "1", "--json", "--results", tmp_path]
    process = started(words, tmp_path / "log")
    until(lambda: len(list((tmp_path / "mine").glob("*.json"))) >= 1)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    ended(process)
    assert process.exitcode == 130
    assert "goes on where it stopped" in (tmp_path / "log").read_text()
    before = {path: path.read_bytes() for path in (tmp_path / "mine").glob("*.json")}
    assert 1 <= len(before) < 4
    again = started(words, tmp_path / "log")
    ended(again)
    assert again.exitcode == 0
    assert len(list((tmp_path / "mine").glob("*.json"))) == 4
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_on_missing_files_ends_with_3_and_stays_open(tmp_path: Path) -> None:
    """No record is left behind: once the files are there, the same command carries it out."""
    environment = os.environ | {
        "GRAPHKIT_OFFLINE": "1",
        "GRAPHKIT_DATA": str(tmp_path / "none"),
        "GRAPHKIT_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "graphkit", "bench", "run", "--models", "mlp"]
    command += ["--problems", "cora/public,sbm/small", "--seeds", "1", "--epochs", "2"]
    done = subprocess.run(
        [*command, "--results", str(tmp_path / "r")],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "ind.cora.x was not found" in done.stderr
    stored = [path.name.split("@")[1] for path in (tmp_path / "r" / "mine").glob("*.json")]
    assert stored == ["sbm-small"]  # the other problem was carried out
