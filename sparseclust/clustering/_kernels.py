"""Compiled loops: Gaussian kernels by ball queries in a grid over the embeddings, and the joining of edges.

Divisions follow IEEE 754 (``error_model="numpy"``): a kernel of width zero divides by zero and covers nothing
but its own seed.
"""

import math

import numba
import numpy as np

from sparseclust._voxels._kernels import find, unite

GRID_AXES = 3


@numba.njit(cache=True, error_model="numpy")
def squared_distance(x, j, y, i, variance):
    """|x_j - y_i|^2, with one variance per axis each term divided by its own; terms added in axis order."""
    total = 0.0
    if variance.shape[1] == 1:
        for k in range(x.shape[1]):
            step = x[j, k] - y[i, k]
            total += step * step
    else:
        for k in range(x.shape[1]):
            step = x[j, k] - y[i, k]
            total += step * step / variance[i, k]
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
    """Low corner, inverse cell edge and number of cells per axis; at most about 2 n cells in all.

    The edge is near two thirds of the median kernel radius. It decides how long a search takes, never its
    result, so a sample of the rows is enough.
    """
    n, d = x.shape
    axes = min(d, GRID_AXES)
    low = np.zeros(GRID_AXES)
    inverse = np.zeros(GRID_AXES)
    cells = np.ones(GRID_AXES, np.int64)
    most = max(1, int((2.0 * n) ** (1.0 / axes)))
    sample = variance[:: max(1, variance.shape[0] // 1024)]
    for k in range(axes):
        low[k] = x[:, k].min()
        extent = x[:, k].max() - low[k]
        edge = math.sqrt(exponent * np.median(sample[:, k if variance.shape[1] > 1 else 0])) / 1.5
        wanted = extent / edge
        if wanted > 1:
            cells[k] = most if wanted > most else math.ceil(wanted)
        inverse[k] = cells[k] / extent
    return low, inverse, cells


@numba.njit(cache=True, error_model="numpy")
def sort_by_cell(x, low, inverse, cells):
    """Sort the points by cell, counting: where each cell starts, and the place of each point."""
    n = x.shape[0]
    cell = np.zeros(n, np.int64)
    start = np.zeros(cells.prod() + 1, np.int64)
    for i in range(n):
        for k in range(GRID_AXES):
            cell[i] *= cells[k]
            if k < x.shape[1]:
                cell[i] += axis_cell(x[i, k], low[k], inverse[k], cells[k])
        start[cell[i] + 1] += 1
    start = np.cumsum(start)
    fill = start[:-1].copy()
    place = np.empty(n, np.int64)
    for i in range(n):
        place[i] = fill[cell[i]]
        fill[cell[i]] += 1
    return start, place


@numba.njit(cache=True, error_model="numpy")
def ball_cells(x, variance, i, exponent, low, inverse, cells, first, last):
    """Write the first and last cell per axis that ball ``i`` may touch.

    None when it lies beside the grid, or its kernel has no width.
    """
    touches = variance[i].min() > 0
    for k in range(min(x.shape[1], GRID_AXES)):
        # A little wider than the ball, so that rounding never leaves out a point of it.
        reach = math.sqrt(exponent * variance[i, k if variance.shape[1] > 1 else 0]) * (1 + 1e-9) + 1e-150
        first[k] = axis_cell(x[i, k] - reach, low[k], inverse[k], cells[k])
        last[k] = axis_cell(x[i, k] + reach, low[k], inverse[k], cells[k])
        # The largest coordinate may round to a little more than ``cells``.
        if (x[i, k] - reach - low[k]) * inverse[k] > cells[k] * (1 + 1e-9):
            touches = False
        if (x[i, k] + reach - low[k]) * inverse[k] < 0:
            touches = False
    if not touches:
        last[0] = first[0] - 1


@numba.njit(cache=True, error_model="numpy")
def grow_clusters(x, variance, candidates, exponent, argmax):
    """Find seeds and the cluster of every point; the points come sorted by falling seediness.

    Every cell that a ball touches is searched, so each point meets every seed whose kernel it exceeds the
    threshold of: its best kernel is found among the balls alone, without a table of points and seeds.
    """
    n = x.shape[0]
    low, inverse, cells = grid_layout(x, variance, exponent)
    start, place = sort_by_cell(x, low, inverse, cells)
    points = np.empty_like(x)
    for i in range(n):
        points[place[i]] = x[i]
    covered = np.zeros(n, np.bool_)
    best = np.full(n if argmax else 0, np.inf)
    winner = np.full(n, -1, np.int64)
    seeds = np.empty(candidates, np.int64)
    found = 0
    first = np.zeros(GRID_AXES, np.int64)
    last = np.zeros(GRID_AXES, np.int64)
    for i in range(candidates):
        if covered[place[i]]:
            continue
        divisor = variance[i, 0] if variance.shape[1] == 1 else 1.0
        limit = divisor * exponent
        ball_cells(x, variance, i, exponent, low, inverse, cells, first, last)
        for a in range(first[0], last[0] + 1):
            for b in range(first[1], last[1] + 1):
                line = (a * cells[1] + b) * cells[2]
                for j in range(start[line + first[2]], start[line + last[2] + 1]):
                    if not argmax and covered[j]:
                        continue
                    squared = squared_distance(points, j, x, i, variance)
                    if squared < limit:
                        covered[j] = True
                        if not argmax:
                            winner[j] = found
                    if argmax and squared / divisor < best[j]:
                        best[j] = squared / divisor
                        winner[j] = found
        own = place[i]
        covered[own] = True
        winner[own] = found
        if argmax:
            best[own] = 0.0
        seeds[found] = i
        found += 1
    result = np.empty(n, np.int64)
    for i in range(n):
        result[i] = winner[place[i]] if covered[place[i]] else -1
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
    low, inverse, cells = grid_layout(free_x, variance[seeds], exponent)
    start, place = sort_by_cell(free_x, low, inverse, cells)
    points = np.empty_like(free_x)
    for f in range(free.shape[0]):
        points[place[f]] = free_x[f]
    best = np.full(free.shape[0], np.inf)
    nearest = np.empty(free.shape[0], np.int64)
    first = np.zeros(GRID_AXES, np.int64)
    last = np.zeros(GRID_AXES, np.int64)
    for k in range(seeds.shape[0]):
        i = seeds[k]
        divisor = variance[i, 0] if variance.shape[1] == 1 else 1.0
        ball_cells(x, variance, i, exponent, low, inverse, cells, first, last)
        for a in range(first[0], last[0] + 1):
            for b in range(first[1], last[1] + 1):
                line = (a * cells[1] + b) * cells[2]
                for j in range(start[line + first[2]], start[line + last[2] + 1]):
                    distance = squared_distance(points, j, x, i, variance) / divisor
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

    The balls grow twofold in radius until few points are left, which are compared with every seed.
    """
    free = np.flatnonzero(winner < 0)
    rounds = 0
    while rounds < 64 and free.shape[0] * seeds.shape[0] > x.shape[0]:
        rounds += 1
        exponent *= 4
        free = join_within(x, variance, winner, seeds, free, exponent)
    for j in free:
        best = np.inf
        for k in range(seeds.shape[0]):
            i = seeds[k]
            divisor = variance[i, 0] if variance.shape[1] == 1 else 1.0
            distance = squared_distance(x, j, x, i, variance) / divisor
            if distance < best:
                best = distance
                winner[j] = k


@numba.njit(cache=True)
def cluster_groups(x, variance, order, splits, candidates, exponents, min_size, argmax, nearest):
    """Cluster each group on its own; same contract as the function of this name in ``_reference``."""
    labels = np.empty(x.shape[0], np.int64)
    seeds = np.empty(x.shape[0], np.int64)
    found = 0
    for g in range(splits.shape[0] - 1):
        rows = order[splits[g] : splits[g + 1]]
        group_x = x[rows]
        group_variance = variance[rows]
        winner, group_seeds = grow_clusters(group_x, group_variance, candidates[g], exponents[g], argmax)
        if min_size > 1:
            group_seeds = dissolve_small(winner, group_seeds, min_size)
        if nearest:
            join_nearest(group_x, group_variance, winner, group_seeds, exponents[g])
        for i in range(rows.shape[0]):
            labels[rows[i]] = winner[i] + found if winner[i] >= 0 else -1
        for k in range(group_seeds.shape[0]):
            seeds[found + k] = rows[group_seeds[k]]
        found += group_seeds.shape[0]
    return labels, seeds[:found].copy()


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
