"""Compiled loops: Gaussian kernels by ball queries in a grid over the embeddings, and the joining of edges.

Divisions follow IEEE 754 (``error_model="numpy"``): a kernel of width zero divides by zero and covers nothing
but its own seed.
"""

import math

import numba
import numpy as np

from sparseclust._voxels._kernels import find, unite

GRID_AXES = 4
NONE = np.int64(2**62)


@numba.njit(cache=True)
def falling_order(score):
    """Rows by falling score, equal ones by index: a radix sort of float64, ten bits at a time."""
    n = score.shape[0]
    digits = 7
    keys = np.empty(n, np.uint64)
    counts = np.zeros((digits, 1024), np.int64)
    # Adding zero takes the sign from a negative zero, which equals the positive one.
    bits = (-score + 0.0).view(np.uint64)
    for i in range(n):
        # The bits of positive numbers sort as they do, those of negative ones the other way round.
        negative = bits[i] >> np.uint64(63) != 0
        keys[i] = ~bits[i] if negative else bits[i] | np.uint64(1 << 63)
        for k in range(digits):
            counts[k, (keys[i] >> np.uint64(10 * k)) & np.uint64(1023)] += 1
    order = np.arange(n)
    sorted_keys, sorted_order = np.empty_like(keys), np.empty_like(order)
    for k in range(digits):
        if counts[k].max() == n:
            continue
        at = 0
        for digit in range(1024):
            at, counts[k, digit] = at + counts[k, digit], at
        for i in range(n):
            digit = (keys[i] >> np.uint64(10 * k)) & np.uint64(1023)
            sorted_keys[counts[k, digit]] = keys[i]
            sorted_order[counts[k, digit]] = order[i]
            counts[k, digit] += 1
        keys, sorted_keys = sorted_keys, keys
        order, sorted_order = sorted_order, order
    return order


@numba.njit(cache=True)
def stable_by_group(order, group, splits):
    """Sort ``order`` by the group of each row, keeping the order inside each: a counting sort."""
    fill = splits[:-1].copy()
    result = np.empty_like(order)
    for i in order:
        result[fill[group[i]]] = i
        fill[group[i]] += 1
    return result


@numba.njit(cache=True, error_model="numpy", inline="always")
def squared_distance(points, j, centre, variance):
    """|x_j - mu|^2, with one variance per axis each term divided by its own; terms added in axis order."""
    total = 0.0
    if variance.shape[0] == 1:
        for k in range(points.shape[1]):
            step = points[j, k] - centre[k]
            total += step * step
    else:
        for k in range(points.shape[1]):
            step = points[j, k] - centre[k]
            total += step * step / variance[k]
    return total


@numba.njit(cache=True, error_model="numpy")
def axis_cell(value, low, inverse, cells):
    """Cell of a coordinate, clamped to the grid; never decreases when the coordinate grows."""
    at = (value - low) * inverse
    if at >= cells:
        return cells - 1
    if at > 0:
        return int(at)
    return 0


@numba.njit(cache=True, error_model="numpy")
def grid_layout(x, variance, exponent):
    """Axes of the grid, and on each of them low corner, inverse cell edge and number of cells.

    The axes are those along which the points spread over most kernel radii; the edge is near two thirds of
    the median radius, and there are at most about as many cells as points. All this decides how long a search
    takes, never its result, so a sample of the rows is enough for the median.
    """
    n, d = x.shape
    used = min(d, GRID_AXES)
    sample = variance[:: max(1, variance.shape[0] // 1024)]
    low = np.zeros(d)
    extent = np.zeros(d)
    wanted = np.ones(d)
    for k in range(d):
        low[k] = x[:, k].min()
        extent[k] = x[:, k].max() - low[k]
        edge = math.sqrt(exponent * np.median(sample[:, k if variance.shape[1] > 1 else 0])) / 1.5
        if extent[k] > edge:
            wanted[k] = extent[k] / edge
    axes = np.argsort(-wanted, kind="mergesort")[:used]
    most = max(1, int(float(n) ** (1.0 / used)))
    cells = np.ones(GRID_AXES, np.int64)
    inverse = np.zeros(used)
    for k in range(used):
        cells[k] = most if wanted[axes[k]] > most else math.ceil(wanted[axes[k]])
        inverse[k] = cells[k] / extent[axes[k]]
    return axes, low[axes], inverse, cells


@numba.njit(cache=True, error_model="numpy")
def sort_by_cell(x, axes, low, inverse, cells):
    """Sort the points by cell, counting: where each cell starts, each point's place, the sorted points."""
    n, d = x.shape
    place = np.empty(n, np.int64)
    start = np.zeros(cells.prod() + 2, np.int64)
    for i in range(n):
        cell = 0
        for k in range(axes.shape[0]):
            cell = cell * cells[k] + axis_cell(x[i, axes[k]], low[k], inverse[k], cells[k])
        for k in range(axes.shape[0], cells.shape[0]):
            cell *= cells[k]
        place[i] = cell
        start[cell + 2] += 1
    for c in range(1, start.shape[0]):
        start[c] += start[c - 1]
    points = np.empty_like(x)
    for i in range(n):
        # Until all points have found their place, a cell's start is kept in the next cell's entry.
        at = start[place[i] + 1]
        start[place[i] + 1] = at + 1
        place[i] = at
        for k in range(d):
            points[at, k] = x[i, k]
    return start, place, points


@numba.njit(cache=True, error_model="numpy")
def ball_cells(centre, variance, exponent, axes, low, inverse, cells, first, last):
    """Write the first and last cell per axis that a ball may touch.

    None when it lies beside the grid, or its kernel has no width.
    """
    touches = variance.min() > 0
    for k in range(axes.shape[0]):
        at = centre[axes[k]]
        # A little wider than the ball, so that rounding never leaves out a point of it.
        reach = math.sqrt(exponent * variance[axes[k] if variance.shape[0] > 1 else 0]) * (1 + 1e-9) + 1e-150
        first[k] = axis_cell(at - reach, low[k], inverse[k], cells[k])
        last[k] = axis_cell(at + reach, low[k], inverse[k], cells[k])
        # The largest coordinate may round to a little more than ``cells``.
        if (at - reach - low[k]) * inverse[k] > cells[k] * (1 + 1e-9):
            touches = False
        if (at + reach - low[k]) * inverse[k] < 0:
            touches = False
    if not touches:
        last[0] = first[0] - 1


@numba.njit(cache=True, error_model="numpy")
def grow_clusters(x, variance, sequence, candidates, exponent, argmax):
    """Find seeds and the cluster of every point; the first of ``sequence`` are the candidates, best first.

    Every cell that a ball touches is searched, so each point meets every seed whose kernel it exceeds the
    threshold of: its best kernel is found among the balls alone, without a table of points and seeds.
    """
    n = x.shape[0]
    axes, low, inverse, cells = grid_layout(x, variance, exponent)
    start, place, points = sort_by_cell(x, axes, low, inverse, cells)
    claim = np.full(n, NONE)
    best = np.full(n if argmax else 0, np.inf)
    largest = np.empty(n if argmax else 0, np.int64)
    seeds = np.empty(candidates, np.int64)
    found = 0
    first = np.zeros(GRID_AXES, np.int64)
    last = np.zeros(GRID_AXES, np.int64)
    for i in sequence[:candidates]:
        own = place[i]
        if claim[own] < NONE:
            continue
        divisor = variance[i, 0] if variance.shape[1] == 1 else 1.0
        limit = divisor * exponent
        centre, width = x[i], variance[i]
        ball_cells(centre, width, exponent, axes, low, inverse, cells, first, last)
        for a in range(first[0], last[0] + 1):
            for b in range(first[1], last[1] + 1):
                for c in range(first[2], last[2] + 1):
                    line = ((a * cells[1] + b) * cells[2] + c) * cells[3]
                    for j in range(start[line + first[3]], start[line + last[3] + 1]):
                        squared = squared_distance(points, j, centre, width)
                        # No branch here: which points are inside is hard for a processor to predict.
                        claim[j] = min(claim[j], found if squared < limit else NONE)
                        if argmax:
                            better = squared / divisor < best[j]
                            best[j] = squared / divisor if better else best[j]
                            largest[j] = found if better else largest[j]
        claim[own] = found
        if argmax:
            best[own] = 0.0
            largest[own] = found
        seeds[found] = i
        found += 1
    winner = largest if argmax else claim
    result = np.empty(n, np.int64)
    for i in range(n):
        result[i] = winner[place[i]] if claim[place[i]] < NONE else -1
    return result, seeds[:found]


@numba.njit(cache=True)
def dissolve_small(winner, seeds, min_size):
    """Take away the clusters below ``min_size``, close the gaps in the numbering, return the seeds kept."""
    size = np.zeros(seeds.shape[0], np.int64)
    for w in winner:
        if w >= 0:
            size[w] += 1
    number = np.cumsum(size >= min_size) - 1
    for i in range(winner.shape[0]):
        w = winner[i]
        if w >= 0:
            winner[i] = number[w] if size[w] >= min_size else -1
    return seeds[size >= min_size]


@numba.njit(cache=True, error_model="numpy")
def join_within(x, variance, winner, seeds, free, exponent):
    """Give free points their largest kernel if it is above ``exp(-exponent / 2)``; return those still free.

    The balls of that height are searched in a grid over the free points, so each meets every such kernel.
    """
    free_x = x[free]
    axes, low, inverse, cells = grid_layout(free_x, variance[seeds], exponent)
    start, place, points = sort_by_cell(free_x, axes, low, inverse, cells)
    best = np.full(free.shape[0], np.inf)
    nearest = np.full(free.shape[0], -1, np.int64)
    first = np.zeros(GRID_AXES, np.int64)
    last = np.zeros(GRID_AXES, np.int64)
    for k in range(seeds.shape[0]):
        i = seeds[k]
        divisor = variance[i, 0] if variance.shape[1] == 1 else 1.0
        centre, width = x[i], variance[i]
        ball_cells(centre, width, exponent, axes, low, inverse, cells, first, last)
        for a in range(first[0], last[0] + 1):
            for b in range(first[1], last[1] + 1):
                for c in range(first[2], last[2] + 1):
                    line = ((a * cells[1] + b) * cells[2] + c) * cells[3]
                    for j in range(start[line + first[3]], start[line + last[3] + 1]):
                        distance = squared_distance(points, j, centre, width) / divisor
                        if distance < best[j]:
                            best[j] = distance
                            nearest[j] = k
    left = np.empty(free.shape[0], np.bool_)
    for f in range(free.shape[0]):
        left[f] = not best[place[f]] < exponent
        if not left[f]:
            winner[free[f]] = nearest[place[f]]
    return free[left]


@numba.njit(cache=True, error_model="numpy")
def join_nearest(x, variance, winner, seeds, exponent):
    """Give every free point to the kernel that is largest there; it stays free where every kernel is zero.

    The balls grow twofold in radius until few points are left, which are compared with every kernel. They
    begin where the widest kernel reaches one cell of the finest grid.
    """
    free = np.flatnonzero(winner < 0)
    width = np.empty(seeds.shape[0])
    for k in range(seeds.shape[0]):
        width[k] = variance[seeds[k]].min()
    # A kernel without width along some axis is zero everywhere.
    kernels = np.flatnonzero(width > 0)
    wide = seeds[kernels]
    if free.shape[0] == 0 or kernels.shape[0] == 0:
        return
    extent = 0.0
    for k in range(x.shape[1]):
        extent = max(extent, x[:, k].max() - x[:, k].min())
    cell = extent / x.shape[0] ** (1.0 / min(x.shape[1], GRID_AXES))
    reach = cell * cell / width.max()
    if reach > exponent:
        exponent = reach
    joined = np.full(x.shape[0], -1, np.int64)
    while free.shape[0] * wide.shape[0] > x.shape[0] and exponent < np.inf:
        exponent *= 4
        free = join_within(x, variance, joined, wide, free, exponent)
    for j in free:
        best = np.inf
        for k in range(wide.shape[0]):
            i = wide[k]
            divisor = variance[i, 0] if variance.shape[1] == 1 else 1.0
            distance = squared_distance(x, j, x[i], variance[i]) / divisor
            if distance < best:
                best = distance
                joined[j] = k
    for j in range(x.shape[0]):
        if joined[j] >= 0:
            winner[j] = kernels[joined[j]]


@numba.njit(cache=True)
def cluster_groups(x, variance, order, splits, candidates, exponents, min_size, argmax, nearest):
    """Cluster each group on its own; same contract as the function of this name in ``_reference``."""
    labels = np.empty(x.shape[0], np.int64)
    seeds = np.empty(x.shape[0], np.int64)
    found = 0
    for g in range(splits.shape[0] - 1):
        rows = order[splits[g] : splits[g + 1]]
        # One group alone stays in the order of its rows, which memory prefers; the others are gathered.
        alone = splits.shape[0] == 2
        group_x = x if alone else x[rows]
        group_variance = variance if alone else variance[rows]
        sequence = rows if alone else np.arange(rows.shape[0])
        winner, group_seeds = grow_clusters(
            group_x, group_variance, sequence, candidates[g], exponents[g], argmax
        )
        if min_size > 1:
            group_seeds = dissolve_small(winner, group_seeds, min_size)
        if nearest:
            join_nearest(group_x, group_variance, winner, group_seeds, exponents[g])
        for i in range(rows.shape[0]):
            labels[i if alone else rows[i]] = winner[i] + found if winner[i] >= 0 else -1
        for k in range(group_seeds.shape[0]):
            seeds[found + k] = group_seeds[k] if alone else rows[group_seeds[k]]
        found += group_seeds.shape[0]
    return labels, seeds[:found].copy()


@numba.njit(cache=True, error_model="numpy")
def own_and_other(x, variance, order, splits, labels, seeds, seed_splits, far):
    """Squared distance of each point from its own kernel, and from the largest other one of its group.

    In units of the kernel's width; infinite without a kernel, and the other one also where it is not below
    ``far``. Both lists, ``order`` of the points and ``seeds``, are sorted by group.
    """
    own = np.full(x.shape[0], np.inf)
    other = np.full(x.shape[0], np.inf)
    first = np.zeros(GRID_AXES, np.int64)
    last = np.zeros(GRID_AXES, np.int64)
    for g in range(splits.shape[0] - 1):
        rows = order[splits[g] : splits[g + 1]]
        kernels = np.arange(seed_splits[g], seed_splits[g + 1])
        if kernels.shape[0] == 0:
            continue
        axes, low, inverse, cells = grid_layout(x[rows], variance[seeds[kernels]], far)
        start, place, points = sort_by_cell(x[rows], axes, low, inverse, cells)
        label = np.empty(rows.shape[0], np.int64)
        least = np.full(rows.shape[0], np.inf)
        for r in range(rows.shape[0]):
            label[place[r]] = labels[rows[r]]
        for k in kernels:
            centre, width = x[seeds[k]], variance[seeds[k]]
            divisor = width[0] if width.shape[0] == 1 else 1.0
            ball_cells(centre, width, far, axes, low, inverse, cells, first, last)
            for a in range(first[0], last[0] + 1):
                for b in range(first[1], last[1] + 1):
                    for c in range(first[2], last[2] + 1):
                        line = ((a * cells[1] + b) * cells[2] + c) * cells[3]
                        for j in range(start[line + first[3]], start[line + last[3] + 1]):
                            distance = squared_distance(points, j, centre, width) / divisor
                            if distance < far and distance < least[j] and label[j] != k:
                                least[j] = distance
        for r in range(rows.shape[0]):
            i = rows[r]
            other[i] = least[place[r]]
            if labels[i] >= 0:
                centre, width = x[seeds[labels[i]]], variance[seeds[labels[i]]]
                divisor = width[0] if width.shape[0] == 1 else 1.0
                own[i] = squared_distance(x, i, centre, width) / divisor
                if seeds[labels[i]] == i:
                    own[i] = 0.0
    return own, other


@numba.njit(cache=True)
def joining_edges(n, first, second, order, strong, min_size):
    """Which edges join two pieces when taken in ``order``: strong ones, and all that leave a small piece."""
    parent = np.arange(n)
    size = np.ones(n, np.int64)
    joins = np.zeros(order.shape[0], np.bool_)
    for e in order:
        a = find(parent, first[e])
        b = find(parent, second[e])
        if a != b and (strong[e] or size[a] < min_size or size[b] < min_size):
            unite(parent, a, b)
            size[find(parent, a)] = size[a] + size[b]
            joins[e] = True
    return joins
