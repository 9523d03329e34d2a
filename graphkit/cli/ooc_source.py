"""What a store is made of, as the command line names it: a problem, a folder, files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from graphkit.errors import DataError, DataNotFound, SettingError

if TYPE_CHECKING:
    from graphkit.ooc.inputs import Input
    from graphkit.ooc.store import Store

__all__ = ["DType", "Loops", "default_place", "is_store", "prepared", "source_of"]

DType = Literal["float32", "float16", "int8"]
Loops = Literal["keep", "add", "drop"]


def is_store(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def default_place(source: str, name: str) -> Path:
    """Where the store of a source goes if nobody says."""
    stem = Path(source).name if Path(source).exists() else name
    return Path(stem.replace("/", "-").removesuffix(".npy").removesuffix(".parquet") + ".store")


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
