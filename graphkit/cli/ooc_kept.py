"""``graphkit ooc info``, ``verify`` and ``clean``: what a store holds, looked at and removed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

from graphkit.cli.ooc_shown import names_below, plan_told, show_plan
from graphkit.cli.ooc_source import one_plan
from graphkit.errors import SettingError

if TYPE_CHECKING:
    from graphkit.ooc.store import Store

__all__ = ["clean", "info", "verify"]

AsJson = Annotated[bool, tyro.conf.arg(name="json")]
Folder = Annotated[Path, tyro.conf.Positional]


def info(store: Folder, /, *, curve: bool = False, as_json: AsJson = False) -> None:
    """Shows what a store holds, its plans and packs, and what each takes.

    Args:
        store: Folder of the store.
        curve: Show for each plan which share of accesses a cache of each size serves.
        as_json: Print JSON for a program.
    """
    from graphkit.ooc import Plan, Store, show_bytes
    from graphkit.ooc.verify import info as told_of

    told = told_of(store)
    opened = Store.open(store)
    told["plans"] = [plan_told(opened, Plan.open(opened, name)) for name in told["plans"]]
    if as_json:
        print(json.dumps(told))
        return
    table = Table(
        title=f"{told['name']} in {told['path']}", title_justify="left", show_header=False
    )
    for key in ("nodes", "edges", "features", "out_channels"):
        table.add_row(key, f"{told[key]:,}")
    table.add_row("type", f"{told['dtype']}, {told['row_bytes']} bytes a row")
    table.add_row("split", ", ".join(f"{k} {v:,}" for k, v in told["split"].items()))
    table.add_row("prepared with", ", ".join(told["brings"]) or "nothing")
    table.add_row("disk", show_bytes(told["total_bytes"]))
    table.add_row("nodes without in-edges", f"{told['nodes_without_in_edges']:,}")
    table.add_row("most in-edges of a node", f"{told['most_in_edges']:,}")
    Console().print(table)
    for plan in told["plans"]:
        show_plan(plan, curve=curve)


def verify(
    store: Folder,
    /,
    *,
    deep: bool = False,
    repair: bool = False,
    quiet: bool = False,
    as_json: AsJson = False,
) -> int:
    """Checks a store, its plans and packs; ends with 4 where something is not what was written.

    Args:
        store: Folder of the store.
        deep: Read every byte; else manifests, lengths and tables of checksums alone.
        repair: Pack damaged regions again from the features.
        quiet: No progress.
        as_json: Print JSON for a program.
    """
    from graphkit.cli.progress import Stages
    from graphkit.ooc import Pack, Plan, Store
    from graphkit.ooc import repair as mend
    from graphkit.ooc.verify import verify as check

    with Stages(quiet=quiet or as_json) as watch:
        read = check(store, deep=deep, watch=watch)
        opened = Store.open(store)
        mended: dict[str, list[int]] = {}
        for name in names_below(opened.path / "plans", "plan.json"):
            plan = Plan.open(opened, name)
            if deep:
                plan.check(watch)
            for each in names_below(plan.path / "packs", "pack.json"):
                packed = Pack.open(opened, plan, each)
                if repair:
                    mended[each] = mend(opened, plan, packed, watch=watch)
                elif deep:
                    packed.check(watch)
    if as_json:
        print(json.dumps({"path": str(store), "read_bytes": read, "repaired": mended}))
    else:
        fixed = sum(map(len, mended.values()))
        print(f"{store}: sound" + (f", {fixed} regions packed again" if fixed else ""))
    return 0


def clean(store: Folder, /, *, plan: str = "", drafts: bool = False, dry_run: bool = False) -> None:
    """Removes plans with their packs, or what interrupted runs left, and says what that frees.

    Args:
        store: Folder of the store.
        plan: Beginning of a plan's name.
        drafts: Remove unfinished plans and packs.
        dry_run: Say what would be removed.
    """
    from graphkit.ooc import Store, show_bytes
    from graphkit.ooc.folders import locked

    opened = Store.open(store)
    if not plan and not drafts:
        raise SettingError("say what to remove: --plan NAME, or --drafts")
    chosen = [opened.path / "plans" / one_plan(opened, plan)] if plan else []
    if drafts:
        chosen += [p for p in opened.path.glob("plans/*") if not (p / "plan.json").exists()]
        packs = opened.path.glob("plans/*/packs/*")
        chosen += [p for p in packs if p.is_dir() and not (p / "pack.json").exists()]
        chosen += opened.path.glob("rings/*/gone-*")
    freed = 0
    for path in chosen:
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        freed += size
        print(f"{'would remove' if dry_run else 'removing'} {path}: {show_bytes(size)}")
        if not dry_run:
            # What a ring has given up is removed by whoever holds the ring.
            with locked((path.parent if path.match("rings/*/*") else path) / ".lock"):
                shutil.rmtree(path)
    if not dry_run:
        for note in _notes_on(opened, {path.name for path in chosen}):
            note.unlink()
    print(f"{show_bytes(freed)} {'would be freed' if dry_run else 'freed'}")


def _notes_on(store: Store, plans: Collection[str]) -> Iterator[Path]:
    """Notes of rings on these plans: ``train --refresh`` would begin with drawing them again."""
    for note in store.path.glob("rings/*/slot-*.json"):
        with suppress(ValueError, KeyError):  # a damaged one is written anew
            if json.loads(note.read_text())["plan"] in plans:
                yield note
