"""Raw files that hold torch tensors: pickles with tensors inside, and what ``torch.save`` wrote.

Neither runs code of the file. A pickle is walked by ``graphkit.data.unpickle``; what is added here
are the few names under which torch and numpy put numbers into one. A tensor's storage, itself a
row of small pickles with the bytes behind them, is taken apart in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from pickletools import genops
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.data.unpickle import (
    ARGUMENT_IS_VALUE,
    FRESH,
    PLAIN_WORK,
    GlobalName,
    GlobalType,
    Machine,
    RefusedError,
)
from graphkit.errors import DamagedFile

__all__ = ["PickledTensor", "read_tensor_pickle", "read_torch_file"]

MAX_STEPS = 200_000_000  # opcodes: three times those of the largest known file, COCO-SP
STORAGE_MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_PROTOCOL = 1001
MAX_PICKLE_BYTES = 1024  # of each of the small pickles before a storage
NUMBERS = {
    "Bool": "b1",
    "Byte": "u1",
    "Char": "i1",
    "Short": "i2",
    "Int": "i4",
    "Long": "i8",
    "Half": "f2",
    "Float": "f4",
    "Double": "f8",
}
NAMES = {
    ("torch.storage", "_load_from_bytes"): GlobalName("storage"),
    ("torch._utils", "_rebuild_tensor_v2"): GlobalName("tensor"),
    ("collections", "OrderedDict"): GlobalName("hooks"),
    ("_codecs", "encode"): GlobalName("encode"),
    ("__builtin__", "bytes"): GlobalName("bytes"),
    ("builtins", "bytes"): GlobalName("bytes"),
    ("numpy.core.multiarray", "scalar"): GlobalName("scalar"),
    ("numpy._core.multiarray", "scalar"): GlobalName("scalar"),
    ("scipy.sparse.coo", "coo_matrix"): GlobalName("coo"),
    ("scipy.sparse._coo", "coo_matrix"): GlobalName("coo"),
}


@dataclass(frozen=True)
class PickledTensor:
    """A tensor of a pickle, not yet made: most of a large file may not be asked for."""

    storage: bytes
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self) -> Tensor:
        """Returns the tensor.

        Raises:
            DamagedFile: Its storage is damaged, or smaller than its shape says.
        """
        try:
            flat = torch.from_numpy(_numbers(self.storage).copy())
            if min((self.offset, *self.shape, *self.stride)) < 0:
                raise ValueError("a side or a stride is negative")
            reach = self.offset + sum(
                (side - 1) * step for side, step in zip(self.shape, self.stride, strict=True)
            )
            count = math.prod(self.shape)
            if count > len(flat) or (count > 0 and reach >= len(flat)):
                raise ValueError(f"its shape {self.shape} reaches beyond {len(flat)} numbers")
            return flat.as_strided(self.shape, self.stride, self.offset).contiguous()
        except (ValueError, IndexError, RuntimeError) as error:
            raise DamagedFile(f"a pickled tensor is damaged: {error}") from error


def read_tensor_pickle(path: Path) -> Any:
    """Reads a pickle of plain values, numpy arrays, COO matrices and tensors.

    Args:
        path: The file.

    Returns:
        Tensors come back as ``PickledTensor``, COO matrices as dictionaries of their arrays.

    Raises:
        DamagedFile: It is damaged, or asks for anything else.
    """
    machine = _TensorMachine()
    try:
        return machine.run(path.read_bytes())
    except RefusedError as error:
        reason = str(error)
    except OSError as error:
        reason = str(error.strerror)
    except Exception as error:  # a damaged pickle can fail anywhere: the answer is the same
        reason = f"it is damaged ({type(error).__name__} at opcode {machine.steps})"
    raise DamagedFile(f"{path} cannot be read: {reason}. Only numbers are read from a pickle.")


def read_torch_file(path: Path) -> Any:
    """Reads what ``torch.save`` wrote: tensors in lists, tuples and dictionaries, nothing else.

    Args:
        path: The file.

    Raises:
        DamagedFile: It is damaged, or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no one class for a file it refuses
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedFile(f"{path} cannot be read as tensors alone: {reason}") from None


class _TensorMachine(Machine):
    """The machine of ``unpickle``, which also knows tensors, COO matrices and single numbers."""

    def run(self, content: bytes) -> Any:
        push = self.stack.append
        for opcode, argument, at in genops(content):
            self.steps += 1
            name = opcode.name
            if name in ARGUMENT_IS_VALUE:
                push(argument)
            elif name in WORK:
                WORK[name](self, argument)
            elif name in FRESH:
                push(FRESH[name]())
            elif name == "STOP":
                return self.result()
            elif name not in ("PROTO", "FRAME"):
                raise RefusedError(f"opcode {name} at byte {at} is not admitted")
            if self.steps > MAX_STEPS:
                raise RefusedError(f"it has more than {MAX_STEPS} opcodes")
        raise RefusedError("it ends too early")

    def result(self) -> Any:
        if isinstance(self.stack[-1], _Storage):
            raise RefusedError("it holds a storage without a tensor")
        return super().result()

    def name(self, module: Any, attribute: Any) -> None:
        if (module, attribute) in NAMES:
            self.stack.append(NAMES[module, attribute])
        else:
            super().name(module, attribute)

    def reduce(self, _: Any) -> None:
        what, arguments = self.stack[-2], self.stack[-1]
        match what, arguments:
            case GlobalName("storage"), (bytes(content),):
                made: Any = _Storage(content)
            case GlobalName("tensor"), (
                _Storage(content),
                int(offset),
                tuple(shape),
                tuple(stride),
                *_,
            ):
                if not all(type(side) is int for side in (*shape, *stride)):
                    raise RefusedError("a tensor's shape is not one of whole numbers")
                made = PickledTensor(content, offset, shape, stride)
            case GlobalName("hooks"), ():
                made = None
            case GlobalName("encode"), (str(text), "latin1"):
                made = text.encode("latin-1")
            case GlobalName("bytes"), ():
                made = b""
            case GlobalName("scalar"), (GlobalType() as kind, bytes(content)):
                made = np.frombuffer(content, kind.order + kind.code)[0].item()
            case _:
                super().reduce(None)
                return
        del self.stack[-2:]
        self.stack.append(made)

    def new_object(self, _: Any) -> None:
        if self.stack[-2:] == [GlobalName("coo"), ()]:
            self.stack[-2:] = [_Matrix()]
        else:
            super().new_object(None)

    def build(self, _: Any) -> None:
        if len(self.stack) > 1 and isinstance(self.stack[-2], _Matrix):
            state = self.stack.pop()
            if type(state) is not dict:
                raise RefusedError("a COO matrix has no state")
            self.stack[-1].update(state)
            if "coords" in state:  # as newer versions of scipy save it
                self.stack[-1].update(zip(("row", "col"), state["coords"], strict=True))
        else:
            super().build(None)


@dataclass(frozen=True)
class _Storage:
    content: bytes


class _Matrix(dict[str, Any]):
    """A COO matrix as what it was saved with: ``row``, ``col``, ``data``, ``_shape``."""


WORK = PLAIN_WORK | {
    "REDUCE": _TensorMachine.reduce,
    "NEWOBJ": _TensorMachine.new_object,
    "BUILD": _TensorMachine.build,
}


def _numbers(storage: bytes) -> np.ndarray:
    """The numbers of a pickled storage: five small pickles, a count, then the bytes.

    Source: the layout of ``torch.save`` before the zip format, which torch still uses for a
    storage inside a pickle.
    """
    at, told = 0, []
    for _ in range(5):
        steps = list(genops(storage[at : at + MAX_PICKLE_BYTES]))
        told.append([(opcode.name, argument) for opcode, argument, _ in steps])
        at += int(steps[-1][2] or 0) + 1  # STOP is one byte
    numbers = [[argument for _, argument in values] for values in told]
    if STORAGE_MAGIC not in numbers[0] or STORAGE_PROTOCOL not in numbers[1]:
        raise ValueError("it has no storage of torch's own format")
    if ("NEWTRUE", None) not in told[2]:
        raise ValueError("its storage is not little-endian")
    kinds = [str(argument) for name, argument in told[3] if name == "GLOBAL"]
    kind = kinds[0].removeprefix("torch ").removesuffix("Storage") if len(kinds) == 1 else ""
    if kind not in NUMBERS:
        raise ValueError(f"its storage is of type {kinds}")
    dtype = np.dtype(NUMBERS[kind]).newbyteorder("<")
    count = int.from_bytes(storage[at : at + 8], "little")
    if len(storage) - at - 8 != count * dtype.itemsize:
        raise ValueError(f"its storage says {count} numbers but has {len(storage) - at - 8} bytes")
    return np.frombuffer(storage, dtype, offset=at + 8)
