"""An exported student needs torch alone, answers as the network did, and runs no foreign code."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from graphkit.distill.export import Exported, export, load_exported, predict_file
from graphkit.distill.program_file import CONSTANTS, EXAMPLE, MODEL, WEIGHTS, checked
from graphkit.errors import DamagedFile, DataError, DataNotFound, SettingError
from graphkit.models import GCN, MLP, SGC
from graphkit.tasks import Dims
from graphkit.train import predict
from tests import tiny


@pytest.fixture(scope="module")
def net() -> MLP:
    torch.manual_seed(0)
    return MLP(Dims(3, 2), hidden_channels=4).eval()


@pytest.fixture(scope="module")
def program(net: MLP, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(net, 3, tmp_path_factory.mktemp("program") / "student.pt2", {"problem": "tiny"})


def test_answers_as_the_network_did(net: MLP, program: Path) -> None:
    found = load_exported(program)
    assert found.about == {"in_channels": 3, "problem": "tiny"}
    problem = tiny.node_problem()
    torch.testing.assert_close(found(problem.data.x), predict(net, problem))
    assert found(problem.data.x[:1]).shape == (1, 2)
    assert not found(problem.data.x).requires_grad


def test_the_same_network_gives_the_same_file(net: MLP, program: Path, tmp_path: Path) -> None:
    again = export(net, 3, tmp_path / "again.pt2", {"problem": "tiny"})
    assert load_exported(again)(torch.ones(2, 3)).equal(load_exported(program)(torch.ones(2, 3)))
    assert b"site-packages" not in again.read_bytes()  # no paths of this machine


def test_needs_no_pyg(program: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 3), dtype=np.float64))
    script = (
        "import sys; from pathlib import Path\n"
        "from graphkit.distill.export import load_exported, predict_file\n"
        f"program = load_exported(Path({str(program)!r}))\n"
        "count = predict_file(program, Path('x.npy'), Path('y.npy'))\n"
        "assert count == 5\n"
        "assert 'torch_geometric' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.load(tmp_path / "y.npy").shape == (5, 2)


class Edgy(nn.Module):
    """Reads an edge, whatever its signature says."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, batch: object) -> torch.Tensor:
        return self.linear(batch.x) + batch.edge_index.sum()  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [lambda: GCN(Dims(3, 2)), lambda: SGC(Dims(3, 2)), Edgy])
def test_what_reads_the_graph_is_refused(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="not free of the graph"):
        export(make(), 3, tmp_path / "no.pt2")
    assert not list(tmp_path.iterdir())


def test_wrong_features_are_named(program: Path) -> None:
    found = load_exported(program)
    with pytest.raises(DataError, match=r"shape \(2, 4\); expected \(rows, 3\)"):
        found(torch.ones(2, 4))
    bad = torch.ones(4, 3)
    bad[2, 1] = torch.nan
    with pytest.raises(DataError, match="row 2"):
        found(bad)


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_a_file_is_predicted_in_batches(program: Path, kind: str, tmp_path: Path) -> None:
    found = load_exported(program)
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    features, out = tmp_path / f"x.{kind}", tmp_path / f"y.{kind}"
    if kind == "npy":
        np.save(features, x.numpy())
    else:
        pyarrow = pytest.importorskip("pyarrow")
        import pyarrow.parquet as parquet

        columns = {name: x[:, i].numpy() for i, name in enumerate("abc")}
        parquet.write_table(pyarrow.table(columns), features)
    assert predict_file(found, features, out, rows=4) == 10
    expected = found(x)
    if kind == "npy":
        np.testing.assert_allclose(np.load(out), expected.numpy(), rtol=1e-6)
    else:
        table = parquet.read_table(out).to_pydict()
        assert table["class"] == expected.argmax(-1).tolist()
        np.testing.assert_allclose(table["score_1"], expected[:, 1].numpy(), rtol=1e-6)


def test_bad_files_of_features(program: Path, tmp_path: Path) -> None:
    found = load_exported(program)
    with pytest.raises(DataNotFound, match="no file of features"):
        predict_file(found, tmp_path / "x.npy", tmp_path / "y.npy")
    (tmp_path / "x.csv").write_text("1,2,3")
    with pytest.raises(DataError, match=r"\.csv.*expected \.npy or \.parquet"):
        predict_file(found, tmp_path / "x.csv", tmp_path / "y.npy")
    np.save(tmp_path / "flat.npy", np.ones(3))
    with pytest.raises(DataError, match=r"shape \(3,\)"):
        predict_file(found, tmp_path / "flat.npy", tmp_path / "y.npy")
    table = np.ones((6, 3), dtype=np.float32)
    table[4, 0] = np.inf
    np.save(tmp_path / "inf.npy", table)
    with pytest.raises(DataError, match="from row 3 on: the features of row 1"):
        predict_file(found, tmp_path / "inf.npy", tmp_path / "y.npy", rows=3)
    np.save(tmp_path / "objects.npy", np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(DamagedFile):
        predict_file(found, tmp_path / "objects.npy", tmp_path / "y.npy")
    assert not (tmp_path / "y.npy").exists()


def changed(program: Path, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The file with its entries changed."""
    with zipfile.ZipFile(program) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


class Marks:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def edit(name: str, old: str, new: str) -> Callable[[dict[str, bytes]], None]:
    def change(entries: dict[str, bytes]) -> None:
        text = entries[name].decode()
        assert old in text
        entries[name] = text.replace(old, new).encode()

    return change


def test_a_file_that_would_run_code_is_refused(program: Path, tmp_path: Path) -> None:
    import pickle

    mark = tmp_path / "mark"
    bomb = pickle.dumps(Marks(mark))
    with zipfile.ZipFile(program) as archive:
        [symbol] = json.loads(archive.read(MODEL))["range_constraints"]
    expression = f"Symbol('{symbol}', positive=True, integer=True)"
    attacks: list[Callable[[dict[str, bytes]], None]] = [
        lambda entries: entries.update({EXAMPLE: bomb}),
        lambda entries: entries.update({"archive/data/weights/model.pt": bomb}),
        lambda entries: entries.update({"archive/data/constants/opaque_obj_0": bomb}),
        edit(WEIGHTS, '"use_pickle": false', '"use_pickle": true'),
        edit(CONSTANTS, "{}", '{"a": {"path_name": "custom_obj_0"}}'),
        edit(MODEL, expression, f"__import__('pathlib').Path('{mark}').touch()"),
        edit(MODEL, "torch.ops.aten.relu.default", "torch.hub.load"),
        edit(MODEL, '"guards_code": []', '"guards_code": ["open()"]'),
    ]
    for number, attack in enumerate(attacks):
        path = tmp_path / f"{number}.pt2"
        path.write_bytes(changed(program, attack))
        with pytest.raises(DamagedFile, match=path.name):
            load_exported(path)
        assert not mark.exists()
    assert checked(changed(program, lambda entries: None))


def test_damaged_programs_are_refused_or_harmless(program: Path, tmp_path: Path) -> None:
    whole, bad = program.read_bytes(), tmp_path / "bad.pt2"
    expected = load_exported(program)(torch.ones(1, 3))
    with pytest.raises(DataNotFound):
        load_exported(tmp_path / "none.pt2")
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:length])
        with pytest.raises(DamagedFile):
            load_exported(bad)
    draw = torch.Generator().manual_seed(0)
    for at in torch.randint(len(whole), (25,), generator=draw).tolist():
        bad.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        try:
            found: Exported = load_exported(bad)
        except DamagedFile:
            continue
        assert found(torch.ones(1, 3)).equal(expected)
