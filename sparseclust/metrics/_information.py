"""Scores from information theory, in nats."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy

from sparseclust.metrics._contingency import Overlaps, tabulate
from sparseclust.metrics._labels import FloatArray, IntArray

# Weights relative to the largest one; what is left out is below the rounding error for any n under 1e12.
_NEGLIGIBLE = 1e-25


class VariationOfInformation(NamedTuple):
    """Parts of the variation of information; their sum is the distance."""

    split: float
    merge: float


def variation_of_information(
    labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike
) -> VariationOfInformation:
    """Measure how much the prediction splits true clusters, and how much it merges them.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Cluster of each point. Labels are opaque.

    Returns
    -------
    split : float
        H(pred | true), in nats: 0 if no true cluster is cut. ``nan`` without points.
    merge : float
        H(true | pred), in nats: 0 if no predicted cluster mixes true ones. ``nan`` without points.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, or the lengths differ.

    Notes
    -----
    With n_ij points shared by T_i and P_j: split is the sum of ``n_ij/n log(|T_i| / n_ij)``, merge likewise
    with ``|P_j|``.
    All terms are positive, so zero is exactly zero. Divide by log 2 for bits.

    References
    ----------
    Meila, Comparing clusterings, Journal of Multivariate Analysis 98 (2007).

    Examples
    --------
    >>> from sparseclust.metrics import variation_of_information
    >>> variation_of_information([0, 0, 1, 1], [0, 0, 0, 0])
    VariationOfInformation(split=0.0, merge=0.6931471805599453)
    """
    table = tabulate(labels_true, labels_pred)
    n = table.true_size.sum()
    if n == 0:
        return VariationOfInformation(np.nan, np.nan)
    split = xlogy(table.shared, table.true_size[table.true] / table.shared)
    merge = xlogy(table.shared, table.pred_size[table.pred] / table.shared)
    return VariationOfInformation(float(split.sum() / n), float(merge.sum() / n))


def normalized_mutual_info_score(labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike) -> float:
    """Divide the mutual information by the mean of the two entropies.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Cluster of each point. Labels are opaque.

    Returns
    -------
    float
        In [0, 1]. Equal partitions score 1, also where the formula reads 0/0. ``nan`` without points.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, or the lengths differ.

    Notes
    -----
    NMI = 2 I(T; P) / (H(T) + H(P)). Not corrected for chance: many small clusters raise it, see
    :func:`adjusted_mutual_info_score`.

    Examples
    --------
    >>> from sparseclust.metrics import normalized_mutual_info_score
    >>> round(normalized_mutual_info_score([0, 0, 1, 1], [0, 0, 1, 2]), 6)
    0.8
    """
    table = tabulate(labels_true, labels_pred)
    if len(table.shared) == 0:
        return np.nan
    if _equal(table):
        return 1.0
    return _mutual_information(table) / _mean_entropy(table)


def adjusted_mutual_info_score(labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike) -> float:
    """Mutual information in excess of chance: 1 for equal partitions, 0 on average by chance.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Cluster of each point. Labels are opaque.

    Returns
    -------
    float
        At most 1. Equal partitions score 1, also where the formula reads 0/0; otherwise a partition into one
        cluster, or into single points, scores exactly 0. ``nan`` without points.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, or the lengths differ.

    Notes
    -----
    AMI = (I - E[I]) / ((H(T) + H(P))/2 - E[I]), with the expectation over all partitions with the same
    cluster sizes. It is evaluated once for every pair of different sizes, in a window around the mode of the
    hypergeometric distribution, from ratios of neighbouring terms; as these are normalised by their sum, no
    factorial enters and nothing is lost at large n. The error is that of the differences above: about 1e-15
    divided by the denominator.

    References
    ----------
    Vinh, Epps and Bailey, Information theoretic measures for clusterings comparison, Journal of Machine
    Learning Research 11 (2010); the variant normalised by the mean of the entropies.

    Examples
    --------
    >>> from sparseclust.metrics import adjusted_mutual_info_score
    >>> round(adjusted_mutual_info_score([0, 0, 1, 1], [0, 0, 1, 2]), 6)
    0.571429
    """
    table = tabulate(labels_true, labels_pred)
    if len(table.shared) == 0:
        return np.nan
    if _equal(table):
        return 1.0
    n = table.true_size.sum()
    if {len(table.true_size), len(table.pred_size)} & {1, n}:
        return 0.0
    expected = expected_mutual_information(table.true_size, table.pred_size)
    return (_mutual_information(table) - expected) / (_mean_entropy(table) - expected)


def expected_mutual_information(true_size: IntArray, pred_size: IntArray) -> float:
    """Average the mutual information over all pairs of partitions with these cluster sizes."""
    n = int(true_size.sum())
    a, times_a = np.unique(true_size, return_counts=True)
    b, times_b = np.unique(pred_size, return_counts=True)
    times = np.multiply.outer(times_a, times_b).ravel()
    a, b = np.repeat(a, len(b)), np.tile(b, len(a))
    wide_first = np.argsort(-(a * b.astype(np.float64)) * (n - a) * (n - b), kind="stable")
    a, b, times = a[wide_first], b[wide_first], times[wide_first]
    mode = (a + 1) * (b + 1) // (n + 2)
    split = np.stack([a - mode, b - mode]).astype(np.float64)
    rest = np.stack([mode, n - a - b + mode]).astype(np.float64)
    odds = n / (a * b.astype(np.float64))
    mass_up, moment_up = _sweep(split, rest, odds, up=True)
    mass_down, moment_down = _sweep(rest, split, odds, up=False)
    moment = xlogy(mode, mode * odds) + moment_up + moment_down
    return float(np.dot(times, moment / (1 + mass_up + mass_down)) / n)


def _sweep(
    giving: FloatArray, taking: FloatArray, odds: FloatArray, *, up: bool
) -> tuple[FloatArray, FloatArray]:
    """Sum the hypergeometric weights w(k), and w(k) k log(k odds), on one side of the mode, where w = 1.

    The four cells of the 2 x 2 table are k, a - k, b - k, n - a - b + k: one step takes a point from two of
    them and gives it to the others. A weight becomes 0 when a cell is exhausted. All pairs of sizes advance
    together, the ones with the widest distributions first, so that those still going are the leading ones.
    """
    giving, taking = giving.copy(), taking.copy()
    mass, moment, weight = np.zeros_like(odds), np.zeros_like(odds), np.ones_like(odds)
    alive = len(odds)
    while alive:
        giving, taking, weight = giving[:, :alive], taking[:, :alive], weight[:alive]
        weight *= giving[0] * giving[1]
        taking += 1
        weight /= taking[0] * taking[1]
        np.maximum(giving - 1, 0, out=giving)
        k = taking[0] if up else giving[0]
        mass[:alive] += weight
        moment[:alive] += weight * k * np.log(np.maximum(k, 1) * odds[:alive])
        going = np.flatnonzero(weight > _NEGLIGIBLE)
        alive = going[-1] + 1 if len(going) else 0
    return mass, moment


def _equal(table: Overlaps) -> bool:
    return len(table.shared) == len(table.true_size) == len(table.pred_size)


def _mutual_information(table: Overlaps) -> float:
    a, b, n = table.true_size[table.true], table.pred_size[table.pred], float(table.true_size.sum())
    information = xlogy(table.shared, table.shared * n / (a * b.astype(np.float64))).sum() / n
    return max(0.0, float(information))


def _mean_entropy(table: Overlaps) -> float:
    n = float(table.true_size.sum())
    return float(sum(xlogy(size, n / size).sum() for size in (table.true_size, table.pred_size)) / (2 * n))
