"""The one pass over the points: how many lie in both clusters, for every pair of clusters that meet."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sparseclust.metrics._labels import Codes, IntArray, as_rows, encode

_LARGEST_KEY = 2**63 - 1


class Overlaps(NamedTuple):
    """Cells of the contingency tables of all groups that are not zero, sorted by group, truth and prediction.

    A cluster is a (group, label) pair, so nothing crosses a group. Clusters are numbered in that order.

    Attributes
    ----------
    true, pred : (c,) int64
        The two clusters of each cell.
    shared : (c,) int64
        Points in both.
    true_start : (k,) int64
        First cell of each true cluster.
    true_size : (k,) int64
    pred_size : (l,) int64
    true_split, pred_split : (g,) int64
        First true and predicted cluster of each group.
    true_code, pred_code : (k,) and (l,) int64
        ``group * span + code`` of each cluster.
    """

    true: IntArray
    pred: IntArray
    shared: IntArray
    true_start: IntArray
    true_size: IntArray
    pred_size: IntArray
    true_split: IntArray
    pred_split: IntArray
    true_code: IntArray
    pred_code: IntArray


def overlaps(true: Codes, pred: Codes, group: Codes | None = None) -> Overlaps:
    """Tabulate two partitions, in every group apart.

    Notes
    -----
    One histogram of ``(group * n_true + true) * n_pred + pred``: through a table when it has few more cells
    than there are points, by sorting the keys otherwise. All later work is on the cells. Every code of
    ``group`` must be in use.
    """
    cells, shared, true_codes = _cells(true, pred, group)
    row = cells // max(pred.span, 1)
    column = cells - row * pred.span
    true_start = _starts(row)
    true_code = row[true_start] if true_codes is None else true_codes
    true_index = np.repeat(np.arange(len(true_start)), np.diff(true_start, append=len(row)))
    true_group = true_code // max(true.span, 1)
    n_groups = 1 if group is None else group.span
    pred_code, pred_index = rank(true_group[true_index] * pred.span + column, n_groups * pred.span)
    pred_group = pred_code // max(pred.span, 1)
    return Overlaps(
        true=true_index,
        pred=pred_index,
        shared=shared,
        true_start=true_start,
        true_size=np.add.reduceat(shared, true_start) if len(shared) else shared,
        pred_size=np.bincount(pred_index, weights=shared).astype(np.int64),
        true_split=_starts(true_group),
        pred_split=_starts(pred_group),
        true_code=true_code,
        pred_code=pred_code,
    )


def tabulate(labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike) -> Overlaps:
    """Check two label arrays and tabulate them as one group (no group at all when they are empty)."""
    true, pred = as_rows(labels_true=labels_true, labels_pred=labels_pred)
    return overlaps(encode(true), encode(pred))


def contingency_matrix(labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike) -> sparse.csr_array:
    """Count the points that each pair of clusters shares.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Cluster of each point in the two partitions. Labels are opaque: any integers, ``-1`` is one of them.

    Returns
    -------
    csr_array, (n_true, n_pred) int64
        Rows and columns are the clusters in ascending order of their labels, as ``np.unique`` lists them.
        No explicit zeros, sorted indices.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, or the lengths differ.

    Notes
    -----
    O(n) for labels that lie close together, O(n log n) otherwise; memory about 16 bytes per point.

    Examples
    --------
    >>> from sparseclust.metrics import contingency_matrix
    >>> contingency_matrix([0, 0, 0, 7], [5, 5, -1, -1]).toarray()
    array([[1, 2],
           [1, 0]])
    """
    table = tabulate(labels_true, labels_pred)
    indptr = np.append(table.true_start, len(table.shared))
    return sparse.csr_array(
        (table.shared, table.pred, indptr), shape=(len(table.true_size), len(table.pred_size))
    )


def _cells(true: Codes, pred: Codes, group: Codes | None) -> tuple[IntArray, IntArray, IntArray | None]:
    """Occupied cells ``row * pred.span + column`` and their counts.

    A row is ``group * true.span + code``, or its rank among the rows in use, which come as third value
    then, where the table would have more cells than an int64 can number.
    """
    row, n_rows, in_use = true.codes, true.span, None
    if group is not None:
        row = group.codes * true.span + row
        n_rows *= group.span
    if n_rows * pred.span > _LARGEST_KEY:
        in_use, row = np.unique(row, return_inverse=True)
        n_rows = len(in_use)
    key = row * pred.span
    key += pred.codes
    return *_histogram(key, n_rows * pred.span), in_use


def _histogram(key: IntArray, span: int) -> tuple[IntArray, IntArray]:
    """Return the keys that occur, sorted, and how often. Overwrites ``key``."""
    if span <= 4 * len(key):
        table = np.bincount(key, minlength=span)
        found = np.flatnonzero(table != 0)
        return found, table[found]
    key.sort()
    start = _starts(key)
    return key[start], np.diff(start, append=len(key))


def rank(codes: IntArray, span: int) -> tuple[IntArray, IntArray]:
    """``np.unique(codes, return_inverse=True)`` for codes from 0 to ``span - 1``."""
    if span > 4 * len(codes) + 1024:
        return np.unique(codes, return_inverse=True)
    seen = np.zeros(span, np.bool_)
    seen[codes] = True
    found = np.flatnonzero(seen)
    ranks = np.empty(span, np.int64)
    ranks[found] = np.arange(len(found))
    return found, ranks[codes]


def _starts(values: IntArray) -> IntArray:
    """Where runs of equal values begin."""
    first = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return np.flatnonzero(first)
