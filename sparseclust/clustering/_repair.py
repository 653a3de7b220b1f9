"""Repairs of predicted clusters by the connectivity of their voxels. Each works on its own; -1 stays -1."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust._voxels import component_labels
from sparseclust.clustering import _validate as check
from sparseclust.clustering._dispatch import Array, accepts_tensors
from sparseclust.clustering._neighbours import voxel_graph
from sparseclust.clustering._touching import (
    Kernels,
    largest_exponent,
    relabel,
    touching_clusters,
    unique_pairs,
)
from sparseclust.clustering._validate import IntArray


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


@accepts_tensors
def absorb_fragments(
    labels: Array,
    coords: Array,
    embeddings: Array,
    margins: Array,
    *,
    min_size: int = 5,
    radius: float = 1.999,
    group: Array | None = None,
) -> npt.NDArray[Any]:
    """Give every tiny cluster to the larger one that it touches and whose kernel is largest there.

    Parameters
    ----------
    labels : (n,) integers
        Cluster of each voxel; -1 is none, stays, and touches nothing.
    coords : (n, ndim) integers
        Voxel indices of any sign.
    embeddings : (n, d) float
    margins : (n,), (n, 1) or (n, d) float
    min_size : int
        Clusters of fewer voxels are fragments; only clusters that are none take fragments.
    radius : float
        Two clusters touch where voxels of theirs are at most this far apart (Euclidean, in voxels).
    group : (n,) integers, optional
        Any ids, for example of (event, class). Nothing crosses a group, and equal labels in two groups are
        two clusters.

    Returns
    -------
    labels : (n,) int64
        -1, or a number counted from 0 in order of first appearance.

    Raises
    ------
    ValueError, TypeError
        As :func:`neighbour_edges` and :func:`cluster_embeddings`, and if ``labels`` are no integers.

    Notes
    -----
    A cluster's kernel has the mean embedding of its members as centre ``mu`` and their mean margin as width
    ``sigma``, as in the loss. A fragment joins the cluster of smallest ``|mu_fragment - mu|^2 / sigma^2``, of
    equal ones that of smallest (group, label). A fragment that touches none chooses in the next round, among
    the clusters that its neighbours joined, and so on; the kernels stay those of the clusters as given. A
    fragment with no way to a large cluster stays as it is. Costs one sort of the voxels, then one of the
    touching pairs per round.

    Examples
    --------
    >>> from sparseclust.clustering import absorb_fragments
    >>> coords, embeddings = [[0], [1], [2], [3], [9]], [[0.0], [0.0], [0.2], [1.0], [1.0]]
    >>> absorb_fragments([0, 0, 1, 2, 2], coords, embeddings, [0.3] * 5, min_size=2).tolist()
    [0, 0, 0, 1, 1]
    """
    smallest = check.count("min_size", min_size)
    graph = touching_clusters(labels, coords, embeddings, margins, radius=radius, group=group)
    large = graph.kernels.size >= smallest
    return relabel(graph.cluster, _absorbed(graph.pairs, graph.kernels, large))


@accepts_tensors
def merge_touching(
    labels: Array,
    coords: Array,
    embeddings: Array,
    margins: Array,
    *,
    affinity: float = 0.3,
    radius: float = 1.999,
    group: Array | None = None,
) -> npt.NDArray[Any]:
    """Join touching clusters whose kernels overlap, the best pairs first.

    Parameters
    ----------
    labels, coords, embeddings, margins, radius, group
        As in :func:`absorb_fragments`.
    affinity : float
        Overlap, strictly between 0 and 1, from which two clusters are one.

    Returns
    -------
    labels : (n,) int64
        -1, or a number counted from 0 in order of first appearance.

    Raises
    ------
    ValueError, TypeError
        As :func:`absorb_fragments`, and if ``affinity`` is out of range.

    Notes
    -----
    The overlap of two kernels is ``exp(-|mu_a - mu_b|^2 / 2 (sigma_a^2 + sigma_b^2))``: the integral of their
    product, as a part of what it is for equal centres. In each round every two clusters that overlap each
    other more than either overlaps any third cluster become one (of equal overlaps the pair of smaller
    labels counts as larger), with the mean over all their members as kernel, until no touching pair reaches
    ``affinity``. Costs one sort of the voxels, then one of the touching pairs per round, of which there are
    about log2 of the largest number of clusters that become one; more when they line up in falling overlap.

    Examples
    --------
    >>> from sparseclust.clustering import merge_touching
    >>> coords, embeddings = [[0], [1], [2], [9]], [[0.0], [0.1], [1.0], [1.0]]
    >>> merge_touching([0, 1, 2, 3], coords, embeddings, [0.2] * 4, affinity=0.5).tolist()
    [0, 0, 1, 2]
    """
    limit = largest_exponent(check.open_unit("affinity", affinity))
    graph = touching_clusters(labels, coords, embeddings, margins, radius=radius, group=group)
    return relabel(graph.cluster, _merged(graph.pairs, graph.kernels, limit))


@accepts_tensors
def refine(
    labels: Array,
    coords: Array,
    embeddings: Array,
    margins: Array,
    *,
    min_size: int = 5,
    affinity: float = 0.3,
    radius: float = 1.999,
    group: Array | None = None,
) -> npt.NDArray[Any]:
    """Repair clusters: split what is disconnected, absorb fragments, merge what touches and overlaps.

    Parameters
    ----------
    labels, coords, embeddings, margins, min_size, affinity, radius, group
        As in :func:`split_disconnected`, :func:`absorb_fragments` and :func:`merge_touching`, which are
        applied in this order.

    Returns
    -------
    labels : (n,) int64
        -1, or a number counted from 0 in order of first appearance.

    Raises
    ------
    ValueError, TypeError
        As the three functions.

    Notes
    -----
    Meant for the clusters of :func:`cluster_embeddings`, whose balls ignore where voxels lie;
    ``sparseclust.pipeline.Predictor(refine=True)`` applies it. Only for instances without gaps. Order and
    defaults are those that ``benchmarks/bench_repairs.py`` found best over usual and crowded simulated events
    taken together. A smaller ``affinity`` mends more showers and lone tracks, a larger one keeps more of the
    tracks apart that meet at a vertex. The clusters of :class:`AffinityGraphClusterer` are connected by
    construction and need none of it.

    Examples
    --------
    >>> from sparseclust.clustering import refine
    >>> coords, embeddings = [[0], [1], [2], [9]], [[0.0], [0.1], [0.0], [0.0]]
    >>> refine([0, 1, 0, 0], coords, embeddings, [0.2] * 4).tolist()
    [0, 0, 0, 1]
    """
    check.count("min_size", min_size)
    check.open_unit("affinity", affinity)
    options: dict[str, Any] = {"radius": radius, "group": group}
    pieces = split_disconnected(labels, coords, **options)
    pieces = absorb_fragments(pieces, coords, embeddings, margins, min_size=min_size, **options)
    merged: npt.NDArray[Any] = merge_touching(
        pieces, coords, embeddings, margins, affinity=affinity, **options
    )
    return merged


def _absorbed(pairs: IntArray, kernels: Kernels, large: npt.NDArray[np.bool_]) -> IntArray:
    """Where each cluster goes: itself, or the large cluster that takes it."""
    target = np.where(large, np.arange(len(large)), -1)
    fragment, other = np.concatenate([pairs, pairs[::-1]], axis=1)
    while True:
        reached = (target[fragment] < 0) & (target[other] >= 0)
        if not reached.any():
            return np.where(target < 0, np.arange(len(target)), target)
        at, host = fragment[reached], target[other[reached]]
        order = np.lexsort((host, kernels.exponent(at, host, both=False), at))
        best = order[np.unique(at[order], return_index=True)[1]]
        target[at[best]] = host[best]


def _merged(pairs: IntArray, kernels: Kernels, limit: float) -> IntArray:
    """Where each cluster goes: the smallest number among those it becomes one with."""
    k = len(kernels.size)
    target = np.arange(k)
    while True:
        exponent = kernels.exponent(pairs[0], pairs[1], both=True)
        overlap = np.flatnonzero(exponent <= limit)
        if len(overlap) == 0:
            return target
        low, high = pairs[:, overlap[np.argsort(exponent[overlap], kind="stable")]]
        rank = np.arange(len(overlap))
        best = np.full(k, len(overlap))
        np.minimum.at(best, low, rank)
        np.minimum.at(best, high, rank)
        mutual = (best[low] == rank) & (best[high] == rank)
        for summed in kernels:
            summed[low[mutual]] += summed[high[mutual]]
        step = np.arange(k)
        step[high[mutual]] = low[mutual]
        target = step[target]
        pairs = unique_pairs(step[pairs[0]], step[pairs[1]], k)
