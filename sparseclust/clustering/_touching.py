"""Clusters of voxels as nodes of a graph: which ones touch, and the Gaussian kernel that describes each."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import _validate as check
from sparseclust.clustering._neighbours import voxel_graph
from sparseclust.clustering._validate import FloatArray, IntArray


class Kernels(NamedTuple):
    """Sums over the members of each cluster; their means are centre and width of its kernel.

    Attributes
    ----------
    size : (k,) float64
    x : (k, d) float64
        Summed embeddings.
    sigma : (k, 1) or (k, d) float64
        Summed margins.
    """

    size: FloatArray
    x: FloatArray
    sigma: FloatArray

    def exponent(self, at: IntArray, of: IntArray, *, both: bool) -> FloatArray:
        """``|mu_at - mu_of|^2 / sigma^2``, with the width of ``of``, or ``both`` widths in quadrature."""
        with np.errstate(all="ignore"):
            mu, sigma = self.x / self.size[:, None], self.sigma / self.size[:, None]
            step = mu[at] - mu[of]
            variance = sigma[of] ** 2 + (sigma[at] ** 2 if both else 0.0)
            terms = step * step / variance
        terms[np.isnan(terms)] = np.inf
        terms[np.broadcast_to(step == 0, terms.shape)] = 0.0
        total = np.zeros(len(at))
        for k in range(terms.shape[1]):
            total += terms[:, k]
        return total


class Touching(NamedTuple):
    """Checked labels as a graph of clusters.

    Attributes
    ----------
    cluster : (n,) int64
        Cluster of each voxel, counted from 0 over all groups; -1 is none.
    pairs : (2, m) int64
        Clusters of one group that touch, ``pairs[0] < pairs[1]``, sorted.
    kernels : Kernels
    """

    cluster: IntArray
    pairs: IntArray
    kernels: Kernels


def touching_clusters(
    labels: Any, coords: Any, embeddings: Any, margins: Any, *, radius: float, group: Any
) -> Touching:
    """Check the arguments that all repairs share, and build the graph."""
    rows = check.coordinate_rows(coords)
    n = len(rows)
    given = check.integer_rows("labels", labels, n)
    x = check.embedding_rows(embeddings)
    if len(x) != n:
        raise ValueError(f"embeddings must have one row per voxel, {n}, got {len(x)}")
    sigma = check.margin_rows(margins, *x.shape)
    within = check.distance("radius", radius)
    in_group, _ = check.dense_groups(group, n)
    number, ids = check.dense_groups(given, n, name="labels")
    kept = given != -1
    cluster = np.full(n, -1, np.int64)
    distinct, cluster[kept] = np.unique((in_group * max(len(ids), 1) + number)[kept], return_inverse=True)
    return Touching(
        cluster,
        _touching_pairs(rows[kept], cluster[kept], in_group[kept], within),
        _kernels(cluster[kept], x[kept], sigma[kept], len(distinct)),
    )


def relabel(cluster: IntArray, target: IntArray) -> IntArray:
    """Cluster of each voxel after ``target`` says where each one goes, counted by first appearance."""
    result = np.full(len(cluster), -1, np.int64)
    kept = cluster >= 0
    _, first, number = np.unique(target[cluster[kept]], return_index=True, return_inverse=True)
    result[kept] = np.argsort(np.argsort(first))[number]
    return result


def largest_exponent(kernel: float) -> float:
    """Exponent at which a kernel has this value."""
    return -2.0 * math.log(kernel)


def _touching_pairs(rows: IntArray, cluster: IntArray, group: IntArray, radius: float) -> IntArray:
    """Pairs of clusters with neighbouring voxels; a voxel listed twice may belong to two that touch."""
    graph = voxel_graph(rows, radius, group)
    k = int(cluster.max(initial=0)) + 1
    # Distinct clusters of each voxel, sorted by voxel: almost always one.
    voxel, member = np.divmod(np.unique(graph.voxel * k + cluster), k)
    start = np.searchsorted(voxel, np.arange(len(graph.rows) + 1))
    itself = np.flatnonzero(np.diff(start) > 1)
    a, b = np.concatenate([graph.pairs, np.stack([itself, itself])], axis=1)
    count = np.diff(start)
    times = count[a] * count[b]
    pair = np.repeat(np.arange(len(a)), times)
    step = np.arange(len(pair)) - np.repeat(np.cumsum(times) - times, times)
    first = member[start[a[pair]] + step // count[b[pair]]]
    second = member[start[b[pair]] + step % count[b[pair]]]
    return unique_pairs(first, second, k)


def unique_pairs(first: IntArray, second: IntArray, k: int) -> IntArray:
    """Unordered pairs of different clusters, each once, sorted: (2, m)."""
    apart = first != second
    low, high = np.minimum(first, second)[apart], np.maximum(first, second)[apart]
    pairs: IntArray = np.stack(np.divmod(np.unique(low * max(k, 1) + high), max(k, 1)))
    return pairs


def _kernels(cluster: IntArray, x: FloatArray, sigma: FloatArray, k: int) -> Kernels:
    def summed(values: npt.NDArray[Any]) -> FloatArray:
        columns = [np.bincount(cluster, weights=column, minlength=k) for column in values.T]
        return np.stack(columns, axis=1)

    return Kernels(np.bincount(cluster, minlength=k).astype(np.float64), summed(x), summed(sigma))
