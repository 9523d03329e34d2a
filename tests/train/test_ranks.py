"""Two processes train one model: they step equally, agree on the scores, end with one model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from graphkit.train.ranks import agreed, any_rank, newest_of_all, rank, ranks

SCRIPT = """
import os, sys, torch, torch.distributed as dist, graphkit
from pathlib import Path
from graphkit.data import SampledNodes
from graphkit.models import GraphSAGE
from graphkit.train import TrainConfig, checkpoints, fit

out, state, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
dist.init_process_group("gloo")
problem = graphkit.load_problem("sbm/small").blind()

class Killed(GraphSAGE):
    steps = 0

    def observe(self, batch):
        # after the last step that this rank saves and before the save of the next
        self.steps += 1
        if self.steps > last and dist.get_rank() == 1:
            os._exit(9)

torch.manual_seed(0)
config = TrainConfig(epochs=2, batching=SampledNodes((3, 3), 16))
with checkpoints(state, every_seconds=0.0):
    fitted = fit(Killed(problem.dims, dropout=0.5), problem, config)
torch.save({"last": fitted.last.state_dict(), "val": fitted.val["val_loss"]},
           out / f"rank{dist.get_rank()}.pt")
dist.destroy_process_group()
"""


NEVER = 1_000


def both(folder: Path, state: Path, last: int = NEVER) -> subprocess.CompletedProcess[str]:
    """Two processes that train; the second dies after its last step."""
    script = folder / "both.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    words = [str(script), str(folder), str(state), str(last)]
    return subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=240, check=False
    )


def models(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank{number}.pt", weights_only=True) for number in (0, 1)]


def test_alone_everything_is_as_it_stands() -> None:
    assert (rank(), ranks()) == (0, 1)
    assert agreed({"loss": 1.5}) == {"loss": 1.5}
    assert any_rank(True)
    assert not any_rank(False)
    assert newest_of_all([(0, 3), (1, 2), (0, 9)]) == (1, 2)
    assert newest_of_all([]) is None


def test_two_processes_end_with_the_same_model_though_one_was_killed(tmp_path: Path) -> None:
    """The other has saved a step more by then; both go on from the one before."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    done = both(whole, whole / "state")
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = models(whole)
    assert first["val"] == second["val"]
    for name, value in first["last"].items():
        assert torch.equal(value, second["last"][name]), name

    assert both(broken, broken / "state", last=2).returncode != 0
    assert not (broken / "rank0.pt").exists()
    done = both(broken, broken / "state")
    assert done.returncode == 0, done.stderr[-2000:]
    for again in models(broken):
        assert again["val"] == first["val"]
        for name, value in first["last"].items():
            assert torch.equal(value, again["last"][name]), name
