"""What the words of ``graphkit ooc`` stand for: sources of a store, its plans, fan-outs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from graphkit.cli.ooc_shown import names_below
from graphkit.errors import DataError, DataNotFound, SettingError, unknown_name

if TYPE_CHECKING:
    from graphkit.ooc.inputs import Input
    from graphkit.ooc.store import Store

__all__ = [
    "DType",
    "Engine",
    "Loops",
    "default_place",
    "hops_of",
    "is_store",
    "one_plan",
    "prepared",
    "source_of",
]

DType = Literal["float32", "float16", "int8"]
Engine = Literal["auto", "memory", "scan"]
Loops = Literal["keep", "add", "drop"]


def is_store(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def default_place(source: str, name: str) -> Path:
    """Where the store of a source goes if nobody says."""
    stem = Path(source).name if Path(source).exists() else name
    return Path(stem.replace("/", "-").removesuffix(".npy").removesuffix(".parquet") + ".store")


def hops_of(text: str) -> tuple[int, ...]:
    """Neighbours drawn per hop, nearest hop first."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(
            f"fanouts {text!r}: expected a number per hop with commas between, such as 10,10"
        ) from None


def one_plan(store: Store, beginning: str) -> str:
    """Name of the one plan of a store that begins so."""
    names = names_below(store.path / "plans", "plan.json")
    chosen = [name for name in names if name.startswith(beginning)]
    if not names:
        raise DataNotFound(f"{store.path} has no plan; start with graphkit ooc sample")
    if not chosen:
        raise unknown_name("plan", beginning, names, f"graphkit ooc info {store.path}")
    if len(chosen) > 1:
        raise SettingError(
            f"{store.path} has {len(chosen)} such plans: {', '.join(chosen)}; say --plan"
        )
    return chosen[0]


def source_of(
    source: str,
    features: Path | None,
    labels: Path | None,
    parts: dict[str, Path | None],
    indptr: Path | None,
    num_classes: int | None,
    model: str,
    root: Path | None,
) -> Input:
    from graphkit.models import NODE_MODELS, model_factory
    from graphkit.ooc import of_files, of_ogb, of_problem

    path = Path(source)
    if path.is_dir():
        return of_ogb(path)
    if path.is_file() or path.suffix in (".npy", ".parquet"):
        if not path.is_file():
            raise DataNotFound(f"there is no file of edges at {path}")
        if features is None or labels is None or parts.get("train") is None:
            raise SettingError("a file of edges needs --features, --labels, --train, --val, --test")
        split = {name: given for name, given in parts.items() if given is not None}
        return of_files(
            f"{path.stem}/given", path, features, labels, split,
            indptr=indptr, num_classes=num_classes,
        )  # fmt: skip
    from graphkit.data.catalogue import load_problem

    problem = load_problem(source, root)
    if len(problem.split.hidden):
        raise DataError(f"{source} hides nodes until the end; a store cannot leave them out")
    network = model_factory(model, NODE_MODELS)(problem.dims)
    return of_problem(problem, network.pre_transform, drop=("edge_weight", "edge_type"))


def prepared(
    found: Input,
    path: Path,
    undirected: bool,
    dedup: bool,
    loops: Loops,
    dtype: DType,
    memory: str,
    model: str,
    quiet: bool,
) -> Store:
    from graphkit.cli.progress import Stages
    from graphkit.ooc import Settings, parse_bytes
    from graphkit.ooc.prepare import prepare as write

    if not found.brings and _wants_both_ways(model):
        undirected = dedup = True
    settings = Settings(undirected, dedup, loops, dtype)
    with Stages(quiet=quiet) as watch:
        return write(found, path, settings, memory=parse_bytes(memory), watch=watch)


def _wants_both_ways(model: str) -> bool:
    """Whether a model reads every edge in both directions."""
    from graphkit.models import NODE_MODELS, model_factory
    from graphkit.tasks import Dims
    from graphkit.transforms import Undirected

    needed = model_factory(model, NODE_MODELS)(Dims(1, 2)).pre_transform
    return repr(needed) == repr(Undirected())
