"""``graphkit distill``: teach a network that needs no graph, and predict with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console

from graphkit.errors import DataError, DataNotFound, SettingError, unknown_name

if TYPE_CHECKING:
    from graphkit.bench.distilled import StoredRun, Taught
    from graphkit.bench.store import Store
    from graphkit.data.problem import Problem

__all__ = ["predict", "run"]

AsJson = Annotated[bool, tyro.conf.arg(name="json")]
File = Annotated[Path, tyro.conf.Positional]
Method = Literal["glnn", "vqgraph", "light-hgnn", "light-hgnn-plus"]
SUITE = "distill"


def run(
    *,
    teacher: str = "",
    problem: str = "",
    method: Method = "glnn",
    setting: Literal["transductive", "production"] | None = None,
    hyperedges: Literal["neighbourhood", "nearest"] | None = None,
    seed: int | None = None,
    hidden: int | None = None,
    layers: int | None = None,
    dropout: float | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    epochs: int | None = None,
    teacher_epochs: int | None = None,
    hard_weight: float = 0.0,
    out: Path | None = None,
    results: Path = Path("results"),
    data_root: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    repeats: int = 20,
    quiet: bool = False,
    as_json: AsJson = False,
) -> int:
    """Teaches a student and shows it beside its teacher and an untaught network.

    Writes the student as ``student.safetensors`` (weights with all that builds it again) and as
    ``student.pt2``, a program that predicts from features with torch alone. Runs go on where they
    stopped, as those of ``graphkit bench run`` do.

    Args:
        teacher: Name of a model, or a stored run whose model was kept: its record's path, or the
            beginning of its id in the results folder.
        problem: Name of a problem, or a hypergraph's file (``.npz``); by default that of the
            stored run.
        method: How the student is taught.
        setting: ``production`` hides a fifth of the test nodes until the end; by default as the
            problem is.
        hyperedges: Make a hypergraph of a graph: each node with its neighbours, or with the five
            nodes of nearest features.
        seed: Split, draws and weights; by default 0, or that of the stored run.
        hidden: Width of the student.
        layers: Linear maps of the student.
        dropout: Share of the student's hidden features dropped in training.
        lr: Learning rate of the student.
        weight_decay: Weight decay of the student.
        epochs: Most epochs of the student.
        teacher_epochs: Most epochs of the teacher.
        hard_weight: Weight of the known classes beside the teacher's opinion, from 0 to 1.
        out: Folder for the student; by default ``students/<method>-<problem>-seed<seed>``.
        results: Folder for the records.
        data_root: Folder of raw files, looked in first.
        device: Where models are trained and timed.
        threads: Threads; by default all.
        repeats: Measurements of each latency.
        quiet: No progress.
        as_json: Print the table as JSON.
    """
    import torch

    from graphkit.bench.distilled import Where, taught
    from graphkit.bench.store import Store
    from graphkit.bench.sweep import pending, sweep
    from graphkit.cli.progress import Watching

    if threads:
        torch.set_num_threads(threads)
    stored = _stored(teacher, results)
    if stored is not None:
        problem = problem or stored.record["problem"]
        seed = stored.record["seed"] if seed is None else seed
    if not teacher or not problem:
        raise SettingError("say --teacher gcn --problem cora/public, or --teacher RUN")
    seed = seed or 0
    if setting == "transductive" and problem.endswith("/production"):
        raise SettingError(
            f"{problem} hides nodes; expected another problem for --setting {setting}"
        )
    hides = setting == "production" and not problem.endswith("/production")
    made = taught(
        method,
        Where(problem, hides, hyperedges, data_root),
        stored or teacher,
        seed=seed,
        student_settings=_given(hidden_channels=hidden, num_layers=layers, dropout=dropout),
        train=_given(lr=lr, weight_decay=weight_decay, epochs=epochs),
        teacher_train=_given(epochs=teacher_epochs),
        hard_weight=hard_weight,
    )
    asked = _problem(made, seed, data_root, device)
    if stored is not None:
        stored.check(asked)
    if asked.dims.in_channels == 0 or asked.dims.node_symbols:
        raise DataError(f"{asked.name} has no feature vectors: a student has nothing to read")
    store = Store(results)
    left = pending(made.experiments, store, SUITE, keep_models=True)
    total = len(made.experiments)
    with Watching(total, total - len(left), quiet=quiet, as_json=as_json) as watch:
        failed = sweep(
            made.experiments, store, suite=SUITE, root=data_root, device=device, threads=threads,
            retry=True, keep_models=True, watch=watch,
        )  # fmt: skip
    if failed:
        return watch.exit_status or 1
    folder = out or Path("students") / f"{method}-{asked.name.replace('/', '-')}-seed{seed}"
    card = _card(made, store, asked, seed, folder, repeats)
    if as_json:
        print(json.dumps(card))
    else:
        _show(card)
    return 0


def predict(
    student: File, features: File, out: File, /, *, rows: int = 65_536, quiet: bool = False
) -> None:
    """Predicts for every row of a file with an exported student; needs torch alone, no graph.

    Args:
        student: ``student.pt2``, or the folder it is in.
        features: ``.npy`` of shape (rows, channels), or Parquet with a numeric column per channel.
        out: ``.npy`` for scores, or ``.parquet`` for classes and scores.
        rows: Rows a batch.
        quiet: Print nothing.
    """
    from graphkit.distill.export import load_exported, predict_file

    path = student / "student.pt2" if student.is_dir() else student
    count = predict_file(load_exported(path), features, out, rows=rows)
    if not quiet:
        print(f"{count} rows: {out}")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _stored(teacher: str, results: Path) -> StoredRun | None:
    """The stored run a person means, or ``None`` where a model is named."""
    from graphkit.bench.distilled import stored_run

    path = Path(teacher)
    if teacher.endswith(".json"):
        return stored_run(path)
    if "@" not in teacher:
        return None
    paths = sorted(p for p in results.glob("*/*.json") if p.name.startswith(teacher))
    if not paths:
        known = [p.stem for p in results.glob("*/*.json")]
        if not known:
            raise DataNotFound(f"no runs in {results}; start with graphkit bench run --keep-models")
        raise unknown_name("run", teacher, known, f"graphkit bench show --results {results}")
    if len(paths) > 1:
        raise SettingError(
            f"{teacher!r} is the beginning of {len(paths)} runs: {paths[0].stem}, ..."
        )
    return stored_run(paths[0])


def _problem(made: Taught, seed: int, root: Path | None, device: str) -> Problem:
    from graphkit.bench.run import Loader

    return Loader(root, device)(made.student, seed)


def _card(
    made: Taught, store: Store, problem: Problem, seed: int, folder: Path, repeats: int
) -> dict[str, Any]:
    """Writes the student's files; returns the table and where they are."""
    from graphkit.bench.budget import count_parameters
    from graphkit.distill.export import export
    from graphkit.models.saved import load_model, save_model

    rows = []
    student_path = store.model_path(SUITE, made.student.run_id(seed))
    for what, experiment in (
        ("teacher", made.teacher), ("untaught", made.plain), ("student", made.student),
    ):  # fmt: skip
        if experiment is None:
            assert made.stored is not None
            record, net, size = made.stored.record, made.stored.net, None
        else:
            run_id = experiment.run_id(seed)
            record = json.loads(store.path(SUITE, run_id).read_text())
            path = store.model_path(SUITE, run_id)
            net, size = load_model(path).model, path.stat().st_size
        metric = record["metric"]
        scores = {part: record[part][metric] for part in ("test", "hidden", "production")
                  if record.get(part)}  # fmt: skip
        rows.append(
            {
                "model": record["experiment"], "role": what, "metric": metric, "scores": scores,
                "parameters": count_parameters(net), "file_bytes": size,
                "latency": _latency(net, problem, what == "teacher", repeats),
            }
        )  # fmt: skip
    saved = load_model(student_path)
    about = dict(saved.about) | {"classes": saved.dims.out_channels, "scores": rows[-1]["scores"]}
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "student": save_model(
            folder / "student.safetensors", saved.model, saved.settings, saved.dims, about
        )
    }
    files["program"] = export(saved.model, saved.dims.in_channels, folder / "student.pt2", about)
    card = {
        "problem": problem.name, "seed": seed, "method": made.student.name,
        "rows": rows, "files": {name: str(path) for name, path in files.items()},
    }  # fmt: skip
    from graphkit.files import write_whole

    write_whole(folder / "card.json", json.dumps(card, indent=1).encode())
    return card


def _latency(net: Any, problem: Problem, graph: bool, repeats: int) -> dict[str, float]:
    """Seconds of an answer: for all nodes, for one, for 512 at once."""
    from graphkit.bench.latency import full_pass, of_nodes, of_rows, of_vertices
    from graphkit.models import HGNN, HGNNPlus

    if not graph:
        found = {
            "all": full_pass(net, problem, repeats=repeats),
            "one": of_rows(net, problem, repeats=repeats),
            "512": of_rows(net, problem, nodes=min(512, problem.num_items), repeats=repeats),
        }
        return {name: row.seconds for name, row in found.items()}
    times = {"all": full_pass(net, problem, repeats=repeats).seconds}
    size = min(512, problem.num_items)
    if isinstance(net, (HGNN, HGNNPlus)):
        times["one"] = of_vertices(net, problem, repeats=repeats).seconds
        times["512"] = of_vertices(net, problem, nodes=size, repeats=repeats).seconds
    elif problem.data.get("edge_index") is not None:
        hops = max(len(getattr(net, "convs", ())), 2)
        times["one"] = of_nodes(net, problem, (-1,) * hops, repeats=repeats).seconds
        times["one, ten drawn"] = of_nodes(net, problem, (10,) * hops, repeats=repeats).seconds
        times["512"] = of_nodes(net, problem, (-1,) * hops, nodes=size, repeats=repeats).seconds
    return times


def _show(card: dict[str, Any]) -> None:
    from rich.table import Table

    first = card["rows"][0]
    parts = list(card["rows"][-1]["scores"])
    title = f"{card['method']} on {card['problem']}, seed {card['seed']}; {first['metric']}"
    scores = Table("model", title=title, title_justify="left")
    times = Table("milliseconds for", title="time of an answer", title_justify="left")
    for name in (*parts, "parameters", "file"):
        scores.add_column(name, justify="right")
    for name in ("1 node", "1, ten drawn", "512 nodes", "all nodes"):
        times.add_column(name, justify="right")
    for row in card["rows"]:
        model = f"{row['model']} ({row['role']})"
        size = "" if row["file_bytes"] is None else f"{row['file_bytes'] / 1024:.0f} KiB"
        found = (row["scores"].get(part) for part in parts)
        shown = ("" if score is None else f"{score:.4f}" for score in found)
        scores.add_row(model, *shown, f"{row['parameters']:,}", size)
        keys = ("one", "one, ten drawn", "512", "all")
        times.add_row(model, *(_ms(row["latency"].get(key)) for key in keys))
    console = Console()
    console.print(scores)
    console.print(times)
    teacher, student = card["rows"][0]["latency"], card["rows"][-1]["latency"]
    ratios = [
        f"{name}: {teacher[name] / student[name]:.0f}x" for name in student if name in teacher
    ]
    console.print("the student is faster by: " + ", ".join(ratios))
    for name, path in card["files"].items():
        console.print(f"{name}: {path}", highlight=False, soft_wrap=True)
    console.print(f"predict: graphkit distill predict {card['files']['program']} FEATURES OUT",
                  highlight=False, soft_wrap=True)  # fmt: skip


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.3g}"
