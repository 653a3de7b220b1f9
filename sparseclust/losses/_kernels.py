"""Compiled loops of the mask term: tiles of voxels against the clusters of their group, in cache.

p = 2^-x throughout, with x = sum over axes of ((e - centroid) * inverse)^2 and inverse = sqrt(log2(e) / 2) /
margin. Pairs with a voxel of another cluster, nearly all, stay in vector registers; compilers do not find
this form by themselves, so it is written as LLVM instructions.
"""

import math

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from sparseclust.losses._kernels_lanes import (
    INDEX,
    VECTOR_BYTES,
    Lanes,
    Register,
    Rows,
    exponential,
    log_of_product,
    logarithm,
    number_lanes,
    spread,
)

LN2 = math.log(2.0)
_SMALLEST = 64  # rows that are worth a block of their own
DISTANT = 57.0  # 1 - 2^-57 is 1
_DISTANT_FOCAL = 30.0
_LARGEST = 60.0


def tile_rows(itemsize, eps):
    """Rows of a tile: as many in each lane as factors 1 - p >= eps have a product that is a normal number."""
    return int(-300.0 / math.log10(eps)) * VECTOR_BYTES // itemsize


@numba.njit(cache=True, nogil=True)
def sort_rows(label, group, first, count):
    """Rows by group, within it by cluster, background last; and where each of these K + G runs begins."""
    groups = first.shape[0]
    runs = groups + (first[groups - 1] + count[groups - 1] if groups else 0)
    splits = np.zeros(runs + 1, np.int64)
    for i in range(label.shape[0]):
        splits[_run(label[i], group[i], first, count) + 1] += 1
    for run in range(runs):
        splits[run + 1] += splits[run]
    fill = splits[:-1].copy()
    order = np.empty(label.shape[0], np.int64)
    for i in range(label.shape[0]):
        run = _run(label[i], group[i], first, count)
        order[fill[run]] = i
        fill[run] += 1
    return order, splits


@numba.njit(cache=True, nogil=True)
def _run(label, group, first, count):
    return group + min(label, first[group] + count[group])


@numba.njit(cache=True, nogil=True)
def cut_blocks(splits, first, count, rows):
    """Group, first and last position of each block; blocks end with a cluster where they are large enough."""
    blocks = np.empty((splits[-1] // _SMALLEST + count.shape[0], 3), np.int64)
    n = 0
    for g in range(count.shape[0]):
        if count[g] == 0:
            continue
        low = first[g] + g
        high = low + count[g]
        start = splits[low]
        for run in range(low, high + 1):
            stop = splits[run + 1]
            while stop - start >= _SMALLEST or (run == high and stop > start):
                blocks[n, 0], blocks[n, 1], blocks[n, 2] = g, start, min(start + rows, stop)
                start = blocks[n, 2]
                n += 1
    return blocks[:n]


@numba.njit(cache=True, nogil=True)
def cut_tiles(blocks, rows):
    """First block of each tile, and the end: as many blocks of one group as make at most ``rows`` rows."""
    tiles = np.empty(blocks.shape[0] + 1, np.int64)
    n = 0
    for b in range(blocks.shape[0]):
        if n == 0 or blocks[b, 0] != blocks[b - 1, 0] or blocks[b, 2] - blocks[tiles[n - 1], 1] > rows:
            tiles[n] = b
            n += 1
    tiles[n] = blocks.shape[0]
    return tiles[: n + 1]


@numba.njit(cache=True, nogil=True)
def mask_pairs(
    axes, embeddings, centroids, inverse, order, splits, first, count, own_weight, foreign_weight,
    focal, eps, rows, blocks, tiles, grad_embeddings, by_centroid, by_margin, cost,
):  # fmt: skip
    """Weighted cost per cluster of some tiles, and its gradients.

    ``axes`` is a tuple as long as the axes: its type tells the compiler how many there are. Writes the rows
    of ``grad_embeddings`` that the tiles hold; adds to the float64 outputs of the clusters: their cost, the
    gradient by centroid, and that by margin times minus the margin.
    """
    room = rows + VECTOR_BYTES // embeddings.itemsize
    e = np.zeros((len(axes), room), embeddings.dtype)
    grad = np.zeros((len(axes), room), embeddings.dtype)
    sums = np.empty((2, len(axes)), embeddings.dtype)
    push = np.empty(len(axes), embeddings.dtype)
    boxes = np.empty((2, len(axes), rows // _SMALLEST + 1), embeddings.dtype)
    reach = np.empty(boxes.shape[2], embeddings.dtype)
    edges = np.empty(boxes.shape[2] + 1, np.int64)
    for tile in range(tiles.shape[0] - 1):
        n = tiles[tile + 1] - tiles[tile]
        some = blocks[tiles[tile] : tiles[tile + 1]]
        g, begin, edges[n] = some[0, 0], some[0, 1], some[-1, 2] - some[0, 1]
        _load(embeddings, order, begin, edges[n], e, grad)
        for b in range(n):
            edges[b] = some[b, 1] - begin
        for b in range(n):
            _enclose(e, edges, b, boxes)
        for k in range(first[g], first[g] + count[g]):
            own = min(max(splits[k + g] - begin, 0), edges[n])
            end = min(max(splits[k + g + 1] - begin, 0), edges[n])
            _own(e, grad, centroids, inverse, k, own_weight[k], own, end, focal, by_centroid, by_margin, cost)
            _reach(boxes, n, centroids, inverse, k, reach)
            b = 0
            while b < n:
                while b < n and reach[b] > DISTANT:
                    b += 1
                low = edges[b]
                while b < n and not reach[b] > DISTANT:
                    b += 1
                for start, stop in ((low, min(edges[b], own)), (max(low, end), edges[b])):
                    if start < stop:
                        _others(
                            axes, e, grad, centroids, inverse, k, foreign_weight[k], start, stop, focal, eps,
                            push, sums, by_centroid, by_margin, cost,
                        )  # fmt: skip
        for i in range(edges[n]):
            for a in range(len(axes)):
                grad_embeddings[order[begin + i], a] = grad[a, i]


@numba.njit(cache=True, nogil=True)
def _load(embeddings, order, begin, m, e, grad):
    """Copy a tile, axis by axis; what is left of its last vector is zero."""
    grad[:] = 0.0
    for a in range(e.shape[0]):
        for i in range(m):
            e[a, i] = embeddings[order[begin + i], a]
        e[a, m:] = 0.0


@numba.njit(cache=True, nogil=True)
def _enclose(e, edges, b, boxes):
    """Bounding box of a block; nan where a coordinate is nan."""
    unordered = False
    for a in range(e.shape[0]):
        boxes[0, a, b], boxes[1, a, b] = math.inf, -math.inf
        for i in range(edges[b], edges[b + 1]):
            boxes[0, a, b] = min(boxes[0, a, b], e[a, i])
            boxes[1, a, b] = max(boxes[1, a, b], e[a, i])
            unordered |= math.isnan(e[a, i])
    if unordered:
        boxes[:, :, b] = math.nan


@numba.njit(cache=True, nogil=True)
def _reach(boxes, n, centroids, inverse, k, reach):
    """Smallest x that points of each box may have, 0 where anything is nan."""
    zero = reach.dtype.type(0.0)  # of this type, so that nothing widens
    for b in range(n):
        reach[b] = zero
    for a in range(centroids.shape[1]):
        c, v = centroids[k, a], inverse[k, a]
        for b in range(n):
            below, above = boxes[0, a, b] - c, c - boxes[1, a, b]
            gap = below if below > above else above
            t = gap * v if gap > zero else zero
            reach[b] += t * t


@numba.njit(cache=True, nogil=True)
def _own(e, grad, centroids, inverse, k, weight, start, stop, focal, by_centroid, by_margin, cost):
    """Pairs of a cluster with its own voxels."""
    for i in range(start, stop):
        z = 0.0
        for a in range(e.shape[0]):
            z += LN2 * np.float64((e[a, i] - centroids[k, a]) * inverse[k, a]) ** 2
        slope = np.float64(weight)
        if focal:
            miss = -math.expm1(-z)
            cost[k] += slope * miss * miss * z
            slope *= miss * miss + 2.0 * miss * (1.0 - miss) * z
        else:
            cost[k] += slope * z
        for a in range(e.shape[0]):
            distance = e[a, i] - centroids[k, a]
            push = 2.0 * LN2 * slope * inverse[k, a] * inverse[k, a] * distance
            grad[a, i] += push
            by_centroid[k, a] -= push
            by_margin[k, a] += push * distance


@numba.njit(cache=True, nogil=True)
def _others(
    axes, e, grad, centroids, inverse, k, weight, start, stop, focal, eps,
    push, sums, by_centroid, by_margin, cost,
):  # fmt: skip
    """Pairs of a cluster with voxels of other clusters; ``push`` and ``sums`` are room to work in."""
    for a in range(len(axes)):
        push[a] = -2.0 * LN2 * weight * inverse[k, a]
    if focal:
        total = _foreign(axes, e, grad, centroids, inverse, k, push, eps, start, stop, True, sums)
    else:
        total = _foreign(axes, e, grad, centroids, inverse, k, push, eps, start, stop, False, sums)
    cost[k] += weight * total
    for a in range(len(axes)):
        by_centroid[k, a] -= push[a] * sums[0, a]
        by_margin[k, a] -= 2.0 * LN2 * weight * sums[1, a]


@intrinsic(prefer_literal=True)
def _foreign(typing, axes, e, grad, centroids, inverse, k, push, eps, start, stop, focal, sums):
    """Cost of the pairs of cluster k with columns ``start`` to ``stop`` of a tile, none of them its own.

    With t = (e - centroid) * inverse and s minus the derivative of the cost by z, adds ``push`` s t to the
    gradient, and sets the rows of ``sums`` to the sums of s t and of s t^2.
    """
    signature = types.float64(axes, e, grad, centroids, inverse, k, push, eps, start, stop, focal, sums)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        e, grad, centroids, inverse, push, sums = (
            Rows(context, builder, kinds[i], arguments[i]) for i in (1, 2, 3, 4, 6, 11)
        )
        k, _, eps, start, stop = arguments[5:10]
        focal = kinds[10].literal_value
        axes = range(kinds[0].count)
        centre, scale = ([m.spread(k, a) for a in axes] for m in (centroids, inverse))
        push = [push.spread(INDEX(0), a) for a in axes]
        shift = Lanes(builder, spread(builder, eps, e.lanes)) * (1.0 / LN2)
        total = Register(builder, e.vector, 0.0)
        product = Register(builder, e.wide, 1.0)
        moments = [[Register(builder, e.vector, 0.0) for _ in axes] for _ in range(2)]

        def pairs(column, outside=None):
            t = [(e.load(a, column) - centre[a]) * scale[a] for a in axes]
            if outside is not None:
                t = [u.replaced(outside, 0.0) for u in t]
            x = shift
            for u in t:
                x = u.times_plus(u, x)
            x = x.replaced(x.exceeds(_LARGEST), _LARGEST)
            power, fraction = exponential(x)
            p = power.times_plus(fraction, power).replaced(
                x.exceeds(_DISTANT_FOCAL if focal else DISTANT), 0.0
            )
            q = fraction.times_plus(-power, 1.0 - power)
            if outside is not None:
                q = q.replaced(outside, 1.0)
            s = p / q
            if focal:
                log = logarithm(q)
                s = p * p * (s - log * 2.0)
                total.set(total.get() - p * p * log)
            else:
                product.set(product.get() * q.widened())
            for a in axes:
                u = s * t[a]
                moments[0][a].set(moments[0][a].get() + u)
                moments[1][a].set(u.times_plus(t[a], moments[1][a].get()))
                grad.store(u.times_plus(push[a], grad.load(a, column)), a, column)

        rest = builder.srem(builder.sub(stop, start), INDEX(e.lanes))
        whole = builder.sub(stop, rest)
        with cgutils.for_range_slice(builder, start, whole, INDEX(e.lanes), intp=INDEX) as (column, _):
            pairs(column)
        with builder.if_then(builder.icmp_signed("<", whole, stop)):
            outside = builder.icmp_signed(">=", number_lanes(e.lanes), spread(builder, rest, e.lanes))
            pairs(whole, outside)
        for m in range(2):
            for a in axes:
                sums.write(moments[m][a].get().sum(), m, a)
        if focal:
            return total.get().widened().sum()
        return builder.fneg(log_of_product(product.get()))

    return signature, generate


@numba.njit(cache=True, nogil=True)
def repel(centroids, first, count, distance, total, gradient):
    """Add the squared hinge on the distance of each two centroids of a group to its total; its gradients."""
    for g in range(count.shape[0]):
        for k in range(first[g], first[g] + count[g]):
            for other in range(k + 1, first[g] + count[g]):
                square = 0.0
                for a in range(centroids.shape[1]):
                    square += (np.float64(centroids[k, a]) - centroids[other, a]) ** 2
                gap = math.sqrt(square)
                if gap >= distance:
                    continue
                total[g] += (distance - gap) ** 2
                slope = 2.0 * (distance / gap - 1.0) if gap > 0.0 else 0.0
                for a in range(centroids.shape[1]):
                    push = slope * (np.float64(centroids[k, a]) - centroids[other, a])
                    gradient[k, a] -= push
                    gradient[other, a] += push
