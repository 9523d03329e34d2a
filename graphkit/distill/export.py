"""A student without its graph: a program that predicts from rows of features, and its use.

What is written is ``torch.export``'s program; reading and running it needs torch alone.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphkit.distill.program_file import checked, sealed
from graphkit.errors import DamagedFile, DataError, DataNotFound, MissingExtra, SettingError
from graphkit.files import write_whole

__all__ = ["Exported", "export", "load_exported", "predict_file"]

ROWS = 65_536  # rows a batch: bounds memory, large enough to keep all cores busy
ABOUT = "graphkit.json"


class _Rows:
    """The one field a graph-free network may read."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.num_nodes = x.shape[0]

    def get(self, name: str, default: Any = None) -> Any:
        return self.x if name == "x" else default

    def __getattr__(self, name: str) -> Any:
        raise SettingError(f"the network reads {name!r}: it is not free of the graph")


class _OfRows(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(_Rows(x))
        return out


def export(
    net: nn.Module, in_channels: int, path: Path, about: dict[str, Any] | None = None
) -> Path:
    """Writes a network as a program from features ``(rows, in_channels)`` to scores.

    Args:
        net: A network that reads ``x`` alone.
        in_channels: Width of the features.
        path: The file, ``.pt2`` by custom.
        about: Anything JSON can hold, kept inside the file.

    Raises:
        SettingError: The network reads more than its rows.
        StorageError: The file cannot be written.
    """
    if getattr(net, "pre_transform", None) is not None:
        raise SettingError(
            f"{type(net).__name__} reads the graph before its features "
            f"({net.pre_transform!r}): it is not free of the graph"
        )
    rows = torch.export.Dim("rows", min=1)
    copied = _OfRows(net).eval()
    example = torch.zeros(3, in_channels, device=next(net.parameters()).device)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            copied, (example,), dynamic_shapes={"x": {0: rows}}, strict=False
        )
        stream = io.BytesIO()
        text = json.dumps({"in_channels": in_channels} | (about or {}))
        torch.export.save(program, stream, extra_files={ABOUT: text})
    return write_whole(path, sealed(stream.getvalue()))


@dataclass(frozen=True, eq=False)
class Exported:
    """A program that was read back; calling it gives scores for rows of features.

    Args:
        run: The program.
        about: What was noted when it was written; ``in_channels`` is the width it takes.
    """

    run: Callable[[Tensor], Tensor]
    about: dict[str, Any]

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the scores, ``(rows, classes)``.

        Raises:
            DataError: The features are of another width, or not numbers.
        """
        width = self.about["in_channels"]
        if x.dim() != 2 or x.shape[1] != width:
            raise DataError(f"features have shape {tuple(x.shape)}; expected (rows, {width})")
        if not bool(torch.isfinite(x).all()):
            row = int((~torch.isfinite(x)).any(dim=1).nonzero()[0])
            raise DataError(f"the features of row {row} are not all finite numbers")
        with torch.no_grad():
            return self.run(x)


def load_exported(path: Path) -> Exported:
    """Reads a program back; needs torch alone.

    Raises:
        DataNotFound: There is no such file.
        DamagedFile: It is no program of this library, or not whole.
    """
    if not path.is_file():
        raise DataNotFound(f"there is no exported program at {path}")
    extra = {ABOUT: ""}
    try:
        content = checked(path.read_bytes())
    except DamagedFile as error:
        raise DamagedFile(f"{path}: {error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(content), extra_files=extra)
        about = json.loads(extra[ABOUT])
        width = about["in_channels"]
    except Exception as error:  # whatever the reader stumbles on, the file is not usable
        raise DamagedFile(f"{path} is no whole exported program: {error}") from error
    if not isinstance(width, int):
        raise DamagedFile(f"{path} takes features of width {width!r}; expected a whole number")
    return Exported(program.module(), about)


def predict_file(program: Exported, features: Path, out: Path, *, rows: int = ROWS) -> int:
    """Predicts for every row of a file, a batch at a time; returns the number of rows.

    Args:
        program: What predicts.
        features: ``.npy`` of shape ``(rows, channels)``, or Parquet whose numeric columns are the
            channels, in order.
        out: Where to write: ``.npy`` of scores ``(rows, classes)``, or ``.parquet`` with the
            columns ``class`` and ``score_0``, ``score_1``, ...
        rows: Rows a batch.

    Raises:
        DataNotFound: There is no such file.
        DataError: Its ending or its content cannot be used; the message names the row.
        MissingExtra: Parquet needs ``graphkit[bench]``.
        StorageError: The result cannot be written.
    """
    if not features.is_file():
        raise DataNotFound(f"there is no file of features at {features}")
    for path in (features, out):
        if path.suffix not in (".npy", ".parquet"):
            raise DataError(f"{path} ends in {path.suffix!r}; expected .npy or .parquet")
    found, count = [], 0
    for batch in _batches(features, rows):
        try:
            found.append(program(torch.from_numpy(batch)).numpy())
        except DataError as error:
            raise DataError(f"{features}, from row {count} on: {error}") from error
        count += len(batch)
    if not found:
        raise DataError(f"{features} has no rows")
    _write(np.concatenate(found), out)
    return count


def _batches(path: Path, rows: int) -> Iterator[np.ndarray]:
    if path.suffix == ".npy":
        try:
            table = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise DamagedFile(f"{path} is no array file: {error}") from error
        if table.ndim != 2 or table.dtype.kind not in "fiub":
            raise DataError(f"{path} holds {table.dtype} of shape {table.shape}; expected numbers "
                            "of shape (rows, channels)")  # fmt: skip
        for start in range(0, len(table), rows):
            yield np.array(table[start : start + rows], dtype=np.float32)
        return
    parquet = _parquet()
    with parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(batch_size=rows):
            columns = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
            names = [n for n, c in zip(batch.schema.names, columns, strict=True)
                     if c.dtype.kind not in "fiub"]  # fmt: skip
            if names:
                raise DataError(f"{path} has the column {names[0]!r}, which holds no numbers")
            yield np.stack(columns, axis=1).astype(np.float32)


def _write(scores: np.ndarray, path: Path) -> None:
    stream = io.BytesIO()
    if path.suffix == ".npy":
        np.save(stream, scores)
    else:
        import pyarrow

        columns = {f"score_{c}": scores[:, c] for c in range(scores.shape[1])}
        table = pyarrow.table({"class": scores.argmax(axis=1)} | columns)
        _parquet().write_table(table, stream)
    write_whole(path, stream.getvalue())


def _parquet() -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtra('Parquet needs pyarrow: pip install "graphkit[bench]"') from error
    return parquet
