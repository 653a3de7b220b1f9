"""Compiled loops on sorted integer keys. Everything is sequential and deterministic."""

import numba
import numpy as np


@numba.njit(cache=True)
def run_length(deltas, k):
    """How many deltas from the k-th on count up by one, as along the last axis of a window."""
    length = 1
    while k + length < deltas.shape[0] and deltas[k + length] == deltas[k] + length:
        length += 1
    return length


@numba.njit(cache=True)
def count_shifted(keys, deltas):
    """How many keys meet another key when shifted: out[k] = #{j : keys[j] + deltas[k] in keys}.

    Both lists are sorted, so each run of deltas costs one merge of the list with itself.
    """
    n = keys.shape[0]
    counts = np.zeros(deltas.shape[0], np.int64)
    k = 0
    while k < deltas.shape[0]:
        length = run_length(deltas, k)
        p = 0
        for j in range(n):
            want = keys[j] + deltas[k]
            while p < n and keys[p] < want:
                p += 1
            if p == n:
                break
            q = p
            while q < n and keys[q] < want + length:
                counts[k + keys[q] - want] += 1
                q += 1
        k += length
    return counts


@numba.njit(cache=True)
def fill_shifted(keys, deltas, splits, source, target):
    """Write the pairs that :func:`count_shifted` counted: keys[source] == keys[target] + delta."""
    n = keys.shape[0]
    ends = splits[:-1].copy()
    k = 0
    while k < deltas.shape[0]:
        length = run_length(deltas, k)
        p = 0
        for j in range(n):
            want = keys[j] + deltas[k]
            while p < n and keys[p] < want:
                p += 1
            if p == n:
                break
            q = p
            while q < n and keys[q] < want + length:
                at = ends[k + keys[q] - want]
                source[at] = q
                target[at] = j
                ends[k + keys[q] - want] += 1
                q += 1
        k += length


@numba.njit(cache=True)
def mirror_shifted(splits, source, target):
    """Behind the pairs of k deltas write those of zero, and of the opposite deltas in opposite order."""
    half = (splits.shape[0] - 1) // 2
    for j in range(splits[half + 1] - splits[half]):
        source[splits[half] + j] = j
        target[splits[half] + j] = j
    for k in range(half):
        behind = splits[2 * half - k] - splits[k]
        for p in range(splits[k], splits[k + 1]):
            source[behind + p] = target[p]
            target[behind + p] = source[p]


@numba.njit(cache=True)
def find(parent, i):
    """Root of ``i`` in a union-find forest, halving the path on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(cache=True)
def unite(parent, a, b):
    """Join two trees; the smaller index becomes the root, so roots do not depend on the edge order."""
    a = find(parent, a)
    b = find(parent, b)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@numba.njit(cache=True)
def component_labels(n, first, second):
    """Label the connected components of n nodes under the edges (first[e], second[e]).

    Labels count from 0 in the order in which a component's smallest node appears.
    """
    parent = np.arange(n)
    for e in range(first.shape[0]):
        unite(parent, first[e], second[e])
    labels = np.empty(n, np.int64)
    k = 0
    for i in range(n):
        root = find(parent, i)
        if root == i:
            labels[i] = k
            k += 1
        else:
            labels[i] = labels[root]
    return labels
