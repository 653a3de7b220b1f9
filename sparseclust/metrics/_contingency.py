"""The one pass over the points: how many lie in both clusters, for every pair of clusters that meet."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sparseclust.metrics._labels import IntArray, Names, as_rows, encode

_LARGEST_KEY = 2**63 - 1
_LARGEST_SHORT_KEY = 2**32 - 1


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
    true_cluster, true_start, column, shared, true_names, pred_names = _cells(true, pred, group, n_groups)
    if n_groups > 1:
        first_column = true_cluster // true_names.span * pred_names.span
        column += np.repeat(first_column, lengths(true_start, len(shared)))
        del first_column
    true_split, true_label = _split(true_cluster, true_names, n_groups)
    del true_cluster, true_names
    pred_cluster, pred_index, pred_size = rank(column, n_groups * pred_names.span, shared)
    pred_split, pred_label = _split(pred_cluster, pred_names, n_groups)
    del column, pred_cluster, pred_names
    return Overlaps(
        true=np.repeat(np.arange(len(true_start)), lengths(true_start, len(shared))),
        pred=pred_index,
        shared=shared,
        true_start=true_start,
        true_size=np.add.reduceat(shared, true_start) if len(shared) else shared,
        pred_size=pred_size,
        true_label=true_label,
        pred_label=pred_label,
        true_split=true_split,
        pred_split=pred_split,
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
) -> tuple[IntArray, IntArray, IntArray, IntArray, Names, Names]:
    """Rows ``group * span + code`` in use and their first cells, columns and counts of the cells, names."""
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
    cell_row = cell // max(pred_names.span, 1)
    cell -= cell_row * pred_names.span
    start = _starts(cell_row)
    found = cell_row[start].astype(np.int64, copy=False)
    del cell_row
    column = cell.astype(np.int64, copy=False)
    return found if in_use is None else in_use[found], start, column, shared, true_names, pred_names


def _histogram(key: IntArray, span: int) -> tuple[npt.NDArray[np.integer], IntArray]:
    """Return the keys that occur, sorted, and how often. Overwrites ``key``."""
    if span <= 4 * len(key):
        table = np.bincount(key, minlength=span)
        found = table.nonzero()[0]
        return found, table[found]
    # Short keys take half the time to sort, and a fifth to divide.
    keys = key.astype(np.uint32) if span <= _LARGEST_SHORT_KEY else key
    keys.sort()
    start = _starts(keys)
    return keys[start], lengths(start, len(keys))


def rank(codes: IntArray, span: int, times: IntArray | int = 1) -> tuple[IntArray, IntArray, IntArray]:
    """``np.unique`` with inverse and counts of codes below ``span``, through a table if that is small.

    Each entry counts ``times``. The inverse is ``codes`` itself where all codes occur.
    """
    if span > 4 * len(codes) + 1024:
        found, index = np.unique(codes, return_inverse=True)
        return found, index, _count(index, len(found), times)
    table = _count(codes, span, times)
    found = table.nonzero()[0]
    if len(found) == span:
        return found, codes, table
    count = table[found]
    table[found] = np.arange(len(found))
    return found, table[codes], count


def _count(codes: IntArray, span: int, times: IntArray | int) -> IntArray:
    table = np.zeros(span, np.int64)
    np.add.at(table, codes, times)
    return table


def lengths(starts: IntArray, total: int) -> IntArray:
    """Lengths of runs that begin at ``starts`` and together have the length ``total``."""
    ends = np.empty_like(starts)
    ends[:-1] = starts[1:]
    ends[-1:] = total
    ends -= starts
    return ends


def _split(cluster: IntArray, names: Names, n_groups: int) -> tuple[IntArray, IntArray]:
    """First cluster of each group, and the labels, of clusters ``group * span + code``."""
    if n_groups == 1:
        return np.zeros(min(len(cluster), 1), np.int64), names.decode(cluster)
    group, code = np.divmod(cluster, max(names.span, 1))
    return _starts(group), names.decode(code)


def _starts(values: npt.NDArray[np.integer]) -> IntArray:
    """Where runs of equal values begin."""
    first = np.empty(len(values), np.bool_)
    first[:1] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first.nonzero()[0]
