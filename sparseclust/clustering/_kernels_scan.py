"""Compiled loops that cluster at many thresholds in one pass."""

import numba
import numpy as np

from sparseclust._voxels._kernels import find, unite
from sparseclust.clustering._kernels_grid import ball_runs, build_grid, room_for_runs, squared_distance


@numba.njit(cache=True, error_model="numpy")
def seeds_of_group(x, variance, candidates, exponents):
    """Row of each point's greedy seed at every exponent, (n, k), or -1; the first rows are the candidates.

    Exponents fall and are at most 64: a point's bits say at which of them it is covered. Each candidate's
    ball is searched once, at the widest exponent where the candidate is free.
    """
    n, thresholds = x.shape[0], exponents.shape[0]
    one = np.uint64(1)
    every = ~np.uint64(0) >> np.uint64(64 - thresholds)
    grid = build_grid(x, variance, exponents[thresholds // 2])
    runs = room_for_runs(grid)
    covered = np.zeros(n, np.uint64)
    claim = np.full((n, thresholds), -1)
    for i in range(candidates):
        seed_at = every & ~covered[grid.place[i]]
        if seed_at == 0:
            continue
        widest = 0
        while not (seed_at >> np.uint64(widest)) & one:
            widest += 1
        centre, width = x[i], variance[i]
        divisor = width[0] if width.shape[0] == 1 else 1.0
        for r in range(ball_runs(grid, centre, width, exponents[widest], runs)):
            for j in range(runs[r, 0], runs[r, 1]):
                new = seed_at & ~covered[j]
                if new == 0:
                    continue
                squared = squared_distance(grid.points, j, centre, width)
                k = widest
                while k < thresholds and squared < divisor * exponents[k]:
                    if (new >> np.uint64(k)) & one:
                        claim[j, k] = i
                        covered[j] |= one << np.uint64(k)
                    k += 1
        own = grid.place[i]
        for k in range(widest, thresholds):
            if (seed_at >> np.uint64(k)) & one:
                claim[own, k] = i
        covered[own] = every
    return claim[grid.place]


@numba.njit(cache=True)
def seeds_of_groups(x, variance, order, splits, candidates, exponents):
    """Call :func:`seeds_of_group` for each group; the arguments are those of ``cluster_groups``: (k, n)."""
    seeds = np.full((exponents.shape[0], x.shape[0]), -1)
    for g in range(splits.shape[0] - 1):
        rows = order[splits[g] : splits[g + 1]]
        claim = seeds_of_group(x[rows], variance[rows], candidates[g], exponents)
        for i in range(rows.shape[0]):
            for k in range(exponents.shape[0]):
                if claim[i, k] >= 0:
                    seeds[k, rows[i]] = rows[claim[i, k]]
    return seeds


@numba.njit(cache=True)
def pieces_of_graph(n, first, second, strong, min_sizes):
    """First row of each row's piece, (t, m, n): the first ``strong[t]`` edges join, then small pieces do.

    Edges are sorted, strongest first, and ``strong`` grows. What the strong edges join, they join whatever
    the smallest size, so this part is common, and only edges between its pieces can still join any.
    """
    parent = np.arange(n)
    size = np.ones(n, np.int64)
    pieces = np.empty((strong.shape[0], min_sizes.shape[0], n), np.int64)
    left = np.arange(first.shape[0])
    for t in range(strong.shape[0]):
        kept = 0
        for e in left:
            a, b = find(parent, first[e]), find(parent, second[e])
            if a == b:
                continue
            if e < strong[t]:
                unite(parent, a, b)
                size[min(a, b)] = size[a] + size[b]
            else:
                left[kept] = e
                kept += 1
        left = left[:kept]
        for m in range(min_sizes.shape[0]):
            joined, joined_size = parent.copy(), size.copy()
            for e in left:
                a, b = find(joined, first[e]), find(joined, second[e])
                if a != b and min(joined_size[a], joined_size[b]) < min_sizes[m]:
                    unite(joined, a, b)
                    joined_size[min(a, b)] = joined_size[a] + joined_size[b]
            for i in range(n):
                pieces[t, m, i] = find(joined, i)
    return pieces
