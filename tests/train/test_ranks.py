"""Two processes train one model: they step equally, agree on the scores, end with one model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from graphkit.train.ranks import agreed, rank, ranks

SCRIPT = """
import sys, torch, torch.distributed as dist, graphkit
from graphkit.data import SampledNodes
from graphkit.models import GraphSAGE
from graphkit.train import TrainConfig, fit

torch.set_num_threads(1)
dist.init_process_group("gloo")
problem = graphkit.load_problem("sbm/small").blind()
torch.manual_seed(0)
config = TrainConfig(epochs=2, batching=SampledNodes((3, 3), 16))
fitted = fit(GraphSAGE(problem.dims, dropout=0.0), problem, config)
torch.save({"last": fitted.last.state_dict(), "val": fitted.val["val_loss"]},
           f"{sys.argv[1]}/rank{dist.get_rank()}.pt")
dist.destroy_process_group()
"""


def test_alone_everything_is_as_it_stands() -> None:
    assert (rank(), ranks()) == (0, 1)
    assert agreed({"loss": 1.5}) == {"loss": 1.5}


def test_two_processes_end_with_the_same_model(tmp_path: Path) -> None:
    script = tmp_path / "both.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (
        torch.load(tmp_path / f"rank{number}.pt", weights_only=True) for number in (0, 1)
    )
    assert first["val"] == second["val"]
    for name, value in first["last"].items():
        assert torch.equal(value, second["last"][name]), name
