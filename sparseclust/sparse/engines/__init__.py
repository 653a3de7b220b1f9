"""Engines: the arithmetic below the layers. An engine builds kernel maps and multiplies."""

from sparseclust.sparse.engines._protocol import Engine, Pairs
from sparseclust.sparse.engines._registry import (
    available_engines,
    load_engine,
    register_engine,
    select_engine,
    use_engine,
)
from sparseclust.sparse.engines._torch import TorchEngine

__all__ = [
    "Engine",
    "Pairs",
    "TorchEngine",
    "available_engines",
    "load_engine",
    "register_engine",
    "select_engine",
    "use_engine",
]
