"""Compiled convolution loops: gather a block of rows, multiply, scatter, while the block is in the cache."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def ascending(rows, splits):
    """Whether the rows of each offset ascend."""
    for k in range(splits.shape[0] - 1):
        for j in range(splits[k] + 1, splits[k + 1]):
            if rows[j] < rows[j - 1]:
                return False
    return True


@numba.njit(cache=True, nogil=True)
def convolve(feats, weight, source, target, splits, centre, block, low, high, out):
    """Add ``feats[source] @ weight[k]`` to ``out[target]`` for the pairs of all offsets but the centre.

    Only pairs with ``low <= target < high``; where that is not all of them, targets must ascend.
    """
    rows = np.empty((block, weight.shape[1]), feats.dtype)
    products = np.empty((block, weight.shape[2]), feats.dtype)
    for k in range(weight.shape[0]):
        if k == centre:
            continue
        matrix = weight[k]
        first, last = splits[k], splits[k + 1]
        if low > 0:
            first += np.searchsorted(target[first:last], low)
        if high < out.shape[0]:
            last = first + np.searchsorted(target[first:last], high)
        for start in range(first, last, block):
            m = min(block, last - start)
            for r in range(m):
                i = source[start + r]
                for c in range(rows.shape[1]):
                    rows[r, c] = feats[i, c]
            np.dot(rows[:m], matrix, products[:m])
            for r in range(m):
                o = target[start + r]
                for c in range(products.shape[1]):
                    out[o, c] += products[r, c]


@numba.njit(cache=True, nogil=True)
def weight_gradient(feats, grad, source, target, splits, centre, block, part, parts, out):
    """Add ``feats[source]^T @ grad[target]`` to ``out[k]`` for all offsets of one part but the centre."""
    rows = np.empty((block, feats.shape[1]), feats.dtype)
    uppers = np.empty((block, grad.shape[1]), feats.dtype)
    product = np.empty((feats.shape[1], grad.shape[1]), feats.dtype)
    for k in range(part, out.shape[0], parts):
        if k == centre:
            continue
        for start in range(splits[k], splits[k + 1], block):
            m = min(block, splits[k + 1] - start)
            for r in range(m):
                i = source[start + r]
                o = target[start + r]
                for c in range(rows.shape[1]):
                    rows[r, c] = feats[i, c]
                for c in range(uppers.shape[1]):
                    uppers[r, c] = grad[o, c]
            np.dot(rows[:m].T, uppers[:m], product)
            out[k] += product
