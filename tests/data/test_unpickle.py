"""Old pickles are read as data: arrays come out right, and nothing in a file is ever called."""

from __future__ import annotations

import builtins
import contextlib
import functools
import os
import pathlib
import pickle
import runpy
import shutil
import subprocess
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.data.unpickle import read_pickle, unpickle
from graphkit.errors import DataError

PYTHON_2_ARRAY = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87R"
    b"q\x03(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x04U\x02i2K\x00K\x01\x87Rq\x05(K\x03U\x01>NNN"
    b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x0c\x00\x01\x00\x02\x00\x03\x01\x00\x00\x05"
    b"\xff\xfftb."
)


def test_an_array_of_python_2_has_its_byte_order() -> None:
    """Six big-endian halves: 1, 2, 3, 256, 5 and -1, whose bytes are no ASCII."""
    np.testing.assert_array_equal(unpickle(PYTHON_2_ARRAY, "a"), [[1, 2, 3], [256, 5, -1]])


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool", "uint8"])
def test_an_array_comes_back(protocol: int, dtype: str) -> None:
    array = np.array([[0, 1, 2], [3, 0, 5]]).astype(dtype)
    for given_array in (array, np.asfortranarray(array), array[0], array[:0]):
        made = unpickle(pickle.dumps(given_array, protocol), "a")
        assert made.dtype == given_array.dtype
        np.testing.assert_array_equal(made, given_array)


def test_a_csr_matrix_comes_back() -> None:
    matrix = sp.csr_matrix(np.array([[0, 2.5, 0], [0, 0, 0], [1, 0, -1]], dtype=np.float32))
    made = unpickle(pickle.dumps(matrix, 4), "m")
    assert made.shape == (3, 3)
    np.testing.assert_array_equal(made.toarray(), matrix.toarray())


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_a_graph_comes_back_as_a_dictionary(protocol: int) -> None:
    graph = defaultdict(list, {0: [1, 2], 1: [0, 0, 300], 70_000: []})
    made = unpickle(pickle.dumps(graph, protocol), "g")
    assert type(made) is dict
    assert made == graph


def test_plain_values_come_back() -> None:
    value = {"a": (1, -2, 3.5, True, None, b"\xff"), "b": [2**40, "é", (), {}]}
    assert unpickle(pickle.dumps(value, 4), "v") == value


class Attack:
    """Unpickled by Python itself, it calls something that leaves a mark."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


class Stateful:
    """Leaves its mark through a method called with the state."""

    def __init__(self, attack: Attack) -> None:
        self.attack = attack

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (), {"anything": self.attack}


def _array_holding(attack: Attack) -> np.ndarray:
    array = np.empty(1, dtype=object)
    array[0] = attack
    return array


def _matrix_holding(attack: Attack) -> sp.csr_matrix:
    matrix = sp.csr_matrix((1, 1))
    matrix.data = attack
    return matrix


def _write(mark: Path) -> str:
    return f"open({str(mark)!r}, 'w').close()"


ATTACKS: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda m: pickle.dumps(Attack(os.system, f"touch {m}")),
    "subprocess.run": lambda m: pickle.dumps(Attack(subprocess.run, ["touch", str(m)])),
    "exec": lambda m: pickle.dumps(Attack(exec, _write(m))),
    "eval": lambda m: pickle.dumps(Attack(eval, _write(m))),
    "open": lambda m: pickle.dumps(Attack(open, str(m), "w")),
    "mkdir": lambda m: pickle.dumps(Attack(os.mkdir, str(m))),
    "touch": lambda m: pickle.dumps(Attack(pathlib.Path.touch, m)),
    "copy": lambda m: pickle.dumps(Attack(shutil.copy, __file__, str(m))),
    "symlink": lambda m: pickle.dumps(Attack(os.symlink, __file__, str(m))),
    "np.save": lambda m: pickle.dumps(Attack(np.ndarray.tofile, np.zeros(1), str(m))),
    "run_path": lambda m: pickle.dumps(Attack(runpy.run_path, str(m.with_suffix(".py")))),
    "getattr": lambda m: pickle.dumps(Attack(getattr(builtins, "exec"), _write(m)), 2),  # noqa: B009
    "map": lambda m: pickle.dumps(Attack(list, Attack(map, exec, [_write(m)]))),
    "partial": lambda m: pickle.dumps(Attack(functools.reduce, exec, [_write(m), {}])),
    "factory": lambda m: pickle.dumps(Attack(defaultdict, Attack(exec, _write(m)))),
    "in a list": lambda m: pickle.dumps([1, [2, Attack(exec, _write(m))]]),
    "in a graph": lambda m: pickle.dumps(defaultdict(list, {0: [Attack(exec, _write(m))]})),
    "in an array": lambda m: pickle.dumps(_array_holding(Attack(exec, _write(m)))),
    "in a matrix": lambda m: pickle.dumps(_matrix_holding(Attack(exec, _write(m)))),
    "in a state": lambda m: pickle.dumps(Stateful(Attack(exec, _write(m)))),
    "protocol 0": lambda m: pickle.dumps(Attack(exec, _write(m)), 0),
    "opcode INST": lambda m: f"(S{_write(m)!r}\ni__builtin__\nexec\n.".encode(),
    "opcode OBJ": lambda m: f"(c__builtin__\nexec\nS{_write(m)!r}\no.".encode(),
    "dotted name": lambda m: (
        b"\x80\x04\x8c\x08builtins\x8c\x0dexec.__call__\x93X"
        + len(_write(m)).to_bytes(4, "little")
        + _write(m).encode()
        + b"\x85R."
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_in_a_pickle_is_called(name: str, tmp_path: Path) -> None:
    """Each attack leaves its mark when Python unpickles it, and none when we read it."""
    mark = tmp_path / "mark"
    mark.with_suffix(".py").write_text(_write(mark))
    attack = ATTACKS[name](mark)
    try:
        closing = pickle.loads(attack)
        getattr(closing, "close", lambda: None)()
    except TypeError:
        pass  # what the attack leaves behind is not what pickle goes on with
    assert os.path.lexists(mark), "the attack is a dud"
    shutil.rmtree(mark) if mark.is_dir() else mark.unlink()

    with pytest.raises(DataError, match="cannot be read"):
        unpickle(attack, name)
    place = tmp_path / "file"
    place.write_bytes(attack)
    with pytest.raises(DataError, match="file cannot be read"):
        read_pickle(place)
    assert not os.path.lexists(mark)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"N",
        b"\x80\x04.",
        b"cos\nsystem\n.",
        b"cnumpy\nndarray\n.",  # a bare name is no value
        b"cnumpy\nndarray\n)R.",
        b"cnumpy\nndarray\n)\x81.",
        b"}]K\x01s.",  # a list as a key
        b"K\x01K\x02a.",  # appends to a number
        b"((.",
        b"h\x05.",  # nothing is remembered there
        b"j\xff\xff\xff\x7f.",
        b"Nr\xff\xff\xff\xffq\x01" + b"N" * 3,
        b"\x8e" + (2**60).to_bytes(8, "little") + b"abc.",  # says that 2**60 bytes follow
        b"T\xff\xff\xff\x7fabc.",
        b"]" * 100_000 + b".",
        b"I" + b"9" * 5000 + b"\n.",
        b"Pid\n.",
        b"\x82\x01.",
        PYTHON_2_ARRAY[:-20] + b".",
        PYTHON_2_ARRAY.replace(b"i2", b"O8"),
        PYTHON_2_ARRAY.replace(b"K\x02K\x03\x86", b"K\x02K\x04\x86"),  # one row too wide
        PYTHON_2_ARRAY.replace(b"K\x02K\x03\x86", b"K\x02J\xff\xff\xff\x7f\x86"),
        PYTHON_2_ARRAY.replace(b"U\x01>", b"U\x01q"),
        PYTHON_2_ARRAY.replace(b"U\x02i2", b"U\x02V9"),
    ],
)
def test_damaged_pickles_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        unpickle(content, "x")


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("indices", [0, 7]),  # a column that is not there
        ("indices", [0, -1]),
        ("indptr", [0, 2, 1]),  # falls
        ("indptr", [1, 1, 2]),
        ("indptr", [0, 2, 9]),  # more entries than there are
        ("indptr", [0, 2]),
        ("data", [1.0]),
        ("_shape", (2, 2**40)),
        ("_shape", (-1, 2)),
        ("_shape", [2, 2]),
        ("indices", [0.0, 1.0]),
    ],
)
def test_a_matrix_that_points_nowhere_is_refused(part: str, values: Any) -> None:
    """Written out, such a matrix would write outside its memory."""
    matrix = sp.csr_matrix(np.eye(2))
    given_values = values if part == "_shape" else np.array(values)
    matrix.__dict__[part] = given_values
    with pytest.raises(DataError):
        unpickle(pickle.dumps(matrix, 4), "m")


def _text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def _body(value: Any) -> bytes:
    """The opcodes that make a value, without the frame around them."""
    return pickle.dumps(value, 3)[2:-1]


def test_an_array_cannot_change_after_its_matrix_was_checked() -> None:
    """The column numbers are set again behind the matrix: it keeps those that were checked."""
    places = np.array([0, 1], dtype=np.int32)
    keep, recall = b"r\x00\x01\x00\x00", b"j\x00\x01\x00\x00"
    fields = {"data": _body(np.ones(2)), "indptr": _body(np.array([0, 1, 2], dtype=np.int32)),
              "indices": recall, "_shape": _body((2, 2))}  # fmt: skip
    state = b"}(" + b"".join(_text(key) + made for key, made in fields.items()) + b"u"
    four_bytes = b"cnumpy\ndtype\n" + _text("i4") + b"K\x00K\x01\x87R(K\x03" + _text("<") + b"tb"
    far = b"(K\x01K\x02\x85" + four_bytes + b"\x89C\x08" + (2**30).to_bytes(4, "little") * 2 + b"t"
    matrix = b"cscipy.sparse.csr\ncsr_matrix\n)\x81" + state + b"b"
    content = b"\x80\x03(" + _body(places) + keep + matrix + recall + far + b"bt."
    array, made, same = unpickle(content, "m")
    assert same is array
    assert array.tolist() == [2**30, 2**30]
    np.testing.assert_array_equal(made.toarray(), np.eye(2))


def test_a_pickle_of_too_many_steps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphkit.data.unpickle.MAX_STEPS", 10)
    with pytest.raises(DataError, match="more than 10 opcodes"):
        unpickle(b"(" + b"N" * 20 + b"l.", "x")


def test_a_large_or_absent_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphkit.data.unpickle.MAX_BYTES", 3)
    (tmp_path / "large").write_bytes(b"NNNN.")
    with pytest.raises(DataError, match="larger than 3 bytes"):
        read_pickle(tmp_path / "large")
    with pytest.raises(DataError, match="cannot read"):
        read_pickle(tmp_path / "absent")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_our_error_alone(content: bytes) -> None:
    for whole in (content, b"\x80\x02" + content + b"."):
        with contextlib.suppress(DataError):
            unpickle(whole, "x")


SEEDS = [
    PYTHON_2_ARRAY,
    pickle.dumps(sp.csr_matrix(np.eye(3, dtype=np.float32)), 4),
    pickle.dumps(defaultdict(list, {0: [1], 1: [0, 2], 2: [1]}), 2),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_changed_pickles_raise_our_error_alone(content: bytes, data: st.DataObject) -> None:
    """Up to four bytes of a good pickle are changed, cut out or put in."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        value = unpickle(bytes(changed), "x")
    except DataError:
        return
    if sp.issparse(value):
        assert value.toarray().shape == value.shape
