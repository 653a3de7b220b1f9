"""sparseclust: building blocks for instance segmentation of sparse images.

Voxels in, particles out: sparse U-ResNets, spatial-embedding losses and clusterers, partition metrics,
an event generator and readers for liquid-argon detectors. Every subpackage stands alone and loads on
first use, so ``import sparseclust`` costs next to nothing.
"""

import importlib
from types import ModuleType

from sparseclust._version import __version__

_SUBPACKAGES = (
    "backbones",
    "clustering",
    "data",
    "heads",
    "losses",
    "metrics",
    "models",
    "pipeline",
    "sparse",
    "testing",
    "training",
    "vis",
)

__all__ = ["__version__", *_SUBPACKAGES]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"sparseclust.{name}")
    raise AttributeError(f"module 'sparseclust' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
