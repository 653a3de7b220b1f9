"""Neighbours, components, DBSCAN and the split of clusters on integer coordinates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from sparseclust.clustering import (
    _reference,
    connected_components,
    dbscan_voxels,
    neighbour_edges,
    split_disconnected,
)

RADII = [0.0, 0.5, 1.0, 2**0.5, 3**0.5, 1.999, 2.0, 3.2]


@st.composite
def clouds(draw):
    """Voxels in a small box, so that many touch and some coincide, with or without groups."""
    n, ndim = draw(st.integers(0, 60)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    coords = rng.integers(-3, draw(st.integers(-2, 12)), (n, ndim)).astype(
        draw(st.sampled_from([np.int32, np.int64]))
    )
    group = draw(st.sampled_from([None, rng.choice([-(2**40), 0, 5], n)]))
    return coords, group, draw(st.sampled_from(RADII))


def _dense(group, n):
    return np.zeros(n, int) if group is None else group


@settings(max_examples=200, deadline=None)
@given(clouds())
def test_edges_equal_the_comparison_of_all_pairs(cloud):
    coords, group, radius = cloud
    edges = neighbour_edges(coords, radius=radius, group=group)
    assert edges.dtype == np.int64
    assert np.array_equal(edges, _reference.neighbour_edges(coords, radius, _dense(group, len(coords))))


@settings(max_examples=150, deadline=None)
@given(clouds(), st.integers(1, 9))
def test_nearest_edges_equal_the_reference(cloud, k):
    coords, group, radius = cloud
    edges = neighbour_edges(coords, radius=radius, group=group)
    nearest = neighbour_edges(coords, radius=radius, k=k, group=group)
    assert nearest.dtype == np.int64
    assert np.array_equal(nearest, _reference.nearest_edges(coords.astype(np.int64), edges, k))


def test_nearest_neighbours_are_seen_from_both_ends_and_ties_go_to_the_smaller_row():
    assert neighbour_edges([[1], [0], [2]], k=1).tolist() == [[0, 0], [1, 2]]
    assert neighbour_edges([[2], [1], [3], [8]], radius=9, k=1).tolist() == [[0, 0, 2], [1, 2, 3]]
    assert neighbour_edges([[0, 0], [0, 0], [0, 1]], k=1).tolist() == [[0, 0], [1, 2]]


def test_enough_nearest_neighbours_are_all_of_them(rng):
    coords = rng.integers(0, 12, (500, 3))
    edges = neighbour_edges(coords)
    degree = int(np.bincount(edges.ravel()).max())
    assert np.array_equal(neighbour_edges(coords, k=degree), edges)
    fewer = neighbour_edges(coords, k=2)
    assert fewer.shape[1] < edges.shape[1]
    assert np.array_equal(np.unique(fewer), np.unique(edges))


@settings(max_examples=200, deadline=None)
@given(clouds(), st.integers(1, 6))
def test_dbscan_equals_the_reference(cloud, min_samples):
    coords, group, radius = cloud
    edges = _reference.neighbour_edges(coords, radius, _dense(group, len(coords)))
    labels = dbscan_voxels(coords, eps=radius, min_samples=min_samples, group=group)
    assert np.array_equal(labels, _reference.dbscan(len(coords), edges, min_samples))
    if min_samples == 1:
        assert np.array_equal(labels, connected_components(coords, radius=radius, group=group))


@settings(max_examples=100, deadline=None)
@given(clouds(), st.integers(1, 8))
def test_dbscan_equals_scikit_learn_number_by_number(cloud, min_samples):
    coords, _, radius = cloud
    if len(coords) == 0:
        return
    # At a distance of exactly eps, a square root, its answer depends on how its tree rounds.
    radius += 1e-6
    expected = DBSCAN(eps=radius, min_samples=min_samples, algorithm="kd_tree").fit_predict(coords)
    assert np.array_equal(dbscan_voxels(coords, eps=radius, min_samples=min_samples), expected)


def test_dbscan_equals_scikit_learn_on_tracks(rng):
    walks = [np.cumsum(rng.integers(-1, 2, (400, 3)), axis=0) + rng.integers(0, 60, 3) for _ in range(20)]
    coords = np.unique(np.concatenate(walks), axis=0)
    coords = coords[rng.permutation(len(coords))]
    for min_samples in (1, 4, 10):
        expected = DBSCAN(eps=1.999, min_samples=min_samples).fit_predict(coords)
        assert np.array_equal(dbscan_voxels(coords, min_samples=min_samples), expected)


@pytest.mark.parametrize(
    ("coords", "labels"),
    [
        ([0, 0, 0, 1, 2, 3, 4, 4, 4], [0, 0, 0, 0, 0, 1, 1, 1, 1]),
        ([4, 4, 4, 3, 2, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1, 1]),
        ([2, 4, 0, 0, 0, 1, 3, 4, 4], [0, 0, 1, 1, 1, 1, 0, 0, 0]),
    ],
)
def test_a_border_row_between_two_clusters_joins_the_first(coords, labels):
    rows = np.array(coords)[:, None]
    assert dbscan_voxels(rows, eps=1.0, min_samples=4).tolist() == labels
    assert DBSCAN(eps=1.0, min_samples=4).fit_predict(rows).tolist() == labels


@settings(deadline=None)
@given(clouds())
def test_components_do_not_depend_on_the_order_of_the_rows(cloud):
    coords, group, radius = cloud
    order = np.random.default_rng(0).permutation(len(coords))
    labels = connected_components(coords, radius=radius, group=group)[order]
    moved = connected_components(coords[order], radius=radius, group=None if group is None else group[order])
    assert np.array_equal(labels[:, None] == labels, moved[:, None] == moved)


@settings(deadline=None)
@given(clouds())
def test_a_batch_is_the_union_of_its_groups(cloud):
    coords, group, radius = cloud
    if group is None:
        return
    edges = neighbour_edges(coords, radius=radius, group=group)
    alone = [
        np.flatnonzero(group == g)[neighbour_edges(coords[group == g], radius=radius)]
        for g in np.unique(group)
    ]
    joined = np.concatenate([*alone, np.zeros((2, 0), int)], axis=1)
    assert np.array_equal(edges, joined[:, np.lexsort(joined[::-1])])


def test_coordinates_may_be_whole_floats_and_any_layout():
    coords = np.asfortranarray([[0.0, 0.0], [1.0, 1.0], [7.0, -2.0]])
    coords.flags.writeable = False
    assert connected_components(coords).tolist() == [0, 0, 1]


def test_events_far_apart_in_memory_cost_no_key_space():
    coords = np.array([[0, 0, 0], [2**19, 2**19, 2**19]] * 2, np.int32)
    assert connected_components(coords, group=[2**60, 2**60, -(2**60), -(2**60)]).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("function", [neighbour_edges, connected_components, dbscan_voxels])
def test_bad_coordinates_are_refused(function):
    with pytest.raises(
        ValueError, match=r"coords must be voxel indices .* 2 of 3 rows fail, the first is row 1"
    ):
        function(np.array([[0.0], [0.5], [np.nan]]))
    with pytest.raises(ValueError, match=r"coords must have shape \(n, ndim\)"):
        function(np.zeros(4, int))
    with pytest.raises(TypeError, match="coords must be real numbers"):
        function(np.array([["a"]]))
    with pytest.raises(ValueError, match=r"group must have shape \(2,\)"):
        function(np.zeros((2, 3), int), group=[0])


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="radius must be a finite distance >= 0"):
        neighbour_edges(np.zeros((1, 3), int), radius=-1.0)
    with pytest.raises(ValueError, match="k must be an integer >= 1"):
        neighbour_edges(np.zeros((1, 3), int), k=0)
    with pytest.raises(ValueError, match="eps must be a finite distance >= 0"):
        dbscan_voxels(np.zeros((1, 3), int), eps=float("inf"))
    with pytest.raises(ValueError, match="min_samples must be an integer >= 1"):
        dbscan_voxels(np.zeros((1, 3), int), min_samples=0)


@settings(deadline=None)
@given(clouds(), st.integers(1, 5))
def test_split_clusters_are_the_components_of_each_cluster(cloud, min_size):
    coords, group, radius = cloud
    labels = np.random.default_rng(len(coords)).integers(-1, 3, len(coords))
    split = split_disconnected(labels, coords, radius=radius, min_size=min_size, group=group)
    edges = _reference.neighbour_edges(coords, radius, _dense(group, len(coords)))
    inside = edges[:, (labels[edges[0]] == labels[edges[1]]) & (labels[edges[0]] != -1)]
    piece = _reference.dbscan(len(coords), inside, 1)
    large = (np.bincount(piece)[piece] >= min_size) if len(piece) else np.zeros(0, bool)
    kept = (labels != -1) & large
    assert np.array_equal(split == -1, ~kept)
    assert np.array_equal(split[kept][:, None] == split[kept], piece[kept][:, None] == piece[kept])
    numbers, first = np.unique(split[kept], return_index=True)
    assert np.array_equal(numbers, np.arange(len(numbers)))
    assert np.all(np.diff(first) > 0)


def test_splitting_connected_clusters_changes_nothing():
    coords = np.array([[0, 0], [0, 1], [0, 5], [1, 5], [9, 9]])
    labels = np.array([0, 0, 1, 1, -1])
    assert np.array_equal(split_disconnected(labels, coords), labels)


def test_split_needs_integer_labels():
    with pytest.raises(TypeError, match="labels must be integers"):
        split_disconnected([0.0], [[0]])
