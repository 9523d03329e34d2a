"""One seed, many independent streams of random numbers.

Weights and dropout draw from torch's global generator, which a run sets once. All that decides on
data (splits, order, sampling, negatives, transforms, controllers) draws from a stream named for
its purpose, so it can be started anywhere and no draw shifts another.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["derived_seed", "seeded", "stream"]


def derived_seed(seed: int, *names: str | int) -> int:
    """Returns the seed of a named stream: 63 bits, the same on every machine and version."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> torch.Generator:
    """Returns a generator of its own for one purpose, e.g. ``stream(3, "order", epoch)``."""
    return torch.Generator().manual_seed(derived_seed(seed, *names))


@contextmanager
def seeded(seed: int, *names: str | int) -> Iterator[None]:
    """Sets the global generators of Python, NumPy and torch inside, leaves them untouched outside.

    For foreign code alone (PyG transforms) that knows no generator argument.
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    inner = derived_seed(seed, *names)
    random.seed(inner)
    np.random.seed(inner % 2**32)
    torch.manual_seed(inner)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if devices:
            torch.cuda.set_rng_state_all(devices)
