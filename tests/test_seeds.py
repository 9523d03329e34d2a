"""One seed, many streams: independent, and the same in every process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import torch

from graphkit.seeds import derived_seed, seeded, stream


def test_a_derived_seed_is_fixed_for_good() -> None:
    # First 8 bytes of sha256("3\x1forder\x1f0"), halved: by hashlib, outside of graphkit.
    assert derived_seed(3, "order", 0) == 3_786_138_864_227_930_044
    assert all(0 <= derived_seed(n, "x") < 2**63 for n in range(100))


def test_names_do_not_run_into_each_other() -> None:
    seeds = [
        derived_seed(1, "a", 11),
        derived_seed(1, "a1", 1),
        derived_seed(11, "a", 1),
        derived_seed(1, "a", 1, 1),
        derived_seed(1, "a"),
        derived_seed(1),
        derived_seed(2),
    ]
    assert len(set(seeds)) == len(seeds)


def test_streams_are_independent() -> None:
    names = [(seed, name, epoch) for seed in (0, 1) for name in ("a", "b") for epoch in (0, 1)]
    drawn = [torch.randn(4000, generator=stream(*name)) for name in names]
    for first, second in combinations(drawn, 2):
        assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 5 / 4000**0.5


def test_a_draw_shifts_no_other_stream() -> None:
    before = torch.rand(3, generator=stream(0, "b"))
    torch.rand(100, generator=stream(0, "a"))
    torch.rand(100)
    assert torch.equal(before, torch.rand(3, generator=stream(0, "b")))


def test_a_stream_leaves_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    torch.rand(3, generator=stream(0, "a"))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_another_process_draws_the_same(hash_seed: str) -> None:
    code = (
        "import torch; from graphkit.seeds import stream, seeded\n"
        "print(torch.randint(2**40, (3,), generator=stream(7, 'order', 2)).tolist())\n"
        "with seeded(7, 'transform'): print(torch.rand(2).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    drawn = torch.randint(2**40, (3,), generator=stream(7, "order", 2)).tolist()
    with seeded(7, "transform"):
        inner = torch.rand(2).tolist()
    assert done.stdout.splitlines() == [str(drawn), str(inner)]


def draws() -> tuple[float, float, float]:
    """One number of each global generator."""
    return random.random(), float(np.random.rand()), float(torch.rand(1))


@pytest.mark.parametrize("fails", [False, True])
def test_seeded_leaves_the_global_generators_untouched(fails: bool) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    first, second = draws(), draws()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert draws() == first
    try:
        with seeded(5, "a"):
            inside = draws()
            if fails:
                raise RuntimeError
    except RuntimeError:
        pass
    assert draws() == second
    with seeded(5, "a"):
        assert draws() == inside
    with seeded(5, "b"):
        assert all(a != b for a, b in zip(draws(), inside, strict=True))
