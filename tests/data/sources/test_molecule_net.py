"""Tables of SMILES: what is read of them, and what is said without rdkit."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from graphkit.data.sources import molecule_net
from graphkit.errors import DamagedFile, DataError, MissingExtra, UnknownName

NO_RDKIT = importlib.util.find_spec("rdkit") is None


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return tmp_path


def _write_table(root: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = molecule_net.TABLES[name]
    known = molecule_net.TABLES | {name: replace(table, sha256=None)}
    monkeypatch.setattr(molecule_net, "TABLES", known)
    folder = root / "moleculenet" / name / "raw"
    folder.mkdir(parents=True)
    (folder / table.file).write_text(text)


def test_tables_of_smiles_say_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)  # as if it were not installed
    _write_table(root, "esol", "head\n", monkeypatch)
    with pytest.raises(MissingExtra, match=r"graphkit\[chem\]"):
        molecule_net.molecule_net(root, 0, "esol")


@pytest.mark.skipif(NO_RDKIT, reason="needs graphkit[chem]")
def test_tables_of_smiles_become_graphs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f'"a, b",{number % 2},{"" if number else 1},CCO\n' for number in range(20)]
    monkeypatch.setitem(
        molecule_net.TABLES, "bbbp", molecule_net._Table("BBBP.csv", -1, slice(1, 3))
    )
    _write_table(root, "bbbp", "name,first,second,smiles\n" + "".join(rows), monkeypatch)
    problem = molecule_net.molecule_net(root, 3, "bbbp")
    assert problem.split.sizes() == {"train": 16, "val": 2, "test": 2, "hidden": 0}
    assert problem.data[0].y.tolist() == [[0.0, 1.0]]
    assert problem.data[1].y.isnan().tolist() == [[False, True]]
    assert problem.data[0].x[:, 0].tolist() == [6, 6, 8]  # two carbons and an oxygen
    assert problem.data[0].edge_index.tolist() == [[1, 0, 2, 1], [0, 1, 1, 2]]


def test_unknown_names_and_other_content_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'bbbp'"):
        molecule_net.files("bbb")
    folder = tmp_path / "moleculenet" / "esol" / "raw"
    folder.mkdir(parents=True)
    (folder / "delaney-processed.csv").write_text("other\n")
    with pytest.raises(DamagedFile, match="sha256"):
        molecule_net.molecule_net(tmp_path, 0, "esol")


@pytest.mark.skipif(NO_RDKIT, reason="needs graphkit[chem]")
@pytest.mark.parametrize("row", ["only\n", "a,much,CCO\n", "a,1,no molecule\n"])
def test_rows_that_do_not_fit_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    _write_table(root, "bbbp", "name,p_np,smiles\n" + row, monkeypatch)
    with pytest.raises(DataError):
        molecule_net.molecule_net(root, 0, "bbbp")
