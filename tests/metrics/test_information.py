"""Mutual information: the reference, scikit-learn, exact zeros and ones, and precision at size."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from sparseclust import metrics
from sparseclust.metrics import _information, _reference

pairs = st.integers(1, 6).flatmap(
    lambda k: st.lists(st.tuples(st.integers(-1, k), st.integers(-1, k)), min_size=1, max_size=30)
)


@settings(max_examples=1000)
@given(pairs)
def test_scikit_learn(points):
    true, pred = np.array(points).T
    assume(
        not len(points) == len(set(true)) == len(set(pred))
    )  # scikit-learn 1.5 says 0 for these equal partitions
    for ours, theirs in (
        (metrics.adjusted_mutual_info_score, sklearn_metrics.adjusted_mutual_info_score),
        (metrics.normalized_mutual_info_score, sklearn_metrics.normalized_mutual_info_score),
    ):
        assert ours(true, pred) == pytest.approx(theirs(true, pred), abs=1e-12)


@given(pairs)
def test_reference(points):
    true, pred = zip(*points)
    sizes = [np.array([len(cluster) for cluster in _reference.clusters(side)]) for side in (true, pred)]
    expected = _reference.expected_mutual_information(true, pred)
    assert _information.expected_mutual_information(*sizes) == pytest.approx(expected, abs=1e-14)
    entropy = [_reference.mutual_information(side, side) for side in (true, pred)]
    split, merge = metrics.variation_of_information(true, pred)
    mutual = _reference.mutual_information(true, pred)
    assert (split, merge) == pytest.approx((entropy[1] - mutual, entropy[0] - mutual), abs=1e-14)
    assert metrics.variation_of_information(pred, true) == pytest.approx((merge, split), rel=1e-14)


@pytest.mark.parametrize(
    "sizes", [([700, 200, 100], [10] * 100), ([1] * 1000, [500] * 2), ([999, 1], [998, 2])]
)
def test_expectation_of_a_thousand_points(sizes):
    true, pred = (np.repeat(np.arange(len(side)), side) for side in sizes)
    expected = _reference.expected_mutual_information(true.tolist(), pred.tolist())
    assert _information.expected_mutual_information(*map(np.array, sizes)) == pytest.approx(
        expected, rel=1e-13
    )


def test_a_million_points(rng):
    """With few clusters; with a thousand, scikit-learn itself is off by 1e-11, see the next test."""
    true = rng.integers(15, size=10**6)
    pred = np.where(rng.random(10**6) < 0.2, rng.integers(20, size=10**6), true)
    for name in ("adjusted_mutual_info_score", "normalized_mutual_info_score"):
        theirs = getattr(sklearn_metrics, name)(true, pred)
        assert getattr(metrics, name)(true, pred) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("n", [10**4, 10**7])
def test_expectation_where_it_is_known(n):
    """With all points alone on one side the information is the other entropy, whatever the arrangement.

    Logarithms of factorials lose this: at 5000 points scikit-learn is off by 5e-11.
    """
    sizes = np.array([n // 2, n // 4, n // 4])
    expected = _information.expected_mutual_information(sizes, np.ones(n, np.int64))
    assert expected == pytest.approx(1.5 * math.log(2), abs=1e-13)


def test_expectation_of_a_large_two_by_two():
    """Four cells of 10^8 points: 1/(2n) by the chi-squared expansion of the mutual information, to O(1/n)."""
    half = np.array([10**8, 10**8])
    assert _information.expected_mutual_information(half, half) * 4 * 10**8 == pytest.approx(1, rel=1e-6)


def test_trivial_partitions_are_exact():
    alone, together, halves = np.arange(6), np.zeros(6), np.array([0, 0, 0, 1, 1, 1])
    for labels in (alone, together, halves):
        assert metrics.adjusted_mutual_info_score(labels, labels) == 1
        assert metrics.normalized_mutual_info_score(labels, labels) == 1
        assert metrics.variation_of_information(labels, labels) == (0, 0)
    for labels in (alone, together):
        assert metrics.adjusted_mutual_info_score(labels, halves) == 0
        assert metrics.adjusted_mutual_info_score(halves, labels) == 0
    assert metrics.normalized_mutual_info_score(together, halves) == 0
    assert metrics.variation_of_information(halves, alone) == (pytest.approx(math.log(3)), 0)
    assert metrics.variation_of_information(halves, together) == (0, pytest.approx(math.log(2)))


def test_no_points():
    assert math.isnan(metrics.adjusted_mutual_info_score([], []))
    assert math.isnan(metrics.normalized_mutual_info_score([], []))
    assert all(map(math.isnan, metrics.variation_of_information([], [])))
