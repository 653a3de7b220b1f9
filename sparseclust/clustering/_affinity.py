"""Clusters from a graph of neighbouring voxels whose edges say how likely they join one instance."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from sparseclust._voxels import component_labels
from sparseclust.clustering import _kernels_edges
from sparseclust.clustering import _validate as check
from sparseclust.clustering._dispatch import Array, accepts_tensors
from sparseclust.clustering._parameters import Parameters, per_class
from sparseclust.clustering._validate import FloatArray, IntArray

Linkage = Literal["single", "additive"]


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
    threshold : float or mapping of int to float
        Edges of at least this affinity are for joining their two ends, weaker ones against it. One value, or
        one per semantic class.
    min_size : int or mapping of int to int
        Pieces of fewer rows are absorbed by the neighbour to which their strongest edge leads, however weak
        it is; a small piece without edges stays. With 1 nothing is absorbed.
    linkage : {"single", "additive"}
        "single": one edge for it joins two pieces. "additive": all edges between two pieces have a say, by
        their log-odds ``log(p / (1 - p))`` beyond those of the threshold; the two pieces with the largest sum
        join, again and again, while it is not negative. Affinities are probabilities then.

    Attributes
    ----------
    labels_ : (n,) int64
        What :meth:`fit_predict` returned, as a NumPy array.

    Notes
    -----
    "single": first all edges that reach their threshold join, then the others are taken from the strongest to
    the weakest, equal ones in their given order, and join while one of the pieces at their ends is smaller
    than ``min_size``. With one ``min_size``, as pieces only grow, no permitted edge is left at the end. Costs
    a union-find, and a sort of the edges that lead from a small piece to another one.

    "additive" is greedy additive edge contraction, which looks for the multicut of least cost: one wrong edge
    among many right ones then joins nothing. m log^2 m at most. Probabilities count as at least 1e-6 and at
    most 1 - 1e-6. Small pieces are absorbed afterwards, as above.

    An edge between two classes has the higher of their thresholds, a piece the ``min_size`` of its first row.

    References
    ----------
    Keuper et al., ICCV 2015, 1505.06973 (additive).

    Examples
    --------
    >>> from sparseclust.clustering import AffinityGraphClusterer
    >>> edges = [[0, 1, 2, 3], [1, 2, 3, 4]]
    >>> AffinityGraphClusterer(min_size=2).fit_predict(edges, [0.9, 0.2, 0.3, 0.9], n=6).tolist()
    [0, 0, 1, 1, 1, 2]

    One edge of four says that two pairs of voxels belong together:

    >>> edges, affinity = [[0, 2, 0, 0, 1, 1], [1, 3, 2, 3, 2, 3]], [0.9, 0.9, 0.7, 0.1, 0.1, 0.1]
    >>> for linkage in ("single", "additive"):
    ...     clusterer = AffinityGraphClusterer(threshold=0.5, min_size=1, linkage=linkage)
    ...     print(clusterer.fit_predict(edges, affinity, n=4).tolist())
    [0, 0, 0, 0]
    [0, 0, 1, 1]
    """

    threshold: float | Mapping[int, float] = 0.8
    min_size: int | Mapping[int, int] = 8
    linkage: Linkage = "single"
    labels_: IntArray = dataclasses.field(init=False, repr=False)

    @accepts_tensors
    def fit_predict(
        self, edges: Array, affinity: Array, *, n: int, semantic: Array | None = None
    ) -> npt.NDArray[Any]:
        """Cluster the ``n`` rows of a graph.

        Parameters
        ----------
        edges : (2, m) integers
            Rows at the two ends of each edge, as from :func:`neighbour_edges`.
        affinity : (m,) float
            Larger means more likely one instance; usually probabilities.
        n : int
            Number of rows.
        semantic : (n,) integers, optional
            Class of each row, for parameters that are given per class. It cuts no edge.

        Returns
        -------
        labels : (n,) int64
            Counted from 0 in order of first appearance.

        Raises
        ------
        ValueError
            If an edge leads outside the rows, an affinity is NaN or, for "additive", no probability, shapes
            do not fit, a parameter is out of range, or has no value for a class that occurs.
        TypeError
            If edges or classes are no integers, or affinities no numbers.
        """
        check.choice("linkage", self.linkage, get_args(Linkage))
        rows = check.count("n", n, least=0)
        ends = check.edge_rows(edges, rows)
        strength = check.affinity_rows(affinity, ends.shape[1])
        kind, classes = check.dense_groups(semantic, rows, name="semantic")
        of_class = None if semantic is None else classes
        additive = self.linkage == "additive"
        limit = per_class(
            "threshold", self.threshold, of_class, check.open_unit if additive else check.not_nan
        )
        least = per_class("min_size", self.min_size, of_class, check.count).astype(np.int64)
        limits = limit[kind[ends]].max(axis=0)
        if additive:
            joined = contracted(rows, ends, strength, limits)
            strong = joined[ends[0]] == joined[ends[1]]
        else:
            strong = strength >= limits
        self.labels_ = _absorbed(component_labels(rows, ends[:, strong]), ends, strength, least[kind])
        return self.labels_


def _absorbed(piece: IntArray, edges: IntArray, affinity: FloatArray, min_size: IntArray) -> IntArray:
    """Label pieces after small ones have been absorbed; ``min_size`` (n,) as for the kernel."""
    size = np.bincount(piece)
    small = size < min_size.max(initial=1)
    first, second = piece[edges]
    # Two large pieces are never joined, so their edges, of which there are far more, need not be sorted.
    open_edges = np.flatnonzero((first != second) & (small[first] | small[second]))
    order = open_edges[np.argsort(-affinity[open_edges], kind="stable")]
    ends = np.stack([first[order], second[order]])
    joins = _kernels_edges.absorbing_edges(piece, size, min_size, ends[0], ends[1])
    return component_labels(len(size), ends[:, joins])[piece]


def contracted(n: int, edges: IntArray, affinity: FloatArray, threshold: Any) -> IntArray:
    """Row that stands for each row's piece after additive contraction."""
    p = check.probabilities("affinity", affinity)
    weight = logit(p) - logit(np.asarray(threshold, np.float64))
    return np.asarray(_kernels_edges.contract_edges(n, edges[0], edges[1], weight))


def logit(p: FloatArray) -> FloatArray:
    """Log-odds of probabilities, which count as at least 1e-6 away from 0 and 1."""
    inside = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))
