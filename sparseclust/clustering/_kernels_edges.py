"""Compiled loops: edges between neighbouring voxels, and the joining of edges."""

import heapq

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
def fill_neighbours(keys, low, high, label, first, second):
    """Write the pairs that :func:`count_neighbours` counts, sorted; with labels, those whose labels differ.

    Returns their number, of which only as many are written as there is room for.
    """
    n = keys.shape[0]
    begin = np.zeros(low.shape[0], np.int64)
    end = np.zeros(low.shape[0], np.int64)
    at = 0
    for a in range(n):
        for r in range(low.shape[0]):
            begin[r], end[r] = advance(keys, keys[a] + low[r], keys[a] + high[r], begin[r], end[r])
            for b in range(max(begin[r], a + 1), end[r]):
                if label is None or label[a] != label[b]:
                    if at < first.shape[0]:
                        first[at] = a
                        second[at] = b
                    at += 1
    return at


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
def absorbing_edges(piece, size, min_size, first, second):
    """Which edges between pieces join two of them when taken in order: all that leave a small one.

    ``piece`` (n,) counts the pieces from 0 in order of their first rows. ``size`` is of each piece,
    ``min_size`` (n,) counts for the piece whose first row it is.
    """
    parent, size = np.arange(size.shape[0]), size.copy()
    least, seen = np.empty_like(size), 0
    for i in range(piece.shape[0]):
        if piece[i] == seen:
            least[seen] = min_size[i]
            seen += 1
    joins = np.zeros(first.shape[0], np.bool_)
    for e in range(first.shape[0]):
        a, b = find(parent, first[e]), find(parent, second[e])
        if a != b and (size[a] < least[a] or size[b] < least[b]):
            unite(parent, a, b)
            size[min(a, b)] = size[a] + size[b]
            joins[e] = True
    return joins


@numba.njit(cache=True, nogil=True)
def contract_edges(n, first, second, weight):
    """Join the two pieces with the heaviest sum of weights, while it is not negative.

    Returns the row that stands for each row's piece. Of two pieces the one with fewer neighbours hands its
    edges to the other. An edge between two pieces is found in a table by both of them; parallel edges become
    one. The heap keeps outdated entries, which are known by a weight that is no longer that of the edge.
    """
    m = first.shape[0]
    ends = np.stack((first, second))
    total = weight.copy()
    alive = np.zeros(m, np.bool_)
    size = 4
    while size < 3 * m:
        size *= 2
    keys, edge_at = np.full(size, -1, np.int64), np.empty(size, np.int64)
    # Half-edge 2 e + side is in the list of the piece ends[side, e].
    head, behind, count = np.full(n, -1, np.int64), np.full(2 * m, -1, np.int64), np.zeros(n, np.int64)
    for e in range(m):
        if first[e] == second[e]:
            continue
        slot = slot_of(keys, key_of(n, first[e], second[e]))
        if keys[slot] >= 0:
            total[edge_at[slot]] += weight[e]
            continue
        keys[slot], edge_at[slot], alive[e] = key_of(n, first[e], second[e]), e, True
        for side in range(2):
            piece = ends[side, e]
            behind[2 * e + side], head[piece] = head[piece], 2 * e + side
            count[piece] += 1
    heap = [(-total[e], e) for e in range(m) if alive[e] and total[e] >= 0]
    heapq.heapify(heap)
    parent = np.arange(n)
    while len(heap) > 0:
        lightest, e = heapq.heappop(heap)
        if not alive[e] or -lightest != total[e]:
            continue
        a, b = ends[0, e], ends[1, e]
        if count[b] > count[a]:
            a, b = b, a
        alive[e] = False
        free_slot(keys, edge_at, slot_of(keys, key_of(n, a, b)))
        parent[b] = a
        half = head[b]
        while half >= 0:
            later, e, side = behind[half], half // 2, half % 2
            if alive[e]:
                other = ends[1 - side, e]
                free_slot(keys, edge_at, slot_of(keys, key_of(n, b, other)))
                slot = slot_of(keys, key_of(n, a, other))
                if keys[slot] >= 0:
                    alive[e] = False
                    total[edge_at[slot]] += total[e]
                    if total[edge_at[slot]] >= 0:
                        heapq.heappush(heap, (-total[edge_at[slot]], edge_at[slot]))
                else:
                    keys[slot], edge_at[slot] = key_of(n, a, other), e
                    ends[side, e] = a
                    behind[half], head[a] = head[a], half
                    count[a] += 1
            half = later
    for i in range(n):
        parent[i] = find(parent, i)
    return parent


@numba.njit(cache=True, nogil=True, inline="always")
def key_of(n, a, b):
    """Return the number of an unordered pair."""
    return min(a, b) * n + max(a, b)


@numba.njit(cache=True, nogil=True)
def home_of(key, size):
    """Place in a table of 2^k slots where the search for a key begins."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(size - 1))


@numba.njit(cache=True, nogil=True)
def slot_of(keys, key):
    """Where a key is in the table, or the empty slot where it would go."""
    slot = home_of(key, keys.shape[0])
    while keys[slot] >= 0 and keys[slot] != key:
        slot = (slot + 1) & (keys.shape[0] - 1)
    return slot


@numba.njit(cache=True, nogil=True)
def free_slot(keys, values, slot):
    """Take an entry out, and move up those behind it that would no longer be found."""
    mask = keys.shape[0] - 1
    hole = slot
    slot = (slot + 1) & mask
    while keys[slot] >= 0:
        if ((slot - home_of(keys[slot], keys.shape[0])) & mask) >= ((slot - hole) & mask):
            keys[hole], values[hole] = keys[slot], values[slot]
            hole = slot
        slot = (slot + 1) & mask
    keys[hole] = -1
