"""Reads the pickles of old data sets as data: nothing in such a file is ever called.

A pickle is a program. Here its opcodes are walked by hand, and only what numbers need has a
meaning: numpy arrays, scipy CSR matrices, ``defaultdict(list)``, and plain lists, dictionaries,
tuples, numbers and texts. Every other name or opcode is refused before anything is made of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickletools import genops
from typing import Any

import numpy as np
import scipy.sparse as sp

from graphkit.data.compressed import csr
from graphkit.errors import DataError

__all__ = ["read_pickle", "unpickle"]

MAX_BYTES = 2**26  # the largest file known to be read this way has 7.6 MB
MAX_STEPS = 4_000_000  # opcodes; an opcode makes at most one small object beside its bytes


@dataclass(frozen=True)
class GlobalName:
    """A name that a pickle may speak: it stands for what we make of it, not for any object."""

    kind: str


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): GlobalName("reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): GlobalName("reconstruct"),
    ("numpy", "ndarray"): GlobalName("ndarray"),
    ("numpy", "dtype"): GlobalName("dtype"),
    ("scipy.sparse.csr", "csr_matrix"): GlobalName("csr"),
    ("scipy.sparse._csr", "csr_matrix"): GlobalName("csr"),
    ("collections", "defaultdict"): GlobalName("defaultdict"),
    ("__builtin__", "list"): GlobalName("list"),
    ("builtins", "list"): GlobalName("list"),
}
_PLAIN = (GlobalName, tuple, str, bytes, int, bool)
_NUMBER = re.compile(r"b1|[iu][1248]|f[248]")


@dataclass
class GlobalType:
    """A type of numbers, whose byte order follows later."""

    code: str
    order: str = "="


class RefusedError(ValueError):
    """What is wrong with a pickle; told to the caller as a ``DataError``."""


def read_pickle(path: Path) -> Any:
    """Reads a pickle of arrays, CSR matrices and graph dictionaries, of Python 2 or 3.

    Args:
        path: The file; its texts of Python 2 are taken as latin-1.

    Returns:
        numpy arrays, ``scipy.sparse.csr_matrix``, and plain Python values. ``defaultdict(list)``
        comes back as a dictionary.

    Raises:
        DataError: The file is damaged, too large, or asks for anything else.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than {MAX_BYTES} bytes; too large for a pickle")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    return unpickle(content, str(path))


def unpickle(content: bytes, name: str) -> Any:
    """Reads a pickle from memory; see ``read_pickle``.

    Args:
        content: The pickle.
        name: What to call it in a message.

    Raises:
        DataError: It is damaged, too large, or asks for anything that is not admitted.
    """
    machine = Machine()
    try:
        return machine.run(content)
    except (RefusedError, DataError) as error:
        reason = str(error)
    except Exception as error:  # a damaged pickle can fail anywhere: the answer is the same
        reason = f"it is damaged ({type(error).__name__} at opcode {machine.steps})"
    raise DataError(
        f"{name} cannot be read: {reason}. Only numbers in numpy arrays, CSR matrices, "
        "defaultdict(list) and plain Python values are read from a pickle."
    )


class Machine:
    """A stack, marks in it, and a memo: all that the admitted opcodes work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def run(self, content: bytes) -> Any:
        for opcode, argument, at in genops(content):
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise RefusedError(f"it has more than {MAX_STEPS} opcodes")
            name = opcode.name
            if name in ARGUMENT_IS_VALUE:
                self.stack.append(argument)
            elif name in FRESH:
                self.stack.append(FRESH[name]())
            elif name in PLAIN_WORK:
                PLAIN_WORK[name](self, argument)
            elif name == "STOP":
                return self.result()
            elif name not in ("PROTO", "FRAME"):
                raise RefusedError(f"opcode {name} at byte {at} is not admitted")
        raise RefusedError("it ends too early")

    def result(self) -> Any:
        value = self.stack.pop()
        if self.stack or isinstance(value, (GlobalName, GlobalType)):
            raise RefusedError("it holds no value")
        return value

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        if start > len(self.stack):
            raise RefusedError("its stack is shorter than it says")
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def put(self, place: Any) -> None:
        self.memo[len(self.memo) if place is None else int(place)] = self.stack[-1]

    def get(self, place: Any) -> None:
        self.stack.append(self.memo[int(place)])

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise RefusedError("its stack is shorter than it says")
        self.stack[-count:] = [items]

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise RefusedError("it appends to what is no list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        keys = items[::2]
        if type(target) is not dict or not all(type(key) in (int, str) for key in keys):
            raise RefusedError("it sets items of what is no dictionary of numbers or texts")
        target.update(zip(keys, items[1::2], strict=True))

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def name(self, module: Any, attribute: Any) -> None:
        if (module, attribute) not in _NAMES:
            raise RefusedError(f"it asks for {str(module)[:80]}.{str(attribute)[:80]}")
        self.stack.append(_NAMES[module, attribute])

    def global_name(self, argument: Any) -> None:
        self.name(*str(argument).split(" ", 1))

    def stack_name(self, _: Any) -> None:
        attribute, module = self.stack.pop(), self.stack.pop()
        if type(module) is not str or type(attribute) is not str:
            raise RefusedError("it asks for a name that is no text")
        self.name(module, attribute)

    def reduce(self, _: Any) -> None:
        arguments, what = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or not all(type(a) in _PLAIN for a in arguments):
            raise RefusedError("it calls something with more than plain values")
        match what, arguments:
            case GlobalName("reconstruct"), (GlobalName("ndarray"), tuple(), "b" | b"b"):
                made: Any = np.empty(0)
            case GlobalName("dtype"), (str(code), 0 | 1, 0 | 1) if _NUMBER.fullmatch(code):
                made = GlobalType(code)
            case GlobalName("defaultdict"), () | (GlobalName("list"),):
                made = {}
            case _:
                raise RefusedError("it calls something, or an array is not one of numbers")
        self.stack.append(made)

    def new_object(self, _: Any) -> None:
        arguments, what = self.stack.pop(), self.stack.pop()
        if not isinstance(what, GlobalName) or what.kind != "csr" or type(arguments) is not tuple:
            raise RefusedError("it makes an object that is no CSR matrix")
        self.stack.append(sp.csr_matrix((0, 0)))

    def build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, np.ndarray):
            _fill_array(target, state)
        elif isinstance(target, GlobalType):
            _set_order(target, state)
        elif sp.issparse(target):
            _fill_matrix(target, state)
        else:
            raise RefusedError("it sets the state of something that has none")


def _set_order(kind: GlobalType, state: Any) -> None:
    if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
        raise RefusedError("a type of numbers has no byte order")
    kind.order = state[1]


def _fill_array(array: np.ndarray, state: Any) -> None:
    match state:
        case (1, tuple(shape), GlobalType() as kind, 0 | 1 as fortran, str() | bytes() as raw):
            content = raw.encode("latin-1") if isinstance(raw, str) else raw
        case _:
            raise RefusedError("an array is not one of numbers")
    number = np.dtype(kind.order + kind.code)
    if len(shape) > 2 or not all(type(side) is int and side >= 0 for side in shape):
        raise RefusedError("an array has no shape of at most two sides")
    if math.prod(shape) * number.itemsize != len(content):
        raise RefusedError(f"an array holds {len(content)} bytes, its shape says otherwise")
    state = (1, shape, number, bool(fortran), content)
    array.__setstate__(state)


def _fill_matrix(matrix: sp.csr_matrix, state: Any) -> None:
    if type(state) is not dict:
        raise RefusedError("a CSR matrix has no state")
    shape: Any = state.get("_shape")
    parts: list[Any] = [state.get(name) for name in ("data", "indices", "indptr")]
    if type(shape) is not tuple or not all(isinstance(part, np.ndarray) for part in parts):
        raise RefusedError("a CSR matrix lacks its shape or one of its arrays")
    # a copy: a later opcode could still change the arrays after they were checked
    checked = csr(parts[0], parts[1], parts[2], shape)
    matrix.resize(checked.shape)
    matrix.data, matrix.indices, matrix.indptr = checked.data, checked.indices, checked.indptr


ARGUMENT_IS_VALUE = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINBYTES", "SHORT_BINBYTES"),
    )
)
FRESH: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
PLAIN_WORK: dict[str, Callable[[Machine, Any], None]] = {
    "MARK": Machine.mark,
    "PUT": Machine.put,
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": Machine.put,
    "GET": Machine.get,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "GLOBAL": Machine.global_name,
    "STACK_GLOBAL": Machine.stack_name,
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.new_object,
    "BUILD": Machine.build,
}
