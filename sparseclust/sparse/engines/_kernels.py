"""Compiled convolution: rows are read where they lie, and sums stay in vector registers."""

import numba
import numpy as np

from sparseclust.sparse.engines._kernels_parallel import in_parallel
from sparseclust.sparse.engines._kernels_tiles import (
    ROWS,
    TALL,
    UNROLL,
    VECTOR_BYTES,
    convolve_tile,
    fetch_rows,
    gradient_tile,
)

_AHEAD = 16  # pairs between the one being multiplied and the one whose row is fetched into the cache


@numba.njit(cache=True, nogil=True)
def ascending(rows, splits):
    """Whether the rows of each offset ascend."""
    for k in range(splits.shape[0] - 1):
        descents = 0
        for j in range(splits[k] + 1, splits[k + 1]):
            descents += rows[j] < rows[j - 1]
        if descents:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def block_starts(target, splits, block, blocks):
    """``starts[b, k]`` is the first pair of offset k that leads to row ``b * block`` or later."""
    starts = np.empty((blocks + 1, splits.shape[0] - 1), np.int64)
    for k in range(starts.shape[1]):
        rows = target[splits[k] : splits[k + 1]]
        for b in range(blocks):
            starts[b, k] = splits[k] + np.searchsorted(rows, b * block)
        starts[blocks, k] = splits[k + 1]
    return starts


@numba.njit(cache=True, nogil=True)
def convolve(start, threads, feats, weight, source, target, starts, block, out):
    """Set all rows to their sums of ``feats[source] @ weight[k]``, block by block.

    The columns of ``feats`` are multiples of ``UNROLL``.
    """
    blocks = starts.shape[0] - 1
    in_parallel(start, threads, blocks, convolve_block, (feats, weight, source, target, starts, block, out))


@numba.njit(cache=True, nogil=True)
def convolve_block(b, feats, weight, source, target, starts, block, out):
    """Set the rows of one block: they, and the inputs next to them, stay in the cache for all offsets.

    Rows that are no whole vectors are summed up in longer ones, where none lies across two cache lines.
    """
    lanes, start = VECTOR_BYTES // out.itemsize, b * block
    rows = out[start : start + block]
    sums = _aligned(rows) if out.shape[1] % lanes else rows
    sums[:] = 0
    for k in range(weight.shape[0]):
        first, last, matrix = starts[b, k], starts[b + 1, k], weight[k]
        column = 0
        while column < out.shape[1]:
            vectors = _vectors_at_once(out.shape[1] - column, lanes)
            for p in range(first, last, ROWS):
                count = min(ROWS, last - p)
                if column == 0 and p + _AHEAD + ROWS <= source.shape[0]:
                    fetch_rows(feats, source, p + _AHEAD)
                convolve_tile(vectors, feats, matrix, source, target, p, count, column, start, sums)
            column += vectors * lanes
    if sums.shape[1] > rows.shape[1]:
        rows[:] = sums[:, : rows.shape[1]]


@numba.njit(cache=True, nogil=True)
def _aligned(like):
    """Return a matrix of as many rows, each of them whole vectors that begin with a cache line."""
    lanes = VECTOR_BYTES // like.itemsize
    columns = (like.shape[1] + lanes - 1) // lanes * lanes
    size = like.shape[0] * columns
    raw = np.empty(size + lanes, like.dtype)
    skipped = -raw.ctypes.data % VECTOR_BYTES // like.itemsize
    return raw[skipped : skipped + size].reshape(like.shape[0], columns)


@numba.njit(cache=True, nogil=True)
def weight_gradient(start, threads, feats, grad, source, target, starts, out):
    """Set ``out[k]`` to the sum of ``feats[source]^T @ grad[target]``.

    The columns of ``feats`` are multiples of ``UNROLL``.
    """
    in_parallel(
        start, threads, threads, weight_gradient_part, (feats, grad, source, target, starts, threads, out)
    )


@numba.njit(cache=True, nogil=True)
def weight_gradient_part(part, feats, grad, source, target, starts, parts, out):
    """Do it for the offsets of one part."""
    lanes = VECTOR_BYTES // out.itemsize
    own = np.flatnonzero(_deal(starts[-1] - starts[0], parts) == part)
    for k in own:
        out[k] = 0
    for b in range(starts.shape[0] - 1):
        for k in own:
            total, end = out[k], starts[b + 1, k]
            for first in range(starts[b, k], end, 96):
                last = min(first + 96, end)
                # The first tile would wait for each of these rows, the others find them in the cache.
                for p in range(first, last - ROWS + 1, ROWS):
                    fetch_rows(feats, source, p)
                    fetch_rows(grad, target, p)
                column = 0
                while column < grad.shape[1]:
                    vectors = _vectors_at_once(grad.shape[1] - column, lanes)
                    row = 0
                    while row < feats.shape[1]:
                        left = feats.shape[1] - row
                        height = TALL if vectors == 1 and left >= TALL else ROWS if left >= ROWS else UNROLL
                        gradient_tile(
                            vectors, height, feats, grad, source, target, first, last, row, column, total
                        )
                        row += height
                    column += vectors * lanes


@numba.njit(cache=True, nogil=True)
def _deal(counts, parts):
    """Part of each offset: the largest first, each to the part that has the fewest pairs so far."""
    taken = np.zeros(parts, np.int64)
    part = np.empty(counts.shape[0], np.int64)
    for k in np.argsort(-counts, kind="mergesort"):
        part[k] = np.argmin(taken)
        taken[part[k]] += counts[k]
    return part


@numba.njit(cache=True, nogil=True)
def _vectors_at_once(columns, lanes):
    """Vectors that hold these columns, up to three of them; four are two and two."""
    left = (columns + lanes - 1) // lanes
    return min(left, 2) if left < 3 or left == 4 else 3
