# mypy: ignore-errors
# Compiled by numba, whose decorators carry no types.
"""Compiled loops of the Lovasz hinge: the errors of each cluster in falling order."""

import math

import numba
import numpy as np

from sparseclust.losses._kernels import DISTANT, LN2


@numba.njit(cache=True, nogil=True)
def lovasz_pairs(
    embeddings, centroids, inverse, order, splits, first, count, weight, low, high,
    grad_embeddings, grad_centroids, grad_margins, cost,
):  # fmt: skip
    """Weighted Lovasz hinge of 2p - 1 of the clusters of the groups ``low`` to ``high``, and its gradients.

    Adds to the outputs, as ``mask_pairs`` of the other kernels does; computes in float64. Room for one group.
    """
    largest = 0
    for g in range(low, high):
        largest = max(largest, splits[first[g] + count[g] + g + 1] - splits[first[g] + g])
    error = np.empty(largest)
    position = np.empty(largest, np.int64)
    room = np.empty((4, largest), np.uint32)
    for g in range(low, high):
        start, stop = splits[first[g] + g], splits[first[g] + count[g] + g + 1]
        for k in range(first[g], first[g] + count[g]):
            own, end = splits[k + g], splits[k + g + 1]
            members = end - own
            least = 2.0
            for j in range(own, end):
                x = _exponent(embeddings, centroids, inverse, order[j], k)
                error[j - own] = -2.0 * math.expm1(-LN2 * x)
                position[j - own] = j
                least = min(least, error[j - own])
            # A foreign pair that comes after the last own one weighs nothing.
            reach = 1.0 - math.log2(least) if least > 2.0**-56 else DISTANT
            m = members
            for j in range(start, stop):
                if own <= j < end:
                    continue
                x = _exponent(embeddings, centroids, inverse, order[j], k)
                if not x > reach:
                    error[m] = 2.0 * math.exp(-LN2 * x)
                    position[m] = j
                    m += 1
            hits = 0
            union = members
            for r in _falling(error[:m], room):
                row = order[position[r]]
                if r < members:
                    step = weight[k] / union
                    slope = step * (2.0 - error[r])
                    hits += 1
                else:
                    step = weight[k] * (members - hits) / (union * (union + 1.0))
                    slope = -step * error[r]
                    union += 1
                cost[k] += step * error[r]
                for a in range(centroids.shape[1]):
                    distance = np.float64(embeddings[row, a]) - centroids[k, a]
                    gradient = slope * 2.0 * LN2 * inverse[k, a] * inverse[k, a] * distance
                    grad_embeddings[row, a] += gradient
                    grad_centroids[k, a] -= gradient
                    grad_margins[k, a] += gradient * distance


@numba.njit(cache=True, nogil=True)
def _exponent(embeddings, centroids, inverse, row, k):
    x = 0.0
    for a in range(centroids.shape[1]):
        distance = np.float64(embeddings[row, a]) - centroids[k, a]
        x += (distance * inverse[k, a]) ** 2
    return x


@numba.njit(cache=True, nogil=True)
def _falling(error, room):
    """Order of errors in [0, 2], the largest first; those within 2^-30 of one another count as equal.

    A radix sort by bytes in the (4, m) ``room``, where the result lies.
    """
    m = error.shape[0]
    key, order, next_key, next_order = room[0, :m], room[1, :m], room[2, :m], room[3, :m]
    starts = np.zeros((4, 257), np.int64)
    for i in range(m):
        key[i] = np.uint32((2.0 - error[i]) * 2.0**30)
        order[i] = i
        for byte in range(4):
            starts[byte, ((key[i] >> (8 * byte)) & 255) + 1] += 1
    for byte in range(4):
        for value in range(256):
            starts[byte, value + 1] += starts[byte, value]
        for i in range(m):
            value = (key[i] >> (8 * byte)) & 255
            place = starts[byte, value]
            starts[byte, value] += 1
            next_key[place], next_order[place] = key[i], order[i]
        key, order, next_key, next_order = next_key, next_order, key, order
    return order
