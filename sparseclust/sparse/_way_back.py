"""From a coarse tensor back to the finer one that it was made of."""

import torch
from torch import Tensor

from sparseclust.sparse._maps import KernelMap
from sparseclust.sparse._tensor import SparseTensor
from sparseclust.sparse._windows import Window


def way_back(x: SparseTensor, like: SparseTensor, window: Window) -> tuple[Tensor, KernelMap]:
    """Features of all voxels that this window makes of ``like``, zero where ``x`` has none, and the map.

    Raises
    ------
    ValueError
        If ``x`` holds other voxels than these.
    """
    level, kernel_map = like.level.coarser(window)
    feats = x.feats
    if x.level is not level and not torch.equal(x.coords, level.rows):
        rows = _find(x.coords, level.rows)
        if rows is None:
            raise ValueError(f"{x!r} holds voxels that {window} does not make of {like!r}, or one twice")
        feats = feats.new_zeros(len(level.rows), feats.shape[1]).index_copy(0, rows, feats)
    return feats, kernel_map.transposed()


def _find(wanted: Tensor, rows: Tensor) -> Tensor | None:
    """Which of the distinct ``rows`` each of ``wanted`` is; None if one is none of them, or repeats."""
    distinct, number = torch.unique(torch.cat([rows, wanted]), dim=0, return_inverse=True)
    known, asked = number[: len(rows)], number[len(rows) :]
    if len(distinct) > len(rows) or len(torch.unique(asked)) < len(wanted):
        return None
    places = torch.empty_like(known)
    places[known] = torch.arange(len(rows), device=rows.device)
    return places[asked]
