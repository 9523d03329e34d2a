"""What all tests share: shapes are checked while they run, and data sets may be required."""

from __future__ import annotations

import os

import pytest
import torch


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips tests on real data where there is none, unless that would hide a broken set-up."""
    if os.environ.get("GRAPHKIT_DATA"):
        return
    if os.environ.get("GRAPHKIT_DATA_REQUIRED"):
        raise pytest.UsageError("GRAPHKIT_DATA_REQUIRED is set, but GRAPHKIT_DATA is not")
    skip = pytest.mark.skip(reason="needs the raw data sets: set GRAPHKIT_DATA to their folder")
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _one_thread(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two test processes on two cores: one thread each. The cache of a test is its own."""
    torch.set_num_threads(1)
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
