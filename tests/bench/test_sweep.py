"""A sweep that is killed, shared or failing ends with every run once, as if nothing happened."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from graphkit.bench import Experiment
from graphkit.bench.store import Store
from graphkit.bench.suites import load_suite
from graphkit.bench.sweep import Event, _heard, pending, sweep
from graphkit.data.problem import Problem
from graphkit.errors import SettingError
from graphkit.models import GCN, MLP
from graphkit.train import Fitted, Supervised, TrainConfig
from tests.processes import ended, started, until

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
from functools import partial

from graphkit.bench import Experiment
from graphkit.models import GCN, MLP
from graphkit.train import Supervised, TrainConfig

TRAIN = TrainConfig(epochs=60)
SUITE = (
    Experiment("gcn", "sbm/small", Supervised(GCN, TRAIN), seeds=range(3)),
    Experiment("mlp", "sbm/small", Supervised(partial(MLP, hidden_channels=32), TRAIN), seeds=(0, 4)),
    Experiment("gcn-8", "sbm/small", Supervised(partial(GCN, hidden_channels=8), TRAIN), seeds=(1,)),
)
"""  # noqa: E501
RUNS = 6
MEASURED = {"started", "finished", "cost", "host"}


def records(folder: Path, suite: str = "killed") -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (folder / suite).glob("*.json")}


def timeless(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records without what two runs of the same thing may differ in."""
    return {
        name: {key: value for key, value in record.items() if key not in MEASURED}
        for name, record in found.items()
    }


def finished(log: Path) -> list[str]:
    """Runs that the processes behind a log said they ended, once for each time."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line["run"] for line in lines]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "killed.py"
    path.write_text(SUITE)
    return path


def words(suite: Path, results: Path) -> list[object]:
    return ["bench", "run", "--suite", suite, "--results", results, "--threads", 1, "--json"]


@pytest.fixture(scope="module")
def unbroken(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("unbroken")
    process = started(words(suite, folder), folder / "log")
    ended(process)
    assert process.exitcode == 0, (folder / "log").read_text()
    found = records(folder)
    assert len(found) == RUNS
    assert {record["status"] for record in found.values()} == {"done"}
    assert set(finished(folder / "log")) == set(found)
    return found


def ended_as_unbroken(
    folder: Path, before: dict[str, dict[str, Any]], unbroken: dict[str, dict[str, Any]]
) -> None:
    after = records(folder)
    assert timeless(after) == timeless(unbroken)
    for name, record in before.items():  # times included: it was not carried out again
        assert after[name] == record
    told = finished(folder / "log")
    assert len(told) == len(set(told))
    assert not [path for path in (folder / "killed").iterdir() if path.suffix != ".json"]


@pytest.mark.parametrize("at", [0, 2, 5])
def test_killed_sweep_goes_on_where_it_was(
    at: int, suite: Path, unbroken: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    process = started(words(suite, tmp_path), tmp_path / "log")
    claims = tmp_path / ".running" / "killed"
    until(lambda: len(list(claims.glob("*.lock"))) > at)  # inside the run after the at-th
    process.kill()
    ended(process)
    assert process.exitcode == -signal.SIGKILL
    before = records(tmp_path)
    assert at <= len(before) < RUNS
    again = started(words(suite, tmp_path), tmp_path / "log")
    ended(again)
    assert again.exitcode == 0, (tmp_path / "log").read_text()
    ended_as_unbroken(tmp_path, before, unbroken)


def test_killed_interpreter_goes_on_where_it_was(
    suite: Path, unbroken: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "graphkit", *map(str, words(suite, tmp_path))]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        until(lambda: len(records(tmp_path)) >= 1)
        process.kill()
        process.wait()
    before = records(tmp_path)
    assert 1 <= len(before) < RUNS
    again = started(words(suite, tmp_path), tmp_path / "log")
    ended(again)
    assert again.exitcode == 0
    ended_as_unbroken(tmp_path, before, unbroken)


def test_four_processes_share_a_folder(
    suite: Path, unbroken: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    processes = [started(words(suite, tmp_path), tmp_path / f"log-{i}") for i in range(4)]
    for process in processes:
        ended(process)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert timeless(records(tmp_path)) == timeless(unbroken)
    told = [run for i in range(4) for run in finished(tmp_path / f"log-{i}")]
    assert sorted(told) == sorted(unbroken)


def test_four_processes_one_killed(
    suite: Path, unbroken: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    processes = [started(words(suite, tmp_path), tmp_path / f"log-{i}") for i in range(4)]
    until(lambda: len(list((tmp_path / ".running" / "killed").glob("*.lock"))) >= 4)
    processes[0].kill()
    for process in processes:
        ended(process)
    assert [process.exitcode for process in processes[1:]] == [0, 0, 0]
    assert timeless(records(tmp_path)) == timeless(unbroken)


def test_killed_worker_leaves_nothing_undone(
    suite: Path, unbroken: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Two workers; the one that begins first is killed there, in the middle of its run."""
    killed: list[str] = []
    ended: list[str] = []

    def watch(event: Event) -> None:
        if event.kind == "began" and not killed:
            killed.append(event.run_id)
            children = {child.name: child for child in multiprocessing.active_children()}
            numbered = sorted(children, key=lambda name: int(name.rsplit("-", 1)[1]))
            pid = children[numbered[event.worker]].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        if event.kind == "done":
            ended.append(event.run_id)

    _, experiments = load_suite(str(suite))
    longer = [
        Experiment(e.name, e.problem, Supervised(e.recipe.model, TrainConfig(epochs=400)), e.seeds)
        for e in experiments
        if isinstance(e.recipe, Supervised)
    ]
    store = Store(tmp_path)
    assert sweep(longer, store, suite="killed", workers=2, threads=1, watch=watch) == 0
    assert killed
    assert len(records(tmp_path)) == RUNS
    assert pending(longer, store, "killed") == []
    assert len(ended) == len(set(ended)) == RUNS


@pytest.mark.parametrize("device", ["cuda:99", "nowhere"])
def test_a_device_that_is_not_there_is_refused_at_once(
    suite: Path, tmp_path: Path, device: str
) -> None:
    with pytest.raises(SettingError, match=device):
        sweep(load_suite(str(suite))[1], Store(tmp_path), device=device)
    assert not list(tmp_path.iterdir())


WITH_CLASSES = """
from dataclasses import dataclass
from functools import partial

from graphkit.bench import Experiment
from graphkit.models import MLP
from graphkit.train import Supervised, TrainConfig

class Own(MLP):
    pass

@dataclass(frozen=True)
class Mine(Supervised):
    pass

MODEL = partial(Own, hidden_channels=4)
SUITE = (Experiment("own", "sbm/small", Mine(MODEL, TrainConfig(epochs=2)), seeds=range(2)),)
"""


def test_processes_know_the_classes_of_a_suite(tmp_path: Path) -> None:
    """A recipe and a network of the suite's own file reach processes that did not load it."""
    path = tmp_path / "suite_with_classes.py"
    path.write_text(WITH_CLASSES)
    other = tmp_path / "gone.py"  # one that these processes need not
    other.write_text(WITH_CLASSES)
    load_suite(str(other))
    other.unlink()
    _, experiments = load_suite(str(path))
    assert sweep(experiments, Store(tmp_path), suite="own", workers=2, threads=1) == 0
    assert [one["status"] for one in records(tmp_path, "own").values()] == ["done", "done"]


@pytest.mark.parametrize("sent", [0, 2, 40])
def test_a_process_killed_while_it_tells_holds_up_no_other(sent: int) -> None:
    """The first one dies in the middle of a message; what the second tells is still heard."""
    context = multiprocessing.get_context("spawn")
    (ours, theirs), (other, others) = context.Pipe(duplex=False), context.Pipe(duplex=False)
    os.write(theirs.fileno(), struct.pack("!i", 1000)[:2] + b"x" * sent)
    theirs.close()
    events = [Event("began", str(number), 1, {}) for number in range(3)]
    for event in events:
        others.send(event)
    others.close()
    assert list(_heard([ours, other])) == events


TRAIN = TrainConfig(epochs=2)


def broken(problem: Problem) -> Fitted:
    """Fails, and leaves a line for each time it was called."""
    with Path(os.environ["BROKEN_CALLS"]).open("a") as stream:
        stream.write("called\n")
    raise ArithmeticError("no fit today")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "calls"
    path.touch()
    monkeypatch.setenv("BROKEN_CALLS", str(path))
    return path


def test_failed_runs_are_kept_and_retried_only_on_demand(tmp_path: Path, calls: Path) -> None:
    experiments = [
        Experiment("broken", "sbm/small", broken, seeds=(0,)),
        Experiment("gcn", "sbm/small", Supervised(GCN, TRAIN), seeds=(0,)),
    ]
    store = Store(tmp_path)
    seen: list[str] = []
    count = partial(sweep, experiments, store, suite="killed", threads=1)
    assert count(watch=lambda event: seen.append(event.kind)) == 1
    assert seen.count("failed") == 1
    assert seen.count("done") == 1
    first = records(tmp_path)
    run_id = experiments[0].run_id(0)
    assert first[run_id]["error"]["message"] == "no fit today"
    assert count() == 0
    assert records(tmp_path) == first
    assert len(calls.read_text().splitlines()) == 1
    assert count(retry=True) == 1
    assert len(calls.read_text().splitlines()) == 2
    done = experiments[1].run_id(0)
    assert records(tmp_path)[done] == first[done]


def test_workers_retry_a_failed_run_once(tmp_path: Path, calls: Path) -> None:
    """Not once per process: a run that failed again is settled for all of them."""
    experiments = [Experiment("broken", "sbm/small", broken, seeds=range(2))]
    store = Store(tmp_path)
    assert sweep(experiments, store, suite="killed", threads=1) == 2
    assert sweep(experiments, store, suite="killed", threads=1, workers=2, retry=True) == 2
    assert len(calls.read_text().splitlines()) == 4


def test_pending_groups_the_seeds_of_a_problem() -> None:
    recipe = Supervised(GCN, TRAIN)
    experiments = [
        Experiment("gcn", "sbm/small", recipe, seeds=(1, 0)),
        Experiment("gcn", "csl/generated", recipe, seeds=(0,)),
        Experiment("mlp", "sbm/small", Supervised(MLP, TRAIN), seeds=(0, 1)),
    ]
    order = [
        (e.name, e.problem_name, seed) for e, seed in pending(experiments, Store(Path("none")), "x")
    ]
    assert order == [
        ("gcn", "sbm/small", 0),
        ("mlp", "sbm/small", 0),
        ("gcn", "sbm/small", 1),
        ("mlp", "sbm/small", 1),
        ("gcn", "csl/generated", 0),
    ]


def test_pending_takes_half_a_record_for_none(tmp_path: Path) -> None:
    experiment = Experiment("gcn", "sbm/small", Supervised(GCN, TRAIN), seeds=(0,))
    path = Store(tmp_path).path("killed", experiment.run_id(0))
    path.parent.mkdir()
    for text in ("", '{"status": "do', "[1, 2]", "null"):
        path.write_text(text)
        assert pending([experiment], Store(tmp_path), "killed") == [(experiment, 0)]
