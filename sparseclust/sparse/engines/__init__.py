"""Engines: the arithmetic below the layers. An engine builds kernel maps and multiplies."""

from sparseclust.sparse.engines._protocol import Engine, Pairs
from sparseclust.sparse.engines._registry import available_engines, load_engine, select_engine, use_engine

__all__ = ["Engine", "Pairs", "available_engines", "load_engine", "select_engine", "use_engine"]
