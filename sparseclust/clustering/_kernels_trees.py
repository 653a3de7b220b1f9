# mypy: ignore-errors
# Compiled by numba, whose decorators carry no types.
"""Compiled loops: the leaves of decision trees."""

import numba
import numpy as np

# One record per node, so that a step costs one access to memory: rows whose number in the column ``feature``
# is at most ``limit`` go on to the node ``step`` further, others to the next one. A leaf leads to itself.
NODE = np.dtype([("limit", np.float32), ("step", np.int32), ("feature", np.int16)], align=True)
# Trees that are walked side by side: one waits for memory while the others go on.
ABREAST = 8


@numba.njit(cache=True, nogil=True)
def add_leaves(rows, kinds, nodes, value, root, depth, splits, out):
    """Add to ``out`` (m,) the value of the leaf to which each of ``rows`` (m, k) comes, in each of its trees.

    ``rows`` are float32, as the limits of the nodes.
    The trees of a row are ``splits[kinds[row]]:splits[kinds[row] + 1]``, and ``depth`` (t,) the number of
    steps to the lowest leaf of each.
    """
    at = np.empty(ABREAST, np.int64)
    for i in range(rows.shape[0]):
        row, end = rows[i], splits[kinds[i] + 1]
        for begin in range(splits[kinds[i]], end, ABREAST):
            steps = 0
            for j in range(ABREAST):
                tree = min(begin + j, end - 1)
                at[j] = root[tree]
                steps = max(steps, depth[tree])
            for _ in range(steps):
                for j in range(ABREAST):  # no branch depends on a row, so none can be foretold wrongly
                    node = nodes[at[j]]
                    at[j] += node.step + (row[node.feature] > node.limit)
            for j in range(min(ABREAST, end - begin)):
                out[i] += value[at[j]]


@numba.njit(cache=True, nogil=True)
def steps_to_leaves(inner, child):
    """Count the steps from each node to the lowest leaf below it; children come after their parents."""
    steps = np.zeros(inner.shape[0], np.int64)
    for node in range(inner.shape[0] - 1, -1, -1):
        if inner[node]:
            steps[node] = 1 + max(steps[child[node]], steps[child[node] + 1])
    return steps
