"""Clusters at a whole grid of thresholds, for those who look for the best ones."""

import math
from typing import get_args

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import _kernels_scan
from sparseclust.clustering import _validate as check
from sparseclust.clustering._affinity import Linkage, contracted
from sparseclust.clustering._validate import FloatArray, IntArray

# Thresholds that one pass can tell apart: bits of a word.
_BITS = 64


def scan_kernels(
    embeddings: npt.ArrayLike,
    margins: npt.ArrayLike,
    seediness: npt.ArrayLike,
    *,
    kernel_thresholds: npt.ArrayLike,
    seed_threshold: float = 0.0,
    group: npt.ArrayLike | None = None,
    min_size: int = 1,
) -> IntArray:
    """Find the greedy clusters of :func:`cluster_embeddings` at several kernel thresholds in one search.

    Parameters
    ----------
    embeddings, margins, seediness, group, min_size
        As in :func:`cluster_embeddings`, with ``assignment="greedy"`` and ``leftover="noise"``.
    kernel_thresholds : (k,) float
        Values ``p0``, each strictly between 0 and 1.
    seed_threshold : float
        Smallest seediness ``s0`` of a seed. A higher one only ends the search for seeds earlier: its clusters
        are those returned here whose seeds reach it.

    Returns
    -------
    seeds : (k, n) int64
        Row of the seed of each point's cluster at each threshold, or -1.

    Raises
    ------
    ValueError, TypeError
        As :func:`cluster_embeddings`.

    Notes
    -----
    Candidates come in one order whatever ``p0``, and a point remembers at which thresholds it is covered. A
    candidate searches its ball once, with the smallest ``p0`` at which nothing covers it; every point inside
    takes the thresholds whose ball holds it too and at which both are free. There is no list of neighbours:
    beside the result, a few words per point.

    Examples
    --------
    >>> from sparseclust.clustering import scan_kernels
    >>> scan_kernels([[0.0], [0.1], [0.2]], [0.1] * 3, [0.9, 0.8, 0.7], kernel_thresholds=[0.1, 0.5]).tolist()
    [[0, 0, 0], [0, 0, 2]]
    """
    x = check.embedding_rows(embeddings)
    sigma = check.margin_rows(margins, *x.shape)
    score = check.seediness_rows(seediness, len(x))
    in_group, ids = check.dense_groups(group, len(x))
    smallest = check.count("min_size", min_size)
    s0 = check.not_nan("seed_threshold", seed_threshold)
    p0 = np.array([check.open_unit("kernel_thresholds", float(p)) for p in np.ravel(kernel_thresholds)])
    with np.errstate(over="ignore", under="ignore"):
        variance = sigma * sigma
    order = np.lexsort((-score, in_group))
    eligible = score >= score.dtype.type(s0)
    splits = np.searchsorted(in_group[order], np.arange(len(ids) + 1))
    candidates = np.bincount(in_group[eligible], minlength=len(ids))
    rising = np.argsort(p0, kind="stable")
    seeds = np.empty((len(p0), len(x)), np.int64)
    for block in np.split(rising, range(_BITS, len(p0), _BITS)) if len(p0) else ():
        exponents = np.array([-2.0 * math.log(p) for p in p0[block]])
        seeds[block] = _kernels_scan.seeds_of_groups(x, variance, order, splits, candidates, exponents)
    return seeds if smallest == 1 else _dissolved(seeds, smallest)


def scan_affinities(
    edges: npt.ArrayLike,
    affinity: npt.ArrayLike,
    *,
    n: int,
    thresholds: npt.ArrayLike,
    min_sizes: npt.ArrayLike = (8,),
    linkage: Linkage = "single",
) -> IntArray:
    """Find the clusters of :class:`AffinityGraphClusterer` at several thresholds and sizes.

    Parameters
    ----------
    edges, affinity, n
        As in :meth:`AffinityGraphClusterer.fit_predict`.
    thresholds : (t,) float
        Affinities from which an edge joins.
    min_sizes : (m,) integers
        Sizes below which a piece is absorbed.
    linkage : {"single", "additive"}
        As for the clusterer.

    Returns
    -------
    pieces : (t, m, n) int64
        First row of each row's cluster.

    Raises
    ------
    ValueError, TypeError
        As :meth:`AffinityGraphClusterer.fit_predict`.

    Notes
    -----
    From the strongest edge to the weakest, those above a threshold join whatever the smallest size. So one
    union-find serves all thresholds, and at each of them the absorption of small pieces starts from a copy of
    it, over the edges that it left between two pieces. With "additive" there is one contraction per
    threshold.

    Examples
    --------
    >>> from sparseclust.clustering import scan_affinities
    >>> scan_affinities([[0, 1], [1, 2]], [0.9, 0.4], n=3, thresholds=[0.3, 0.5], min_sizes=[1, 2]).tolist()
    [[[0, 0, 0], [0, 0, 0]], [[0, 0, 2], [0, 0, 0]]]
    """
    rows = check.count("n", n, least=0)
    ends = check.edge_rows(edges, rows)
    strength = check.affinity_rows(affinity, ends.shape[1])
    additive = check.choice("linkage", linkage, get_args(Linkage)) == "additive"
    checked = check.open_unit if additive else check.not_nan
    limits = np.array([checked("thresholds", float(t)) for t in np.ravel(thresholds)])
    sizes = np.array([check.count("min_sizes", m) for m in np.ravel(min_sizes).tolist()], np.int64)
    if additive:
        alone = [_additive_pieces(rows, ends, strength, t, sizes) for t in limits]
        return np.concatenate(alone) if alone else np.empty((0, len(sizes), rows), np.int64)
    order = np.argsort(-strength, kind="stable")
    strong = np.searchsorted(-strength[order], -limits, side="right")
    falling = np.argsort(strong, kind="stable")
    pieces = np.empty((len(limits), len(sizes), rows), np.int64)
    pieces[falling] = _kernels_scan.pieces_of_graph(
        rows, ends[0, order], ends[1, order], strong[falling], sizes
    )
    return pieces


def _additive_pieces(
    n: int, edges: IntArray, affinity: FloatArray, threshold: float, sizes: IntArray
) -> IntArray:
    """Pieces at one threshold: (1, m, n)."""
    piece = contracted(n, edges, affinity, threshold)
    within = piece[edges[0]] == piece[edges[1]]
    order, strong = np.lexsort((-affinity, ~within)), np.array([np.count_nonzero(within)])
    return np.asarray(_kernels_scan.pieces_of_graph(n, edges[0, order], edges[1, order], strong, sizes))


def _dissolved(seeds: IntArray, min_size: int) -> IntArray:
    """Take away the clusters below ``min_size`` at each threshold."""
    k, n = seeds.shape
    row, point = np.nonzero(seeds >= 0)
    cluster = row * n + seeds[row, point]
    small = np.bincount(cluster, minlength=k * n)[cluster] < min_size
    seeds[row[small], point[small]] = -1
    return seeds
