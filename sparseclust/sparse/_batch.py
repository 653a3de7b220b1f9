"""Many events into one tensor, and voxels that occur twice into one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sparseclust.sparse._tensor import SparseTensor

_REDUCTIONS = {"sum": "sum", "mean": "mean", "max": "amax", "min": "amin"}


def cat(tensors: Sequence[SparseTensor]) -> SparseTensor:
    """Put batches behind one another: the events of each count on from those before it.

    Parameters
    ----------
    tensors : sequence of SparseTensor
        At least one; equal numbers of axes and features, equal strides.

    Returns
    -------
    SparseTensor
        Rows in the order of the arguments; ``cat(x.split())`` has the events of ``x``.

    Raises
    ------
    ValueError
        If there is no tensor, or if they do not fit together.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import SparseTensor, cat
    >>> x = SparseTensor(torch.ones(1, 4), torch.tensor([[0, 7, 7, 7]]))
    >>> cat([x, x]).coords.tolist()
    [[0, 7, 7, 7], [1, 7, 7, 7]]
    """
    shapes = {(x.ndim, x.feats.shape[1], x.level.stride) for x in tensors}
    if len(shapes) != 1:
        raise ValueError(
            f"cat needs tensors of one (ndim, features, stride), got {sorted(shapes) or 'no tensor'}"
        )
    rows, first = [], 0
    for x in tensors:
        shift = torch.zeros(1 + x.ndim, dtype=torch.int32, device=x.device)
        shift[0] = first
        rows.append(x.coords + shift)
        first += x.batch_size
    feats = torch.cat([x.feats for x in tensors])
    return SparseTensor(feats, torch.cat(rows), batch_size=first, stride=tensors[0].stride)


def collate(samples: Sequence[tuple[Any, Any]]) -> SparseTensor:
    """Make a batch of single events.

    Parameters
    ----------
    samples : sequence of (coords, feats)
        Per event the voxel indices (n, ndim), integers, and the features (n, c), floating point; arrays or
        tensors. An event may be empty.

    Returns
    -------
    SparseTensor
        Event i of the batch is sample i, its rows in their order.

    Raises
    ------
    ValueError
        If there is no sample, or as :class:`SparseTensor`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.sparse import collate
    >>> collate([(np.zeros((1, 3), int), np.ones((1, 4), np.float32))] * 2)
    SparseTensor(2 voxels, 4 features, ndim=3, stride=1, batch_size=2)
    """
    events = []
    for voxels, values in samples:
        rows = torch.as_tensor(voxels)
        if rows.ndim != 2:
            raise ValueError(f"the coords of a sample must have shape (n, ndim), got {tuple(rows.shape)}")
        coords = torch.cat([rows.new_zeros(len(rows), 1), rows], dim=1)
        events.append(SparseTensor(torch.as_tensor(values), coords, batch_size=1))
    return cat(events)


def coalesce(coords: Tensor, feats: Tensor, *, reduce: str = "sum") -> tuple[Tensor, Tensor, Tensor]:
    """Merge rows that have the same coordinates.

    Parameters
    ----------
    coords : (n, d) integer Tensor
        Rows to compare, the event index among them.
    feats : (n, c) float Tensor
    reduce : {"sum", "mean", "max", "min"}
        What becomes of the features of merged rows.

    Returns
    -------
    coords : (m, d) Tensor
        The distinct rows, in the order in which each occurs first.
    feats : (m, c) Tensor
    inverse : (n,) int64 Tensor
        Row ``i`` of the input became row ``inverse[i]``.

    Raises
    ------
    ValueError
        If the shapes do not agree or the reduction has another name.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import coalesce
    >>> coords = torch.tensor([[0, 9], [0, 2], [0, 9]])
    >>> coords, feats, inverse = coalesce(coords, torch.tensor([[1.0], [2.0], [3.0]]))
    >>> coords.tolist(), feats.tolist(), inverse.tolist()
    ([[0, 9], [0, 2]], [[4.0], [2.0]], [0, 1, 0])
    """
    if reduce not in _REDUCTIONS:
        raise ValueError(f"reduce must be one of {', '.join(_REDUCTIONS)}, got {reduce!r}")
    if coords.ndim != 2 or feats.ndim != 2 or len(coords) != len(feats):
        raise ValueError(
            f"coords (n, d) and feats (n, c) must agree, got {tuple(coords.shape)}, {tuple(feats.shape)}"
        )
    n = len(coords)
    distinct, member = torch.unique(coords, dim=0, return_inverse=True)
    row = torch.arange(n, device=coords.device)
    first = row.new_full((len(distinct),), n).scatter_reduce(0, member, row, "amin")
    first, order = torch.sort(first)
    inverse = torch.argsort(order)[member]
    index = inverse[:, None].expand_as(feats)
    merged = feats.new_zeros(len(first), feats.shape[1])
    merged = merged.scatter_reduce(0, index, feats, _REDUCTIONS[reduce], include_self=False)
    return coords[first], merged, inverse
