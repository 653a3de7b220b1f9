"""Instances matched one to one, and what follows from the matches."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from sparseclust.metrics._contingency import Overlaps, tabulate
from sparseclust.metrics._labels import FloatArray, IntArray

_COCO_THRESHOLDS = tuple(k / 20 for k in range(10, 20))


class InstanceMatching(NamedTuple):
    """Matched instances; the rates are derived from them.

    Attributes
    ----------
    true, pred : (m,) int64
        Labels of the matched instances, ascending in ``true``.
    iou : (m,) float64
        Intersection over union of each match.
    n_true, n_pred : int
        Instances on either side.
    """

    true: IntArray
    pred: IntArray
    iou: FloatArray
    n_true: int
    n_pred: int

    @property
    def tp(self) -> int:
        """Matches."""
        return len(self.iou)

    @property
    def fp(self) -> int:
        """Predicted instances without a match."""
        return self.n_pred - self.tp

    @property
    def fn(self) -> int:
        """True instances without a match."""
        return self.n_true - self.tp

    @property
    def precision(self) -> float:
        """Matched fraction of the predicted instances; ``nan`` if there are none."""
        return self.tp / self.n_pred if self.n_pred else np.nan

    @property
    def recall(self) -> float:
        """Matched fraction of the true instances; ``nan`` if there are none."""
        return self.tp / self.n_true if self.n_true else np.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, tp / (tp + fp/2 + fn/2); ``nan`` without instances."""
        return 2 * self.tp / (self.n_true + self.n_pred) if self.n_true + self.n_pred else np.nan

    @property
    def rq(self) -> float:
        """Recognition quality: another name of :attr:`f1`."""
        return self.f1

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matches; ``nan`` if there are none."""
        return float(self.iou.mean()) if self.tp else np.nan

    @property
    def pq(self) -> float:
        """Panoptic quality: sum of IoU / (tp + fp/2 + fn/2); ``nan`` without instances."""
        return (
            2 * float(self.iou.sum()) / (self.n_true + self.n_pred) if self.n_true + self.n_pred else np.nan
        )


def match_instances(
    labels_true: npt.ArrayLike, labels_pred: npt.ArrayLike, *, iou_threshold: float = 0.5
) -> InstanceMatching:
    """Match true and predicted instances one to one by their intersection over union.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Instance of each point. Labels are opaque, and every label is an instance.
    iou_threshold : float
        In [0, 1). Instances match only if their IoU is larger.

    Returns
    -------
    InstanceMatching
        Among all one-to-one matchings one with the most pairs, and the largest sum of IoU among those.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, the lengths differ, or the threshold is out of range.

    Notes
    -----
    From a threshold of 0.5 on, at most one pair exceeds it for any instance and nothing has to be chosen;
    below, a sparse assignment problem is solved.

    References
    ----------
    Kirillov et al., Panoptic segmentation, arXiv:1801.00868, eqs. 1 and 2.

    Examples
    --------
    >>> from sparseclust.metrics import match_instances
    >>> matching = match_instances([0, 0, 0, 0, 1, 1], [5, 5, 5, 6, 7, 7])
    >>> matching.true, matching.pred, matching.iou
    (array([0, 1]), array([5, 7]), array([0.75, 1.  ]))
    >>> matching.tp, matching.fp, matching.fn, matching.pq
    (2, 1, 0, 0.7)
    """
    if not 0 <= iou_threshold < 1:
        raise ValueError(f"iou_threshold must lie in [0, 1), got {iou_threshold}")
    table = tabulate(labels_true, labels_pred)
    iou = overlap_ratio(table)
    cells = np.flatnonzero(iou > iou_threshold)
    if iou_threshold < 0.5:
        cells = cells[_assign(table.true[cells], table.pred[cells], iou[cells])]
    return InstanceMatching(
        table.true_label[table.true[cells]],
        table.pred_label[table.pred[cells]],
        iou[cells],
        len(table.true_size),
        len(table.pred_size),
    )


def average_precision(
    labels_true: npt.ArrayLike,
    labels_pred: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    iou_thresholds: npt.ArrayLike = _COCO_THRESHOLDS,
) -> FloatArray:
    """Area under precision against recall of instances ranked by a score, for each IoU threshold.

    Parameters
    ----------
    labels_true, labels_pred : (n,) integers
        Instance of each point. Labels are opaque; give instances of different events different labels.
    scores : (n_pred,) floats
        Confidence of each predicted instance, ascending in their labels, as ``np.unique`` lists them.
        Ties rank by label.
    iou_thresholds : (k,) floats
        In [0.5, 1). An instance is found if a predicted one has a larger IoU with it.

    Returns
    -------
    (k,) float64
        Average precision at each threshold; their mean is the usual single number. ``nan`` without instances.

    Raises
    ------
    TypeError, ValueError
        If an array is no (n,) array of whole numbers, the lengths differ, a score is missing or ``nan``, or a
        threshold is out of range.

    Notes
    -----
    AP = mean over true instances of the precision at the rank where they are found, 0 if they are not, where
    a precision counts as high as any at a later rank (the exact area, not the 11- or 101-point sum).
    Instances ranked after the last hit cost nothing, so a cluster that is none, such as the points left
    unassigned, may take the lowest score.

    References
    ----------
    Everingham et al., The PASCAL visual object classes challenge: a retrospective, International Journal of
    Computer Vision 111 (2015), section 4.

    Examples
    --------
    >>> from sparseclust.metrics import average_precision
    >>> average_precision([0, 0, 1, 1, 1], [4, 4, 6, 6, 9], [0.2, 0.9, 0.5], iou_thresholds=[0.5, 0.75])
    array([0.83333333, 0.16666667])
    """
    thresholds = np.atleast_1d(np.asarray(iou_thresholds, np.float64))
    if thresholds.ndim != 1 or not np.all((thresholds >= 0.5) & (thresholds < 1)):
        raise ValueError(f"iou_thresholds must lie in [0.5, 1), where matches are unique, got {thresholds}")
    table = tabulate(labels_true, labels_pred)
    confidence = np.asarray(scores, np.float64)
    if confidence.shape != table.pred_size.shape or np.isnan(confidence).any():
        raise ValueError(
            f"scores must hold a number for each of the {len(table.pred_size)} predicted instances, "
            f"ascending in their labels, got shape {confidence.shape} with {np.isnan(confidence).sum()} nan"
        )
    if len(table.shared) == 0:
        return np.full(len(thresholds), np.nan)
    best = np.zeros(len(table.pred_size))
    np.maximum.at(best, table.pred, overlap_ratio(table))
    found = best[np.argsort(-confidence, kind="stable")] > thresholds[:, None]
    precision = np.cumsum(found, axis=1) / np.arange(1, len(best) + 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area: FloatArray = np.sum(envelope * found, axis=1) / len(table.true_size)
    return area


def overlap_ratio(table: Overlaps) -> FloatArray:
    """Intersection over union of each cell."""
    union = table.true_size[table.true] + table.pred_size[table.pred] - table.shared
    iou: FloatArray = table.shared / union
    return iou


def _assign(true: IntArray, pred: IntArray, iou: FloatArray) -> IntArray:
    """Choose the cells of a best one-to-one matching.

    Every true instance gets a partner of its own that is worth 1, so that a full matching exists; a real
    partner is worth 2 and a share of the IoU that is too small to outweigh a pair.
    """
    if len(iou) == 0:
        return np.zeros(0, np.int64)
    true_values, row = np.unique(true, return_inverse=True)
    pred_values, column = np.unique(pred, return_inverse=True)
    k, m = len(true_values), len(pred_values)
    worth = np.concatenate([2 + iou / (k + 1), np.ones(k)])
    # The solver of scipy 1.12 takes 32-bit indices only.
    rows, columns = np.stack(
        [np.append(row, np.arange(k)), np.append(column, m + np.arange(k))], dtype=np.int32
    )
    graph = sparse.csr_array((worth, (rows, columns)), shape=(k, m + k))
    chosen = min_weight_full_bipartite_matching(graph, maximize=True)[1]
    taken: IntArray = np.flatnonzero(chosen[row] == column)
    return taken
