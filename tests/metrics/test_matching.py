"""Instances matched one to one: the best of all matchings, panoptic quality, average precision."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparseclust.metrics import _reference, average_precision, match_instances

pairs = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=20)


@given(pairs, st.sampled_from([0, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.6, 0.75]))
def test_no_matching_is_better(points, threshold):
    true, pred = zip(*points)
    matching = match_instances(true, pred, iou_threshold=threshold)
    best = _reference.match_instances(true, pred, threshold)
    assert (matching.tp, matching.iou.sum()) == (best[0], pytest.approx(float(best[1])))


@given(pairs)
def test_matching_is_one_to_one_and_says_what_it_matched(points):
    true, pred = np.array(points).T
    matching = match_instances(true, pred, iou_threshold=0.1)
    assert len(set(matching.true)) == len(set(matching.pred)) == matching.tp
    for t, p, iou in zip(matching.true, matching.pred, matching.iou):
        assert iou == np.mean((true == t)[(true == t) | (pred == p)] & (pred == p)[(true == t) | (pred == p)])
    assert (matching.tp + matching.fp, matching.tp + matching.fn) == (len(set(pred)), len(set(true)))


def test_worked_example():
    # IoU: (0, 0) = 3/4, (1, 1) = 2/4, (1, 2) = 1/3, (2, 2) = 0
    true, pred = [0, 0, 0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 1, 2, 3]
    matching = match_instances(true, pred)
    assert (matching.tp, matching.fp, matching.fn) == (2, 2, 1)  # (2, 3) coincide; (1, 1) is exactly 0.5
    assert (matching.precision, matching.recall) == (2 / 4, 2 / 3)
    assert matching.rq == matching.f1 == 2 / (2 + 2 / 2 + 1 / 2)
    assert matching.sq == (0.75 + 1) / 2
    assert matching.pq == pytest.approx(matching.sq * matching.rq)
    assert match_instances(true, pred, iou_threshold=0.49).tp == 3


def test_more_pairs_win_over_a_larger_sum():
    # IoU: (0, 0) = 4/9, (0, 1) = 1/10, (1, 0) = 1/9; the single pair 4/9 is worth more than 1/10 + 1/9
    true = [0] * 4 + [0] * 3 + [1] + [0]
    pred = [0] * 4 + [2] * 3 + [0] + [1]
    matching = match_instances(true, pred, iou_threshold=0)
    assert matching.tp == 2
    assert matching.iou.sum() == pytest.approx(float(_reference.match_instances(true, pred, 0)[1]))


def test_many_instances(rng):
    true = rng.integers(2000, size=20_000)
    pred = np.where(rng.random(20_000) < 0.5, rng.integers(2000, size=20_000), true)
    matching = match_instances(true, pred, iou_threshold=0.05)
    assert len(np.unique(matching.true)) == len(np.unique(matching.pred)) == matching.tp
    assert match_instances(true, pred).tp <= matching.tp


def test_no_points_no_matches():
    matching = match_instances([], [])
    assert matching.tp == matching.fp == matching.fn == 0
    rates = (matching.precision, matching.recall, matching.f1, matching.rq, matching.sq, matching.pq)
    assert all(map(math.isnan, rates))
    missed = match_instances([0, 0, 0, 0], [0, 1, 2, 3])
    assert (missed.tp, missed.precision, missed.recall, missed.pq) == (0, 0, 0, 0)
    assert math.isnan(missed.sq)
    assert match_instances([0, 0, 0, 0], [0, 1, 2, 3], iou_threshold=0.3).tp == 0


@pytest.mark.parametrize("threshold", [-0.1, 1, float("nan")])
def test_threshold_is_checked(threshold):
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        match_instances([0], [0], iou_threshold=threshold)
    with pytest.raises(ValueError, match=r"\[0.5, 1\)"):
        average_precision([0], [0], [1.0], iou_thresholds=threshold)


# --------------------------------------------------------------------------------------- average precision
def brute_force_ap(true, pred, scores, threshold):
    """Precision and recall at every cut of the ranking, then the area under the falling envelope."""
    labels = sorted(set(pred))
    ranking = sorted(range(len(labels)), key=lambda j: -scores[j])
    sets = {j: {i for i, p in enumerate(pred) if p == labels[j]} for j in ranking}
    truth = _reference.clusters(true)
    curve = []
    for cut in range(1, len(ranking) + 1):
        hits = sum(any(len(t & sets[j]) / len(t | sets[j]) > threshold for t in truth) for j in ranking[:cut])
        curve.append((hits / len(truth), hits / cut))
    area, before = 0.0, 0.0
    for k, (recall, _) in enumerate(curve):
        area += (recall - before) * max(precision for _, precision in curve[k:])
        before = recall
    return area


@given(pairs, st.data())
def test_average_precision_is_the_area(points, data):
    true, pred = zip(*points)
    scores = data.draw(st.lists(st.integers(0, 3), min_size=len(set(pred)), max_size=len(set(pred))))
    for threshold, ap in zip((0.5, 0.75), average_precision(true, pred, scores, iou_thresholds=[0.5, 0.75])):
        assert ap == pytest.approx(brute_force_ap(true, pred, scores, threshold))


def test_average_precision_of_a_perfect_prediction():
    assert average_precision([3, 3, 1], [0, 0, 8], [0.1, 0.2]).tolist() == [1.0] * 10


def test_a_cluster_that_is_no_instance_costs_nothing_at_the_end():
    true, pred = [0, 0, 0, 1, 1, 1], [0, 0, -1, 1, 1, -1]
    assert average_precision(true, pred, [-np.inf, 0.5, 0.6], iou_thresholds=0.5).tolist() == [1.0]
    assert average_precision(true, pred, [1.0, 0.5, 0.6], iou_thresholds=0.5).tolist() == [2 / 3]


def test_scores_are_checked():
    with pytest.raises(ValueError, match="2 predicted instances"):
        average_precision([0, 0], [0, 1], [0.5])
    with pytest.raises(ValueError, match="1 nan"):
        average_precision([0, 0], [0, 1], [0.5, np.nan])
    assert np.isnan(average_precision([], [], [])).all()
