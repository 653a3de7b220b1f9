"""``sparseclust info``."""

import importlib.metadata
import platform

import torch

from sparseclust._optional import available
from sparseclust._version import __version__
from sparseclust.sparse import available_engines

_PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "h5py",
    "torch",
    "lightning",
    "jsonargparse",
    "plotly",
    "matplotlib",
    "spconv",
    "triton",
)


def info() -> None:
    """Print versions, devices, and which engines and extras work here."""
    print(f"sparseclust {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in _PACKAGES:
        version = importlib.metadata.version(package) if available(package) else "not installed"
        print(f"  {package:14s} {version}")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    print(f"devices: {', '.join(['cpu', *devices])}; {torch.get_num_threads()} CPU threads")
    print("sparse engines:")
    for name, status in available_engines().items():
        print(f"  {name:14s} {status}")
