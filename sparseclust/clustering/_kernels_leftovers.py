"""Compiled loops: the largest kernel at points that no seed covers, and at those that one does."""

import numba
import numpy as np

from sparseclust.clustering._kernels_grid import (
    GRID_AXES,
    ball_runs,
    bounding_box,
    build_grid,
    room_for_runs,
    squared_distance,
)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def join_within(x, variance, winner, seeds, free, exponent):
    """Give free points their largest kernel if it is above ``exp(-exponent / 2)``; return those still free.

    The balls of that height are searched in a grid over the free points, so each meets every such kernel.
    """
    grid = build_grid(x[free], variance[seeds], exponent)
    runs = room_for_runs(grid)
    best = np.full(free.shape[0], np.inf)
    nearest = np.full(free.shape[0], -1, np.int64)
    for k in range(seeds.shape[0]):
        centre, width = x[seeds[k]], variance[seeds[k]]
        divisor = width[0] if width.shape[0] == 1 else 1.0
        for r in range(ball_runs(grid, centre, width, exponent, runs)):
            for j in range(runs[r, 0], runs[r, 1]):
                distance = squared_distance(grid.points, j, centre, width) / divisor
                if distance < best[j]:
                    best[j] = distance
                    nearest[j] = k
    left = np.empty(free.shape[0], np.bool_)
    for f in range(free.shape[0]):
        own = grid.place[f]
        left[f] = not best[own] < exponent
        if not left[f]:
            winner[free[f]] = nearest[own]
    return free[left]


@numba.njit(cache=True, nogil=True, error_model="numpy")
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
    low, high = bounding_box(x)
    cell = (high - low).max() / x.shape[0] ** (1.0 / min(x.shape[1], GRID_AXES))
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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def own_and_other(x, variance, order, splits, labels, seeds, seed_splits, far):
    """Squared distance of each point from its own kernel, and from the largest other one of its group.

    In units of the kernel's width; infinite without a kernel, and the other one also where it is not below
    ``far``. Both lists, ``order`` of the points and ``seeds``, are sorted by group.
    """
    own = np.full(x.shape[0], np.inf)
    other = np.full(x.shape[0], np.inf)
    for g in range(splits.shape[0] - 1):
        rows = order[splits[g] : splits[g + 1]]
        kernels = np.arange(seed_splits[g], seed_splits[g + 1])
        if kernels.shape[0] == 0:
            continue
        grid = build_grid(x[rows], variance[seeds[kernels]], far)
        runs = room_for_runs(grid)
        label = np.empty(rows.shape[0], np.int64)
        least = np.full(rows.shape[0], np.inf)
        for r in range(rows.shape[0]):
            label[grid.place[r]] = labels[rows[r]]
        for k in kernels:
            centre, width = x[seeds[k]], variance[seeds[k]]
            divisor = width[0] if width.shape[0] == 1 else 1.0
            for r in range(ball_runs(grid, centre, width, far, runs)):
                for j in range(runs[r, 0], runs[r, 1]):
                    distance = squared_distance(grid.points, j, centre, width) / divisor
                    if distance < far and distance < least[j] and label[j] != k:
                        least[j] = distance
        for r in range(rows.shape[0]):
            i = rows[r]
            other[i] = least[grid.place[r]]
            if labels[i] >= 0:
                centre, width = x[seeds[labels[i]]], variance[seeds[labels[i]]]
                divisor = width[0] if width.shape[0] == 1 else 1.0
                own[i] = squared_distance(x, i, centre, width) / divisor
                if seeds[labels[i]] == i:
                    own[i] = 0.0
    return own, other
