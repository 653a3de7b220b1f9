"""Scores of many events and classes at once, without a loop over either."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.metrics._contingency import Overlaps, overlaps, rank
from sparseclust.metrics._labels import Codes, IntArray, as_rows, encode
from sparseclust.metrics._scores import PartitionScores, best_overlaps, group_scores

StructuredArray = npt.NDArray[np.void]


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
    groups = _grouped(labels_true, labels_pred, event, semantic)
    columns = {"event": groups.event, "semantic": groups.semantic, **group_scores(groups.table)}
    assert columns.keys() == {"event", "semantic", *PartitionScores._fields}
    return _structured(columns)


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
    groups = _grouped(labels_true, labels_pred, event, semantic)
    table = groups.table
    best = best_overlaps(table)
    true = {"size": table.true_size, "efficiency": best.efficiency, "best_dice": best.dice_true}
    pred = {"size": table.pred_size, "purity": best.purity, "best_dice": best.dice_pred}
    return ClusterScores(
        _structured(groups.describe(groups.true, table.true_code) | true),
        _structured(groups.describe(groups.pred, table.pred_code) | pred),
    )


class _Groups(NamedTuple):
    """The (event, class) groups that occur, ascending, and the overlaps of the clusters in each."""

    event: IntArray
    semantic: IntArray
    true: Codes
    pred: Codes
    table: Overlaps

    def describe(self, side: Codes, cluster_code: IntArray) -> dict[str, npt.NDArray[Any]]:
        """Event, class and label of clusters given as ``group * span + code``."""
        group, code = np.divmod(cluster_code, max(side.span, 1))
        return {"event": self.event[group], "semantic": self.semantic[group], "label": side.decode(code)}


def _grouped(
    labels_true: npt.ArrayLike,
    labels_pred: npt.ArrayLike,
    event: npt.ArrayLike,
    semantic: npt.ArrayLike | None,
) -> _Groups:
    arrays = {"labels_true": labels_true, "labels_pred": labels_pred, "event": event}
    if semantic is not None:
        arrays["semantic"] = semantic
    true, pred, *keys = map(encode, as_rows(**arrays))
    events = keys[0]
    classes = keys[1] if semantic is not None else Codes(np.zeros_like(events.codes), 1, -1, None)
    occurring, group = rank(events.codes * classes.span + classes.codes, events.span * classes.span)
    event_code, class_code = np.divmod(occurring, max(classes.span, 1))
    return _Groups(
        events.decode(event_code),
        classes.decode(class_code),
        true,
        pred,
        overlaps(true, pred, Codes(group, len(occurring), 0, None)),
    )


def _structured(columns: dict[str, npt.NDArray[Any]]) -> StructuredArray:
    """Columns of equal length as one array of records."""
    length = len(next(iter(columns.values())))
    table = np.empty(length, [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table
