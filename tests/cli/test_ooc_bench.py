"""``graphkit ooc bench`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tyro

from graphkit.bench import ooc_bench
from graphkit.cli.ooc_bench import bench
from graphkit.errors import DataNotFound, SettingError
from tests.bench.test_ooc_bench import in_process
from tests.ooc.packed import undirected

WORDS = ["--fanouts", "4,3", "--batch-size", "70", "--memory", "6G", "--cached-rows", "200",
         "--threads", "1"]  # fmt: skip


def asked(*words: str) -> Any:
    """Parses and carries out, as ``graphkit`` does."""
    config = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes)
    return tyro.cli(bench, args=words, config=config)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(ooc_bench, "run_within", in_process)
    return str(undirected(tmp_path / "s")[1].path)


def test_all_is_measured_and_kept(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(store, *WORDS, "--ways", "packed,mapped", "--quiet") == 0
    out = capsys.readouterr().out
    for word in ("all ways train alike: yes", "features over memory", "reached", "s.bench.html"):
        assert word in out
    kept = Path(f"{store}.bench.json")
    assert json.loads(kept.read_text())["asked"]["ways"] == ["packed", "mapped"]
    before = kept.read_bytes()
    assert asked(store, *WORDS, "--ways", "packed,mapped", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(kept)
    assert {"of": "A", "bar": 1.01}.items() <= next(
        g for g in told["goals"] if g["of"] == "A"
    ).items()
    assert kept.read_bytes() == before  # nothing is measured twice


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--fanouts", "ten"], "fanouts 'ten'"),
        (["--ways", "maped"], "did you mean 'mapped'"),
        (["--memory", "lots"], "no size"),
    ],
)
def test_what_cannot_be_done_is_said(store: str, words: list[str], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        asked(store, *words, "--quiet")


def test_there_has_to_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound):
        asked(str(tmp_path / "none"), "--quiet")
