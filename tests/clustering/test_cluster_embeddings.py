"""Gaussian-kernel clusters: the fast path against its reference, and the rules themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import RULES, problems

from sparseclust.clustering import _kernels_growth, _kernels_order, cluster_embeddings, gaussian_kernel


@settings(max_examples=300, deadline=None)
@given(problems(), st.sampled_from(RULES))
def test_labels_equal_the_reference(problem, rule):
    problem |= {"assignment": rule[0], "leftover": rule[1]}
    assert np.array_equal(cluster_embeddings(**problem), cluster_embeddings(**problem, backend="reference"))


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dim", [1, 3, 16])
def test_labels_equal_the_reference_on_many_points(rng, rule, dim, backend):
    n = 3000
    centres = rng.uniform(-1, 1, (40, dim))
    x = centres[rng.integers(0, 40, n)] + rng.normal(size=(n, dim)) * 0.05
    problem = (x, 10.0 ** rng.uniform(-3, 0, n), rng.random(n))
    options = {
        "assignment": rule[0],
        "leftover": rule[1],
        "group": rng.integers(0, 3, n),
        "seed_threshold": 0.3,
    }
    labels = cluster_embeddings(*problem, **options, backend=backend)
    assert np.array_equal(labels, cluster_embeddings(*problem, **options, backend="reference"))


@settings(deadline=None)
@given(problems(), st.sampled_from(RULES))
def test_a_group_is_clustered_as_if_alone(problem, rule):
    problem |= {"assignment": rule[0], "leftover": rule[1]}
    group = problem.pop("group")
    group = np.zeros(len(problem["seediness"]), int) if group is None else group
    labels = cluster_embeddings(**problem, group=group)
    found = 0
    for g in np.unique(group):
        rows = group == g
        alone = problem | {name: problem[name][rows] for name in ("embeddings", "margins", "seediness")}
        expected = cluster_embeddings(**alone)
        assert np.array_equal(labels[rows], np.where(expected >= 0, expected + found, -1))
        found += expected.max(initial=-1) + 1


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_the_rows_does_not_matter(rng, rule):
    n = 400
    x, margins, seediness, group = (
        rng.random((n, 3)),
        rng.random(n) * 0.3,
        rng.random(n),
        rng.integers(0, 4, n),
    )
    order = rng.permutation(n)
    options = {"assignment": rule[0], "leftover": rule[1], "seed_threshold": 0.4}
    labels = cluster_embeddings(x, margins, seediness, group=group, **options)
    shuffled = cluster_embeddings(x[order], margins[order], seediness[order], group=group[order], **options)
    assert np.array_equal(labels[order], shuffled)


def test_labels_follow_the_groups_then_the_discovery():
    x = np.array([[0.0], [9.0], [0.0], [9.0]])
    labels = cluster_embeddings(x, np.full(4, 0.1), [0.1, 0.2, 0.3, 0.4], group=[5, 5, -1, -1])
    assert labels.tolist() == [3, 2, 1, 0]


def test_a_seed_may_equal_the_threshold_in_its_own_dtype():
    assert cluster_embeddings([[0.0]], [1.0], np.array([0.9], np.float32), seed_threshold=0.9).tolist() == [0]
    assert cluster_embeddings([[0.0]], [1.0], np.array([0.9], np.float64), seed_threshold=0.9).tolist() == [0]
    assert cluster_embeddings([[0.0]], [1.0], [np.nextafter(0.9, 0)], seed_threshold=0.9).tolist() == [-1]


def test_equal_seediness_takes_the_first_row_first():
    assert cluster_embeddings([[0.0], [5.0]], [1.0, 1.0], [0.5, 0.5]).tolist() == [0, 1]


@pytest.mark.parametrize("assignment", ["greedy", "argmax"])
def test_the_edge_of_a_kernel_is_outside(assignment):
    radius = np.sqrt(2 * np.log(2))
    x = np.array([[0.0], [radius * (1 - 1e-12)], [radius * (1 + 1e-12)]])
    labels = cluster_embeddings(
        x, [1.0, 1.0, 1.0], [1.0, 0.1, 0.1], seed_threshold=0.5, assignment=assignment
    )
    assert labels.tolist() == [0, 0, -1]


def test_greedy_keeps_and_argmax_gives_to_the_larger_kernel():
    arguments = ([[0.0], [1.1], [1.3]], [1.0, 0.1, 0.2], [1.0, 0.1, 0.9])
    assert cluster_embeddings(*arguments, assignment="greedy").tolist() == [0, 0, 1]
    assert cluster_embeddings(*arguments, assignment="argmax").tolist() == [0, 1, 1]


def test_leftovers_join_the_largest_kernel_even_where_its_value_underflows():
    x, margins, seediness = [[0.0], [1e6], [4e5], [6e5]], [0.1] * 4, [1.0, 0.9, 0.0, 0.0]
    assert cluster_embeddings(x, margins, seediness, seed_threshold=0.5).tolist() == [0, 1, -1, -1]
    nearest = cluster_embeddings(x, margins, seediness, seed_threshold=0.5, leftover="nearest")
    assert nearest.tolist() == [0, 1, 0, 1]


def test_small_clusters_are_dissolved_and_the_rest_renumbered():
    x = np.array([[0.0], [5.0], [5.0], [6.0]])
    arguments = (x, np.full(4, 0.1), [1.0, 0.9, 0.8, 0.7])
    assert cluster_embeddings(*arguments).tolist() == [0, 1, 1, 2]
    assert cluster_embeddings(*arguments, min_size=2).tolist() == [-1, 0, 0, -1]
    assert cluster_embeddings(*arguments, min_size=2, leftover="nearest").tolist() == [0, 0, 0, 0]
    assert cluster_embeddings(*arguments, min_size=9, leftover="nearest").tolist() == [-1] * 4


@pytest.mark.parametrize("rule", RULES)
def test_a_kernel_without_width_is_its_seed_alone(rule):
    options = {"assignment": rule[0], "leftover": rule[1]}
    assert cluster_embeddings(np.zeros((3, 2)), np.zeros(3), np.ones(3), **options).tolist() == [0, 1, 2]
    one = cluster_embeddings(np.zeros((2, 2)), np.zeros(2), [1.0, 0.0], seed_threshold=0.5, **options)
    assert one.tolist() == [0, -1]


def test_one_margin_per_axis_stretches_the_kernel():
    x = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    margins = np.tile([5.0, 0.5], (3, 1))
    assert cluster_embeddings(x, margins, [1.0, 0.5, 0.4]).tolist() == [0, 0, 1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dim", [1, 3])
def test_no_point_and_no_seed(rule, dim):
    options = {"assignment": rule[0], "leftover": rule[1]}
    empty = cluster_embeddings(np.zeros((0, dim)), np.zeros(0), np.zeros(0), **options)
    assert empty.shape == (0,)
    assert empty.dtype == np.int64
    assert (
        cluster_embeddings(
            np.zeros((4, dim)), np.ones(4), np.zeros(4), seed_threshold=0.5, **options
        ).tolist()
        == [-1] * 4
    )


def test_infinite_margins_and_extreme_embeddings_end():
    x = np.array([[-1e308], [0.0], [1e308]])
    for margins in ([np.inf] * 3, [1e-320] * 3, [1e300] * 3, [0.0, np.inf, 1.0]):
        for assignment, leftover in RULES:
            options = {"assignment": assignment, "leftover": leftover}
            expected = cluster_embeddings(x, margins, [0.1, 0.3, 0.2], **options, backend="reference")
            for backend in ("numba", "torch"):
                labels = cluster_embeddings(x, margins, [0.1, 0.3, 0.2], **options, backend=backend)
                assert np.array_equal(labels, expected)


def test_read_only_and_strided_arrays_are_taken_as_they_are(rng):
    x, margins, seediness = rng.random((50, 3)), rng.random(50), rng.random(50)
    expected = cluster_embeddings(x, margins, seediness)
    strided = np.asfortranarray(np.repeat(x, 2, axis=0))[::2]
    for array in (strided, margins, seediness):
        array.flags.writeable = False
    assert np.array_equal(cluster_embeddings(strided, margins, seediness), expected)
    # Nothing is compiled anew for them, which takes seconds.
    assert len(_kernels_order.falling_order.signatures) == 1
    assert len(_kernels_growth.cluster_range.signatures) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": np.array([[0.0], [np.nan], [np.inf]])}, "embeddings must be finite: 2 of 3 .* row 1"),
        ({"embeddings": np.zeros(3)}, r"embeddings must have shape \(n, d\)"),
        ({"margins": np.array([1.0, 1.0, -0.1])}, "margins must be numbers >= 0: 1 of 3 .* row 2"),
        ({"margins": np.array([1.0, np.nan, np.nan])}, "margins must be numbers >= 0: 2 of 3 .* row 1"),
        ({"margins": np.ones((3, 2))}, "margins must have shape"),
        ({"seediness": np.array([np.nan, 1.0, 1.0])}, "seediness must not be NaN: 1 of 3 .* row 0"),
        ({"seediness": np.ones(2)}, r"seediness must have shape \(3,\)"),
        ({"group": np.zeros(2, int)}, r"group must have shape \(3,\)"),
        ({"kernel_threshold": 1.0}, "kernel_threshold must lie strictly between 0 and 1"),
        ({"kernel_threshold": float("nan")}, "kernel_threshold must lie strictly between 0 and 1"),
        ({"seed_threshold": float("nan")}, "seed_threshold must be a number"),
        ({"min_size": 0}, "min_size must be an integer >= 1"),
        ({"assignment": "best"}, "assignment must be one of 'greedy', 'argmax', got 'best'"),
        ({"leftover": "drop"}, "leftover must be one of"),
        ({"backend": "cuda"}, "backend must be one of"),
    ],
)
def test_bad_input_is_refused_with_a_repair(change, message):
    good = {"embeddings": np.zeros((3, 1)), "margins": np.ones(3), "seediness": np.ones(3)}
    with pytest.raises(ValueError, match=message):
        cluster_embeddings(**(good | change))


def test_group_ids_must_be_integers():
    with pytest.raises(TypeError, match="group must be integers, got dtype float64"):
        cluster_embeddings(np.zeros((2, 1)), np.ones(2), np.ones(2), group=[0.0, 1.0])


@settings(deadline=None)
@given(problems())
def test_the_kernel_value_decides_who_is_covered(problem):
    x, margins = problem["embeddings"], problem["margins"]
    if len(x) == 0:
        return
    seediness = np.arange(len(x), 0.0, -1.0)
    p0 = problem["kernel_threshold"]
    labels = cluster_embeddings(x, margins, seediness, seed_threshold=len(x), kernel_threshold=p0)
    p = gaussian_kernel(x, x[0], margins[0])
    clear = np.abs(p - p0) > 1e-9
    covered = labels == 0
    # What a squared distance is compared with has all its digits. Duplicates of a seed of zero variance have
    # p = 1, but d^2 < 0 holds for none.
    variance = np.min(np.square(margins[0], dtype=np.float64))
    clear[1:] &= variance * min(1.0, -2.0 * np.log(p0)) >= np.finfo(np.float64).tiny
    assert np.array_equal(covered[clear], (p > p0)[clear])


def test_margins_whose_squares_have_few_digits():
    """That of 3e-162 is twice the smallest number, and a tenth of it rounds to zero: duplicates are left."""
    for margin, covered in ((1e-150, 3), (3e-162, 1)):
        x = margin * np.array([[0.0], [0.0], [0.3]])
        labels = cluster_embeddings(
            x, np.full(3, margin), [3.0, 2, 1], seed_threshold=3, kernel_threshold=0.9
        )
        assert np.sum(labels == 0) == covered


def test_gaussian_kernel_values():
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    assert np.allclose(gaussian_kernel(x, [0, 0], 1.0), np.exp([0, -0.5, -2]), rtol=1e-15)
    assert np.allclose(gaussian_kernel(x, [0, 0], [1.0, 2.0]), np.exp([0, -0.5, -0.5]), rtol=1e-15)
    assert gaussian_kernel(x, [0, 0], 0.0).tolist() == [1, 0, 0]
    assert gaussian_kernel(x, [0, 0], [1.0, 0.0])[[0, 2]].tolist() == [1, 0]


def test_gaussian_kernel_refuses_a_centroid_of_another_dimension():
    with pytest.raises(ValueError, match=r"centroid must have shape \(2,\)"):
        gaussian_kernel(np.zeros((1, 2)), [0.0], 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_are_ordered_as_a_stable_sort_orders_them(rng, dtype):
    score = rng.choice([0.0, -0.0, -1.5, 1.5, np.inf, -np.inf, 1e-310, *rng.normal(size=20)], 5000).astype(
        dtype
    )
    order = _kernels_order.falling_order(score.astype(np.float64))
    assert np.array_equal(order, np.argsort(-score, kind="stable"))
    group = rng.integers(0, 7, 5000)
    splits = np.concatenate([[0], np.cumsum(np.bincount(group))])
    by_group = _kernels_order.stable_by_group(order, group, splits)
    assert np.array_equal(by_group, order[np.argsort(group[order], kind="stable")])


@pytest.mark.parametrize("margin", [0.0, 1e-100, 1e-3])
def test_leftovers_of_narrow_kernels_are_found(rng, margin):
    x, seediness = rng.random((2000, 3)), np.repeat([1.0, 0.0], 1000)
    options = {"seed_threshold": 0.5, "leftover": "nearest"}
    labels = cluster_embeddings(x, np.full(2000, margin), seediness, **options)
    expected = cluster_embeddings(x, np.full(2000, margin), seediness, **options, backend="reference")
    assert np.array_equal(labels, expected)
    assert np.all(labels[1000:] == -1) == (margin == 0)


def test_more_points_than_the_compiled_loops_can_number_are_refused():
    with pytest.raises(ValueError, match="one call takes at most 2147483646 embeddings"):
        cluster_embeddings(np.broadcast_to(np.zeros(1), (2**31, 1)), np.zeros(1), np.zeros(1))
