"""Compiled loops of the mask term: tiles of voxels against the clusters of their group, in cache."""

import math

import numba
import numpy as np

TILE = 256
_SMALLEST = 64  # rows that are worth a tile of their own
_FOLDS = 5  # a logarithm is taken of a product of up to 2^_FOLDS factors, each at least eps
_DISTANT = 40.0
_NEGLIGIBLE = 2.0**-57  # exp(-40): 1 - p is 1


def constants(dtype, eps):
    """Numbers of the inner loops in the type of the tiles, so that nothing there widens to another type."""
    rounding = 1.5 / np.finfo(dtype).eps
    high = np.round(math.log(2.0) * 2.0**14) / 2.0**14  # few bits: its product with a small integer is exact
    numbers = [1.0, _NEGLIGIBLE, eps, 41.0, 1.0 / math.log(2.0), rounding, high, math.log(2.0) - high]
    return np.array(numbers + [1.0 / math.factorial(n) for n in range(11, 0, -1)], dtype)


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
    return group + (label if label >= 0 else first[group] + count[group])


@numba.njit(cache=True, nogil=True)
def cut_tiles(splits, first, count):
    """Group, first and last position of each tile; tiles end with a cluster where they are large enough."""
    tiles = np.empty((splits[-1] // _SMALLEST + count.shape[0], 3), np.int64)
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
                tiles[n, 0], tiles[n, 1], tiles[n, 2] = g, start, min(start + TILE, stop)
                start = tiles[n, 2]
                n += 1
    return tiles[:n]


@numba.njit(cache=True, nogil=True)
def mask_pairs(
    embeddings, centroids, inverse, order, splits, first, count, own_weight, foreign_weight,
    focal, tiles, table, bits, grad_embeddings, grad_centroids, grad_margins, cost,
):  # fmt: skip
    """Weighted cost per cluster of some tiles, and its gradients.

    ``inverse`` is 1 / (sqrt(2) margin), ``bits`` room for TILE integers as wide as the type of the
    embeddings, which is that of the arithmetic. Writes the rows of ``grad_embeddings`` that the tiles hold;
    adds to the float64 outputs of the clusters: their cost, the gradient by centroid, and that by margin
    times minus the margin.
    """
    axes = embeddings.shape[1]
    e = np.empty((axes, TILE), embeddings.dtype)
    grad = np.empty((axes, TILE), embeddings.dtype)
    box = np.empty((2, axes))
    z = np.empty(TILE, embeddings.dtype)
    fraction = np.empty(TILE, embeddings.dtype)
    slope = np.empty(TILE, embeddings.dtype)
    factors = np.empty(TILE)
    power = bits.view(embeddings.dtype)
    for tile in range(tiles.shape[0]):
        g, start, m = tiles[tile, 0], tiles[tile, 1], tiles[tile, 2] - tiles[tile, 1]
        _load(embeddings, order, start, m, e, grad, box)
        for k in range(first[g], first[g] + count[g]):
            own = max(splits[k + g] - start, 0)
            end = max(min(splits[k + g + 1] - start, m), own)
            if end == own and _distant(box, centroids, inverse, k):
                continue
            _exponents(e, centroids, inverse, k, m, z)
            _exponential(z, table, m, power, fraction)
            _powers_of_two(bits, power.itemsize, m)
            _foreign_slope(power, fraction, foreign_weight[k], table, m, slope)
            for i in range(own, end):
                power[i] = 0.0
            if focal:
                cost[k] += _focal_foreign(power, fraction, slope, foreign_weight[k], m)
                cost[k] += _focal_own(z, slope, own_weight[k], own, end)
            else:
                cost[k] -= foreign_weight[k] * _sum_of_logs(power, fraction, m, factors)
                cost[k] += _plain_own(z, slope, own_weight[k], own, end)
            for a in range(axes):
                square = (table[0] + table[0]) * inverse[k, a] * inverse[k, a]
                one, two = _push(e, grad, a, slope, centroids[k, a], square, m)
                grad_centroids[k, a] -= one * square
                grad_margins[k, a] += two * square
        for i in range(m):
            for a in range(axes):
                grad_embeddings[order[start + i], a] = grad[a, i]


@numba.njit(cache=True, nogil=True)
def _load(embeddings, order, start, m, e, grad, box):
    """Copy a tile, axis by axis, and find its bounding box; nan where a coordinate is nan."""
    for a in range(e.shape[0]):
        box[0, a], box[1, a] = math.inf, -math.inf
        unordered = False
        for i in range(m):
            x = embeddings[order[start + i], a]
            e[a, i] = x
            grad[a, i] = 0.0
            box[0, a] = min(box[0, a], x)
            box[1, a] = max(box[1, a], x)
            unordered |= math.isnan(x)
        if unordered:
            box[:, a] = math.nan


@numba.njit(cache=True, nogil=True)
def _distant(box, centroids, inverse, k):
    """Whether no point of the box feels the kernel; false where anything is nan."""
    z = 0.0
    for a in range(centroids.shape[1]):
        gap = max(box[0, a] - centroids[k, a], centroids[k, a] - box[1, a])
        if not gap <= 0.0:
            z += (gap * inverse[k, a]) ** 2
    return z > _DISTANT


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _exponents(e, centroids, inverse, k, m, z):
    for i in range(m):
        z[i] = 0.0
    for a in range(e.shape[0]):
        c, v = centroids[k, a], inverse[k, a]
        for i in range(m):
            t = (e[a, i] - c) * v
            z[i] += t * t


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _exponential(z, table, m, shifted, fraction):
    """exp(-z - eps) = 2^n (1 + f), |f| < 0.42: f, and n in the lowest bits of ``shifted``."""
    eps, largest, log2e, rounding, high, low = table[2], table[3], table[4], table[5], table[6], table[7]
    t11, t10, t9, t8, t7, t6 = table[8], table[9], table[10], table[11], table[12], table[13]
    t5, t4, t3, t2, t1 = table[14], table[15], table[16], table[17], table[18]
    for i in range(m):
        x = z[i] + eps
        x = -largest if x > largest else -x
        t = x * log2e + rounding
        n = t - rounding
        r = (x - n * high) - n * low
        f = (((((t11 * r + t10) * r + t9) * r + t8) * r + t7) * r + t6) * r + t5
        fraction[i] = ((((f * r + t4) * r + t3) * r + t2) * r + t1) * r
        shifted[i] = t


@numba.njit(cache=True, nogil=True)
def _powers_of_two(bits, itemsize, m):
    """Replace floating-point numbers that end in the bits of n by 2^n."""
    shift, bias = (23, 127) if itemsize == 4 else (52, 1023)
    for i in range(m):
        bits[i] = (bits[i] + bias) << shift


@numba.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _foreign_slope(power, fraction, weight, table, m, slope):
    """Weighted derivative by z of -log(1 - p), which is -p / (1 - p)."""
    one, negligible = table[0], table[1]
    for i in range(m):
        part = power[i] * fraction[i]
        p = power[i] + part
        s = -weight * p / ((one - power[i]) - part)
        slope[i] = s if p > negligible else one - one


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _sum_of_logs(power, fraction, m, factors):
    """Sum of log(1 - p), in float64."""
    for i in range(m):
        s = np.float64(power[i])
        factors[i] = (1.0 - s) - s * np.float64(fraction[i])
    n = m
    for _ in range(_FOLDS):
        half = (n + 1) // 2
        for i in range(n - half):
            factors[i] *= factors[i + half]
        n = half
    total = 0.0
    for i in range(n):
        total += math.log(factors[i])
    return total


@numba.njit(cache=True, nogil=True)
def _plain_own(z, slope, weight, own, end):
    total = 0.0
    for i in range(own, end):
        total += z[i]
        slope[i] = weight
    return weight * total


@numba.njit(cache=True, nogil=True)
def _focal_foreign(power, fraction, slope, weight, m):
    total = 0.0
    for i in range(m):
        s = np.float64(power[i])
        p = s + s * fraction[i]
        if p > 1e-9:
            cost = -math.log((1.0 - s) - s * fraction[i])
            total += p * p * cost
            slope[i] = p * p * (slope[i] - 2.0 * weight * cost)
        else:
            slope[i] = 0.0
    return weight * total


@numba.njit(cache=True, nogil=True)
def _focal_own(z, slope, weight, own, end):
    total = 0.0
    for i in range(own, end):
        x = np.float64(z[i])
        miss = -math.expm1(-x)
        total += miss * miss * x
        slope[i] = weight * (miss * miss + 2.0 * miss * (1.0 - miss) * x)
    return weight * total


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _push(e, grad, a, slope, centre, square, m):
    """Add to the gradient of one axis; return the sums of slope * distance and of slope * distance^2."""
    one = slope[0] - slope[0]
    two = one
    for i in range(m):
        distance = e[a, i] - centre
        product = slope[i] * distance
        grad[a, i] += product * square
        one += product
        two += product * distance
    return one, two


@numba.njit(cache=True, nogil=True)
def lovasz_pairs(
    embeddings, centroids, inverse, order, splits, first, count, weight, low, high,
    grad_embeddings, grad_centroids, grad_margins, cost,
):  # fmt: skip
    """Weighted Lovasz hinge of 2p - 1 of the clusters of the groups ``low`` to ``high``, and its gradients.

    Adds to the outputs, as :func:`mask_pairs` does; computes in float64. Room for one group, no more.
    """
    largest = 0
    for g in range(low, high):
        largest = max(largest, splits[first[g] + count[g] + g + 1] - splits[first[g] + g])
    falling = np.empty(largest)
    position = np.empty(largest, np.int64)
    for g in range(low, high):
        start, stop = splits[first[g] + g], splits[first[g] + count[g] + g + 1]
        for k in range(first[g], first[g] + count[g]):
            own, end = splits[k + g], splits[k + g + 1]
            m = 0
            for j in range(start, stop):
                z = 0.0
                for a in range(centroids.shape[1]):
                    distance = np.float64(embeddings[order[j], a]) - centroids[k, a]
                    z += (distance * inverse[k, a]) ** 2
                if own <= j < end:
                    falling[m] = 2.0 * math.expm1(-z)
                elif z > _DISTANT:
                    continue
                else:
                    falling[m] = -2.0 * math.exp(-z)
                position[m] = j
                m += 1
            members = end - own
            hits = 0
            union = members
            for r in np.argsort(falling[:m]):
                row = order[position[r]]
                error = -falling[r]
                if own <= position[r] < end:
                    step = weight[k] / union
                    slope = step * (2.0 - error)
                    hits += 1
                else:
                    step = weight[k] * (members - hits) / (union * (union + 1.0))
                    slope = -step * error
                    union += 1
                cost[k] += step * error
                for a in range(centroids.shape[1]):
                    distance = np.float64(embeddings[row, a]) - centroids[k, a]
                    gradient = slope * 2.0 * inverse[k, a] * inverse[k, a] * distance
                    grad_embeddings[row, a] += gradient
                    grad_centroids[k, a] -= gradient
                    grad_margins[k, a] += gradient * distance
