"""Compiled functions: arrays in, arrays out, no lock of Python's held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit
from numpy.typing import NDArray

__all__ = ["Array", "compiled"]

Array = NDArray[Any]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel, **options: Any) -> Kernel:
    """Compiles a function when it is first called, and keeps the machine code if it can.

    Args:
        function: What numba can compile.
        options: More of numba's options.
    """
    try:
        return cast(Kernel, njit(nogil=True, cache=True, **options)(function))
    except RuntimeError:  # no folder to keep the machine code in: compile once in every process
        return cast(Kernel, njit(nogil=True, **options)(function))
