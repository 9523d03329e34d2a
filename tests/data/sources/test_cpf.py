"""The form of the distillation papers: component, self-loops, raw features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphkit.data.catalogue import load_problem


def test_a_ring_with_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two classes of 60 on a ring given once each way, one node alone: 120 nodes, 3 links each."""
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    ring = np.arange(120)
    adj = sp.csr_matrix((np.ones(120), (ring, (ring + 1) % 120)), (121, 121))
    attr = sp.csr_matrix(np.arange(121.0)[:, None])
    arrays = {
        f"{key}_{part}": np.array(getattr(matrix, part))
        for key, matrix in (("adj", adj), ("attr", attr))
        for part in ("data", "indices", "indptr", "shape")
    }
    (tmp_path / "cpf").mkdir()
    np.savez(tmp_path / "cpf" / "pubmed.npz", labels=np.arange(121) % 2, **arrays)
    problem = load_problem("pubmed-cpf/random", tmp_path, seed=5)
    assert problem.num_items == 120
    assert problem.data.edge_index.shape[1] == 360
    assert problem.data.x[:, 0].tolist() == list(range(120))  # counts stay counts
    assert problem.split.sizes() == {"train": 40, "val": 60, "test": 20, "hidden": 0}
    hidden = load_problem("pubmed-cpf/production", tmp_path, seed=5)
    assert hidden.split.sizes() == {"train": 40, "val": 60, "test": 16, "hidden": 4}
    assert torch.equal(hidden.split.train, problem.split.train)
    rest = torch.cat([hidden.split.test, hidden.split.hidden]).sort().values
    assert torch.equal(rest, problem.split.test)


@pytest.mark.data
def test_cora_has_the_size_measured_before_self_loops_were_added() -> None:
    data = load_problem("cora-cpf/random").data
    loops = data.edge_index[0] == data.edge_index[1]
    assert int(loops.sum()) == data.num_nodes == 2_485
    assert int((~loops).sum()) == 10_138
    assert data.x.unique().tolist() == [0, 1]
