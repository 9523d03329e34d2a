"""Ways of training out of core yield the same batches; what is measured adds up; goals are judged
by numbers checked by hand."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from graphkit.bench import ooc_bench, ooc_epoch
from graphkit.bench.confined import Ended
from graphkit.bench.ooc_bars import Bar, bars, later, steady
from graphkit.bench.ooc_bench import Asked, jobs, measure, measured
from graphkit.bench.ooc_job import Job, carry_out
from graphkit.bench.ooc_page import page, picture
from graphkit.bench.ooc_rows import RowByRow, hot_nodes, rows_of
from graphkit.bench.ooc_ways import WAYS, InMemory, Mapped, OnDemand, Way
from graphkit.errors import DataNotFound, SettingError, UnknownName
from graphkit.ooc.packed_nodes import Packed, PackedNodes
from graphkit.ooc.prepare import RowType
from graphkit.ooc.store import Store
from tests.ooc.packed import FANOUTS, SIZE, packed, undirected

MEMORY = 6 << 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return undirected(tmp_path_factory.mktemp("bench") / "s")[1]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Job:
    path = undirected(tmp_path_factory.mktemp("jobs") / "s")[1].path
    return Job(
        kind="ready", store=str(path), memory=MEMORY, fanouts=FANOUTS, batch_size=SIZE,
        sampled_epochs=2, seed=0, threads=torch.get_num_threads(), cached_rows=200,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ready(base: Job) -> dict[str, Any]:
    return carry_out(base)


def in_process(module: str, words: list[str], memory: int | None) -> Ended:
    """Stands for a process of its own, which costs seconds to start."""
    given = json.loads(words[0])
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    told = carry_out(Job(**(given | lists)))
    return Ended(0, json.dumps(told), "", True, 7)


# ways


@contextmanager
def opened(store: Store, way: Way) -> Iterator[tuple[Any, Packed]]:
    """A way that is not the store's own, with 200 rows in memory, and the pack it replays."""
    made = packed(store, rows=200)
    if way == "memory":
        yield InMemory(store, made.plan), made
    elif way.startswith("mapped"):
        with closing(Mapped(store, made.plan, random=way == "mapped-random")) as mapped:
            yield mapped, made
    else:
        with rows_of(store, way, hot_nodes(made.plan, 200)) as reader:
            yield OnDemand(store, made.plan, reader), made


@pytest.mark.parametrize("way", [way for way in WAYS if way != "packed"])
def test_every_way_yields_the_batches_of_the_store(store: Store, way: Way) -> None:
    with opened(store, way) as (batching, made):
        own = PackedNodes(store, {"train": made})
        count = made.plan.batches_per_epoch
        for epoch, first in ((0, 0), (0, 3), (1, 0)):
            both = [store.problem(b).batches("train", None, epoch, first) for b in (own, batching)]
            pairs = list(zip(*both, strict=True))
            assert len(pairs) == count - first > 0
            for expected, batch in pairs:
                for name in ("x", "y", "edge_index", "n_id", "seeds"):
                    assert batch[name].dtype == expected[name].dtype
                    assert torch.equal(batch[name], expected[name]), name
                assert batch.num_nodes == expected.num_nodes
                assert batch.batch_size == expected.batch_size


@pytest.mark.parametrize(("dtype", "columns"), [("float16", 25), ("float32", 1), ("int8", 7)])
def test_row_by_row_reads_rows_of_any_size(tmp_path: Path, dtype: RowType, columns: int) -> None:
    """Rows of 50, 4 and 7 bytes; some lie on two pages, the last at the end of the file."""
    _, store = undirected(tmp_path / "s", dtype, columns)
    expected = torch.from_numpy(store.decode(store.load("node/x")))
    ids = torch.tensor([store.num_nodes - 1, 0, 81, 82, 81, 5])
    with RowByRow(store, threads=3) as rows:
        assert torch.equal(rows.read(ids), expected[ids])
        every = torch.arange(store.num_nodes)
        assert torch.equal(rows.read(every), expected)
        assert rows.read(ids[:0]).shape == (0, columns)


def test_hot_nodes_are_those_that_a_pack_caches(store: Store) -> None:
    made = packed(store, rows=200)
    assert torch.equal(hot_nodes(made.plan, 200), torch.tensor(made.pack.cached_ids()).long())


def test_a_static_cache_asks_the_disk_for_misses_alone(store: Store) -> None:
    with opened(store, "static") as (batching, made):
        list(store.problem(batching).batches("train", None, 0))
        cold = made.pack.regions["rows"][: made.plan.batches_per_epoch].sum()
        assert batching.rows_read == cold > 0


def test_a_mapping_is_for_float32_alone(tmp_path: Path) -> None:
    _, store = undirected(tmp_path / "s", "float16")
    with pytest.raises(SettingError, match="float16"):
        Mapped(store, packed(store).plan, random=False)


def test_without_a_group_pages_are_dropped_by_hand(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = []
    plan = packed(store).plan
    monkeypatch.setattr(Mapped, "forget", lambda self: dropped.append(1))
    for limit, times in ((1, plan.batches_per_epoch), (None, 0)):
        dropped.clear()
        with closing(Mapped(store, plan, random=False, limit=limit)) as batching:
            list(store.problem(batching).batches("train", None, 0))
        assert len(dropped) == times


# jobs


def test_drawing_and_packing_is_counted(store: Store, ready: dict[str, Any]) -> None:
    made = packed(store, rows=200)
    assert ready["batches"] == made.plan.batches_per_epoch
    assert ready["accesses"] == made.plan.num_ids().sum()
    assert ready["cold_rows"] == made.pack.regions["rows"][: made.plan.num_batches].sum()
    assert ready["cached_rows"] == 200
    assert ready["row_bytes"] == 100
    assert ready["fresh"]
    assert ready["sample_seconds"] > 0
    assert ready["peak"]["anonymous"] > 50 << 20


def test_what_was_there_is_not_drawn_again(base: Job, ready: dict[str, Any]) -> None:
    again = carry_out(base)
    assert not again["fresh"]
    assert again["plan"] == ready["plan"]
    assert again["pack"] == ready["pack"]


@pytest.mark.parametrize("way", WAYS)
def test_a_way_trains_and_is_taken_apart(base: Job, ready: dict[str, Any], way: Way) -> None:
    packs = None if way == "packed" else (ready["plan"], ready["pack"])
    [first, second] = carry_out(replace(base, kind="way", way=way, epochs=2, packs=packs))["epochs"]
    assert first["whole"]
    assert first["batches"] == first["of"] == ready["batches"]
    parts = first["wait_seconds"] + first["compute_seconds"]
    assert 0.5 * first["seconds"] < parts <= first["seconds"]
    total = first["wanted_bytes"] + second["wanted_bytes"]
    assert total == ready["accesses"] * ready["row_bytes"]
    asked = {"packed": ready["cold_rows"], "static": ready["cold_rows"], "memory": 0}
    if way not in ("lru", *asked):
        asked[way] = ready["accesses"]
    if way in asked:
        both = first["asked_bytes"] + second["asked_bytes"]
        assert both == asked[way] * ready["row_bytes"]
    else:
        assert 0 < first["asked_bytes"] < first["wanted_bytes"]
    assert set(first["stages"]) == ({"topology", "rows", "assembly"} if way == "packed" else set())
    alone = carry_out(replace(base, kind="way", epochs=1))["epochs"][0]
    assert first["losses"] == alone["losses"]  # the same network on the same batches


def test_a_slow_epoch_is_cut_off_and_reckoned(
    base: Job, ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The k-th look at the clock says k * k: four batches take 4, 12, 20 and 28 seconds."""
    looks = (float(k * k) for k in itertools.count())
    monkeypatch.setattr(ooc_epoch, "time", SimpleNamespace(perf_counter=lambda: next(looks)))
    packs = (ready["plan"], ready["pack"])
    job = replace(base, kind="way", way="memory", packs=packs, seconds=10.0)
    [epoch] = carry_out(job)["epochs"]
    assert (epoch["batches"], epoch["whole"], epoch["seconds"]) == (4, False, 64.0)
    assert (epoch["wait_seconds"], epoch["compute_seconds"]) == (1 + 5 + 9 + 13, 3 + 7 + 11 + 15)
    assert epoch["epoch_seconds"] == 24.0 * epoch["of"]


def test_reading_and_the_disk_in_turn(base: Job, ready: dict[str, Any]) -> None:
    packs = (ready["plan"], ready["pack"])
    told = carry_out(replace(base, kind="rates", memory=None, packs=packs, epochs=5))
    assert len(told["rounds"]) == 5
    assert all(one["disk"] > 0 and one["compute_seconds"] < 0.1 for one in told["rounds"])
    assert told["ring_bytes"] > 1 << 20
    assert told["strictest"]["bytes_per_second"] > 0


def test_memory_and_store_in_turn(base: Job, ready: dict[str, Any]) -> None:
    packs = (ready["plan"], ready["pack"])
    job = replace(base, kind="beside", memory=None, packs=packs, epochs=2, batches=3)
    rounds = carry_out(job)["rounds"]
    assert len(rounds) == 2
    for one in rounds:
        assert one["memory"]["batches"] == one["packed"]["batches"] == 3
        assert one["memory"]["losses"] == one["packed"]["losses"] == rounds[0]["packed"]["losses"]


# measurements


def test_a_measurement_goes_on_where_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(
        MEMORY, FANOUTS, SIZE, ways=("memory",), shares=(), some=1, cached_rows=200, threads=1,
        light=4, heavy=8,
    )  # fmt: skip
    ran: list[str] = []

    def noted(module: str, words: list[str], memory: int | None) -> Ended:
        ran.append(json.loads(words[0])["kind"])
        if len(ran) in (4, 10):
            raise KeyboardInterrupt
        return in_process(module, words, memory)

    monkeypatch.setattr(ooc_bench, "run_within", noted)
    out = tmp_path / "out.json"
    with pytest.raises(KeyboardInterrupt):
        measured(store.path, asked, out)
    assert list(json.loads(out.read_text())["jobs"]) == ["ready", "rates"]
    found = measured(store.path, asked, out)
    assert ran == ["warm", "ready", "rates", "way", "way", "way", "beside", "beside"]
    names = [name for name, _ in jobs(store.path, asked, None)]
    assert list(found) == names
    told = json.loads(out.read_text())
    assert list(told["jobs"]) == names
    assert {one["source"] for one in told["goals"]} == {"issue", *"ABCDEHI"}
    assert "this store" in out.with_suffix(".html").read_text()
    ElementTree.fromstring(out.with_suffix(".svg").read_text())
    with pytest.raises(KeyboardInterrupt):
        measured(store.path, replace(asked, seed=1), out)
    assert ran[8:] == ["warm", "ready"]  # other words: nothing of it counts


def test_what_is_killed_or_fails_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch, ready: dict[str, Any]
) -> None:
    ends = {"memory": Ended(1, "", "Traceback\nMemoryError: none", False, None)}
    ends["mapped"] = Ended(-9, "", "", True, MEMORY)

    def fails(module: str, words: list[str], memory: int | None) -> Ended:
        job = json.loads(words[0])
        if job["kind"] == "way":
            return ends.get(job["way"], Ended(0, '{"error": "not tried"}', "", True, None))
        return Ended(0, json.dumps(ready), "", True, None)

    monkeypatch.setattr(ooc_bench, "run_within", fails)
    asked = Asked(MEMORY, ways=("memory", "mapped"), shares=())
    found = measure(store.path, asked)
    assert found["memory"]["error"] == "ended with 1: MemoryError: none"
    assert found["mapped"]["error"] == "killed: it takes more than 6.0 GiB"
    html = page(found, "t")
    assert "killed: it takes more than 6.0 GiB" in html


def test_without_a_group_the_process_is_told_to_keep_to_it_itself(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def free(module: str, words: list[str], memory: int | None) -> Ended:
        given.append((json.loads(words[0])["confined"], memory))
        return Ended(0, json.dumps({"plan": "a", "pack": "b"}), "", False, None)

    monkeypatch.setattr(ooc_bench, "run_within", free)
    measure(store.path, Asked(MEMORY, ways=(), shares=()))
    assert (False, None) in given
    assert (True, None) in given  # those in memory need no limit


def test_the_first_job_has_to_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Ended(0, json.dumps({"error": "SettingError: memory = 1.0 MiB"}), "", True, None)
    monkeypatch.setattr(ooc_bench, "run_within", lambda *_: told)
    with pytest.raises(SettingError, match=r"memory = 1\.0 MiB"):
        measure(store.path, Asked(1 << 20))


def test_a_real_process_of_its_own(base: Job, ready: dict[str, Any]) -> None:
    packs = (ready["plan"], ready["pack"])
    job = replace(base, kind="way", way="mapped-random", packs=packs, memory=2 << 30)
    told = ooc_bench._carried_out(job)
    assert "error" not in told
    assert told["epochs"][0]["batches"] == ready["batches"]
    assert told["memory"] == 2 << 30
    assert 0 < told["peak"]["anonymous"] < 2 << 30


def test_wrong_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="rounds = 4"):
        Asked(MEMORY, rounds=4)
    with pytest.raises(SettingError, match="shares"):
        Asked(MEMORY, shares=(1.0,))
    with pytest.raises(UnknownName, match="did you mean 'mapped'"):
        Asked(MEMORY, ways=("maped",))  # type: ignore[arg-type]
    with pytest.raises(DataNotFound):
        measure(tmp_path / "none", Asked(MEMORY))


# goals


def epoch(seconds: float, **words: Any) -> dict[str, Any]:
    return {
        "whole": True, "batches": 10, "of": 10, "seconds": seconds, "epoch_seconds": seconds,
        "wait_seconds": 0.25 * seconds, "compute_seconds": 0.75 * seconds, "wanted_bytes": 2000,
        "asked_bytes": 1000, "disk_bytes": 1050, "stages": {"rows": 0.5}, "losses": [1.0, 2.0],
    } | words  # fmt: skip


FOUND: dict[str, Any] = {
    "prepare": {"seconds": 9.0},
    "ready": {
        "fresh": True, "sample_seconds": 2.0, "pack_seconds": 4.0, "cold_rows": 10,
        "row_bytes": 512, "region_bytes": 5200, "rows_per_batch": 20.0, "nodes": 1000,
        "feature_bytes": 6000, "pack_bytes": 2000, "memory": 1000, "confined": True, "edges": 5,
        "batches": 10, "distinct_rows": 500, "cached_rows": 100, "accesses": 40,
    },
    "rates": {
        "rounds": [epoch(1.0, disk=d) for d in (1000.0, 1100.0, 1250.0, 2000.0, 500.0)],
        "strictest": {"bytes_per_second": 2000.0, "request_bytes": 1 << 20, "threads": 1},
    },
    "packed": {
        "epochs": [epoch(8.0), epoch(2.0), epoch(3.0)], "peak": {"anonymous": 600},
        "memory": 1000, "confined": True,
    },
    "packed-0.8": {
        "epochs": [epoch(2.0)], "peak": {"anonymous": 720}, "memory": 800, "confined": True,
    },
    "mapped": {"epochs": [epoch(50.0)], "peak": {"anonymous": 1}},
    "mapped-random": {
        "epochs": [epoch(9.0, epoch_seconds=30.0, batches=3, whole=False)],
        "peak": {"anonymous": 1},
    },
    "static": {"epochs": [epoch(80.0)], "peak": {"anonymous": 1}},
    "lru": {"error": "killed"},
    "beside-heavy": {
        "rounds": [
            {"packed": epoch(p), "memory": epoch(10.0)} for p in (11.0, 12.0, 13.0, 14.0, 30.0)
        ]
    },
}  # fmt: skip


def by_name(found: Any) -> dict[tuple[str, str], Bar]:
    return {(one.source, one.what.split(" /")[0]): one for one in bars(found)}


def test_goals_by_hand() -> None:
    """The first epoch of the store is left out of the median: (2 + 3) / 2."""
    assert steady(FOUND["packed"]) == 2.5
    found = by_name(FOUND)
    expected = {
        ("issue", "mapped features, cold cache"): (30.0 / 2.5, "reached"),
        ("issue", "bytes read"): (1.05, "reached"),
        ("issue", "features read"): (1000 / 1100, "reached"),
        ("issue", "packed"): (1.3, "missed"),
        ("issue", "peak memory"): (0.9, "reached"),
        ("issue", "drawing and packing"): (6.0 / 25.0, ""),
        ("A", "packed bytes"): (5200 / 5120, "missed"),
        ("B", "all bytes read"): (1050 / 1100, "reached"),
        # 20 s of waiting over 10 batches, against 0.1 s
        ("C", "pages on demand"): (2.0 / 0.1, "missed"),
        ("D", "pages on demand"): (80.0 / 14.0, "reached"),
        ("E", "peak memory"): (0.9, "reached"),
        ("H", "packing"): (2000 / 1100, "reached"),
        ("I", "share of a step spent waiting, much computed"): (0.25, "missed"),
    }
    assert set(found) == set(expected)
    for name, (value, verdict) in expected.items():
        assert found[name].value == pytest.approx(value), name
        assert found[name].verdict == verdict, name
    assert "later half of 3 of 10 batches" in found["issue", "mapped features, cold cache"].note
    assert "of the strictest rate (1.95 KiB/s) 0.50" in found["issue", "features read"].note


def test_what_was_not_measured_has_no_verdict() -> None:
    for one in bars({}):
        assert one.value is None
        assert one.verdict == ""
    assert later({}) == []
    assert steady({}) is None


def test_a_killed_run_is_no_peak() -> None:
    found = FOUND | {"packed-0.9": {"error": "killed", "memory": 900, "confined": True}}
    assert by_name(found)["E", "peak memory"].value is None
    assert "packed-0.9: killed" in by_name(found)["E", "peak memory"].note


def test_bars_apply_where_the_sheet_says() -> None:
    """Pages on demand: rows of 512 bytes, few a batch. Waiting: where computing takes longer."""
    wide = FOUND | {"ready": FOUND["ready"] | {"rows_per_batch": 31.0}}
    assert by_name(wide)["C", "pages on demand"].verdict == ""
    slow = [one | {"seconds": 100.0} for one in FOUND["rates"]["rounds"]]
    read = FOUND | {"rates": FOUND["rates"] | {"rounds": slow}}
    name = ("I", "share of a step spent waiting, much computed")
    assert by_name(read)[name].verdict == ""


def test_page_and_picture() -> None:
    html = page(FOUND, "a < b")
    assert "<title>a &lt; b</title>" in html
    assert "about 30.0 s" in html
    assert "reached" in html
    assert "all ways train alike" in html
    svg = ElementTree.fromstring(picture(FOUND))
    texts = [each.text for each in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "waiting for a batch" in texts
    assert "the disk front to back" in texts
    page({}, "nothing yet")
    ElementTree.fromstring(picture({}))


def test_ways_that_train_otherwise_are_told() -> None:
    other = FOUND | {
        "mapped": {"epochs": [epoch(50.0, losses=[1.0, 2.5])], "peak": {"anonymous": 1}}
    }
    assert "NO, first 2 losses" in page(other, "t")


def test_words_of_a_job_survive_the_way_to_its_process(base: Job) -> None:
    assert Job(**(json.loads(json.dumps(asdict(base))) | {"fanouts": FANOUTS})) == base
