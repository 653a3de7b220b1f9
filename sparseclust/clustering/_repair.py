"""Repairs of predicted clusters by the connectivity of their voxels."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust._voxels import component_labels
from sparseclust.clustering import _validate as check
from sparseclust.clustering._dispatch import Array, accepts_tensors
from sparseclust.clustering._neighbours import voxel_graph


@accepts_tensors
def split_disconnected(
    labels: Array, coords: Array, *, radius: float = 1.999, min_size: int = 1, group: Array | None = None
) -> npt.NDArray[Any]:
    """Split every cluster into its connected pieces.

    Parameters
    ----------
    labels : (n,) integers
        Cluster of each voxel; -1 is none and stays.
    coords : (n, ndim) integers
        Voxel indices of any sign.
    radius : float
        Voxels of one cluster at most this far apart (Euclidean, in voxels) are connected.
    min_size : int
        Pieces of fewer voxels get -1.
    group : (n,) integers, optional
        Any ids, for example of the event; needed where labels repeat from event to event.

    Returns
    -------
    labels : (n,) int64
        -1, or a number counted from 0 in order of first appearance.

    Raises
    ------
    ValueError, TypeError
        As :func:`neighbour_edges`, and if ``labels`` are no integers or ``min_size`` is below 1.

    Notes
    -----
    Linear after one sort.

    Examples
    --------
    >>> from sparseclust.clustering import split_disconnected
    >>> split_disconnected([4, 4, 4, -1, 7], [[0], [1], [9], [2], [10]]).tolist()
    [0, 0, 1, -1, 2]
    """
    rows = check.coordinate_rows(coords)
    given = check.integer_rows("labels", labels, len(rows))
    within = check.distance("radius", radius)
    smallest = check.count("min_size", min_size)
    in_group, _ = check.dense_groups(group, len(rows))
    cluster, ids = check.dense_groups(given, len(rows), name="labels")
    kept = given != -1
    graph = voxel_graph(rows[kept], within, (in_group * len(ids) + cluster)[kept])
    piece = component_labels(len(graph.rows), graph.pairs)[graph.voxel]
    large = np.bincount(piece) >= smallest
    result = np.full(len(rows), -1, np.int64)
    result[kept] = np.where(large, np.cumsum(large) - 1, -1)[piece]
    return result
