"""Which engines there are, and the one function that chooses among them."""

import contextlib
import functools
import importlib
import os
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import torch

from sparseclust._optional import available, why_unavailable
from sparseclust.sparse.engines._protocol import Engine

# Triton runs its kernels as Python, on the CPU too, when it is told to before it is imported.
_TRITON_DEVICES = ("cuda", "cpu") if os.environ.get("TRITON_INTERPRET") == "1" else ("cuda",)
# name -> module that holds ``engine``, package it needs or function that imports it, device types it runs on
# (none named: all). An engine that was registered is there itself, and needs nothing more than torch.
_ENGINES: dict[str, tuple[str | Engine, str, tuple[str, ...]]] = {
    "torch": ("sparseclust.sparse.engines._torch", "torch", ()),
    "numba": ("sparseclust.sparse.engines._numba", "numba", ("cpu",)),
    "triton": ("sparseclust.sparse.engines._triton", "triton", _TRITON_DEVICES),
    "spconv": ("sparseclust.sparse.engines._spconv", "spconv.pytorch", ("cpu", "cuda")),
    "torchsparse": (
        "sparseclust.sparse.engines._torchsparse",
        "sparseclust.sparse.engines._torchsparse:products",
        ("cpu",),
    ),
}
_DEFAULT = {"cpu": "numba", "cuda": "triton"}

_wanted: ContextVar[str | None] = ContextVar("sparseclust_engine", default=None)


def available_engines() -> dict[str, str]:
    """Name every engine with ``"ok"``, or with the reason why it cannot be used.

    Examples
    --------
    >>> from sparseclust.sparse import available_engines
    >>> available_engines()["torch"]
    'ok'
    """
    return {name: _why_not(name) or "ok" for name in _ENGINES}


def register_engine(engine: Engine, *, devices: Sequence[str] = ()) -> None:
    """Add an engine of your own under ``engine.name``: :func:`use_engine` takes it from now on.

    Parameters
    ----------
    engine : Engine
        See :class:`sparseclust.sparse.engines.Engine`; :func:`sparseclust.testing.check_engine` checks it.
    devices : sequence of str
        Device types it runs on, by default all.

    Raises
    ------
    ValueError
        If another engine has that name.

    Examples
    --------
    >>> from sparseclust.sparse import register_engine, use_engine
    >>> from sparseclust.sparse.engines import TorchEngine
    >>> class MyEngine(TorchEngine):
    ...     name = "mine"
    >>> register_engine(MyEngine())  # doctest: +SKIP
    >>> with use_engine("mine"):  # doctest: +SKIP
    ...     pass
    """
    if engine.name in _ENGINES:
        raise ValueError(f"there is an engine {engine.name!r} already: give yours another name")
    _ENGINES[engine.name] = engine, "torch", tuple(devices)


def _why_not(name: str) -> str | None:
    _, package, devices = _ENGINES[name]
    if devices == ("cuda",) and not torch.cuda.is_available():
        return why_unavailable(package) or "needs a CUDA device"
    return why_unavailable(package)


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
    name = _wanted.get() or _default(device.type)
    devices = _ENGINES[name][2]
    if devices and device.type not in devices:
        raise ValueError(f"the engine {name!r} runs on {' and '.join(devices)}, the tensors are on {device}")
    return load_engine(name)


@functools.cache
def _default(device: str) -> str:
    name = _DEFAULT.get(device, "torch")
    return name if available(_ENGINES[name][1]) else "torch"


@functools.cache
def load_engine(name: str) -> Engine:
    """Import an engine on its first use, so that nobody pays for an engine that he does not use."""
    place = _ENGINES[name][0]
    engine: Engine = importlib.import_module(place).engine if isinstance(place, str) else place
    return engine
