"""Clusters from a graph of neighbouring voxels whose edges say how likely they join one instance."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust._voxels import component_labels
from sparseclust.clustering import _kernels_edges
from sparseclust.clustering import _validate as check
from sparseclust.clustering._dispatch import Array, accepts_tensors
from sparseclust.clustering._parameters import Parameters
from sparseclust.clustering._validate import IntArray


@accepts_tensors
def kernel_affinity(edges: Array, embeddings: Array, margins: Array) -> npt.NDArray[Any]:
    """Affinity of edges from the embeddings and margins of their ends, for :class:`AffinityGraphClusterer`.

    Parameters
    ----------
    edges : (2, m) integers
        Rows at the two ends of each edge, as from :func:`neighbour_edges`.
    embeddings : (n, d) float
    margins : (n,), (n, 1) or (n, d) float
        Width ``sigma`` of each point's kernel, in units of the embedding; with ``d`` columns per axis.

    Returns
    -------
    affinity : (m,) float64
        Overlap ``exp(-|e_a - e_b|^2 / 2 (sigma_a^2 + sigma_b^2))`` of the kernels of both ends: 1 for equal
        embeddings, also where both widths are zero, towards 0 far apart.

    Raises
    ------
    ValueError
        If an edge leads outside the rows, shapes do not fit, an embedding is not finite, or a margin is
        negative or NaN.
    TypeError
        If edges are no integers.

    Examples
    --------
    >>> from sparseclust.clustering import kernel_affinity
    >>> kernel_affinity([[0, 1], [1, 2]], [[0.0], [0.1], [1.0]], [0.1, 0.1, 0.1]).round(3).tolist()
    [0.779, 0.0]
    """
    x = check.embedding_rows(embeddings)
    sigma = check.margin_rows(margins, *x.shape)
    first, second = check.edge_rows(edges, len(x))
    apart = x[first] - x[second]
    variance = np.square(sigma[first]) + np.square(sigma[second])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exponent = np.where(apart == 0, 0.0, np.square(apart) / variance).sum(axis=1)
    return np.asarray(np.exp(-0.5 * exponent))


@dataclasses.dataclass(eq=False, kw_only=True)
class AffinityGraphClusterer(Parameters):
    """Join along strong edges, then absorb small pieces along their strongest edge.

    Parameters
    ----------
    threshold : float
        Edges of at least this affinity join their two ends.
    min_size : int
        Pieces of fewer rows are absorbed by the neighbour to which their strongest edge leads, however weak
        it is; a small piece without edges stays. With 1 nothing is absorbed.

    Attributes
    ----------
    labels_ : (n,) int64
        What :meth:`fit_predict` returned, as a NumPy array.

    Notes
    -----
    One pass over the edges from the strongest to the weakest, equal ones in their given order: an edge joins
    the pieces at its ends if it reaches the threshold, or if one of them is still smaller than ``min_size``.
    As pieces only grow, no permitted edge is left at the end. Costs one sort of the edges and a union-find.

    Examples
    --------
    >>> from sparseclust.clustering import AffinityGraphClusterer
    >>> edges = [[0, 1, 2, 3], [1, 2, 3, 4]]
    >>> AffinityGraphClusterer(min_size=2).fit_predict(edges, [0.9, 0.2, 0.3, 0.9], n=6).tolist()
    [0, 0, 1, 1, 1, 2]
    """

    threshold: float = 0.8
    min_size: int = 8
    labels_: IntArray = dataclasses.field(init=False, repr=False)

    @accepts_tensors
    def fit_predict(self, edges: Array, affinity: Array, *, n: int) -> npt.NDArray[Any]:
        """Cluster the ``n`` rows of a graph.

        Parameters
        ----------
        edges : (2, m) integers
            Rows at the two ends of each edge, as from :func:`neighbour_edges`.
        affinity : (m,) float
            Larger means more likely one instance; usually probabilities.
        n : int
            Number of rows.

        Returns
        -------
        labels : (n,) int64
            Counted from 0 in order of first appearance.

        Raises
        ------
        ValueError
            If an edge leads outside the rows, an affinity is NaN, shapes do not fit, or a parameter is out of
            range.
        TypeError
            If edges are no integers, or affinities no numbers.
        """
        threshold = check.not_nan("threshold", self.threshold)
        min_size = check.count("min_size", self.min_size)
        rows = check.count("n", n, least=0)
        ends = check.edge_rows(edges, rows)
        strength = check.affinity_rows(affinity, ends.shape[1])
        order = np.argsort(-strength, kind="stable")
        joins = _kernels_edges.joining_edges(rows, ends[0], ends[1], order, strength >= threshold, min_size)
        self.labels_ = component_labels(rows, ends[:, joins])
        return self.labels_
