"""Clusters of a graph of neighbouring voxels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseclust.clustering import AffinityGraphClusterer, _reference, neighbour_edges
from sparseclust.clustering import connected_components as components


@st.composite
def graphs(draw):
    """Any edges, with loops, repeats and equal affinities."""
    n, m = draw(st.integers(1, 30)), draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.sampled_from([[0.2, 0.5, 0.8, 0.9], list(rng.random(50))]))
    return n, rng.integers(0, n, (2, m)), rng.choice(levels, m)


@settings(max_examples=300, deadline=None)
@given(graphs(), st.integers(1, 9), st.sampled_from([-1.0, 0.5, 0.8, 2.0]))
def test_pieces_equal_the_reference(graph, min_size, threshold):
    n, edges, affinity = graph
    labels = AffinityGraphClusterer(threshold=threshold, min_size=min_size).fit_predict(edges, affinity, n=n)
    assert np.array_equal(labels, _reference.affinity_pieces(n, edges, affinity, threshold, min_size))


@settings(deadline=None)
@given(graphs(), st.integers(1, 9))
def test_only_pieces_without_edges_stay_small(graph, min_size):
    n, edges, affinity = graph
    labels = AffinityGraphClusterer(min_size=min_size).fit_predict(edges, affinity, n=n)
    size = np.bincount(labels)
    first, second = labels[edges]
    apart = first != second
    assert np.all(size[first[apart]] >= min_size)
    assert np.all(size[second[apart]] >= min_size)
    assert np.all(affinity[apart] < 0.8)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_without_ties_the_order_of_rows_and_edges_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    edges, affinity = rng.integers(0, 40, (2, 80)), rng.permutation(80) / 80
    rows, order = rng.permutation(40), rng.permutation(80)
    clusterer = AffinityGraphClusterer(threshold=0.9, min_size=5)
    labels = clusterer.fit_predict(edges, affinity, n=40)
    moved = clusterer.fit_predict(rows[edges[::-1, order]], affinity[order], n=40)[rows]
    assert np.array_equal(labels[:, None] == labels, moved[:, None] == moved)


def test_a_cut_between_two_touching_particles_holds():
    coords = np.stack(np.meshgrid(range(8), range(4), indexing="ij"), axis=-1).reshape(-1, 2)
    edges = neighbour_edges(coords)
    side = coords[:, 0] < 4
    affinity = np.where(side[edges[0]] == side[edges[1]], 0.95, 0.4)
    labels = AffinityGraphClusterer(threshold=0.8, min_size=8).fit_predict(edges, affinity, n=len(coords))
    assert np.array_equal(labels, np.where(side, 0, 1))


def test_a_threshold_below_every_affinity_gives_the_components(rng):
    coords = rng.integers(0, 12, (200, 3))
    edges = neighbour_edges(coords)
    labels = AffinityGraphClusterer(threshold=0.0, min_size=1).fit_predict(
        edges, rng.random(edges.shape[1]), n=200
    )
    assert np.array_equal(labels, components(coords))


def test_a_small_piece_follows_its_strongest_edge():
    edges = [[0, 1, 3, 4, 1, 2], [1, 6, 4, 5, 2, 3]]
    affinity = [0.9, 0.9, 0.9, 0.9, 0.3, 0.4]
    assert AffinityGraphClusterer(min_size=2).fit_predict(edges, affinity, n=7).tolist() == [
        0,
        0,
        1,
        1,
        1,
        1,
        0,
    ]
    assert AffinityGraphClusterer(min_size=1).fit_predict(edges, affinity, n=7).tolist() == [
        0,
        0,
        1,
        2,
        2,
        2,
        0,
    ]


def test_no_rows_and_no_edges():
    none = np.zeros((2, 0), int)
    assert AffinityGraphClusterer().fit_predict(none, [], n=0).shape == (0,)
    assert AffinityGraphClusterer().fit_predict(none, [], n=3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("edges", "affinity", "message"),
    [
        (
            [[0, 1], [1, 3]],
            [0.5, 0.5],
            r"edges must join rows 0 to 2: 1 edges do not, the first is edge 1: \[1, 3\]",
        ),
        ([[-1], [1]], [0.5], "edges must join rows"),
        ([[0, 1, 2]], [0.5], r"edges must have shape \(2, m\)"),
        ([[0], [1]], [0.5, 0.5], r"affinity must have shape \(1,\)"),
        ([[0], [1]], [np.nan], "affinity must not be NaN: 1 of 1 rows"),
    ],
)
def test_bad_graphs_are_refused(edges, affinity, message):
    with pytest.raises(ValueError, match=message):
        AffinityGraphClusterer().fit_predict(edges, affinity, n=3)


def test_bad_parameters_are_refused():
    none = np.zeros((2, 0), int)
    with pytest.raises(ValueError, match="min_size must be an integer >= 1"):
        AffinityGraphClusterer(min_size=0).fit_predict(none, [], n=1)
    with pytest.raises(ValueError, match="threshold must be a number"):
        AffinityGraphClusterer(threshold=float("nan")).fit_predict(none, [], n=1)
    with pytest.raises(ValueError, match="n must be an integer >= 0"):
        AffinityGraphClusterer().fit_predict(none, [], n=-1)
    with pytest.raises(TypeError, match="edges must be integers"):
        AffinityGraphClusterer().fit_predict([[0.0], [1.0]], [0.5], n=2)
