"""The file of an exported program, reduced to what cannot run foreign code when it is read.

``torch.export.load`` unpickles some entries and evaluates others, so a file from elsewhere could do
anything. ``sealed`` leaves those entries out; ``checked`` refuses a file that has any.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from graphkit.errors import DamagedFile

__all__ = ["checked", "sealed"]

NAMES = re.compile(
    r"archive/("
    r"data/weights/(weight_\d+|model_weights_config\.json)|data/constants/model_constants_config\.json"
    r"|data/sample_inputs/model\.pt|models/model\.json|extra/graphkit\.json"
    r"|archive_format|archive_version|byteorder|\.data/version|\.data/serialization_id)"
)
MODEL = "archive/models/model.json"
EXAMPLE = "archive/data/sample_inputs/model.pt"  # a pickle, which nothing needs
WEIGHTS = "archive/data/weights/model_weights_config.json"
CONSTANTS = "archive/data/constants/model_constants_config.json"
LARGEST = 1 << 32

OPERATOR = re.compile(r"torch\.ops\.aten\.[a-z0-9_]+\.[A-Za-z0-9_]+")
EXPRESSION = re.compile(r"Symbol\('s\d+', positive=True, integer=True\)|\d+")
SPECS = {  # one tensor in, one tensor out
    "in_spec": (
        '[1, {"type": "builtins.tuple", "context": "null", "children_spec": [{"type": '
        '"builtins.tuple", "context": "null", "children_spec": [{"type": null, "context": null, '
        '"children_spec": []}]}, {"type": "builtins.dict", "context": "[]", "children_spec": []}]}]'
    ),
    "out_spec": '[1, {"type": null, "context": null, "children_spec": []}]',
}
EMPTY = ("guards_code", "custom_obj_values", "treespec_namedtuple_fields", "metadata")


def sealed(content: bytes) -> bytes:
    """Returns the file without its example and without notes on where its code came from."""
    entries = _entries(content)
    entries[EXAMPLE] = b""
    program = json.loads(entries[MODEL])
    for _, holder in _pairs(program):
        if "metadata" in holder:
            holder["metadata"] = {}
    entries[MODEL] = json.dumps(program).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):  # fixed times and order: the same program, the same bytes
            archive.writestr(zipfile.ZipInfo(name), entries[name])
    return checked(stream.getvalue())


def checked(content: bytes) -> bytes:
    """Returns the file as it is, if reading it runs nothing but torch's own operators.

    Raises:
        DamagedFile: An entry is not one that ``sealed`` leaves.
    """
    entries = _entries(content)
    for name in entries:
        if not NAMES.fullmatch(name):
            raise DamagedFile(f"the program has an entry {name!r}, which graphkit does not write")
    if entries.get(EXAMPLE) != b"":
        raise DamagedFile("the program carries an example that would be unpickled")
    program, weights, constants = (_json(entries, name) for name in (MODEL, WEIGHTS, CONSTANTS))
    if constants != {"config": {}}:
        raise DamagedFile("the program carries constants, which graphkit does not write")
    if any(found.get("use_pickle") is not False for found in weights.get("config", {}).values()):
        raise DamagedFile("the program carries pickled weights")
    for key, holder in _pairs(program):
        value = holder[key]
        fits = (
            (key == "target" and bool(OPERATOR.fullmatch(str(value))))
            or (key == "expr_str" and bool(EXPRESSION.fullmatch(str(value))))
            or (key in SPECS and value == SPECS[key])
            or (key in EMPTY and not value)
            or key not in ("target", "expr_str", *SPECS, *EMPTY)
        )
        if not fits:
            raise DamagedFile(f"the program has {key}={str(value)[:80]!r}, not one of torch's own")
    return content


def _entries(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = archive.infolist()
            if len({entry.filename for entry in found}) != len(found):
                raise DamagedFile("the program names an entry twice")
            if sum(entry.file_size for entry in found) > LARGEST:
                raise DamagedFile("the program unpacks to more than 4 GiB")
            return {entry.filename: archive.read(entry) for entry in found}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DamagedFile(f"this is no whole exported program: {error}") from error


def _json(entries: dict[str, bytes], name: str) -> Any:
    try:
        found = json.loads(entries[name])
    except (KeyError, ValueError) as error:
        raise DamagedFile(f"the program lacks a readable {name}") from error
    if not isinstance(found, dict):
        raise DamagedFile(f"{name} of the program is no table")
    return found


def _pairs(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key with the table it is in, at any depth."""
    if isinstance(value, dict):
        for key in list(value):
            yield key, value
            yield from _pairs(value[key])
    elif isinstance(value, list):
        for part in value:
            yield from _pairs(part)
