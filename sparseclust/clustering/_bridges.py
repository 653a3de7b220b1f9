"""The shortest edges between pieces that do not touch."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import _validate as check
from sparseclust.clustering._dispatch import Array, accepts_tensors
from sparseclust.clustering._neighbours import close_pairs, voxel_keys
from sparseclust.clustering._validate import IntArray


@accepts_tensors
def bridge_edges(
    coords: Array, labels: Array, *, radius: float = 6.0, group: Array | None = None
) -> npt.NDArray[Any]:
    """Closest pair of rows of each two pieces that are at most ``radius`` apart.

    A particle may be in several pieces, where its voxels fall below threshold or belong to another one.
    Bridges are the edges along which such pieces can be joined.

    Parameters
    ----------
    coords : (n, ndim) integers
        Voxel indices of any sign.
    labels : (n,) integers
        Piece of each row, for example of :func:`connected_components`; -1 is in none.
    radius : float
        Largest Euclidean distance of the two rows, in voxels.
    group : (n,) integers, optional
        Any ids, for example of the event. No bridge crosses a group, and equal labels in two groups are two
        pieces.

    Returns
    -------
    edges : (2, m) int64
        One pair of rows per pair of pieces, ``edges[0] < edges[1]``, sorted by ``edges[0]``, then
        ``edges[1]``. Of several closest pairs the one that comes first in this order.

    Raises
    ------
    ValueError
        As :func:`neighbour_edges`, or if there is not one label per row.
    TypeError
        If ``labels`` or ``group`` have no integers.

    Notes
    -----
    Two sweeps as in :func:`neighbour_edges`; memory in proportion to the pairs of rows of different pieces
    within the radius.

    Examples
    --------
    >>> from sparseclust.clustering import bridge_edges, connected_components
    >>> coords = [[0], [1], [4], [5], [20]]
    >>> bridge_edges(coords, connected_components(coords)).tolist()
    [[1], [2]]
    """
    rows = check.coordinate_rows(coords)
    given = check.integer_rows("labels", labels, len(rows))
    within = check.distance("radius", radius)
    in_group, _ = check.dense_groups(group, len(rows))
    number, ids = check.dense_groups(given, len(rows), name="labels")
    piece = in_group * max(len(ids), 1) + number
    kept = np.flatnonzero(given != -1)
    keys, steps = voxel_keys(rows[kept], within, in_group[kept])
    order = np.argsort(keys, kind="stable")
    kept = kept[order]
    pairs = close_pairs(keys[order], steps, piece[kept])
    return _shortest(rows, piece, np.sort(kept[pairs], axis=0))


def _shortest(rows: IntArray, piece: IntArray, pairs: IntArray) -> IntArray:
    """Keep the shortest of the pairs that join the same two pieces."""
    first, second = pairs
    squared = np.square(rows[first] - rows[second]).sum(axis=1)
    ends = np.sort(piece[pairs], axis=0)
    order = np.lexsort((second, first, squared, *ends))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(ends[:, order], axis=1) != 0).any(axis=0)
    chosen = pairs[:, order[new]]
    return chosen[:, np.lexsort(chosen[::-1])]
