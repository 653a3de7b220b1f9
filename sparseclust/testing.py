"""Helpers for people who write their own backbones and heads: random inputs, and checks of a contract.

Examples
--------
>>> from sparseclust.backbones import UResNetEncoder
>>> from sparseclust.testing import check_encoder
>>> check_encoder(UResNetEncoder(4, base_channels=4, depth=2), in_channels=4)
"""

import itertools
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from sparseclust.backbones import Encoder
from sparseclust.data import Event
from sparseclust.heads import Head
from sparseclust.sparse import SparseTensor, cat

__all__ = ["check_encoder", "check_head", "random_event", "random_sparse_tensor"]


def random_event(
    rng: np.random.Generator, *, n_instances: int = 5, voxels: int = 40, spatial_size: int = 64, ndim: int = 3
) -> Event:
    """Make an event of random walks: connected instances that may touch, each voxel once.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_instances : int
        Number of walks; an instance whose voxels were all taken before is missing.
    voxels : int
        Steps of each walk, an upper bound of its voxels.
    spatial_size : int
        Edge of the volume in voxels.
    ndim : int
        Number of axes.

    Returns
    -------
    Event
        With energies, semantic classes 0 to 3 and instances.
    """
    start = rng.integers(0, spatial_size, (n_instances, 1, ndim))
    walks = start + np.cumsum(rng.integers(-1, 2, (n_instances, voxels, ndim)), axis=1)
    coords = np.clip(walks, 0, spatial_size - 1).reshape(-1, ndim)
    coords, first = np.unique(coords, axis=0, return_index=True)
    instance = first // max(voxels, 1)
    return Event(coords, rng.gamma(2.0, 0.5, len(coords)), instance % 4, instance)


def random_sparse_tensor(
    rng: np.random.Generator, *, channels: int = 4, batch_size: int = 2, ndim: int = 3, spatial_size: int = 32
) -> SparseTensor:
    """Make a batch of random walks with normal features; see :func:`random_event`."""
    events = [random_event(rng, ndim=ndim, spatial_size=spatial_size).coords for _ in range(batch_size)]
    number = np.repeat(np.arange(batch_size), [len(c) for c in events])
    coords = np.column_stack([number, np.concatenate(events)]).astype(np.int32)
    feats = rng.normal(size=(len(coords), channels)).astype(np.float32)
    return SparseTensor(torch.from_numpy(feats), torch.from_numpy(coords), batch_size=batch_size)


def check_encoder(encoder: Encoder, *, in_channels: int, ndim: int = 3, tolerance: float = 1e-4) -> None:
    """Check that an encoder keeps the contract of :class:`sparseclust.backbones.Encoder`.

    The levels have the promised channels and shrinking coordinates, the finest has the rows of the input, the
    order of the voxels does not matter, and events do not see each other.

    Parameters
    ----------
    encoder : Encoder
        A ``torch.nn.Module``; checked in evaluation mode.
    in_channels : int
        Features per voxel of its input.
    ndim : int
        Number of spatial axes.
    tolerance : float
        Largest accepted absolute difference.

    Raises
    ------
    AssertionError
        Saying which promise is broken.
    """
    module = cast(nn.Module, encoder)
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            _check_levels(
                encoder, random_sparse_tensor(np.random.default_rng(0), channels=in_channels, ndim=ndim)
            )
            _check_independence(
                lambda x: encoder(x)[0].feats,
                random_sparse_tensor(np.random.default_rng(1), channels=in_channels, ndim=ndim),
                tolerance,
            )
    finally:
        module.train(training)


def check_head(head: Head, *, in_channels: int, ndim: int = 3, tolerance: float = 1e-4) -> None:
    """Check that a head keeps the contract of :class:`sparseclust.heads.Head`.

    One row per voxel, finite, also without voxels; the order of the voxels does not matter, and events do not
    see each other. Parameters and errors as :func:`check_encoder`.
    """
    module = cast(nn.Module, head)
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            x = random_sparse_tensor(np.random.default_rng(0), channels=in_channels, ndim=ndim)
            out = head(x)
            _promise(len(out) == len(x), f"a head gives one row per voxel: {len(x)} voxels, {len(out)} rows")
            _promise(bool(torch.isfinite(out).all()), "the output is finite")
            empty = SparseTensor(x.feats[:0], x.coords[:0], batch_size=1)
            _promise(head(empty).shape == (0, *out.shape[1:]), "an empty event gives an empty output")
            _check_independence(head, x, tolerance)
    finally:
        module.train(training)


def _check_levels(encoder: Encoder, x: SparseTensor) -> None:
    pyramid = encoder(x)
    found = [level.feats.shape[1] for level in pyramid]
    _promise(
        found == list(encoder.channels), f"channels are {list(encoder.channels)}, the levels have {found}"
    )
    _promise(torch.equal(pyramid[0].coords, x.coords), "the finest level has the rows of the input")
    for fine, coarse in itertools.pairwise(pyramid):
        _promise(coarse.level.stride > fine.level.stride, "levels go from fine to coarse")
        _promise(len(coarse) <= len(fine), "a coarser level has no more voxels")


def _check_independence(function: "Head", x: SparseTensor, tolerance: float) -> None:
    out = function(x)
    order = torch.from_numpy(np.random.default_rng(2).permutation(len(x)))
    shuffled = function(SparseTensor(x.feats[order], x.coords[order], batch_size=x.batch_size))
    _promise(_close(shuffled, out[order], tolerance), "the order of the voxels does not matter")
    alone = torch.cat([function(event) for event in x.split()])
    together = function(cat(x.split()))
    _promise(_close(alone, together, tolerance), "an event does not depend on the others of its batch")


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return bool(torch.allclose(a, b, rtol=0, atol=tolerance))


def _promise(kept: bool, text: str) -> None:
    if not kept:
        raise AssertionError(f"broken promise: {text}")
