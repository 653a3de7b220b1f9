"""Compiled loops: seeds and their clusters, group by group."""

import numba
import numpy as np

from sparseclust.clustering._kernels_grid import ball_runs, build_grid, room_for_runs, squared_distance
from sparseclust.clustering._kernels_leftovers import join_nearest

NONE = np.int32(2**31 - 1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def grow_clusters(x, variance, sequence, candidates, exponent, argmax, winner):
    """Return seeds, write the winner of every point; the first of ``sequence`` are candidates, best first.

    Every cell that a ball touches is searched, so each point meets every seed whose kernel it exceeds the
    threshold of: its best kernel is found among the balls alone, without a table of points and seeds.
    """
    n = x.shape[0]
    grid = build_grid(x, variance, exponent)
    runs = room_for_runs(grid)
    claim = np.full(n, NONE)
    best = np.full(n if argmax else 0, np.inf)
    largest = np.empty(n if argmax else 0, np.int32)
    seeds = np.empty(candidates, np.int64)
    found = np.int32(0)
    for i in sequence[:candidates]:
        own = grid.place[i]
        if claim[own] < NONE:
            continue
        centre, width = x[i], variance[i]
        divisor = width[0] if width.shape[0] == 1 else 1.0
        limit = divisor * exponent
        for r in range(ball_runs(grid, centre, width, exponent, runs)):
            for j in range(runs[r, 0], runs[r, 1]):
                squared = squared_distance(grid.points, j, centre, width)
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
        found += np.int32(1)
    claimant = largest if argmax else claim
    for i in range(n):
        own = grid.place[i]
        winner[i] = claimant[own] if claim[own] < NONE else -1
    return seeds[:found]


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True)
def cluster_range(
    x, variance, order, splits, candidates, exponents, min_size, argmax, nearest, labels, seeds, found
):
    """Cluster each of these groups on its own, counting labels from 0 in each.

    Writes the labels of its rows, its seeds from ``splits[g]`` on, and how many it found. Groups share
    nothing that is written, so any number of threads may each have some of them.
    """
    for g in range(splits.shape[0] - 1):
        rows = order[splits[g] : splits[g + 1]]
        # One group alone stays in the order of its rows, which memory prefers; the others are gathered.
        alone = rows.shape[0] == x.shape[0]
        group_x = x if alone else x[rows]
        group_variance = variance if alone else variance[rows]
        sequence = rows if alone else np.arange(rows.shape[0])
        winner = labels if alone else np.empty(rows.shape[0], np.int64)
        group_seeds = grow_clusters(
            group_x, group_variance, sequence, candidates[g], exponents[g], argmax, winner
        )
        if min_size > 1:
            group_seeds = dissolve_small(winner, group_seeds, min_size)
        if nearest:
            join_nearest(group_x, group_variance, winner, group_seeds, exponents[g])
        found[g] = group_seeds.shape[0]
        seeds[splits[g] : splits[g] + found[g]] = group_seeds if alone else rows[group_seeds]
        if not alone:
            labels[rows] = winner


@numba.njit(cache=True, nogil=True)
def number_clusters(order, splits, labels, seeds, found):
    """Count labels over all groups, and close the gaps between the seeds of one group and the next."""
    at = found[0] if found.shape[0] else 0
    for g in range(1, found.shape[0]):
        for i in order[splits[g] : splits[g + 1]]:
            if labels[i] >= 0:
                labels[i] += at
        for k in range(found[g]):
            seeds[at + k] = seeds[splits[g] + k]
        at += found[g]
    return seeds[:at].copy()
