"""What torch.compile does not look into."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def eager(function: Callable[P, R]) -> Callable[P, R]:
    """Break graphs at this function: a compiled program calls it as it is, and is compiled on both sides.

    As :func:`torch.compiler.disable`, which loads the compiler, a second of work, on import.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        outside: Callable[P, R] | None = getattr(function, "_outside", None)
        if outside is None:
            outside = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
            function._outside = outside  # type: ignore[attr-defined]
        return outside(*args, **kwargs)

    return call
