"""A fitted model as one safe file: weights, and what is needed to build the network again."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import xxhash
from torch import Tensor

from graphkit.errors import DamagedFile, DataNotFound, SettingError
from graphkit.files import write_whole
from graphkit.models import GRAPH_MODELS, HYPERGRAPH_MODELS, NODE_MODELS, STREAM_MODELS
from graphkit.models.base import Model
from graphkit.tasks import Dims

__all__ = ["Saved", "build", "load_model", "save_model"]

FORMAT = 1
KEY = "graphkit-model"


@dataclass(frozen=True, eq=False)
class Saved:
    """What a file of a model holds.

    Args:
        model: The network, in evaluation mode.
        settings: Name of its class and all its hyper-parameters.
        dims: Sizes of the data it was built for.
        about: What the writer noted besides: problem, seed, scores.
    """

    model: Model
    settings: Mapping[str, Any]
    dims: Dims
    about: Mapping[str, Any] = field(default_factory=dict)


def build(settings: Mapping[str, Any], dims: Dims) -> Model:
    """Makes a network of the library from the name of its class and its hyper-parameters.

    Args:
        settings: ``{"name": "GCN", "hidden_channels": 16, ...}``, as ``describe`` writes it.
        dims: Sizes of the data.

    Raises:
        SettingError: The class is none of the library's, or takes no such hyper-parameter.
    """
    name = settings.get("name")
    places = {
        entry.place.split(":")[1]: entry.place
        for models in (NODE_MODELS, GRAPH_MODELS, STREAM_MODELS, HYPERGRAPH_MODELS)
        for entry in models.values()
    }
    if name not in places:
        raise SettingError(
            f"{name!r} is no network of the library and cannot be built from its settings; known: "
            f"{', '.join(sorted(places))}"
        )
    module, _ = places[name].split(":")
    cls = getattr(importlib.import_module(f"graphkit.models.{module}"), name)
    chosen = {key: value for key, value in settings.items() if key != "name"}
    try:
        model: Model = cls(dims, **chosen)
    except TypeError as error:
        raise SettingError(f"{name} cannot be built from {chosen}: {error}") from error
    return model


def save_model(
    path: Path,
    model: Model,
    settings: Mapping[str, Any],
    dims: Dims,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a model to one file, whole or not at all.

    Args:
        path: The file, ``.safetensors`` by custom: it opens with that library too.
        model: The network; all its state is in parameters and buffers.
        settings: Name of its class and hyper-parameters, as ``describe`` writes them.
        dims: Sizes of the data.
        about: Anything JSON can hold.

    Raises:
        SettingError: The settings do not build this network.
        StorageError: The file cannot be written.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in _state(model).items()}
    fresh = _state(build(settings, dims))
    if {n: v.shape for n, v in fresh.items()} != {n: v.shape for n, v in weights.items()}:
        raise SettingError(f"{dict(settings)} does not build this {type(model).__name__}")
    told = {
        "format": FORMAT,
        "settings": dict(settings),
        "dims": asdict(dims),
        "about": dict(about or {}),
    }
    text = json.dumps(told, sort_keys=True)
    metadata = {KEY: text, "checksum": _checksum(weights, text)}
    return write_whole(path, safetensors.torch.save(weights, metadata))


def load_model(path: Path) -> Saved:
    """Reads a model back and builds its network.

    Raises:
        DataNotFound: There is no such file.
        DamagedFile: It is no file of a model, or not as it was written.
        SettingError: It is of a later format, or its network is unknown here.
    """
    if not path.is_file():
        raise DataNotFound(f"there is no file of a model at {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        told = json.loads(metadata[KEY])
        written = metadata["checksum"]
    except (safetensors.SafetensorError, KeyError, ValueError, OSError) as error:
        raise DamagedFile(f"{path} is no whole file of a model: {error}") from error
    if _checksum(weights, metadata[KEY]) != written:
        raise DamagedFile(f"{path} was changed since it was written: its checksum differs")
    if told["format"] > FORMAT:
        raise SettingError(f"{path} is of format {told['format']}; this version reads {FORMAT}")
    dims = told["dims"]
    dims |= {key: tuple(dims[key]) for key in ("node_symbols", "edge_symbols")}
    model = build(told["settings"], Dims(**dims))
    model.load_state_dict(weights)
    return Saved(model.eval(), told["settings"], Dims(**dims), told["about"])


def _state(model: Model) -> dict[str, Tensor]:
    return dict(model.state_dict())


def _checksum(weights: Mapping[str, Tensor], text: str) -> str:
    digest = xxhash.xxh3_128(text.encode())
    for name in sorted(weights):
        value = weights[name]
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
