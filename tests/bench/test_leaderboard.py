from __future__ import annotations

import csv
import io
import json
import math
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from graphkit.bench.leaderboard import Leaderboard, Row, load
from graphkit.bench.reading import read_records
from graphkit.errors import DataNotFound, MissingExtra, StorageError, UnknownName
from tests.bench.records import HOSTILE, failed, record, whole_suite, write


def one_row(folder: Path, records: list[dict[str, Any]]) -> Row:
    [row] = load(write(folder, records)).rows
    return row


def printed(leaderboard: Leaderboard, width: int = 200) -> str:
    out = io.StringIO()
    leaderboard.table(Console(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue()


def test_row_by_hand(tmp_path: Path) -> None:
    runs = [record(seed=seed, score=score) for seed, score in enumerate([0.80, 0.82, 0.84])]
    row = one_row(tmp_path, runs)
    assert row.test is not None
    assert (row.problem, row.experiment, row.metric) == ("cora/public", "gcn", "accuracy")
    assert row.test.std == statistics.stdev([0.80, 0.82, 0.84])
    assert (row.test.n, row.test.mean, row.test.min, row.test.max) == (3, 0.82, 0.80, 0.84)
    assert row.scores == {0: 0.80, 1: 0.82, 2: 0.84}
    assert row.val_mean == pytest.approx(0.75)
    assert (row.num_parameters, row.peak_memory_bytes) == (1234, 300 * 2**20)
    assert (row.seconds_per_epoch, row.seconds_per_run, row.total_seconds) == (0.01, 0.5, 1.5)
    assert row.extras == {"last": pytest.approx(0.73)}
    assert (row.failed_seeds, row.missing_seeds, row.gap, row.below) == ((), (), None, None)


def test_data_that_were_rebuilt_say_so(tmp_path: Path) -> None:
    rows = [record(problem=name) for name in ("aqsol/scaffold", "cora/public")]
    text = load(write(tmp_path, rows)).markdown()
    rebuilt, other = text.split("## cora/public")
    assert "raw files rebuilt" in rebuilt
    assert "raw files rebuilt" not in other


def test_crashed_seed_is_listed_and_no_part_of_the_mean(tmp_path: Path) -> None:
    found = load(write(tmp_path, [record(seed=0, score=0.8), failed(seed=1, message="no memory")]))
    [row] = found.rows
    assert row.test is not None
    assert (row.test.n, row.test.mean, row.failed_seeds) == (1, 0.8, (1,))
    [failure] = found.failures
    assert (failure.seed, failure.error.type, failure.error.message) == (
        1,
        "TrainingError",
        "no memory",
    )
    for text in (printed(found), found.markdown()):
        assert "seed 1 failed" in text
        assert "no memory" in text


def test_all_seeds_crashed_is_a_row_without_a_score_at_the_end(tmp_path: Path) -> None:
    runs = [failed("bad", seed=0, metric=None), record("good", seed=0)]
    [board] = load(write(tmp_path, runs)).boards
    assert [(row.label, row.test is None) for row in board.rows] == [("good", False), ("bad", True)]


def test_problem_where_everything_crashed(tmp_path: Path) -> None:
    found = load(write(tmp_path, [failed(seed=0, metric=None)]))
    [board] = found.boards
    assert (board.metric, len(board.rows)) == (None, 1)
    assert found.comparisons == ()
    assert "no finished run" in printed(found)


def test_missing_seed_is_listed_and_tests_use_the_shared_ones(tmp_path: Path) -> None:
    runs = [record("a", seed=seed, score=0.8 + seed / 100) for seed in range(4)]
    runs += [record("b", seed=seed, score=0.7) for seed in (0, 1, 3)]
    found = load(write(tmp_path, runs))
    assert {row.label: row.missing_seeds for row in found.rows} == {"a": (), "b": (2,)}
    [pair] = found.comparisons
    assert pair.test.n == 3
    assert "b: seed 2 not run" in printed(found)


def test_score_that_is_no_number_is_listed(tmp_path: Path) -> None:
    row = one_row(tmp_path, [record(seed=0, score=None), record(seed=1, score=0.5)])
    assert row.test is not None
    assert (row.test.n, row.unscored_seeds, row.seeds) == (1, (0,), (0, 1))


def test_unequal_epochs_are_allowed(tmp_path: Path) -> None:
    row = one_row(tmp_path, [record(seed=0, epochs=10), record(seed=1, epochs=250)])
    assert row.test is not None
    assert (row.test.n, row.epochs) == (2, (10, 250))


def test_duplicated_seed_counts_once_and_the_first_is_kept(tmp_path: Path) -> None:
    late = record(seed=0, score=0.9, finished="2026-01-02T05:00:00+00:00")
    early = record(seed=0, score=0.8, finished="2026-01-02T04:00:00+00:00")
    found = load(write(tmp_path, [late, early]))
    [row] = found.rows
    assert row.scores == {0: 0.8}
    [duplicate] = found.duplicates
    assert duplicate.path.startswith("suite/0000")
    assert duplicate.kept.startswith("suite/0001")
    assert "1 record left out, the seed was there already" in printed(found)


def test_zones_are_compared_as_moments(tmp_path: Path) -> None:
    """05:00 at +03:00 is 02:00 UTC, before 04:00 UTC; without a zone it is UTC."""
    zoned = record(seed=0, score=0.9, finished="2026-01-02T05:00:00+03:00")
    plain = record(seed=0, score=0.8, finished="2026-01-02T04:00:00")
    assert one_row(tmp_path, [plain, zoned]).scores == {0: 0.9}


def test_seed_that_crashed_and_was_run_again_counts(tmp_path: Path) -> None:
    crash = failed(seed=0, finished="2026-01-02T04:00:00+00:00")
    again = record(seed=0, score=0.8, finished="2026-01-02T05:00:00+00:00")
    found = load(write(tmp_path, [crash, again]))
    [row] = found.rows
    assert (row.scores, row.failed_seeds, found.failures) == ({0: 0.8}, (), ())
    assert len(found.duplicates) == 1


def test_outdated_recipe_is_left_out_and_counted(tmp_path: Path) -> None:
    old = [record(seed=s, score=0.1, fingerprint="old", finished="2025-01-01") for s in range(3)]
    new = [record(seed=0, score=0.8, fingerprint="new")]
    found = load(write(tmp_path, old + new))
    [row] = found.rows
    assert (row.fingerprint, row.scores) == ("new", {0: 0.8})
    [outdated] = found.outdated
    assert (outdated.fingerprint, outdated.num_records) == ("old", 3)
    assert "3 records of outdated recipes left out: gcn on cora/public" in printed(found)


def test_current_fingerprints_can_be_named(tmp_path: Path) -> None:
    runs = [
        record(score=0.1, fingerprint="old", finished="2025-01-01"),
        record(score=0.8, fingerprint="new"),
        record("other", fingerprint="third"),
    ]
    found = load(write(tmp_path, runs), current={"old"})
    assert [row.fingerprint for row in found.rows] == ["old"]
    assert sum(one.num_records for one in found.outdated) == 2


def test_one_name_for_two_recipes_of_two_suites_is_two_rows(tmp_path: Path) -> None:
    runs = [
        record("mlp", suite="nodes", fingerprint="one", score=0.5),
        record("mlp", suite="distillation", fingerprint="two", score=0.6),
    ]
    found = load(write(tmp_path, runs))
    assert [row.label for row in found.rows] == ["mlp (distillation)", "mlp (nodes)"]
    assert found.outdated == ()


def test_one_recipe_in_two_suites_is_one_row(tmp_path: Path) -> None:
    runs = [record("mlp", suite="nodes", seed=0), record("mlp", suite="distillation", seed=1)]
    row = one_row(tmp_path, runs)
    assert (row.label, row.suites, row.seeds) == ("mlp", ("distillation", "nodes"), (0, 1))


def reported(value: float, **more: Any) -> dict[str, Any]:
    return {"value": value, "std": None, "column": "test", "source": "s", "seeds": None} | more


@pytest.mark.parametrize(
    ("value", "more", "below"),
    [
        # scores 0.80 0.81 0.82: mean 0.81, standard error 0.01 / sqrt 3 = 0.00577, twice 0.01155
        (0.8210, {}, False),
        (0.8220, {}, True),
        (0.7900, {}, False),
        # with the paper's own error 0.02 / sqrt 4 = 0.01: twice the whole is 0.02309
        (0.8320, {"std": 0.02, "seeds": 4}, False),
        (0.8340, {"std": 0.02, "seeds": 4}, True),
        # a deviation of unknown many seeds says nothing about the mean
        (0.8220, {"std": 0.02}, True),
    ],
)
def test_below_is_more_than_two_standard_errors(
    tmp_path: Path, value: float, more: dict[str, Any], below: bool
) -> None:
    runs = [
        record(seed=seed, score=score, reported=reported(value, **more))
        for seed, score in enumerate([0.80, 0.81, 0.82])
    ]
    row = one_row(tmp_path, runs)
    assert row.gap == pytest.approx(0.81 - value)
    assert row.below is below


def test_below_turns_round_where_lower_is_better(tmp_path: Path) -> None:
    runs = [
        record(name, seed=seed, score=score, metric="mae", higher_is_better=False,
               reported=reported(value))
        for name, value in (("worse", 0.3), ("better", 0.5))
        for seed, score in enumerate([0.40, 0.41, 0.39])
    ]  # fmt: skip
    rows = {row.label: row for row in load(write(tmp_path, runs)).rows}
    assert rows["worse"].gap == pytest.approx(0.1)
    assert rows["worse"].below is True
    assert rows["better"].below is False


def test_one_seed_is_no_ground_for_below(tmp_path: Path) -> None:
    row = one_row(tmp_path, [record(score=0.5, reported=reported(0.9))])
    assert (row.gap, row.below) == (pytest.approx(-0.4), None)


def test_equal_to_the_last_bit_is_not_below(tmp_path: Path) -> None:
    runs = [record(seed=s, score=0.1 + 0.2, reported=reported(0.3)) for s in range(3)]
    runs += [record("x", seed=s, score=0.3, reported=reported(0.1 + 0.2)) for s in range(3)]
    assert [row.below for row in load(write(tmp_path, runs)).rows] == [False, False]


@pytest.mark.parametrize(
    ("column", "ours"),
    [
        ("hidden", 0.6),
        ("production", 0.65),
        ("last", 0.73),
        ("fidelity", 0.9),
        ("measures.fidelity", 0.9),
        ("test.loss", 0.5),
        ("val", 0.75),
    ],
)
def test_published_number_may_speak_of_another_column(
    tmp_path: Path, column: str, ours: float
) -> None:
    row = one_row(
        tmp_path,
        [
            record(
                reported=reported(0.5, column=column),
                hidden={"accuracy": 0.6},
                production={"accuracy": 0.65},
                measures={"fidelity": 0.9},
            )
        ],
    )
    assert row.gap == pytest.approx(ours - 0.5)


def test_ours_is_shown_where_the_published_number_is_of_another_column(tmp_path: Path) -> None:
    given = reported(0.5, column="production")
    found = load(write(tmp_path, [record(reported=given, production={"accuracy": 0.65})]))
    assert "are of column production, where ours is 0.6500" in " ".join(printed(found).split())


def test_published_column_that_is_not_there_is_said(tmp_path: Path) -> None:
    found = load(write(tmp_path, [record(reported=reported(0.5, column="nowhere"))]))
    assert found.rows[0].gap is None
    assert "the published number is of column nowhere, which no record has" in printed(found)


def test_best_first_in_either_direction(tmp_path: Path) -> None:
    runs = [record(n, "a/b", score=s) for n, s in (("low", 0.1), ("high", 0.9))]
    runs += [
        record(n, "c/d", score=s, metric="mae", higher_is_better=False)
        for n, s in (("low", 0.1), ("high", 0.9))
    ]
    found = load(write(tmp_path, runs))
    assert [[row.label for row in board.rows] for board in found.boards] == [
        ["high", "low"],
        ["low", "high"],
    ]


def test_bold_only_for_what_the_tests_set_above_all_others(tmp_path: Path) -> None:
    levels = {"best": 0.9, "mid": 0.7, "last": 0.5}
    runs = [
        record(name, seed=seed, score=level + seed / 100)
        for name, level in levels.items()
        for seed in range(8)
    ]
    found = load(write(tmp_path / "eight", runs))
    assert found.best(found.boards[0]) == "best"
    assert "**best**" in found.markdown(tests=True)
    assert {pair.winner for pair in found.comparisons} == {"best", "mid"}
    few = load(write(tmp_path / "four", [run for run in runs if run["seed"] < 4]))
    assert few.best(few.boards[0]) is None
    assert "**" not in few.markdown(tests=True)
    assert "too few seeds to tell" in few.markdown(tests=True)


def test_lower_is_better_wins_with_less(tmp_path: Path) -> None:
    runs = [
        record(name, seed=seed, score=level + seed / 100, metric="mae", higher_is_better=False)
        for name, level in (("good", 0.1), ("bad", 0.5))
        for seed in range(6)
    ]
    [pair] = load(write(tmp_path, runs)).comparisons
    assert pair.winner == "good"


def test_critical_difference_over_shared_problems(tmp_path: Path) -> None:
    runs = [
        record(name, problem, score=score)
        for problem in ("p/1", "p/2")
        for name, score in (("a", 0.9), ("b", 0.8), ("c", 0.7))
    ]
    runs.append(record("only_here", "p/1", score=0.99))
    runs += [
        record(name, "p/3", score=score, metric="mae", higher_is_better=False)
        for name, score in (("a", 0.1), ("b", 0.2), ("c", 0.3))
    ]
    ranking = load(write(tmp_path, runs)).critical_difference
    assert ranking is not None
    assert ranking.problems == ("p/1", "p/2", "p/3")
    assert dict(zip(ranking.models, ranking.ranks, strict=True)) == {"a": 1.0, "b": 2.0, "c": 3.0}


def test_no_critical_difference_over_one_problem(tmp_path: Path) -> None:
    runs = [record(name, "p/1") for name in "abcd"] + [record(name, "p/2") for name in "ab"]
    assert load(write(tmp_path, runs)).critical_difference is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"schema": 1, "suite"', "not JSON: Expecting ':' delimiter: line 1 column 22"),
        (b"", "not JSON: Expecting value: line 1 column 1"),
        (b"[1, 2]", "holds a list, expected one object"),
        (b"17", "holds a int, expected one object"),
        (b"{} {}", "not JSON: Extra data"),
        (b'{"schema": NaN}', "schema is nan, expected 1"),
        (b'\xff\xfe{"schema": 1}', "not JSON: 'utf-8' codec"),
        (b"{}", "schema is None, expected 1"),
        (b'{"schema": 2}', "schema is 2, expected 1"),
        (b'{"schema": 1, "status": "running"}', "status is 'running', expected 'done' or 'failed'"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_file_that_is_no_record_is_named_with_its_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    write(tmp_path, [record()])
    (tmp_path / "suite" / "other.json").write_bytes(content)
    found = load(tmp_path)
    [one] = found.unreadable
    assert one.path == "suite/other.json"
    assert reason in one.reason
    assert len(found.rows) == 1
    assert "suite/other.json is not a record" in printed(found)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": "0"}, "seed is '0', expected a whole number"),
        ({"seed": True}, "seed is True, expected a whole number"),
        ({"seed": -1}, "seed is -1, expected a whole number"),
        ({"problem": None}, "problem is None, expected a text"),
        ({"experiment": ""}, "experiment is '', expected a text"),
        ({"fingerprint": 7}, "fingerprint is 7, expected a text"),
        ({"test": None}, "test is None in a finished run"),
        ({"test": {"f1": 1.0}}, "test has no 'accuracy'"),
        ({"higher_is_better": "yes"}, "higher_is_better is 'yes', expected true or false"),
        ({"val": [1]}, "val is [1], expected an object"),
        ({"finished": "yesterday"}, "finished is 'yesterday', expected a time"),
        ({"finished": None, "started": None}, "neither finished nor started"),
        ({"reported": {"source": "x"}}, "expected an object with a finite value"),
        ({"num_parameters": 1.5}, "num_parameters is 1.5, expected a whole number"),
    ],
)
def test_field_that_breaks_the_schema_is_named(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    found = load(write(tmp_path, [record() | change]))
    assert found.rows == ()
    assert reason in found.unreadable[0].reason


def test_things_that_are_no_files(tmp_path: Path) -> None:
    write(tmp_path, [record()])
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    found = load(tmp_path)
    assert [(one.path, one.reason) for one in found.unreadable] == [
        ("gone.json", "not a regular file")
    ]
    assert len(found.rows) == 1


def test_state_of_runs_in_flight_is_no_record(tmp_path: Path) -> None:
    write(tmp_path, [record()])
    (tmp_path / ".running" / "suite").mkdir(parents=True)
    (tmp_path / ".running" / "suite" / "progress.json").write_text("{}")
    assert load(tmp_path).unreadable == ()


def test_damage_never_loses_a_file(tmp_path: Path) -> None:
    """300 records, each cut, flipped, swapped or filled with noise: read, or named."""
    draw = random.Random(0)
    whole = json.dumps(record()).encode()
    for number in range(300):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            place = draw.randrange(len(data))
            match draw.randrange(4):
                case 0:
                    data[place] ^= 1 << draw.randrange(8)
                case 1:
                    del data[place : place + draw.randint(1, 40)]
                case 2:
                    data[place:place] = draw.randbytes(draw.randint(1, 8))
                case _:
                    data = data[: place + 1]
        (tmp_path / f"{number}.json").write_bytes(data)
    records, unreadable = read_records(tmp_path)
    assert sorted([one.path for one in records] + [one.path for one in unreadable]) == sorted(
        f"{number}.json" for number in range(300)
    )
    assert all(one.reason for one in unreadable)
    load(tmp_path)


def test_any_value_in_any_field_is_read_or_named(tmp_path: Path) -> None:
    values = (
        None,
        True,
        0,
        -1,
        1.5,
        1e308,
        10**400,
        math.nan,
        "",
        "x",
        [],
        [1],
        {},
        {"a": 1},
        {"a": {"b": None}},
    )
    runs = []
    for key in record():
        for number, value in enumerate(values):
            runs.append(record(f"{key}-{number}") | {key: value})
    records, unreadable = read_records(write(tmp_path, runs))
    assert len(records) + len(unreadable) == len(runs)
    found = load(tmp_path)
    printed(found)
    found.markdown(tests=True)
    json.loads(found.to_json(tests=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_everywhere(tmp_path: Path, name: str) -> None:
    runs = [
        record(name, name, seed=seed, suite=name, fingerprint=name, measures={name: 1.0},
               reported=reported(0.9, source=name, column=name))
        for seed in range(2)
    ] + [failed(name, name, seed=2, message=name, fingerprint=name)]  # fmt: skip
    found = load(write(tmp_path, runs), problems=[name], experiments=[name], suites=[name])
    [row] = found.rows
    assert (row.problem, row.experiment, row.suites) == (name, name, (name,))
    assert row.test is not None
    assert row.test.n == 2
    text = found.markdown(tests=True)
    assert "<" not in text.replace("&lt;", "")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in table} == {16}
    assert "\x1b" not in printed(found).replace("\x1b[", "")
    assert "\x00" not in printed(found)
    [_, cells] = csv.reader(io.StringIO(found.csv()))
    assert not cells[0].startswith(("=", "+", "-", "@"))
    latex = found.latex()
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 2
    [entry] = json.loads(found.to_json())["rows"]
    assert entry["experiment"] == name


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    out = io.StringIO()
    evil = "[bold red]x[/] \x1b[2J\x1b]0;title\x07 \u202eabc"
    found = load(write(tmp_path, [record(evil), failed("b", message=evil, seed=1)]))
    found.table(Console(file=out, width=200, force_terminal=False))
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()
    assert "[bold red]x[/]" in out.getvalue()


def test_sql_in_names_of_files_and_folders_is_only_a_name(tmp_path: Path) -> None:
    folder = tmp_path / "x'; drop table records; --" / "[a]*?{b}"
    folder.mkdir(parents=True)
    (tmp_path / "x'; drop table records; --" / "a").mkdir()
    (folder / "r[1]'; select 1; --.json").write_text(json.dumps(record()))
    found = load(tmp_path)
    assert len(found.rows) == 1
    assert found.unreadable == ()


def test_name_of_a_file_is_no_pattern(tmp_path: Path) -> None:
    for seed, name in enumerate(["a*.json", "ab.json", "a?.json", "[a]b.json"]):
        (tmp_path / name).write_text(json.dumps(record(seed=seed)))
    found = load(tmp_path)
    assert found.rows[0].seeds == (0, 1, 2, 3)
    assert found.duplicates == ()


def test_tiny_p_value_is_escaped_in_markdown(tmp_path: Path) -> None:
    runs = [
        record(name, seed=seed, score=level + seed / 1000)
        for name, level in (("a", 0.9), ("b", 0.5))
        for seed in range(20)
    ]
    assert "| &lt; 0.0001 |" in load(write(tmp_path, runs)).markdown(tests=True)


def test_formula_in_a_name_is_not_run_by_a_spreadsheet(tmp_path: Path) -> None:
    found = load(write(tmp_path, [record("=HYPERLINK(1)"), record("@x"), record("b", seed=1)]))
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    assert {row["experiment"] for row in rows} == {"'=HYPERLINK(1)", "'@x", "b"}


def test_latex_is_escaped(tmp_path: Path) -> None:
    latex = load(write(tmp_path, [record(r"a_b & 50% \input{x} $y$ #1 ~^")])).latex()
    assert (
        r"a\_b \& 50\% \textbackslash{}input\{x\} \$y\$ \#1 \textasciitilde{}\textasciicircum{}"
        in latex
    )
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in latex


def test_csv_json_and_parquet_say_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    found = load(write(tmp_path / "runs", whole_suite(range(4))))
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    entries = json.loads(found.to_json())["rows"]
    table = parquet.read_table(found.write_parquet(tmp_path / "out" / "rows.parquet")).to_pylist()
    assert len(rows) == len(entries) == len(table) == len(found.rows)
    for text, entry, line, row in zip(rows, entries, table, found.rows, strict=True):
        mean = None if row.test is None else row.test.mean
        assert entry["mean"] == line["mean"] == mean
        assert text["mean"] == ("" if mean is None else repr(mean))
        assert entry["below"] == line["below"] == row.below
        assert entry["experiment"] == line["experiment"] == row.experiment
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rows.parquet"]


def test_parquet_of_nothing_has_its_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(load(tmp_path).write_parquet(tmp_path / "rows.parquet"))
    assert table.num_rows == 0
    assert "mean" in table.column_names


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        load(tmp_path).write_parquet(tmp_path / "file" / "rows.parquet")
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        load(tmp_path).write_parquet(tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_filters_and_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, [record("gcn"), record("gat"), record("gcn", "pubmed/public")])
    assert len(load(tmp_path, experiments=["gcn"]).rows) == 2
    assert [row.problem for row in load(tmp_path, problems=["pubmed/public"]).rows] == [
        "pubmed/public"
    ]
    with pytest.raises(UnknownName, match="did you mean 'pubmed/public'"):
        load(tmp_path, problems=["pubmed/publik"])


def test_empty_and_absent_folders(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.rows == found.comparisons == ()
    assert "no records found" in printed(found)
    assert found.markdown(tests=True)
    with pytest.raises(DataNotFound, match="no folder of results"):
        load(tmp_path / "nowhere")


def test_missing_duckdb_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtra, match=r"graphkit\[bench\]"):
        load(tmp_path)


def test_missing_pyarrow_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"graphkit\[bench\]"):
        load(tmp_path).write_parquet(tmp_path / "rows.parquet")


@pytest.mark.parametrize("width", [62, 80, 100, 120, 200])
def test_table_gives_up_columns_before_it_cuts_numbers(tmp_path: Path, width: int) -> None:
    text = printed(load(write(tmp_path, whole_suite(range(3)))), width)
    assert all(len(line) <= width for line in text.splitlines())
    numbers = [line for line in text.splitlines() if line.lstrip().startswith("mlp ")]
    assert len(numbers) == 3
    assert not any("…" in line for line in numbers)
    assert ("memory" in text) == (width == 200) or width == 120


def test_leaderboard_is_light(tmp_path: Path) -> None:
    """What `graphkit leaderboard` does loads neither torch nor what only tests and plots need."""
    write(tmp_path, whole_suite(range(2)))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rich.console import Console\n"
        "from graphkit.bench.leaderboard import load\n"
        "assert 'duckdb' not in sys.modules\n"
        "found = load(Path(sys.argv[1]))\n"
        "found.table(Console(width=120))\n"
        "found.csv(), found.markdown(), found.latex(), found.to_json()\n"
        "heavy = {'torch', 'torch_geometric', 'scipy.stats', 'matplotlib', 'pandas', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
