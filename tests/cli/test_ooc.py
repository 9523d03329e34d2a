"""``graphkit ooc`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import graphkit
from graphkit.data.batching import SampledNodes
from graphkit.models import GraphSAGE
from graphkit.train import Supervised, TrainConfig
from tests.cli.shell import Shell

TRAIN = ["--epochs", 2, "--batch-size", 128, "--fanouts", "5,5", "--memory", "4G", "--threads", 1]


def records() -> list[Path]:
    return sorted(Path("results/ooc").glob("*.json"))


def test_train_alone_does_what_is_missing(shell: Shell) -> None:
    status, out, err = shell("ooc", "train", "sbm/small", *TRAIN)
    assert status == 0, err
    for word in ("test accuracy", "waiting for the disk", "most memory"):
        assert word in out
    [path] = records()
    record = json.loads(path.read_text())
    assert record["problem"].startswith("sbm/small-")
    assert record["measures"]["read_bytes"] > 0
    before = path.read_bytes()
    status, out, _ = shell("ooc", "train", "sbm-small.store", *TRAIN, "--json")
    assert status == 0
    assert json.loads(out)["test"] == record["test"]
    assert records()[0].read_bytes() == before  # the run is not carried out again


def test_the_same_result_as_in_memory(shell: Shell) -> None:
    shell("ooc", "train", "sbm/small", *TRAIN)
    record = json.loads(records()[0].read_text())
    problem = graphkit.load_problem("sbm/small")
    sampled = SampledNodes((5, 5), 128)
    config = TrainConfig(epochs=2, weight_decay=5e-4, batching=sampled)
    memory = graphkit.run(
        graphkit.Experiment(
            "memory", lambda seed: problem.batched(sampled), Supervised(GraphSAGE, config)
        ),
        0,
    )
    assert record["test"] == memory["test"]
    assert record["history"]["val_loss"] == memory["history"]["val_loss"]


def test_stage_by_stage(shell: Shell) -> None:
    status, out, err = shell("ooc", "prepare", "sbm/small", "--out", "s", "--dtype", "float16")
    assert status == 0, err
    assert "float16" in out
    status, out, _ = shell("ooc", "sample", "s", "--fanouts", "4,4", "--batch-size", 100, "--json")
    assert status == 0
    plan = json.loads(out)
    assert plan["batches"] == 12  # 600 training nodes, two epochs
    assert plan["hits"]["0.5"] > plan["hits"]["0.1"]
    status, out, _ = shell("ooc", "pack", "s", "--memory", "4G", "--dry-run", "--json")
    assert status == 0
    assert "pack" not in json.loads(out)
    status, out, _ = shell("ooc", "pack", "s", "--memory", "4G", "--json")
    assert json.loads(out)["cached_rows"] > 0
    status, out, _ = shell("ooc", "info", "s", "--curve")
    assert status == 0
    assert "cached rows" in out
    told = json.loads(shell("ooc", "info", "s", "--json")[1])
    assert told["nodes"] == 1000
    assert [p["plan"] for p in told["plans"]] == [plan["plan"]]
    assert shell("ooc", "verify", "s", "--deep")[1].strip().endswith("sound")
    status, out, _ = shell("ooc", "clean", "s", "--plan", plan["plan"][:4], "--dry-run")
    assert "would be freed" in out
    assert shell("ooc", "clean", "s", "--plan", plan["plan"][:4])[0] == 0
    assert json.loads(shell("ooc", "info", "s", "--json")[1])["plans"] == []


def test_damage_is_found_and_mended(shell: Shell) -> None:
    shell("ooc", "prepare", "sbm/small", "--out", "s")
    shell("ooc", "sample", "s", "--fanouts", "4", "--batch-size", 100)
    shell("ooc", "pack", "s", "--memory", "4G", "--cached-rows", 0)
    [region] = Path("s").glob("plans/*/packs/*/region-000.bin")
    content = bytearray(region.read_bytes())
    content[1000] ^= 1
    region.write_bytes(content)
    status, _, err = shell("ooc", "verify", "s", "--deep", "--quiet")
    assert status == 4
    assert "region-000.bin" in err
    status, out, _ = shell("ooc", "verify", "s", "--repair", "--quiet")
    assert status == 0
    assert "1 regions packed again" in out
    assert shell("ooc", "verify", "s", "--deep", "--quiet")[0] == 0


def test_files_of_ones_own(shell: Shell) -> None:
    problem = graphkit.load_problem("sbm/small")
    np.save("edges.npy", problem.data.edge_index.numpy())
    np.save("x.npy", problem.data.x.numpy())
    np.save("y.npy", problem.data.y.numpy())
    for part in ("train", "val", "test"):
        np.save(f"{part}.npy", problem.items(part).numpy())
    words = ["--features", "x.npy", "--labels", "y.npy", "--train", "train.npy"]
    words += ["--val", "val.npy", "--test", "test.npy", "--out", "mine"]
    status, out, err = shell("ooc", "prepare", "edges.npy", *words)
    assert status == 0, err
    assert "Undirected()" in out  # what the default model asks for
    status, _, err = shell("ooc", "train", "mine", *TRAIN)
    assert status == 0, err
    status, _, err = shell("ooc", "prepare", "edges.npy")
    assert status == 2
    assert "--features" in err


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["train", "sbm/smal"], 2, "did you mean"),
        (["train", "sbm/small", *TRAIN, "--model", "gcm"], 2, "unknown model"),
        (["train", "sbm/small", *TRAIN, "--memory", "lots"], 2, "no size"),
        (["train", "sbm/small", *TRAIN, "--fanouts", "ten"], 2, "fanouts 'ten'"),
        (["info", "none"], 3, "none"),
        (["verify", "none"], 3, "none"),
        (["prepare", "cora-cpf/production"], 3, ""),
        (["prepare", "edges.npy"], 3, "no file of edges"),
    ],
)
def test_what_cannot_be_done_is_said(
    shell: Shell, words: list[object], status: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    found, _, err = shell("ooc", *words)
    assert says in err
    assert found == status


def test_a_dry_run_reckons_and_writes_nothing(shell: Shell) -> None:
    status, out, _ = shell("ooc", "train", "sbm/small", *TRAIN, "--dry-run")
    assert status == 0
    assert "to be prepared first" in out
    assert not Path("sbm-small.store").exists()
    shell("ooc", "prepare", "sbm/small")
    status, out, _ = shell("ooc", "train", "sbm-small.store", *TRAIN, "--dry-run")
    assert status == 0
    for word in ("least memory", "disk", "packing", "reading an epoch"):
        assert word in out
    assert not list(Path("sbm-small.store").glob("plans/*"))


def test_too_little_memory_says_how_much_is_needed(shell: Shell) -> None:
    words = [word for word in TRAIN if word not in ("--memory", "4G")]
    status, _, err = shell("ooc", "train", "sbm/small", *words, "--memory", "64M")
    assert status == 2
    assert "MiB" in err
    shell("ooc", "prepare", "sbm/small", "--out", "s")
    shell("ooc", "sample", "s", "--fanouts", "4", "--batch-size", 100)
    status, _, err = shell("ooc", "pack", "s", "--memory", "64M")
    assert status == 2
    assert "MiB" in err


def test_a_model_that_needs_more_than_the_store_has_is_refused(shell: Shell) -> None:
    shell("ooc", "prepare", "sbm/small", "--out", "s", "--model", "mlp")
    status, _, err = shell("ooc", "train", "s", *TRAIN, "--model", "gcn")
    assert status == 3
    assert "prepare it with --model gcn" in err
