"""Records are whole or absent, claims are exclusive, and a full disk harms nothing."""

from __future__ import annotations

import json
import math
import multiprocessing
import resource
from pathlib import Path
from typing import Any

import pytest

from graphkit.bench import Experiment
from graphkit.bench.store import Store
from graphkit.errors import SettingError, StorageError
from graphkit.models import GCN
from graphkit.train import Supervised, TrainConfig
from tests.processes import ended, started, until

FORK = multiprocessing.get_context("fork")
RECIPE = Supervised(GCN, TrainConfig(epochs=2))


def made(name: str = "a@b-c@seed0@12345678", **more: Any) -> dict[str, Any]:
    return {"suite": "mine", "id": name, "status": "done", "history": {}} | more


def test_written_record_is_read_back(tmp_path: Path) -> None:
    history = {"epoch": [0, 1], "val_loss": [0.5, None]}
    record = made(history=history, test={"auc": math.nan, "loss": math.inf, "mae": 0.25})
    path = Store(tmp_path).write(record)
    assert path == tmp_path / "mine" / "a@b-c@seed0@12345678.json"
    read = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert read["history"] == history
    assert read["test"] == {"auc": None, "loss": None, "mae": 0.25}
    assert Store(tmp_path).status("mine", record["id"]) == "done"
    assert Store(tmp_path).status("mine", "other") is None


def test_replacing_fails_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    path = store.write(made(value=1))

    def refuse(*names: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("graphkit.files.os.replace", refuse)
    with pytest.raises(StorageError, match="No space left") as caught:
        store.write(made(value=2))
    assert str(path) in str(caught.value)
    assert json.loads(path.read_text())["value"] == 1
    assert list(path.parent.iterdir()) == [path]  # no draft is left


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))


def _write_limited(folder: Path) -> None:
    _limit()
    try:
        Store(folder).write(made("big@x", filler="x" * 10_000))
    except StorageError:
        raise SystemExit(77) from None


def test_file_size_limit_leaves_old_records(tmp_path: Path) -> None:
    old = Store(tmp_path).write(made())
    before = old.read_bytes()
    child = FORK.Process(target=_write_limited, args=(tmp_path,))
    child.start()
    ended(child)
    assert child.exitcode == 77
    assert old.read_bytes() == before
    assert list(old.parent.iterdir()) == [old]


def test_command_ends_with_5_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    words = ["bench", "run", "--models", "gcn", "--problems", "sbm/small", "--seeds", "1"]
    words += ["--epochs", "2", "--threads", "1", "--json", "--results", str(tmp_path)]
    old = Store(tmp_path).write(made())
    before = old.read_bytes()
    limited = started(words, tmp_path.parent / "log-limited", before=_limit)
    ended(limited)
    assert limited.exitcode == 5
    assert list(old.parent.iterdir()) == [old]
    assert old.read_bytes() == before
    again = started(words, tmp_path.parent / "log-again")
    ended(again)
    assert again.exitcode == 0
    found = [json.loads(path.read_text()) for path in old.parent.glob("gcn@*.json")]
    assert [record["status"] for record in found] == ["done"]


def _hold(folder: Path, mark: Path) -> None:
    with Store(folder).claim("mine", "run") as mine:
        mark.write_text(str(mine))
        import time

        time.sleep(60)


def test_claim_is_exclusive_and_given_back_by_a_kill(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mark = tmp_path / "mark"
    holder = FORK.Process(target=_hold, args=(tmp_path, mark))
    holder.start()
    until(lambda: mark.exists() and mark.read_text() != "")
    assert mark.read_text() == "True"
    with store.claim("mine", "run") as mine:
        assert not mine
    with store.claim("mine", "another") as mine:
        assert mine
    with store.claim("other", "run") as mine:
        assert mine
    holder.kill()
    ended(holder)
    with store.claim("mine", "run") as mine:
        assert mine


def test_claim_is_given_back_by_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ArithmeticError), store.claim("mine", "run"):
        raise ArithmeticError
    with store.claim("mine", "run") as mine:
        assert mine


def test_claim_below_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    store = Store(tmp_path / "results")
    with pytest.raises(StorageError, match="cannot write"), store.claim("mine", "run"):
        pass
    with pytest.raises(StorageError, match="cannot write"):
        store.write(made())


def test_state_of_a_run_is_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.checkpoints("mine", "run")
    folder.mkdir(parents=True)
    (folder / "fit-0.safetensors").write_text("x")
    store.forget_checkpoints("mine", "run")
    assert not folder.exists()
    store.forget_checkpoints("mine", "run")


def test_run_id_fits_a_file_name() -> None:
    run_id = Experiment("a.B_c-1+x", "debian-deps/source", RECIPE).run_id(12)
    assert run_id.startswith("a.B_c-1+x@debian-deps-source@seed12@")
    assert not set(run_id) & set('/\\:*?"<>| ')


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "a@b", "é", "a\n", "x" * 81, "a:b"])
def test_name_that_cannot_be_a_file_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match="experiment name"):
        Experiment(name, "sbm/small", RECIPE)


def test_experiment_without_a_seed_is_refused() -> None:
    with pytest.raises(SettingError, match="no seed"):
        Experiment("gcn", "sbm/small", RECIPE, seeds=())
