"""The code on the pages runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import graphkit

ROOT = Path(__file__).resolve().parents[2]


def code(page: str) -> list[str]:
    """The Python blocks of a page, in order."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.S)


def test_add_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """The page's model is written, fitted and put on the board."""
    blocks = code("docs/add_a_model.md")
    names: dict[str, object] = {}
    for block in blocks[:3]:
        exec(compile(block, "docs/add_a_model.md", "exec"), names)
    assert names["record"]["status"] == "done"
    assert names["record"]["test"]["accuracy"] > 0.5
    assert '"two-steps": ModelEntry(' in blocks[3]


def test_readme_on_own_data() -> None:
    """The README's second example, on a graph that PyG carries."""
    block = next(block for block in code("README.md") if "KarateClub" in block)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["mine"].task.num_classes == 4
    scores = graphkit.evaluate(names["fitted"].model, names["mine"], "test")
    assert 0 <= scores["accuracy"] <= 1


def test_every_command_of_the_readme_exists() -> None:
    """Each ``graphkit ...`` line names commands that the parser knows."""
    from graphkit.cli import COMMANDS

    text = (ROOT / "README.md").read_text()
    for word in re.findall(r"^graphkit (\w+)", text, flags=re.M):
        assert word in COMMANDS


def test_distill() -> None:
    names: dict[str, object] = {}
    for block in code("docs/distill.md"):
        exec(compile(block, "docs/distill.md", "exec"), names)
    assert names["scores"].shape == (1000, 5)


def test_out_of_core() -> None:
    names: dict[str, object] = {}
    for block in code("docs/out_of_core.md"):
        exec(compile(block, "docs/out_of_core.md", "exec"), names)
    assert names["batching"].meter.read_bytes > 0
