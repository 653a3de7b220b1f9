"""Sums over ragged pairs (row, column) in bounded memory."""

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# A few hundred bytes a pair live while a chunk is worked on. Chunks that fit a cache are the fastest on the
# CPU; elsewhere each should outlast the launch of its kernels.
_MAX_PAIRS_CPU = 1 << 14
_MAX_PAIRS = 1 << 22


def sum_over_pairs(
    term: Callable[[Tensor, Tensor], Tensor], first: Tensor, count: Tensor, *, max_pairs: int | None = None
) -> Tensor | None:
    """Sum ``term(rows, columns)`` over all pairs (i, first[i] + j) with j < count[i].

    Parameters
    ----------
    term : callable
        Maps two (p,) int64 index tensors to a tensor, of the same shape whatever the pairs. Pairs come row by
        row, and the pairs of a row always in one call.
    first, count : (n,) int64 tensors
        Columns of each row: a run of ``count`` columns from ``first`` on.
    max_pairs : int, optional
        Pairs worked on at a time, up to the columns of one row. With more than one chunk the backward pass
        computes each chunk again instead of keeping it.

    Returns
    -------
    tensor, or None if there is no pair
    """

    def chunk_sum(rows: Tensor) -> Tensor:
        return term(*_expand(rows, first, count))

    if max_pairs is None:
        max_pairs = _MAX_PAIRS_CPU if count.device.type == "cpu" else _MAX_PAIRS
    chunks = list(_row_chunks(count, max_pairs))
    if len(chunks) <= 1:
        return chunk_sum(chunks[0]) if chunks else None
    parts = [checkpoint(chunk_sum, rows, use_reentrant=False, preserve_rng_state=False) for rows in chunks]
    total: Tensor = functools.reduce(torch.add, parts)
    return total


def _row_chunks(count: Tensor, max_pairs: int) -> Iterator[Tensor]:
    rows = torch.nonzero(count).squeeze(1)
    if len(rows):
        chunk = (count[rows].cumsum(0) - 1) // max_pairs
        yield from (part for part in torch.split(rows, torch.bincount(chunk).tolist()) if len(part))


def _expand(rows: Tensor, first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    size = count[rows]
    row = rows.repeat_interleave(size)
    shift = first[rows] - (size.cumsum(0) - size)
    column = torch.arange(len(row), device=rows.device) + shift.repeat_interleave(size)
    return row, column
