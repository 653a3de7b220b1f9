# mypy: ignore-errors
# Compiled by numba, whose decorators carry no types.
"""Compiled loops: the leaves of decision trees."""

import numba


@numba.njit(cache=True, nogil=True)
def add_leaves(rows, kinds, feature, value, child, root, kind, out):
    """Add to ``out`` (m,) the value of the leaf to which each of ``rows`` (m, k) comes, in each of its trees.

    The trees of a row are those of its kind: ``kinds`` (m,) of the rows, ``kind`` (t,) of the trees.
    """
    for tree in range(root.shape[0]):
        for row in range(rows.shape[0]):
            if kinds[row] != kind[tree]:
                continue
            node = root[tree]
            while feature[node] >= 0:
                node = child[node] + (rows[row, feature[node]] > value[node])
            out[row] += value[node]
