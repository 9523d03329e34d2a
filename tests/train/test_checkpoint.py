"""A killed fit goes on bit by bit; a file that is not whole or not its own is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import xxhash

import graphkit
from graphkit.errors import DamagedFile, SettingError
from graphkit.models.base import as_model
from graphkit.train import GradientUpdate, TrainConfig, checkpoints, fit
from tests.train.killed import digest
from tests.train.problems import KINDS, NodeNet, nodes

ROOT = Path(__file__).parents[2]

# Two stages of 4 epochs; 1 step an epoch on a whole graph, else 4 (5 for the events).
STEPS = {"nodes": 8, "sampled": 32, "graphs": 32, "events": 40}
KILLS = {
    "nodes": (2, 3, 5, 7, 8),
    "sampled": (2, 7, 13, 20, 32),
    "graphs": (3, 9, 16, 23, 31),
    "events": (2, 11, 19, 27, 39),
}


def processes(kind: str, folder: Path, name: str, every: float, *steps: int) -> list[Any]:
    """Runs the child of ``tests.train.killed``; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.killed", kind, str(folder), name, str(every)]
        + [str(step) for step in steps],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_killed_at_any_step_goes_on_bit_for_bit(kind: str, tmp_path: Path) -> None:
    *killed, unbroken = processes(kind, tmp_path, "SIGKILL", 0, *KILLS[kind])
    total = STEPS[kind]
    assert unbroken["second"] == 0
    assert unbroken["told"].pop("steps") == total
    assert len({str(unbroken["told"][name]) for name in ("kept", "last", "history")}) == 3
    for row, step in zip(killed, KILLS[kind], strict=True):
        assert row["first"] == -9, "the first process was not killed"
        # Saved after each step: the one it died in is all that is done again. A stage that was
        # over is taken from disk.
        assert row["told"].pop("steps") == total - step + 1
        assert len(row["saved"]) == (2 if step > total // 2 + 1 else 1)
        assert row["told"] == unbroken["told"]


@pytest.mark.parametrize("kind", ["nodes", "graphs"])
def test_ctrl_c_saves_between_two_steps(kind: str, tmp_path: Path) -> None:
    """No save is due by time: only the interrupt writes, after the step that was under way."""
    step = KILLS[kind][1]
    interrupted, unbroken = processes(kind, tmp_path, "SIGINT", 1e9, step)
    assert interrupted["first"] == 130  # KeyboardInterrupt
    assert interrupted["told"].pop("steps") == unbroken["told"].pop("steps") - step
    assert interrupted["told"] == unbroken["told"]


class Counted(GradientUpdate):
    """Counts its steps, and gives up before one of them."""

    def __init__(self, *args: Any, last: int = 10**9) -> None:
        super().__init__(*args)
        self.taken, self.last = 0, last

    def __call__(self, batch: Any) -> dict[str, float]:
        if self.taken == self.last:
            raise RuntimeError("given up")
        self.taken += 1
        return super().__call__(batch)


def stage(epochs: int, last: int = 10**9) -> tuple[int, str]:
    """Fits on nodes; returns the steps taken and the checksum of the weights."""
    problem, model, config = nodes().blind(), as_model(NodeNet()), TrainConfig(epochs=epochs)
    update = Counted(model, problem.task, config, last=last)
    fitted = fit(model, problem, config, update=update)
    return update.taken, digest(fitted.model)


def test_a_finished_stage_is_taken_from_disk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with checkpoints(tmp_path, "id", every_seconds=0):
        first = stage(3)
        with pytest.raises(RuntimeError, match="given up"):
            stage(4, last=2)
    torch.manual_seed(0)
    with checkpoints(tmp_path, "id", every_seconds=0):
        again, rest = stage(3), stage(4)
    torch.manual_seed(0)
    unbroken = stage(3), stage(4)
    assert first == unbroken[0]
    assert again == (0, unbroken[0][1])
    assert rest == (2, unbroken[1][1])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fit-0.safetensors",
        "fit-1.safetensors",
    ]


def test_saved_rows_are_told_again(tmp_path: Path) -> None:
    seen: list[list[float]] = [[], []]

    def note(told: list[float], row: dict[str, float]) -> None:
        told.append(row["loss"])

    for told in seen:
        with checkpoints(tmp_path, "id"):
            fit(
                NodeNet(),
                nodes().blind(),
                TrainConfig(epochs=3),
                on_epoch=partial(note, told),
            )
    assert len(seen[0]) == 3
    assert seen[0] == seen[1]


def test_an_unvalidated_epoch_survives_a_resume(tmp_path: Path) -> None:
    """``on_epoch`` gives up in the third epoch of five, of which 2, 4 and 5 are validated."""
    config = TrainConfig(epochs=5, evaluate_every=2)

    def give_up(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise RuntimeError("given up")

    torch.manual_seed(0)
    with checkpoints(tmp_path, "id", every_seconds=0), pytest.raises(RuntimeError):
        fit(NodeNet(), nodes().blind(), config, on_epoch=give_up)
    torch.manual_seed(0)
    with checkpoints(tmp_path, "id", every_seconds=0):
        resumed = fit(NodeNet(), nodes().blind(), config)
    torch.manual_seed(0)
    unbroken = fit(NodeNet(), nodes().blind(), config)
    assert resumed.history == unbroken.history
    assert digest(resumed.last) == digest(unbroken.last)


def test_a_state_of_other_settings_is_refused(tmp_path: Path) -> None:
    with checkpoints(tmp_path, "lr=0.01"):
        stage(1)
    with checkpoints(tmp_path, "lr=0.02"), pytest.raises(SettingError, match=r"fit-0.*delete"):
        stage(1)


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    stage(1)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a finished fit."""
    folder = tmp_path_factory.mktemp("whole")
    with checkpoints(folder, "id"):
        stage(1)
    return (folder / "fit-0.safetensors").read_bytes()


def refused(content: bytes, folder: Path) -> None:
    """Asserts that a fit does not go on from these bytes, and leaves them."""
    path = folder / "fit-0.safetensors"
    path.write_bytes(content)
    with checkpoints(folder, "id"), pytest.raises(DamagedFile, match=re.escape(str(path))):
        stage(1)
    assert path.read_bytes() == content


@pytest.mark.parametrize("place", [0.0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.9999])
def test_a_flipped_bit_is_noticed(place: float, whole: bytes, tmp_path: Path) -> None:
    at = int(place * len(whole))
    refused(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :], tmp_path)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 20, 24, 1000, -1])
def test_a_truncated_file_is_noticed(length: int, whole: bytes, tmp_path: Path) -> None:
    refused(whole[:length], tmp_path)


def test_an_extended_file_is_noticed(whole: bytes, tmp_path: Path) -> None:
    refused(whole + b"\0", tmp_path)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0" * 56,
        b"[]",
        b"{}",
        b'{"__metadata__": "text"}',
        b'{"__metadata__": null}',
        b'{"__metadata__": {"format": "1"}}',
        b'{"__metadata__": {"format": "1", "told": ""}}',
        b'{"__metadata__": {"format": "1000000", "told": "{}"}}',
        b"\xff\xfe",
    ],
)
def test_foreign_bytes_under_a_right_checksum_are_refused(head: bytes, tmp_path: Path) -> None:
    body = len(head).to_bytes(8, "little") + head
    refused(xxhash.xxh3_128(body).digest() + body, tmp_path)


def test_the_package_unpickles_and_evaluates_nothing() -> None:
    ways = {
        "pickle": re.compile(r"\bpickle\.(load|loads|Unpickler)\b|^\s*(from|import) pickle\b"),
        "torch.load": re.compile(r"\btorch\.load\((?!.*weights_only=True)"),
        "np.load": re.compile(r"\bnp\.load\((?!.*allow_pickle=False)"),
        "allow_pickle": re.compile(r"allow_pickle=True"),
        "eval": re.compile(r"(?<![\w.])(eval|exec)\("),
        "yaml": re.compile(r"\byaml\.(unsafe_|full_)?load\("),
    }
    found = [
        f"{path.name}:{number}: {way}"
        for path in sorted(Path(graphkit.__file__).parent.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for way, pattern in ways.items()
        if pattern.search(line)
    ]
    assert found == []
