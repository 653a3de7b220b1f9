"""Contingency, ARI, purity, efficiency, Dice: values, properties, the reference, scikit-learn, and size."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.metrics.cluster import contingency_matrix as sklearn_contingency_matrix

from sparseclust import metrics
from sparseclust.metrics import _contingency, _reference, _scores

pairs = st.integers(1, 6).flatmap(
    lambda k: st.lists(st.tuples(st.integers(-1, k), st.integers(-1, k)), min_size=1, max_size=25)
)


def random_pair(rng, n=500, k=12, wrong=0.3):
    true = rng.integers(k, size=n)
    return true, np.where(rng.random(n) < wrong, rng.integers(k, size=n), true)


# ------------------------------------------------------------------------------------------ literal values
def test_worked_example():
    # T1 = {0..5}, T2 = {6..8}; P1 = {0..3}, P2 = {4..6}, P3 = {7, 8}
    scores = metrics.score_partition([0] * 6 + [1] * 3, [0] * 4 + [1] * 3 + [2] * 2)
    # 36 pairs; 8 + 1... together: C(4,2) + C(2,2) + C(2,2) = 8; true: 15 + 3 = 18; predicted: 6 + 3 + 1 = 10
    assert scores.ari == pytest.approx((8 - 18 * 10 / 36) / ((18 + 10) / 2 - 18 * 10 / 36))
    assert scores.purity == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert scores.efficiency == pytest.approx((4 / 6 + 2 / 3) / 2)
    assert scores.best_dice_true == pytest.approx((8 / 10 + 4 / 5) / 2)
    assert scores.best_dice_pred == pytest.approx((8 / 10 + 4 / 9 + 4 / 5) / 3)
    assert scores.sbd == scores.best_dice_pred
    assert scores[-3:] == (2, 3, 9)


def test_spine_case_with_a_negative_label():
    """A label -1 is where SPINE's ARI goes wrong: it is a name like any other."""
    true, pred = np.array([0, 0, 0, 1, 1, 2, 2, 2]), np.array([0, 0, -1, -1, 1, 1, 2, 2])
    assert metrics.adjusted_rand_score(true, pred) == metrics.adjusted_rand_score(true, pred + 1)


@pytest.mark.parametrize("labels", [[5], [5, 5, 5], [1, 2, 3], [0, 0, 1, 2]])
def test_equal_partitions_score_one(labels):
    assert metrics.score_partition(labels, np.negative(labels))[:6] == (1.0,) * 6


def test_no_points_are_undefined():
    scores = metrics.score_partition([], [])
    assert all(math.isnan(value) for value in scores[:6])
    assert scores[6:] == (0, 0, 0)
    assert math.isnan(metrics.adjusted_rand_score([], []))
    assert math.isnan(metrics.purity([], [], average="point"))
    assert metrics.contingency_matrix([], []).shape == (0, 0)


def test_lowest_ari():
    assert metrics.adjusted_rand_score([0, 0, 1, 1], [0, 1, 0, 1]) == -0.5


def test_average_is_checked():
    for score in (metrics.purity, metrics.efficiency):
        with pytest.raises(ValueError, match='"cluster" or "point", got \'voxel\''):
            score([0], [0], average="voxel")


# ------------------------------------------------------------------------------- reference and scikit-learn
@given(pairs)
def test_reference(points):
    true, pred = zip(*points)
    scores = metrics.score_partition(true, pred)
    for name, expected in (
        ("ari", _reference.adjusted_rand_score(true, pred)),
        ("purity", _reference.purity(true, pred)),
        ("efficiency", _reference.efficiency(true, pred)),
        ("best_dice_true", _reference.best_dice(true, pred)),
        ("best_dice_pred", _reference.best_dice(pred, true)),
    ):
        assert getattr(scores, name) == pytest.approx(float(expected), rel=1e-15, abs=1e-15), name


@settings(max_examples=1000)
@given(pairs)
def test_scikit_learn(points):
    true, pred = np.array(points).T
    assert metrics.adjusted_rand_score(true, pred) == pytest.approx(
        sklearn_metrics.adjusted_rand_score(true, pred), abs=1e-12
    )
    ours = metrics.contingency_matrix(true, pred)
    assert ours.dtype == np.int64
    assert ours.has_canonical_format
    assert ours.nnz == np.count_nonzero(ours.toarray())
    assert (ours.toarray() == sklearn_contingency_matrix(true, pred)).all()


@pytest.mark.parametrize("stretch", [1, 10**9], ids=["table", "sorted"])
def test_a_million_points(rng, stretch):
    true, pred = random_pair(rng, 10**6, 300)
    scores = metrics.score_partition(true * stretch, pred * stretch)
    assert scores.ari == pytest.approx(sklearn_metrics.adjusted_rand_score(true, pred), abs=1e-12)
    table = np.bincount(true * 300 + pred, minlength=300**2).reshape(300, 300)
    a, b = table.sum(1, keepdims=True), table.sum(0, keepdims=True)
    assert scores.efficiency == pytest.approx((table / a).max(1).mean(), abs=1e-12)
    assert scores.purity == pytest.approx((table / b).max(0).mean(), abs=1e-12)
    assert scores.sbd == pytest.approx(
        min((2 * table / (a + b)).max(axis).mean() for axis in (0, 1)), abs=1e-12
    )


@pytest.mark.parametrize("n", [65_535, 65_536, 70_000])
def test_tables_around_as_many_cells_as_fit_32_bits(rng, n):
    true, pred = np.arange(n), rng.permutation(n)
    table = metrics.contingency_matrix(true, pred)
    assert table.nnz == n
    assert (table[true, pred] == 1).all()


# --------------------------------------------------------------------------------------------- properties
@given(pairs, st.randoms(use_true_random=False))
def test_order_of_points_and_names_of_labels_do_not_matter(points, random):
    shuffled = random.sample(points, len(points))
    names = dict(zip(range(-1, 7), random.sample(range(-100, 100), 8)))
    renamed = [(names[t], 1000 * p) for t, p in shuffled]
    before, after = (metrics.score_partition(*zip(*p)) for p in (points, renamed))
    assert after == pytest.approx(before, rel=1e-14)
    assert after.ari == before.ari


@given(pairs)
def test_exchanging_the_sides(points):
    true, pred = zip(*points)
    one, other = metrics.score_partition(true, pred), metrics.score_partition(pred, true)
    assert one._replace(
        purity=one.efficiency,
        efficiency=one.purity,
        best_dice_true=one.best_dice_pred,
        best_dice_pred=one.best_dice_true,
        n_true=one.n_pred,
        n_pred=one.n_true,
    ) == pytest.approx(other, rel=1e-14)
    assert metrics.symmetric_best_dice(true, pred) == metrics.symmetric_best_dice(pred, true)
    for average in ("cluster", "point"):
        assert metrics.purity(true, pred, average=average) == metrics.efficiency(pred, true, average=average)


@given(pairs)
def test_ranges_and_single_functions(points):
    true, pred = zip(*points)
    scores = metrics.score_partition(true, pred)
    assert -0.5 <= scores.ari <= 1
    assert all(0 < value <= 1 for value in scores[1:6])
    assert scores.sbd == min(scores.best_dice_true, scores.best_dice_pred)
    assert scores[:6] == (
        metrics.adjusted_rand_score(true, pred),
        metrics.purity(true, pred),
        metrics.efficiency(true, pred),
        metrics.symmetric_best_dice(true, pred),
        metrics.best_dice(true, pred),
        metrics.best_dice(pred, true),
    )
    assert (scores.ari == 1) == (len(set(points)) == len(set(true)) == len(set(pred)))


@given(pairs, st.data())
def test_refining_the_prediction_never_lowers_point_purity(points, data):
    true, pred = zip(*points)
    cuts = data.draw(st.lists(st.integers(0, 2), min_size=len(points), max_size=len(points)))
    finer = [3 * p + c for p, c in zip(pred, cuts)]
    assert metrics.purity(true, finer, average="point") >= metrics.purity(true, pred, average="point")
    assert metrics.efficiency(true, finer, average="point") <= metrics.efficiency(true, pred, average="point")


# --------------------------------------------------------------------------------------------------- size
def exact_ari(counts):
    """ARI of a 2 x 2 table in rational arithmetic."""
    a, b = [sum(row) for row in counts], [sum(column) for column in zip(*counts)]
    together, in_true, in_pred, pairs = (
        sum(math.comb(int(size), 2) for size in sizes) for sizes in ([*counts[0], *counts[1]], a, b, [sum(a)])
    )
    chance = Fraction(in_true * in_pred, pairs)
    return float((together - chance) / (Fraction(in_true + in_pred, 2) - chance))


# 60 000 is where torchmetrics' int64 overflows, 78 000 SPINE's, 65 536 where ours changes to Python integers.
@pytest.mark.parametrize("n", [60_000, 65_536, 65_537, 80_000, 10**6, 4 * 10**6])
def test_ari_is_exact_at_sizes_where_int64_products_overflow(n):
    counts = [[n // 2, n // 10], [n // 20, n - n // 2 - n // 10 - n // 20]]
    true = np.repeat([0, 0, 1, 1], np.ravel(counts))
    pred = np.repeat([0, 1, 0, 1], np.ravel(counts))
    assert metrics.adjusted_rand_score(true, pred) == pytest.approx(exact_ari(counts), rel=1e-15)


@pytest.mark.parametrize("n", [10**7, 10**8, 3 * 10**9])
def test_ari_arithmetic_at_sizes_beyond_this_machine(n):
    counts = np.array([[n // 2, n // 10], [n // 20, n - n // 2 - n // 10 - n // 20]])
    table = _contingency.Overlaps(
        true=np.array([0, 0, 1, 1]),
        pred=np.array([0, 1, 0, 1]),
        shared=counts.ravel(),
        true_start=np.array([0, 2]),
        true_size=counts.sum(1),
        pred_size=counts.sum(0),
        true_split=np.array([0]),
        pred_split=np.array([0]),
        true_label=np.array([0, 1]),
        pred_label=np.array([0, 1]),
    )
    assert _scores.adjusted_rand(table)[0] == exact_ari(counts.tolist())


def test_all_points_alone_against_all_together():
    n = 10**6
    scores = metrics.score_partition(np.arange(n), np.zeros(n, int))
    assert scores.ari == 0
    assert scores.purity == 1 / n
    assert scores.efficiency == 1
    assert scores.best_dice_true == pytest.approx(2 / (n + 1), rel=1e-12)


@pytest.mark.parametrize("stretch", [1, 7**12], ids=["compact", "wide"])
def test_memory_is_below_100_bytes_per_point(rng, stretch):
    true, pred = random_pair(rng, 10**6, 1000)
    event = np.sort(rng.integers(10, size=len(true)))
    true, pred = true * stretch, pred * stretch
    assert peak_memory(lambda: metrics.score_partition(true, pred)) < 100 * len(true)
    assert peak_memory(lambda: metrics.score_events(true, pred, event=event)) < 100 * len(true)


def peak_memory(work):
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
