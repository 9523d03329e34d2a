"""A model written and read back answers the same; anything else is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from graphkit.errors import DamagedFile, DataNotFound, SettingError
from graphkit.models import GCN, MLP, GraphTransformer, Model
from graphkit.models.saved import build, load_model, save_model
from graphkit.tasks import Dims
from graphkit.train import describe, predict
from tests import tiny


@pytest.mark.parametrize("factory", [
    partial(GCN, hidden_channels=5), MLP, partial(GraphTransformer, hidden_channels=16, heads=2),
])  # fmt: skip
def test_read_back_answers_the_same(factory: partial[Model], tmp_path: Path) -> None:
    problem = tiny.node_problem()
    model = factory(problem.dims)
    path = save_model(
        tmp_path / "m.safetensors", model, describe(factory), problem.dims, {"seed": 3}
    )
    found = load_model(path)
    assert found.dims == problem.dims
    assert found.about == {"seed": 3}
    assert found.settings == describe(factory)
    assert not found.model.training
    assert torch.equal(predict(found.model, problem), predict(model.eval(), problem))


def test_symbols_come_back_as_they_were(tmp_path: Path) -> None:
    dims = tiny.graph_problem_symbols().dims
    path = save_model(tmp_path / "m", MLP(dims), describe(MLP), dims)
    assert load_model(path).dims == dims


def test_settings_of_another_network_are_refused(tmp_path: Path) -> None:
    dims = Dims(3, 2)
    with pytest.raises(SettingError, match="does not build this MLP"):
        save_model(tmp_path / "m", MLP(dims, hidden_channels=4), describe(MLP), dims)
    assert not list(tmp_path.iterdir())


def test_a_network_from_elsewhere_is_named() -> None:
    with pytest.raises(SettingError, match="'Strange' is no network of the library"):
        build({"name": "Strange"}, Dims(3, 2))
    with pytest.raises(SettingError, match="cannot be built"):
        build({"name": "GCN", "wheels": 4}, Dims(3, 2))


def test_missing_and_damaged_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="no file of a model"):
        load_model(tmp_path / "none")
    dims = Dims(3, 2)
    whole = save_model(tmp_path / "m", MLP(dims), describe(MLP), dims).read_bytes()
    bad = tmp_path / "bad"
    draw = torch.Generator().manual_seed(0)
    for at in torch.randint(len(whole), (40,), generator=draw).tolist():
        bad.write_bytes(whole[:at] + bytes([whole[at] ^ 8]) + whole[at + 1 :])
        with pytest.raises(DamagedFile, match="bad"):
            load_model(bad)
    for length in (0, 7, 100, len(whole) - 1):
        bad.write_bytes(whole[:length])
        with pytest.raises(DamagedFile):
            load_model(bad)
