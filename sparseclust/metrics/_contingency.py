"""The one pass over the points: how many lie in both clusters, for every pair of clusters that meet."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sparseclust.metrics._labels import IntArray, Names, as_rows, encode

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
    true_label : (k,) int64
    pred_label : (l,) int64
    true_split, pred_split : (g,) int64
        First true and predicted cluster of each group.
    """

    true: IntArray
    pred: IntArray
    shared: IntArray
    true_start: IntArray
    true_size: IntArray
    pred_size: IntArray
    true_label: IntArray
    pred_label: IntArray
    true_split: IntArray
    pred_split: IntArray


def overlaps(true: IntArray, pred: IntArray, group: IntArray | None = None, n_groups: int = 1) -> Overlaps:
    """Tabulate two partitions, in every group apart.

    Parameters
    ----------
    true, pred : (n,) int64
        Labels.
    group : (n,) int64, optional
        From 0 to ``n_groups - 1``, all in use.

    Notes
    -----
    One histogram of ``(group * n_true + true) * n_pred + pred``: through a table when it has few more cells
    than there are points, by sorting the keys otherwise. All later work is on the cells.
    """
    row, column, shared, true_names, pred_names = _cells(true, pred, group, n_groups)
    true_start = _starts(row)
    true_cluster = row[true_start]
    del row
    true_index = np.repeat(np.arange(len(true_start)), np.diff(true_start, append=len(shared)))
    column += (true_cluster // max(true_names.span, 1))[true_index] * pred_names.span
    pred_cluster, pred_index = rank(column, n_groups * pred_names.span)
    true_group, true_code = np.divmod(true_cluster, max(true_names.span, 1))
    pred_group, pred_code = np.divmod(pred_cluster, max(pred_names.span, 1))
    return Overlaps(
        true=true_index,
        pred=pred_index,
        shared=shared,
        true_start=true_start,
        true_size=np.add.reduceat(shared, true_start) if len(shared) else shared,
        pred_size=np.bincount(pred_index, weights=shared).astype(np.int64),
        true_label=true_names.decode(true_code),
        pred_label=pred_names.decode(pred_code),
        true_split=_starts(true_group),
        pred_split=_starts(pred_group),
    )


def tabulate(labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike) -> Overlaps:
    """Check two label arrays and tabulate them as one group (no group at all when they are empty)."""
    true, pred = as_rows(labels_true=labels_true, labels_pred=labels_pred)
    return overlaps(true, pred)


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
    O(n) for labels that lie close together, O(n log n) otherwise.

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


def _cells(
    true: IntArray, pred: IntArray, group: IntArray | None, n_groups: int
) -> tuple[IntArray, IntArray, IntArray, Names, Names]:
    """Rows ``group * span + code``, columns and counts of the occupied cells, and the names of the codes."""
    row, true_names = encode(true)
    column, pred_names = encode(pred)
    n_rows, in_use = n_groups * true_names.span, None
    if group is not None:
        row = row + group * true_names.span
    if n_rows * pred_names.span > _LARGEST_KEY:
        in_use, row = np.unique(row, return_inverse=True)
        n_rows = len(in_use)
    key = row * pred_names.span
    key += column
    del row, column
    cell, shared = _histogram(key, n_rows * pred_names.span)
    del key
    row = cell // max(pred_names.span, 1)
    cell -= row * pred_names.span
    return row if in_use is None else in_use[row], cell, shared, true_names, pred_names


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
    """``np.unique(codes, return_inverse=True)`` of codes below ``span``, through a table if that is small."""
    if span > 4 * len(codes) + 1024:
        return np.unique(codes, return_inverse=True)
    table = np.zeros(span, np.int64)
    table[codes] = 1
    found = np.flatnonzero(table)
    table[found] = np.arange(len(found))
    return found, table[codes]


def _starts(values: IntArray) -> IntArray:
    """Where runs of equal values begin."""
    first = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return np.flatnonzero(first)
