"""Helpers for people who write their own backbones and heads: random inputs, and checks of a contract.

A check runs the module on small random images and raises an AssertionError that names the broken promise.

Examples
--------
>>> from sparseclust.backbones import UResNetEncoder
>>> from sparseclust.testing import check_encoder
>>> check_encoder(UResNetEncoder(4, base_channels=4, depth=2), in_channels=4)
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from sparseclust.backbones import Decoder, Encoder
from sparseclust.data import Event
from sparseclust.heads import EdgeHead, Head
from sparseclust.sparse import AvgPool, SparseTensor
from sparseclust.sparse.engines._contract import check_engine

__all__ = [
    "check_decoder",
    "check_edge_head",
    "check_encoder",
    "check_engine",
    "check_head",
    "random_event",
    "random_sparse_tensor",
]

_ORDER = "the order of the {} does not matter"
_ALONE = "an event does not depend on the others of its batch"


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

    The levels have the promised channels and shrinking coordinates, and the finest has the rows of the input.
    The values are finite and the same at every call, the input stays as it is, an event may have no voxels,
    the order of the voxels does not matter, and events do not see each other.

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
    x = _image(in_channels, ndim)
    with _evaluated(encoder):
        channels = getattr(encoder, "channels", None)
        _promise(isinstance(channels, Sequence), f"channels are a list, one per level, got {channels!r}")
        for image in (x, _rows(x, slice(0))):
            _check_levels(encoder, image)
        _check_voxels(lambda image: encoder(image)[0].feats, x, tolerance)


def check_decoder(
    decoder: Decoder, *, encoder_channels: Sequence[int], ndim: int = 3, tolerance: float = 1e-4
) -> None:
    """Check that a decoder keeps the contract of :class:`sparseclust.backbones.Decoder`.

    Its result has the promised channels and the rows of the finest level, and what :func:`check_encoder` says
    of values, inputs, voxels and events. Parameters and errors as there; ``encoder_channels`` are the
    features per level of its input, finest first, where every level halves the resolution.

    Examples
    --------
    >>> from sparseclust.backbones import UResNetDecoder
    >>> from sparseclust.testing import check_decoder
    >>> check_decoder(UResNetDecoder([4, 8]), encoder_channels=[4, 8])
    """
    generator = torch.Generator().manual_seed(0)
    mixes = [torch.randn(pair, generator=generator) for pair in itertools.pairwise(encoder_channels)]

    def decoded(x: SparseTensor) -> Tensor:
        pyramid = [x]
        for mix in mixes:
            coarse = AvgPool(2)(pyramid[-1])
            pyramid.append(coarse.with_feats(coarse.feats @ mix))
        y = decoder(pyramid)
        _promise(isinstance(y, SparseTensor), f"a decoder returns a SparseTensor, got {type(y).__name__}")
        _promise(torch.equal(y.coords, x.coords), "the result has the rows of the finest level")
        return y.feats

    x = _image(encoder_channels[0], ndim)
    with _evaluated(decoder):
        found = decoded(x).shape[1]
        promised = getattr(decoder, "out_channels", None)
        _promise(found == promised, f"out_channels are {promised}, the result has {found}")
        _check_voxels(decoded, x, tolerance)


def check_head(head: Head, *, in_channels: int, ndim: int = 3, tolerance: float = 1e-4) -> None:
    """Check that a head keeps the contract of :class:`sparseclust.heads.Head`.

    One row per voxel, also without voxels, and what :func:`check_encoder` says of values, inputs, voxels and
    events. Parameters and errors as there.
    """
    with _evaluated(head):
        _check_voxels(head, _image(in_channels, ndim), tolerance)


def check_edge_head(head: EdgeHead, *, in_channels: int, ndim: int = 3, tolerance: float = 1e-4) -> None:
    """Check that a head keeps the contract of :class:`sparseclust.heads.EdgeHead`.

    One row per edge, also without edges, whatever the order of the edges, and what :func:`check_encoder` says
    of values, inputs, voxels and events. Parameters and errors as there.

    Examples
    --------
    >>> from sparseclust.heads import EdgeAffinityHead
    >>> from sparseclust.testing import check_edge_head
    >>> check_edge_head(EdgeAffinityHead(4), in_channels=4)
    """
    x = _image(in_channels, ndim)
    edges = x.edges()
    event = x.coords[edges[0], 0]
    with _evaluated(head):
        out = _output(lambda: head(x, edges), x, rows=edges.shape[1], per="edge")
        _promise(head(x, edges[:, :0]).shape == (0, *out.shape[1:]), "no edges give an empty output")
        order = _shuffled(len(out))
        _promise(_close(head(x, edges[:, order]), out[order], tolerance), _ORDER.format("edges"))
        order = _shuffled(len(x))
        _promise(
            _close(head(_rows(x, order), order.argsort()[edges]), out, tolerance), _ORDER.format("voxels")
        )
        for number, alone in enumerate(x.split()):
            row = torch.cumsum(x.coords[:, 0] == number, 0) - 1
            found = head(alone, row[edges[:, event == number]])
            _promise(_close(found, out[event == number], tolerance), _ALONE)


def _check_levels(encoder: Encoder, x: SparseTensor) -> None:
    pyramid = encoder(x)
    _promise(
        isinstance(pyramid, list) and all(isinstance(level, SparseTensor) for level in pyramid),
        f"an encoder returns a list of SparseTensors, got {type(pyramid).__name__}",
    )
    found = [level.feats.shape[1] for level in pyramid]
    _promise(
        found == list(encoder.channels), f"channels are {list(encoder.channels)}, the levels have {found}"
    )
    _promise(torch.equal(pyramid[0].coords, x.coords), "the finest level has the rows of the input")
    for fine, coarse in itertools.pairwise(pyramid):
        _promise(coarse.level.stride > fine.level.stride, "levels go from fine to coarse")
        _promise(len(coarse) <= len(fine), "a coarser level has no more voxels")
        _promise(bool(torch.isfinite(coarse.feats).all()), "the values of every level are finite")


def _check_voxels(function: Callable[[SparseTensor], Tensor], x: SparseTensor, tolerance: float) -> None:
    """Check what holds of everything that gives a row per voxel."""
    out = _output(lambda: function(x), x, rows=len(x), per="voxel")
    empty = function(_rows(x, slice(0)))
    _promise(empty.shape == (0, *out.shape[1:]), "an empty event gives an empty output")
    order = _shuffled(len(x))
    _promise(_close(function(_rows(x, order)), out[order], tolerance), _ORDER.format("voxels"))
    for number, alone in enumerate(x.split()):
        _promise(_close(function(alone), out[x.coords[:, 0] == number], tolerance), _ALONE)


def _output(call: Callable[[], Tensor], x: SparseTensor, *, rows: int, per: str) -> Tensor:
    """Call twice; check the output by itself."""
    before = x.feats.clone()
    out = call()
    _promise(isinstance(out, Tensor), f"the output is a Tensor, got {type(out).__name__}")
    _promise(
        out.ndim > 0 and len(out) == rows,
        f"there is one row per {per}: {rows} {per}s, an output of {tuple(out.shape)}",
    )
    _promise(bool(torch.isfinite(out).all()), "the output is finite")
    _promise(torch.equal(x.feats, before), "the features of the input stay as they are: others read them too")
    _promise(_close(call(), out, 1e-6), "in evaluation mode the output is the same at every call")
    return out


@contextmanager
def _evaluated(module: object) -> Iterator[None]:
    """In evaluation mode, without gradients; afterwards as it was."""
    if not isinstance(module, nn.Module):
        raise AssertionError(f"broken promise: it is a torch.nn.Module, got {type(module).__name__}")
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)


def _image(channels: int, ndim: int) -> SparseTensor:
    return random_sparse_tensor(np.random.default_rng(0), channels=channels, ndim=ndim)


def _rows(x: SparseTensor, rows: Tensor | slice) -> SparseTensor:
    return SparseTensor(x.feats[rows], x.coords[rows], batch_size=x.batch_size)


def _shuffled(n: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).permutation(n))


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=0, atol=tolerance))


def _promise(kept: bool, text: str) -> None:
    if not kept:
        raise AssertionError(f"broken promise: {text}")
