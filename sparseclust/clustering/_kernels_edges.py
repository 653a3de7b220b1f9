"""Compiled loops: the joining of edges."""

import numba
import numpy as np

from sparseclust._voxels._kernels import find, unite


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
