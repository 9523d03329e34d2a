"""``graphkit ooc bench``: every way of training out of core, measured on the disk at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from graphkit.errors import SettingError

__all__ = ["bench"]


def bench(
    store: Annotated[Path, tyro.conf.Positional],
    /,
    *,
    memory: str = "4G",
    fanouts: str = "10,10",
    batch_size: int = 1024,
    sampled_epochs: int = 2,
    cached_rows: int | None = None,
    seconds: float = 60.0,
    ways: str = "",
    seed: int = 0,
    threads: int | None = None,
    out: Path | None = None,
    quiet: bool = False,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Measures training from a store beside other ways, and against what the disk can do.

    Draws and packs what is missing. Every way trains the same network on the same batches, in a
    process of its own that may hold so much memory and no more. What is there is kept after each
    measurement, beside a page and a picture; the same command goes on.

    Args:
        store: Folder of the store, on the disk that is measured.
        memory: Memory a process may hold, such as 4G; interpreter and page cache included.
        fanouts: Neighbours drawn per hop, nearest hop first.
        batch_size: Seeds a batch.
        sampled_epochs: Epochs to draw ahead.
        cached_rows: Rows kept in memory, in place of as many as fit.
        seconds: When an epoch of a slow way is cut off; its time is then reckoned.
        ways: Which ways, with commas between; all of them if not given.
        seed: Seed of order, draws and weights.
        threads: Threads of torch; by default as many as it takes by itself.
        out: The result, JSON; by default beside the store, named as it with ``.bench.json``.
        quiet: No progress.
        as_json: Print the goals as JSON, one line.
    """
    import torch

    from graphkit.bench.ooc_bars import bars
    from graphkit.bench.ooc_bench import Asked, measured
    from graphkit.bench.ooc_page import show
    from graphkit.bench.ooc_ways import WAYS
    from graphkit.cli.progress import Stages
    from graphkit.ooc import parse_bytes

    try:
        hops = tuple(int(part) for part in fanouts.split(","))
    except ValueError:
        raise SettingError(
            f"fanouts {fanouts!r}: expected a number per hop with commas between, such as 10,10"
        ) from None
    asked = Asked(
        memory=parse_bytes(memory), fanouts=hops, batch_size=batch_size,
        sampled_epochs=sampled_epochs, seed=seed, threads=threads or torch.get_num_threads(),
        seconds=seconds, cached_rows=cached_rows,
        ways=tuple(ways.split(",")) if ways else WAYS,  # type: ignore[arg-type]
    )  # fmt: skip
    path = out or store.with_name(f"{store.name}.bench.json")
    with Stages(quiet=quiet or as_json) as watch:
        found = measured(store, asked, path, watch=watch)
    goals = bars(found)
    if as_json:
        told = [
            {"of": one.source, "goal": one.what, "bar": one.goal, "value": one.value,
             "verdict": one.verdict}
            for one in goals
        ]  # fmt: skip
        print(json.dumps({"path": str(path), "goals": told}))
    else:
        show(found, Console())
        print(f"{path}   {path.with_suffix('.html')}   {path.with_suffix('.svg')}")
    return 0
