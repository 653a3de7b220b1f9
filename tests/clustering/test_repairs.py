"""Repairs of clusters by their voxels: against the reference, and the rules themselves."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseclust.clustering import (
    _reference,
    absorb_fragments,
    merge_touching,
    refine,
    split_disconnected,
)

KERNEL_REPAIRS = [absorb_fragments, merge_touching, refine]


@st.composite
def clusterings(draw):
    """Voxels in a small box, some coincident, with embeddings on a lattice, whose sums are exact, or not."""
    n, ndim, d = draw(st.integers(0, 50)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    exact = draw(st.booleans())
    x = rng.integers(-2, 3, (n, d)) / 4 if exact else rng.normal(size=(n, d))
    widths = draw(st.sampled_from([[0.0, 0.25], [0.25, 0.5, 1.0], [0.5]]))
    margins = rng.choice(widths, draw(st.sampled_from([(n,), (n, 1), (n, d)])))
    return {
        "labels": rng.integers(-1, draw(st.integers(1, 20)), n),
        "coords": rng.integers(-2, draw(st.integers(1, 10)), (n, ndim)),
        "embeddings": x,
        "margins": margins,
        "radius": draw(st.sampled_from([0.0, 1.0, 1.999, 3.0])),
        "group": draw(st.sampled_from([None, rng.choice([-5, 2**40], n)])),
    }


def _reference_arguments(problem):
    n = len(problem["labels"])
    group = np.zeros(n, int) if problem["group"] is None else problem["group"]
    margins = problem["margins"].reshape(n, -1) if n else np.zeros((0, 1))
    return problem["labels"], problem["coords"], problem["embeddings"], margins, problem["radius"], group


@settings(max_examples=150, deadline=None)
@given(clusterings(), st.integers(1, 6))
def test_absorbed_fragments_equal_the_reference(problem, min_size):
    *arrays, radius, group = _reference_arguments(problem)
    expected = _reference.absorb_fragments(*arrays, min_size, radius, group)
    assert np.array_equal(absorb_fragments(**problem, min_size=min_size), expected)


@settings(max_examples=150, deadline=None)
@given(clusterings(), st.sampled_from([0.05, 0.3, 0.5, 0.9]))
def test_merged_clusters_equal_the_reference(problem, affinity):
    *arrays, radius, group = _reference_arguments(problem)
    expected = _reference.merge_touching(*arrays, -2.0 * math.log(affinity), radius, group)
    assert np.array_equal(merge_touching(**problem, affinity=affinity), expected)


@settings(deadline=None)
@given(clusterings())
def test_refine_is_its_three_steps(problem):
    shape = {"radius": problem["radius"], "group": problem["group"]}
    pieces = split_disconnected(problem["labels"], problem["coords"], **shape)
    pieces = absorb_fragments(**(problem | {"labels": pieces}), min_size=4)
    expected = merge_touching(**(problem | {"labels": pieces}), affinity=0.6)
    assert np.array_equal(refine(**problem, min_size=4, affinity=0.6), expected)


@pytest.mark.parametrize("repair", KERNEL_REPAIRS)
@settings(max_examples=50, deadline=None)
@given(problem=clusterings())
def test_nothing_crosses_a_group_and_voxels_without_cluster_stay_so(repair, problem):
    labels = repair(**problem)
    assert np.array_equal(labels == -1, problem["labels"] == -1)
    group = np.zeros(len(labels), int) if problem["group"] is None else problem["group"]
    for c in range(labels.max(initial=-1) + 1):
        assert len(np.unique(group[labels == c])) == 1
    kept = labels[labels >= 0]
    numbers, first = np.unique(kept, return_index=True)
    assert np.array_equal(numbers, np.arange(len(numbers)))
    assert np.all(np.diff(first) > 0)


@pytest.mark.parametrize("repair", KERNEL_REPAIRS)
def test_a_batch_is_repaired_event_by_event(repair, rng):
    n = 300
    arrays = {
        "labels": rng.integers(-1, 30, n),
        "coords": rng.integers(0, 9, (n, 3)),
        "embeddings": rng.random((n, 2)),
        "margins": 0.1 + rng.random(n) / 4,
    }
    group = rng.integers(0, 3, n)
    labels = repair(**arrays, group=group)
    for g in range(3):
        alone = repair(**{name: a[group == g] for name, a in arrays.items()})
        assert np.array_equal(labels[group == g][:, None] == labels[group == g], alone[:, None] == alone)


@pytest.mark.parametrize("repair", KERNEL_REPAIRS)
def test_the_order_of_the_rows_and_the_names_of_the_clusters_do_not_matter(repair, rng):
    n = 400
    labels, coords = rng.integers(-1, 60, n), rng.integers(0, 9, (n, 3))
    x, margins = rng.random((n, 3)), 0.05 + rng.random(n) / 4
    order, names = rng.permutation(n), rng.permutation(60) * 7
    expected = repair(labels, coords, x, margins)[order]
    renamed = np.where(labels < 0, -1, names[labels])
    moved = repair(renamed[order], coords[order], x[order], margins[order])
    assert np.array_equal(expected[:, None] == expected, moved[:, None] == moved)


@pytest.mark.parametrize("repair", KERNEL_REPAIRS)
def test_correct_labels_stay(repair):
    """Three tracks through one vertex, each a cluster of its own in the embedding."""
    arm = np.arange(1, 20)
    flat = np.zeros_like(arm)
    coords = np.concatenate([np.stack(c, axis=1) for c in ((arm, flat), (-arm, flat), (flat, arm))])
    labels = np.repeat([0, 1, 2], 19)
    x = labels[:, None] + np.linspace(-0.1, 0.1, 57)[:, None]
    assert np.array_equal(repair(labels, coords, x, np.full(57, 0.2)), labels)


def test_a_fragment_joins_the_largest_kernel_that_it_touches_not_the_nearest_of_all():
    coords = [[0], [1], [2], [3], [4], [50], [51]]
    labels = [0, 0, 1, 2, 2, 3, 3]
    x = [[0.0], [0.0], [0.6], [1.0], [1.0], [0.6], [0.6]]
    assert absorb_fragments(labels, coords, x, [0.1] * 7, min_size=2).tolist() == [0, 0, 1, 1, 1, 2, 2]
    wide = [0.3, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert absorb_fragments(labels, coords, x, wide, min_size=2).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_fragments_in_a_row_are_absorbed_from_the_large_end():
    coords, labels = np.arange(6)[:, None], [0, 0, 0, 1, 2, 3]
    x = np.arange(6.0)[:, None]
    assert absorb_fragments(labels, coords, x, np.ones(6), min_size=3).tolist() == [0] * 6
    assert absorb_fragments(labels, coords, x, np.ones(6), min_size=4).tolist() == labels


def test_merging_goes_on_with_the_kernel_of_the_whole():
    """The middle piece belongs with the left one; together they no longer overlap the right one."""
    coords, labels = np.arange(12)[:, None], np.repeat([0, 1, 2], [8, 2, 2])
    x = np.repeat([0.0, 0.2, 0.5], [8, 2, 2])[:, None]
    limit = np.exp(-(0.3**2) / (4 * 0.2**2)) * 0.9
    merged = merge_touching(labels, coords, x, np.full(12, 0.2), affinity=limit)
    assert merged.tolist() == [0] * 10 + [1] * 2


def test_equal_overlaps_take_the_smaller_labels_first():
    x = [[0.0], [1.0], [2.0]]
    merged = merge_touching([0, 1, 2], [[0], [1], [2]], x, [1.0] * 3, affinity=0.7)
    assert merged.tolist() == [0, 0, 1]


@pytest.mark.parametrize("repair", KERNEL_REPAIRS)
def test_kernels_without_width_and_embeddings_without_bound_end(repair):
    x = np.array([[0.0], [0.0], [1e308], [-1e308], [1e308], [1e308]])
    for margins in (np.zeros(6), np.full(6, np.inf), np.full(6, 1e-320)):
        labels = repair([0, 1, 2, 3, 4, 4], np.arange(6)[:, None], x, margins)
        assert labels.shape == (6,)
    assert merge_touching([0, 1], [[0], [1]], np.zeros((2, 1)), np.zeros(2)).tolist() == [0, 0]


@pytest.mark.parametrize("repair", KERNEL_REPAIRS)
def test_bad_arguments_of_repairs_are_refused(repair):
    with pytest.raises(ValueError, match="embeddings must have one row per voxel, 2, got 1"):
        repair([0, 0], [[0], [1]], [[0.0]], [1.0])
    with pytest.raises(ValueError, match="margins must be numbers >= 0"):
        repair([0], [[0]], [[0.0]], [-1.0])
    with pytest.raises(TypeError, match="labels must be integers"):
        repair([0.5], [[0]], [[0.0]], [1.0])
    with pytest.raises(ValueError, match="radius must be a finite distance"):
        repair([0], [[0]], [[0.0]], [1.0], radius=-1.0)


def test_bad_options_of_repairs_are_refused():
    one = ([0], [[0]], [[0.0]], [1.0])
    for repair in (absorb_fragments, refine):
        with pytest.raises(ValueError, match="min_size must be an integer >= 1"):
            repair(*one, min_size=0)
    for repair in (merge_touching, refine):
        with pytest.raises(ValueError, match="affinity must lie strictly between 0 and 1"):
            repair(*one, affinity=1.0)


@pytest.mark.parametrize("repair", KERNEL_REPAIRS)
def test_no_voxels(repair):
    assert repair(np.zeros(0, int), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0)).shape == (0,)
