"""Scores of many events and classes at once, without a loop over either."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.metrics._contingency import Overlaps, lengths, overlaps, rank
from sparseclust.metrics._labels import IntArray, as_rows, encode
from sparseclust.metrics._matching import overlap_ratio
from sparseclust.metrics._scores import best_dices, best_fractions, group_scores

StructuredArray = npt.NDArray[np.void]
Columns = dict[str, npt.NDArray[Any]]


def score_events(
    labels_true: npt.ArrayLike,
    labels_pred: npt.ArrayLike,
    *,
    event: npt.ArrayLike,
    semantic: npt.ArrayLike | None = None,
) -> StructuredArray:
    """Score every event, or every semantic class in every event, by itself.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Cluster of each point. Labels are opaque, and equal labels in two events or classes are two clusters.
    event : (n,) integers
        Event of each point, in any order.
    semantic : (n,) integers, optional
        Semantic class of each point.

    Returns
    -------
    (g,) structured array
        One row per (event, class) that occurs, ascending. Fields ``event`` and ``semantic`` (int64; ``-1`` in
        all rows where no class is given), then those of :class:`PartitionScores`.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, or the lengths differ.

    See Also
    --------
    score_clusters : the clusters one by one.
    summarize_scores : means and quantiles of the rows.

    Notes
    -----
    One sort of the points, whatever the number of groups. A row does not depend on the other groups. Nothing
    is undefined here: a group that occurs has a point, and a single point scores 1.

    Examples
    --------
    >>> from sparseclust.metrics import score_events
    >>> table = score_events([0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 1], event=[7, 7, 7, 7, 8, 8])
    >>> table["event"], table["ari"], table["n_points"]
    (array([7, 8]), array([1., 0.]), array([4, 2]))
    """
    names, table = _grouped(labels_true, labels_pred, event, semantic)
    return _structured(names | group_scores(table))


def score_matches(
    labels_true: npt.ArrayLike,
    labels_pred: npt.ArrayLike,
    *,
    event: npt.ArrayLike,
    semantic: npt.ArrayLike | None = None,
    iou_threshold: float = 0.5,
) -> StructuredArray:
    """Count the instances found in every event, or in every class of every event.

    Parameters
    ----------
    labels_true, labels_pred, event, semantic : (n,) integers
        As in :func:`score_events`.
    iou_threshold : float
        In [0.5, 1), where matches are unique. An instance is found if a predicted one has a larger
        intersection over union with it.

    Returns
    -------
    (g,) structured array
        Rows as those of :func:`score_events`. Fields ``event``, ``semantic``, ``f1``, ``pq`` (float64), as
        in :class:`InstanceMatching`; ``n_found``, ``n_true``, ``n_pred``, ``n_points`` (int64).

    Raises
    ------
    TypeError, ValueError
        As :func:`score_events`, and if the threshold is out of range.

    See Also
    --------
    match_instances : the matches of one pair of partitions, at any threshold.

    Notes
    -----
    Every predicted label is an instance, so points that were left over under one label are one that matches
    nothing.

    Examples
    --------
    >>> from sparseclust.metrics import score_matches
    >>> table = score_matches([0, 0, 0, 0, 1, 1], [5, 5, 5, 6, 7, 7], event=[0] * 6)
    >>> table["n_found"], table["f1"], table["pq"]
    (array([2]), array([0.8]), array([0.7]))
    """
    if not 0.5 <= iou_threshold < 1:
        raise ValueError(f"iou_threshold must lie in [0.5, 1), where matches are unique, got {iou_threshold}")
    names, table = _grouped(labels_true, labels_pred, event, semantic)
    groups = len(names["event"])
    iou = overlap_ratio(table)
    found = np.flatnonzero(iou > iou_threshold)
    group = np.repeat(np.arange(groups), lengths(table.true_split, len(table.true_size)))
    group_of_match = group[table.true[found]]
    n_true = np.bincount(group, minlength=groups)
    n_pred = lengths(table.pred_split, len(table.pred_size))
    n_found = np.bincount(group_of_match, minlength=groups)
    return _structured(
        names
        | {
            "f1": 2 * n_found / (n_true + n_pred),
            "pq": 2 * np.bincount(group_of_match, iou[found], groups) / (n_true + n_pred),
            "n_found": n_found,
            "n_true": n_true,
            "n_pred": n_pred,
            "n_points": np.bincount(group, table.true_size, groups).astype(np.int64),
        }
    )


class ClusterScores(NamedTuple):
    """Scores of single clusters, see :func:`score_clusters`."""

    true: StructuredArray
    pred: StructuredArray


def score_clusters(
    labels_true: npt.ArrayLike,
    labels_pred: npt.ArrayLike,
    *,
    event: npt.ArrayLike | None = None,
    semantic: npt.ArrayLike | None = None,
) -> ClusterScores:
    """Score every cluster by itself: what :func:`score_events` averages.

    Parameters
    ----------
    labels_true, labels_pred, event, semantic : (n,) integers
        As in :func:`score_events`; without ``event`` all points belong to event 0.

    Returns
    -------
    true, pred : structured arrays
        One row per true and per predicted cluster, ascending in event, class and label. Fields ``event``,
        ``semantic``, ``label``, ``size``, then ``efficiency`` (true) or ``purity`` (predicted), and
        ``best_dice``.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, or the lengths differ.

    Examples
    --------
    >>> from sparseclust.metrics import score_clusters
    >>> true, pred = score_clusters([3, 3, 3, 9], [0, 0, 1, 1])
    >>> true["label"], true["efficiency"].round(3), pred["purity"]
    (array([3, 9]), array([0.667, 1.   ]), array([1. , 0.5]))
    """
    if event is None:
        event = np.zeros(len(np.atleast_1d(labels_true)), np.int64)
    names, table = _grouped(labels_true, labels_pred, event, semantic)
    efficiency, purity = best_fractions(table)
    dice_true, dice_pred = best_dices(table)
    true = {"label": table.true_label, "size": table.true_size, "efficiency": efficiency}
    pred = {"label": table.pred_label, "size": table.pred_size, "purity": purity}
    n_true = lengths(table.true_split, len(table.true_size))
    n_pred = lengths(table.pred_split, len(table.pred_size))
    return ClusterScores(
        _structured(_repeat(names, n_true) | true | {"best_dice": dice_true}),
        _structured(_repeat(names, n_pred) | pred | {"best_dice": dice_pred}),
    )


def _grouped(
    labels_true: npt.ArrayLike,
    labels_pred: npt.ArrayLike,
    event: npt.ArrayLike,
    semantic: npt.ArrayLike | None,
) -> tuple[Columns, Overlaps]:
    """Event and class of the groups that occur, ascending, and the overlaps in each."""
    arrays = {"labels_true": labels_true, "labels_pred": labels_pred, "event": event}
    if semantic is not None:
        arrays["semantic"] = semantic
    true, pred, *keys = as_rows(**arrays)
    names, group = _groups(*keys)
    return names, overlaps(true, pred, group, len(names["event"]))


def _groups(event: IntArray, semantic: IntArray | None = None) -> tuple[Columns, IntArray]:
    """Event and class of the groups that occur, ascending, and the group of each point."""
    codes, events = encode(event)
    if semantic is None:
        found, group, _ = rank(codes, events.span)
        return {"event": events.decode(found), "semantic": np.full_like(found, -1)}, group
    class_codes, classes = encode(semantic)
    found, group, _ = rank(codes * classes.span + class_codes, events.span * classes.span)
    event_code, class_code = np.divmod(found, max(classes.span, 1))
    return {"event": events.decode(event_code), "semantic": classes.decode(class_code)}, group


def _repeat(columns: Columns, times: IntArray) -> Columns:
    return {name: np.repeat(column, times) for name, column in columns.items()}


def _structured(columns: Columns) -> StructuredArray:
    """Columns of equal length as one array of records."""
    length = len(next(iter(columns.values())))
    table = np.empty(length, [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table
