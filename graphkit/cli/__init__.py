"""Floor 6: parse, call, print. Loads torch only where a command needs it."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Union

import tyro

from graphkit.cli import bench, datasets, distill, models, ooc, ooc_bench
from graphkit.errors import GraphkitError

__all__ = ["main"]


def _group(commands: Mapping[str, Callable[..., Any]]) -> Any:
    parts = tuple(
        Annotated[Any, tyro.conf.subcommand(name=name, constructor=command)]
        for name, command in commands.items()
    )
    return Annotated[Union[parts], tyro.conf.arg(name="")]  # noqa: UP007


def _with_subcommands(summary: str, commands: Mapping[str, Callable[..., Any]]) -> Any:
    def group(command: Any) -> Any:
        return command

    group.__doc__ = summary
    group.__annotations__ = {"command": _group(commands)}
    return group


COMMANDS: dict[str, Callable[..., Any]] = {
    "datasets": _with_subcommands(
        "Data sets: what there is, and their files.",
        {
            "list": datasets.list_problems,
            "info": datasets.info,
            "fetch": datasets.fetch_files,
            "verify": datasets.verify,
        },
    ),
    "models": _with_subcommands(
        "Models: what there is, and their settings.",
        {"list": models.list_models, "info": models.info},
    ),
    "bench": _with_subcommands(
        "Runs: carry out, go on, look at.",
        {"run": bench.run, "resume": bench.resume, "show": bench.show},
    ),
    "distill": _with_subcommands(
        "Students: networks that need no graph, taught by ones that do.",
        {"run": distill.run, "predict": distill.predict},
    ),
    "ooc": _with_subcommands(
        "Graphs larger than memory: prepare, draw, pack, train, check.",
        {
            "prepare": ooc.prepare,
            "sample": ooc.sample,
            "pack": ooc.pack,
            "train": ooc.train,
            "info": ooc.info,
            "verify": ooc.verify,
            "bench": ooc_bench.bench,
            "clean": ooc.clean,
        },
    ),
    "leaderboard": bench.leaderboard,
    "report": bench.report,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process with its status: 0 done, 2 usage, 3 bad data,
    4 damaged file, 5 no space or I/O error, 130 interrupted; ``--debug`` shows tracebacks."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    if given in (["--version"], ["-V"]):
        from importlib.metadata import version

        print(f"graphkit {version('graphkit')}")
        sys.exit(0)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    whole = _with_subcommands(
        "Graph learning on PyG: papers as modules, one benchmark runner. "
        "Also: --version, --debug (tracebacks), --tyro-print-completion {bash,zsh,tcsh}.",
        COMMANDS,
    )
    try:
        status = tyro.cli(
            whole,
            prog="graphkit",
            args=given,
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
        )
    except GraphkitError as error:
        _say(error, debug)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        _say(error, debug)
        sys.exit(5)
    sys.exit(status if isinstance(status, int) else 0)


def _say(error: Exception, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    else:
        print(f"error: {error}", file=sys.stderr)
