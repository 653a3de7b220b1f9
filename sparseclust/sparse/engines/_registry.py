"""Which engines there are, and the one function that chooses among them."""

import contextlib
import functools
import importlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

from sparseclust._optional import why_unavailable
from sparseclust.sparse.engines._protocol import Engine

# name -> module that holds ``engine``, package it needs, device types it runs on (none named: all).
_ENGINES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "torch": ("sparseclust.sparse.engines._torch", "torch", ()),
    "numba": ("sparseclust.sparse.engines._numba", "numba", ("cpu",)),
    "spconv": ("sparseclust.sparse.engines._spconv", "spconv.pytorch", ("cpu", "cuda")),
    # Not named by its package, which cannot be imported as it is where there is no CUDA device.
    "torchsparse": (
        "sparseclust.sparse.engines._torchsparse",
        "sparseclust.sparse.engines._torchsparse",
        ("cpu",),
    ),
}
_DEFAULT = {"cpu": "numba"}

_wanted: ContextVar[str | None] = ContextVar("sparseclust_engine", default=None)


def available_engines() -> dict[str, str]:
    """Name every engine with ``"ok"``, or with the reason why it cannot be used.

    Examples
    --------
    >>> from sparseclust.sparse import available_engines
    >>> available_engines()["torch"]
    'ok'
    """
    return {name: why_unavailable(package) or "ok" for name, (_, package, _) in _ENGINES.items()}


@contextlib.contextmanager
def use_engine(name: str) -> Iterator[None]:
    """Run the convolutions of a ``with`` block on the named engine; results agree up to rounding.

    Parameters
    ----------
    name : str
        A key of :func:`available_engines`.

    Raises
    ------
    ValueError
        If there is no such engine.

    Examples
    --------
    >>> from sparseclust.sparse import use_engine
    >>> with use_engine("torch"):
    ...     pass
    """
    if name not in _ENGINES:
        raise ValueError(f"no engine {name!r}; available_engines() lists them: {', '.join(_ENGINES)}")
    token = _wanted.set(name)
    try:
        yield
    finally:
        _wanted.reset(token)


def select_engine(device: torch.device) -> Engine:
    """Choose the engine for ``device``: the one asked for by :func:`use_engine`, or the default."""
    name = _wanted.get() or _DEFAULT.get(device.type, "torch")
    devices = _ENGINES[name][2]
    if devices and device.type not in devices:
        raise ValueError(f"the engine {name!r} runs on {' and '.join(devices)}, the tensors are on {device}")
    return load_engine(name)


@functools.cache
def load_engine(name: str) -> Engine:
    """Import an engine on its first use, so that nobody pays for an engine that he does not use."""
    engine: Engine = importlib.import_module(_ENGINES[name][0]).engine
    return engine
