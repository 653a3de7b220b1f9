"""Compiled loops: edges between neighbouring voxels, and the joining of edges."""

import numba
import numpy as np

from sparseclust._voxels._kernels import find, unite


@numba.njit(cache=True, nogil=True)
def count_neighbours(keys, low, high):
    """How many pairs a < b there are with ``low[r] <= keys[b] - keys[a] <= high[r]`` for some r.

    Keys are sorted, equal ones allowed; the intervals are disjoint, rise, and only the first begins at 0.
    """
    n = keys.shape[0]
    begin = np.zeros(low.shape[0], np.int64)
    end = np.zeros(low.shape[0], np.int64)
    found = 0
    for a in range(n):
        for r in range(low.shape[0]):
            begin[r], end[r] = advance(keys, keys[a] + low[r], keys[a] + high[r], begin[r], end[r])
            found += end[r] - begin[r]
        # A key is not its own neighbour, nor that of an equal one before it.
        found -= a + 1 - begin[0]
    return found


@numba.njit(cache=True, nogil=True, inline="always")
def advance(keys, low, high, begin, end):
    """Move two positions in a sorted list to the first key from ``low`` on and the first above ``high``."""
    n = keys.shape[0]
    while begin < n and keys[begin] < low:
        begin += 1
    end = max(begin, end)
    while end < n and keys[end] <= high:
        end += 1
    return begin, end


@numba.njit(cache=True, nogil=True)
def fill_neighbours(keys, low, high, first, second):
    """Write the pairs that :func:`count_neighbours` counted, sorted."""
    n = keys.shape[0]
    begin = np.zeros(low.shape[0], np.int64)
    end = np.zeros(low.shape[0], np.int64)
    at = 0
    for a in range(n):
        for r in range(low.shape[0]):
            begin[r], end[r] = advance(keys, keys[a] + low[r], keys[a] + high[r], begin[r], end[r])
            for b in range(max(begin[r], a + 1), end[r]):
                first[at] = a
                second[at] = b
                at += 1


@numba.njit(cache=True, nogil=True)
def pairs_between(keys, low, high, label):
    """Pairs of :func:`fill_neighbours` whose labels differ: (2, m). One sweep counts, one writes."""
    n = keys.shape[0]
    pairs = np.empty((2, 0), np.int64)
    for writing in (False, True):
        begin = np.zeros(low.shape[0], np.int64)
        end = np.zeros(low.shape[0], np.int64)
        at = 0
        for a in range(n):
            for r in range(low.shape[0]):
                begin[r], end[r] = advance(keys, keys[a] + low[r], keys[a] + high[r], begin[r], end[r])
                for b in range(max(begin[r], a + 1), end[r]):
                    if label[a] != label[b]:
                        if writing:
                            pairs[0, at] = a
                            pairs[1, at] = b
                        at += 1
        if not writing:
            pairs = np.empty((2, at), np.int64)
    return pairs


@numba.njit(cache=True, nogil=True)
def among_nearest(coords, first, second, k):
    """Which edges lead to one of the k nearest neighbours of either end, the smaller row on ties.

    Edges are sorted, so each row meets its neighbours in rising order.
    """
    n = coords.shape[0]
    distance = np.zeros(first.shape[0], np.int64)
    start = np.zeros(n + 2, np.int64)
    for e in range(first.shape[0]):
        start[first[e] + 2] += 1
        start[second[e] + 2] += 1
        for axis in range(coords.shape[1]):
            distance[e] += (coords[first[e], axis] - coords[second[e], axis]) ** 2
    for i in range(2, n + 2):
        start[i] += start[i - 1]
    # Until all are filled in, a row's start is kept in the next row's entry.
    edges = np.empty(2 * first.shape[0], np.int64)
    for e in range(first.shape[0]):
        for i in (first[e], second[e]):
            edges[start[i + 1]] = e
            start[i + 1] += 1
    chosen = np.zeros(first.shape[0], np.bool_)
    for i in range(n):
        own = edges[start[i] : start[i + 1]]
        if own.shape[0] > k:
            own = own[np.argsort(distance[own], kind="mergesort")[:k]]
        for e in own:
            chosen[e] = True
    return chosen


@numba.njit(cache=True, nogil=True)
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
