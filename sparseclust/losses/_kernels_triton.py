# mypy: ignore-errors
# Compiled by Triton, whose language carries no types.
"""Triton kernels of the mask term: every pair once for its voxel and once for its cluster.

Each sum is kept by one program and taken in a fixed order; no two programs write to the same place.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["n", "eps"])
def push_voxels(
    embeddings,
    label,
    low,
    high,
    centroids,
    margins,
    own_weight,
    foreign_weight,
    grad,
    n,
    eps,
    FOCAL: tl.constexpr,
    TERMS: tl.constexpr,
    D: tl.constexpr,
    AXES: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Gradient of the cost by a block of embeddings; voxel i meets the clusters low[i] to high[i]."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = row < n
    first = tl.load(low + row, mask=inside, other=2**31 - 1)
    last = tl.load(high + row, mask=inside, other=0)
    own = tl.load(label + row, mask=inside, other=-1)
    axis = tl.arange(0, AXES)
    total = tl.zeros((ROWS, AXES), embeddings.dtype.element_ty)
    for k in range(tl.min(first), tl.max(last)):
        z = _exponent(embeddings, centroids, margins, row, k, inside, D)
        _, slope = _pair(z, own == k, own_weight + k, foreign_weight + k, eps, FOCAL, TERMS)
        slope = tl.where((first <= k) & (k < last), slope, 0.0)
        for a in tl.static_range(D):
            t, sigma = _distance(embeddings, centroids, margins, row, k, inside, a, D)
            total += tl.where(axis == a, 1.0, 0.0)[None, :] * (slope * t / sigma)[:, None]
    tl.store(grad + row[:, None] * D + axis[None, :], total, mask=inside[:, None] & (axis < D)[None, :])


@triton.jit(do_not_specialize=["eps"])
def sum_clusters(
    embeddings,
    label,
    begin,
    end,
    centroids,
    margins,
    own_weight,
    foreign_weight,
    partial,
    eps,
    FOCAL: tl.constexpr,
    TERMS: tl.constexpr,
    D: tl.constexpr,
    AXES: tl.constexpr,
    ROWS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """``partial[k, part]`` = cost, and gradients by centroid and by margin, of a part of the group's rows."""
    k = tl.program_id(0)
    part = tl.program_id(1)
    start, stop = tl.load(begin + k), tl.load(end + k)
    length = (stop - start + PARTS - 1) // PARTS
    start += part * length
    stop = tl.minimum(start + length, stop)
    axis = tl.arange(0, AXES)
    total = tl.zeros((ROWS,), embeddings.dtype.element_ty)
    by_centroid = tl.zeros((ROWS, AXES), embeddings.dtype.element_ty)
    by_margin = tl.zeros((ROWS, AXES), embeddings.dtype.element_ty)
    for block in range(start, stop, ROWS):
        row = block + tl.arange(0, ROWS).to(tl.int64)
        inside = row < stop
        own = tl.load(label + row, mask=inside, other=-1)
        z = _exponent(embeddings, centroids, margins, row, k, inside, D)
        cost, slope = _pair(z, own == k, own_weight + k, foreign_weight + k, eps, FOCAL, TERMS)
        total += tl.where(inside, cost, 0.0)
        slope = tl.where(inside, slope, 0.0)
        for a in tl.static_range(D):
            t, sigma = _distance(embeddings, centroids, margins, row, k, inside, a, D)
            here = tl.where(axis == a, 1.0, 0.0)[None, :]
            by_centroid -= here * (slope * t / sigma)[:, None]
            by_margin -= here * (slope * t * t / sigma)[:, None]
    partial += (k.to(tl.int64) * PARTS + part) * (1 + 2 * D)
    tl.store(partial, tl.sum(total))
    tl.store(partial + 1 + axis, tl.sum(by_centroid, 0), mask=axis < D)
    tl.store(partial + 1 + D + axis, tl.sum(by_margin, 0), mask=axis < D)


@triton.jit
def _distance(embeddings, centroids, margins, row, k, inside, a, D: tl.constexpr):
    """Distance along an axis, in margins, and the margin."""
    sigma = tl.load(margins + k * D + a)
    e = tl.load(embeddings + row * D + a, mask=inside, other=0.0)
    return (e - tl.load(centroids + k * D + a)) / sigma, sigma


@triton.jit
def _exponent(embeddings, centroids, margins, row, k, inside, D: tl.constexpr):
    t, _ = _distance(embeddings, centroids, margins, row, k, inside, 0, D)
    z = 0.5 * t * t
    for a in tl.static_range(1, D):
        t, _ = _distance(embeddings, centroids, margins, row, k, inside, a, D)
        z += 0.5 * t * t
    return z


@triton.jit
def _miss(z, TERMS: tl.constexpr):
    """1 - exp(-z), whose digits a difference would lose for small z."""
    near = tl.minimum(z, 0.5)
    series = near * 0.0 + 1.0
    for i in tl.static_range(TERMS):
        series = 1.0 - near * series / (TERMS + 1 - i)
    return tl.where(z < 0.5, near * series, 1.0 - tl.exp(-z))


@triton.jit
def _pair(z, own, own_weight, foreign_weight, eps, FOCAL: tl.constexpr, TERMS: tl.constexpr):
    """Weighted cost of a pair, and its derivative by z."""
    q = _miss(z + eps, TERMS)
    p = tl.where(z < 39.5, tl.exp(-(z + eps)), 0.0)
    cost = -tl.log(q)
    slope = -p / q
    own_cost = z
    own_slope = z * 0.0 + 1.0
    if FOCAL:
        slope = p * p * (slope - 2.0 * cost)
        cost = p * p * cost
        miss = _miss(z, TERMS)
        own_cost = miss * miss * z
        own_slope = miss * (miss + 2.0 * (1.0 - miss) * z)
    w, v = tl.load(own_weight), tl.load(foreign_weight)
    return tl.where(own, w * own_cost, v * cost), tl.where(own, w * own_slope, v * slope)
