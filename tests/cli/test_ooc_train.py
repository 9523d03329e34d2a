"""``graphkit ooc train`` and ``sample``: engines, fresh samples, rows on a device."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphkit
from graphkit.data.batching import SampledNodes
from graphkit.models import GraphSAGE
from graphkit.ooc import sample_ahead as sampling
from graphkit.ooc.scan_sample import ScanSampler
from graphkit.train import GradientUpdate, Supervised, TrainConfig
from graphkit.train.checkpoint import Checkpoint
from tests.cli.shell import Shell
from tests.processes import ended, started

ROOT = Path(__file__).parents[2]
WORDS = ["--batch-size", 128, "--fanouts", "5,5", "--memory", "4G", "--threads", 1, "--quiet"]
FRESH = [*WORDS, "--epochs", 4, "--refresh", 2]
STEPS = 5  # of an epoch: 600 nodes to train on


def record_in(folder: Path | str = "results") -> dict[str, Any]:
    [path] = Path(folder).glob("ooc/*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def outcome(record: dict[str, Any]) -> dict[str, Any]:
    """What a run came to, without times and what was read."""
    names = ("id", "status", "settings", "val", "test", "last", "epoch", "history", "data")
    return {name: record[name] for name in names}


def plans_in(store: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(Path(store).glob("plans/*/*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders of the stores that are read front to back, one each time."""
    found: list[str] = []

    class Noted(ScanSampler):
        def __init__(self, store: Any, *words: Any, **named: Any) -> None:
            found.append(store.path.name)
            super().__init__(store, *words, **named)

    monkeypatch.setattr(sampling, "ScanSampler", Noted)
    return found


def test_an_engine_is_chosen_and_the_batches_are_the_same(shell: Shell, scans: list[str]) -> None:
    for engine, times in (("auto", 0), ("memory", 0), ("scan", 3)):  # of training, val and test
        scans.clear()
        words = ["ooc", "train", "sbm/small", *WORDS, "--epochs", 2, "--results", engine]
        status, _, err = shell(*words, "--store", f"{engine}.store", "--engine", engine)
        assert status == 0, err
        assert len(scans) == times
    assert plans_in("scan.store") == plans_in("memory.store") == plans_in("auto.store")
    assert outcome(record_in("scan")) == outcome(record_in("memory"))


def test_files_of_edges_and_features_are_trained_on_by_one_command(shell: Shell) -> None:
    problem = graphkit.load_problem("sbm/small")
    np.save("edges.npy", problem.data.edge_index.numpy())
    np.save("x.npy", problem.data.x.numpy())
    np.save("y.npy", problem.data.y.numpy())
    files = ["--features", "x.npy", "--labels", "y.npy"]
    for part in ("train", "val", "test"):
        np.save(f"{part}.npy", problem.items(part).numpy())
        files += [f"--{part}", f"{part}.npy"]
    status, _, err = shell("ooc", "train", "edges.npy", *WORDS)
    assert status == 2, err
    assert "needs --features" in err
    assert not Path("edges.store").exists()
    for words in (files, []):  # then the store is there, and nothing has to be said of files
        status, _, err = shell("ooc", "train", "edges.npy", *words, *WORDS, "--epochs", 2)
        assert status == 0, err
    status, _, err = shell("ooc", "prepare", "edges.npy", *files, "--out", "apart", "--quiet")
    assert status == 0, err
    status, _, err = shell("ooc", "train", "apart", *WORDS, "--epochs", 2, "--results", "other")
    assert status == 0, err
    assert outcome(record_in()) == outcome(record_in("other"))


def test_sampling_scans_where_memory_is_short(shell: Shell, scans: list[str]) -> None:
    shell("ooc", "prepare", "sbm/small", "--out", "s", "--quiet")
    words = ["ooc", "sample", "s", "--fanouts", "4,4", "--batch-size", 100, "--quiet"]
    status, _, err = shell(*words, "--engine", "memory", "--memory", "20K")
    assert status == 2
    assert "engine = 'scan'" in err
    assert shell(*words, "--seed", 0, "--memory", "20K")[0] == 0
    assert scans == ["s"]
    assert shell(*words, "--seed", 1, "--engine", "scan")[0] == 0
    assert scans == ["s", "s"]
    status, _, err = shell(*words, "--engine", "tape")
    assert status == 2
    assert "auto" in err


def test_fresh_samples_are_those_of_sampling_in_memory(shell: Shell) -> None:
    """With ``--refresh 1`` no epoch is read twice."""
    status, _, err = shell("ooc", "train", "sbm/small", *WORDS, "--epochs", 4, "--refresh", 1)
    assert status == 0, err
    sampled = SampledNodes((5, 5), 128)
    config = TrainConfig(epochs=4, weight_decay=5e-4, batching=sampled)
    problem = graphkit.load_problem("sbm/small").batched(sampled)
    recipe = Supervised(GraphSAGE, config)
    memory = graphkit.run(graphkit.Experiment("memory", lambda seed: problem, recipe), 0)
    found = record_in()
    for name in ("test", "val", "history"):
        assert found[name] == memory[name]


def test_the_record_names_what_was_read(shell: Shell) -> None:
    status, out, err = shell("ooc", "train", "sbm/small", *FRESH)
    assert status == 0, err
    assert "every2" in out
    record = record_in()
    [ring] = Path("sbm-small.store/rings").iterdir()
    assert record["problem"] == f"sbm/small-{ring.name[:8]}-every2"
    read = record["settings"]["measure"]
    assert read["ring_id"] == ring.name
    assert read["rotation"] == {
        "name": "Rotation", "fanouts": [5, 5], "batch_size": 128, "seed": 0, "every": 2,
        "sampled_epochs": 1,
    }  # fmt: skip
    # Four epochs and their validation; validation and test of the kept and the last model.
    assert record["measures"]["batches"] == 4 * STEPS + 4 * 2 + 2 * 2
    assert record["measures"]["read_bytes"] > 0
    assert sorted(path.name for path in ring.glob("slot-*")) == ["slot-0.json", "slot-1.json"]
    assert not [t for t in threading.enumerate() if t.name == "graphkit-refresh"]
    status, out, _ = shell("ooc", "train", "sbm-small.store", *FRESH, "--json")
    assert json.loads(out)["test"] == record["test"]  # it is not carried out again
    assert record_in() == record
    told = json.loads(shell("ooc", "info", "sbm-small.store", "--json")[1])
    assert sorted(p["first_epoch"] for p in told["plans"] if p["part"] == "train") == [0, 1]
    assert "1 epochs from 1 on" in shell("ooc", "info", "sbm-small.store")[1]
    status, out, _ = shell("ooc", "train", "sbm-small.store", *FRESH, "--dry-run")
    assert "each drawn epoch is used 2 times" in out


def test_a_plan_of_a_ring_that_is_removed_is_not_begun_with_again(shell: Shell) -> None:
    words = [*WORDS, "--refresh", 1]
    shell("ooc", "train", "sbm/small", *words, "--epochs", 4)
    store = Path("sbm-small.store")
    [ring] = (store / "rings").iterdir()
    assert sorted(path.name for path in ring.glob("slot-*")) == ["slot-2.json", "slot-3.json"]
    (ring / "gone-1").mkdir()
    assert shell("ooc", "clean", store, "--drafts", "--dry-run")[0] == 0
    assert (ring / "gone-1").exists()
    assert shell("ooc", "clean", store, "--drafts")[0] == 0
    assert not (ring / "gone-1").exists()
    for note in sorted(ring.glob("slot-*")):
        plan = json.loads(note.read_text())["plan"]
        assert shell("ooc", "clean", store, "--plan", plan, "--dry-run")[0] == 0
        assert note.exists()
        assert shell("ooc", "clean", store, "--plan", plan)[0] == 0
        assert not note.exists()
    status, _, err = shell("ooc", "train", store, *words, "--epochs", 1)
    assert status == 0, err
    assert [path.name for path in ring.glob("slot-*")] == ["slot-0.json"]


class Dying:
    """Makes a process save its state after every step, and sends it a signal inside one."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def __call__(self) -> None:
        real, taken = GradientUpdate.__call__, 0

        def step(update: GradientUpdate, batch: Any) -> dict[str, float]:
            nonlocal taken
            terms = real(update, batch)
            taken += 1
            if taken == self.step:
                os.kill(os.getpid(), self.number)
            return terms

        setattr(GradientUpdate, "__call__", step)  # noqa: B010  mypy knows no other way
        setattr(Checkpoint, "due", lambda self: True)  # noqa: B010


@pytest.mark.parametrize(
    ("step", "number", "status"),
    [
        (STEPS + 2, signal.SIGKILL, -9),
        (2 * STEPS + 1, signal.SIGKILL, -9),
        (3 * STEPS, signal.SIGINT, 130),
    ],
)
def test_killed_it_goes_on_to_the_same_record(
    shell: Shell, tmp_path: Path, step: int, number: int, status: int
) -> None:
    """In the first plan, in the first step of the second, and by Ctrl-C at the end of an epoch."""
    shell("ooc", "prepare", "sbm/small", "--out", "s", "--quiet")
    shutil.copytree("s", "t")
    assert shell("ooc", "train", "s", *FRESH)[0] == 0
    again = ["ooc", "train", "t", *FRESH, "--results", "again"]
    log = tmp_path / "log"
    assert ended(started(again, log, before=Dying(step, number))) == status, log.read_text()
    assert not list(Path("again/ooc").glob("*.json"))
    left = 4 * STEPS - step + (number == signal.SIGKILL)  # the step of a kill was not saved
    no_more = Dying(left + 1, signal.SIGKILL)
    assert ended(started(again, log, before=no_more)) == 0, log.read_text()
    assert outcome(record_in("again")) == outcome(record_in())
    assert len(list(Path("t/rings").glob("*/slot-*"))) <= 2


def test_a_failed_run_ends_the_work_behind(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    from graphkit.ooc.refresh import Refreshed

    real = Refreshed.close

    def close(self: Refreshed) -> None:
        real(self)
        closed.append(not [t for t in threading.enumerate() if t.name == "graphkit-refresh"])

    def fails(self: GradientUpdate, batch: Any) -> dict[str, float]:
        raise RuntimeError("the step fails")

    monkeypatch.setattr(Refreshed, "close", close)
    monkeypatch.setattr(GradientUpdate, "__call__", fails)
    status, _, err = shell("ooc", "train", "sbm/small", *FRESH)
    assert status == 1
    assert "the step fails" in err
    assert closed == [True]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--refresh", -1], "refresh = -1; expected at least 1"),
        (["--refresh", 1, "--gpu-cache", "1G", "--device", "cuda"], "leave one of the two out"),
        (["--refresh", 1, "--sampled-epochs", 0], "sampled_epochs = 0"),
        (["--sampled-epochs", 0], "sampled_epochs = 0"),
        (["--gpu-cache", "1G"], "gpu_cache = 1G, and the model is trained on the CPU"),
        (["--gpu-cache", "1G", "--device", "cpu:0"], "trained on the CPU"),
        (["--gpu-cache", "much", "--device", "meta"], "no size"),
        (["--device", "abacus"], "device = 'abacus' cannot be used"),
        (["--epochs", 0], "epochs=0; expected at least 1"),
        (["--fanouts", "ten"], "fanouts 'ten'"),
        (["--refresh", 1, "--memory", "64M"], "MiB"),
    ],
)
def test_what_cannot_be_done_is_said(shell: Shell, words: list[object], says: str) -> None:
    status, _, err = shell("ooc", "train", "sbm/small", *WORDS, *words)
    assert says in err
    assert status == 2
    assert not Path("results").exists()


def test_wrong_words_are_refused_before_the_store_is_made(shell: Shell) -> None:
    for words in (["--epochs", 0], ["--fanouts", "x"], ["--gpu-cache", "1G"], ["--device", "x"]):
        assert shell("ooc", "train", "sbm/small", *WORDS, *words)[0] == 2
        assert not Path("sbm-small.store").exists()


def test_rows_for_a_device_are_asked_for(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """``meta`` stands for a device: no row ever arrives, but the pack has them."""
    import graphkit.bench.ooc_run as running

    seen: list[Any] = []

    def note(batching: Any, *words: Any, **named: Any) -> None:
        seen.append(batching)

    monkeypatch.setattr(running, "trained", note)
    words = [*WORDS, "--device", "meta", "--gpu-cache", "16K"]
    assert shell("ooc", "train", "sbm/small", *words)[0] == 1  # there is no record
    pack = seen[0].parts["train"].pack
    assert pack.device_rows == 16 * 1024 // 64
    assert pack.cached_rows > pack.device_rows
    assert seen[0].parts["val"].pack.device_rows == 0


def test_two_processes_share_fresh_samples(shell: Shell, tmp_path: Path) -> None:
    shell("ooc", "prepare", "sbm/small", "--out", "s", "--quiet")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    words = ["-m", "graphkit", "ooc", "train", tmp_path / "s", *FRESH, "--results", tmp_path / "r"]
    done = subprocess.run(
        [str(word) for word in [*command, *words]], cwd=ROOT, capture_output=True, text=True,
        timeout=240, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    record = record_in("r")
    assert record["status"] == "done"
    assert record["problem"].endswith("-every2")
    assert record["measures"]["batches"] == 4 * -(-STEPS // 2) + 4 * 2 + 2 * 2
    assert len(list(Path("s/rings").glob("*/slot-*"))) == 2
