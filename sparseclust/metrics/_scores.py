"""Scores of one pair of partitions. Every one of them is read off the overlap table."""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.metrics._contingency import Overlaps, lengths, tabulate
from sparseclust.metrics._labels import FloatArray, IntArray

# n (n - 1) / 2 pairs squared, twice, fit int64 up to this many points.
_LARGEST_INT64 = 2**16


class PartitionScores(NamedTuple):
    """Scores of a predicted partition against the true one; see the functions of the same names.

    Attributes
    ----------
    ari : float
        :func:`adjusted_rand_score`.
    purity, efficiency : float
        Means over clusters, :func:`purity` and :func:`efficiency`.
    sbd : float
        :func:`symmetric_best_dice`, the smaller of the next two.
    best_dice_true, best_dice_pred : float
        :func:`best_dice`, mean over the true and over the predicted clusters.
    n_true, n_pred, n_points : int
        Clusters and points.
    """

    ari: float
    purity: float
    efficiency: float
    sbd: float
    best_dice_true: float
    best_dice_pred: float
    n_true: int
    n_pred: int
    n_points: int


def best_fractions(table: Overlaps) -> tuple[FloatArray, FloatArray]:
    """Largest part in one cluster of the other side: efficiency of the true, purity of the predicted ones."""
    efficiency: FloatArray = _max_true(table, table.shared) / table.true_size
    purity: FloatArray = _max_pred(table, table.shared) / table.pred_size
    return efficiency, purity


def best_dices(table: Overlaps) -> tuple[FloatArray, FloatArray]:
    """Largest Dice coefficient of every true and of every predicted cluster."""
    half_dice = table.true_size.astype(np.float64)[table.true]
    half_dice += table.pred_size.astype(np.float64)[table.pred]
    np.divide(table.shared, half_dice, out=half_dice)
    best = _max_true(table, half_dice), _max_pred(table, half_dice)
    for values in best:
        values *= 2
    return best


def _max_true(table: Overlaps, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    best: npt.NDArray[Any] = np.maximum.reduceat(values, table.true_start)
    return best


def _max_pred(table: Overlaps, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    best = np.zeros(len(table.pred_size), values.dtype)
    np.maximum.at(best, table.pred, values)
    return best


def score_partition(labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike) -> PartitionScores:
    """Compute all scores of one pair of partitions in one pass.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Cluster of each point. Labels are opaque: ``-1`` is a cluster like any other, see
        :func:`relabel_noise`.

    Returns
    -------
    PartitionScores
        Scores are ``nan`` when there are no points.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, or the lengths differ.

    Notes
    -----
    O(n) for labels that lie close together, O(n log n) otherwise.

    Examples
    --------
    >>> from sparseclust.metrics import score_partition
    >>> scores = score_partition([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1])
    >>> round(scores.ari, 4), scores.purity, round(scores.efficiency, 4), scores.n_pred
    (0.3243, 0.875, 0.8333, 2)
    """
    table = tabulate(labels_true, labels_pred)
    if len(table.shared) == 0:
        return PartitionScores(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 0, 0, 0)
    return PartitionScores(*(column.item() for column in group_scores(table).values()))


def adjusted_rand_score(labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike) -> float:
    """Score the agreement over pairs of points: 1 for equal partitions, 0 on average by chance.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Cluster of each point. Labels are opaque.

    Returns
    -------
    float
        Between -0.5 and 1. Two equal partitions score 1, also a single point, all points in one cluster and
        every point alone, where the formula reads 0/0. ``nan`` without points.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, or the lengths differ.

    Notes
    -----
    With S, A, B the pairs of points that share a cluster in both, in the first and in the second partition,
    and N all pairs: ARI = (S - AB/N) / ((A + B)/2 - AB/N). Evaluated as the ratio of two integers that cannot
    overflow (up to 3e9 points), so the only error is the final rounding.

    References
    ----------
    Hubert and Arabie, Comparing partitions, Journal of Classification 2 (1985).

    Examples
    --------
    >>> from sparseclust.metrics import adjusted_rand_score
    >>> adjusted_rand_score([0, 0, 1, 1], [0, 0, 1, 2])
    0.5714285714285714
    """
    table = tabulate(labels_true, labels_pred)
    return float(adjusted_rand(table)[0]) if len(table.shared) else np.nan


def purity(
    labels_true: npt.ArrayLike,
    labels_pred: npt.ArrayLike,
    *,
    average: Literal["cluster", "point"] = "cluster",
) -> float:
    """Fraction of a predicted cluster that lies in one true cluster, averaged.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Cluster of each point. Labels are opaque.
    average : {"cluster", "point"}
        Mean over predicted clusters, each counting once, or over points: clusters count by their size.

    Returns
    -------
    float
        In (0, 1]. ``nan`` without points.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, the lengths differ, or ``average`` is unknown.

    Notes
    -----
    "cluster": mean over j of ``max_i |T_i & P_j| / |P_j|``. "point": sum over j of ``max_i |T_i & P_j| / n``.
    The first is the definition of Koh et al., arXiv:2007.03083; the second is the "global" one of other
    programs.

    Examples
    --------
    >>> from sparseclust.metrics import purity
    >>> purity([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1])
    0.875
    >>> round(purity([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1], average="point"), 4)
    0.8333
    """
    return efficiency(labels_pred, labels_true, average=average)


def efficiency(
    labels_true: npt.ArrayLike,
    labels_pred: npt.ArrayLike,
    *,
    average: Literal["cluster", "point"] = "cluster",
) -> float:
    """Fraction of a true cluster that lies in one predicted cluster, averaged.

    Equals :func:`purity` with the arguments exchanged, where the parameters are described.

    Examples
    --------
    >>> from sparseclust.metrics import efficiency
    >>> round(efficiency([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]), 4)
    0.8333
    """
    if average not in ("cluster", "point"):
        raise ValueError(f'average must be "cluster" or "point", got {average!r}')
    if average == "cluster":
        return score_partition(labels_true, labels_pred).efficiency
    table = tabulate(labels_true, labels_pred)
    return (
        float(_max_true(table, table.shared).sum() / table.true_size.sum()) if len(table.shared) else np.nan
    )


def best_dice(labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike) -> float:
    """Dice coefficient of each true cluster with the predicted cluster that suits it best, averaged.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Cluster of each point. Labels are opaque. The mean runs over the clusters of the first; exchange the
        arguments for the mean over predicted clusters.

    Returns
    -------
    float
        In (0, 1]. ``nan`` without points.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, or the lengths differ.

    Notes
    -----
    BD = mean over i of ``max_j 2 |T_i & P_j| / (|T_i| + |P_j|)``. One predicted cluster may suit several
    true ones.

    References
    ----------
    Scharr et al., Leaf segmentation in plant phenotyping, Machine Vision and Applications 27 (2016).

    Examples
    --------
    >>> from sparseclust.metrics import best_dice
    >>> round(best_dice([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]), 4)
    0.8286
    """
    return score_partition(labels_true, labels_pred).best_dice_true


def symmetric_best_dice(labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike) -> float:
    """Smaller one of the two best Dice scores: clusters lost and clusters invented both lower it.

    SBD = min(BD(true, pred), BD(pred, true)), see :func:`best_dice`. ``nan`` without points.

    Examples
    --------
    >>> from sparseclust.metrics import symmetric_best_dice
    >>> symmetric_best_dice([0, 0, 0, 0], [0, 0, 1, 2])
    0.48888888888888893
    """
    return score_partition(labels_true, labels_pred).sbd


def group_scores(table: Overlaps) -> dict[str, npt.NDArray[Any]]:
    """Compute the fields of :class:`PartitionScores` as arrays with one entry per group."""
    if len(table.shared) == 0:
        return {name: np.zeros(0, kind) for name, kind in PartitionScores.__annotations__.items()}
    n_true = lengths(table.true_split, len(table.true_size))
    n_pred = lengths(table.pred_split, len(table.pred_size))
    sides = (table.true_split, n_true), (table.pred_split, n_pred)
    efficiency, purity = map(_means, best_fractions(table), sides)
    best_dice_true, best_dice_pred = map(_means, best_dices(table), sides)
    return {
        "ari": adjusted_rand(table),
        "purity": purity,
        "efficiency": efficiency,
        "sbd": np.minimum(best_dice_true, best_dice_pred),
        "best_dice_true": best_dice_true,
        "best_dice_pred": best_dice_pred,
        "n_true": n_true,
        "n_pred": n_pred,
        "n_points": np.add.reduceat(table.true_size, table.true_split),
    }


def _means(values: FloatArray, side: tuple[IntArray, IntArray]) -> FloatArray:
    """Mean over the clusters of each group, given by first cluster and number."""
    split, count = side
    means: FloatArray = np.add.reduceat(values, split) / count
    return means


def adjusted_rand(table: Overlaps) -> FloatArray:
    """Compute the adjusted Rand index of every group from exact integers."""
    points = np.add.reduceat(table.true_size, table.true_split)
    counts = (
        _pairs(table.shared, table.true_start[table.true_split], points),
        _pairs(table.true_size, table.true_split, points),
        _pairs(table.pred_size, table.pred_split, points),
        points * (points - 1) // 2,
    )
    ari: FloatArray = _ratio(*counts)
    if points.max() > _LARGEST_INT64:
        # Python integers do not overflow; one group per 65536 points needs them at most: they cost nothing.
        large = points > _LARGEST_INT64
        ari[large] = _ratio(*(count[large].astype(object) for count in counts))
    return ari


def _pairs(sizes: IntArray, start: IntArray, points: IntArray) -> IntArray:
    """Count the pairs of points within the parts of every group."""
    pairs: IntArray = (np.add.reduceat(sizes * sizes, start) - points) // 2
    return pairs


def _ratio(
    together: npt.NDArray[Any], in_true: npt.NDArray[Any], in_pred: npt.NDArray[Any], pairs: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Divide excess over chance by its maximum, both times 2 pairs; 0/0, equal trivial partitions, is 1."""
    chance = 2 * in_true * in_pred
    top = 2 * together * pairs - chance
    bottom = (in_true + in_pred) * pairs - chance
    trivial = bottom == 0
    ratio: npt.NDArray[Any] = (top + trivial) / (bottom + trivial)
    return ratio
