# mypy: ignore-errors
# Compiled by numba, whose decorators carry no types.
"""Compiled loops of the maximin loss: forests of edges in falling order, with what each edge decides."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def decided(first, second, order, instance, size, group_size):
    """Share of the voxels of its group that hangs on each edge; edges in falling order of their logits.

    First come the forests within instances, then those between their pieces, each piece kept as a list of the
    pieces that were joined to it.
    """
    n = len(instance)
    weight = np.zeros(len(first))
    parent = np.arange(n)
    count = np.ones(n, np.int64)
    for e in order:
        if instance[first[e]] != instance[second[e]]:
            continue
        a, b = _root(parent, first[e]), _root(parent, second[e])
        if a != b:
            whole = size[instance[a]]
            weight[e] = 2.0 * count[a] * count[b] / ((whole - 1.0) * group_size[a])
            if count[a] < count[b]:
                a, b = b, a
            parent[b] = a
            count[a] += count[b]
    # From here on a set of pieces is a list of their roots; roots and counts of pieces stay.
    piece = np.empty(n, np.int64)
    for i in range(n):
        piece[i] = _root(parent, i)
    parent[:] = np.arange(n)
    following = np.full(n, -1)
    last = np.arange(n)
    members = np.ones(n, np.int64)
    for e in order:
        if instance[first[e]] == instance[second[e]]:
            continue
        a, b = _root(parent, piece[first[e]]), _root(parent, piece[second[e]])
        if a == b:
            continue
        if members[a] < members[b]:
            a, b = b, a
        p = a
        while p >= 0:
            q = b
            while q >= 0:
                i, j = instance[p], instance[q]
                if i != j:
                    weight[e] += count[p] * count[q] / (max(size[i], size[j]) * group_size[p])
                q = following[q]
            p = following[p]
        following[last[a]] = b
        last[a] = last[b]
        parent[b] = a
        members[a] += members[b]
    return weight


@numba.njit(cache=True, nogil=True, inline="always")
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i
