"""Neighbours, connected components and DBSCAN of voxels, by sweeps over sorted keys."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust._voxels import component_labels, offsets_within, pack_keys
from sparseclust.clustering import _kernels_edges
from sparseclust.clustering import _validate as check
from sparseclust.clustering._dispatch import Array, accepts_tensors
from sparseclust.clustering._validate import IntArray


class VoxelGraph(NamedTuple):
    """Distinct voxels of each group, numbered by first appearance, and the pairs of them that are neighbours.

    Attributes
    ----------
    voxel : (n,) int64
        Voxel of each row; rows with equal coordinates and group share one.
    rows : (u,) int64
        How many rows each voxel has.
    pairs : (2, m) int64
        Neighbouring voxels, each pair once.
    """

    voxel: IntArray
    rows: IntArray
    pairs: IntArray


def voxel_graph(coords: IntArray, radius: float, group: IntArray) -> VoxelGraph:
    """Find the neighbouring voxels inside each group; ``group`` counts from 0."""
    keys, steps = voxel_keys(coords, radius, group)
    if _rises(keys):
        return VoxelGraph(np.arange(len(keys)), np.ones(len(keys), np.int64), close_pairs(keys, steps))
    distinct, first, voxel, count = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    by_appearance = np.argsort(first)
    number = np.empty(len(first), np.int64)
    number[by_appearance] = np.arange(len(first))
    return VoxelGraph(number[voxel.reshape(-1)], count[by_appearance], number[close_pairs(distinct, steps)])


@accepts_tensors
def neighbour_edges(
    coords: Array, *, radius: float = 1.999, k: int | None = None, group: Array | None = None
) -> npt.NDArray[Any]:
    """Pairs of rows whose voxels are at most ``radius`` apart.

    Parameters
    ----------
    coords : (n, ndim) integers
        Voxel indices of any sign. Rows with equal coordinates are neighbours too.
    radius : float
        Largest Euclidean distance in voxels. The default joins the 26 voxels around one in 3D.
    k : int, optional
        Keep only edges from a row to one of the ``k`` nearest of those neighbours, seen from either end; the
        smaller row on ties. A row may so keep more than ``k`` edges.
    group : (n,) integers, optional
        Any ids, for example of the event. No edge crosses a group.

    Returns
    -------
    edges : (2, m) int64
        Each pair once, ``edges[0] < edges[1]``, sorted by ``edges[0]``, then ``edges[1]``.

    Raises
    ------
    ValueError
        If ``coords`` has no rows of whole numbers, ``radius`` is negative, ``k`` below 1, or the coordinates
        span more cells than a 64-bit key can number.
    TypeError
        If ``group`` has no integers.

    Notes
    -----
    One sort, then two sweeps over the sorted voxels (one counts, one writes), with one pair of pointers for
    each line of voxels along the last axis that the ball of the radius holds. Rows in the order of their
    coordinates are not sorted again, nor are their edges.

    Examples
    --------
    >>> from sparseclust.clustering import neighbour_edges
    >>> neighbour_edges([[0, 0], [5, 5], [1, 1], [0, 1]]).tolist()
    [[0, 0, 2], [2, 3, 3]]
    >>> neighbour_edges([[0], [1], [3], [9]], radius=5, k=1).tolist()
    [[0, 1], [1, 2]]
    """
    rows = check.coordinate_rows(coords)
    nearest = None if k is None else check.count("k", k)
    keys, steps = voxel_keys(rows, check.distance("radius", radius), check.dense_groups(group, len(rows))[0])
    if _rises(keys):
        edges = close_pairs(keys, steps)
    else:
        order = np.argsort(keys, kind="stable")
        edges = _sorted_edges(order[close_pairs(keys[order], steps)], len(rows))
    return edges if nearest is None else edges[:, _kernels_edges.among_nearest(rows, *edges, nearest)]


@accepts_tensors
def connected_components(
    coords: Array, *, radius: float = 1.999, group: Array | None = None
) -> npt.NDArray[Any]:
    """Label the connected pieces of a set of voxels.

    Parameters
    ----------
    coords : (n, ndim) integers
        Voxel indices of any sign.
    radius : float
        Voxels at most this far apart (Euclidean, in voxels) are connected.
    group : (n,) integers, optional
        Any ids, for example of the event. Nothing is connected across groups.

    Returns
    -------
    labels : (n,) int64
        Counted from 0 in order of first appearance.

    Raises
    ------
    ValueError, TypeError
        As :func:`neighbour_edges`.

    Notes
    -----
    Linear after one sort.

    Examples
    --------
    >>> from sparseclust.clustering import connected_components
    >>> connected_components([[0, 0], [5, 5], [1, 1], [0, 1]]).tolist()
    [0, 1, 0, 0]
    """
    rows = check.coordinate_rows(coords)
    graph = voxel_graph(rows, check.distance("radius", radius), check.dense_groups(group, len(rows))[0])
    return component_labels(len(graph.rows), graph.pairs)[graph.voxel]


@accepts_tensors
def dbscan_voxels(
    coords: Array, *, eps: float = 1.999, min_samples: int = 1, group: Array | None = None
) -> npt.NDArray[Any]:
    """DBSCAN of voxels: the classical baseline.

    Parameters
    ----------
    coords : (n, ndim) integers
        Voxel indices of any sign; rows with equal coordinates all count.
    eps : float
        Largest Euclidean distance between neighbours, in voxels.
    min_samples : int
        Rows within ``eps`` of a row, itself included, that make it a core row. With 1 every row is one, and
        the result that of :func:`connected_components`.
    group : (n,) integers, optional
        Any ids, for example of (event, class). Nothing crosses a group.

    Returns
    -------
    labels : (n,) int64
        -1 for noise; clusters counted from 0 in the order of their first core rows. A border row, which may
        be near several clusters, joins the lowest label. Without groups this is scikit-learn's labelling,
        number by number, apart from its rounding where a distance is exactly ``eps``.

    Raises
    ------
    ValueError, TypeError
        As :func:`neighbour_edges`, and if ``min_samples`` is below 1.

    Notes
    -----
    Linear after one sort; memory in proportion to the pairs of neighbours.

    References
    ----------
    Ester et al., KDD 1996.

    Examples
    --------
    >>> from sparseclust.clustering import dbscan_voxels
    >>> dbscan_voxels([[0], [1], [2], [9]], min_samples=2).tolist()
    [0, 0, 0, -1]
    """
    rows = check.coordinate_rows(coords)
    needed = check.count("min_samples", min_samples)
    graph = voxel_graph(rows, check.distance("eps", eps), check.dense_groups(group, len(rows))[0])
    return _dbscan(graph, needed)[graph.voxel]


def _dbscan(graph: VoxelGraph, min_samples: int) -> IntArray:
    """DBSCAN label of each voxel."""
    n = len(graph.rows)
    i, j = graph.pairs
    near = graph.rows.copy()
    np.add.at(near, i, graph.rows[j])
    np.add.at(near, j, graph.rows[i])
    core = near >= min_samples
    component = component_labels(n, graph.pairs[:, core[i] & core[j]])
    # Components are numbered by first appearance; counting only those of core voxels keeps that order.
    with_core = np.zeros(n, bool)
    with_core[component[core]] = True
    labels = np.where(core, (np.cumsum(with_core) - 1)[component], n)
    for border, inner in ((i, j), (j, i)):
        edge = ~core[border] & core[inner]
        np.minimum.at(labels, border[edge], labels[inner[edge]])
    return np.where(labels < n, labels, -1)


def voxel_keys(coords: IntArray, radius: float, group: IntArray) -> tuple[IntArray, IntArray]:
    """Keys of the rows, and by how much the key of a neighbour may be larger: rising, 0 among them."""
    keys, weights = pack_keys(np.column_stack([group, coords]), pad=int(radius))
    # Of each pair of opposite offsets the list holds the one that makes keys smaller, the longest step first.
    steps = -(offsets_within(radius, coords.shape[1]) @ weights[1:])
    return keys, np.append(steps, 0)[::-1]


def _step_intervals(steps: IntArray) -> tuple[IntArray, IntArray]:
    """First and last of each run of consecutive steps."""
    gaps = np.flatnonzero(np.diff(steps) != 1)
    return steps[np.append(0, gaps + 1)], steps[np.append(gaps, len(steps) - 1)]


def _rises(keys: IntArray) -> bool:
    return bool((keys[1:] > keys[:-1]).all())


def close_pairs(keys: IntArray, steps: IntArray, label: IntArray | None = None) -> IntArray:
    """Pairs ``a < b``, sorted, of sorted keys that differ by one of the steps, and in their label: (2, m)."""
    low, high = _step_intervals(steps)
    # Between labels there are few pairs as a rule, and then one sweep finds their number as well.
    room = len(keys) if label is not None else _kernels_edges.count_neighbours(keys, low, high)
    pairs = np.empty((2, room), np.int64)
    n = _kernels_edges.fill_neighbours(keys, low, high, label, *pairs)
    if n > room:
        pairs = np.empty((2, n), np.int64)
        _kernels_edges.fill_neighbours(keys, low, high, label, *pairs)
    return pairs[:, :n]


def _sorted_edges(edges: IntArray, n: int) -> IntArray:
    """Turn each edge to its smaller row, and sort the edges: both rows in one integer of twice their bits."""
    bits = n.bit_length()
    packed = np.sort((edges.min(axis=0) << bits) | edges.max(axis=0))
    return np.stack([packed >> bits, packed & ((1 << bits) - 1)])
