"""Adapter: products by torchsparse 2.1, on our own kernel maps."""

import contextlib
import functools
import importlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sparseclust._optional import MissingPackageError, available
from sparseclust.sparse.engines._protocol import Pairs
from sparseclust.sparse.engines._torch import TorchEngine


class TorchsparseEngine(TorchEngine):
    """Gather, multiply and scatter by torchsparse's products for the CPU, float32.

    The maps are ours because torchsparse builds its own on CUDA devices only. It computes the gradient of the
    weights together with that of the features, which is a product of its own here, so the former stays with
    the reference.
    """

    name = "torchsparse"

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Sum over all offsets; other types, one offset alone and no rows go the way of the reference."""
        if feats.dtype != torch.float32 or len(weight) == 1 or min(*feats.shape, n_target) == 0:
            return super().convolve(feats, weight, pairs, n_target, centre)
        counts = pairs.splits.diff().int()
        if centre < 0 and len(weight) % 2:
            # In the middle of an odd number torchsparse expects the centre if as many rows leave as enter.
            weight, counts = nn.functional.pad(weight, (0, 0, 0, 0, 0, 1)), nn.functional.pad(counts, (0, 1))
        table = torch.stack([pairs.source, pairs.target], dim=1).int()
        out = feats.new_empty(n_target, weight.shape[2])
        products().conv_forward_gather_scatter_cpu(
            feats.contiguous(), out, weight.contiguous(), table, counts, False
        )
        return out


@functools.cache
def products() -> Any:
    """Import the compiled part of torchsparse, also where there is no CUDA device."""
    if not available("torchsparse"):
        raise MissingPackageError(
            "the package 'torchsparse' is not installed; it is not on PyPI, and the page on engines of the "
            "documentation says how to build it"
        )
    with contextlib.nullcontext() if torch.cuda.is_available() else _some_capability():
        return importlib.import_module("torchsparse.backend")


@contextlib.contextmanager
def _some_capability() -> Iterator[None]:
    """On import torchsparse asks for the capability of the CUDA device; torch raises where there is none."""
    asked = torch.cuda.get_device_capability
    torch.cuda.get_device_capability = lambda device=None: (0, 0)
    try:
        yield
    finally:
        torch.cuda.get_device_capability = asked


engine = TorchsparseEngine()
